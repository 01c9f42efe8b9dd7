# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A row for each target and width: accuracy, latency, resources; and the recommended one.

A row will do if the upper end of its loss is tolerable, its best figures fit the device, and it is
fast enough where a limit is given. Of these the fastest is recommended: of targets, by the middle
of the band; of widths of one target that are equally fast, the smallest that surely fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgeinfer.base.errors import UsageError
from edgeinfer.evaluate.merit import Merit
from edgeinfer.report import words
from edgeinfer.report.timings import TimingBand
from edgeinfer.report.titles import SCORE_TITLES
from edgeinfer.report.uses import Use

AS_FAST = 1.05  # times the shortest latency: no reason to take more bits
TOLERABLE_LOSS = 0.01  # of an area or a share
TOLERABLE_RISE = 0.1  # of an error, as a share of the float network's
TITLES = {**SCORE_TITLES, "same_decision_as_float": "same decision as float"}


class FitState(StrEnum):
    """Whether a design fits, by the band of its figures."""

    YES = "yes"
    PROBABLY = "probably"
    PROBABLY_NOT = "probably not"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FitRow:
    """A candidate on a target. What is refused has a reason and nothing else."""

    target: str
    title: str  # of the target
    candidate: str  # "6 bits", or the name of a recipe
    device: str
    merit: Merit | None = None
    timing: TimingBand | None = None
    uses: tuple[Use, ...] = ()
    command: str = ""
    refused: str = ""

    @property
    def fits(self) -> FitState:
        """Whether it fits its device."""
        limited_uses = [use for use in self.uses if use.fits is not None]
        if not limited_uses:
            return FitState.UNKNOWN
        over = [use for use in limited_uses if not use.fits]
        if over:
            return FitState.NO if any(use.surely for use in over) else FitState.PROBABLY_NOT
        return FitState.YES if all(use.surely for use in limited_uses) else FitState.PROBABLY

    @property
    def fullest(self) -> Use | None:
        """The resource of which it takes the largest share."""
        shared_uses = [use for use in self.uses if use.share is not None]
        return max(shared_uses, key=lambda use: use.share or 0.0, default=None)


@dataclass(frozen=True, slots=True)
class FitLimits:
    """What will do."""

    loss: float | None = None  # None: what few would mind
    latency_us: float | None = None

    def __post_init__(self) -> None:
        if self.loss is not None and not self.loss >= 0:
            raise UsageError(
                f"A loss of {self.loss:g} cannot be asked for.", hint="Give 0 or more."
            )


@dataclass(frozen=True, slots=True)
class FitTable:
    """All rows, the recommended one, and what must be known to read them."""

    model: str
    samples: str  # what they are
    rows: tuple[FitRow, ...]
    limits: FitLimits
    findings: tuple[str, ...] = ()

    @property
    def recommended(self) -> FitRow | None:
        """The fastest row that will do; None if none does."""
        best = [row for target in self._targets() if (row := self._best(target)) is not None]
        return min(best, key=_latency, default=None)

    def misses(self, row: FitRow) -> list[str]:
        """Why a row will not do; empty if it will."""
        if row.refused:
            return [row.refused]
        return list(_misses(row, self.limits))

    def _targets(self) -> list[str]:
        return list(dict.fromkeys(row.target for row in self.rows))

    def _best(self, target: str) -> FitRow | None:
        """Of a target's rows, which come by width, the first that is about as fast as any; one
        whose whole band fits before one that only probably does."""
        good = [row for row in self.rows if row.target == target and not self.misses(row)]
        limit = AS_FAST * min(map(_latency, good), default=math.inf)
        quick = [row for row in good if _latency(row) <= limit]
        sure = [row for row in quick if row.fits is not FitState.PROBABLY]
        return next(iter(sure or quick), None)


def tolerable_loss(limits: FitLimits, merit: Merit) -> float:
    """The largest loss that will do."""
    if limits.loss is not None:
        return limits.loss
    return TOLERABLE_RISE * abs(merit.float_value) if merit.is_error else TOLERABLE_LOSS


def _latency(row: FitRow) -> float:
    return math.inf if row.timing is None else row.timing.latency.value


def _misses(row: FitRow, limits: FitLimits) -> Iterator[str]:
    merit = row.merit
    assert merit is not None
    most = tolerable_loss(limits, merit)
    if merit.lost.high > most:
        yield (
            f"may lose {words.number(merit.lost.high, 2)} {TITLES[merit.name]}, "
            f"more than {words.number(most, 2)}"
        )
    if row.fits in (FitState.NO, FitState.PROBABLY_NOT):
        full = row.fullest
        amount = "" if full is None else f" ({words.kind_name(full.kind)} {_share(full)})"
        yield f"{'does not fit' if row.fits is FitState.NO else 'probably does not fit'}{amount}"
    if limits.latency_us is not None:
        latest = math.inf
        if row.timing is not None:
            latest = row.timing.latency.high or row.timing.latency.value
        if not latest <= limits.latency_us:
            yield f"may take longer than {words.seconds(limits.latency_us * 1e-6)}"


def _share(use: Use) -> str:
    return words.percent(use.share, 0)


def reason(table: FitTable) -> str:
    """Why the recommended row is recommended, or why none is."""
    row = table.recommended
    if row is None:
        return f"No row will do: {_nearest(table)}."
    merit = row.merit
    assert merit is not None
    score = TITLES[merit.name]
    most = words.number(tolerable_loss(table.limits, merit), 2)
    loss_text = f"at most {words.number(merit.lost.high, 2)} {score} with 95 % confidence"
    if merit.lost.high < words.NOISE:
        loss_text = f"no {score} on these samples"
    sentence = f"It loses {loss_text} (up to {most} will do)"
    full = row.fullest
    if full is not None:
        sentence += (
            f", {_fit_words(row)} {row.device} ({words.kind_name(full.kind)} {_share(full)})"
        )
    if row.timing is not None:
        lasting = words.seconds(row.timing.latency.value * 1e-6)
        sentence += f", and takes {lasting}{row.timing.bound_words}"
        others = [other for other in table.rows if not table.misses(other)]
        sentence += (
            f"; of the {len(others)} rows that will do, no other is notably faster, and none as "
            f"fast {'fits as surely ' if row.fits is FitState.YES else ''}in fewer bits"
            if len(others) > 1
            else "; it is the only row that will do"
        )
        if ties := _as_fast_by_bands(row, others):
            sentence += f". {words.join_words(ties)} may be as fast: the bands of latency overlap"
    return f"{sentence}."


def _as_fast_by_bands(row: FitRow, others: Sequence[FitRow]) -> list[str]:
    """Other targets, one of whose latencies may be as short as a row's."""
    assert row.timing is not None
    longest = row.timing.latency.ends[1]
    return list(
        dict.fromkeys(
            other.title
            for other in others
            if other.target != row.target
            and other.timing is not None
            and other.timing.latency.ends[0] <= longest
        )
    )


def _fit_words(row: FitRow) -> str:
    return "probably fits" if row.fits is FitState.PROBABLY else "fits"


def _nearest(table: FitTable) -> str:
    counted: dict[str, int] = {}
    for row in table.rows:
        for miss in table.misses(row)[:1]:
            head = miss.split(" (")[0] if not row.refused else "cannot be made"
            kind = "loses too much" if head.startswith("may lose") else head
            counted[kind] = counted.get(kind, 0) + 1
    return words.join_words(
        [f"{words.count_noun(n, 'row')} {kind}" for kind, n in counted.items()]
    ) + (". Try other widths, edgeinfer quantize --method qat, or a larger device")


def rank_rows(rows: Sequence[FitRow]) -> tuple[FitRow, ...]:
    """Rows by target; those of one target in the order in which they came."""
    order = list(dict.fromkeys(row.target for row in rows))
    return tuple(sorted(rows, key=lambda row: order.index(row.target)))
