# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The search on a network: all it proposes compiles, it can be killed, it beats one width."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.graph import nodes as g
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.lower import lower
from edgeinfer.ir.verify import verify
from edgeinfer.precision.search import run as search_run
from edgeinfer.precision.search.report import document, report
from edgeinfer.precision.search.run import SearchResult, SearchSettings, SearchStrategy, search
from edgeinfer.precision.search.space import prepare_search
from quantization.recipe import Recipe
from tests.support.random_graphs import random_network
from tests.support.small_networks import bars, tagger

GRAPH = tagger()
FIT, JUDGED = bars(500, seed=1), bars(1200, seed=2)
SHORT = SearchSettings(widths=(2, 4, 6, 8), trials=30, tolerance=0.02)


def run(folder: Path, settings: SearchSettings = SHORT, **options: object) -> SearchResult:
    return search(GRAPH, FIT, JUDGED, settings, folder, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def search_result(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return run(tmp_path_factory.mktemp("search"))


def test_half_the_operations_of_six_bits_at_no_worse_a_score(search_result: SearchResult) -> None:
    six = search_result.uniform[6]
    best = search_result.cheapest(six.outcome.score - 0.003)  # 1200 samples tell no less than that
    assert best is not None
    assert best.outcome.costs["ebops"] <= 0.5 * six.outcome.costs["ebops"]


def test_a_budget_buys_the_best_that_it_can(search_result: SearchResult) -> None:
    budget = 0.5 * search_result.uniform[6].outcome.costs["ebops"]
    best = search_result.best(budget)
    assert best is not None and best.outcome.costs["ebops"] <= budget
    assert all(
        trial.outcome.score <= best.outcome.score
        for trial in search_result.trials
        if trial.outcome.costs["ebops"] <= budget
    )
    assert search_result.best(0.0) is None


def test_the_report_is_whole(search_result: SearchResult, tmp_path: Path) -> None:
    plan = report(search_result)
    plan.write(tmp_path)
    told = json.loads((tmp_path / "front.json").read_text())
    assert told == json.loads(json.dumps(document(search_result)))
    assert told["objective"] == "auc" and len(told["uniform"]) == 4
    costs = [point["costs"]["ebops"] for point in told["front"]]
    assert costs == sorted(costs)
    for point in told["front"]:
        text = (tmp_path / "recipes" / f"{point['recipe']}.toml").read_text()
        program = lower(GRAPH, Recipe.from_toml(text)).program
        assert costs_of(program).weight_bits > 0
    picture = ElementTree.parse(tmp_path / "front.svg").getroot()
    dots = [e.get("class") for e in picture.iter("{http://www.w3.org/2000/svg}circle")]
    front, uniform = dots.count("dot full c0"), dots.count("dot hollow c1")
    assert 0 < front <= len(told["front"])  # those far below are not drawn
    assert dots.count("dot hollow c0") + front >= uniform > 0
    for circle in picture.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 <= float(circle.get("cx", "-1")) <= 720
        assert 0 <= float(circle.get("cy", "-1")) <= 470


def test_a_killed_search_goes_on_and_ends_the_same(
    search_result: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = search_run.SearchedNetwork.evaluator

    def dying(self: object, objective: object) -> Callable[..., object]:
        evaluate = real(self, objective)  # type: ignore[arg-type]

        def once(recipe: Recipe, weights: str) -> object:
            if len(asked) == 9:
                raise KeyboardInterrupt
            asked.append(1)
            return evaluate(recipe, weights)

        return once

    with monkeypatch.context() as patch:
        patch.setattr(search_run.SearchedNetwork, "evaluator", dying)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path)
    resumed = run(tmp_path)
    assert document(resumed) == document(search_result)
    assert len((tmp_path / "search.jsonl").read_text().splitlines()) == 1 + 30


def test_the_thorough_search_takes_the_same_road_twice(tmp_path: Path) -> None:
    plan = SearchSettings(widths=(2, 4, 8), strategy=SearchStrategy.THOROUGH, trials=12, seed=5)
    first, second = run(tmp_path / "a", plan), run(tmp_path / "b", plan)
    assert document(first) == document(second)
    assert len(first.trials) == 12
    assert (tmp_path / "a" / "study.log").exists()


def test_a_repair_is_asked_and_its_weights_are_found_again(tmp_path: Path) -> None:
    trained: list[Recipe] = []

    def train(graph: g.Graph, recipe: Recipe) -> g.Graph:
        trained.append(recipe)
        return GRAPH  # training that finds the way back to the float weights

    plan = SearchSettings(widths=(3, 6), trials=20, tolerance=0.002)
    first = run(tmp_path, plan, train=train)
    assert trained
    assert any(trial.repaired for trial in first.trials)
    calls = len(trained)
    again = run(tmp_path, plan, train=train)
    assert len(trained) == calls
    assert document(again) == document(first)
    report(again)


def test_without_labels_the_float_network_is_the_measure(tmp_path: Path) -> None:
    bare = Samples(JUDGED.inputs, JUDGED.origin)
    result = search(GRAPH, FIT, bare, SearchSettings(widths=(3, 8), trials=4), tmp_path)
    assert result.objective.name == "negated_float_error"
    assert result.uniform[8].outcome.score > result.uniform[3].outcome.score


def test_one_class_only_is_searched_all_the_same(tmp_path: Path) -> None:
    rows = JUDGED.labels["kind"] == 1
    alone = Samples(
        {"image": JUDGED.inputs["image"][rows]}, "one class", {"kind": JUDGED.labels["kind"][rows]}
    )
    result = search(GRAPH, FIT, alone, SearchSettings(widths=(3, 8), trials=4), tmp_path)
    assert result.objective.name == "accuracy"


def test_a_targets_own_estimate_may_be_what_is_saved(tmp_path: Path) -> None:
    plan = SearchSettings(widths=(3, 8), trials=8, cost="luts", tolerance=1.0)
    result = run(tmp_path, plan, estimate=lambda p: {"luts": float(costs_of(p).weight_bits)})
    assert result.front[0].outcome.costs["luts"] < result.uniform[8].outcome.costs["luts"]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 to 16"):
        SearchSettings(widths=(1, 8))
    with pytest.raises(UsageError, match="--minutes"):
        SearchSettings(strategy=SearchStrategy.THOROUGH)
    with pytest.raises(UsageError, match="no cost 'dsp'"):
        run(tmp_path / "a", SearchSettings(widths=(8,), cost="dsp"))
    run(tmp_path / "b", SearchSettings(widths=(8,), trials=1))
    with pytest.raises(InputError, match="another search"):
        run(tmp_path / "b", SearchSettings(widths=(7,), trials=1))


@given(st.integers(0, 10_000), st.data(), st.booleans())
@settings(max_examples=25)
def test_every_recipe_of_the_space_compiles(
    seed: int, data: st.DataObject, per_channel: bool
) -> None:
    graph = random_network(seed).graph
    rng = np.random.default_rng(seed)
    inputs = {node.name: rng.normal(size=(30, *node.shape)) for node in graph.inputs}
    network = prepare_search(graph, inputs, (2, 3, 5, 8), per_channel=per_channel)
    for _ in range(3):
        widths = {
            knob.name: data.draw(st.sampled_from(knob.widths), label=knob.name)
            for knob in network.space.knobs
        }
        ready = network.ready(network.space.recipe(widths))
        verify(ready.lowered.program)
        assert ready.costs.weight_bits >= 0
