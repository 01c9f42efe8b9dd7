# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What every estimated figure says of itself: a band, and the step of the tools it foresees."""

from __future__ import annotations

import pytest

from edgeinfer.base.devices import device
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.rtl_programs import dense_program

PROGRAM = dense_program(16, 8)
OF_A_STEP = ("alm", "bram18", "bram4", "dsp", "ff", "lut", "lram", "m10k", "m20k", "uram")


def _estimates(asked: str) -> tuple[Metric, ...]:
    target, _, part = asked.partition(":")
    if target == "rtl":
        unroll = "full" if part.endswith("+") else "never"
        settings = RtlSettings(part=part.rstrip("+"), unroll=unroll)
        return RtlTarget().estimate(PROGRAM, settings)
    asked_of = HlsSettings.on_device(device(part), part)
    assert asked_of is not None
    return HlsTarget().estimate(PROGRAM, HlsSettings(**asked_of))


ASKED = (
    *(f"hls:{part}" for part in ("xc7z020", "xcku115", "xcu250", "5csxfc6", "10cx220", "10at115")),
    *(f"rtl:{part}{way}" for way in ("", "+")
      for part in ("lfe5u-85f", "lifcl-40", "gw2a-18c", "ice40up5k", "xc7a100t", "xczu7ev")),
)  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
def test_an_estimate_states_its_band_and_its_step_of_the_tools(asked: str) -> None:
    results = [each for each in _estimates(asked) if each.origin is Origin.ESTIMATED]
    assert all(each.low is not None and each.high is not None for each in results)
    counted = [each for each in results if each.name.removesuffix("_vsynth") in OF_A_STEP]
    assert counted
    assert all(each.state for each in counted), [each.name for each in counted if not each.state]
