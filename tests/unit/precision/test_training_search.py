# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The search over trainings: it begins with what others are compared with, can be killed, and takes
the cheapest network whose score holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import edgeinfer
from edgeinfer.base.errors import UsageError
from edgeinfer.cli.app import main
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.search.trainings import (
    SPARSITIES,
    TrainedPoint,
    TrainingPoint,
    TrainingSpace,
    explore_trainings,
    training_front,
)
from edgeinfer.run.training_search import choose_training
from quantization.search_journal import SearchJournal

SPACE = TrainingSpace((2, 4, 6, 8), ("qat", "learned"), "lut", 18, 0, 6)
MOST_LUTS = 2500.0  # below what the first point needs


class Killed(Exception):
    """The process ends."""


def worth(point: TrainingPoint) -> tuple[float, Mapping[str, float], str]:
    """More bits and fewer zeros are better and dearer; too many bits do not fit."""
    if point.way == "learned":
        return 0.93 - 0.02 * point.cost_weight, {"lut": 300.0 / point.cost_weight}, ""
    kept = point.weight_bits * (1.0 - point.sparsity)
    score, lut = 0.95 - 0.1 / (kept + point.tensor_bits), 100.0 * kept * point.tensor_bits
    return (
        score,
        ({"lut": lut} if lut < MOST_LUTS else {}),
        ("" if lut < MOST_LUTS else "too large"),
    )


def explore(folder: Path, most: int = 1000) -> list[TrainedPoint]:
    """The search, killed after so many trainings."""
    count = [0]

    def attempt(point: TrainingPoint) -> tuple[float, Mapping[str, float], str]:
        if count[0] == most:
            raise Killed
        count[0] += 1
        return worth(point)

    journal = SearchJournal.open(folder / "search.jsonl", "this")
    return explore_trainings(SPACE, attempt, journal, folder, lambda: False, lambda: 0.0)


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = explore(tmp_path / "whole")
    with pytest.raises(Killed):
        explore(tmp_path, 11)
    assert explore(tmp_path, SPACE.trials - 11) == whole
    assert len({each.point for each in whole}) == SPACE.trials
    assert [each.point for each in whole[:3]] == list(SPACE.starts())
    assert {each.point.sparsity for each in whole} <= {*SPARSITIES}
    assert {each.point.way for each in whole} == {"qat", "learned"}


def test_the_cheapest_that_holds_is_chosen_and_what_is_refused_never(tmp_path: Path) -> None:
    trained = explore(tmp_path)
    front = training_front(trained, "lut")
    assert any(each.refusal for each in trained)
    assert not any(each.refusal for each in front)
    chosen = choose_training(front, 0.93, "lut")
    assert chosen.score >= 0.93
    made = [each for each in trained if not each.refusal]
    assert all(
        each.costs["lut"] >= chosen.costs["lut"] for each in made if each.score >= chosen.score
    )
    best = choose_training(front, 0.99, "lut")  # none holds
    assert best.score == max(each.score for each in made)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--strategy", "training"), "--target"),
        (("--unroll", "full"), "'unroll' is one of a target"),
        (("--target", "rtl", "--unroll", "full", "--budget", "0.5"), "--budget"),
        (("--target", "rtl", "--unroll", "full", "--sparsity", "0.5"), "--sparsity"),
        (("--target", "edgetpu", "--unroll", "full"), "unroll"),
        (("--synth", "2"), "--synth"),
    ],
)
def test_options_that_do_nothing_are_refused(
    options: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "jet-tagger", *options, "-o", str(tmp_path / "found")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "training"}, "for a target"),
        ({"strategy": "trainings"}, "no search strategy 'trainings'.*'training'"),
        ({"target": "rtl", "unroll": "full", "bits": 1}, "1 bits cannot be asked for"),
        ({"unroll": "full"}, "'unroll' is one of a target"),
        ({"device": "zcu104"}, "'device' is one of a target"),
        ({"target": "rtl", "unroll": "full", "per_channel": True}, "per_channel"),
        ({"target": "rtl", "unroll": "full", "strategy": "greedy", "synth": 2}, "synth"),
        ({"target": "rtl", "unroll": "full", "minutes": 0.0}, "minutes"),
        ({"target": "rtl", "unroll": "full", "training": QatSettings(seed=4)}, "Seed"),
        ({"target": "rtl", "unroll": "full", "training": QatSettings(sparsity=0.5)}, "zero"),
    ],
)
def test_python_refuses_what_cannot_be_searched(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    pytest.importorskip("qkeras")
    with pytest.raises(UsageError, match=said):
        edgeinfer.search(edgeinfer.load("jet-tagger"), tmp_path / "front", **options)
    assert not (tmp_path / "front").exists()


def test_python_refuses_a_cost_that_is_not_learned_under(tmp_path: Path) -> None:
    pytest.importorskip("qkeras")
    cost: Any = "folds"
    with pytest.raises(UsageError, match=r"no cost 'folds'.*'folded'"):
        edgeinfer.learn(edgeinfer.load("jet-tagger"), tmp_path / "front", cost=cost)
