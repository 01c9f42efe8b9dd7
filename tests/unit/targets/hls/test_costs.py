# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The HLS target's figures: estimates with bands before any tool, reports where a tool was run."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.metrics import Origin
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from tests.support.random_programs import random_program

TARGET = HlsTarget()


def test_an_estimate_says_that_it_is_one() -> None:
    result = TARGET.estimate(random_program(3), HlsSettings())
    assert {"latency_cycles", "dsp", "lut", "ff"} <= {metric.name for metric in result}
    for metric in result:
        assert metric.origin is Origin.ESTIMATED
        assert metric.low is not None and metric.high is not None


def test_of_a_part_that_is_not_known_nothing_is_estimated_and_that_is_said() -> None:
    elsewhere = HlsSettings(part="xczu77ev")
    assert TARGET.estimate(random_program(3), elsewhere) == ()
    (said,) = TARGET.advise(random_program(3), elsewhere)
    assert "Nothing is known of the part xczu77ev" in said
    with pytest.raises(UsageError, match="xczu7"):
        TARGET.settle(random_program(3), HlsSettings(part="xczu77ev", fit=True))


def test_without_a_vendors_report_nothing_is_measured(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        TARGET.reports(tmp_path, HlsSettings())
