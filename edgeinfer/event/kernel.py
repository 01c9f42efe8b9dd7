# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Products of bytes with the processor's own dot-product instruction (AVX-512 VNNI), by llvmlite.

The channels of places are read where they are: nothing is gathered, and no product is stored. The
sums are right modulo 2^32. `kernel_code.py` has the loops.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.machine_code import MachineCode, has_llvmlite
from edgeinfer.event.kernel_code import (
    ALIGNMENT_BYTES,
    LANES,
    MOST_VECTORS,
    PATCHES,
    QUAD,
    compile_kernel,
)

FEATURES = ("avx512f", "avx512vnni")


@functools.cache
def kernel_obstacle() -> str:
    """Why this process cannot use the kernel; empty where it can."""
    if not has_llvmlite():
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


def build_kernel(
    matrices: NDArray[np.int8], starts: NDArray[np.int64], inside: NDArray[np.uint8]
) -> KernelWeights:
    """The kernel for matrices (units, pieces x inputs, outputs), starts (units, pieces, outputs),
    and the bits of the pieces that lie in the patch (units,)."""
    outputs = starts.shape[2]
    code = compile_kernel(vectors_for(outputs))
    return KernelWeights(code, _pack_matrices(matrices), _pack_starts(starts), inside, outputs)


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
    """(units, pieces, outputs) as (units, blocks, pieces, outputs) in int32, modulo 2^32, with
    zeros where the matrices have zeros."""
    units, pieces, outputs = starts.shape
    blocks, width = blocks_for(outputs), vectors_for(outputs) * LANES
    wide = np.zeros((units, pieces, blocks * width), np.int32)
    wide[:, :, :outputs] = starts.astype(np.int32)
    by_block = wide.reshape(units, pieces, blocks, width).transpose(0, 2, 1, 3)
    packed: NDArray[np.int32] = _make_aligned(by_block.shape, np.int32)
    packed[...] = by_block
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

    code: MachineCode
    packed: NDArray[np.int8]
    starts: NDArray[np.int32]
    inside: NDArray[np.uint8]  # bits of the pieces that lie in the patch
    outputs: int

    def add_units(
        self,
        table: NDArray[Any],
        row_of: NDArray[np.int32],
        patterns: NDArray[np.uint8],
        origins: NDArray[np.int64],
        unit_offsets: NDArray[np.int64],
        place_offsets: NDArray[np.int64],
    ) -> tuple[NDArray[np.int32], int]:
        """For every patch, the products and the starts of the pieces that are used in it; and how
        many pieces were multiplied. `table` holds a multiple of four channels, in unsigned bytes;
        `patterns` has a bit for each used piece of the unit that begins at a place."""
        patches, pieces = len(origins), self.starts.shape[2]
        begins = np.append(origins, 0).astype(np.int64)  # the last is nobody's, to fill threes up
        chosen, ordered = np.empty((2, patches + PATCHES), np.int64)
        ranks = np.empty(1 << pieces, np.int64)
        width = self.packed.shape[1] * self.starts.shape[3]
        sums: NDArray[np.int32] = _make_aligned((patches + 1, width), np.int32)
        weights = (self.packed, self.starts, self.inside)
        arrays = (table, row_of, patterns, begins, unit_offsets, place_offsets, *weights)
        assert all(array.flags.c_contiguous for array in arrays)
        made = self.code.function(
            *(array.ctypes.data for array in (*arrays, sums, chosen, ordered, ranks)),
            patches,
            unit_offsets.size,
            pieces,
            place_offsets.size // pieces,
            table.shape[1] // QUAD,
            self.packed.shape[1],
        )
        return sums[:-1, : self.outputs], int(made) // self.packed.shape[1]
