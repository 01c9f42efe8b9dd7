# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files around a design on a Zynq board: registers and DMA by AXI, Vivado's script for the
block design, and what runs on the board's processors."""

from __future__ import annotations

import json
from typing import Any

from edgeinfer.base import assets
from edgeinfer.base.devices import device
from edgeinfer.base.names import Operand, OwnText, QuotedText, remark
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.board.boards import ZynqBoard
from edgeinfer.targets.rtl.board.shell_files import FOLDER
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.emit.emit import HDL, LIBRARY, context, render_template

AXI_TOP = "ei_axi_top"
TOP_TEMPLATE = "axi/axi_top.v.j2"
SCRIPT_TEMPLATE, SCRIPT = "synth/block_design.tcl.j2", "board/block_design.tcl"
PACKAGE_TEMPLATE, PACKAGE = "synth/package_ip.tcl.j2", "board/package_ip.tcl"
HARNESS_TEMPLATE, HARNESS = "sim/axi.cpp.j2", "sim/axi.cpp"
DEPLOY = "deploy"  # what goes onto the board
DESCRIPTION = f"{DEPLOY}/design.json"
README_TEMPLATE, HEADER_TEMPLATE = "deploy/README.md.j2", "deploy/design.h.j2"
SHIPPED = ("driver.py", "run.py", "accelerator.ipynb", "example.c")
WIDEST_BYTES = 8  # of a DMA's word: the ports of a Zynq's memory
IDENTITY_DIGITS = 16  # of the Program's hash


def zynq_files(
    program: Program, netlist: Netlist, on: ZynqBoard, clock_mhz: float
) -> dict[str, bytes]:
    """Everything that goes beside a design for a Zynq board."""
    known = context(netlist, ())
    for port in (*known["inputs"], *known["outputs"]):
        port |= dma_words(port["bytes"])
    described = description_of(program, netlist, clock_mhz)
    known |= {
        "title": remark(on.title),
        "clock_mhz": clock_mhz,
        "clock_khz": round(clock_mhz * 1000),
        "id": Operand(described["identity"]),
        "processor": QuotedText(on.processor),
        "zynqmp": on.processor == "zynqmp",
        "part": QuotedText(device(on.part).part),
        "board_part": Operand(on.board_part),
        "hdl": QuotedText(HDL),
        "design": described,
        "shapes": [OwnText(", ".join(map(str, told["shape"]))) for told in described["inputs"]],
    }
    library = assets.path(f"{LIBRARY}/axi")
    deploy = assets.path(f"{LIBRARY}/deploy")
    return {
        **{f"{FOLDER}/{path.name}": path.read_bytes() for path in sorted(library.glob("*.v"))},
        f"{FOLDER}/{AXI_TOP}.v": render_template(TOP_TEMPLATE, known),
        SCRIPT: render_template(SCRIPT_TEMPLATE, known),
        PACKAGE: render_template(PACKAGE_TEMPLATE, known),
        HARNESS: render_template(HARNESS_TEMPLATE, known),
        DESCRIPTION: (json.dumps(described, indent=1) + "\n").encode(),
        **{f"{DEPLOY}/{name}": (deploy / name).read_bytes() for name in SHIPPED},
        f"{DEPLOY}/design.h": render_template(HEADER_TEMPLATE, known),
        f"{DEPLOY}/README.md": render_template(README_TEMPLATE, known),
    }


def dma_words(beat_bytes: int) -> dict[str, int]:
    """How a beat lies in memory: words of so many bytes, and which of their bytes count."""
    wide = min(1 << (beat_bytes - 1).bit_length(), WIDEST_BYTES)
    return {"wide": wide, "dma_words": -(-beat_bytes // wide), "keep": (1 << wide) - 1}


def description_of(program: Program, netlist: Netlist, clock_mhz: float) -> dict[str, Any]:
    """What the driver has to know."""
    outputs = {output.name: output for output in program.outputs}

    def port(name: str, stream_name: str, value: str, host: str) -> dict[str, Any]:
        stream = netlist.streams[stream_name]
        words = dma_words(-(-stream.width // 8))
        return {
            "name": name,
            "shape": list(program.shapes[value]),
            "signed": stream.type.signed,
            "bits": stream.type.bits,
            "fraction": stream.type.frac,
            "lanes": stream.lanes,
            "word_bytes": words["wide"],
            "words": words["dma_words"],
            "host": host,
        }

    return {
        "name": program.name,
        "identity": program.digest[:IDENTITY_DIGITS],
        "clock_mhz": clock_mhz,
        "inputs": [port(p.name, p.stream, p.name, "none") for p in netlist.inputs],
        "outputs": [
            port(p.name, p.stream, outputs[p.name].value, str(outputs[p.name].host))
            for p in netlist.outputs
        ],
    }
