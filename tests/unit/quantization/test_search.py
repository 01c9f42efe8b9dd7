# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search on invented losses: what it finds, that it can be killed, that it repeats itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantization.fixed import Fixed, Quantizer
from quantization.recipe import Recipe, WeightFormat
from quantization.search import Judge, Limits, RecipeOutcome, Space, Trial, WidthKnob, front
from quantization.search_greedy import Descent, descend, exchanges, polish
from quantization.search_journal import JournalEntry, SearchError, SearchJournal
from quantization.search_thorough import Exploration, explore

WIDTHS = (8, 7, 6, 5, 4, 3, 2)


def space(names: str, widths: tuple[int, ...] = WIDTHS) -> Space:
    def part(name: str, bits: int) -> Recipe:
        return Recipe.of({}, {f"{name}/kernel": WeightFormat.of(Quantizer(Fixed(True, bits, 1)))})

    return Space(
        Recipe(), tuple(WidthKnob(n, {bits: part(n, bits) for bits in widths}) for n in names)
    )


def bits_of(recipe: Recipe) -> dict[str, int]:
    return {key[0]: fmt.bits for key, fmt in recipe.weights}


class Network:
    """Loses weight[name] 4^-bits for each knob and costs share[name] bits; counts its calls."""

    def __init__(self, frailty: Mapping[str, float], share: Mapping[str, float]) -> None:
        self.frailty, self.share, self.asked = frailty, share, 0
        self.dies_after: int | None = None

    def __call__(self, recipe: Recipe, weights: str) -> RecipeOutcome:
        if self.asked == self.dies_after:
            raise KeyboardInterrupt
        self.asked += 1
        widths = bits_of(recipe)
        loss = sum(self.frailty[n] * 4.0**-b for n, b in widths.items())
        healed = 0.5 if weights else 1.0
        cost = sum(self.share[n] * b for n, b in widths.items())
        return RecipeOutcome(
            1.0 - healed * loss, {"ebops": cost, "bits": float(sum(widths.values()))}
        )


def judge(
    network: Callable[[Recipe, str], RecipeOutcome],
    journal: SearchJournal | None = None,
    **options: object,
) -> Judge:
    limits = options.pop("limits", Limits())
    return Judge(space("abc"), network, journal or SearchJournal(), limits, **options)  # type: ignore[arg-type]


def net() -> Network:
    return Network({"a": 1.0, "b": 16.0, "c": 0.01}, {"a": 5.0, "b": 1.0, "c": 4.0})


START = {"a": 8, "b": 8, "c": 8}


def test_the_frail_and_cheap_stay_wide_the_robust_and_dear_become_narrow() -> None:
    path = descend(judge(net()), Descent(START, "ebops", budget=40.0))
    last = path[-1]
    assert last.outcome.costs["ebops"] <= 40
    assert last.widths["c"] < last.widths["a"] < last.widths["b"]


@given(
    st.lists(st.floats(1e-3, 1e2), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    st.floats(0.5, 0.999),
)
@settings(max_examples=60)
def test_every_step_saves_and_none_falls_below_the_floor(
    frailty: list[float], share: list[float], floor: float
) -> None:
    network = Network(dict(zip("abc", frailty, strict=True)), dict(zip("abc", share, strict=True)))
    path = descend(judge(network), Descent(START, "ebops", floor=floor))
    costs = [trial.outcome.costs["ebops"] for trial in path]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == len(costs)
    assert all(trial.outcome.score >= floor for trial in path[1:])
    for name in "abc":  # and at the end no single step further would have been allowed
        lower = judge(network).space.knob(name).below(path[-1].widths[name])
        if lower is not None and path[0].outcome.score >= floor:
            widths = {**path[-1].widths, name: lower}
            assert judge(network).judge(widths).outcome.score < floor


def test_a_repair_carries_the_descent_further() -> None:
    def repair(recipe: Recipe, weights: str) -> RecipeOutcome:
        return RecipeOutcome(
            network(recipe, "healed").score, network(recipe, "healed").costs, weights="healed"
        )

    network = net()
    floor = 0.95
    plain = descend(judge(net()), Descent(START, "ebops", floor=floor))
    healed = descend(judge(network, repair=repair), Descent(START, "ebops", floor=floor))
    assert healed[-1].outcome.costs["ebops"] < plain[-1].outcome.costs["ebops"]
    assert any(trial.repaired for trial in healed)
    assert healed[-1].outcome.score >= floor


def test_a_search_ends_at_its_number_of_trials_and_minutes() -> None:
    network = net()
    descend(judge(network, limits=Limits(trials=5)), Descent(START, "ebops"))
    assert network.asked == 5
    ticks = iter(range(0, 100_000, 20))
    timed = judge(net(), limits=Limits(minutes=2), clock=lambda: float(next(ticks)))
    assert 1 <= len(descend(timed, Descent(START, "ebops"))) <= 3


@pytest.mark.parametrize("dies_after", [0, 1, 4, 11])
def test_a_killed_descent_resumes_where_it_was(tmp_path: Path, dies_after: int) -> None:
    whole = net()
    expected = descend(judge(whole), Descent(START, "ebops"))
    path = tmp_path / "search.jsonl"
    first = net()
    first.dies_after = dies_after
    with pytest.raises(KeyboardInterrupt):
        descend(judge(first, SearchJournal.open(path, "me")), Descent(START, "ebops"))
    with path.open("a") as file:
        file.write('{"key": "torn of')
    second = net()
    actual = descend(judge(second, SearchJournal.open(path, "me")), Descent(START, "ebops"))
    assert [trial.widths for trial in actual] == [trial.widths for trial in expected]
    assert first.asked + second.asked == whole.asked
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_journal_belongs_to_one_search(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    SearchJournal.open(path, "me").add("k", 1.0, {}, "", 2.0)
    assert SearchJournal.open(path, "me").seconds == 2.0
    with pytest.raises(SearchError, match="another search"):
        SearchJournal.open(path, "you")
    path.write_text("[1, 2]\n")
    with pytest.raises(SearchError, match="not the journal"):
        SearchJournal.open(path, "me")
    with pytest.raises(SearchError, match="finite"):
        SearchJournal().add("k", float("nan"), {}, "", 0.0)


def test_a_journal_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    """There the note was called weights, also where it was a target's refusal."""
    path = tmp_path / "search.jsonl"
    SearchJournal.open(path, "me").add("k", 0.5, {"lut": 3.0}, "too large", 2.0)
    now = path.read_text()
    assert '"note": "too large"' in now
    path.write_text(now.replace('"note"', '"weights"'))
    known = SearchJournal.open(path, "me")
    assert known.find("k") == JournalEntry(0.5, {"lut": 3.0}, "too large", 2.0)


def test_trials_count_over_all_sessions(tmp_path: Path) -> None:
    path = tmp_path / "search.jsonl"
    for expected in (4, 0):
        network = net()
        opened = SearchJournal.open(path, "me")
        descend(judge(network, opened, limits=Limits(trials=4)), Descent(START, "ebops"))
        assert network.asked == expected


def test_the_thorough_search_repeats_itself_even_when_it_was_killed(tmp_path: Path) -> None:
    plan = Exploration(("ebops",), seed=3, starts=(START,))
    limits = Limits(trials=30)
    expected = [t.widths for t in explore(judge(net(), limits=limits), plan)]
    assert expected[0] == START
    journal, study = tmp_path / "search.jsonl", tmp_path / "study.log"
    dying = net()
    dying.dies_after = 17
    with pytest.raises(KeyboardInterrupt):
        explore(judge(dying, SearchJournal.open(journal, "me"), limits=limits), plan, study)
    asking = judge(net(), SearchJournal.open(journal, "me"), limits=limits)
    assert [trial.widths for trial in explore(asking, plan, study)] == expected


def test_the_thorough_search_finds_what_an_exhaustive_one_does() -> None:
    network = net()
    small = space("abc", (6, 4, 2))
    asking = Judge(small, network, SearchJournal(), Limits(trials=27))
    explore(asking, Exploration(("ebops", "bits"), seed=1))
    everything = Judge(small, network, SearchJournal(), Limits())
    for a in (6, 4, 2):
        for b in (6, 4, 2):
            for c in (6, 4, 2):
                everything.judge({"a": a, "b": b, "c": c})
    best = front(everything.trials.values(), "ebops")
    result = front(asking.trials.values(), "ebops")
    assert len(asking.trials) >= 20
    assert result[0].widths == best[0].widths


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
def test_a_front_holds_all_that_is_not_beaten_and_nothing_else(
    points: list[tuple[int, int]],
) -> None:
    trials = [Trial({}, Recipe(), RecipeOutcome(float(s), {"c": float(c)})) for s, c in points]
    kept = {(t.outcome.score, t.outcome.costs["c"]) for t in front(trials, "c")}
    unbeaten = {
        (float(s), float(c))
        for s, c in points
        if not any((a >= s and b < c) or (a > s and b <= c) for a, b in points)
    }
    assert kept == unbeaten


def test_exchanges_improve_the_front_and_end_by_themselves() -> None:
    asking = judge(net())
    path = descend(asking, Descent(START, "ebops", floor=0.95))
    before = front(asking.trials.values(), "ebops")
    polish(asking, "ebops", floor=0.95)
    after = front(asking.trials.values(), "ebops")
    for trial in before:  # nothing that was there is lost
        assert any(
            t.outcome.score >= trial.outcome.score
            and t.outcome.costs["ebops"] <= trial.outcome.costs["ebops"]
            for t in after
        )
    assert len(after) > len(before)
    assert len(asking.trials) > len(path)
    again = judge(net())
    descend(again, Descent(START, "ebops", floor=0.95))
    polish(again, "ebops", floor=0.95)
    assert list(again.trials) == list(asking.trials)


def test_exchanges_are_single_steps() -> None:
    result = exchanges(space("ab", (6, 4, 2)), {"a": 4, "b": 2})
    assert result == [
        {"a": 2, "b": 2},
        {"a": 6, "b": 2},
        {"a": 4, "b": 4},
        {"a": 2, "b": 4},
    ]


def test_refusals() -> None:
    with pytest.raises(SearchError, match="no width"):
        WidthKnob("a", {})
    with pytest.raises(SearchError, match="name of its own"):
        space("aa")
    with pytest.raises(SearchError, match="no width of 9"):
        space("a").recipe({"a": 9})
    with pytest.raises(SearchError, match="at least one trial"):
        Limits(trials=0)
    with pytest.raises(SearchError, match="needs a limit"):
        explore(judge(net()), Exploration(("ebops",)))
