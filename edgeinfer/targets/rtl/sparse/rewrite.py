# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A sparse Program as what the blocks for tokens make of it.

The engine's proof says which values need to be known at which sites alone. Those become tokens:
multiplying one by its mask then changes nothing, and a convolution is a window around each site and
a dense layer. Where its channels are in groups it is one over these windows, side by side. All
other ops stay what they are, and read frames.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from edgeinfer.base.errors import Offence
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.engine.site_sets import PoolWindow, SiteSearch, SiteSet
from edgeinfer.ir.engine.space_to_pixels import SpaceToPixels, join_moves
from edgeinfer.ir.engine.uneven import tell_uneven
from edgeinfer.ir.ops import (
    Constant,
    Conv,
    Dense,
    Op,
    Pool,
    PoolKind,
    Reshape,
    Sites,
    Slice,
    inputs_of,
    pack_weights,
)
from edgeinfer.ir.passes import rewire_op
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.design.layers import pointwise
from edgeinfer.targets.rtl.sparse import ops as s

IMAGE_AXES = 3  # of an image with its channels
MOST_SITES = 4096  # of a frame: queues hold so many tokens
LIT = ".lit"  # behind a mask's name: its pixels as tokens


@dataclass(frozen=True, slots=True)
class TokenProgram:
    """The ops of a design in tokens, and what of the Program has no place in it. `tokens`
    are the values that come as tokens."""

    program: Program
    tokens: frozenset[str]
    offences: tuple[Offence, ...]


class _NoTokensError(Exception):
    """Why an op cannot be done on tokens."""


@functools.lru_cache(maxsize=1)
def in_tokens(program: Program) -> TokenProgram:
    """A prepared Program, whose sites have not been spelled out, in tokens. Kept, because many
    designs of one Program are tried."""
    return in_fewer_tokens(program, MOST_SITES)


def in_fewer_tokens(program: Program, most: int) -> TokenProgram:
    """The same for frames of so many sites, where fewer than the Program allows are looked at."""
    types = {op.name: op.type for op in program.ops}
    kept = [output.value for output in program.outputs]
    ops_joined = join_moves(program.ops, program.shapes, kept)
    search = SiteSearch(ops_joined, bounds_of(program), types, program.shapes, kept)
    site_sets = search.run()
    if not site_sets:
        reason = "no mask of lit pixels follows a convolution, so that nothing is sparse"
        reason += tell_uneven(search, kept)
        return TokenProgram(program, frozenset(), (Offence(program.name, "Program", reason),))
    rewriting = _Rewriting(program, search, site_sets, most)
    for op in ops_joined:
        rewriting.add(op)
    outputs = tuple(rewriting.output(output) for output in program.outputs)
    if rewriting.offences:
        return TokenProgram(program, frozenset(), tuple(rewriting.offences))
    # Ops for tokens are those of this target alone; all that looks at a Program knows the others.
    ops = cast("tuple[Op, ...]", tuple(rewriting.ops))
    return TokenProgram(Program(program.name, ops, outputs), frozenset(rewriting.tokens), ())


@dataclass(slots=True)
class _Rewriting:
    """The ops so far, and where what they make lies."""

    program: Program
    search: SiteSearch
    site_sets: dict[str, SiteSet]
    most: int
    ops: list[Op | s.SiteOp] = field(default_factory=list)
    offences: list[Offence] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    tokens: dict[str, SiteSet] = field(default_factory=dict)  # values that come as tokens
    grids: dict[SiteSet, s.SiteGrid] = field(default_factory=dict)
    lists: dict[SiteSet, str] = field(default_factory=dict)
    fronts: dict[SiteSet, tuple[str, str]] = field(default_factory=dict)  # a frame, its tokens
    frames: dict[str, str] = field(default_factory=dict)  # of tokens, as a frame again

    def add(self, op: Op) -> None:
        """Append an op in its new form."""
        try:
            if op.name in self.search.masks and not isinstance(op, Constant):
                self.mask(op)
            elif op.name in self.site_sets:
                self.at_sites(op, self.site_sets[op.name])
            else:
                self.dense(op)
        except _NoTokensError as error:
            # What reads it has the same trouble, which need not be told again.
            if self.refused.isdisjoint(inputs_of(op)):
                reason = f"{error}{tell_uneven(self.search, inputs_of(op))}"
                self.offences.append(Offence(op.name, type(op).__name__, reason))
            self.refused.add(op.name)

    def output(self, output: Output) -> Output:
        """A result, which leaves as a frame."""
        try:
            return replace(output, value=self.everywhere(output.value))
        except _NoTokensError as error:
            reason = f"{error}{tell_uneven(self.search, (output.value,))}"
            self.offences.append(Offence(output.name, "Output", reason))
            return output

    def mask(self, op: Op) -> None:
        """A mask is no value: its list of places stands for it."""
        sites = self.search.masks[op.name]
        if isinstance(op, Sites):
            self.front(op, sites)
        elif isinstance(op, Pool) and op.x in self.search.masks:
            self.list_of(sites)
        else:
            self.dense(op)

    def front(self, op: Sites, sites: SiteSet) -> None:
        shape = self.program.shapes[op.x]
        if len(shape) != IMAGE_AXES:
            raise _NoTokensError(f"its sites lie in a value of {shape}, which is no image")
        height, width = shape[:-1]
        most = min(op.most or height * width, height * width)
        if most > MOST_SITES:
            raise _NoTokensError(
                f"it has up to {most:,} sites, and designs in tokens hold up to {MOST_SITES:,}. "
                "Give the model a limit (most)"
            )
        x, look = op.x, (True,) * shape[-1]
        seen = self.program[x]
        if isinstance(seen, Slice) and self.program.shapes[seen.x][:-1] == shape[:-1]:
            chosen = range(seen.starts[-1], seen.stops[-1], seen.steps[-1])
            channels = self.program.shapes[seen.x][-1]
            x, look = seen.x, tuple(channel in chosen for channel in range(channels))
        grid = s.SiteGrid(height, width, min(most, self.most))
        name, places = f"{op.name}{LIT}", f"{op.name}.places"
        type_ = self.program.type(x)
        self.ops.append(s.SiteFront(name, type_, x, places, op.threshold, look, grid))
        self.ops.append(s.SiteList(places, grid.place_type, grid))
        self.grids[sites], self.lists[sites], self.fronts[sites] = grid, places, (x, name)
        self.tokens[name] = sites

    def list_of(self, sites: SiteSet) -> str:
        """The list of a set's places, made of the finer one where it is not there yet."""
        if sites in self.lists:
            return self.lists[sites]
        if not sites.pooled:
            raise _NoTokensError(f"its mask %{sites.mask} is not made by a threshold")
        *before, step = sites.pooled
        sizes = self._sizes_before(sites)
        finer = SiteSet(sites.mask, sizes, tuple(before))
        places, grid = self.list_of(finer), self.grids[finer]
        if step.window != step.strides or any(map(any, step.pads)):
            raise _NoTokensError(
                f"a window of {step.window} with strides of {step.strides} overlaps others or its "
                "image's border; windows on tokens that make coarser sites are tiles"
            )
        tiles = grid.tiles(step.window)
        name = f"{places}.{tiles.height}x{tiles.width}"
        self.ops.append(s.SiteCoarsen(name, tiles.place_type, places, grid, step.window))
        self.grids[sites], self.lists[sites] = tiles, name
        return name

    def _sizes_before(self, sites: SiteSet) -> tuple[int, ...]:
        """The sizes of the image whose tiles are a set's pixels."""
        for list_before in self.lists:
            if list_before.mask == sites.mask and list_before.pooled == sites.pooled[:-1]:
                return list_before.sizes
        raise _NoTokensError(f"the mask %{sites.mask} has no sites at the level before it")

    def at_sites(self, op: Op, sites: SiteSet) -> None:
        """An op of which only what lies at sites counts."""
        places = self.list_of(sites)
        masking = self.search.masking(op)
        if masking is not None:
            self.rename(op, self.bring(masking[0], sites), sites)
            return
        match op:
            case Conv() if not pointwise(op):
                new: Op = self.conv(op, sites, places)
            case Pool():
                self.pool(op, sites)
                return
            case SpaceToPixels():
                self.up(op, sites)
                return
            case _:  # it looks at one pixel at a time, or it would not be at sites
                new = rewire_op(op, {x: self.operand(x, sites) for x in inputs_of(op)})
        self.ops.append(new)
        self.tokens[op.name] = sites

    def rename(self, op: Op, x: str, sites: SiteSet) -> None:
        """The same tokens under another name, in a type of another width."""
        shape = (1, self.grids[sites].sites, self.program.shapes[op.name][-1])
        self.ops.append(Reshape(op.name, op.type, x, shape))
        self.tokens[op.name] = sites

    def conv(self, op: Conv, sites: SiteSet, places: str) -> Dense | Conv:
        fine = self.tokens.get(op.x)
        if fine is None or self.search.empty.get(op.x) != fine:
            raise _NoTokensError(
                f"it reads %{op.x}, which is not proved to be zero beside the lit pixels"
            )
        grid, coarse = self.grids[fine], self.grids[sites]
        name = f"{op.name}.window"
        pads = (op.pads[0][0], op.pads[1][0])
        type_ = self.program.type(op.x)
        if fine == sites and not any(step > 1 for step in op.strides):
            self.ops.append(
                s.SiteAround(name, type_, op.x, places, grid, op.window, op.dilation, pads)
            )
        else:
            self.ops.append(
                s.SiteWindow(
                    name, type_, op.x, self.lists[fine], places, grid, coarse, op.window,
                    op.strides, op.dilation, pads,
                )
            )  # fmt: skip
        channels, taps = self.program.shapes[op.x][-1], math.prod(op.window)
        weight = op.weight.astype(np.int64).transpose(1, 0, 2, 3)  # column by column
        by_tap = weight.reshape(1, taps, *weight.shape[2:])
        if op.groups == 1:
            matrix = pack_weights(by_tap.reshape(taps * channels, -1))
            return Dense(op.name, op.type, name, matrix, op.weight_type, op.bias)
        # Each group looks at channels of its own: the taps of all windows are an image of one row,
        # which windows as long as they are tile.
        row = Reshape(f"{op.name}.taps", type_, name, (1, coarse.sites * taps, channels))
        self.ops.append(row)
        ones, no_pads = (1, 1), ((0, 0), (0, 0))
        return Conv(
            op.name, op.type, row.name, pack_weights(by_tap), op.weight_type, op.bias, (1, taps),
            no_pads, ones, op.groups,
        )  # fmt: skip

    def pool(self, op: Pool, sites: SiteSet) -> None:
        fine = self.tokens.get(op.x)
        if fine is None:
            raise _NoTokensError(
                f"it reads %{op.x}, which is not proved to be zero beside the lit pixels"
            )
        add = op.kind is PoolKind.SUM
        grid = self.grids[fine]
        self.ops.append(s.SitePool(op.name, op.type, op.x, self.lists[fine], grid, op.window, add))
        self.tokens[op.name] = sites

    def up(self, op: SpaceToPixels, sites: SiteSet) -> None:
        coarse = sites.pool(PoolWindow(op.factors, op.factors, ((0, 0),) * len(op.factors)))
        x, grid = self.bring(op.x, coarse), self.grids[sites]
        places = self.lists[coarse], self.lists[sites]
        self.ops.append(s.SiteUp(op.name, op.type, x, *places, grid, op.factors))
        self.tokens[op.name] = sites

    def bring(self, x: str, sites: SiteSet) -> str:
        """A value at sites: it is there, or it is the frame that they were found in."""
        if self.tokens.get(x) == sites:
            return x
        source, tokens = self.fronts.get(sites, ("", ""))
        if x == source:
            return tokens
        raise _NoTokensError(
            f"it reads %{x} at lit pixels alone, and that is made everywhere: only the value in "
            "which a threshold finds them becomes tokens"
        )

    def operand(self, x: str, sites: SiteSet) -> str:
        return x if x in self.search.constants else self.bring(x, sites)

    def dense(self, op: Op) -> None:
        """An op that reads frames."""
        self.ops.append(rewire_op(op, {x: self.everywhere(x) for x in inputs_of(op)}))

    def everywhere(self, x: str) -> str:
        """A value as a frame."""
        if x in self.search.masks and x not in self.search.constants:
            reads = isinstance(self.program[x], Sites) or self.search.masks[x].pooled
            if reads:
                raise _NoTokensError(f"it reads the mask %{x}, which is a list of places here")
        if x not in self.tokens:
            return x
        if x not in self.frames:
            sites = self.tokens[x]
            frame = s.SiteSpread(
                f"{x}.everywhere", self.program.type(x), x, self.lists[sites], self.grids[sites]
            )
            self.ops.append(frame)
            self.frames[x] = frame.name
        return self.frames[x]
