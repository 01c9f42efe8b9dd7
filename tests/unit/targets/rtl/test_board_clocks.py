# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The clock that a board gives: within the PLL's ranges, with bits of the right length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base.errors import UsageError
from edgeinfer.targets.boards.boards import SerialBoard, board, boards
from edgeinfer.targets.boards.clocks import MOST_DRIFT, OSCILLATORS, PLLS, clock_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.tools.routing import retuned_clock

SERIAL = [on for on in map(board, boards()) if isinstance(on, SerialBoard)]


@given(st.sampled_from(SERIAL), st.floats(35, 300))
def test_a_clock_is_one_that_the_pll_makes_and_not_above_what_is_asked(
    on: SerialBoard, asked_mhz: float
) -> None:
    clock = clock_of(on, asked_mhz)
    assert 0.7 * min(asked_mhz, on.crystal_hz / 1e6) < clock.mhz <= asked_mhz + 1e-3
    if on.pll in OSCILLATORS:
        assert clock.hz * clock.output == OSCILLATORS[on.pll].mhz * 1_000_000
        assert clock.divider * on.baud == on.crystal_hz  # the line keeps the crystal's time
        slowest_mhz = clock.mhz * (1 - clock.drift)
        assert slowest_mhz > 2 * on.crystal_hz / 1e6  # each turn of the crystal is seen
        assert clock.fastest_mhz > 1.05 * clock.mhz
    else:
        compared = clock.output if PLLS[on.pll].compares_oscillator else 1
        assert clock.hz * compared * clock.reference == on.crystal_hz * clock.feedback
        drift = abs(float(clock.hz) / (clock.divider * on.baud) - 1)
        assert drift <= MOST_DRIFT and clock.fastest_mhz == clock.mhz
    if on.pll in PLLS:
        limits = PLLS[on.pll]
        low, high = limits.oscillator_mhz
        assert low <= clock.mhz * clock.output <= high
        low, high = limits.compared_mhz
        assert low <= on.crystal_hz / 1e6 / clock.reference <= high
    assert clock_of(on, clock.mhz) == clock  # what was settled stays


def test_a_hundred_megahertz_of_the_ulx3s_is_as_ecppll_makes_it() -> None:
    clock = clock_of(next(on for on in SERIAL if on.name == "ulx3s"), 100.0)
    assert (clock.reference, clock.feedback, clock.output, clock.divider) == (1, 4, 6, 100)


def test_thirty_megahertz_of_the_icebreaker_are_as_icepll_makes_them() -> None:
    """DIVR 0, DIVF 79, DIVQ 5, filter 1: an oscillator of 960 MHz."""
    clock = clock_of(next(on for on in SERIAL if on.name == "icebreaker"), 30.0)
    assert (clock.reference, clock.feedback, clock.output, clock.divider) == (1, 80, 1 << 5, 30)


def test_a_clock_slower_than_all_is_refused_with_the_slowest() -> None:
    with pytest.raises(UsageError, match=r"its slowest clock is 34\.62 MHz") as caught:
        RtlSettings(board="crosslink-nx-evn", clock_mhz=10)
    assert "--clock-mhz 34.62" in caught.value.hint
    with pytest.raises(UsageError, match=r"its slowest clock is 16\.13 MHz"):  # 16.125
        RtlSettings(board="icebreaker", clock_mhz=16.12)
    assert RtlSettings(board="icebreaker", clock_mhz=16.13).clock_mhz == 16.125


def test_a_board_is_retuned_to_what_its_design_reaches() -> None:
    ulx3s, nexus = (next(on for on in SERIAL if on.name == name)
                    for name in ("ulx3s", "crosslink-nx-evn"))  # fmt: skip
    faster = retuned_clock(ulx3s, 80.0, 121.6)
    assert faster is not None and 110 < faster <= 0.97 * 121.6
    slower = retuned_clock(ulx3s, 100.0, 90.0)
    assert slower is not None and 80 < slower <= 0.97 * 90
    assert retuned_clock(ulx3s, faster, 121.6) is None  # it has that clock
    inside = retuned_clock(nexus, 90.0, 130.0)
    assert inside == 112.5 and 1.07 * inside < 130  # even the fastest oscillator is slow enough
