# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The `reports` folder of Intel's HLS compiler (i++): area, simulation, and Quartus's fit.

`lib/json/*.json` holds the data where a version leaves it; `lib/*_data.js` holds the same as
scripts. What was not run is there too, as `TBD` or as advice, and gives no metric.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.reports.cells import ReportError, count, version_of
from edgeinfer.targets.reports.cosim import CoSimulation, cosim_metrics
from edgeinfer.targets.reports.figures import CycleRange, FigureSource, Resources, check_order
from edgeinfer.targets.reports.script_data import json_data, script_data

COMPILER, FITTER = "Intel HLS", "Quartus"
AREA = {"aluts": "lut", "ffs": "ff", "rams": "ram", "dsps": "dsp", "mlabs": "mlab"}
FIT = {"alm": "alm", "reg": "ff", "ram": "ram", "dsp": "dsp", "mlab": "mlab"}
OLDER_NAMES = {  # of the columns of tables that newer versions replaced by nodes
    "alms": "alm",
    "ffs": "reg",
    "rams": "ram",
    "dsps": "dsp",
    "mlabs": "mlab",
    "1x clock fmax": "clock1x",
}
CLOCKS = ("clock", "kernel clock fmax", "clock1x", "kernel clock")
WHOLE_DESIGN = ("full design", "total used", "entire system")


def intel_metrics(reports: Path, clock_ns: float, part: str = "") -> tuple[Metric, ...]:
    """The metrics of a `reports` folder; `clock_ns` is the period that cycles are counted in,
    `part` the family or the device where the reports do not name it."""
    library = reports / "lib"
    compiler, fitter, family = _versions(library)
    memory = memory_of(family or part)
    metrics = [
        *_area(
            library,
            FigureSource(Origin.SYNTHESISED, DesignState.C_SYNTHESIS, COMPILER, compiler),
            memory,
        )
    ]
    simulated = library / "verification_data.js"
    if simulated.is_file() and (simulation := _simulation(simulated)) is not None:
        source = FigureSource(Origin.SIMULATED, DesignState.NONE, COMPILER, compiler)
        metrics += cosim_metrics(simulation, source, clock_ns)
    metrics += _fit(
        library, FigureSource(Origin.ROUTED, DesignState.ROUTING, FITTER, fitter), memory
    )
    return tuple(metrics)


def _data(library: Path, name: str) -> tuple[Any, Path] | None:
    """A report's data and the file it is from: JSON before script, its own before the common."""
    path = library / "json" / f"{name}.json"
    if path.is_file():
        return json_data(path), path
    for path in (library / f"{name}_data.js", library / "report_data.js"):
        if path.is_file() and (data := script_data(path, f"{name}JSON")) is not None:
            return data, path
    return None


def _versions(library: Path) -> tuple[str | None, str | None, str]:
    """The compiler's version, Quartus's, and the family of the part."""
    information = _data(library, "info")
    if information is None or not isinstance(information[0], dict):
        return None, None, ""
    info, _ = information
    nodes = info.get("compileInfo", {}) if isinstance(info.get("compileInfo"), dict) else {}
    input_node = next(
        (
            [str(node.get(name, "")) for name in ("version", "quartus", "family")]
            for node in _dicts(nodes.get("nodes"))
        ),
        None,
    )
    if input_node is None:
        rows = {str(row.get("name", "")): row.get("data") for row in _dicts(info.get("rows"))}
        input_node = [
            str(value[0]) if isinstance(value := rows.get(name), list) and value else ""
            for name in ("i++ Version", "Quartus Version", "Target Family, Device")
        ]
    return version_of(input_node[0]), version_of(input_node[1]), input_node[2]


def memory_of(family: str) -> str:
    """The metric of a family's block memories, which reports count without saying their size."""
    plain = family.lower().replace(" ", "")
    if re.search(r"max10|cycloneiv|cyclone10lp|\b10m\d", plain):
        return "m9k"
    older = re.search(r"cyclonev|arriav(?!gz)|\b5c[egs]|\b5a[gs]", plain)
    return "m10k" if older else "m20k"


def _dicts(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _area(library: Path, source: FigureSource, memory: str) -> Iterator[Metric]:
    """What the compiler reckons the design to occupy."""
    area_data = _data(library, "area")
    if area_data is None:
        return
    area, path = area_data
    if not isinstance(area, dict):
        raise ReportError(path, "its area is not a table")
    columns, total = area.get("columns"), area.get("total")
    if not isinstance(columns, list) or not isinstance(total, list) or not total:
        raise ReportError(path, "its area has no columns or no total")
    named = [str(column).strip().lower() for column in columns[1 : len(total) + 1]]
    if len(named) != len(total) or not {"aluts", "ffs", "dsps"} <= set(named):
        raise ReportError(path, f"its area counts {', '.join(named) or 'nothing'}")
    amounts = {
        AREA[name]: count(str(value), path)
        for name, value in zip(named, total, strict=True)
        if name in AREA
    }
    yield from _resources(amounts, memory).metrics(source)


def _resources(amounts: Mapping[str, float | None], memory: str) -> Resources:
    return Resources(**{memory if name == "ram" else name: n for name, n in amounts.items()})


def _simulation(path: Path) -> CoSimulation | None:
    """The simulation of the test bench, over all of the component's invocations."""
    node_data = script_data(path, "verifJSON")
    if not node_data:
        return None
    functions = _dicts(node_data.get("functions")) if isinstance(node_data, dict) else []
    data = functions[0].get("data") if functions else None
    if not isinstance(data, list) or len(data) < 3:
        raise ReportError(path, "its simulation has no invocations, latency and interval")
    latency, interval = (_triple(str(value), path) for value in data[1:3])
    return CoSimulation("Verilog", None, latency[0], interval[0], latency[1], interval[1])


def _triple(cell: str, path: Path) -> tuple[CycleRange, float | None]:
    """`13,14,13.5`: the fewest, the most, and the mean."""
    values = [count(part, path) for part in cell.split(",")]
    if len(values) != 3:
        raise ReportError(path, f"{cell!r} is not a fewest, most and mean")
    return check_order(CycleRange(values[0], values[1]), path), values[2]


def _fit(library: Path, source: FigureSource, memory: str) -> Iterator[Metric]:
    """What Quartus placed and routed, if it ran."""
    node_data = _data(library, "quartus")
    if node_data is None or not isinstance(node_data[0], dict):
        return
    data, path = node_data
    usage = _nodes(data, "quartusFitResourceUsageSummary")
    whole = [node for node in usage if _is_whole(node)]
    for node in (whole or usage)[-1:]:
        amounts = {
            field: count(str(node[name]), path) for name, field in FIT.items() if name in node
        }
        if amounts.get("alm") is not None:
            yield from _resources(amounts, memory).metrics(source)
    for node in _nodes(data, "quartusFitClockSummary")[:1]:
        clocks = [count(str(node[name]), path) for name in CLOCKS if name in node]
        fastest = next((value for value in clocks if value), None)
        if fastest is not None:
            yield source.metric("clock_ns", 1e3 / fastest, "ns")


def _nodes(data: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """What a summary tells of each component and of the whole, one after the other."""
    summary = data.get(name)
    if not isinstance(summary, dict):
        return []
    return _dicts(summary.get("nodes")) or [
        _node(row, summary.get("columns")) for row in _dicts(summary.get("children"))
    ]


def _node(row: Mapping[str, Any], columns: object) -> dict[str, Any]:
    """A row of an older table, as a node: its data are named, or stand under the columns."""
    values = row.get("data")
    if isinstance(values, list) and isinstance(columns, list):
        values = dict(zip(map(str, columns[1:]), values, strict=False))
    named = values.items() if isinstance(values, dict) else ()
    renamed = {OLDER_NAMES.get(str(key).strip().lower(), str(key)): v for key, v in named}
    return {**renamed, "name": row.get("name", "")}


def _is_whole(node: Mapping[str, Any]) -> bool:
    name = str(node.get("name", "")).lower()
    return any(re.search(rf"\b{words}\b", name) for words in WHOLE_DESIGN)
