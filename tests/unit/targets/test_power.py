# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Power at rest by part, and the energy of an inference with it."""

from __future__ import annotations

import math

import pytest

from edgeinfer.base.assets import text
from edgeinfer.base.devices import device, devices
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.energy import BAND, NAME, energy_metric
from edgeinfer.targets.power import (
    POWER,
    STATIC,
    TABLE,
    TOTAL,
    at_activity,
    event_energy,
    known_parts,
    logic_size,
    power_metrics,
    static_power,
)
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.rtl_programs import dense_program

DYNAMIC = Metric(NAME, 10.0, "nJ", Origin.ESTIMATED, 1.5, 40.0, state=DesignState.NONE,
                 target="rtl")  # fmt: skip


def test_every_row_of_the_table_is_a_known_part_with_its_source() -> None:
    rows = text(TABLE).splitlines()[1:]
    assert len(known_parts()) == len(rows) >= 8
    assert all(each.source and 0 < each.watts < 20 for each in known_parts())


@pytest.mark.parametrize("part", [each.device.name for each in known_parts()])
def test_a_published_part_lies_in_the_band_that_the_others_give_it(part: str) -> None:
    own = next(each for each in known_parts() if each.device.name == part)
    others = [each for each in known_parts() if each is not own]
    result = static_power(own.device, others)
    if result is None:
        assert all(each.device.fabric != own.device.fabric for each in others)
        return
    assert result.low <= own.watts <= result.high


def test_the_band_holds_a_leakage_in_proportion_to_size_and_one_without() -> None:
    small, large = device("xczu7ev"), device("xcvu13p")
    ratio = logic_size(large) / logic_size(small)
    (known,) = (each for each in known_parts() if each.device is small)
    result = static_power(large, [known])
    assert result is not None and result.watts == pytest.approx(known.watts * math.sqrt(ratio))
    assert result.low < known.watts and known.watts * ratio < result.high
    assert "xczu7ev" in result.source


def test_fabrics_of_which_nothing_is_published_have_no_power_at_rest() -> None:
    assert static_power(device("lfe5u-85f")) is None
    assert power_metrics(DYNAMIC, device("lfe5u-85f"), 1e-6) == ()
    assert all(static_power(each) is not None for each in devices() if each.fabric == "ultrascale+")


def test_energy_of_an_inference_is_that_of_its_arithmetic_and_of_the_rest_until_the_next() -> None:
    part = device("xc7z020")
    results = {metric.name: metric for metric in power_metrics(DYNAMIC, part, 1e-6)}
    rest = static_power(part)
    assert rest is not None
    assert results[STATIC].value == pytest.approx(0.113)
    assert results[TOTAL].value == pytest.approx(10.0 + 0.113e-6 * 1e9)
    assert results[TOTAL].low == pytest.approx(1.5 + rest.low * 1e3)
    assert results[TOTAL].high == pytest.approx(40.0 + rest.high * 1e3)
    assert results[POWER].value == pytest.approx(0.113 + 10e-9 / 1e-6)


def test_an_interval_that_is_uncertain_widens_both_bands() -> None:
    part = device("xc7z020")
    narrow = {m.name: m for m in power_metrics(DYNAMIC, part, 1e-6)}
    wide = {m.name: m for m in power_metrics(DYNAMIC, part, 1e-6, (0.5, 2.0))}
    for name in (TOTAL, POWER):
        assert wide[name].value == narrow[name].value
        assert (wide[name].low or 0) < (narrow[name].low or 0)
        assert (wide[name].high or 0) > (narrow[name].high or 0)


@pytest.mark.parametrize("toggles", [0.0, 0.1, 0.5, 0.9])
def test_activity_changes_the_arithmetic_and_leaves_the_rest(toggles: float) -> None:
    program = dense_program(16, 8)
    plain = RtlTarget().estimate(program, RtlSettings(part="xc7a100t"))
    before = {m.name: m for m in plain if not m.layer}
    after = {m.name: m for m in at_activity(plain, toggles) if not m.layer}
    assert after[NAME] == energy_metric(program, "rtl", toggles)
    assert after[STATIC] == before[STATIC]
    moved = after[NAME].value - before[NAME].value
    assert after[TOTAL].value - before[TOTAL].value == pytest.approx(moved)
    seconds = before[TOTAL].value * 1e-9 / before[POWER].value
    assert after[TOTAL].value * 1e-9 / seconds == pytest.approx(after[POWER].value)


def test_an_event_takes_its_arithmetic_and_the_rest_of_its_time() -> None:
    result = event_energy((0.2, 0.03, 0.8), device("xcku115"), (0.01, 0.008, 0.0105), "rtl")
    by_name = {metric.name: metric for metric in result}
    assert by_name["energy_event_dynamic_j"].value == 0.2
    assert by_name["energy_event_j"].value == pytest.approx(0.2 + 1.27 * 0.01)
    (alone,) = event_energy((0.2, 0.03, 0.8), device("gw2a-18c"), (0.01, 0.01, 0.01), "rtl")
    assert alone.low == 0.2 * BAND[0] and "without static power" in (alone.note or "")
