# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The recommended row does what was asked for, and no other that does is notably faster."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.evaluate.merit import Merit
from edgeinfer.evaluate.profile.data import Uncertain
from edgeinfer.report.fitting.fit_page import document, html, lines, rows_table
from edgeinfer.report.fitting.fit_table import (
    AS_FAST,
    FitLimits,
    FitRow,
    FitState,
    FitTable,
)
from edgeinfer.report.site_tables import SiteTimes
from edgeinfer.report.timings import TimingBand
from edgeinfer.report.uses import Use

SHARES = st.floats(0.01, 3.0)


def row(target: str, bits: int, lost: float, latency: float, share: float, high: float) -> FitRow:
    """A row as a fit makes it: a loss with an interval of ± 0.002, one resource with a band."""
    merit = Merit(
        "auc",
        Uncertain(value=0.9 - lost, low=0.88 - lost, high=0.92 - lost),
        Uncertain(value=lost, low=lost - 0.002, high=lost + 0.002),
        0.9,
    )
    taken = Metric(
        "lut",
        share * 1000,
        "LUT",
        Origin.ESTIMATED,
        share * 900,
        high * share * 1000,
        state=DesignState.C_SYNTHESIS,
    )
    wait = Metric("latency_us", latency, "us", Origin.ESTIMATED, latency * 0.8, latency * 1.2,
                  state=DesignState.NONE)  # fmt: skip
    return FitRow(
        target,
        target.upper(),
        f"{bits} bits",
        "part",
        merit,
        TimingBand(target, target.upper(), wait, latency),
        (Use(target, target.upper(), "lut", taken, "", 1000.0),),
        f"edgeinfer compile --bits {bits} --target {target}",
    )


ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from(["one", "two"]),
        st.integers(2, 16),
        st.floats(0.0, 0.03),
        st.floats(0.01, 100.0),
        SHARES,
        st.floats(1.0, 2.0),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(ROWS, st.none() | st.floats(0.001, 0.05), st.none() | st.floats(0.1, 200.0))
def test_the_recommended_row_will_do_and_none_that_will_is_notably_faster(
    rows: list[FitRow], loss: float | None, latency_us: float | None
) -> None:
    table = FitTable("net", "samples", tuple(rows), FitLimits(loss, latency_us))
    best = table.recommended
    good = [each for each in rows if not table.misses(each)]
    assert (best is None) == (not good)
    answer = document(table)
    assert lines(table) and answer["reason"] and html(table)
    if best is None:
        assert answer["command"] is None
        return
    assert best in good and best.merit is not None and best.timing is not None
    assert best.merit.lost.high <= (0.01 if loss is None else loss)
    assert best.fits in (FitState.YES, FitState.PROBABLY)
    if latency_us is not None:
        assert best.timing.latency.high is not None and best.timing.latency.high <= latency_us
    quickest = min(e.timing.latency.value if e.timing else math.inf for e in good)
    assert best.timing.latency.value <= AS_FAST * quickest
    assert answer["rows"][answer["recommended"]]["command"] == best.command == answer["command"]
    band = best.timing.latency
    tied = {
        each.title
        for each in good
        if each.target != best.target
        and each.timing is not None
        and 0.8 * each.timing.latency.value <= 1.2 * band.value
    }
    for title in ("ONE", "TWO"):
        assert (f"{title} may be as fast" in answer["reason"]) is (title in tied)


def test_of_widths_that_are_as_fast_one_that_surely_fits_comes_first() -> None:
    narrow = row("one", 6, 0.001, 1.0, 0.8, 1.5)
    sure = row("one", 8, 0.001, 1.01, 0.5, 1.5)
    wide = row("one", 10, 0.001, 1.0, 0.5, 1.5)
    assert narrow.fits is FitState.PROBABLY and sure.fits is FitState.YES
    assert FitTable("net", "", (narrow, sure, wide), FitLimits()).recommended is sure
    assert FitTable("net", "", (narrow, wide), FitLimits()).recommended is wide
    assert FitTable("net", "", (narrow,), FitLimits()).recommended is narrow


def test_a_latency_for_the_most_lit_pixels_is_said_to_be_a_bound() -> None:
    plain = row("one", 8, 0.0, 1.0, 0.5, 1.1)
    assert plain.timing is not None
    sparse = replace(plain, timing=replace(plain.timing, by_sites=SiteTimes(4096)))
    for each, bound in ((plain, False), (sparse, True)):
        answer = document(FitTable("net", "", (each,), FitLimits()))
        assert ("takes 1 µs, at most, for 4,096 lit pixels" in answer["reason"]) is bound


def test_rows_that_will_not_do_say_why() -> None:
    table = FitTable(
        "net",
        "",
        (
            row("one", 4, 0.02, 1.0, 0.5, 1.1),
            row("one", 6, 0.0, 1.0, 2.0, 1.1),
            row("one", 8, 0.0, 9.0, 0.5, 1.1),
            FitRow("two", "TWO", "16 bits", "part", refused="computes with 8 bits"),
        ),
        FitLimits(latency_us=5.0),
    )
    assert [table.misses(each) for each in table.rows] == [
        ["may lose 0.022 AUC, more than 0.01"],
        ["does not fit (LUT 200 %)"],
        ["may take longer than 5 µs"],
        ["computes with 8 bits"],
    ]
    assert table.recommended is None
    assert lines(table)[-1][1].startswith("No row will do: 1 row loses too much")


@pytest.mark.parametrize(
    ("lost", "half", "cell", "reason"),
    [
        (0.0, 0.0, "no change", "It loses no AUC on these samples"),
        (1e-17, 0.002, "no change, −0.002 to +0.002", "It loses at most 0.002 AUC with 95 %"),
        (0.003, 0.002, "+0.001 to +0.005", "It loses at most 0.005 AUC with 95 %"),
    ],
)
def test_a_score_that_stays_has_not_changed(
    lost: float, half: float, cell: str, reason: str
) -> None:
    one = row("one", 8, lost, 1.0, 0.5, 1.5)
    assert one.merit is not None
    loss = Uncertain(value=lost, low=lost - half, high=lost + half)
    table = FitTable(
        "net",
        "samples",
        (replace(one, merit=replace(one.merit, lost=loss)),),
        FitLimits(None, None),
    )
    assert rows_table(table).rows[0][3].text == cell
    assert document(table)["reason"].startswith(reason)
