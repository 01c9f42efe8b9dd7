# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A rewritten Program whose values are held as rows at sites where that is proved to suffice.

Where an op wants a value at other sites than those at which it is held, or everywhere, a reshape to
the same shape stands between: it means nothing, and the engine brings the rows there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgeinfer.ir.bounds import hull, join_pixels
from edgeinfer.ir.engine.rewrite import RewrittenProgram
from edgeinfer.ir.engine.site_sets import SiteSearch, SiteSet
from edgeinfer.ir.engine.space_to_pixels import SpaceToPixels, join_moves
from edgeinfer.ir.ops import Concat, Constant, Conv, Op, Pool, Reshape, Shape, Softmax, inputs_of
from edgeinfer.ir.passes import rewire_op
from quantization.ranges import Interval, of_values

NOTHING = of_values(np.zeros((), np.int64))


def place_at_sites(state: RewrittenProgram, kept: Sequence[str]) -> RewrittenProgram:
    """The Program with rows where they pay; as it is where no mask makes anything sparse."""
    ops = join_moves(state.ops, state.shapes, kept)
    search = SiteSearch(ops, state.ranges, state.types, state.shapes, kept)
    placed_sets = search.run()
    if not placed_sets:
        return state
    placed = _Placement(search, dict(state.shapes), dict(state.ranges), dict(placed_sets))
    for op in ops:
        placed.add(op)
    images = {name: state.shapes[name] for name in placed_sets} | placed.images
    return RewrittenProgram(
        tuple(placed.ops), placed.ranges, placed.shapes, state.limits, placed.site_sets, images
    )


class _Placement:
    """The ops so far, and what is known of them where they are held."""

    def __init__(
        self,
        search: SiteSearch,
        shapes: dict[str, Shape],
        ranges: dict[str, Interval],
        site_sets: dict[str, SiteSet],
    ) -> None:
        self.search, self.shapes, self.ranges, self.site_sets = search, shapes, ranges, site_sets
        self.ops: list[Op] = []
        self.images: dict[str, Shape] = {}
        self._there: dict[tuple[str, SiteSet | None], str] = {}

    def add(self, op: Op) -> None:
        """Append an op, and before it what brings its operands to where it reads them."""
        sites, masking = self.site_sets.get(op.name), self.search.masking(op)
        if masking is not None and self.search.is_plain(masking[1]):
            op = Reshape(op.name, op.type, masking[0], self.shapes[op.name])
        elif sites is None or not isinstance(op, Conv | Pool | SpaceToPixels):
            reads = {x: self._bring(x, sites) for x in inputs_of(op)}
            op = rewire_op(op, reads)
            if sites is not None and isinstance(op, Concat | Softmax):
                op = replace(op, axis=0)
        self.ops.append(op)
        if sites is not None:
            self._note(op.name, self.shapes[op.name])

    def _note(self, name: str, image: Shape) -> None:
        self.images[name], self.shapes[name] = image, image[-1:]
        self.ranges[name] = join_pixels(self.ranges[name], image)

    def _bring(self, x: str, sites: SiteSet | None) -> str:
        """The value at these sites, or everywhere."""
        constant = self.search.constants.get(x)
        if self.site_sets.get(x) == sites or (constant is not None and sites is None):
            return x
        if (x, sites) not in self._there:
            self._there[x, sites] = self._brought(x, sites, constant)
        return self._there[x, sites]

    def _brought(self, x: str, sites: SiteSet | None, constant: Constant | None) -> str:
        name = f"{x} there {len(self._there)}"
        if constant is not None:
            value = constant.value.reshape(constant.value.shape[-1:])
            self.ops.append(replace(constant, name=name, value=value))
            self.shapes[name], self.ranges[name] = (
                value.shape,
                join_pixels(self.ranges[x], self.shapes[x]),
            )
            return name
        image = self.images.get(x, self.shapes[x])
        self.ops.append(Reshape(name, self.search.types[x], x, image))
        self.shapes[name] = image
        self.ranges[name] = hull(join_pixels(self.ranges[x], image), NOTHING)
        if sites is not None:
            self.site_sets[name] = sites
            self._note(name, image)
        return name
