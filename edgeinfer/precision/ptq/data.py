# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Calibration data: checked, thinned to what is looked at, remarked upon where they say little.

Every sample counts for ranges: wherever samples are left out, those stay in which a tensor takes
its smallest or its largest value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq.sketch import TensorSketch, check_values

Samples = dict[str, NDArray[Any]]
Rows = NDArray[np.intp]

MOST_SAMPLES = 4096
PLACING_SAMPLES = 1024  # suffice to place a binary point, which is tried in several places
MOST_ELEMENTS = 1 << 26  # of the widest tensor over all samples
MOST_INPUTS = 1 << 25  # elements of the widest input over all samples
FEW_SAMPLES = 16
HELD_OUT = 4  # one in so many samples is kept from fitting, where something is chosen by it
FEWEST_HELD_OUT = 8
DRAW_SEED = 19  # of which samples are taken where not all are
BULK_PERCENT, FAR = 99, 100.0  # what lies this many times beyond the bulk is an outlier


@dataclass(frozen=True, slots=True)
class Calibration:
    """What formats are fitted to, and what choices between ways of fitting are judged by."""

    fit: Samples
    held_out: Samples
    extremes: Rows  # of `fit`: where a tensor takes its smallest or its largest value


def check_samples(graph: g.Graph, data: Mapping[str, NDArray[Any]]) -> Samples:
    """The inputs among the data, in the types that they came in; their shapes are checked."""
    checked: Samples = {}
    for node in graph.inputs:
        if node.name not in data:
            raise InputError(f"The data have no array for the input {node.name!r}.")
        values = np.asarray(data[node.name])
        if values.shape[1:] != node.shape or values.ndim != len(node.shape) + 1:
            raise InputError(
                f"The data of {node.name!r} have shape {values.shape}, not (samples, "
                f"{', '.join(map(str, node.shape))})."
            )
        if not len(values):
            raise InputError(
                f"The calibration set is empty: {node.name!r} has no samples.",
                hint="Give at least one sample, better some hundreds.",
            )
        checked[node.name] = values
    if len({len(values) for values in checked.values()}) > 1:
        raise InputError("The inputs differ in their number of samples.")
    return checked


def most_samples(graph: g.Graph, most: int = MOST_SAMPLES) -> int:
    """As many samples as all tensors may be held of at the same time."""
    largest = max(int(np.prod(shape, dtype=int)) for shape in graph.shapes.values())
    widest = max(int(np.prod(node.shape, dtype=int)) for node in graph.inputs)
    return max(1, min(most, MOST_ELEMENTS // largest, MOST_INPUTS // max(widest, 1)))


def calibration_samples(samples: Samples, most: int, extremes: Rows) -> tuple[Samples, Rows]:
    """At most so many samples as floats, and which of them are `extremes`: all of these are among
    them. The samples that are added are drawn."""
    count = len(next(iter(samples.values())))
    kept = np.arange(count)
    if count > most:
        drawn = np.random.default_rng(DRAW_SEED).choice(count, most, replace=False)
        kept = np.union1d(drawn, extremes)
    chosen = {name: check_values(name, values[kept]) for name, values in samples.items()}
    return chosen, np.flatnonzero(np.isin(kept, extremes))


def thin_samples(samples: Samples, most: int, always: Rows) -> Samples:
    """So many samples at most, drawn, and `always` those that are named."""
    count = len(next(iter(samples.values())))
    if count <= most:
        return samples
    drawn = np.random.default_rng(DRAW_SEED).choice(count, most, replace=False)
    kept = np.union1d(drawn, always)
    return {name: values[kept] for name, values in samples.items()}


def divide_samples(samples: Samples, extremes: Rows) -> Calibration:
    """A quarter of the samples held out, drawn from those without extremes, which ranges must know;
    the same samples for both where there are too few."""
    count = len(next(iter(samples.values())))
    rest = np.setdiff1d(np.arange(count), extremes)
    held_out_count = min(count // HELD_OUT, len(rest))
    if held_out_count < FEWEST_HELD_OUT:
        return use_all_samples(samples, extremes)
    drawn = np.random.default_rng(DRAW_SEED).choice(rest, held_out_count, replace=False)
    held_out = np.isin(np.arange(count), drawn)
    return Calibration(
        {name: values[~held_out] for name, values in samples.items()},
        {name: values[held_out] for name, values in samples.items()},
        np.flatnonzero(np.isin(np.flatnonzero(~held_out), extremes)),
    )


def use_all_samples(samples: Samples, extremes: Rows) -> Calibration:
    """All samples for fitting, where nothing is chosen by others."""
    return Calibration(samples, samples, extremes)


def degenerate(inputs: Mapping[str, TensorSketch]) -> list[str]:
    """Remarks on data that say little about the ranges."""
    findings = []
    for name, sketch in inputs.items():
        if sketch.rows < FEW_SAMPLES:
            findings.append(f"{name}: only {sketch.rows} calibration samples.")
        if sketch.low == sketch.high:
            findings.append(f"{name} is constant ({sketch.low:g}) in the calibration set.")
            continue
        values = sketch.values
        sizes = np.abs(values[values != 0.0]).astype(np.float64)
        top, usual = float(sizes.max()), float(np.percentile(sizes, BULK_PERCENT))
        if top > FAR * usual:
            findings.append(
                f"{name} reaches {top:.3g}, though {BULK_PERCENT} % of its values other than zero "
                f"lie below {usual:.3g}: outliers that saturate, unless the range was asked to "
                f"hold them."
            )
    return findings


def lifeless(layers: Mapping[str, TensorSketch]) -> list[str]:
    """Remarks on tensors that are zero throughout, and on channels that are."""
    findings = []
    for name, sketch in layers.items():
        if sketch.low == sketch.high == 0.0:
            findings.append(f"{name} is zero throughout the calibration set.")
            continue
        alive = np.ones(1, bool) if sketch.alive is None else sketch.alive
        dead = int(np.sum(~alive))
        if dead and alive.size > 1:
            findings.append(
                f"{name}: {dead} of {alive.size} channels are zero throughout the calibration set."
            )
    return findings
