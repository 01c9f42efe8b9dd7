# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The fast exact engine: a Program in ONNX Runtime, bit for bit what `interpret` says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.ir.bases import SlidingWindow
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.engine.choice import OpArithmetic
from edgeinfer.ir.engine.emit import EngineModel, emit_model
from edgeinfer.ir.engine.onnx_builder import available_threads, open_session, samples_at_once
from edgeinfer.ir.interpret import fitting_inputs
from edgeinfer.ir.ops import Constant, Conv, Input
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Program
from edgeinfer.ir.verify import verify
from quantization.fixed import Ints

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


@dataclass(frozen=True, slots=True)
class _CompiledModel:
    emitted: EngineModel
    session: InferenceSession


class Engine:
    """Runs a Program. Compiled once; another set of taps is compiled when first asked for."""

    def __init__(
        self, program: Program, *, threads: int | None = None, batch: int | None = None
    ) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"{threads} threads compute nothing; give at least 1.")
        if batch is not None and batch < 1:
            raise UsageError(f"A batch of {batch} holds nothing; give at least 1.")
        self.program = program
        self.threads = threads or available_threads()
        self.batch = batch or chosen_batch(program)
        verify(program)
        self._folded = fold_constants(program)
        self._proved = bounds_of(self._folded)
        self._blocks = any(
            isinstance(op, Conv) and program.shapes[op.x][-1] > 1 for op in program.ops
        )
        self._compiled: dict[tuple[str, ...], _CompiledModel | None] = {}
        self._values_for(())

    @property
    def carriers(self) -> tuple[OpArithmetic, ...]:
        """Which arithmetic each op uses, and why it is exact."""
        compiled = self._values_for(())
        return compiled.emitted.arithmetic if compiled else ()

    def run(self, inputs: Mapping[str, NDArray[Any]], taps: Sequence[str] = ()) -> dict[str, Ints]:
        """Raw results by output name, and the raw values named in `taps`."""
        for tap in taps:
            if tap not in self.program.shapes:
                raise UsageError(
                    f"{self.program.name} has no value %{tap} to tap.",
                    hint=did_you_mean(tap, self.program.shapes),
                )
        fitting = fitting_inputs(self.program, inputs)
        values = self._run(fitting, tuple(sorted(set(taps))))
        results = {output.name: values[output.value] for output in self.program.outputs}
        return results | {tap: values[tap] for tap in taps}

    def run_fitting(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Ints]:
        """Raw results by output name, for a caller who has seen to it that names, shapes and ranges
        of the inputs fit: they are not read once more."""
        values = self._run(inputs, ())
        return {output.name: values[output.value] for output in self.program.outputs}

    def _values_for(self, taps: tuple[str, ...]) -> _CompiledModel | None:
        """The session that computes outputs and taps; None where inputs and constants suffice."""
        if taps not in self._compiled:
            value_names = {output.value for output in self.program.outputs}.union(taps)
            kept = [
                op.name
                for op in self._folded.ops
                if op.name in value_names and not isinstance(op, Input | Constant)
            ]
            compiled = None
            if kept:
                graph = emit_model(self._folded, self._proved, kept, as_rows=True)
                session = open_session(
                    graph.model, self.threads, exact=True, channel_blocks=self._blocks
                )
                compiled = _CompiledModel(graph, session)
            self._compiled[taps] = compiled
        return self._compiled[taps]

    def _run(self, inputs: Mapping[str, NDArray[Any]], taps: tuple[str, ...]) -> dict[str, Ints]:
        samples = len(next(iter(inputs.values())))
        value_names = {output.value for output in self.program.outputs}.union(taps)
        values: dict[str, Ints] = {}
        for op in self._folded.ops:
            if op.name in value_names and isinstance(op, Input):
                values[op.name] = inputs[op.name].astype(np.int64, copy=False)
            elif op.name in value_names and isinstance(op, Constant):
                whole = op.value.astype(np.int64)
                values[op.name] = np.broadcast_to(whole, (samples, *whole.shape))
        compiled = self._values_for(taps)
        if compiled is None:
            return values
        graph = compiled.emitted
        for name, _ in graph.outputs:
            new = np.zeros if name in graph.pixels else np.empty
            values[name] = new((samples, *self.program.shapes[name]), dtype=np.int64)
        tensors = sorted({*dict(graph.outputs).values(), *graph.pixels.values()})
        for start in range(0, samples, self.batch):
            part = slice(start, start + self.batch)
            feeds = {
                tensor: inputs[name][part].astype(carrier.dtype)
                for name, tensor, carrier in graph.inputs
            }
            arrays = dict(zip(tensors, compiled.session.run(tensors, feeds), strict=True))
            for name, tensor in graph.outputs:
                here = values[name][part]
                if name in graph.pixels:
                    here.reshape(-1, here.shape[-1])[arrays[graph.pixels[name]]] = arrays[tensor]
                else:
                    here[...] = arrays[tensor]
        return values


def chosen_batch(program: Program) -> int:
    """Samples to run at once: as many as leave a layer's values in the caches."""
    largest = 1
    for op in program.ops:
        largest = max(largest, math.prod(program.shapes[op.name]))
        if isinstance(op, SlidingWindow):  # windows may be gathered, one copy for each tap
            window = op.window
            positions = math.prod(program.shapes[op.name][:-1])
            gathered = positions * math.prod(window) * program.shapes[op.x][-1]
            largest = max(largest, gathered // 8)
    return samples_at_once(largest)
