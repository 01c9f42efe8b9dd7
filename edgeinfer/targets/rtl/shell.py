# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design with four pins: what it is placed and routed in where no board is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeinfer.targets.rtl.emit import rendered
from edgeinfer.targets.rtl.synthesis import Source

TEMPLATE = "synth/shell.v.j2"
CORE = "core"  # the design's instance in it


def shelled(core: Source, described: Mapping[str, Any]) -> Source:
    """The design inside its shell; `described` is its manifest."""
    ports: list[tuple[str, int, int, str]] = []
    bits = {"in": 0, "out": 0}

    def add(port: str, width: int, wire: str) -> None:
        ports.append((port, bits[wire] + width - 1, bits[wire], wire))
        bits[wire] += width

    for way, fed, read in (("inputs", "in", "out"), ("outputs", "out", "in")):
        for told in described[way]:
            name = told["port"]
            add(f"{name}_tdata", 8 * told["bytes_per_beat"], fed)
            add(f"{name}_tvalid", 1, fed)
            add(f"{name}_tlast", 1, fed)
            add(f"{name}_tready", 1, read)
    add("misframed", 1, "out")
    top = f"{core.top}_shell"
    known = {
        "core": core.top, "top": top, "ports": ports, "bits_in": bits["in"],
        "bits_out": bits["out"],
    }  # fmt: skip
    return Source({**core.files, f"{top}.v": rendered(TEMPLATE, known)}, top)
