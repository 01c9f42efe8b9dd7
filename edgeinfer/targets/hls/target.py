# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The HLS target: what `protocol` asks, answered by hls4ml's projects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from edgeinfer.devices import device
from edgeinfer.errors import Offence
from edgeinfer.ir.program import Program
from edgeinfer.metrics import Metric
from edgeinfer.plan import BuildPlan
from edgeinfer.targets.hls import check, csim, csim_build, manifest
from edgeinfer.targets.hls.estimate import estimated
from edgeinfer.targets.hls.measure.measured import measured
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.protocol import Suspicion
from quantization.fixed import Ints


class HlsTarget:
    """Projects for Vitis, Vivado, Quartus and their kin."""

    def check(self, program: Program, settings: HlsSettings) -> tuple[Offence, ...]:
        """Every op that has no exact equal in a project, found before anything is made."""
        return check.offences(program, settings)

    def emit(self, program: Program, settings: HlsSettings) -> BuildPlan:
        """The project's files."""
        from edgeinfer.targets.hls.emit import emitted

        return emitted(program, settings)

    def simulates(self, settings: HlsSettings) -> bool:
        """Whether g++ alone compiles the backend's projects."""
        return settings.backend in csim_build.TYPES

    def simulate(
        self,
        program: Program,
        folder: Path,
        raw: Mapping[str, Ints],
        settings: HlsSettings,
        *,
        taps: Collection[str] = (),
        advanced: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Ints]:
        """The C-simulation of the project in a folder, compiled where it was not before."""
        return csim.simulated(program, folder, raw, taps=taps, advanced=advanced)

    def estimate(self, program: Program, settings: HlsSettings) -> tuple[Metric, ...]:
        """Latency and resources on the settings' part, without any tool."""
        return estimated(program, settings, device(settings.part))

    def measure(self, folder: Path, settings: HlsSettings) -> tuple[Metric, ...]:
        """What reports of the vendor's tools are in an emitted project."""
        return measured(folder, settings)

    def tappable(self, program: Program, folder: Path, settings: HlsSettings) -> tuple[str, ...]:
        """The values that layers of the project hold."""
        return csim.tappable(program, manifest.read(folder))

    def suspect(
        self,
        program: Program,
        folder: Path,
        settings: HlsSettings,
        value: str,
        expected: Mapping[str, Ints],
        got: Mapping[str, Ints],
    ) -> Suspicion:
        """What in the project, or in the numbers, tells why a value differs."""
        from edgeinfer.targets.hls.suspects import suspicion

        return suspicion(program, folder, settings, value, expected, got)
