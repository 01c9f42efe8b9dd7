# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files of a design for whole planes: a top level, its blocks, memories, harness, manifest."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeinfer.base import assets
from edgeinfer.base.names import Identifier, QuotedText, identifier
from edgeinfer.base.plan import BuildPlan
from edgeinfer.targets.rtl.design.memory import hex_words
from edgeinfer.targets.rtl.design.netlist import SizedNumber
from edgeinfer.targets.rtl.emit.emit import (
    HARNESS,
    HDL,
    LIBRARY,
    MANIFEST,
    builder_files,
    files_of,
    literal,
    module_of,
    port_ids,
    render_template,
)
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.geometry import MARKS
from edgeinfer.targets.rtl.plane.memories import chunk_of
from quantization.fixed import Fixed

TOP_TEMPLATE = "plane/top.v.j2"
HARNESS_TEMPLATE = "plane/harness.cpp.j2"
BLOCKS = f"{LIBRARY}/plane"
PARTS = ("ei_fifo", "ei_ingress", "ei_egress", "ei_tree", "ei_issue", "ei_delay")
OUT_OF_ENGINE = 2  # vectors of sums that may wait for the blocks behind
QUEUE = 32  # places of a patch that may wait for the engine
HITS = 16  # that may wait for the outside


@dataclass(frozen=True, slots=True)
class PlanePort:
    """A stream of the design: what is in a beat, from the lowest bit on."""

    name: str
    port: str
    bits: int
    beats: int  # of a plane, or of a hit
    type: Fixed | None = None
    lanes: int = 1

    @property
    def bytes(self) -> int:
        """Of a beat."""
        return -(-self.bits // 8)


def top_of(design: PlaneDesign) -> str:
    """The top module's name."""
    return f"{design.name}_plane_top"


def plane_top_file(design: PlaneDesign) -> str:
    """Where the top module lies."""
    return f"{HDL}/{top_of(design)}.v"


def input_port(design: PlaneDesign) -> PlanePort:
    """Pixels, each with the bit that makes it a hit on top."""
    size = design.geometry.size
    bits = size.at_once * (design.pixel.bits + 1)
    beats = design.geometry.filled_beats * size.pixels
    return PlanePort("plane", "s_axis_plane", bits, beats, design.pixel, size.at_once)


def hit_port(design: PlaneDesign) -> PlanePort:
    """Where each hit is: the wire, the pixel of time, and a bit that ends a plane."""
    names_taken = {each.port.lower() for each in output_ports(design)}
    port = "m_axis_hits" if "m_axis_hits" not in names_taken else "m_axis_ei_hits"  # as none begins
    return PlanePort("hits", port, sum(hit_bits(design)) + 1, 1)


def output_ports(design: PlaneDesign) -> tuple[PlanePort, ...]:
    """The network's outputs, a frame for each hit."""
    ids = port_ids(design.netlist)
    ports = []
    for port in design.netlist.outputs:
        stream = design.netlist.streams[port.stream]
        name = f"m_axis_{ids[port.name + '.out']}"
        ports.append(
            PlanePort(port.name, name, stream.width, stream.beats, stream.type, stream.lanes)
        )
    return tuple(ports)


def hit_bits(design: PlaneDesign) -> tuple[int, int]:
    """Bits of a hit's wire and of its pixel of time."""
    size = design.geometry.size
    return max(size.wires - 1, 1).bit_length(), max(size.pixels - 1, 1).bit_length()


def plane_files(design: PlaneDesign, clock_mhz: float) -> BuildPlan:
    """All files."""
    below = files_of(design.netlist, {}).files
    files = {name: content for name, content in below.items() if name.startswith(f"{HDL}/")}
    library = [assets.path(f"{LIBRARY}/{name}.v") for name in PARTS]
    modules = {name for stage in design.stages for name in stage.pipeline.modules()}
    library += [assets.path(f"{LIBRARY}/{name}.v") for name in sorted(modules)]
    library += sorted(assets.path(BLOCKS).glob("*.v"))
    files.update({f"{HDL}/{path.name}": path.read_bytes() for path in library})
    for stage in design.stages:
        files.update({f"{HDL}/{name}": content for name, content in stage.files().items()})
    files.update({f"{HDL}/{name}": content for name, content in _memories(design).items()})
    template_values = _context(design)
    files[plane_top_file(design)] = render_template(TOP_TEMPLATE, template_values)
    files[HARNESS] = render_template(HARNESS_TEMPLATE, template_values)
    files |= builder_files(design.name, top_of(design), files, stream_words(design))
    files[MANIFEST] = (json.dumps(plane_manifest(design, clock_mhz), indent=1) + "\n").encode()
    return BuildPlan(design.name, files)


def stream_words(design: PlaneDesign) -> dict[str, Any]:
    """The streams as LiteX names them: by the names of their signals."""

    def words(port: PlanePort, prefix: str) -> dict[str, Any]:
        return {"id": Identifier(port.port.removeprefix(prefix)), "bytes": port.bytes}

    return {
        "inputs": [words(input_port(design), "s_axis_")],
        "outputs": [words(port, "m_axis_") for port in (hit_port(design), *output_ports(design))],
    }


def plane_manifest(design: PlaneDesign, clock_mhz: float) -> dict[str, Any]:
    """What a script that drives the design must know."""

    def port(of: PlanePort) -> dict[str, Any]:
        return {
            "name": of.name,
            "port": of.port,
            "type": None if of.type is None else str(of.type),
            "elements_per_beat": of.lanes,
            "beats_per_frame": of.beats,
            "bytes_per_beat": of.bytes,
        }

    engine, geometry = design.engine, design.geometry
    blocks: list[dict[str, Any]] = [
        {"module": module, "instance": f"u_{module.removeprefix('ei_plane_')}", "parameters": {}}
        for module in ("ei_plane_feed", "ei_plane_map", "ei_plane_marks", "ei_plane_walk")
    ]
    blocks += [
        {"module": stage.module, "instance": f"u_stage{number}_{place}", "parameters": {}}
        for number, stage in enumerate(design.stages)
        for place in ("window", *range(geometry.size.at_once))
    ]
    sums = {
        "PE": engine.dsp_lanes,
        "SIMD": engine.channels,
        "SF": design.walked,
        "NF": engine.passes,
    }
    return {
        "version": 1,
        "name": design.name,
        "program": design.cut.program.digest,
        "top": top_of(design),
        "interface": "plane",
        "clock_mhz": clock_mhz,
        "inputs": [port(input_port(design))],
        "outputs": [port(hit_port(design)), *(port(each) for each in output_ports(design))],
        "plane": {
            "wires": geometry.size.wires,
            "pixels": geometry.size.pixels,
            "at_once": geometry.size.at_once,
            "beats": geometry.beats,
            "cycles_most": geometry.beats
            + design.geometry.size.wires * design.geometry.size.pixels * design.hit_cycles,
            "threshold": design.threshold,
        },
        "blocks": [
            *blocks,
            {"module": "ei_plane_dense", "instance": "u_dense", "parameters": sums},
            *(
                {
                    "module": block.module,
                    "instance": f"u_rest.u_{block.name}",
                    "parameters": {
                        key: value.value if isinstance(value, SizedNumber) else value
                        for key, value in block.parameters.items()
                    },
                }
                for block in design.netlist.blocks
            ),
        ],
    }


def _memories(design: PlaneDesign) -> dict[str, bytes]:
    """Weights in the order of use (lines of places outermost), and the sums of an empty patch."""
    engine, (rows, columns) = design.engine, design.cut.places
    weights = engine.first.weights.astype(np.int64)
    by_line = weights.reshape(rows, columns, engine.channels, engine.outputs).swapaxes(0, 1)
    by_pass = by_line.reshape(rows * columns, engine.channels, engine.passes, engine.pe)
    words = by_pass.transpose(0, 2, 3, 1).reshape(-1, engine.pe * engine.channels)
    starts = engine.starts.reshape(engine.passes, engine.pe)
    return {
        f"{design.name}_plane_weights.mem": hex_words(words, engine.weights.bits),
        f"{design.name}_plane_starts.mem": hex_words(starts, engine.sums.bits),
    }


def _context(design: PlaneDesign) -> dict[str, Any]:
    """What the templates ask for."""
    geometry, engine = design.geometry, design.engine
    size = geometry.size
    ids = port_ids(design.netlist)
    (rest_input,) = design.netlist.inputs
    wire_bits, line_bits = hit_bits(design)
    ring = geometry.ring_lines * geometry.line_beats
    width = geometry.line_beats * size.at_once
    last_row = geometry.lines + geometry.patch[1] + geometry.patch_rows
    last_place = width + geometry.patch[0] + geometry.reach[0]
    words = engine.passes * len(engine.first.weights)
    packed = sum(
        (int(value) & ((1 << engine.channel.bits) - 1)) << (number * engine.channel.bits)
        for number, value in enumerate(engine.empty)
    )
    rest_stream = design.netlist.streams[rest_input.stream]
    source = input_port(design)
    before = (geometry.first_row % geometry.ring_lines) * geometry.line_beats
    return {
        "name": Identifier(design.name),
        "module": Identifier(top_of(design)),
        "wires": size.wires, "pixels": size.pixels, "at_once": size.at_once,
        "filled": geometry.filled_beats, "line": geometry.line_beats,
        "all_lines": geometry.lines, "ahead": geometry.lines_ahead,
        "needed": geometry.lines_needed, "ring": geometry.ring_lines,
        "marks": MARKS, "mark_words": geometry.mark_words,
        "first_row": geometry.first_row, "first_place": geometry.first_place,
        "base": before, "address_bits": max(ring.bit_length(), 1),
        "bank_bits": max((size.at_once - 1).bit_length(), 1),
        "row_bits": last_row.bit_length() + 1, "place_bits": last_place.bit_length() + 1,
        "wire_bits": wire_bits, "line_bits": line_bits,
        "key_bits": words.bit_length(), "queue": QUEUE, "hits": HITS,
        "pixel_bits": design.pixel.bits, "pixel_signed": int(design.pixel.signed),
        "has_threshold": int(design.threshold is not None), "threshold": design.threshold or 0,
        "source": port_words(source),
        "stages": [
            {
                "module": Identifier(stage.module),
                "bits": stage.channels * stage.source.bits,
                "rows": stage.stage.window[0], "columns": stage.stage.window[1],
                "row_step": stage.stage.step[0], "column_step": stage.stage.step[1],
                "window": math.prod(stage.stage.window) * stage.channels * stage.source.bits,
                "result": _width(design, number + 1),
            }
            for number, stage in enumerate(design.stages)
        ],
        "channels": engine.channels, "channel_bits": engine.channel.bits,
        "channel_signed": int(engine.channel.signed),
        "difference_bits": engine.difference_bits,
        "difference_signed": int(engine.differs_signed),
        "empty": literal(SizedNumber(engine.channels * engine.channel.bits, packed)),
        "rows": design.cut.places[0], "row_step": design.cut.step[0],
        "columns": design.cut.places[1], "column_step": design.cut.step[1],
        "pe": engine.pe, "passes": engine.passes, "places": len(engine.first.weights),
        "weight_bits": engine.weights.bits, "weight_signed": int(engine.weights.signed),
        "sum_bits": engine.sums.bits, "shift": engine.first.shift,
        "levels": (engine.channels - 1).bit_length(), "dsp_lanes": engine.dsp_lanes,
        "chunk": chunk_of(design),
        "weights": QuotedText(f"{design.name}_plane_weights.mem"),
        "starts": QuotedText(f"{design.name}_plane_starts.mem"),
        "sums_queue": OUT_OF_ENGINE * engine.passes,
        "rest": Identifier(module_of(design.netlist)),
        "rest_input": Identifier(f"s_axis_{ids[rest_input.name]}"),
        "rest_bytes": -(-rest_stream.width // 8), "rest_beats": rest_stream.beats,
        "outputs": [port_words(port) for port in (hit_port(design), *output_ports(design))],
    }  # fmt: skip


def _width(design: PlaneDesign, number: int) -> int:
    """Bits of a place behind so many stages."""
    if number < len(design.stages):
        after = design.stages[number]
        return after.channels * after.source.bits
    return design.engine.channels * design.engine.channel.bits


def port_words(port: PlanePort) -> dict[str, Any]:
    """What the templates ask for of a stream."""
    return {
        "port": Identifier(port.port),
        "id": identifier(port.name),
        "bits": port.bits,
        "bytes": port.bytes,
        "words": -(-port.bits // 32),
        "beats": port.beats,
    }
