# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Constant matrices as shifts and additions: signed digits, and subexpressions that are shared.

A weight in canonical signed digits has the fewest digits that are not zero. A column of the matrix
is then a sum of shifted inputs, one for each digit. Two digits that stand beside each other in the
same way in several places are added once: the pair that occurs most often becomes a term of its own
and takes their place, until none occurs twice.
"""

from __future__ import annotations

import enum
import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from quantization.fixed import Ints

DEEPEST = 4  # additions, one after the other, in a shared term: the sum behind it has levels too

KEPT = 64  # graphs: the stages of a network are tried one after the other, with the same weights

Key = tuple[int, int, int, int]  # terms a <= b, how far b stands above a, and +1 or -1
Place = tuple[int, int]  # a term and its shift


@dataclass(frozen=True, slots=True)
class SharedTerm:
    """A term made of two: (a << shift_a) + sign (b << shift_b). Inputs are the first terms."""

    a: int
    b: int
    shift_a: int
    shift_b: int
    sign: int


@dataclass(frozen=True, slots=True)
class AdderGraph:
    """What remains to be added up for each column: terms with their shifts and signs."""

    shared: tuple[SharedTerm, ...]
    columns: tuple[tuple[tuple[int, int, int], ...], ...]  # (term, shift, sign)

    @property
    def additions(self) -> int:
        """How many there are in all, biases left out."""
        return len(self.shared) + sum(max(len(column) - 1, 0) for column in self.columns)


def signed_digits(number: int) -> tuple[tuple[int, int], ...]:
    """(shift, sign) of the digits that are not zero, no two of them neighbours."""
    digits = []
    shift = 0
    while number:
        if number & 1:
            sign = 2 - (number & 3)  # 1 if the next bit is clear, else -1 and a carry
            digits.append((shift, sign))
            number -= sign
        number >>= 1
        shift += 1
    return tuple(digits)


def digit_count(weights: Ints) -> int:
    """Digits of a whole matrix: what there would be to add if nothing were shared."""
    values, counts = np.unique(weights, return_counts=True)
    return sum(len(signed_digits(int(v))) * int(c) for v, c in zip(values, counts, strict=True))


class Preference(enum.Enum):
    """Which of the pairs that occur equally often is shared first."""

    DEEPEST = enum.auto()  # the one whose deeper term has most additions before it
    DEEP = enum.auto()  # the one whose two terms together have
    NEWEST = enum.auto()  # the one with the term that was made last
    NEW = enum.auto()  # the one whose older term was made last


@dataclass(frozen=True, slots=True)
class Sharing:
    """How pairs are chosen: what is not too deep, and which of equals. With a seed, ties that are
    left are broken at random; with 0, the pair whose digits are nearest comes first."""

    deepest: int = DEEPEST
    preference: Preference = Preference.DEEPEST
    seed: int = 0


PLAIN = Sharing()


def shared_graph(weights: Ints, sharing: Sharing = PLAIN) -> AdderGraph:
    """(inputs, columns) integers as a graph of additions."""
    return _graph_of(weights.shape, weights.astype(np.int64).tobytes(), sharing)


@functools.lru_cache(maxsize=KEPT)
def _graph_of(shape: tuple[int, ...], content: bytes, sharing: Sharing) -> AdderGraph:
    weights = np.frombuffer(content, np.int64).reshape(shape)
    work = _Work(weights.shape[0], sharing)
    for column in weights.T:
        places = {
            (term, shift): sign
            for term, weight in enumerate(column)
            for shift, sign in signed_digits(int(weight))
        }
        work.columns.append({})
        for place, sign in places.items():
            work.put(len(work.columns) - 1, place, sign)
    while (key := work.most_frequent()) is not None:
        work.share(key)
    return AdderGraph(
        tuple(work.shared),
        tuple(
            tuple((term, shift, sign) for (term, shift), sign in sorted(column.items()))
            for column in work.columns
        ),
    )


@dataclass(slots=True)
class _Work:
    """Digits by column, and how often each pair of them occurs."""

    inputs: int
    sharing: Sharing
    columns: list[dict[Place, int]] = field(default_factory=list)
    shared: list[SharedTerm] = field(default_factory=list)
    depths: list[int] = field(init=False)
    counts: dict[Key, int] = field(default_factory=dict)
    by_count: list[dict[Key, None]] = field(default_factory=lambda: [{}, {}])
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.depths = [0] * self.inputs
        self.chance = random.Random(self.sharing.seed)

    def put(self, column: int, place: Place, sign: int) -> None:
        """One more digit."""
        digits = self.columns[column]
        for key in self.pairs(digits, place, sign):
            self.recount(key, 1)
        digits[place] = sign

    def take(self, column: int, place: Place) -> None:
        """One digit less."""
        digits = self.columns[column]
        sign = digits.pop(place)
        for key in self.pairs(digits, place, sign):
            self.recount(key, -1)

    def recount(self, key: Key, change: int) -> None:
        before = self.counts.get(key, 0)
        after = before + change
        if before > 1:
            del self.by_count[before][key]
        if after:
            self.counts[key] = after
        else:
            del self.counts[key]
        if after > 1:
            while len(self.by_count) <= after:
                self.by_count.append({})
            self.by_count[after][key] = None

    def most_frequent(self) -> Key | None:
        """The pair that occurs most often, at least twice. Of equals, one of terms that are shared
        already, for what is found again is long."""
        while len(self.by_count) > 2:
            if self.by_count[-1]:
                return min(self.by_count[-1], key=self.rank)
            self.by_count.pop()
        return None

    def rank(self, key: Key) -> tuple[int, float]:
        """The smaller, the better."""
        a, b, above, _ = key
        rest = self.chance.random() if self.sharing.seed else abs(above)
        match self.sharing.preference:
            case Preference.DEEPEST:
                return -max(self.depths[a], self.depths[b]), rest
            case Preference.DEEP:
                return -self.depths[a] - self.depths[b], rest
            case Preference.NEWEST:
                return -max(a, b), rest
            case Preference.NEW:
                return -min(a, b), rest if self.sharing.seed else -max(a, b)

    def share(self, key: Key) -> None:
        """Make a term of a pair, and put it wherever the pair stands."""
        a, b, above, sign = key
        term = self.inputs + len(self.shared)
        self.shared.append(SharedTerm(a, b, max(-above, 0), max(above, 0), sign))
        self.depths.append(1 + max(self.depths[a], self.depths[b]))
        for number, digits in enumerate(self.columns):
            places = sorted(shift for t, shift in digits if t == a)
            for shift in places:
                first, second = (a, shift), (b, shift + above)
                if first == second or first not in digits or second not in digits:
                    continue
                lead = digits[first]
                if digits[second] != lead * sign:
                    continue
                self.take(number, first)
                self.take(number, second)
                self.put(number, (term, min(shift, shift + above)), lead)

    def pairs(self, digits: dict[Place, int], place: Place, sign: int) -> Iterator[Key]:
        """The pairs that one digit makes with others of its column, but for what is too deep."""
        term, shift = place
        depths, deepest = self.depths, self.sharing.deepest
        if depths[term] >= deepest:
            return
        for (other, at), mark in digits.items():
            if depths[other] >= deepest:
                continue
            if other < term or (other == term and at < shift):
                yield other, term, shift - at, mark * sign
            else:
                yield term, other, at - shift, mark * sign
