# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Agreement of two stages that run one Program: bit for bit, and where they part if they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.program import Program
from quantization.fixed import Ints


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first value, in the Program's order, of which two stages hold different integers."""

    value: str
    op: str
    sample: int
    index: tuple[int, ...]
    expected: int  # raw, by the first stage of the pair
    got: int  # raw, by the second
    type: str
    got_type: str = ""  # where the second stage has one of its own
    cause: str = ""  # as far as the second stage can tell

    def __str__(self) -> str:
        place = ", ".join(map(str, self.index))
        types = self.type if self.got_type in ("", self.type) else f"{self.type}, {self.got_type}"
        where = f"%{self.value} ({self.op}, {types}), sample {self.sample}, element [{place}]"
        cause = f" ({self.cause})" if self.cause else ""
        return f"{where}: {self.got} instead of {self.expected}{cause}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two stages compare over some samples; the first of the pair is the reference."""

    pair: tuple[str, str]
    samples: int
    bit_identical: bool
    max_abs_diff: float  # of any output, in the output's own unit
    decision_flips: int  # samples in which the largest output (or the sign of an only one) differs
    first_divergence: Divergence | None = None


@dataclass(slots=True)
class AgreementTally:
    """Adds up agreement over batches, so that no more than one is ever held."""

    program: Program
    pair: tuple[str, str]
    samples: int = 0
    max_abs_diff: float = 0.0
    decision_flips: int = 0
    differing: list[int] = field(default_factory=list)  # numbers of the samples that differ

    def add(self, expected: Mapping[str, Ints], actual: Mapping[str, Ints]) -> None:
        """Compare a batch of outputs, by the names users know."""
        count = len(next(iter(expected.values())))
        differs = np.zeros(count, dtype=bool)
        flipped = np.zeros(count, dtype=bool)
        for output in self.program.outputs:
            a, b = expected[output.name], actual[output.name]
            distance = np.abs(a - b)
            differs |= distance.reshape(count, -1).any(axis=1)
            flipped |= (decisions(a) != decisions(b)).reshape(count, -1).any(axis=1)
            unit = self.program.type(output.value).lsb
            self.max_abs_diff = max(self.max_abs_diff, float(distance.max(initial=0)) * unit)
        self.differing += (np.flatnonzero(differs) + self.samples).tolist()
        self.decision_flips += int(flipped.sum())
        self.samples += count

    def agreement(self, first_divergence: Divergence | None = None) -> Agreement:
        """The verdict so far."""
        return Agreement(
            self.pair,
            self.samples,
            not self.differing,
            self.max_abs_diff,
            self.decision_flips,
            first_divergence,
        )


def decisions(values: NDArray[Any], threshold: float = 0.0) -> NDArray[Any]:
    """The winning class at every position; of an only value, whether it is above the threshold."""
    if values.ndim > 1 and values.shape[-1] > 1:
        winners: NDArray[Any] = values.argmax(axis=-1)
        return winners
    return values > threshold


def first_divergence(
    program: Program, expected: Mapping[str, Ints], actual: Mapping[str, Ints], sample: int
) -> Divergence | None:
    """Walk all values of one sample (a batch of one) in order, to the first that differs."""
    for op in program.ops:
        if op.name not in expected or op.name not in actual:
            continue
        differs = expected[op.name][0] != actual[op.name][0]
        if differs.any():
            index = tuple(int(i) for i in np.argwhere(differs)[0])
            return Divergence(
                op.name,
                type(op).__name__,
                sample,
                index,
                int(expected[op.name][0][index]),
                int(actual[op.name][0][index]),
                str(op.type),
            )
    return None
