# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Elements that are found by whole numbers which the network reads or computes itself.

An index counts along the first axis of what it looks into, from 0, or from the end where it is
negative. An index that no element has finds nothing: it reads zero, and adds to nothing. One
between two whole numbers is rounded down.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Floats = NDArray[np.float64]

MOST_COMPARISONS = 1 << 22  # of one node: each index with each entry


@dataclass(frozen=True, slots=True, eq=False)
class IndexingNode:
    """Elements of one tensor, chosen by numbers: those of another tensor, or its own."""

    name: str
    x: str

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the tensors that it reads."""
        return (self.x,)

    @abstractmethod
    def shape_of(self, *shapes: Shape) -> Shape:
        """The result's shape; ValueError where the node does not fit what it reads."""

    @abstractmethod
    def values(self, *tensors: Floats) -> Floats:
        """The result for a batch of what it reads."""

    def renamed(self, *reads: str) -> dict[str, str]:
        """The fields that name what it reads, with other names."""
        return {"x": reads[0]}


@dataclass(frozen=True, slots=True, eq=False)
class IndexedNode(IndexingNode):
    """Elements of `x` by an index, which has a column for every column of x, or one for all.

    x: (entries, columns); index: (places, columns or 1).
    """

    index: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.x, self.index)

    def renamed(self, *reads: str) -> dict[str, str]:
        return {"x": reads[0], "index": reads[1]}


@dataclass(frozen=True, slots=True, eq=False)
class LookNode(IndexedNode):
    """y[place, column] = x[index[place, column], column]."""

    def shape_of(self, *shapes: Shape) -> Shape:
        x, index = _check_columns(*shapes)
        _check_size(x[0] * index[0] * x[1], f"looks up {index[0]} of {x[0]} entries")
        return (index[0], x[1])

    def values(self, *tensors: Floats) -> Floats:
        x, index = tensors
        entries = x.shape[1]
        places = np.broadcast_to(entry_of(index, entries), (*index.shape[:2], x.shape[2]))
        padded = np.concatenate([x, np.zeros_like(x[:, :1])], axis=1)
        return np.take_along_axis(padded, places, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class ScatterNode(IndexedNode):
    """y[entry, column] = the sum of x[place, column] over places whose index is that entry.

    Here x has a row for every place, and y as many as `count`.
    """

    count: int

    def shape_of(self, *shapes: Shape) -> Shape:
        x, index = _check_columns(*shapes)
        if x[0] != index[0] or self.count < 1:
            raise ValueError(f"{index[0]} indices do not spread {x[0]} rows over {self.count}")
        _check_size(x[0] * self.count * x[1], f"spreads {x[0]} rows over {self.count} entries")
        return (self.count, x[1])

    def values(self, *tensors: Floats) -> Floats:
        x, index = tensors
        places = np.broadcast_to(entry_of(index, self.count), x.shape)
        sums = np.zeros((len(x), self.count + 1, x.shape[2]))
        sample, _, column = np.indices(x.shape)
        np.add.at(sums, (sample, places, column), x)
        return sums[:, :-1]


@dataclass(frozen=True, slots=True, eq=False)
class RankNode(IndexingNode):
    """Where the largest elements of each row are, the largest first: (rows, count) whole numbers.

    Of equal elements the first counts as larger, or the last where `last` says so.
    """

    count: int = 1
    smallest: bool = False
    last: bool = False

    def shape_of(self, *shapes: Shape) -> Shape:
        (x,) = shapes
        if len(x) != 2 or not 1 <= self.count <= x[1]:
            raise ValueError(f"{x} has no {self.count} places in order")
        compared = x[1] if self.count == 1 else x[1] * x[1]
        _check_size(x[0] * compared, f"puts {x[1]} elements in order")
        return (x[0], self.count)

    def values(self, *tensors: Floats) -> Floats:
        (x,) = tensors
        keys = x if self.smallest else -x
        if self.last:
            order = x.shape[-1] - 1 - np.argsort(keys[..., ::-1], axis=-1, kind="stable")
        else:
            order = np.argsort(keys, axis=-1, kind="stable")
        places: Floats = order[..., : self.count].astype(np.float64)
        return places


@dataclass(frozen=True, slots=True, eq=False)
class SitesNode(IndexingNode):
    """1 where a pixel is lit, which some channel above the threshold makes it, else 0; one channel.

    Of the lit pixels of an image, row by row, the first `most` stay (None: all of them).
    """

    threshold: float
    most: int | None = None

    def shape_of(self, *shapes: Shape) -> Shape:
        (x,) = shapes
        if len(x) < 2:
            raise ValueError(f"a tensor of {x} has no pixels")
        if self.most is not None and self.most < 1:
            raise ValueError(f"at most {self.most} sites hold nothing")
        return (*x[:-1], 1)

    def values(self, *tensors: Floats) -> Floats:
        (x,) = tensors
        lit = x.max(axis=-1, keepdims=True) > self.threshold
        if self.most is not None:
            number = np.cumsum(lit.reshape(len(lit), -1), axis=1).reshape(lit.shape)
            lit = lit & (number <= self.most)
        mask: Floats = lit.astype(np.float64)
        return mask


def entry_of(index: Floats, entries: int) -> NDArray[np.int64]:
    """The entry that each index means; as many as there are where it means none."""
    whole = np.floor(index)
    counted = np.where(whole < 0, whole + entries, whole)
    return np.where((counted < 0) | (counted > entries), entries, counted).astype(np.int64)


def _check_columns(x: Shape, index: Shape) -> tuple[Shape, Shape]:
    if len(x) != 2 or len(index) != 2 or index[1] not in (1, x[1]):
        raise ValueError(f"indices of {index} do not fit a tensor of {x}")
    return x, index


def _check_size(comparisons: int, what: str) -> None:
    if comparisons > MOST_COMPARISONS:
        raise ValueError(
            f"it {what}, which is {comparisons:,} comparisons; at most {MOST_COMPARISONS:,} can be "
            f"made"
        )


def widest_index(entries: int) -> tuple[int, int]:
    """The lowest and the highest number that an index must be able to hold: what means an entry,
    and one number beside it on either side, which means none."""
    return -entries - 1, entries
