# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What is kept of a tagged event: arrays for a file, and a document with the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.names import identifier
from edgeinfer.data.formats.npz import pack_arrays
from edgeinfer.evaluate.judge import real_outputs
from edgeinfer.event.event import PlaneTags
from edgeinfer.event.frames import labels_pixels, limited_masks
from edgeinfer.event.tagger import PatchOutputs
from edgeinfer.event.votes import ProposedVertex
from edgeinfer.ir.program import Program

PLACES = ("plane", "wire", "pixel", "channel", "left_out")  # members beside the outputs
ARGUMENTS = ("file", "allow_pickle")  # names that NumPy keeps to itself


@dataclass(frozen=True, slots=True)
class PlaneRow:
    """What is kept of a plane when its signals are not needed any more."""

    name: str
    hits: NDArray[np.intp]  # (wire, pixel)
    channel: NDArray[np.intp] | None  # of each hit, where wires share channels
    tagged: PatchOutputs
    occupancy: float
    seconds: float
    cpu_seconds: float
    checked: int  # hits that were also evaluated one by one
    vertices: tuple[ProposedVertex, ...] | None = None  # None: none were asked for


def keep_tags(
    tags: PlaneTags, checked: int, vertices: tuple[ProposedVertex, ...] | None = None
) -> PlaneRow:
    """The row of a plane that has been tagged."""
    channel_of = tags.plane.channel_of
    return PlaneRow(
        tags.plane.name,
        tags.hits,
        None if channel_of is None else channel_of[tags.hits[:, 0]],
        tags.tagged,
        tags.occupancy,
        tags.seconds,
        tags.cpu_seconds,
        checked,
        vertices,
    )


def member_names(program: Program) -> dict[str, str]:
    """What each output is called in the archive: a plain name of its own, whatever the model says.
    A member's name becomes a path where the archive is unpacked."""
    used_names = {*PLACES, *ARGUMENTS}
    names: dict[str, str] = {}
    for output in program.outputs:
        plain = str(identifier(output.name, "output"))
        name, number = plain, 2
        while name.lower() in used_names:
            name, number = f"{plain}_{number}", number + 1
        used_names.add(name.lower())
        names[output.name] = name
    return names


def gather_tags(program: Program, rows: Sequence[PlaneRow]) -> dict[str, NDArray[Any]]:
    """Arrays with a row for each hit: plane, wire, pixel, channel, every output; and where a
    network keeps a limited number of lit pixels of a frame, whether it left the hit out."""
    arrays: dict[str, NDArray[Any]] = {
        "plane": np.concatenate([np.full(len(row.hits), i) for i, row in enumerate(rows)]),
        "wire": np.concatenate([row.hits[:, 0] for row in rows]),
        "pixel": np.concatenate([row.hits[:, 1] for row in rows]),
    }
    if any(row.channel is not None for row in rows):
        arrays["channel"] = np.concatenate(
            [row.hits[:, 0] if row.channel is None else row.channel for row in rows]
        )
    if labels_pixels(program) and limited_masks(program):
        flags = [row.tagged.left_out for row in rows if row.tagged.left_out is not None]
        arrays["left_out"] = np.concatenate(flags)
    names = member_names(program)
    raw = {
        output.name: np.concatenate([row.tagged.outputs[output.name] for row in rows])
        for output in program.outputs
    }
    arrays |= {names[output]: values for output, values in real_outputs(program, raw).items()}
    return arrays


def pack_tags(program: Program, rows: Sequence[PlaneRow]) -> bytes:
    """The same as an archive."""
    return pack_arrays(gather_tags(program, rows))


def describe_event(
    program: Program, rows: Sequence[PlaneRow], way: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures as JSON has them: how it was evaluated, each plane, and room for the files."""
    return {
        "model": program.name,
        "program": program.digest,
        **way,
        "planes": [plane_figures(program, row) for row in rows],
        "output": None,
        "members": {},
        "pictures": [],
    }


def plane_figures(program: Program, row: PlaneRow) -> dict[str, Any]:
    """The figures of a plane as JSON has them."""
    return {
        "name": row.name,
        "hits": len(row.hits),
        "occupancy": row.occupancy,
        "seconds": row.seconds,
        "cpu_seconds": row.cpu_seconds,
        **_work(program, row),
        "checked_one_by_one": row.checked,
        **({} if row.vertices is None else {"vertices": list(map(asdict, row.vertices))}),
    }


def _work(program: Program, row: PlaneRow) -> dict[str, Any]:
    """What was evaluated: patches, or frames."""
    tagged = row.tagged
    if not labels_pixels(program):
        macs_patch_by_patch = program.macs * len(row.hits)
        return {"macs": tagged.macs, "macs_patch_by_patch": macs_patch_by_patch}
    if not limited_masks(program):
        return {"frames": tagged.frames}
    assert tagged.left_out is not None  # frames have flags
    return {"frames": tagged.frames, "hits_left_out": int(np.count_nonzero(tagged.left_out))}


def _how(plane: Mapping[str, Any]) -> str:
    """What was evaluated, in words."""
    if "frames" in plane:
        left_out = plane.get("hits_left_out", 0)
        also = f", {left_out:,} hits beyond their limit of lit pixels" if left_out else ""
        return f"in {plane['frames']:,} frames{also}"
    saving = plane["macs_patch_by_patch"] / max(plane["macs"], 1)
    if saving > 1:
        return f"{saving:.1f} times fewer multiply-accumulates than patch by patch"
    return "patch by patch"


def list_sentences(document: Mapping[str, Any]) -> list[str]:
    """The document as lines of text."""
    lines = []
    for plane in document["planes"]:
        checks = plane["checked_one_by_one"]
        also = f"; {checks} checked one by one, identical" if checks else ""
        lines.append(
            f"{plane['name']}: {plane['hits']:,} hits ({plane['occupancy']:.2%} of the pixels), "
            f"{plane['seconds']:.2f} s, {_how(plane)}{also}"
        )
        lines += [
            f"  vertex at wire {each['wire']:.1f}, pixel {each['pixel']:.1f}: {each['votes']:,} of "
            f"the hits ({each['share']:.0%}) point to it"
            for each in plane.get("vertices", ())
        ]
        if plane.get("vertices") == []:
            lines.append("  no vertex: the hits point to no common place")
    if document["reason"]:
        lines.append(f"patch by patch, since {document['reason']}")
    for output, member in document["members"].items():
        if output != member:
            lines.append(f"the output {output!r} is {member!r} in the archive")
    files = [*([document["output"]] if document["output"] else []), *document["pictures"]]
    return [*lines, *(f"written   {file}" for file in files)]
