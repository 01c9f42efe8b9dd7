# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What quantization costs a stage, in the figure of merit that there is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgeinfer.base.metrics import SCORES
from edgeinfer.evaluate.profile.data import Profile, Uncertain
from edgeinfer.report import words
from edgeinfer.report.result import Result
from edgeinfer.report.titles import SCORE_TITLES


@dataclass(frozen=True, slots=True)
class Drop:
    """A figure of merit as floats, and of the stage that does worst; whether more is better."""

    name: str
    stage: str
    before: float
    after: float
    higher: bool

    @property
    def lost(self) -> float:
        """By how much it got worse."""
        return self.before - self.after if self.higher else self.after - self.before

    @property
    def change(self) -> str:
        """From float to integers, with its sign."""
        return words.format_signed(self.after - self.before)

    @property
    def label(self) -> str:
        """As it is written."""
        return SCORE_TITLES[self.name]


def interval_of(result: Result, profile: Profile | None, drop: Drop) -> Uncertain | None:
    """The paired interval of what is lost, where it is the interval of this very loss: as the
    result records it, or else a profile."""
    scores = result.accuracy[drop.stage]
    if drop.name in scores.lost:
        low, high = scores.lost[drop.name]
        return Uncertain(value=drop.lost, low=low, high=high)
    if profile is None:
        return None
    areas = {"auc": profile.lost.auc, "accuracy": profile.lost.accuracy}.get(drop.name)
    if areas is None or not math.isclose(areas.value, drop.lost, abs_tol=1e-9):
        return None
    return areas


def drop_of(result: Result, stages: Sequence[str] = ()) -> Drop | None:
    """What quantization costs the stage (of these, or of all) that it costs most."""
    before = result.accuracy.get("float")
    if before is None:
        return None
    for name, higher in SCORES.items():
        reference = getattr(before, name)
        if reference is None:
            continue
        drops = [
            Drop(name, stage, reference, getattr(scores, name), higher)
            for stage, scores in result.accuracy.items()
            if stage != "float"
            and scores.samples == before.samples  # others may be easier or harder
            and stage in (stages or result.accuracy)
            and getattr(scores, name) is not None
        ]
        if drops:
            return max(drops, key=lambda drop: drop.lost)
    return None
