# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Channels of a coarse pixel that become finer pixels: what a reshape, a transpose and a reshape
do when a transposed convolution tiles its image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from edgeinfer.graph.moves import Shape
from edgeinfer.ir.ops import Moves, Op, Reshape, Transpose, inputs_of


@dataclass(frozen=True, slots=True, eq=False)
class SpaceToPixels(Moves):
    """(*sizes, prod(factors) channels) becomes (*(sizes factors), channels)."""

    factors: Shape

    def move(self, x: NDArray[Any], fill: float) -> NDArray[Any]:
        sizes, rank = x.shape[:-1], len(self.factors)
        apart = x.reshape(*sizes, *self.factors, -1)
        together = apart.transpose(interleave_axes(rank))
        fine = (size * factor for size, factor in zip(sizes, self.factors, strict=True))
        return together.reshape(*fine, -1)


def interleave_axes(rank: int) -> Shape:
    """The order of axes that puts the factor of each axis behind it."""
    pairs = zip(range(rank), range(rank, 2 * rank), strict=True)
    return (*(axis for pair in pairs for axis in pair), 2 * rank)


def join_moves(
    ops: Sequence[Op], shapes: dict[str, Shape], kept: Collection[str]
) -> tuple[Op, ...]:
    """The ops with every such three moves as one."""
    readers = Counter(x for op in ops for x in inputs_of(op))
    ops_by_name = {op.name: op for op in ops}
    joined: dict[str, Op] = {}
    removed: set[str] = set()
    for op in ops:
        turned = ops_by_name.get(op.x) if isinstance(op, Reshape) else None
        apart = ops_by_name.get(turned.x) if isinstance(turned, Transpose) else None
        if not isinstance(apart, Reshape) or not isinstance(turned, Transpose):
            continue
        if any(readers[each.name] > 1 or each.name in kept for each in (turned, apart)):
            continue
        source, rank = shapes[apart.x], len(shapes[apart.x]) - 1
        factors = apart.shape[rank : 2 * rank]
        if len(apart.shape) != 2 * rank + 1 or apart.shape[:rank] != source[:-1]:
            continue
        whole = SpaceToPixels(op.name, op.type, apart.x, factors)
        if turned.order == interleave_axes(rank) and whole.shape_of(source) == shapes[op.name]:
            joined[op.name] = whole
            removed |= {turned.name, apart.name}
    return tuple(joined.get(op.name, op) for op in ops if op.name not in removed)
