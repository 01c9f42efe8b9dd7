# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which values of a Program need to be known at a few pixels only, proved from the Program itself.

A mask is a value of one channel between 0 and 1. What is multiplied by it is zero wherever the mask
is zero, so that it can be held as rows, one for each lit pixel; and so can whatever is computed
from such values pixel by pixel and is zero where they are. What only that multiplication reads
need not be known elsewhere: a convolution before a mask is computed at the lit pixels alone. A pool
of what is held at sites is held at the coarser sites that see one of those.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgeinfer.graph.moves import Pads, Shape
from edgeinfer.graph.windows import count_windows
from edgeinfer.ir.bases import Elementwise, parameters_of
from edgeinfer.ir.engine.space_to_pixels import SpaceToPixels
from edgeinfer.ir.interpret import interpret_constant
from edgeinfer.ir.ops import (
    Clip,
    Concat,
    Constant,
    Conv,
    Dense,
    Op,
    Pair,
    PairKind,
    Pool,
    PoolKind,
    PRelu,
    Requant,
    Scale,
    Softmax,
    Table,
    inputs_of,
)
from quantization.fixed import Fixed
from quantization.ranges import Interval

FINEST_MASK = 1  # fractional bits: a comparison yields 0, 1/2 or 1
MOST_AXES = 3  # of an image, channels apart


@dataclass(frozen=True, slots=True)
class PoolWindow:
    """A window that makes coarser pixels of finer ones."""

    window: Shape
    strides: Shape
    pads: Pads

    @staticmethod
    def of(op: Pool) -> PoolWindow:
        """That of a pool."""
        return PoolWindow(op.window, op.strides, op.pads)


@dataclass(frozen=True, slots=True)
class SiteSet:
    """The pixels where a mask is not zero, or the coarser ones whose windows see one of those."""

    mask: str
    sizes: Shape  # of the image that the pixels belong to
    pooled: tuple[PoolWindow, ...] = ()

    def pool(self, step: PoolWindow) -> SiteSet:
        """The coarser pixels whose windows see one of these."""
        sizes = count_windows(self.sizes, step.window, step.strides, step.pads)
        return SiteSet(self.mask, sizes, (*self.pooled, step))


@dataclass(slots=True)
class SiteSearch:
    """Ops and what is proved of their values; what is found about them."""

    ops: Sequence[Op]
    ranges: Mapping[str, Interval]
    types: Mapping[str, Fixed]
    shapes: Mapping[str, Shape]
    read_outside: Collection[str]  # values that are read from outside
    masks: dict[str, SiteSet] = field(default_factory=dict)
    reader_sets: dict[str, SiteSet] = field(default_factory=dict)  # nobody reads them elsewhere
    empty: dict[str, SiteSet] = field(default_factory=dict)  # they are zero elsewhere
    site_sets: dict[str, SiteSet] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    beside: dict[str, tuple[SiteSet, Constant]] = field(default_factory=dict)  # a number elsewhere

    def run(self) -> dict[str, SiteSet]:
        """The sites at which values are held as rows; none if no convolution gains by it."""
        multiplying = self._find_multiplying()
        for op in self.ops:
            if isinstance(op, Constant):
                self.constants[op.name] = op
            if op.name in multiplying:
                self._note_mask(op)
        if self.masks:
            self._ask()
            for op in self.ops:
                self._hold(op)
            self._hold_between()
        gains = any(isinstance(op, Conv) and op.name in self.site_sets for op in self.ops)
        return self.site_sets if gains else {}

    def masking(self, op: Op) -> tuple[str, str] | None:
        """The value and the mask that an op multiplies, if it does that."""
        if not isinstance(op, Pair) or op.kind is not PairKind.MUL or op.name in self.masks:
            return None
        for x, mask in ((op.a, op.b), (op.b, op.a)):
            same = self.shapes[x][:-1] == self.shapes[mask][:-1]
            if mask in self.masks and x not in self.constants and same:
                return x, mask
        return None

    def is_plain(self, mask: str) -> bool:
        """Whether a mask is 0 or 1, so that what it is multiplied with stays as it is."""
        return self.types[mask].frac == 0

    def _find_multiplying(self) -> set[str]:
        """The values that multiply others, or whose maxima do: a number between 0 and 1 that does
        neither hides nothing."""
        names: set[str] = set()
        for op in reversed(self.ops):
            if isinstance(op, Pair) and op.kind is PairKind.MUL:
                names |= {op.a, op.b}
            elif isinstance(op, Pool) and op.kind is PoolKind.MAX and op.name in names:
                names.add(op.x)
        return names

    def _note_mask(self, op: Op) -> None:
        shape, frac = self.shapes[op.name], self.types[op.name].frac
        if len(shape) not in range(2, MOST_AXES + 2) or shape[-1] != 1 or op.name in self.constants:
            return
        range_ = self.ranges[op.name]
        if range_.bottom < 0 or not 0 <= frac <= FINEST_MASK or range_.top > 1 << frac:
            return
        if isinstance(op, Pool) and op.kind is PoolKind.MAX and op.x in self.masks:
            self.masks[op.name] = self.masks[op.x].pool(PoolWindow.of(op))
        else:
            self.masks[op.name] = SiteSet(op.name, shape[:-1])

    def _ask(self) -> None:
        readers = self._find_readers()
        for op in reversed(self.ops):
            if op.name in self.read_outside or op.name in self.masks or op.name not in readers:
                continue
            if isinstance(op, Conv | SpaceToPixels) or self._by_pixel(op):
                asked_sets = {self._sites_read(op.name, reader) for reader in readers[op.name]}
                (first, *others) = asked_sets
                if first is not None and not others:
                    self.reader_sets[op.name] = first

    def _find_readers(self) -> dict[str, list[Op]]:
        readers: dict[str, list[Op]] = {}
        for op in self.ops:
            for x in inputs_of(op):
                readers.setdefault(x, []).append(op)
        return readers

    def _sites_read(self, x: str, reader: Op) -> SiteSet | None:
        """The sites at which an op reads a value, if it reads it nowhere else."""
        masking = self.masking(reader)
        if masking is not None and masking[0] == x:
            return self.masks[masking[1]]
        if isinstance(reader, SpaceToPixels) and reader.name in self.reader_sets:
            tiles = PoolWindow(reader.factors, reader.factors, ((0, 0),) * len(reader.factors))
            return self.reader_sets[reader.name].pool(tiles)
        return self.reader_sets.get(reader.name) if self._by_pixel(reader) else None

    def _hold(self, op: Op) -> None:
        if op.name in self.masks:
            return
        masking = self.masking(op)
        if masking is not None:
            self.site_sets[op.name] = self.empty[op.name] = self.masks[masking[1]]
        elif op.name in self.reader_sets:
            self.site_sets[op.name] = self.reader_sets[op.name]
        elif isinstance(op, Pool):
            sites = self.empty.get(op.x)
            unseen = op.kind is PoolKind.SUM or not any(map(any, op.pads))
            if sites is not None and (unseen or self.ranges[op.x].bottom >= 0):
                self.site_sets[op.name] = self.empty[op.name] = sites.pool(PoolWindow.of(op))
        elif self._by_pixel(op):
            self._hold_pixels(op)

    def _hold_pixels(self, op: Op) -> None:
        """What each pixel alone makes is zero where zeros make zero; or where numbers that are the
        same at all other pixels make it, as those of an offset that is taken back."""
        reads = [x for x in inputs_of(op) if x not in self.constants]
        (sites, *more) = {self._elsewhere(x) for x in reads}
        if sites is None or more:
            return
        if self._keeps_zero(op) and all(x in self.empty for x in reads):
            self.site_sets[op.name] = self.empty[op.name] = sites
            return
        constants = {x: self.constants[x] for x in inputs_of(op) if x in self.constants}
        for x in reads:
            zeros = np.zeros((*[1] * (len(self.shapes[x]) - 1), self.shapes[x][-1]), np.int64)
            plain = Constant(x, self.types[x], zeros)
            constants[x] = plain if x in self.empty else self.beside[x][1]
            if not self._is_possible(x, constants[x]):
                return  # every pixel is lit, so there is nothing beside the sites
        value = interpret_constant(op, constants)
        if not value.any():
            self.site_sets[op.name] = self.empty[op.name] = sites
        else:
            self.beside[op.name] = sites, Constant(op.name, op.type, value)

    def _is_possible(self, x: str, elsewhere: Constant) -> bool:
        """Whether a value can be those numbers: where a mask is proved to be one, it cannot."""
        range_ = self.ranges[x]
        return bool(range_.bottom <= elsewhere.value.min() and elsewhere.value.max() <= range_.top)

    def _elsewhere(self, x: str) -> SiteSet | None:
        """The sites beside which a value is one known number for each channel."""
        return self.beside[x][0] if x in self.beside else self.empty.get(x)

    def _hold_between(self) -> None:
        """Values that are not zero elsewhere, but whose readers are known there without them."""
        readers = self._find_readers()
        for op in reversed(self.ops):
            if op.name not in self.beside or op.name in self.read_outside:
                continue
            sites = self.beside[op.name][0]
            if all(
                self._by_pixel(reader)
                and self.site_sets.get(reader.name) == sites
                and self._elsewhere(reader.name) == sites
                for reader in readers.get(op.name, [])
            ):
                self.site_sets[op.name] = sites

    def _by_pixel(self, op: Op) -> bool:
        """Whether every pixel of an op's value depends on the same pixel alone, and not on where
        it lies."""
        shape = self.shapes[op.name]
        if not isinstance(op, Elementwise | Concat | Dense | Softmax) or len(shape) < 2:
            return False
        if isinstance(op, Concat | Softmax) and op.axis != len(shape) - 1:
            return False
        moving = [x for x in inputs_of(op) if x not in self.constants]
        same = all(self.shapes[x][:-1] == shape[:-1] for x in moving)
        return bool(moving) and same and not self.is_uneven(op)

    def is_uneven(self, op: Op) -> bool:
        """Whether an op has numbers of its own for each pixel."""
        if not isinstance(op, Elementwise | Concat):
            return False
        fixed = [parameter.shape for parameter in parameters_of(op)]
        fixed += [self.shapes[x] for x in inputs_of(op) if x in self.constants]
        return any(math.prod(each[:-1]) > 1 for each in fixed)

    def _keeps_zero(self, op: Op) -> bool:
        """Whether zeros make zeros."""
        constant = any(x in self.constants for x in inputs_of(op))
        match op:
            case Requant() | PRelu():
                return True
            case Clip():
                low, high = (0 if end is None else end for end in (op.low, op.high))
                return low <= 0 <= high
            case Table():
                inside = op.first <= 0 < op.first + op.entries.size
                return inside and int(op.entries[-op.first]) == 0
            case Scale() | Dense():
                return not op.bias.any()
            case Pair():
                return op.kind is PairKind.MUL or not constant
            case Concat():
                return not constant
            case _:  # a softmax of zeros is none
                return False
