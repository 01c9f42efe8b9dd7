# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures that mypy has to refuse. `make lint` checks this file: an error that mypy no longer finds
leaves its comment unused, and that is an error too."""

from __future__ import annotations

from edgeinfer.base.metrics import DesignState, Metric, Origin


def make_figures(origin: Origin) -> None:
    """Five that are made with all they need, and six that lack something."""
    gates = DesignState.LOGIC_SYNTHESIS
    Metric("multipliers", 4, "", Origin.PROVED)
    Metric("lut", 900, "LUT", Origin.ROUTED, tool="nextpnr")
    Metric("lut", 900, "LUT", Origin.SYNTHESISED, state=gates)
    Metric("lut", 900, "LUT", Origin.ESTIMATED, 700, 1100, state=gates)
    Metric("lut", 900, "LUT", origin, 700, 1100, state=gates)

    Metric("multipliers", 4, "")  # type: ignore[call-overload]  # no origin
    Metric("lut", 900, "LUT", Origin.SYNTHESISED)  # type: ignore[call-overload]  # no state
    Metric("lut", 900, "LUT", Origin.ESTIMATED, 700, 1100)  # type: ignore[call-overload]
    Metric("lut", 900, "LUT", Origin.ESTIMATED, state=gates)  # type: ignore[call-overload]
    Metric("lut", 900, "LUT", origin, state=gates)  # type: ignore[call-overload]  # no band
    Metric("lut", 900, "LUT", Origin.SYNTHESISED, state="gates")  # type: ignore[call-overload]
