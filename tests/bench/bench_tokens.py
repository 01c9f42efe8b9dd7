# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Designs in tokens: cycles of simulated planes, LUTs by Yosys, and their product beside what
SparsePixels publishes.

Its network for neutrino images has drawn weights here, and planes of `edgeinfer data
sparse-ssnet-small`; every simulated integer is the interpreter's. A small U-net stands beside it.
The network with room for more sites is simulated only.
`--quick` leaves out the synthesis. Exits with 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.settings import Budget, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.measure import measure_design
from edgeinfer.targets.rtl.tools.simulate import IDEAL, run
from edgeinfer.zoo import entry_of
from quantization.fixed import Ints
from tests.support.sparse_programs import neutrino_network, sparse_unet

PLANES, SEED = 60, 1
PERCENTILE = 95
MOST_CYCLES, MOST_LUTS = 600, 30_000
SECONDS = 3600.0
NEUTRINO = RtlSettings(sparse="tokens", latency_us=6.0, part="xczu7ev", tool_seconds=SECONDS)
ROOM = 400  # sites: most planes have fewer
ROOMY = RtlSettings(sparse="tokens", latency_us=33.0, part="xczu7ev")
UNET = RtlSettings(
    sparse="tokens", budget=Budget(multipliers=112), part="xczu3eg", tool_seconds=SECONDS
)
PUBLISHED = {  # SparsePixels, Vitis HLS, xcu250: cycles and LUTs
    "SparsePixels, 8 bits": (69, 562_332),
    "SparsePixels, 16 bits": (71, 713_212),
    "dense, 8 bits": (9_733, 167_449),
}
SHOWN = ("latency_cycles", "ii_cycles", "lut", "ff", "dsp", "bram18")


def planes_of(program: Program) -> Ints:
    """Simulated planes as the network reads them."""
    image = np.asarray(entry_of("sparse-ssnet-small").data(SEED, PLANES).inputs["image"])
    (port,) = program.inputs
    raw = np.clip(np.rint(np.ldexp(image, port.type.frac)), port.type.raw_min, port.type.raw_max)
    return raw.astype(np.int64)


def simulated_cycles(program: Program, settings: RtlSettings, folder: Path) -> list[int]:
    """Cycles of each plane, one at a time; an error where an integer is not the interpreter's."""
    made = prepare_program(program, sites=True)
    _, netlist = design_netlist(made, settings)
    cycles = []
    planes = planes_of(made)
    for plane in planes[:, None]:
        raw = {made.inputs[0].name: plane}
        trace = run(netlist, made, folder, raw, IDEAL, expected_cycles=MOST_CYCLES)
        for name, expected in results(made, interpret(made, raw)).items():
            np.testing.assert_array_equal(trace.outputs[name], expected, err_msg=name)
        cycles.append(trace.latency())
    lit = np.percentile((planes > 0).sum(axis=(1, 2, 3)), (50, PERCENTILE))
    print(f"  {PLANES} planes, lit pixels at the median and at {PERCENTILE} %: {lit}")
    return cycles


def print_cycles(cycles: list[int]) -> None:
    """How many cycles most planes take."""
    late, middle = np.percentile(cycles, (PERCENTILE, 50))
    print(
        f"  cycles: {late:.0f} at {PERCENTILE} %, median {middle:.0f}, at most {max(cycles)} "
        f"[simulated]"
    )


def print_figures(program: Program, settings: RtlSettings, folder: Path, quick: bool) -> float:
    """What is proved, estimated and, unless quick, found by Yosys; its LUTs."""
    target = RtlTarget()
    target.emit(program, settings).write(folder)
    for metric in target.estimate(program, settings):
        if metric.layer is None and metric.name in SHOWN:
            band = "" if metric.low is None else f" ({metric.low:,.0f} to {metric.high:,.0f})"
            print(f"  {metric.name} {metric.value:,.0f}{band} [{metric.origin.value}]")
    if quick:
        return 0.0
    found = {m.name: m.value for m in measure_design(folder, settings).metrics if m.layer is None}
    print("  Yosys: " + ", ".join(f"{n} {found[n]:,.0f}" for n in SHOWN if n in found), flush=True)
    return found["lut"]


def main() -> int:
    """The figures, and whether the bounds hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no synthesis")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as scratch:
        print(f"SparsePixels' network for neutrino images, {NEUTRINO.part}")
        program, folder = neutrino_network(1), Path(scratch) / "neutrino"
        luts = print_figures(program, NEUTRINO, folder, quick)
        cycles = simulated_cycles(program, NEUTRINO, folder)
        late = float(np.percentile(cycles, PERCENTILE))
        print_cycles(cycles)
        if luts:
            print(f"  {late * luts / 1e6:.1f} million cycles x LUTs")
        for name, (published, published_luts) in PUBLISHED.items():
            product = published * published_luts / 1e6
            print(
                f"  {name}: {published} cycles, {published_luts:,} LUTs, {product:,.1f} million "
                f"[published]"
            )
        print(f"The same with room for {ROOM} sites", flush=True)
        program, folder = neutrino_network(1, most=ROOM), Path(scratch) / "room"
        print_figures(program, ROOMY, folder, quick=True)
        print_cycles(simulated_cycles(program, ROOMY, folder))
        print(f"A small U-net, {UNET.part}", flush=True)
        unet = sparse_unet(1, size=16, levels=2, convs=1, channels=2, most=24, plain=True)
        print_figures(unet, UNET, Path(scratch) / "unet", quick)
    return 0 if late <= MOST_CYCLES and luts <= MOST_LUTS else 1


if __name__ == "__main__":
    sys.exit(main())
