# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Products of bytes with the processor's own dot-product instruction (AVX-512 VNNI), by llvmlite.

Three patches times 128 outputs stay in 24 registers while the channels of a unit's places stream
past, straight from the table of places: nothing is gathered and nothing is stored in between. One
instruction multiplies four unsigned bytes by four signed ones and adds them to an int32, without
saturation; the sums are right modulo 2^32.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATCHES = 3  # whose sums stay in registers
LANES = 16  # outputs in a register
MOST_VECTORS = 8  # registers of outputs for each patch
QUAD = 4  # channels in one instruction
ALIGNMENT_BYTES = 64
FEATURES = ("avx512f", "avx512vnni")
PRODUCT = "llvm.x86.avx512.vpdpbusd.512"
NAME = "add_units"


@functools.cache
def kernel_obstacle() -> str:
    """Why this process cannot use the kernel; empty where it can."""
    if util.find_spec("llvmlite") is None:
        return "llvmlite is not installed"
    from llvmlite import binding

    if not binding.get_process_triple().startswith("x86_64"):
        return "this processor is not an x86-64"
    features = binding.get_host_cpu_features()
    missing = [name for name in FEATURES if not features.get(name)]
    return f"this processor lacks {' and '.join(missing)}" if missing else ""


def vectors_for(outputs: int) -> int:
    """Registers that hold one patch's sums of one block of outputs."""
    return min(MOST_VECTORS, -(-outputs // LANES))


def blocks_for(outputs: int) -> int:
    """Blocks of outputs, all of `vectors_for` registers."""
    return -(-outputs // (vectors_for(outputs) * LANES))


@dataclass(frozen=True, slots=True)
class _Code:
    """Machine code for one number of registers of outputs. It holds no lock while it runs."""

    function: Any
    owner: Any  # keeps the code in memory


def build_kernel(matrices: NDArray[np.int8], starts: NDArray[np.int64]) -> KernelWeights:
    """The kernel for matrices (units, inputs, outputs) and starts (units, outputs)."""
    code = _compile(vectors_for(starts.shape[1]))
    return KernelWeights(code, _pack_matrices(matrices), _pack_starts(starts), starts.shape[1])


def _pack_matrices(matrices: NDArray[np.int8]) -> NDArray[np.int8]:
    """(units, inputs, outputs) as the kernel reads them: (units, blocks of outputs, quads of
    inputs, outputs, 4), with outputs of zeros where the last block has none."""
    units, inputs, outputs = matrices.shape
    blocks, width = blocks_for(outputs), vectors_for(outputs) * LANES
    wide = np.zeros((units, inputs, blocks * width), np.int8)
    wide[:, :, :outputs] = matrices
    quads = wide.reshape(units, inputs // QUAD, QUAD, blocks, width).transpose(0, 3, 1, 4, 2)
    packed = _make_aligned(quads.shape, np.int8)
    packed[...] = quads
    return packed


def _pack_starts(starts: NDArray[np.int64]) -> NDArray[np.int32]:
    """(units, outputs) in int32, modulo 2^32, with zeros where the matrices have zeros."""
    outputs = starts.shape[1]
    width = blocks_for(outputs) * vectors_for(outputs) * LANES
    packed: NDArray[np.int32] = _make_aligned((len(starts), width), np.int32)
    packed[:, :outputs] = starts.astype(np.int32)
    return packed


def _make_aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array of zeros that begins at a whole cache line: measured, others cost a quarter."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + ALIGNMENT_BYTES, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT_BYTES
    aligned: NDArray[Any] = raw[start : start + size].view(dtype).reshape(shape)
    return aligned


@dataclass(frozen=True, slots=True)
class KernelWeights:
    """The machine code, and the weights as it reads them."""

    code: _Code
    packed: NDArray[np.int8]
    starts: NDArray[np.int32]
    outputs: int

    def add_units(
        self,
        table: NDArray[Any],
        row_of: NDArray[np.int32],
        used: NDArray[np.bool_],
        origins: NDArray[np.int64],
        unit_offsets: NDArray[np.int64],
        place_offsets: NDArray[np.int64],
    ) -> NDArray[np.int32]:
        """For every patch, the products and the starts of the units that are used in it. `table`
        holds a multiple of four channels, in unsigned bytes."""
        patches = len(origins)
        begins = np.append(origins, 0).astype(np.int64)  # the last is nobody's, to fill threes up
        chosen = np.empty(patches + PATCHES, np.int64)
        sums: NDArray[np.int32] = _make_aligned((patches + 1, self.starts.shape[1]), np.int32)
        weights = (self.packed, self.starts)
        arrays = (table, row_of, used, begins, unit_offsets, place_offsets, *weights)
        assert all(array.flags.c_contiguous for array in arrays)
        self.code.function(
            *(array.ctypes.data for array in (*arrays, sums, chosen)),
            patches,
            unit_offsets.size,
            place_offsets.size,
            table.shape[1] // QUAD,
            self.packed.shape[1],
        )
        return sums[:-1, : self.outputs]


@functools.cache
def _compile(vectors: int) -> _Code:
    """The kernel for blocks of `vectors` registers of outputs."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )
    module = binding.parse_assembly(str(_module(vectors)))
    module.verify()
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(module, passes)
    owner = binding.create_mcjit_compiler(module, machine)
    owner.finalize_object()
    kinds = [ctypes.c_int64] * 15
    function = ctypes.CFUNCTYPE(None, *kinds)(owner.get_function_address(NAME))
    return _Code(function, owner)


def _module(vectors: int) -> Any:
    """The kernel for LLVM: for each unit, a list of the patches that use it; then, three patches
    at a time, their sums."""
    from llvmlite import ir

    byte, word, long = ir.IntType(8), ir.IntType(32), ir.IntType(64)
    register = ir.VectorType(word, LANES)
    as_bytes = ir.VectorType(byte, ALIGNMENT_BYTES)
    module = ir.Module(NAME)
    product = ir.Function(
        module, ir.FunctionType(register, (register, as_bytes, as_bytes)), PRODUCT
    )
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [long] * 15), NAME)
    build = ir.IRBuilder(function.append_basic_block())
    (table, row_of, used, begins, unit_offsets, place_offsets, packed, starts, sums, chosen) = (
        function.args[:10]
    )
    patches, units, places, quads, blocks = function.args[10:]

    def number(value: int) -> Any:
        return ir.Constant(long, value)

    def pointer(base: Any, index: Any, size: int, kind: Any) -> Any:
        address = build.add(base, build.mul(index, number(size)))
        return build.inttoptr(address, kind.as_pointer())

    def load(base: Any, index: Any, size: int, kind: Any, align: int) -> Any:
        return build.load(pointer(base, index, size, kind), align=align)

    block_bytes = vectors * ALIGNMENT_BYTES
    count_place = build.alloca(long)
    accumulators = [[build.alloca(register) for _ in range(vectors)] for _ in range(PATCHES)]
    row_bytes = build.mul(blocks, number(block_bytes))  # of sums
    steps = build.mul(places, quads)
    channels = build.mul(quads, number(QUAD))
    with _loop(build, units) as unit:
        unit_offset = load(unit_offsets, unit, 8, long, 8)
        build.store(number(0), count_place)
        with _loop(build, patches) as patch:
            at = build.add(load(begins, patch, 8, long, 8), unit_offset)
            count = build.load(count_place)
            build.store(patch, pointer(chosen, count, 8, long), align=8)
            used_place = build.zext(load(used, at, 1, byte, 1), long)
            build.store(build.add(count, used_place), count_place)
        count = build.load(count_place)
        for beyond in range(PATCHES - 1):
            place = pointer(chosen, build.add(count, number(beyond)), 8, long)
            build.store(patches, place, align=8)
        threes = build.udiv(build.add(count, number(PATCHES - 1)), number(PATCHES))
        with _loop(build, blocks) as block:
            at = build.add(build.mul(unit, blocks), block)
            weights = build.add(packed, build.mul(build.mul(at, steps), number(block_bytes)))
            start = build.add(starts, build.mul(at, number(block_bytes)))
            with _loop(build, threes) as three:
                origins, rows = [], []
                for index in range(PATCHES):
                    place = build.add(build.mul(three, number(PATCHES)), number(index))
                    patch = load(chosen, place, 8, long, 8)
                    origins.append(build.add(load(begins, patch, 8, long, 8), unit_offset))
                    row = build.add(sums, build.mul(patch, row_bytes))
                    rows.append(build.add(row, build.mul(block, number(block_bytes))))
                for one in accumulators:
                    for v, place in enumerate(one):
                        build.store(load(start, number(v), 64, register, 64), place)
                with _loop(build, places) as at:
                    offset = load(place_offsets, at, 8, long, 8)
                    addresses = []
                    for origin in origins:
                        line = load(row_of, build.add(origin, offset), 4, word, 4)
                        addresses.append(
                            build.add(table, build.mul(build.zext(line, long), channels))
                        )
                    done = build.mul(at, quads)
                    with _loop(build, quads) as quad:
                        spread = []
                        for line in addresses:
                            four = load(line, quad, QUAD, word, 1)
                            none = ir.Constant(register, ir.Undefined)
                            one = build.insert_element(none, four, ir.Constant(word, 0))
                            zeros = ir.Constant(register, [0] * LANES)
                            all_lanes = build.shuffle_vector(one, none, zeros)
                            spread.append(build.bitcast(all_lanes, as_bytes))
                        step = build.mul(build.add(done, quad), number(vectors))
                        for v in range(vectors):
                            weight = load(weights, build.add(step, number(v)), 64, as_bytes, 64)
                            for own, one in zip(spread, accumulators, strict=True):
                                total = build.call(product, (build.load(one[v]), own, weight))
                                build.store(total, one[v])
                for row, one in zip(rows, accumulators, strict=True):
                    for v, place in enumerate(one):
                        before = load(row, number(v), 64, register, 64)
                        after = build.add(before, build.load(place))
                        build.store(after, pointer(row, number(v), 64, register), align=64)
    build.ret_void()
    return module


@contextmanager
def _loop(build: Any, count: Any) -> Iterator[Any]:
    """A loop of so many turns around what is built inside; yields the turn's number."""
    from llvmlite import ir

    kind = count.type
    before = build.block
    head, body, behind = (build.append_basic_block() for _ in range(3))
    build.branch(head)
    build.position_at_end(head)
    turn = build.phi(kind)
    turn.add_incoming(ir.Constant(kind, 0), before)
    build.cbranch(build.icmp_unsigned("<", turn, count), body, behind)
    build.position_at_end(body)
    yield turn
    turn.add_incoming(build.add(turn, ir.Constant(kind, 1)), build.block)
    build.branch(head)
    build.position_at_end(behind)
