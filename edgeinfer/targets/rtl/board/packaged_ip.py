# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design behind registers and DMA as an IP in IP-XACT of 2009, which Vivado reads: its ports, its
streams, its registers and its files, as `board/ei_axi_top.v` and the folder have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgeinfer.base.names import Identifier, OwnText, QuotedText
from edgeinfer.targets.boards.boards import FOLDER
from edgeinfer.targets.rtl.emit.emit import BENCH, HDL, render_template

TEMPLATE, COMPONENT = "synth/component.xml.j2", "component.xml"
REGISTERS = "s_axi"
ADDRESS_BITS = 8  # of the registers
LITE = {  # name: whether it comes in, bits
    "awaddr": (True, ADDRESS_BITS), "awprot": (True, 3), "awvalid": (True, 1),
    "awready": (False, 1), "wdata": (True, 32), "wstrb": (True, 4), "wvalid": (True, 1),
    "wready": (False, 1), "bresp": (False, 2), "bvalid": (False, 1), "bready": (True, 1),
    "araddr": (True, ADDRESS_BITS), "arprot": (True, 3), "arvalid": (True, 1),
    "arready": (False, 1), "rdata": (False, 32), "rresp": (False, 2), "rvalid": (False, 1),
    "rready": (True, 1),
}  # fmt: skip


def component_file(values: dict[str, Any], files: Iterable[str]) -> dict[str, bytes]:
    """The description of an IP whose folder is the target's. `values`: what the other templates of
    the board take; `files`: everything that lies in the folder."""
    inputs, outputs = values["inputs"], values["outputs"]
    streams = [_stream(f"s_axis_{port['id']}", port["wide"], comes_in=True) for port in inputs]
    streams += [_stream(f"m_axis_{port['id']}", port["wide"], comes_in=False) for port in outputs]
    registers = _interface(REGISTERS, LITE)
    listed = sorted(name for name in files if _belongs(name))
    more = {
        "registers": registers,
        "streams": streams,
        "ports": [port for each in (registers, *streams) for port in each["ports"]],
        "address_range": 1 << ADDRESS_BITS,
        "sources": [_path(name) for name in listed if name.endswith(".v")],
        "memories": [_path(name) for name in listed if name.endswith(".mem")],
    }
    return {COMPONENT: render_template(TEMPLATE, {**values, **more})}


def _stream(name: str, wide: int, *, comes_in: bool) -> dict[str, Any]:
    signals = {
        "tvalid": (comes_in, 1),
        "tready": (not comes_in, 1),
        "tdata": (comes_in, 8 * wide),
        "tkeep": (comes_in, wide),
        "tlast": (comes_in, 1),
    }
    return {**_interface(name, signals), "comes_in": comes_in, "wide": wide}


def _interface(name: str, signals: dict[str, tuple[bool, int]]) -> dict[str, Any]:
    ports = [
        {
            "logical": Identifier(signal.upper()),
            "name": Identifier(f"{name}_{signal}"),
            "direction": Identifier("in" if comes_in else "out"),
            "width": width,
        }
        for signal, (comes_in, width) in signals.items()
    ]
    return {"name": Identifier(name), "ports": ports}


def _belongs(name: str) -> bool:
    folder, _, rest = name.rpartition("/")
    return folder in (HDL, FOLDER) and rest.endswith((".v", ".mem")) and not BENCH.search(rest)


def _path(name: str) -> OwnText:
    return OwnText("/".join(QuotedText(part) for part in name.split("/")))
