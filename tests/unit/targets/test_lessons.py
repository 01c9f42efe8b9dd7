# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the user's own runs teach estimates: kept, applied where it helps, and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.hls.estimate.describe import correct_metric
from edgeinfer.targets.lessons import (
    RunLesson,
    corrections,
    keep_lessons,
    lessons_file,
    read_lessons,
)

KIND = "io_parallel, dense"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEINFER_CONFIG", str(tmp_path))


def runs(*ratios: float, figure: str = "lut") -> list[RunLesson]:
    return [
        RunLesson(f"run{at}", "hls", KIND, figure, 1000.0, 1000.0 * ratio)
        for at, ratio in enumerate(ratios)
    ]


def test_what_is_taught_twice_counts_once() -> None:
    keep_lessons(runs(1.5, 1.4))
    kept = keep_lessons(runs(1.6))
    assert len(kept) == 2
    assert read_lessons() == kept
    assert {lesson.reported for lesson in kept} == {1600.0, 1400.0}


def test_a_bias_that_all_runs_share_is_taken_off() -> None:
    known = corrections("hls", KIND, runs(*[1.5, 1.45, 1.55] * 4))
    lut = Metric("lut", 2000.0, "LUT", Origin.ESTIMATED, low=1500.0, high=3000.0,
                 state=DesignState.C_SYNTHESIS)  # fmt: skip
    actual = correct_metric(lut, known)
    assert 2600 < actual.value < 3000
    assert actual.note == "estimated, with 12 of your runs"
    assert actual.low is not None and actual.high is not None
    assert actual.high - actual.low < 1500  # the spread of these runs, not of all published designs
    other = Metric("ff", 9.0, "FF", Origin.ESTIMATED, low=8, high=10, state=DesignState.C_SYNTHESIS)
    assert correct_metric(other, known) == other


def test_scatter_and_few_runs_correct_nothing() -> None:
    assert not corrections("hls", KIND, runs(0.5, 2.0, 0.5, 2.0))
    assert not corrections("hls", KIND, runs(1.5, 1.5))
    assert not corrections("hls", "io_stream, conv", runs(1.5, 1.5, 1.5))


@pytest.mark.parametrize(
    "text", ["{", '{"version": 9, "lessons": []}', '{"version": 1, "lessons": [1]}']
)
def test_a_broken_file_is_said(text: str) -> None:
    lessons_file().parent.mkdir(parents=True, exist_ok=True)
    lessons_file().write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"estimates\.json"):
        read_lessons()
