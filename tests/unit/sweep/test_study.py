# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Studies as they are read, the points that they propose, and fronts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base.errors import UsageError
from edgeinfer.report.draw.marks import Line
from edgeinfer.sweep.figures import front_figures
from edgeinfer.sweep.front import front, importances
from edgeinfer.sweep.points import Point, explore_points
from edgeinfer.sweep.study import (
    Direction,
    FigureBudget,
    Objective,
    SamplingStrategy,
    Study,
    StudyKnob,
    read,
)
from edgeinfer.sweep.trial import TrialOutcome
from tests.support.places import ROOT

EXAMPLE = ROOT / "docs/examples/study-hit-tagger.toml"
GOOD = """
[study]
model = "jet-tagger"
trials = 4
[space]
reuse = [1, 2]
[space.bits]
"dense*" = [4, 6]
[[objective]]
figure = "auc"
direction = "maximize"
[budget]
"hls.lut" = 1000
accuracy_drop = { most = 0.1 }
"""
SPACE = (
    StudyKnob("reuse", (1, 2, 4, 8)),
    StudyKnob("bits:*", (3, 4, 5, 6, 7, 8)),
    StudyKnob("io", ("a", "b")),
)
PAIR = (Objective("lost"), Objective("area"))


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_a_study_is_read(tmp_path: Path) -> None:
    study = read(written(tmp_path, GOOD))
    assert study.models == ("jet-tagger",) and study.trials == 4
    assert study.knobs == (StudyKnob("reuse", (1, 2)), StudyKnob("bits:dense*", (4, 6)))
    assert study.objectives == (Objective("auc", Direction.MAXIMIZE),)
    assert study.budgets == (FigureBudget("hls.lut", 1000.0), FigureBudget("accuracy_drop", 0.1))
    assert study.size == 4 and read(EXAMPLE).size == 4 * 6**3


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('model = "jet-tagger"', "", "study.model names no model"),
        ("trials = 4", "trails = 4", "no entry 'trails'. Did you mean 'trials'"),
        ("trials = 4", "trials = 0", "study.trials is 0"),
        ("trials = 4", 'strategy = "gird"', "Did you mean 'grid'"),
        ("reuse = [1, 2]", "reuze = [1, 2]", "Did you mean 'reuse'"),
        ("reuse = [1, 2]", "reuse = []", "space.reuse has no values"),
        ('"dense*" = [4, 6]', '"dense*" = ["4"]', "space.bits.dense* is not a whole number"),
        ("[[objective]]", "[[objectives]]", "has no entry 'objectives'"),
        ('direction = "maximize"', 'direction = "up"', "objective[0].direction cannot be 'up'"),
        ('"hls.lut" = 1000', '"hls.lut" = "few"', "budget.hls.lut is not a number"),
        ("[study]", "[study", "is not a study"),
    ],
)
def test_mistakes_are_named_with_their_place(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert before in GOOD
    with pytest.raises(UsageError) as caught:
        read(written(tmp_path, GOOD.replace(before, after)))
    assert said in str(caught.value)


def answered(points: Sequence[Point]) -> list[TrialOutcome]:
    """A trial's figures by formula: bits help, reuse makes smaller."""
    results = []
    for point in points:
        answer = dict(point)
        bits, reuse = int(answer["bits:*"]), int(answer["reuse"])
        figures = {"lost": 2.0 ** (3 - bits), "area": bits * 100.0 / reuse}
        results.append(TrialOutcome(answer, str(point), figures))
    return results


@pytest.mark.parametrize("strategy", list(SamplingStrategy))
def test_the_same_seed_proposes_the_same_points(strategy: SamplingStrategy) -> None:
    study = Study(("m",), SPACE, PAIR, strategy=strategy, trials=30, seed=3)
    first = explore_points(study, answered, lambda: False)
    assert len(first) == 30 == len({each.key for each in first})
    again = explore_points(study, answered, lambda: False)
    assert [each.key for each in first] == [each.key for each in again]
    if strategy is not SamplingStrategy.GRID:
        other = explore_points(replace(study, seed=4), answered, lambda: False)
        assert [each.key for each in other] != [each.key for each in first]


@pytest.mark.parametrize("strategy", list(SamplingStrategy))
def test_a_small_space_is_tried_wholly_and_no_more(strategy: SamplingStrategy) -> None:
    study = Study(("m",), SPACE[:2], PAIR, strategy=strategy, trials=500)
    assert len(explore_points(study, answered, lambda: False)) <= 24
    if strategy is not SamplingStrategy.OPTUNA:
        assert len(explore_points(study, answered, lambda: False)) == 24


def test_optuna_finds_the_front_sooner_than_chance() -> None:
    """Of 48 points it comes close to the front of all with half of them."""
    whole = Study(("m",), SPACE, PAIR, strategy=SamplingStrategy.GRID, trials=48)
    best = front(whole, explore_points(whole, answered, lambda: False))
    assert {int(each.point["reuse"]) for each in best} == {8}
    guided = replace(whole, strategy=SamplingStrategy.OPTUNA, trials=24)
    result = front(guided, explore_points(guided, answered, lambda: False))
    reached = {each.figures["area"] for each in result} & {each.figures["area"] for each in best}
    assert len(reached) >= 4


def test_time_that_is_over_ends_a_study_after_its_batch() -> None:
    study = Study(("m",), SPACE, PAIR, strategy=SamplingStrategy.GRID, trials=48)
    assert len(explore_points(study, answered, iter([False, True]).__next__)) == 8


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans()), max_size=30))
def test_a_front_is_what_no_other_trial_beats(rows: list[tuple[int, int, bool]]) -> None:
    study = Study(("m",), SPACE, (Objective("a"), Objective("b", Direction.MAXIMIZE)))
    trials = [
        TrialOutcome({}, str(number), {"a": a, "b": b}, over=("x",) if over else ())
        for number, (a, b, over) in enumerate(rows)
    ]
    best = front(study, trials)
    able = [each for each in trials if not each.over]
    for each in able:
        mine = (each.figures["a"], each.figures["b"])
        beaten = any(
            o.figures["a"] <= mine[0] and o.figures["b"] >= mine[1]
            and (o.figures["a"], o.figures["b"]) != mine
            for o in able
        )  # fmt: skip
        held = any((o.figures["a"], o.figures["b"]) == mine for o in best)
        assert held != beaten
    assert [each.figures["a"] for each in best] == sorted(each.figures["a"] for each in best)


def test_importance_is_the_variance_that_a_knob_explains() -> None:
    study = Study(("m",), SPACE, PAIR, strategy=SamplingStrategy.GRID, trials=48)
    answer = importances(study, explore_points(study, answered, lambda: False))
    assert answer["lost"]["bits:*"] == pytest.approx(1.0)
    assert answer["lost"]["reuse"] == pytest.approx(0.0) == answer["area"]["io"]
    assert answer["area"]["reuse"] > answer["area"]["bits:*"] > 0


@given(
    st.lists(st.tuples(*[st.integers(1, 6)] * 3), min_size=2, max_size=20),
    st.sampled_from(list(Direction)),
    st.sampled_from(list(Direction)),
)
def test_the_line_of_a_front_of_three_objectives_never_turns_back(
    values: list[tuple[int, int, int]], first: Direction, other: Direction
) -> None:
    trials = [
        TrialOutcome({}, str(n), {"a": a, "b": b, "c": c}) for n, (a, b, c) in enumerate(values)
    ]
    objectives = (Objective("a", first), Objective("b", other), Objective("c"))
    study = Study(("m",), (), objectives)
    drawn, _ = front_figures(study, trials, front(study, trials))
    for mark in drawn.marks:
        if isinstance(mark, Line) and mark.kind == "front c0":
            xs, ys = zip(*mark.points, strict=True)
            assert len(set(mark.points)) == len(mark.points) > 1
            assert [*xs] in (sorted(xs), sorted(xs, reverse=True))
            assert [*ys] in (sorted(ys), sorted(ys, reverse=True))
