# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The tables of a network's layers: their numbers, and what each target makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from edgeinfer.base.csv_text import as_csv
from edgeinfer.base.metrics import Metric
from edgeinfer.base.site_figures import sites_of
from edgeinfer.evaluate.profile.data import Clipped, Layer, Profile
from edgeinfer.report import words
from edgeinfer.report.quantity import quantity_of, strength, targets_of
from edgeinfer.report.result import Result
from edgeinfer.report.tables import Cell, Column, ReportTable, figure, filled_table, text
from edgeinfer.report.titles import target_title

MOST_ROWS = 400  # of a table on the page; the CSV files hold all
FIRST = (  # figures of a layer in the order in which people look for them
    "reuse",
    "multipliers",
    "latency_cycles",
    "busy_cycles",
    "ii_cycles",
    "last_beat_cycles",
    "layer_latency",
    "latency_us",
    "dsp",
    "lut",
    "ff",
    "bram18",
    "bram4",
    "uram",
    "weight_bits",
    "cached_bytes",
    "streamed_bytes",
    "layer_cached_bytes",
    "layer_streamed_bytes",
)
TITLES = {
    "latency_cycles": "latency",
    "busy_cycles": "busy",
    "ii_cycles": "interval",
    "last_beat_cycles": "done after",
    "layer_latency": "latency",
    "latency_us": "latency",
    "weight_bits": "weights",
    "cached_bytes": "on the chip",
    "streamed_bytes": "streamed",
    "layer_cached_bytes": "on the chip",
    "layer_streamed_bytes": "streamed",
}
NAMES = {"us": "µs", "LUT": "", "FF": "", "DSP": "", "BRAM18": "", "URAM": ""}


def layer_table(profile: Profile) -> ReportTable:
    """Shape, work, formats, ranges proved and seen, values brought back into range, and error."""
    columns = (
        Column("value"),
        Column("op"),
        Column("shape"),
        Column("MACs", numeric=True, about="multiply-accumulates for one sample"),
        Column("parameters", numeric=True),
        Column("format", about="of the value"),
        Column("weights", about="format of the weights"),
        Column("proved", about="range that no input can leave"),
        Column("observed", about="range that was seen"),
        Column("bits seen", numeric=True, about="that the observed values would have needed"),
        Column("saturated", numeric=True, about="values brought back into the format's range"),
        Column("error", "%", True, "rms difference to the float network, of the float's rms"),
    )
    rows = [_row(layer) for layer in choose_layers(profile.layers)]
    note = left_out_note(len(profile.layers), "layers.csv")
    caption = (
        f"Every value of the Program; {words.count_noun(profile.tapped, 'sample')} looked into"
    )
    return filled_table("layers", caption, columns, rows, note)


def choose_layers(layers: Sequence[Layer]) -> list[Layer]:
    """The layers that work most, in the network's order, if there are too many for a page."""
    if len(layers) <= MOST_ROWS:
        return list(layers)
    ranked = sorted(range(len(layers)), key=lambda n: (-layers[n].macs, n))
    return [layers[number] for number in sorted(ranked[:MOST_ROWS])]


def left_out_note(count: int, file: str) -> str:
    """A word on the rows that a page does not show."""
    if count <= MOST_ROWS:
        return ""
    return f"The {MOST_ROWS} that multiply most are shown; all {count:,} are in report/{file}."


def _row(layer: Layer) -> tuple[Cell, ...]:
    return (
        text(layer.name),
        Cell(layer.op),
        Cell(words.short(words.size(layer.shape))),
        figure(layer.macs) if layer.macs else Cell("", 0.0),
        figure(layer.parameters) if layer.parameters else Cell("", 0.0),
        Cell(layer.format),
        Cell(layer.weight_format or ""),
        Cell(f"{words.number(layer.proved_low)} to {words.number(layer.proved_high)}",
             layer.proved_high - layer.proved_low),
        _observed_cell(layer),
        figure(layer.observed_bits),
        _saturated_cell(layer.clipped),
        _error(layer),
    )  # fmt: skip


def _observed_cell(layer: Layer) -> Cell:
    low, high = layer.observed_low, layer.observed_high
    if low is None or high is None:
        return Cell("–")
    return Cell(f"{words.number(low)} to {words.number(high)}", high - low)


def count_saturated(clipped: Clipped) -> int:
    """Values that the format, not a ReLU, brought back."""
    return clipped.above + (0 if clipped.rectifies else clipped.below)


def _saturated_cell(clipped: Clipped | None) -> Cell:
    if clipped is None:
        return Cell("–")
    count = count_saturated(clipped)
    if not count:
        return Cell("0", 0.0)
    share = words.percent(count / clipped.values, 2)
    what = "wrapped" if clipped.wraps else "saturated"
    about = f"{count:,} of {clipped.values:,} values {what} ({share})"
    state = "bad" if clipped.wraps else "unsure" if count > 0.01 * clipped.values else ""
    return Cell(f"{count:,} ({share})", float(count), state, about)


def relative_error(layer: Layer) -> float | None:
    """The rms difference to the float tensor over the float tensor's rms."""
    if layer.error_rms is None or not layer.float_rms:
        return None
    share = layer.error_rms / layer.float_rms
    return share if math.isfinite(share) else None


def _error(layer: Layer) -> Cell:
    share = relative_error(layer)
    return figure(None if share is None else 100 * share, lambda v: words.format_fixed(v, 2))


def target_tables(result: Result, profile: Profile | None) -> list[ReportTable]:
    """For each target that has figures by layer, a table of them."""
    order = {} if profile is None else {layer.name: n for n, layer in enumerate(profile.layers)}
    tables = []
    for target in targets_of(result.metrics):
        metrics = [
            m
            for m in result.metrics
            if m.target == target and m.layer is not None and sites_of(m) is None
        ]
        if metrics:
            tables.append(
                _of_target(result, target, metrics, order, _reuse(result, target, profile))
            )
    return tables


def _reuse(result: Result, target: str, profile: Profile | None) -> dict[str, int]:
    """The reuse factor that was asked for each layer that multiplies, where a target has such."""
    part = result.targets.get(target)
    settings = {} if part is None else part.settings
    usual, own = settings.get("reuse"), settings.get("reuse_of")
    if not isinstance(usual, int) or profile is None:
        return {}
    pairs = [pair for pair in own if len(pair) == 2] if isinstance(own, list | tuple) else []
    special = {str(name): factor for name, factor in pairs if isinstance(factor, int)}
    return {e.name: special.get(e.name, usual) for e in profile.layers if e.macs and e.parameters}


def _of_target(
    result: Result,
    target: str,
    metrics: Sequence[Metric],
    order: dict[str, int],
    reuse: dict[str, int],
) -> ReportTable:
    by_layer: dict[str, dict[str, Metric]] = {}
    for metric in metrics:
        row = by_layer.setdefault(str(metric.layer), {})
        name = quantity_of(metric).name
        if name not in row or strength(metric) >= strength(row[name]):
            row[name] = metric
    names = _figures({name for row in by_layer.values() for name in row})
    layers = sorted(by_layer, key=lambda name: order.get(name, len(order)))
    units = {name: _unit(name, by_layer.values()) for name in names}
    columns = [Column("layer"), Column("reuse", "", True, "multiplications on one multiplier")]
    columns += [Column(TITLES.get(n, words.kind_name(n)), units[n], True) for n in names]
    columns.append(Column("origin"))
    rows = []
    for layer in layers[:MOST_ROWS]:
        row = by_layer[layer]
        origins = sorted({str(metric.origin) for metric in row.values()})
        cells = [figure(row[name].value) if name in row else Cell("–") for name in names]
        rows.append((text(layer), figure(reuse.get(layer)), *cells, Cell(", ".join(origins))))
    caption = f"Layers on the target {target_title(target, result)}"
    left = len(layers) - MOST_ROWS
    note = f"{left:,} more are in report/layers-{target}.csv." if left > 0 else ""
    return filled_table(f"layers-{target}", caption, columns, rows, note)


def _figures(names: set[str]) -> list[str]:
    first_names = [name for name in FIRST if name in names]
    return [*first_names, *sorted(names - set(FIRST))]


def _unit(name: str, rows: Iterable[dict[str, Metric]]) -> str:
    unit = next(row[name].unit for row in rows if name in row)
    return NAMES.get(unit, unit)


def layers_csv(profile: Profile) -> str:
    """All layers, for other programs."""
    rows: list[Sequence[object]] = [
        ["value", "op", "shape", "macs", "parameters", "format", "weight_format", "proved_low",
         "proved_high", "observed_low", "observed_high", "observed_bits", "saturated",
         "float_rms", "error_rms", "rounding_rms"]
    ]  # fmt: skip
    for each in profile.layers:
        clipped = "" if each.clipped is None else count_saturated(each.clipped)
        rows.append(
            [each.name, each.op, "x".join(map(str, each.shape)), each.macs, each.parameters,
             each.format, each.weight_format, each.proved_low, each.proved_high,
             each.observed_low, each.observed_high, each.observed_bits, clipped,
             each.float_rms, each.error_rms, each.rounding_rms]
        )  # fmt: skip
    return as_csv(rows)


def target_csv(result: Result, target: str) -> str:
    """All figures of a target's layers, for other programs."""
    head = ["layer", "name", "value", "unit", "origin", "low", "high", "tool", "version"]
    rows = [
        [m.layer, m.name, m.value, m.unit, str(m.origin), m.low, m.high, m.tool, m.version]
        for m in result.metrics
        if m.target == target and m.layer is not None
    ]
    return as_csv([head, *rows])
