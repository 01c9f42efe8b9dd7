# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``event``: a compiled tagger at every hit of whole wire planes."""

from __future__ import annotations

import json as json_text
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from edgeinfer.base.errors import DisagreementError, UsageError
from edgeinfer.cli.terminal import answer, progress

if TYPE_CHECKING:
    from edgeinfer.event.planes import WirePlane
    from edgeinfer.event.tagger import PlaneSettings, PlaneTags
    from edgeinfer.ir.program import Program

Json = Annotated[
    bool, Parameter(negative="", help="print the result as JSON on stdout, and nothing else")
]


def event(
    run: Annotated[Path, Parameter(help="a run folder of a tagger that compile has made")],
    /,
    *,
    planes: Annotated[int, Parameter(help="how many planes to simulate")] = 1,
    seed: Annotated[int, Parameter(help="the same seed gives the same planes")] = 0,
    data: Annotated[
        Path | None,
        Parameter(
            name=["--data", "--dump"],
            help="planes of a ProtoDUNE dump (.root), or an array (planes, wires, pixels), instead",
        ),
    ] = None,
    threshold_adc: Annotated[
        float, Parameter(help="smaller signals are set to zero; the rest are the hits")
    ] = 4.0,
    scaling: Annotated[
        Literal["unit", "tenth"],
        Parameter(help="unit: ADC 0..30 to 0..1; tenth: ADC -50..150 to -5..15"),
    ] = "unit",
    way: Annotated[
        Literal["auto", "patches", "footprint"],
        Parameter(help="patch by patch, or what charge touches; the integers are the same"),
    ] = "auto",
    check: Annotated[
        int, Parameter(help="hits of each plane that are also evaluated one by one")
    ] = 32,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="tags.npz: plane, wire, pixel, and each output"),
    ] = None,
    json: Json = False,
) -> None:
    """Apply a tagger at every hit; exit code 5 if the shortcut changes an integer."""
    from edgeinfer.event import planes as event_planes
    from edgeinfer.event.tagger import PlaneSettings, Way, patch_of
    from edgeinfer.run.folder import open_run
    from edgeinfer.run.trial import stored_program

    if seed < 0 or check < 0:
        raise UsageError("--seed and --check must not be below 0.")
    settings = PlaneSettings(threshold_adc, scaling, Way(way))
    with progress() as watcher, open_run(run, watcher, new=False) as folder:
        program = stored_program(folder)
        patch_of(program)
        found = event_planes.of_data(data) if data else event_planes.simulate_planes(seed, planes)
        rows = []
        for plane in found:
            watcher.start(plane.name)
            start = time.perf_counter()
            rows.append(_tag_plane(program, plane, settings, check))
            watcher.finish(plane.name, time.perf_counter() - start, cached=False)
    if not rows:
        raise UsageError(f"{data} holds no planes.", hint="Give a dump with planes in it.")
    if output is not None:
        _save(program, rows, output)
    document = _document(program, rows, output)
    answer(json_text.dumps(document, indent=2), _sentences(document), as_json=json)


@dataclass(frozen=True, slots=True)
class _Row:
    """A plane's tags, the seconds they took, how many were checked one by one."""

    name: str
    tags: PlaneTags
    seconds: float
    checked: int


def _tag_plane(program: Program, plane: WirePlane, settings: PlaneSettings, check: int) -> _Row:
    """Tag a plane, and hold some of its hits against their patches evaluated one by one."""
    from edgeinfer.event.tagger import check_hits, tag_plane

    start = time.perf_counter()
    tags = tag_plane(program, plane.adc, settings)
    seconds = time.perf_counter() - start
    if not tags.shared:  # these are the patches: there is nothing to hold them against
        check = 0
    wrong, tried = check_hits(program, plane.adc, settings, tags, check)
    if wrong:
        raise DisagreementError(
            f"{plane.name}: {wrong} of {tried} hits differ from their patches evaluated one by one."
        )
    return _Row(plane.name, tags, seconds, tried)


def _save(program: Program, rows: list[_Row], output: Path) -> None:
    import io

    import numpy as np

    from edgeinfer.base.plan import write_file
    from edgeinfer.evaluate.judge import real_outputs

    arrays: dict[str, Any] = {
        "plane": np.concatenate([np.full(len(r.tags.hits), i) for i, r in enumerate(rows)]),
        "wire": np.concatenate([row.tags.hits[:, 0] for row in rows]),
        "pixel": np.concatenate([row.tags.hits[:, 1] for row in rows]),
    }
    raw = {}
    for made in program.outputs:
        parts = [row.tags.tagged.outputs[made.name] for row in rows]
        raw[made.name] = np.concatenate(parts)
    stream = io.BytesIO()
    found = {**arrays, **real_outputs(program, raw)}
    np.savez_compressed(stream, **found)
    write_file(output, stream.getvalue())


def _document(program: Program, rows: list[_Row], output: Path | None) -> dict[str, Any]:
    return {
        "model": program.name,
        "program": program.digest,
        "planes": [
            {
                "name": row.name,
                "hits": len(row.tags.hits),
                "occupancy": row.tags.occupancy,
                "seconds": row.seconds,
                "macs": row.tags.tagged.macs,
                "macs_patch_by_patch": row.tags.tagged.macs_dense,
                "checked_one_by_one": row.checked,
            }
            for row in rows
        ],
        "output": None if output is None else str(output),
    }


def _sentences(document: dict[str, Any]) -> list[str]:
    lines = []
    for plane in document["planes"]:
        saving = plane["macs_patch_by_patch"] / max(plane["macs"], 1)
        how = f"{saving:.1f} times fewer multiply-accumulates than patch by patch"
        if saving <= 1:
            how = "patch by patch"
        tried = plane["checked_one_by_one"]
        also = f"; {tried} checked one by one, identical" if tried else ""
        lines.append(
            f"{plane['name']}: {plane['hits']:,} hits ({plane['occupancy']:.2%} of the pixels), "
            f"{plane['seconds']:.2f} s, {how}{also}"
        )
    return [*lines, *([f"written   {document['output']}"] if document["output"] else [])]
