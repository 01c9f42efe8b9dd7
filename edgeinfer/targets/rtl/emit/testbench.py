# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A testbench in Verilog for a design, with its frames and what must come of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base import assets
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.words import words_of
from edgeinfer.targets.rtl.design.cycles import DesignCycles
from edgeinfer.targets.rtl.design.netlist import Netlist, Stream
from edgeinfer.targets.rtl.design.timing import idle_design
from edgeinfer.targets.rtl.emit.emit import HDL, LIBRARY, context, module_of, render_template
from quantization.fixed import Ints

TEMPLATE = "sim/testbench.v.j2"
HELPERS = ("tb_clock.v", "tb_source.v", "tb_sink.v")
FRAMES = 2
SEED = 20


def testbench(program: Program, netlist: Netlist, cycles: DesignCycles) -> dict[str, bytes]:
    """Files that go beside the design's own."""
    raw = _draw_frames(program)
    expected = results(program, interpret(program, raw))
    streams = netlist.streams
    files = {
        f"{HDL}/{name}": assets.path(f"{LIBRARY}/bench/{name}").read_bytes() for name in HELPERS
    }
    for number, port in enumerate(netlist.inputs):
        files[f"{HDL}/tb_in_{number}.mem"] = _memory(raw[port.name], streams[port.stream])
    for number, port in enumerate(netlist.outputs):
        files[f"{HDL}/tb_out_{number}.mem"] = _memory(expected[port.name], streams[port.stream])
    template_values = context(netlist, ()) | {
        "frames": FRAMES,
        "cut": max(cycles.latency // 2, 1),
        "patience": 20 * (cycles.latency + FRAMES * cycles.interval) + 10_000,
    }
    foreseen = idle_design(netlist).beats
    for port in template_values["outputs"]:
        port["early"] = foreseen[port["name"]]
    files[f"{HDL}/{module_of(netlist)}_tb.v"] = render_template(TEMPLATE, template_values)
    return files


def _draw_frames(program: Program) -> Mapping[str, Ints]:
    """Frames anywhere within the inputs' types; always the same."""
    rng = np.random.default_rng(SEED)
    return {
        op.name: rng.integers(
            op.type.raw_min, op.type.raw_max, (FRAMES, *op.shape), dtype=np.int64, endpoint=True
        )
        for op in program.inputs
    }


def _memory(raw: Ints, stream: Stream) -> bytes:
    """Beats as they are at a port, TLAST on top."""
    data_bytes = -(-stream.width // 8)
    beats = words_of(raw.reshape(-1, stream.lanes), stream.type.bits, data_bytes + 1)
    beats[stream.beats - 1 :: stream.beats, data_bytes] = 1
    return "".join(f"{_hex(beat)}\n" for beat in beats).encode()


def _hex(beat: NDArray[np.uint8]) -> str:
    """A beat as one number; the byte on top holds one bit."""
    return beat[::-1].tobytes().hex()[1:]
