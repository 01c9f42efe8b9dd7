# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program's profile: scores and curves over all samples, layers and distributions over some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.evaluate.profile import scores
from edgeinfer.evaluate.profile.data import Clipped, Distribution, Histogram, Layer, Profile
from edgeinfer.evaluate.profile.histograms import of_values
from edgeinfer.evaluate.profile.inside import ValueStatistics, collect_statistics, worth_looking_at
from edgeinfer.graph import nodes as g
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.ops import macs_of
from edgeinfer.ir.program import Program, node_name
from quantization.fixed import Fixed, Overflow, dequantize, fixed_of_range
from quantization.ranges import Interval
from quantization.recipe import Recipe

MOST_SAMPLES = 20_000  # that curves and scores are of


def profile_of(
    program: Program, drawn: g.Graph, folded: g.Graph, recipe: Recipe, samples: Samples
) -> Profile:
    """The profile. `drawn` is the network as its author drew it, `folded` what was lowered."""
    kept = samples.part(0, MOST_SAMPLES).spread(judge.judgeable(program.macs))
    tapped = worth_looking_at(program, len(kept))
    few = kept.part(0, tapped)
    statistics = collect_statistics(
        program,
        folded,
        judge.raw_inputs(program, recipe, few),
        few.inputs,
        judge.batch_size(program),
    )
    outputs = {
        "float": judge.float_outputs(drawn, kept),
        "quantized": judge.program_outputs(program, recipe, kept),
    }
    judgements = {
        stage: scores.judge(stage, drawn, judgement, kept) for stage, judgement in outputs.items()
    }
    proved = bounds_of(program)
    return Profile(
        program=program.digest,
        samples=len(kept),
        tapped=tapped,
        origin=samples.origin,
        scores=tuple(judgement.score for judgement in judgements.values() if judgement is not None),
        lost=scores.measure_loss(judgements["float"], judgements["quantized"]),
        curves=tuple(
            curve
            for stage, judgement in outputs.items()
            for curve in scores.draw_curves(stage, drawn, judgement, kept)
        ),
        layers=tuple(
            _layer(op, program, proved[op.name], statistics.get(op.name)) for op in program.ops
        ),
        distributions=(*_weights(program, folded), *_activations(program, statistics)),
    )


def _layer(
    op: ops.Op, program: Program, proved: Interval, statistics: ValueStatistics | None
) -> Layer:
    unit = op.type.lsb
    weight = weight_of(op)
    facts: dict[str, Any] = {}
    if statistics is not None:
        needed = fixed_of_range(
            min(statistics.raw_low, 0), max(statistics.raw_high, 0), op.type.frac
        ).bits
        facts |= {
            "observed_low": statistics.raw_low * unit,
            "observed_high": statistics.raw_high * unit,
            "observed_bits": needed,
            "clipped": _count_clipped(op, statistics),
        }
        if statistics.floats is not None:
            facts |= {
                "float_rms": statistics.rms(statistics.float_squares),
                "error_rms": statistics.rms(statistics.error_squares),
            }
        if isinstance(op, ops.Requant):
            facts["rounding_rms"] = statistics.rms(statistics.rounding_squares)
    return Layer(
        name=op.name,
        op=type(op).__name__,
        reads=ops.inputs_of(op),
        shape=program.shapes[op.name],
        macs=macs_of(op, program.shapes),
        parameters=op.parameters,
        format=str(op.type),
        weight_format=None if weight is None else str(weight[1]),
        proved_low=proved.bottom * unit,
        proved_high=proved.top * unit,
        **facts,
    )


def _count_clipped(op: ops.Op, statistics: ValueStatistics) -> Clipped | None:
    if not isinstance(op, ops.Requant):
        return None
    positive = statistics.floats is None or statistics.floats.low >= 0
    return Clipped(
        values=statistics.elements,
        below=statistics.below,
        above=statistics.above,
        wraps=op.overflow is Overflow.WRAP,
        rectifies=not op.type.signed and positive,
    )


def weight_of(op: ops.Op) -> tuple[ops.Weights, Fixed] | None:
    """What an op multiplies by, and its type."""
    match op:
        case Accumulates():
            return op.weight, op.weight_type
        case ops.Scale():
            return op.factor, op.factor_type
        case ops.PRelu():
            return op.slope, op.slope_type
        case _:  # the other ops multiply by nothing that is stored
            return None


def _weights(program: Program, graph: g.Graph) -> Iterator[Distribution]:
    floats: dict[str, NDArray[np.float64]] = {}
    for node in graph.nodes:
        weights: Mapping[str, NDArray[np.float64]] = g.weights_of(node)
        for key, value in weights.items():
            if key.endswith(("/kernel", "/scale", "/slope")):
                floats[node.name] = value
    for op in program.ops:
        weight = weight_of(op)
        if weight is None or not weight[0].size:
            continue
        name = node_name(op.name)
        twin = floats.get(name)
        integers = dequantize(weight[0], weight[1])
        float_histogram = None if twin is None or twin.size != integers.size else of_values(twin)
        yield _distribution(name, "weight", weight[1], float_histogram, of_values(integers))


def _activations(
    program: Program, value_statistics: Mapping[str, ValueStatistics]
) -> Iterator[Distribution]:
    """Values whose formats were chosen: those that are exact by proof have no box to leave."""
    for op in program.ops:
        if isinstance(op, ops.Input | ops.Requant | ops.Table | ops.Softmax):
            statistics = value_statistics[op.name]
            floats = None if statistics.floats is None else statistics.floats.histogram()
            yield _distribution(
                op.name, "activation", op.type, floats, statistics.integers.histogram()
            )


def _distribution(
    name: str,
    kind: Literal["weight", "activation"],
    type_: Fixed,
    floats: Histogram | None,
    integers: Histogram,
) -> Distribution:
    return Distribution(
        name=name,
        kind=kind,
        format=str(type_),
        bits=type_.bits,
        lsb=type_.lsb,
        least=type_.min,
        most=type_.max,
        floats=floats,
        integers=integers,
    )
