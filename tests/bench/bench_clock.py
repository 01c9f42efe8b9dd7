# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Clocks that are reckoned for unrolled networks, and those that nextpnr finds.

    python -m tests.bench.bench_clock [--fabrics ecp5,nexus,gowin,ice40] [--networks 4:3,9:5,14:2]

Each network of tests/support/pipelines.py, by its number, in so many stages, alone between
registers. The slowest path is itemised, too: firmware/rtl/delays.toml has its figures from there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.estimate.delays import delays_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.families import family_of
from edgeinfer.targets.rtl.tools.measure import manifest_of, source_in, wrap_in_shell
from edgeinfer.targets.rtl.tools.place import REPORT, constraints, pins_of, place_and_route
from edgeinfer.targets.rtl.tools.synthesis import synthesise
from tests.support.pipelines import unrolled_network
from tests.support.rtl_resources import DEVICES

SMALLER = {"ecp5": "lfe5u-25f"}  # of the same silicon, and sooner routed
FABRICS = ("ecp5", "nexus", "gowin", "ice40")
NETWORKS = "4:3,8:2,9:5,14:2,14:4"
SECONDS = 1200.0


@dataclass(frozen=True, slots=True)
class RoutedClock:
    """A network in so many stages: its clock as reckoned and as routed, and its slowest path."""

    reckoned_mhz: float
    routed_mhz: float
    path: tuple[str, ...]


def route_network(fabric: str, number: int, stages: int) -> RoutedClock:
    """One network through Yosys and nextpnr."""
    part = SMALLER.get(fabric, DEVICES[fabric])
    settings = RtlSettings(unroll="full", interface="bare", part=part, stages=stages)
    program, target = unrolled_network(number), RtlTarget()
    figures = {m.name: m.value for m in target.estimate(program, settings) if not m.layer}
    device = part_of(settings)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target.emit(program, settings).write(folder)
        described = manifest_of(folder)
        shell = wrap_in_shell(source_in(folder, described["top"]), described)
        family = family_of(device.fabric)
        netlist = synthesise(shell, family, dsp=False, seconds=SECONDS).netlist
        limits = constraints(device, pins_of(device), figures["fmax_mhz"])
        routed = place_and_route(netlist, device, limits, figures["fmax_mhz"], seconds=SECONDS)
        report = json.loads((routed.config.parent / REPORT).read_text())
    return RoutedClock(figures["fmax_mhz"], routed.fmax_mhz, tuple(items_of(report)))


def items_of(report: dict[str, Any]) -> Iterator[str]:
    """The slowest path between registers, item by item, in nanoseconds."""
    inside = [p for p in report["critical_paths"] if p["from"] == p["to"]]
    for item in inside[0]["path"]:
        ports = f"{item['from']['port']}>{item['to']['port']}"
        if item["delay"]:
            yield f"{ports if item['type'] == 'logic' else item['type']} {item['delay']:.2f}"


def main() -> None:
    """Print every network, then each family's band."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fabrics", default=",".join(FABRICS))
    parser.add_argument("--networks", default=NETWORKS)
    options = parser.parse_args()
    for fabric in options.fabrics.split(","):
        ratios = []
        for word in options.networks.split(","):
            number, stages = map(int, word.split(":"))
            clock = route_network(fabric, number, stages)
            ratios.append(clock.reckoned_mhz / clock.routed_mhz)
            print(
                f"{fabric:6} network {number:2} in {stages} stages: reckoned "
                f"{clock.reckoned_mhz:6.1f} MHz, routed {clock.routed_mhz:6.1f} MHz, period x "
                f"{ratios[-1]:.2f}\n       {', '.join(clock.path)}",
                flush=True,
            )
        delays = delays_of(fabric)
        assert delays is not None  # every fabric of the bench has figures
        print(f"{fabric}: periods x {min(ratios):.2f} to {max(ratios):.2f}, said {delays.band}\n")


if __name__ == "__main__":
    main()
