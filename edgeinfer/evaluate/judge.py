# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A network run on samples: as floats, as integers, and judged by its labels or by its twin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base import metrics
from edgeinfer.base.metrics import Metric, Origin, Scores, Task
from edgeinfer.data.samples import Samples, task_of
from edgeinfer.evaluate.streams import begin_with_zeros, follow_raw_states, follow_states
from edgeinfer.graph import nodes as g
from edgeinfer.ir import agreement as cosim
from edgeinfer.ir import ops
from edgeinfer.ir.agreement import Agreement, AgreementTally, Divergence
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import bounds_of, stays_within
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.left_out import count_lit
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.program import HostFunction, Program
from quantization.fixed import (
    Ints,
    Overflow,
    Quantizer,
    Rounding,
    dequantize,
    fixed_of_range,
    quantize,
)
from quantization.recipe import Recipe

Floats = NDArray[np.float64]
SampleProgress = Callable[[int, int], None]  # samples done, samples in all

ELEMENTS_HELD = 1 << 23  # of all values of a batch together: what the interpreter keeps at once
MOST_AT_ONCE = 256
INPUTS_AT_ONCE = 1 << 22  # input values that are held as 64 bit integers, or floats, at once
MOST_MACS = 1_000_000_000_000  # of all samples that networks are judged on: about a minute
FEWEST_JUDGED = 8
MOST_NAMED = 3


def raw_inputs(program: Program, recipe: Recipe, samples: Samples) -> dict[str, Ints]:
    """The samples as the Program reads them: brought to the input types, as the recipe rounds. A
    state is zero, or what the first sample says, and then what the Program makes of it."""
    raws = {}
    arrays = begin_with_zeros(
        samples.inputs, {name: program.shapes[name] for name in program.states}
    )
    for op in program.inputs:
        quantizer = recipe.activation(op.name) or Quantizer(
            op.type, Rounding.RND_CONV, Overflow.SAT
        )
        values = arrays[op.name]
        raw = np.empty(values.shape, np.int64)
        for part in _parts(values):
            raw[part] = _quantize_values(values[part], quantizer)
        raws[op.name] = raw
    return follow_raw_states(program, raws)


def _quantize_values(values: NDArray[Any], quantizer: Quantizer) -> Ints:
    """Real values as raw integers; bytes, of which there are 256, are looked up."""
    if values.dtype != np.uint8:
        return quantize(values, quantizer)
    table: Ints = quantize(np.arange(256), quantizer)[values]
    return table


def affordable(shapes: Iterable[Sequence[int]]) -> int:
    """As many samples as a step may hold the inputs of, which have these shapes, as integers."""
    largest = max(int(np.prod(shape, dtype=int)) for shape in shapes)
    return max(1, 4 * INPUTS_AT_ONCE // max(largest, 1))


def judgeable(macs: int) -> int:
    """On how many samples a network of so many multiply-accumulates is judged, as floats and as
    integers, unless more are asked for."""
    return max(FEWEST_JUDGED, MOST_MACS // max(macs, 1))


def judged_share(judged: int, available: int) -> list[str]:
    """A sentence where not all samples were judged."""
    if judged == available:
        return []
    return [
        f"{judged:,} of {available:,} samples were judged, spread evenly: all of them would take "
        f"long for so large a network."
    ]


def _parts(values: NDArray[Any]) -> Iterator[slice]:
    """Samples that are worked on at once, so that only these are held in 64 bits a value."""
    step = max(1, INPUTS_AT_ONCE // max(1, int(np.prod(values.shape[1:], dtype=int))))
    for start in range(0, len(values), step):
        yield slice(start, start + step)


def saturation(program: Program, samples: Samples) -> list[str]:
    """A sentence for each input of which samples lie beyond its type."""
    findings = []
    for op in program.inputs:
        values = samples.inputs[op.name]
        beyond = 0
        for part in _parts(values):
            reals = values[part].astype(np.float64)
            beyond += int(((reals < op.type.min) | (reals > op.type.max)).sum())
        if beyond:
            share = beyond / values.size
            findings.append(
                f"{op.name}: {share:.2%} of the input values lie beyond {op.type}, "
                f"{op.type.min:g}..{op.type.max:g}."
            )
    return findings


def inner_saturation(program: Program, raw: Mapping[str, Ints]) -> list[str]:
    """A sentence for each tensor inside of which values lie beyond its format; below an unsigned
    one that saturates nothing is counted, for there a ReLU was meant."""
    cuts = [op for op in program.ops if isinstance(op, ops.Requant)]
    few = next(batches(raw, batch_size(program)))
    values_of_taps = Engine(program).run(few, taps=tuple(dict.fromkeys(op.x for op in cuts)))
    findings = []
    for op in cuts:
        values, half = dequantize(values_of_taps[op.x], program.type(op.x)), op.type.lsb / 2
        beyond = values > op.type.max + half
        wraps = op.overflow is Overflow.WRAP
        if op.type.signed or wraps:
            beyond |= values < op.type.min - half
        share = float(np.mean(beyond))
        if share:
            findings.append(
                f"{op.name}: {share:.2%} of the values inside the network lie beyond {op.type}, "
                f"{op.type.min:g}..{op.type.max:g}; they reach {np.abs(values[beyond]).max():.4g}"
                f"{', and come back on the other side' if wraps else ''}."
            )
    unproved = unproved_wraps(program)
    if unproved:
        others = len(unproved) - MOST_NAMED
        names = ", ".join(unproved[:MOST_NAMED]) + (f" and {others} others" if others > 0 else "")
        findings.append(
            f"Values of {names} wrap around where they leave their ranges. That they stay inside "
            f"is seen in samples, not proved."
        )
    return findings


def unproved_wraps(program: Program) -> list[str]:
    """Tensors that wrap around beyond a range which no proof says values stay within."""
    proved = bounds_of(program)
    return [
        op.name
        for op in program.ops
        if isinstance(op, ops.Requant)
        and op.overflow is Overflow.WRAP
        and not stays_within(op, proved[op.x], program.type(op.x))
    ]


def dropped_sites(program: Program, raw: Mapping[str, Ints]) -> list[str]:
    """A sentence for each mask with a limit that some samples exceed."""
    if not any(isinstance(op, ops.Sites) and op.most is not None for op in program.ops):
        return []
    findings = []
    for lit in count_lit(program, next(batches(raw, batch_size(program)))):
        over = int((lit.left_out > 0).sum())
        if over:
            findings.append(
                f"{lit.sites}: {over} of {len(lit.counts)} samples have more lit pixels than the "
                f"{lit.most} that are kept, up to {int(lit.counts.max())}; the rest of them is "
                "dropped."
            )
    return findings


def float_outputs(graph: g.Graph, samples: Samples) -> dict[str, Floats]:
    """What the float network yields, as its author drew it; states are none of its outputs."""
    from edgeinfer.ir.engine.float_engine import FloatEngine

    outputs = FloatEngine(graph).run(follow_states(graph, samples).inputs)
    kept = set(graph.states.values())
    return {name: outputs[name].astype(np.float64) for name in graph.outputs if name not in kept}


def quantized_outputs(program: Program, raw: Mapping[str, NDArray[Any]]) -> dict[str, Floats]:
    """What the Program yields, in real numbers and after what is left to the host."""
    widest = max(raw.values(), key=lambda values: values[:1].size)
    return _outputs_of_parts(
        program,
        (
            {name: values[rows].astype(np.int64) for name, values in raw.items()}
            for rows in _parts(widest)
        ),
    )


def _outputs_of_parts(program: Program, parts: Iterable[Mapping[str, Ints]]) -> dict[str, Floats]:
    """The same for samples that come part by part."""
    engine = Engine(program)
    pieces: dict[str, list[Floats]] = {output.name: [] for output in program.outputs}
    for raw in parts:
        for name, values in real_outputs(program, engine.run(raw)).items():
            pieces[name].append(values)
    return {name: np.concatenate(arrays) for name, arrays in pieces.items()}


def program_outputs(program: Program, recipe: Recipe, samples: Samples) -> dict[str, Floats]:
    """The same for samples, of which some at a time are held as integers; without states."""
    if program.states:
        kept, whole = set(program.states.values()), raw_inputs(program, recipe, samples)
        outputs = quantized_outputs(program, whole)
        return {name: values for name, values in outputs.items() if name not in kept}
    widest = max((samples.inputs[op.name] for op in program.inputs), key=lambda v: v[:1].size)
    parts = (samples.part(rows.start, rows.stop) for rows in _parts(widest))
    return _outputs_of_parts(program, (raw_inputs(program, recipe, part) for part in parts))


def real_outputs(program: Program, raw: Mapping[str, Ints]) -> dict[str, Floats]:
    """Raw outputs in real numbers, after what is left to the host."""
    hosts = {output.name: output.host for output in program.outputs}
    return after_hosts(dequantize_outputs(program, raw), hosts)


def after_hosts(
    outputs: Mapping[str, Floats], hosts: Mapping[str, HostFunction]
) -> dict[str, Floats]:
    """Outputs in real numbers, each after the host's share of it."""
    return {name: apply_host_functions(values, hosts[name]) for name, values in outputs.items()}


def dequantize_outputs(program: Program, raw: Mapping[str, Ints]) -> dict[str, Floats]:
    """Raw outputs in real numbers, before what is left to the host."""
    return {
        output.name: dequantize(raw[output.name], program.type(output.value))
        for output in program.outputs
    }


def apply_host_functions(values: Floats, function: HostFunction) -> Floats:
    """The host's share of the network."""
    match function:
        case HostFunction.NONE:
            return values
        case HostFunction.SIGMOID:
            return sigmoid(values)
        case HostFunction.SOFTMAX:
            grown = np.exp(values - values.max(axis=-1, keepdims=True))
            shares: Floats = grown / grown.sum(axis=-1, keepdims=True)
            return shares
        case _:
            assert_never(function)


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    result: Floats = np.exp(-np.logaddexp(0.0, -values))
    return result


def score(graph: g.Graph, outputs: Mapping[str, Floats], samples: Samples) -> Scores:
    """Outputs against labels. An only value per decision that is no probability is a logit."""
    heads = {}
    for name, labels in samples.labels.items():
        task = task_of(labels, graph.shapes[name])
        heads[name] = metrics.score_head(
            judge_values(graph, name, outputs[name], task), labels, task
        )
    return metrics.join_scores(heads)


def judge_values(graph: g.Graph, name: str, values: Floats, task: Task) -> Floats:
    """An output as its labels judge it: a logit that decides alone becomes a probability."""
    shape = graph.shapes[name]
    alone = not shape or shape[-1] == 1
    if task is Task.CLASSIFICATION and alone and not _yields_probability(graph.node(name)):
        return sigmoid(values)
    return values


def tasks(graph: g.Graph, samples: Samples) -> set[Task]:
    """What the labelled outputs are for."""
    return {task_of(labels, graph.shapes[name]) for name, labels in samples.labels.items()}


def _yields_probability(node: g.Node) -> bool:
    match node:
        case (
            g.ActivationNode(function=g.Function.SIGMOID | g.Function.HARD_SIGMOID)
            | g.SoftmaxNode()
        ):
            return True
        case _:  # only these two end between 0 and 1 for certain
            return False


def fidelity(
    graph: g.Graph, expected: Mapping[str, Floats], actual: Mapping[str, Floats]
) -> list[Metric]:
    """How near the integer network comes to the float one, with or without labels."""
    away = np.concatenate([(expected[name] - actual[name]).ravel() for name in expected])
    same = []
    for name in expected:
        threshold = 0.5 if _yields_probability(graph.node(name)) else 0.0
        alike = cosim.decisions(expected[name], threshold) == cosim.decisions(
            actual[name], threshold
        )
        same.append(alike.reshape(len(alike), -1))
    shares = float(np.mean(np.concatenate(same, axis=1).all(axis=1)))
    return [
        Metric("rms_difference_to_float", float(np.sqrt(np.mean(away**2))), "", Origin.SIMULATED),
        Metric("max_difference_to_float", float(np.abs(away).max()), "", Origin.SIMULATED),
        Metric("same_decision_as_float", shares, "", Origin.SIMULATED),
    ]


class Stage(StrEnum):
    """Ways to run a Program. The interpreter is what every other one is held against."""

    ENGINE = "engine"
    INTERPRET = "interpret"
    CSIM = "csim"  # what g++ makes of the HLS project


@dataclass(frozen=True, slots=True)
class StageComparison:
    """How engine and interpreter compared, and what the latter saw where it was asked for."""

    agreement: Agreement
    observed: tuple[Metric, ...]


def try_stages(
    program: Program,
    raw: Mapping[str, Ints],
    stages: Collection[Stage],
    report_progress: SampleProgress,
) -> StageComparison:
    """Run the interpreter, hold the engine against it bit for bit, and find where they part.

    With the stage `interpret`: also the width that the observed values of each layer would have
    needed.
    """
    engine = Engine(program)
    comparison = AgreementTally(program, ("interpret", "engine"))
    low: dict[str, int] = {}
    high: dict[str, int] = {}
    total, done = len(next(iter(raw.values()))), 0
    for batch in batches(raw, batch_size(program)):
        values = interpret(program, batch)
        comparison.add(results(program, values), engine.run(batch))
        if Stage.INTERPRET in stages:
            for op in linear_ops(program):
                low[op.name] = min(low.get(op.name, 0), int(values[op.name].min()))
                high[op.name] = max(high.get(op.name, 0), int(values[op.name].max()))
        done += len(next(iter(batch.values())))
        report_progress(done, total)
    agreed = comparison.agreement(_where_they_part(program, engine, raw, comparison))
    observed = []
    for name, bottom in low.items():
        needed = fixed_of_range(bottom, high[name], program.type(name).frac).bits
        observed.append(Metric("observed_bits", needed, "bit", Origin.SIMULATED, layer=name))
    return StageComparison(agreed, tuple(observed))


def _where_they_part(
    program: Program, engine: Engine, raw: Mapping[str, Ints], comparison: AgreementTally
) -> Divergence | None:
    if not comparison.differing:
        return None
    sample = comparison.differing[0]
    one = {name: values[sample : sample + 1] for name, values in raw.items()}
    actual_values = engine.run(one, taps=tuple(op.name for op in program.ops))
    return cosim.first_divergence(program, interpret(program, one), actual_values, sample)


def linear_ops(program: Program) -> tuple[Accumulates, ...]:
    """The ops that accumulate."""
    return tuple(op for op in program.ops if isinstance(op, Accumulates))


def batch_size(program: Program) -> int:
    """As many samples as the interpreter can hold all values of."""
    elements = sum(int(np.prod(shape, dtype=int)) for shape in program.shapes.values())
    return max(1, min(MOST_AT_ONCE, ELEMENTS_HELD // max(elements, 1)))


def batches(raw: Mapping[str, NDArray[Any]], size: int) -> Iterator[dict[str, NDArray[Any]]]:
    """The samples in pieces."""
    total = len(next(iter(raw.values())))
    for start in range(0, total, size):
        yield {name: values[start : start + size] for name, values in raw.items()}
