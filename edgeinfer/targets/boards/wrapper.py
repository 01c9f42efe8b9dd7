# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files around a design on a Zynq board: registers and DMA by AXI, Vivado's script for the
block design, and what runs on the board's processors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base import assets
from edgeinfer.base.code import fill_template
from edgeinfer.base.devices import device
from edgeinfer.base.errors import InputError
from edgeinfer.base.names import Identifier, Operand, QuotedText, identifier, remark
from edgeinfer.ir.ops import Shape
from edgeinfer.targets.boards.boards import FOLDER, ZynqBoard
from edgeinfer.targets.boards.records import RecordLayout
from quantization.fixed import Fixed

LIBRARY = "firmware/rtl"
AXI_TOP = "ei_axi_top"
TOP_TEMPLATE = "axi/axi_top.v.j2"
SCRIPT_TEMPLATE, SCRIPT = "synth/block_design.tcl.j2", "board/block_design.tcl"
PACKAGE_TEMPLATE, PACKAGE = "synth/package_ip.tcl.j2", "board/package_ip.tcl"
DEPLOY = "deploy"  # what goes onto the board
DESCRIPTION = f"{DEPLOY}/design.json"
README_TEMPLATE, HEADER_TEMPLATE = "deploy/README.md.j2", "deploy/design.h.j2"
SHIPPED = ("driver.py", "run.py", "accelerator.ipynb", "example.c")
SHIPPED_FOR_PLANES = (
    "driver.py", "planes.py", "run_planes.py", "planes.ipynb", "example.c", "records.h",
)  # fmt: skip
MOST_BYTES = (1 << 26) - 1  # of a transfer, by the length register of the block design's DMAs
WIDEST_BYTES = 8  # of a DMA's word: the ports of a Zynq's memory
IDENTITY_DIGITS = 16  # of the Program's hash


@dataclass(frozen=True, slots=True)
class StreamPort:
    """An input or an output of a design behind DMA, and how its elements lie in beats."""

    name: str
    id: Identifier  # in the names of its signals
    type: Fixed
    shape: Shape
    lanes: int
    host: str = "none"  # what is left to the host

    @property
    def beat_bytes(self) -> int:
        """Bytes of a beat of the design."""
        return -(-self.lanes * self.type.bits // 8)

    @property
    def template_words(self) -> dict[str, Any]:
        """What the templates ask for."""
        return {
            "id": self.id,
            "bytes": self.beat_bytes,
            "beats": math.prod(self.shape) // self.lanes,
            **dma_words(self.beat_bytes),
        }

    @property
    def description(self) -> dict[str, Any]:
        """What the driver has to know."""
        words = dma_words(self.beat_bytes)
        return {
            "name": self.name,
            "shape": list(self.shape),
            "signed": self.type.signed,
            "bits": self.type.bits,
            "fraction": self.type.frac,
            "lanes": self.lanes,
            "word_bytes": words["wide"],
            "words": words["dma_words"],
            "host": self.host,
        }


@dataclass(frozen=True, slots=True)
class RecordPort:
    """The records of planes in the place of outputs: bytes, until TLAST."""

    layout: RecordLayout
    hosts: Mapping[str, str]  # what is left to the host, by the output's name
    threshold: int | None

    @property
    def template_words(self) -> dict[str, Any]:
        """What the templates ask for."""
        return {"id": Identifier("records"), "bytes": 1, "beats": 0, **dma_words(1)}

    @property
    def record_words(self) -> dict[str, Any]:
        """What lies in a record, for the header of programs in C."""
        layout = self.layout
        return {
            "most_bytes": min(layout.most_bytes, MOST_BYTES),
            "wire_bits": layout.wire_bits,
            "pixel_bits": layout.pixel_bits,
            "hit_bytes": layout.hit_bytes,
            "record_bytes": layout.record_bytes,
            "outputs": [
                {
                    "id": identifier(channel.name),
                    "beats": channel.beats,
                    "lanes": channel.lanes,
                    "bits": channel.type.bits,
                    "is_signed": int(channel.type.signed),
                    "beat_bytes": channel.beat_bytes,
                }
                for channel in layout.outputs
            ],
        }

    @property
    def description(self) -> dict[str, Any]:
        """What the driver has to know."""
        layout, pixel = self.layout, self.layout.pixel
        wires, pixels = layout.tiles.plane
        return {
            "wires": wires,
            "pixels": pixels,
            "pixel": {"signed": pixel.signed, "bits": pixel.bits, "fraction": pixel.frac},
            "threshold": self.threshold,
            "wire_bits": layout.wire_bits,
            "pixel_bits": layout.pixel_bits,
            "hit_bytes": layout.hit_bytes,
            "layout": layout.description(),
            "outputs": [
                {
                    "name": channel.name,
                    "shape": list(channel.shape),
                    "signed": channel.type.signed,
                    "bits": channel.type.bits,
                    "fraction": channel.type.frac,
                    "lanes": channel.lanes,
                    "word_bytes": channel.beat_bytes,
                    "words": 1,
                    "host": self.hosts[channel.name],
                }
                for channel in layout.outputs
            ],
        }


@dataclass(frozen=True, slots=True)
class WrappedDesign:
    """A design that gets registers and DMA: a module beside them, or an IP of its own, made by an
    HLS compiler, whose streams the wrapper hands on."""

    name: str
    digest: str  # of the Program
    module: Identifier
    inputs: tuple[StreamPort, ...]
    outputs: tuple[StreamPort | RecordPort, ...]
    sources: str | None = None  # the folder of the module's files; none of an IP

    @property
    def core(self) -> bool:
        """Whether it is an IP of its own."""
        return self.sources is None

    def description(self, clock_mhz: float) -> dict[str, Any]:
        """What the driver has to know."""
        frames = [port for port in self.outputs if isinstance(port, StreamPort)]
        return {
            "name": self.name,
            "identity": self.digest[:IDENTITY_DIGITS],
            "clock_mhz": clock_mhz,
            "inputs": [port.description for port in self.inputs],
            "outputs": [port.description for port in frames],
            **({} if self.records is None else {"records": self.records.description}),
        }

    @property
    def records(self) -> RecordPort | None:
        """What comes out of a design for planes."""
        return next((port for port in self.outputs if isinstance(port, RecordPort)), None)

    @property
    def shipped(self) -> tuple[str, ...]:
        """What goes onto the board as it is."""
        return SHIPPED if self.records is None else SHIPPED_FOR_PLANES


def template_values(design: WrappedDesign, on: ZynqBoard, clock_mhz: float) -> dict[str, Any]:
    """What the templates ask for."""
    described = design.description(clock_mhz)
    return {
        "name": identifier(design.name),
        "module": design.module,
        "core": design.core,
        "planes": design.records is not None,
        "inputs": [port.template_words for port in design.inputs],
        "outputs": [port.template_words for port in design.outputs],
        **({} if design.records is None else {"record": design.records.record_words}),
        "title": remark(on.title),
        "image": remark(on.image),
        "login": Identifier(on.login),
        "jupyter": Identifier(on.jupyter),
        "clock_mhz": clock_mhz,
        "clock_khz": round(clock_mhz * 1000),
        "id": Operand(described["identity"]),
        "processor": QuotedText(on.processor),
        "zynqmp": on.processor == "zynqmp",
        "part": QuotedText(device(on.part).part),
        "board_part": Operand(on.board_part),
        **({} if design.sources is None else {"hdl": QuotedText(design.sources)}),
    }


def wrapper_files(design: WrappedDesign, on: ZynqBoard, clock_mhz: float) -> dict[str, bytes]:
    """Registers and DMA around a design, Vivado's script, and what runs on the board."""
    values = template_values(design, on, clock_mhz)
    library = assets.path(f"{LIBRARY}/axi")
    deploy = assets.path(f"{LIBRARY}/deploy")
    described = design.description(clock_mhz)
    return {
        **{f"{FOLDER}/{path.name}": path.read_bytes() for path in sorted(library.glob("*.v"))},
        f"{FOLDER}/{AXI_TOP}.v": _fill(TOP_TEMPLATE, values),
        SCRIPT: _fill(SCRIPT_TEMPLATE, values),
        PACKAGE: _fill(PACKAGE_TEMPLATE, values),
        DESCRIPTION: (json.dumps(described, indent=1) + "\n").encode(),
        **{f"{DEPLOY}/{name}": (deploy / name).read_bytes() for name in design.shipped},
        f"{DEPLOY}/design.h": _fill(HEADER_TEMPLATE, values),
        f"{DEPLOY}/README.md": _fill(README_TEMPLATE, values),
    }


def vivado_finding(on: ZynqBoard, clock_mhz: float) -> str:
    """What nobody knows of an emitted design before Vivado and the board have seen it."""
    return (
        f"Neither Vivado nor a {on.title} was there when edgeinfer was written: a stand-in for "
        "Vivado checked the script, and the driver ran against a simulation. Whether Vivado takes "
        f"the script, whether the block design meets {clock_mhz:.3f} MHz and how fast its DMA is, "
        "edgeinfer board build RUN and the board will show."
    )


def read_layout(path: Path) -> RecordLayout | None:
    """The records of the design that a file for the driver describes; None of a design for
    frames."""
    try:
        records = json.loads(path.read_text(encoding="utf-8")).get("records")
        return None if records is None else RecordLayout.from_description(records["layout"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not describe a design for a board: {error}.",
            hint="Compile the model again.",
        ) from None


def _fill(template: str, values: dict[str, Any]) -> bytes:
    return fill_template(f"{LIBRARY}/{template}", values).encode()


def dma_words(beat_bytes: int) -> dict[str, int]:
    """How a beat lies in memory: words of so many bytes, and which of their bytes count."""
    wide = min(1 << (beat_bytes - 1).bit_length(), WIDEST_BYTES)
    return {"wide": wide, "dma_words": -(-beat_bytes // wide), "keep": (1 << wide) - 1}
