# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The HLS target in the suite: many projects in one program, every layer tapped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgeinfer.ir.interpret import Values
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.csim import build, simulate
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.target import HlsTarget
from quantization.fixed import Ints
from tests.conformance.target_suite import TargetSuite

QUICK = ("-O0", "-w", "-pthread")
TOGETHER = 30  # projects that are compiled at once


class HlsSuite(TargetSuite):
    """Programs in namespaces, compiled together."""

    target = HlsTarget()
    least = 0.8

    def simulated(
        self, programs: Mapping[int, Program], inputs: Mapping[int, Values], folder: Path
    ) -> dict[int, dict[str, Ints]]:
        places = {seed: folder / str(seed) for seed in programs}
        for seed, program in programs.items():
            emit_project(program, self.settings, namespace=f"net{seed}").write(places[seed])
        seeds = list(programs)
        results = {}
        for start in range(0, len(seeds), TOGETHER):
            part = seeds[start : start + TOGETHER]
            compiled = build.build_together(
                [places[seed] for seed in part], folder / f"csim{start}", QUICK
            )
            for seed in part:
                taps = simulate.tappable(programs[seed], manifest.read(places[seed]))
                results[seed] = simulate.simulate_project(
                    programs[seed], places[seed], inputs[seed],
                    taps=taps, processes=1, compiled=compiled,
                )  # fmt: skip
        return results
