# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a Program and samples to the int8 file, and from the file to how far it is from both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.host import host_functions
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.convert import ConvertedFile
from edgeinfer.targets.edgetpu.int8.output_levels import ScoreRange
from edgeinfer.targets.edgetpu.int8.working_points import LastLayer, count_thresholds
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.ports import RANGES, TflitePorts
from edgeinfer.targets.edgetpu.tflite.simulate import Int8Agreement
from quantization.fixed import Ints

SampleProgress = Callable[[int, int], None]
Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TfliteConversion:
    """The int8 file, and what had to be decided."""

    file: ConvertedFile
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """A file as the kernels run it that an interpreter takes if nothing is asked of it."""

    agreement: Int8Agreement  # against the Program that the file was made from, by the engine
    to_float: Int8Agreement  # against the float network on the same inputs
    to_program: Int8Agreement  # against the Program that was given, ties to even and all
    other: Int8Agreement  # of other kernels with these, on the first samples
    outputs: Mapping[str, Reals]  # of the samples that were tried, before the host's share
    hosts: Mapping[str, HostFunction]
    runtime: simulate.Runtime
    target: str  # whose figures these are
    thresholds: int | None  # of the lone score that leaves fewest; None where there is no such

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """How far the file is from its own Program, from the float network, and from the Program
        that was given."""
        kernels = self.runtime.kernels
        metrics = _simulated_metrics(
            {
                "int8_max_steps": self.agreement.max_steps,
                "int8_decision_flips": self.agreement.decision_flips,
                "int8_max_steps_to_float": self.to_float.max_steps,
                "int8_decision_flips_to_float": self.to_float.decision_flips_unrounded,
                "int8_max_steps_to_program": self.to_program.max_steps,
                "int8_decision_flips_to_program": self.to_program.decision_flips_unrounded,
            },
            self.target,
            kernels,
        )
        if self.thresholds is None:
            return metrics
        note = "levels between 90 and 99.9 % efficiency, by the network's own probabilities"
        counted = {"score_thresholds": self.thresholds}
        return (*metrics, *_simulated_metrics(counted, self.target, kernels, note))


def conversion(
    program: Program,
    graph: Graph,
    examples: Mapping[str, Ints],
    score_range: ScoreRange | None = None,
    last_layer: LastLayer = LastLayer.AUTO,
    *,
    is_nearest: bool = False,
) -> TfliteConversion:
    """Convert; `examples` are raw inputs of the Program that ranges are taken from, but for scores
    whose range was asked for.

    A Program that has no int8 equal (formats wider than 8 bits, functions that int8 operators lack)
    is not refused: the float network is calibrated on the samples in its stead, and it is said. One
    whose states go from sample to sample is refused, for no file can hold them. With `is_nearest`,
    the Program is the nearest int8 form of another, which was asked for.
    """
    if states := convert.states_without_ports(program):
        raise UnsupportedModelError(program.name, states)
    offences = convert.check(program)
    if not offences:
        converted = convert.convert_program(
            program, examples, score_range=score_range, last_layer=last_layer
        )
        return TfliteConversion(converted, converted.findings)
    lacking = "Even the Program's nearest int8 form" if is_nearest else "The Program"
    finding = (
        f"{lacking} has no int8 equal ({len(offences)} reasons, the first: {offences[0]}); the "
        f"float network was calibrated in its stead."
    )
    if not is_nearest:
        finding += " --fallback int8 makes the Program's nearest int8 form, if there is one."
    converted = convert.convert_graph(graph, simulate.real_inputs(program, examples))
    return TfliteConversion(converted, (finding, *converted.findings))


def judgement(
    program: Program,
    graph: Graph,
    raw: Mapping[str, Ints],
    interpreter: simulate.Runner,
    own: Program | None,
    other: simulate.Runner,
    target: str,
    *,
    report_progress: SampleProgress = lambda done, total: None,
) -> Judgement:
    """Run a file on raw inputs of the Program. `own` is the Program that the file was made from, if
    there is one; `other` the same file by other kernels, which are slow and run the first samples
    only."""
    ports, reals = interpreter.ports, simulate.real_inputs(program, raw)
    stored = simulate.stored_inputs(ports, reals)
    actual = interpreter.run(stored, report_progress)
    exact = simulate.engine_outputs(program, raw)
    first = {name: v[: simulate.SAMPLES_COMPARED] for name, v in stored.items()}
    others = other.run(first)
    few = {name: v[: simulate.SAMPLES_COMPARED] for name, v in actual.items()}
    agreement = simulate.compare_outputs(ports, actual, exact)
    agreed = agreement
    if own is not None:
        stored_reals = simulate.raw_inputs(ports, stored)
        agreed = simulate.compare_outputs(ports, actual, simulate.engine_outputs(own, stored_reals))
    return Judgement(
        agreed,
        simulate.compare_outputs(ports, actual, _float_outputs(graph, reals)),
        agreement,
        simulate.compare_outputs(ports, others, simulate.port_values(ports, few)),
        simulate.real_outputs(ports, actual),
        {port.name: port.host for port in ports.outputs if not port.fine_of},
        interpreter.runtime,
        target,
        _thresholds_of(ports, exact),
    )


def _thresholds_of(ports: TflitePorts, exact: Mapping[str, Reals]) -> int | None:
    """How many thresholds the lone scores leave; the fewest of several."""
    counts: dict[str, int] = {}
    for port in ports.outputs:
        if port.host is HostFunction.SIGMOID and float(np.log2(port.scale)).is_integer():
            score, ends = port.fine_of or port.name, port.real(np.asarray(RANGES[port.type]))
            count = count_thresholds(exact[score], port.scale, *ends.tolist())
            counts[score] = max(count, counts.get(score, 0))
    return min(counts.values(), default=None)


def _float_outputs(graph: Graph, inputs: Mapping[str, Reals]) -> dict[str, Reals]:
    """What the float network yields before what is left to the host."""
    before = {name: tensor for name, (tensor, _) in host_functions(graph).items()}
    kept = tuple(dict.fromkeys(before.get(name, name) for name in graph.outputs))
    outputs = FloatEngine(replace(graph, outputs=kept)).run(inputs)
    return {name: outputs[before.get(name, name)].astype(np.float64) for name in graph.outputs}


def _simulated_metrics(
    figures: Mapping[str, float], target: str, kernels: str, note: str | None = None
) -> tuple[Metric, ...]:
    return tuple(
        Metric(name, value, "", Origin.SIMULATED, tool=kernels, target=target, note=note)
        for name, value in figures.items()
    )


def other_metrics(
    prefix: str, other: Int8Agreement, target: str, kernels: str
) -> tuple[Metric, ...]:
    """How far other kernels are from those that ran the file."""
    figures = {
        f"{prefix}_differing": other.differing / other.samples,
        f"{prefix}_max_steps": other.max_steps,
        f"{prefix}_decision_flips": other.decision_flips,
    }
    return _simulated_metrics(figures, target, kernels)
