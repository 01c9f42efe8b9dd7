# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a user may choose about every int8 file, wherever it goes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edgeinfer.base.errors import UsageError
from edgeinfer.targets.edgetpu.int8.output_levels import ScoreRange
from edgeinfer.targets.edgetpu.int8.working_points import LastLayer
from edgeinfer.targets.options import COMPILE, Settings, option

FARTHEST_SCORE = 1_000_000  # no network's logits come near it


class Fallback(StrEnum):
    """What is made of a Program that has no int8 equal."""

    FLOAT = "float"  # the float network, calibrated by TensorFlow's converter
    INT8 = "int8"  # the Program's nearest int8 form


@dataclass(frozen=True, slots=True)
class Int8Settings(Settings):
    """What is made where formats do not fit, and where the levels of scores lie."""

    fallback: Fallback = option(
        Fallback.FLOAT,
        "what to make of a Program without an int8 equal: the calibrated float network (by "
        "default), or the Program's nearest int8 form",
        verbs=(COMPILE,),
    )

    score_range: str | None = option(
        None,
        "LOW:HIGH, between which scores are told apart as finely as 8 bits can; where it matters "
        "on the samples by default",
        verbs=(COMPILE,),
    )

    last_layer: LastLayer = option(
        LastLayer.AUTO,
        "where the dense layer that makes a score is computed: chip, in 8 bits; host, in integers "
        "of 16 bits; by default on the host where 8 bits leave fewer than 64 thresholds",
        verbs=(COMPILE,),
    )

    def __post_init__(self) -> None:
        self.scores()

    def scores(self) -> ScoreRange | None:
        """The range of scores that was asked for."""
        if self.score_range is None:
            return None
        try:
            low, high = (float(end) for end in self.score_range.split(":"))
        except ValueError:
            raise UsageError(
                f"--score-range cannot be {self.score_range!r}.",
                hint="Give two numbers, such as --score-range=-4:8.",
            ) from None
        if not low < high:
            raise UsageError(
                f"--score-range {self.score_range} does not go from a number to a higher one.",
                hint="Give the lower end first, such as --score-range=-4:8.",
            )
        if not -FARTHEST_SCORE <= low < high <= FARTHEST_SCORE:
            raise UsageError(
                f"--score-range {self.score_range} goes beyond {FARTHEST_SCORE:,}.",
                hint="Scores are what a softmax or sigmoid at the end reads, mostly -20 to 20.",
            )
        return ScoreRange(low, high)
