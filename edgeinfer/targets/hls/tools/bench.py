# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The samples that hls4ml's C++ test bench reads: without them it simulates zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from quantization.fixed import Ints, dequantize

FEATURES = "tb_data/tb_input_features.dat"
PREDICTIONS = "tb_data/tb_output_predictions.dat"


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Real values: an array of (samples, ...) for each input and each output, in the order of the
    top function's arguments."""

    inputs: Sequence[NDArray[np.float64]]
    outputs: Sequence[NDArray[np.float64]]

    def __post_init__(self) -> None:
        counts = {len(array) for array in (*self.inputs, *self.outputs)}
        if not self.inputs or not self.outputs or len(counts) != 1 or 0 in counts:
            raise InputError(
                "A test bench wants as many samples of every input as of every output."
            )
        for array in self.inputs:
            if not np.array_equal(array, array.astype(np.float32)):
                raise InputError(
                    "The test bench reads numbers of 24 significant bits, and an input has more."
                )

    def files(self) -> dict[str, str]:
        """The files by their path in the project: a line a sample, all its values."""
        return {FEATURES: _lines(self.inputs), PREDICTIONS: _lines(self.outputs)}


def bench_of(program: Program, raw: Mapping[str, Ints]) -> Bench:
    """Samples with the engine's answers, in real numbers."""
    answers = Engine(program).run(raw)
    return Bench(
        [dequantize(raw[op.name], op.type) for op in program.inputs],
        [dequantize(answers[out.name], program.type(out.value)) for out in program.outputs],
    )


def _lines(arrays: Sequence[NDArray[np.float64]]) -> str:
    rows = np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)
    return "".join(" ".join(repr(float(value)) for value in row) + "\n" for row in rows)
