# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Cycles, frames a second in Verilator, and what Yosys finds, for the reference models in RTL."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.measure import measure_design
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.reference import load_reference

NAMES = ("jet-tagger", "hit-tagger-pooled", "track-pid", "roi-finder")
SAMPLES = 1000
BITS = 6


def main() -> None:
    """One line for each model."""
    target, settings = RtlTarget(), RtlSettings()
    print("model              latency  interval  build s   frames/s   lut     ff  dsp  bram18")
    for name in NAMES:
        data = entry_of(name).data(7, SAMPLES)
        chosen = quantize(load_reference(name), data.inputs, PtqSettings(BITS, refine=False))
        program = lower(chosen.graph, chosen.recipe).program
        raw = raw_inputs(program, chosen.recipe, Samples(data.inputs, "simulated"))
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            target.emit(program, settings).write(folder)
            figures = {
                m.name: m.value
                for m in target.estimate(program, settings)
                if m.layer is None and m.unit == "cycles"
            }
            start = time.perf_counter()
            target.simulate(program, folder, raw, settings)
            built = time.perf_counter()
            target.simulate(program, folder, raw, settings)
            again = time.perf_counter() - built
            results = {
                m.name: m.value for m in measure_design(folder, settings).metrics if m.layer is None
            }
        print(
            f"{name:<18} {figures['latency_cycles']:>7,} {figures['ii_cycles']:>9,} "
            f"{built - start - again:>8.1f} {SAMPLES / again:>10,.0f} "
            + " ".join(f"{results.get(kind, 0):>6,.0f}" for kind in ("lut", "ff", "dsp", "bram18"))
        )


if __name__ == "__main__":
    main()
