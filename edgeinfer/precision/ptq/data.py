# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Calibration data: checked, thinned to what is looked at, remarked upon where they say little.

Every sample counts for ranges: wherever samples are left out, those stay in which a tensor takes
its smallest or its largest value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from quantization.calibrate import finite
from quantization.fixed import FormatError

Samples = dict[str, NDArray[Any]]
Rows = NDArray[np.intp]

MOST_SAMPLES = 4096
PLACING_SAMPLES = 1024  # suffice to place a binary point, which is tried in several places
MOST_ELEMENTS = 1 << 26  # of the widest tensor over all samples
MOST_INPUTS = 1 << 25  # elements of the widest input over all samples
FEW_SAMPLES = 16
HELD_OUT = 4  # one in so many samples is kept from fitting, where something is chosen by it
FEWEST_HELD_OUT = 8
AT_ONCE = 256  # samples of which all tensors are looked at together
ELEMENTS_AT_ONCE = 1 << 24  # of the widest tensor over these
DRAW_SEED = 19  # of which samples are taken where not all are
BULK_PERCENT, FAR = 99, 100.0  # what lies this many times beyond the bulk is an outlier
LARGEST_VALUE = 1e30  # a float32 network squares some of them


@dataclass(frozen=True, slots=True)
class Calibration:
    """What formats are fitted to, and what choices between ways of fitting are judged by."""

    fit: Samples
    held_out: Samples
    extremes: Rows  # of `fit`: where a tensor takes its smallest or its largest value


def calibration_samples(
    graph: g.Graph,
    data: Mapping[str, NDArray[Any]],
    tensors: Collection[str],
    most: int = MOST_SAMPLES,
) -> Samples:
    """The inputs among the data, checked; where there are more than `most`, so many are drawn,
    and all in which one of the tensors takes its smallest or its largest value."""
    largest = max(int(np.prod(shape, dtype=int)) for shape in graph.shapes.values())
    widest = max(int(np.prod(node.shape, dtype=int)) for node in graph.inputs)
    most = max(1, min(most, MOST_ELEMENTS // largest, MOST_INPUTS // max(widest, 1)))
    found: Samples = {}
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
        found[node.name] = values
    counts = {len(values) for values in found.values()}
    if len(counts) > 1:
        raise InputError("The inputs differ in their number of samples.")
    if counts and counts.pop() > most:
        found = thin_samples(found, most, extreme_rows(graph, found, tensors))
    return {name: _check_values(name, values) for name, values in found.items()}


def extreme_rows(graph: g.Graph, samples: Samples, tensors: Collection[str]) -> Rows:
    """The samples in which a tensor takes its smallest or its largest value of all."""
    engine = FloatEngine(graph)
    largest = max(int(np.prod(shape, dtype=int)) for shape in graph.shapes.values())
    at_once = max(1, min(AT_ONCE, ELEMENTS_AT_ONCE // largest))
    low: dict[str, tuple[float, int]] = {}
    high: dict[str, tuple[float, int]] = {}
    for start in range(0, len(next(iter(samples.values()))), at_once):
        part = {
            name: _check_values(name, values[start : start + at_once])
            for name, values in samples.items()
        }
        found = engine.run(part, tuple(tensors))
        for name in tensors:
            flat = found[name].reshape(len(found[name]), -1)
            if not np.isfinite(flat).all():
                raise InputError(
                    f"{graph.name}: the values of {name!r} leave float32 on the calibration set.",
                    hint="Its weights or its inputs are too large; scale them, or give a recipe.",
                )
            least, most = flat.min(axis=1), flat.max(axis=1)
            low[name] = min(low.get(name, (np.inf, 0)), (least.min(), start + int(least.argmin())))
            high[name] = max(high.get(name, (-np.inf, 0)), (most.max(), start + int(most.argmax())))
    return np.unique([row for _, row in (*low.values(), *high.values())]).astype(np.intp)


def thin_samples(samples: Samples, most: int, always: Rows) -> Samples:
    """So many samples at most, drawn, and `always` those that are named."""
    count = len(next(iter(samples.values())))
    if count <= most:
        return samples
    drawn = np.random.default_rng(DRAW_SEED).choice(count, most, replace=False)
    kept = np.union1d(drawn, always)
    return {name: values[kept] for name, values in samples.items()}


def _check_values(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """The values as floats, in single precision where that holds them all."""
    try:
        narrow = np.can_cast(values.dtype, np.float32)
        reals = finite(values, np.float32 if narrow else np.float64)
    except FormatError as error:
        raise InputError(f"The data of {name!r}: {error}") from None
    if np.abs(reals).max(initial=0.0) > LARGEST_VALUE:
        raise InputError(
            f"The data of {name!r} reach {np.abs(reals).max():.3g}, too large for float32.",
            hint="Scale the input, or remove those samples.",
        )
    return reals


def divide_samples(samples: Samples, extremes: Rows) -> Calibration:
    """A quarter of the samples held out, drawn from those without extremes, which ranges must know;
    the same samples for both where there are too few."""
    count = len(next(iter(samples.values())))
    rest = np.setdiff1d(np.arange(count), extremes)
    wanted = min(count // HELD_OUT, len(rest))
    if wanted < FEWEST_HELD_OUT:
        return use_all_samples(samples, extremes)
    drawn = np.random.default_rng(DRAW_SEED).choice(rest, wanted, replace=False)
    held = np.isin(np.arange(count), drawn)
    return Calibration(
        {name: values[~held] for name, values in samples.items()},
        {name: values[held] for name, values in samples.items()},
        np.flatnonzero(np.isin(np.flatnonzero(~held), extremes)),
    )


def use_all_samples(samples: Samples, extremes: Rows) -> Calibration:
    """All samples for fitting, where nothing is chosen by others."""
    return Calibration(samples, samples, extremes)


def degenerate(samples: Mapping[str, NDArray[Any]]) -> list[str]:
    """Remarks on data that say little about the ranges."""
    findings = []
    for name, values in samples.items():
        if len(values) < FEW_SAMPLES:
            findings.append(f"{name}: only {len(values)} calibration samples.")
        if values.size and values.min() == values.max():
            findings.append(f"{name} is constant ({values.flat[0]:g}) in the calibration set.")
            continue
        sizes = np.abs(values[values != 0.0]).astype(np.float64)
        top, usual = float(sizes.max()), float(np.percentile(sizes, BULK_PERCENT))
        if top > FAR * usual:
            findings.append(
                f"{name} reaches {top:.3g}, though {BULK_PERCENT} % of its values other than zero "
                f"lie below {usual:.3g}: outliers that saturate, unless the range was asked to "
                f"hold them."
            )
    return findings


def lifeless(layers: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """Remarks on tensors that are zero throughout, and on channels that are."""
    findings = []
    for name, values in layers.items():
        if not values.any():
            findings.append(f"{name} is zero throughout the calibration set.")
            continue
        dead = int(np.sum(~values.reshape(-1, values.shape[-1]).any(axis=0)))
        if dead and values.ndim > 1 and values.shape[-1] > 1:
            findings.append(
                f"{name}: {dead} of {values.shape[-1]} channels are zero throughout the "
                f"calibration set."
            )
    return findings
