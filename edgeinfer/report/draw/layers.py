# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pictures of the layers: where the error comes from, and how values lie in their formats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from edgeinfer.evaluate.profile.data import Distribution, Histogram, Layer, Profile
from edgeinfer.report import words
from edgeinfer.report.draw.marks import Area, Box, Figure, Label, Line, Mark, cut
from edgeinfer.report.draw.scales import AxisScale, grid_across, over, write_power
from edgeinfer.report.layer_tables import relative_error

WIDTH = 1000.0
LEFT, RIGHT = 210.0, 900.0
ROW = 24.0
MOST_ROWS = 40
TALL = 40.0  # of a distribution's row
MOST_TENSORS = 24
ODD_SMALL, ODD_LARGE = -24, 24  # powers of two that a picture reaches to at most


def waterfall_figure(profile: Profile) -> Figure | None:
    """The error of each value against the float tensor, and what its own rounding alone does."""
    layers = [layer for layer in profile.layers if relative_error(layer) is not None]
    if not layers:
        return None
    layers_shown = _worst(layers)
    errors = [100 * (relative_error(layer) or 0.0) for layer in layers_shown]
    scale = over([0.0, *errors], LEFT, RIGHT, zero=True)
    top = 34.0
    bottom = top + ROW * len(layers_shown)
    ticks = [(at, f"{label} %") for at, label in scale.ticks()]
    marks: list[Mark] = [*grid_across(ticks, top, bottom)]
    before: float | None = None
    for number, (layer, error) in enumerate(zip(layers_shown, errors, strict=True)):
        y = top + ROW * number
        x = scale.place(error)
        start = scale.place(0.0)
        if before is not None:
            marks.append(Line(((before, y - 4), (before, y + 4)), "link"))
        about = f"{layer.name}: {words.number(error, 3)} % of the float tensor's rms"
        marks.append(Box(start, y + 4, max(x - start, 0.8), ROW - 8, "bar", about, 2))
        own = _own(layer)
        if own is not None:
            end = scale.place(100 * own)
            text = f"{layer.name}: its own rounding makes {words.number(100 * own, 3)} %"
            marks.append(Box(start, y + 4, max(end - start, 0.8), ROW - 8, "bar own", text, 2))
        marks += [
            Label(
                LEFT - 12, y + ROW / 2 + 4, cut(words.short(layer.name), LEFT - 20), "ink", "end"
            ),
            Label(RIGHT + 84, y + ROW / 2 + 4, f"{words.number(error, 3)} %", "ink number", "end"),
        ]
        before = x
    marks += [
        Box(LEFT, 10, 14, 10, "bar", "", 2),
        Label(LEFT + 20, 19, "difference to the float network", "muted"),
        Box(LEFT + 230, 10, 14, 10, "bar own", "", 2),
        Label(LEFT + 250, 19, "what this value's rounding makes alone", "muted"),
    ]
    worst = max(zip(errors, layers_shown, strict=True), key=lambda pair: pair[0])
    sentence = (
        f"The error grows to {words.number(worst[0], 3)} % of the signal at "
        f"{words.short(worst[1].name)}."
    )
    left = len(layers) - len(layers_shown)
    note = f"The {len(layers_shown)} values with the largest error; {left:,} more are in the table."
    return Figure(
        "error-by-layer",
        "Error by layer",
        sentence,
        WIDTH,
        bottom + 30,
        tuple(marks),
        note if left else "",
    )


def _worst(layers: Sequence[Layer]) -> list[Layer]:
    if len(layers) <= MOST_ROWS:
        return list(layers)
    ranked = sorted(range(len(layers)), key=lambda n: -(relative_error(layers[n]) or 0.0))
    return [layers[number] for number in sorted(ranked[:MOST_ROWS])]


def _own(layer: Layer) -> float | None:
    if layer.rounding_rms is None or not layer.float_rms:
        return None
    share = layer.rounding_rms / layer.float_rms
    return share if math.isfinite(share) else None


def distribution_figure(profile: Profile, kind: Literal["weight", "activation"]) -> Figure | None:
    """Sizes of values on a scale of powers of two, with the box of what each format holds."""
    tensors = [each for each in profile.distributions if each.kind == kind]
    if not tensors:
        return None
    tensors_shown = tensors[:MOST_TENSORS]
    scale = _octaves(tensors_shown)
    top = 40.0
    bottom = top + TALL * len(tensors_shown)
    step = max(1, math.ceil((scale.high - scale.low) / 14))
    powers = range(math.ceil(scale.low), math.floor(scale.high) + 1)
    ticks = [
        (scale.place(power), f"2{write_power(power)}") for power in powers if power % step == 0
    ]
    marks: list[Mark] = [*grid_across(ticks, top, bottom)]
    for number, tensor in enumerate(tensors_shown):
        marks += _tensor(tensor, scale, top + TALL * number)
    marks += _key()
    plural = "weights" if kind == "weight" else "activations"
    sentence = (
        f"Of {words.count_noun(len(tensors_shown), 'tensor')} the sizes of floats and integers, "
        f"and the range from the smallest step to the largest value of each format."
    )
    left = len(tensors) - len(tensors_shown)
    note = (
        f"The first {len(tensors_shown)} tensors; {left:,} more are in report_data.json."
        if left
        else ""
    )
    title = f"Distributions of {plural} in their formats"
    return Figure(plural, title, sentence, WIDTH, bottom + 30, tuple(marks), note)


def _octaves(tensors: Sequence[Distribution]) -> AxisScale:
    lows, highs = [], []
    for each in tensors:
        low, high = _format_range(each)
        lows.append(low - 1)
        highs.append(high + 1)
        for histogram in (each.floats, each.integers):
            if histogram is not None and histogram.counts:
                lows.append(_tail(histogram))
                highs.append(float(histogram.first + len(histogram.counts)))
    low = max(math.floor(min(lows)), math.floor(max(lows)) + ODD_SMALL)
    return AxisScale(
        float(low), float(min(math.ceil(max(highs)), low + 2 * ODD_LARGE)), LEFT, RIGHT
    )


def _format_range(tensor: Distribution) -> tuple[float, float]:
    """The bins of a format, from half a step, below which all is zero, to its largest value."""
    largest = max(abs(tensor.least), abs(tensor.most), tensor.lsb)
    return math.log2(tensor.lsb) - 1, float(math.ceil(math.log2(largest)))


def _tail(histogram: Histogram) -> float:
    """The power of two below which less than a hundredth of the values lie."""
    total, counted = sum(histogram.counts), 0
    for number, count in enumerate(histogram.counts):
        counted += count
        if counted > 0.01 * total:
            return float(histogram.first + number)
    return float(histogram.first)


def _tensor(tensor: Distribution, scale: AxisScale, y: float) -> list[Mark]:
    low, high = (scale.place(power) for power in _format_range(tensor))
    base = y + TALL - 6
    about = f"{tensor.name}: {tensor.format} holds steps of {tensor.lsb:g} up to {tensor.most:g}"
    marks: list[Mark] = [
        Line(((LEFT, base), (RIGHT, base)), "grid"),
        Box(low, y + 4, max(high - low, 2.0), TALL - 10, "format", about, 2),
    ]
    most = max(_peak(tensor.floats), _peak(tensor.integers))
    if tensor.floats is not None and most:
        points = _steps(tensor.floats, scale, base, TALL - 14, most)
        marks.append(Area(points, "spread", f"{tensor.name}: floats"))
    if most:
        points = _steps(tensor.integers, scale, base, TALL - 14, most)
        marks.append(Line(points, "spread-int", f"{tensor.name}: integers"))
    marks += [
        Label(LEFT - 12, y + 18, cut(words.short(tensor.name), LEFT - 20), "ink", "end"),
        Label(LEFT - 12, y + 32, tensor.format, "muted small", "end"),
        Label(
            RIGHT + 88,
            y + 24,
            f"{words.percent(_zeros(tensor.integers), 0)} zero",
            "muted small",
            "end",
        ),
    ]
    return marks


def _steps(
    histogram: Histogram, scale: AxisScale, base: float, room: float, most: float
) -> tuple[tuple[float, float], ...]:
    total = max(sum(histogram.counts) + histogram.zeros, 1)
    points: list[tuple[float, float]] = []
    for number, count in enumerate(histogram.counts):
        low, high = histogram.first + number, histogram.first + number + 1
        if high <= scale.low or low >= scale.high:
            continue
        y = round(base - room * count / total / most, 2)
        points += [(scale.place(low), y), (scale.place(high), y)]
    if not points:
        return ((scale.start, base), (scale.start, base))
    return ((points[0][0], base), *points, (points[-1][0], base))


def _peak(histogram: Histogram | None) -> float:
    if histogram is None or not histogram.counts:
        return 0.0
    return max(histogram.counts) / (sum(histogram.counts) + histogram.zeros)


def _zeros(histogram: Histogram) -> float:
    total = sum(histogram.counts) + histogram.zeros
    return histogram.zeros / total if total else 0.0


def _key() -> list[Mark]:
    return [
        Box(LEFT, 10, 16, 12, "format", "", 2),
        Label(LEFT + 22, 20, "what the format holds", "muted"),
        Area(((LEFT + 170, 22), (LEFT + 170, 12), (LEFT + 186, 12), (LEFT + 186, 22)), "spread"),
        Label(LEFT + 192, 20, "floats", "muted"),
        Line(((LEFT + 250, 16), (LEFT + 266, 16)), "spread-int"),
        Label(LEFT + 272, 20, "integers", "muted"),
    ]
