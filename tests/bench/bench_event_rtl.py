# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A whole event through one FPGA: the committed pooled hit tagger of 6 bits, planes of 480 x 1000.

Cycles are counted by Verilator over 32 simulated planes, as many as ProtoDUNE has wires for, and
each hit's outputs are held against the patches evaluated one by one. The clock is nextpnr's, on an
LIFCL-40 and an LFE5U-85F. For AMD's parts, Yosys says what several wires at once take; their clock
is the one that is asked for, which nobody has checked. `--quick` leaves out the routing, `--part
NAME` takes one part.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import edgeinfer
from edgeinfer.event.planes import WirePlane, simulate_planes
from edgeinfer.ir.program import Program
from edgeinfer.run.folder import Progress, open_run
from edgeinfer.run.trial import stored_program
from edgeinfer.targets.rtl.plane.check import plane_design
from edgeinfer.targets.rtl.plane.counts import EVENT_PIXELS
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.measure import measure_design
from edgeinfer.targets.rtl.tools.simulate import IDEAL
from tests.support.places import ROOT
from tests.support.plane_designs import assert_hits_agree, raw_plane

MODEL = ROOT / "reports/reference/quantization/hit-tagger-pooled-6bit.keras"
SIZE = (480, 1000)
PLANES = EVENT_PIXELS // (SIZE[0] * SIZE[1])
SEED = 1
GOALS_SECONDS = {"lifcl-40": 0.16, "lfe5u-85f": 0.20}
CLOCKS_MHZ = {"lifcl-40": 125.0, "lfe5u-85f": 110.0, "xczu7ev": 250.0, "xcu250": 250.0}  # asked for
AMD = ("xczu7ev", "xcu250")
AT_ONCE = (1, 2, 4)


def committed_tagger() -> Program:
    """The network as it lies in the repository."""
    with tempfile.TemporaryDirectory() as scratch:
        run = edgeinfer.compile(edgeinfer.load(MODEL), Path(scratch) / "run")
        with open_run(run.folder, Progress(), new=False) as folder:
            return stored_program(folder)


def cycles_of_event(
    program: Program, settings: RtlSettings, planes: list[WirePlane], folder: Path
) -> tuple[int, int]:
    """Hits and cycles of all planes; an error if an output differs from its patch's."""
    inputs = [raw_plane(program, plane.adc) for plane in planes]
    result = assert_hits_agree(program, settings, inputs, IDEAL, folder)
    return len(result.wire), int(result.ends[-1])


def figures_of(folder: Path, settings: RtlSettings) -> dict[str, float]:
    """What the tools say of a folder's design, routed where that was asked."""
    result = measure_design(folder, settings).metrics
    return {metric.name: metric.value for metric in result if metric.layer is None}


def line_of(name: str, figures: dict[str, float], kinds: tuple[str, ...]) -> str:
    """The amounts of a design, side by side."""
    return f"{name:<14}" + "  ".join(f"{kind} {figures.get(kind, 0):,.0f}" for kind in kinds)


def main() -> int:
    """Print the tables; the exit code says whether the goals were met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--part", choices=list(CLOCKS_MHZ))
    asked = parser.parse_args()
    program = committed_tagger()
    planes = list(simulate_planes(SEED, PLANES))
    expected = [part for part in CLOCKS_MHZ if asked.part in (None, part)]
    kinds = ("lut", "ff", "dsp", "bram18")
    met = True
    for part in expected:
        clock = CLOCKS_MHZ[part]
        for at_once in AT_ONCE if part in AMD else (1,):
            settings = RtlSettings(event=SIZE, wires_at_once=at_once, part=part, clock_mhz=clock)
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                hits, cycles = cycles_of_event(program, settings, planes, folder)
                route = part not in AMD and not asked.quick
                figures = figures_of(folder, replace(settings, route=route))
                multipliers = plane_design(program, settings).multipliers
            mhz = figures.get("fmax_mhz", clock)
            seconds = cycles / (mhz * 1e6)
            how = "routed" if route else "asked for, not routed"
            print(
                f"{line_of(part, figures, kinds)}  wires at once {at_once}, {multipliers} "
                f"multipliers, {hits:,} hits all identical, {cycles / 1e6:.2f} M cycles, {mhz:.1f} "
                f"MHz {how}: {seconds:.3f} s an event, {hits / seconds:,.0f} patches a second",
                flush=True,
            )
            if route:
                met &= seconds <= GOALS_SECONDS[part]
    print("Published: 606 s in plain C++, 50.7 s by TensorFlow on 4 CPUs, 1.77 s of a T4 GPU.")
    print("goals met" if met else "GOALS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
