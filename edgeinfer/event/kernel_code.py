# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The machine code of the products of bytes, by llvmlite.

A unit is up to eight pieces of a patch. Its patches are put in order of the pieces that charge
touches in them, so that three neighbours nearly always need the same ones. The sums of three
patches times 128 outputs then stay in 24 registers while the channels of these pieces stream past,
straight from the table of places. One instruction multiplies four unsigned bytes by four signed
ones and adds them to an int32, without saturation.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from typing import Any

from edgeinfer.base.machine_code import (
    MachineCode,
    build_load,
    build_pointer,
    compile_function,
    loop,
)

PATCHES = 3  # whose sums stay in registers
LANES = 16  # outputs in a register
MOST_VECTORS = 8  # registers of outputs for each patch
QUAD = 4  # channels in one instruction
ALIGNMENT_BYTES = 64
PATTERN_SHIFT = 32  # an entry of a list: the pattern of used pieces above the number of the patch
PRODUCT = "llvm.x86.avx512.vpdpbusd.512"
NAME = "add_units"


@dataclass(frozen=True, slots=True)
class _Arguments:
    """What the function is called with, in this order: addresses, then numbers."""

    table: Any  # bytes (rows, channels)
    row_of: Any  # int32, flat over the plane
    patterns: Any  # byte, flat: bits of the used pieces of the unit that begins here
    begins: Any  # int64: where each patch begins, and one more for nobody
    unit_offsets: Any  # int64 (units)
    place_offsets: Any  # int64 (pieces, places)
    packed: Any  # bytes (units, blocks, pieces, places, quads, outputs, 4)
    starts: Any  # int32 (units, blocks, pieces, outputs)
    valid: Any  # byte (units): bits of the pieces that lie in the patch
    sums: Any  # int32 (patches + 1, blocks, outputs)
    chosen: Any  # scratch: a list of patches
    ordered: Any  # scratch: the same list in order
    ranks: Any  # scratch: int64 (patterns)
    patches: Any
    units: Any
    pieces: Any
    places: Any  # of a piece
    quads: Any
    blocks: Any


@functools.cache
def compile_kernel(vectors: int) -> MachineCode:
    """The kernel for blocks of `vectors` registers of outputs."""
    return compile_function(_build_function(vectors))


def _build_function(vectors: int) -> Any:
    """The kernel for LLVM. It returns how many pieces of patches it has multiplied."""
    from llvmlite import ir

    long, byte = ir.IntType(64), ir.IntType(8)
    module = ir.Module(NAME)
    kind = ir.FunctionType(long, [long] * len(fields(_Arguments)))
    function = ir.Function(module, kind, NAME)
    build = ir.IRBuilder(function.append_basic_block())
    args = _Arguments(*function.args)
    add_three = _ThreePatches.declare(module, build, vectors)
    made = _variable(build, long)
    build.store(long(0), made)
    with loop(build, args.units) as unit:
        unit_offset = build_load(build, args.unit_offsets, unit, long)
        valid = build_load(build, args.valid, unit, byte)
        count = _list_patches(build, args, unit_offset, valid)
        _order_entries(build, args, count)
        threes = build.udiv(build.add(count, long(PATCHES - 1)), long(PATCHES))
        with loop(build, args.blocks) as block, loop(build, threes) as three:
            pieces = add_three.emit(build, args, (unit, unit_offset, block, three))
            rest = build.sub(count, build.mul(three, long(PATCHES)))
            real = build.select(build.icmp_unsigned("<", rest, long(PATCHES)), rest, long(PATCHES))
            build.store(build.add(build.load(made), build.mul(pieces, real)), made)
    build.ret(build.load(made))
    return function


def _list_patches(build: Any, args: _Arguments, unit_offset: Any, valid: Any) -> Any:
    """Fill `chosen` with the patches that use a piece of the unit; yields how many they are."""
    from llvmlite import ir

    long, byte = ir.IntType(64), ir.IntType(8)
    count = _variable(build, long)
    build.store(long(0), count)
    with loop(build, args.patches) as patch:
        at = build.add(build_load(build, args.begins, patch, long), unit_offset)
        pattern = build.zext(build.and_(build_load(build, args.patterns, at, byte), valid), long)
        entry = build.or_(patch, build.shl(pattern, long(PATTERN_SHIFT)))
        # Written in any case, and kept where the next one goes behind it: no branch to guess.
        before = build.load(count)
        build.store(entry, build_pointer(build, args.chosen, before, long))
        used = build.zext(build.icmp_unsigned("!=", pattern, long(0)), long)
        build.store(build.add(before, used), count)
    return build.load(count)


def _order_entries(build: Any, args: _Arguments, count: Any) -> None:
    """Put the chosen entries into `ordered` by their patterns, and nobody behind them."""
    from llvmlite import ir

    long = ir.IntType(64)
    patterns = build.shl(long(1), args.pieces)
    with loop(build, patterns) as pattern:
        build.store(long(0), build_pointer(build, args.ranks, pattern, long))
    with loop(build, count) as at:
        entry = build_load(build, args.chosen, at, long)
        rank = build_pointer(build, args.ranks, build.lshr(entry, long(PATTERN_SHIFT)), long)
        build.store(build.add(build.load(rank), long(1)), rank)
    smaller = _variable(build, long)
    build.store(long(0), smaller)
    with loop(build, patterns) as pattern:
        rank = build_pointer(build, args.ranks, pattern, long)
        before, own = build.load(smaller), build.load(rank)
        build.store(before, rank)
        build.store(build.add(before, own), smaller)
    with loop(build, count) as at:
        entry = build_load(build, args.chosen, at, long)
        rank = build_pointer(build, args.ranks, build.lshr(entry, long(PATTERN_SHIFT)), long)
        place = build.load(rank)
        build.store(entry, build_pointer(build, args.ordered, place, long))
        build.store(build.add(place, long(1)), rank)
    for beyond in range(PATCHES - 1):
        place = build.add(count, long(beyond))
        build.store(args.patches, build_pointer(build, args.ordered, place, long))


@dataclass(frozen=True, slots=True)
class _ThreePatches:
    """The products of three patches with one block of a unit's weights."""

    product: Any
    vectors: int
    accumulators: list[list[Any]]  # of each patch, of each register of outputs
    left: Any  # the pieces that are still to do

    @staticmethod
    def declare(module: Any, build: Any, vectors: int) -> _ThreePatches:
        """A call of the instruction, and variables for the sums."""
        from llvmlite import ir

        register = ir.VectorType(ir.IntType(32), LANES)
        as_bytes = ir.VectorType(ir.IntType(8), ALIGNMENT_BYTES)
        kind = ir.FunctionType(register, (register, as_bytes, as_bytes))
        sums = [[_variable(build, register) for _ in range(vectors)] for _ in range(PATCHES)]
        left = _variable(build, ir.IntType(64))
        return _ThreePatches(ir.Function(module, kind, PRODUCT), vectors, sums, left)

    def emit(self, build: Any, args: _Arguments, at: tuple[Any, Any, Any, Any]) -> Any:
        """Add the pieces that any of the three patches uses; yields how many they are."""
        from llvmlite import ir

        long = ir.IntType(64)
        register = ir.VectorType(ir.IntType(32), LANES)
        unit, unit_offset, block, three = at
        block_bytes = long(self.vectors * ALIGNMENT_BYTES)
        first_piece = build.mul(build.add(build.mul(unit, args.blocks), block), args.pieces)
        origins, rows, union = [], [], long(0)
        for index in range(PATCHES):
            place = build.add(build.mul(three, long(PATCHES)), long(index))
            entry = build_load(build, args.ordered, place, long)
            union = build.or_(union, build.lshr(entry, long(PATTERN_SHIFT)))
            patch = build.and_(entry, long((1 << PATTERN_SHIFT) - 1))
            origins.append(build.add(build_load(build, args.begins, patch, long), unit_offset))
            row = build.add(build.mul(patch, args.blocks), block)
            rows.append(build.add(args.sums, build.mul(row, block_bytes)))
        for row, registers in zip(rows, self.accumulators, strict=True):
            for v, variable in enumerate(registers):
                build.store(build_load(build, row, v, register), variable)
        build.store(union, self.left)
        pieces = build.ctpop(union)
        with loop(build, pieces):
            left = build.load(self.left)
            piece = build.cttz(left, ir.IntType(1)(1))
            build.store(build.and_(left, build.sub(left, long(1))), self.left)
            number = build.add(first_piece, piece)
            start = build.add(args.starts, build.mul(number, block_bytes))
            for v in range(self.vectors):
                term = build_load(build, start, v, register)
                for registers in self.accumulators:
                    build.store(build.add(build.load(registers[v]), term), registers[v])
            with loop(build, args.places) as place:
                step = build.add(build.mul(number, args.places), place)
                weights = build.mul(build.mul(step, args.quads), block_bytes)
                offset = build.add(build.mul(piece, args.places), place)
                away = build_load(build, args.place_offsets, offset, long)
                lines = [self._find_line(build, args, build.add(o, away)) for o in origins]
                self._multiply(build, args, lines, build.add(args.packed, weights))
        for row, registers in zip(rows, self.accumulators, strict=True):
            for v, variable in enumerate(registers):
                place = build_pointer(build, row, v, register)
                build.store(build.load(variable), place, align=64)
        return pieces

    def _find_line(self, build: Any, args: _Arguments, place: Any) -> Any:
        """The address of a place's channels."""
        from llvmlite import ir

        row = build.zext(build_load(build, args.row_of, place, ir.IntType(32)), ir.IntType(64))
        quad = build.mul(row, args.quads)
        return build.add(args.table, build.mul(quad, ir.IntType(64)(QUAD)))

    def _multiply(self, build: Any, args: _Arguments, lines: list[Any], weights: Any) -> None:
        """Four channels of each patch at a time, spread over a register, by all outputs."""
        from llvmlite import ir

        long, word = ir.IntType(64), ir.IntType(32)
        register = ir.VectorType(word, LANES)
        as_bytes = ir.VectorType(ir.IntType(8), ALIGNMENT_BYTES)
        with loop(build, args.quads) as quad:
            spread = []
            for line in lines:
                four = build_load(build, line, quad, word, align=1)
                none = ir.Constant(register, ir.Undefined)
                one = build.insert_element(none, four, word(0))
                all_lanes = build.shuffle_vector(one, none, ir.Constant(register, [0] * LANES))
                spread.append(build.bitcast(all_lanes, as_bytes))
            for v in range(self.vectors):
                step = build.add(build.mul(quad, long(self.vectors)), long(v))
                weight = build_load(build, weights, step, as_bytes)
                for own, registers in zip(spread, self.accumulators, strict=True):
                    total = build.call(self.product, (build.load(registers[v]), own, weight))
                    build.store(total, registers[v])


def _variable(build: Any, kind: Any) -> Any:
    """Memory at the function's entry, which LLVM turns into a register."""
    with build.goto_entry_block():
        return build.alloca(kind)
