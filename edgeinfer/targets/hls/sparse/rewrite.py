# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A sparse Program as what a project in tokens makes of it.

The engine's proof says which values need to be known at which sites alone. Those become tokens:
multiplying one by its mask then changes nothing, and a convolution is a window around each site and
a dense layer. Masks, and all that is not sparse, are frames as before.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from edgeinfer.base.errors import Offence, UnsupportedModelError
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.engine.site_sets import PoolWindow, SiteSearch, SiteSet
from edgeinfer.ir.engine.space_to_pixels import SpaceToPixels, join_moves
from edgeinfer.ir.engine.uneven import tell_uneven
from edgeinfer.ir.ops import (
    Constant,
    Conv,
    Dense,
    Input,
    Op,
    Pool,
    PoolKind,
    Requant,
    Reshape,
    Scan,
    Sites,
    inputs_of,
    pack_weights,
)
from edgeinfer.ir.passes import drop_dead, fold_constants, rewire_op
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.project.native_layers import ungroup_kernel
from edgeinfer.targets.hls.sparse import ops as s
from quantization.fixed import Overflow, Rounding
from quantization.ranges import Interval

MOST_SITES = 4096  # of a frame: lists are so long
IMAGE_AXES = 2  # at most, beside the channels
LIST_READERS = 6  # of one stream: hls4ml has one more, which the next copy takes


@dataclass(frozen=True, slots=True)
class LaidProgram:
    """The ops of a project: those of the Program, or those in tokens. `shown` says which value of
    the Program another value is; None for tokens, which are no frames."""

    program: Program
    ranges: Mapping[str, Interval]
    shown: Mapping[str, str | None]
    offences: tuple[Offence, ...]


def tokens_of(program: Program) -> Program:
    """The ops in tokens; an error that says what has no place in them."""
    laid = lay_program(program, "tokens")
    if laid.offences:
        raise UnsupportedModelError(f"{program.name} as an HLS project in tokens", laid.offences)
    return laid.program


class _NoTokensError(Exception):
    """Why an op cannot be done on tokens."""


@functools.lru_cache(maxsize=2)
def lay_program(program: Program, sparse: str) -> LaidProgram:
    """A Program without what no output needs, in frames or in tokens. Kept, because a project and
    its estimate ask for the same."""
    live = _with_axes(drop_dead(fold_constants(program)))
    ranges = bounds_of(live)
    if sparse == "frames":
        return LaidProgram(live, ranges, {}, ())
    outputs = [output.value for output in live.outputs]
    joined = Program(live.name, join_moves(live.ops, dict(live.shapes), outputs), live.outputs)
    types = {op.name: op.type for op in joined.ops}
    search = SiteSearch(joined.ops, ranges, types, joined.shapes, outputs)
    site_sets = search.run()
    if not site_sets:
        reason = "no mask of lit pixels follows a convolution, so that nothing is sparse"
        remedy = tell_uneven(search, outputs) or ". Leave out --sparse tokens"
        offence = Offence(program.name, "Program", f"{reason}{remedy}")
        return LaidProgram(live, ranges, {}, (offence,))
    rewriting = _Rewriting(joined, search, site_sets, dict(ranges))
    for op in joined.ops:
        rewriting.add(op)
    outputs_laid = [replace(out, value=rewriting.output(out.value)) for out in joined.outputs]
    if rewriting.offences:
        return LaidProgram(live, ranges, {}, tuple(rewriting.offences))
    # Ops for tokens are those of this target alone; all that looks at a Program knows the others.
    ops = cast("tuple[Op, ...]", tuple(rewriting.ops))
    laid = drop_dead(Program(program.name, ops, tuple(outputs_laid)))
    return LaidProgram(laid, rewriting.ranges, rewriting.shown, ())


def _with_axes(program: Program) -> Program:
    """The same integers, a number of each sample being a vector of one: arrays and streams have an
    axis. Where a recurrence reads or yields numbers its body would need other shapes, so they stay.
    """
    alone = {name for name, shape in program.shapes.items() if not shape}
    scans = [op for op in program.ops if isinstance(op, Scan)]
    if not alone or any(not alone.isdisjoint((op.name, *inputs_of(op))) for op in scans):
        return program
    given: list[Op] = []
    for op in program.ops:
        if op.name in alone and isinstance(op, Reshape | Input):
            given.append(replace(op, shape=(1,)))
        elif op.name in alone and isinstance(op, Constant):
            given.append(replace(op, value=op.value.reshape(1)))
        else:
            given.append(op)
    return replace(program, ops=tuple(given))


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The value that holds tokens, and their sites."""

    value: str
    sites: SiteSet


@dataclass(slots=True)
class _Rewriting:
    """The ops so far, and where what they make lies."""

    program: Program
    search: SiteSearch
    site_sets: Mapping[str, SiteSet]
    ranges: dict[str, Interval]
    ops: list[Op | s.SiteStep] = field(default_factory=list)
    offences: list[Offence] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    tokens: dict[str, _Tokens] = field(default_factory=dict)
    extents: dict[SiteSet, s.SiteExtent] = field(default_factory=dict)
    lists: dict[SiteSet, str] = field(default_factory=dict)  # the last copy of each
    readers: Counter[str] = field(default_factory=Counter)  # of lists
    brought: dict[tuple[str, SiteSet], str] = field(default_factory=dict)
    frames: dict[str, str] = field(default_factory=dict)  # of tokens, as a frame again
    shown: dict[str, str | None] = field(default_factory=dict)

    def add(self, op: Op) -> None:
        """Append an op in its new form."""
        sites = None if op.name in self.search.masks else self.site_sets.get(op.name)
        if not self.refused.isdisjoint(inputs_of(op)):  # with a trouble that has been told
            self.refused.add(op.name)
            return
        try:
            if sites is None:
                self.ops.append(rewire_op(op, {x: self.everywhere(x) for x in inputs_of(op)}))
            else:
                self.at_sites(op, sites)
        except _NoTokensError as error:
            reason = f"{error}{tell_uneven(self.search, inputs_of(op))}"
            self.offences.append(Offence(op.name, type(op).__name__, reason))
            self.refused.add(op.name)

    def output(self, value: str) -> str:
        """A result, which leaves as a frame."""
        try:
            return self.everywhere(value)
        except _NoTokensError as error:
            reason = f"{error}{tell_uneven(self.search, (value,))}"
            self.offences.append(Offence(value, "Output", reason))
            return value

    def at_sites(self, op: Op, sites: SiteSet) -> None:
        """An op of which only what lies at sites counts."""
        masking = self.search.masking(op)
        match op:
            case _ if masking is not None and self.search.is_plain(masking[1]):
                self.rename(op, self.bring(masking[0], sites), sites)
                return
            case SpaceToPixels():
                self.finer(op, sites)
            case Conv():
                self.conv(op, sites)
            case Pool():
                self.pool(op, sites)
            case _:  # it looks at one pixel at a time, or it would not be at sites
                moving = [x for x in inputs_of(op) if x not in self.search.constants]
                self.ops.append(rewire_op(op, {x: self.bring(x, sites) for x in moving}))
        self.hold(op.name, op.name, sites)

    def hold(self, value: str, laid: str, sites: SiteSet) -> None:
        """Note that a value of the Program is there as tokens."""
        self.tokens[value] = _Tokens(laid, sites)
        self.shown[laid] = None

    def rename(self, op: Op, x: str, sites: SiteSet) -> None:
        """The same tokens, if need be in a type of another width."""
        type_ = next(each.type for each in reversed(self.ops) if each.name == x)
        if type_ == op.type:
            self.hold(op.name, x, sites)
            return
        self.ops.append(Requant(op.name, op.type, x, Rounding.TRN, Overflow.WRAP))
        self.hold(op.name, op.name, sites)

    def conv(self, op: Conv, sites: SiteSet) -> None:
        """A window around each site, and a dense layer over all of its taps."""
        pads = tuple(before for before, _ in op.pads)
        taps = s.SiteTaps.of(op.window, op.strides, op.dilation, pads)
        tokens = self.tokens.get(op.x)
        name = f"{op.name}.window"
        if tokens is None:
            x = self.look(name, op.x, sites, taps)
        elif self.search.empty.get(op.x) != tokens.sites:
            raise _NoTokensError(
                f"it reads %{op.x}, which is not proved to be zero beside the lit pixels"
            )
        elif tokens.sites == sites and taps == s.ONE_PIXEL:
            x = tokens.value
        else:
            x = self.windows(name, op.x, sites, taps)
        weight = op.weight
        if op.groups > 1:
            weight = ungroup_kernel(weight, op.groups)
        matrix = pack_weights(weight.astype(np.int64).reshape(-1, weight.shape[-1]))
        self.ops.append(Dense(op.name, op.type, x, matrix, op.weight_type, op.bias))

    def windows(self, name: str, value: str, sites: SiteSet, taps: s.SiteTaps) -> str:
        """What windows see of tokens."""
        tokens, type_ = self.tokens[value], self.program.type(value)
        places, extent = self.list_of(tokens.sites), self.extents[tokens.sites]
        others = () if sites == tokens.sites and taps.strides == (1, 1) else (self.list_of(sites),)
        self.ops.append(
            s.TokenWindows(
                name, type_, tokens.value, places, others, extent, self.extents[sites], taps
            )
        )
        self.shown[name], self.ranges[name] = None, self.ranges[value]
        return name

    def look(self, name: str, value: str, sites: SiteSet, taps: s.SiteTaps) -> str:
        """What windows around sites see of a frame."""
        places, shape = self.list_of(sites), self.program.shapes[value]
        image = (*(1,) * (IMAGE_AXES + 1 - len(shape)), *shape[:-1])
        fill = self.fill_of(value)
        type_ = self.program.type(value)
        self.ops.append(
            s.FrameWindows(name, type_, value, places, self.extents[sites], image, taps, fill)
        )
        self.shown[name], self.ranges[name] = None, self.ranges[value]
        return name

    def fill_of(self, value: str) -> int:
        """What a value may be, nearest to zero: whatever reads it is proved for such numbers."""
        range_ = self.ranges[value]
        return min(max(0, range_.bottom), range_.top)

    def pool(self, op: Pool, sites: SiteSet) -> None:
        """What windows see, added up, or the largest of it."""
        tokens = self.tokens[op.x]
        places, others = self.list_of(tokens.sites), self.list_of(sites)
        pads = tuple(before for before, _ in op.pads)
        taps = s.SiteTaps.of(op.window, op.strides, (1,) * len(op.window), pads)
        self.ops.append(
            s.TokenPool(
                op.name, op.type, tokens.value, places, others, self.extents[tokens.sites],
                self.extents[sites], taps, op.kind is PoolKind.SUM,
            )
        )  # fmt: skip

    def finer(self, op: SpaceToPixels, sites: SiteSet) -> None:
        """Each finer site from the coarser one that it lies in."""
        factors = (*(1,) * (IMAGE_AXES - len(op.factors)), *op.factors)
        tokens = self.tokens.get(op.x)
        if tokens is None:
            tiles = PoolWindow(op.factors, op.factors, ((0, 0),) * len(op.factors))
            coarse = sites.pool(tiles)
            tokens = _Tokens(self.bring(op.x, coarse), coarse)
        places, others = self.list_of(tokens.sites), self.list_of(sites)
        self.ops.append(
            s.FinerTokens(
                op.name, op.type, tokens.value, places, others, self.extents[tokens.sites],
                self.extents[sites], factors, self.fill_of(op.x),
            )
        )  # fmt: skip

    def bring(self, x: str, sites: SiteSet) -> str:
        """A value at sites, where it may have to be looked up."""
        tokens = self.tokens.get(x)
        if tokens is not None and tokens.sites == sites:
            return tokens.value
        if (x, sites) not in self.brought:
            name = f"{x}.at{len(self.brought)}"
            if tokens is None:
                self.brought[x, sites] = self.look(name, x, sites, s.ONE_PIXEL)
            elif self.search.empty.get(x) == tokens.sites:
                self.brought[x, sites] = self.windows(name, x, sites, s.ONE_PIXEL)
            else:
                raise _NoTokensError(
                    f"it reads %{x} at the sites of %{sites.mask}, and that is known at those of "
                    f"%{tokens.sites.mask} alone"
                )
        return self.brought[x, sites]

    def everywhere(self, x: str) -> str:
        """A value as a frame."""
        if x not in self.tokens:
            return x
        if x not in self.frames:
            tokens = self.tokens[x]
            if self.search.empty.get(x) != tokens.sites:
                raise _NoTokensError(f"%{x} is read everywhere, and known at lit pixels alone")
            name, places = f"{x}.everywhere", self.list_of(tokens.sites)
            extent = self.extents[tokens.sites]
            self.ops.append(s.TokenFrame(name, self.program.type(x), tokens.value, places, extent))
            self.frames[x], self.shown[name], self.ranges[name] = name, x, self.ranges[x]
        return self.frames[x]

    def list_of(self, sites: SiteSet) -> str:
        """The list of a set's places, for one more reader."""
        if sites not in self.lists:
            self.lists[sites] = self.first_list(sites)
        name = self.lists[sites]
        if self.readers[name] == LIST_READERS:
            copy = s.ListCopy(f"{name}.again", self.extents[sites].place_type, name)
            self.ops.append(copy)
            self.shown[copy.name] = None
            self.lists[sites] = name = copy.name
        self.readers[name] += 1
        return name

    def first_list(self, sites: SiteSet) -> str:
        """A list: of the pixels of a mask, or of the windows that see a site of a finer list."""
        lead = IMAGE_AXES - len(sites.sizes)
        if lead < 0:
            raise _NoTokensError(f"its sites lie in an image of {len(sites.sizes)} axes")
        height, width = (*(1,) * lead, *sites.sizes)
        base = SiteSet(sites.mask, self.program.shapes[sites.mask][:-1])
        if not sites.pooled:
            most = self._most(sites.mask, height * width)
            self.extents[sites] = extent = s.SiteExtent(height, width, most)
            name = f"{sites.mask}.places"
            self.ops.append(
                s.PlaceList(name, extent.place_type, self.everywhere(sites.mask), extent)
            )
            self.shown[name] = None
            return name
        step = sites.pooled[-1]
        finer = functools.reduce(SiteSet.pool, sites.pooled[:-1], base)
        places, fine = self.list_of(finer), self.extents[finer]
        pads = tuple(before for before, _ in step.pads)
        taps = s.SiteTaps.of(step.window, step.strides, (1,) * len(step.window), pads)
        most = min(fine.sites * math.prod(taps.overlapping), height * width)
        self.extents[sites] = coarse = s.SiteExtent(height, width, most)
        name = f"{sites.mask}.places{len(self.lists)}"
        self.ops.append(s.CoarserList(name, coarse.place_type, places, fine, coarse, taps))
        self.shown[name] = None
        return name

    def _most(self, mask: str, pixels: int) -> int:
        """How many sites a mask can have."""
        op = self.program[mask]
        most = min(op.most or pixels, pixels) if isinstance(op, Sites) else pixels
        if most > MOST_SITES:
            raise _NoTokensError(
                f"%{mask} has up to {most:,} sites, and lists hold up to {MOST_SITES:,}. Give the "
                "model a limit (most), or leave out --sparse tokens"
            )
        return most
