# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""hls4ml's own build and predict of the HLS target's project, to race against."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeinfer.ir.ops import Conv, Dense
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.project.emit import graph
from edgeinfer.targets.hls.project.place import lay_out
from edgeinfer.targets.hls.settings import HlsSettings, IoType, Strategy
from quantization.fixed import Ints, Quantizer, dequantize, quantize


def shared(program: Program, io: IoType = IoType.STREAM) -> HlsSettings:
    """The resource strategy, with one multiplier for all inputs of each output."""
    reuse = tuple(
        (op.name, int(np.prod(op.weight.shape[:-1])))
        for op in program.ops
        if isinstance(op, Conv | Dense)
    )
    return HlsSettings(strategy=Strategy.RESOURCE, io=io, reuse_of=reuse)


class CSim:
    """hls4ml's compiled C-simulation of one Program."""

    def __init__(self, program: Program, folder: Path, settings: HlsSettings | None = None) -> None:
        chosen = settings or shared(program)
        plan = lay_out(program, chosen)
        self.program = program
        self._outputs = plan.outputs
        self._model = graph(program, plan, chosen, folder, None)
        self._model.config.trace_output = False  # as hls4ml has it unless asked
        self._model.write()
        self._ready = False

    def compile(self) -> None:
        """g++, as hls4ml calls it, and its library loaded."""
        self._model._compile()
        self._ready = True

    def run(self, raw: dict[str, Ints] | Ints) -> dict[str, Ints]:
        """Raw results by output name."""
        if not self._ready:
            self.compile()
        inputs = raw if isinstance(raw, dict) else {self.program.inputs[0].name: raw}
        reals = [
            np.ascontiguousarray(dequantize(inputs[op.name], op.type)) for op in self.program.inputs
        ]
        result = self._model.predict(reals if len(reals) > 1 else reals[0])
        samples = len(next(iter(inputs.values())))
        listed = result if isinstance(result, list) else [result]
        results: dict[str, Ints] = {}
        for output, values in zip(self._outputs, listed, strict=True):
            whole = quantize(values, Quantizer(self.program.type(output.value)))
            results[output.name] = whole.reshape(samples, *self.program.shapes[output.value])
        return results
