# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Runs are compared as far as that is honest, and what cannot be compared is said."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.base.metrics import DesignState, Metric, Origin, Scores
from edgeinfer.report.compare import page
from edgeinfer.report.compare.comparison import (
    ComparedEntry,
    RunComparison,
    ScatterPoint,
    compare_runs,
    front,
)
from edgeinfer.report.compare.comparison import Score as ScoreOf
from edgeinfer.report.compare.figures import pareto_figures
from edgeinfer.report.compare.runs import ComparedRun, label_runs
from edgeinfer.report.compare.tables import differences_table, entries_table
from edgeinfer.report.draw.marks import Box
from edgeinfer.report.page.text import plain
from edgeinfer.report.quantity import quantity_of
from edgeinfer.report.result import SCHEMA_VERSION, DataPart, Result, read_figures
from edgeinfer.targets.registry import directions
from tests.support import report_results as results

GOOD = results.good()


def put(*runs: tuple[str, Result]) -> RunComparison:
    return compare_runs(
        label_runs([(name, result, SCHEMA_VERSION) for name, result in runs]), directions()
    )


def changed(**update: object) -> Result:
    return GOOD.model_copy(update=update)


@pytest.mark.parametrize(
    ("name", "origin", "tool", "state"),
    [
        ("lut", Origin.ESTIMATED, "edgeinfer", "C synthesis"),
        ("lut_vsynth", Origin.ESTIMATED, "edgeinfer", "logic synthesis"),
        ("lut", Origin.SYNTHESISED, "Vitis HLS", "C synthesis"),
        ("lut", Origin.SYNTHESISED, "Vivado", "logic synthesis"),
        ("lut", Origin.SYNTHESISED, "yosys", "logic synthesis"),
        ("lut", Origin.ROUTED, "Vivado", "routing"),
        ("latency_us", Origin.ROUTED, None, ""),
        ("latency_us", Origin.SYNTHESISED, "Vivado", ""),
    ],
)
def test_a_count_of_an_older_result_is_of_a_state_of_the_design(
    name: str, origin: Origin, tool: str | None, state: str
) -> None:
    """Results of before it was demanded say of no synthesised figure which state was counted."""
    older = {"name": name, "value": 1, "unit": "", "origin": str(origin), "low": 1, "high": 1,
             "tool": tool, "state": None}  # fmt: skip
    (metric,) = read_figures([older])
    assert quantity_of(metric).state == state
    (same,) = read_figures([asdict(metric)])
    assert same == metric


def test_counts_after_different_steps_stand_in_different_columns() -> None:
    result = put(("a", GOOD))
    titles = [column.title for column in entries_table(result).columns]
    assert "LUT, C synth." in titles and "LUT, synth." in titles and "LUT, routed" in titles
    states = {(s.target, s.quantity.state) for s in result.series if s.quantity.name == "lut"}
    assert states == {("hls", "C synthesis"), ("hls", "logic synthesis"), ("rtl", "routing")}


def test_targets_stand_side_by_side_each_with_its_own_stage() -> None:
    result = put(("a", GOOD))
    by_target = {entry.target: entry for entry in result.entries}
    assert list(by_target) == ["hls", "rtl", "edgetpu", "cpu"]
    stages = {t: e.score and (e.score.stage, e.score.value) for t, e in by_target.items()}
    assert stages == {
        "hls": ("csim", 0.9697),
        "rtl": ("quantized", 0.9697),  # its own stage saw 500 samples only
        "edgetpu": ("tflite", 0.9688),
        "cpu": ("quantized", 0.9697),
    }
    assert by_target["hls"].identical is True and by_target["cpu"].identical is None
    assert by_target["edgetpu"].fits is True and by_target["cpu"].fits is None
    assert by_target["hls"].lost == pytest.approx(0.0015)


def test_an_estimate_is_never_on_one_front_with_a_report() -> None:
    reported = results.with_metrics(GOOD, lut=1.0, latency_us=1.0)
    result = put(("estimated", GOOD), ("reported", reported))
    for series in result.series:
        assert len({point.cost.origin for point in series.points}) == 1
    assert any("lut (C synthesis) is estimated in some runs" in note for note in result.notes)
    table = differences_table(result)
    assert table is not None
    row = next(row for row in table.rows if row[0].text == "HLS lut (C synthesis)")
    assert row[1].text == "≈ 61,000" and row[2].text == "1 (n.c.)"


def test_other_samples_are_another_group() -> None:
    other = changed(data=DataPart(name="b.npz", sha256="cd" * 32, samples=8000))
    result = put(("a", GOOD), ("b", other), ("c", GOOD))
    assert {entry.run.label: entry.group for entry in result.entries} == {"a": 0, "b": 1, "c": 0}
    assert any("within a group only" in note for note in result.notes)
    table = differences_table(result)
    assert table is not None
    row = next(row for row in table.rows if row[0].text == "quantized: AUC")
    assert [cell.text for cell in row[1:]] == ["0.9697", "0.9697 (n.c.)", "0.9697 (=)"]
    assert "2 groups" in page.headline(result)


def test_another_network_is_another_group_and_its_costs_are_still_shown() -> None:
    ports = GOOD.program.model_copy(update={"inputs": ()})
    result = put(("a", GOOD), ("b", changed(program=ports)))
    assert {entry.group for entry in result.entries} == {0, 1}
    assert len(result.entries) == 8


def test_a_run_that_does_not_know_its_samples_is_taken_at_its_word_and_that_is_said() -> None:
    result = put(("a", changed(data=None)), ("b", GOOD))
    assert {entry.group for entry in result.entries} == {0}
    assert any("did not record" in note for note in result.notes)
    fewer = {stage: Scores(100, 0.9, 0.9) for stage in GOOD.accuracy}
    apart = put(("a", changed(data=None, accuracy=fewer)), ("b", GOOD))
    assert {entry.group for entry in apart.entries} == {0, 1}


def test_older_versions_and_other_devices_are_named() -> None:
    there = GOOD.targets["hls"].model_copy(update={"device": "xcu250"})
    runs = label_runs([("old", changed(targets={"hls": there}), 1), ("new", GOOD, SCHEMA_VERSION)])
    notes = " ".join(compare_runs(runs, directions()).notes)
    assert (
        "old was written by an older version" in notes and "target hls (xcu250, xczu7ev)" in notes
    )


def test_equal_labels_are_told_apart() -> None:
    assert [run.label for run in label_runs([("r", GOOD, 2)] * 3)] == ["r", "r (2)", "r (3)"]


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["a/b/x", "a/b/y"], ["x", "y"]),
        (["a/b/x1", "a/b/x2"], ["x1", "x2"]),
        (["a/b", "a/b/c"], ["b", "b/c"]),
        (["/r/six", "/r/sixty/four"], ["six", "sixty/four"]),
        (["a/x", "b/x"], ["a/x", "b/x"]),
        (["alone/x"], ["alone/x"]),
        (["a/x", "a/x"], ["x", "x (2)"]),
    ],
)
def test_the_folder_that_all_lie_in_is_left_out(labels: list[str], shown: list[str]) -> None:
    runs = label_runs([(label, GOOD, SCHEMA_VERSION) for label in labels])
    assert [run.shown for run in runs] == shown
    assert [run.label for run in runs][: len(set(labels))] == list(dict.fromkeys(labels))


def points(pairs: Sequence[tuple[float, float]], higher: bool = True) -> list[ScatterPoint]:
    found = []
    for cost, score in pairs:
        entry = ComparedEntry(ComparedRun("r", GOOD), "hls", 0,
                      ScoreOf("auc", score, "csim", higher, 100, score, score), None, None,
                      None, {}, None)  # fmt: skip
        found.append(ScatterPoint(entry, Metric("lut", cost, "", Origin.ROUTED), score))
    return found


SOME = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20)


@given(SOME, st.booleans())
def test_the_front_is_what_nothing_beats(pairs: list[tuple[int, int]], higher: bool) -> None:
    sign = 1 if higher else -1
    for point in front(points(pairs, higher)):
        cost, worth = point.cost.value, sign * point.score
        beaten = any(
            c <= cost and sign * s >= worth and (c < cost or sign * s > worth) for c, s in pairs
        )
        assert point.best is not beaten


def colour(found: RunComparison, title: str) -> str:
    """How the second run's difference to the first is shown: as good, as worse, or as neither."""
    table = differences_table(found)
    assert table is not None
    (row,) = (row for row in table.rows if row[0].text == title)
    return row[2].state


def uncertain(value: float, half: float, digest: str) -> Result:
    """A run with an AUC and its interval."""
    scores = Scores(2000, value, intervals={"auc": (value - half, value + half)})
    program = GOOD.program.model_copy(update={"digest": digest * 32})
    accuracy = {"float": Scores(2000, 0.97), "quantized": scores}
    return changed(accuracy=accuracy, program=program, agreement=(), targets={}, metrics=())


@settings(max_examples=40)
@given(st.floats(0.5, 0.95), st.floats(0.5, 0.95), st.floats(0.0, 0.05), st.floats(0.0, 0.05))
def test_overlapping_intervals_never_name_a_winner(
    first: float, second: float, half: float, other_half: float
) -> None:
    result = put(("a", uncertain(first, half, "ab")), ("b", uncertain(second, other_half, "cd")))
    overlap = first - half <= second + other_half and second - other_half <= first + half
    said = page.headline(result)
    assert ("the best AUC" in said) is not overlap
    assert ("A tie in AUC" in said) is overlap
    if not overlap:
        assert said.startswith(f"{'a' if first > second else 'b'} has ")
    assert said == page.lines(result)[0] == page.document(result)["headline"]
    assert said in page.html(result) and plain(said) in page.markdown(result)
    assert (colour(result, "quantized: AUC") == "") is overlap


def test_of_runs_of_one_network_none_is_the_best() -> None:
    one, worse = uncertain(0.9, 0.01, "ab"), uncertain(0.8, 0.01, "cd")
    said = page.headline(put(("a", one), ("b", one)))
    assert said == "a and b, which are one network, have the same AUC, 0.9 ± 0.01."
    said = page.headline(put(("a", one), ("b", one), ("c", worse)))
    assert said == "a and b, which are one network, have the best AUC, 0.9 ± 0.01."
    assert page.headline(put(("a", one))) == "The AUC of a is 0.9 ± 0.01."


@given(st.floats(1, 100), st.floats(1, 100), st.floats(1.0, 2.0), st.floats(1.0, 2.0))
def test_overlapping_bands_of_latency_never_name_the_fastest(
    first: float, second: float, spread: float, other_spread: float
) -> None:
    def timed(value: float, by: float) -> Result:
        band = (value / by, value * by)
        latency = Metric("latency_us", value, "us", Origin.ESTIMATED, *band,
                         state=DesignState.NONE, target="hls")  # fmt: skip
        return changed(metrics=(latency,))

    found = put(("a", timed(first, spread)), ("b", timed(second, other_spread)))
    overlap = first / spread <= second * other_spread and second / other_spread <= first * spread
    assert ("the fastest" in page.headline(found)) is not overlap
    assert (colour(found, "HLS latency_us") == "") is overlap


def test_a_latency_for_the_most_lit_pixels_is_said_to_be_a_bound() -> None:
    def proved(name: str, value: float, unit: str, layer: str | None = None) -> Metric:
        return Metric(name, value, unit, Origin.PROVED, target="rtl", layer=layer)

    metrics = (proved("latency_cycles", 3000, "cycles"), proved("latency_us", 30, "us"))
    bounds = proved("sites_cycles_most", 3000, "cycles", "4096 sites")
    found = put(
        ("dense", changed(metrics=metrics)), ("sparse", changed(metrics=(*metrics, bounds)))
    )
    dense, sparse = ([cell.text for cell in row] for row in entries_table(found).rows)
    assert "proved" in dense and "proved, at most, for 4,096 lit pixels" in sparse
    only = put(("sparse", changed(metrics=(*metrics, bounds))))
    assert "takes 30 µs (proved, at most, for 4,096 lit pixels)" in page.headline(only)


def test_scores_without_intervals_name_no_best() -> None:
    high = {"float": Scores(2000, 0.97), "quantized": Scores(2000, 0.96)}
    low = {"float": Scores(2000, 0.97), "quantized": Scores(2000, 0.5)}
    other = GOOD.program.model_copy(update={"digest": "cd" * 32})
    better = changed(accuracy=high, program=other, metrics=())
    said = page.headline(put(("a", better), ("b", changed(accuracy=low, metrics=()))))
    assert said.startswith("No best AUC can be named")


def test_stages_judged_on_other_numbers_of_samples_are_named() -> None:
    accuracy = {"quantized": Scores(2000, 0.96), "csim": Scores(1111, 0.95)}
    notes = " ".join(put(("a", changed(accuracy=accuracy)), ("b", GOOD)).notes)
    assert "quantized 2,000, C simulation 1,111" in notes


def test_pictures_have_fronts_and_the_budget_of_the_device() -> None:
    result = compare_runs(
        label_runs([(n, r, SCHEMA_VERSION) for n, r in results.sweep(12)]), directions()
    )
    figures = {figure.name: figure for figure in pareto_figures(result)}
    assert {"score-against-latency", "score-against-lut", "score-against-dsp"} <= set(figures)
    flip_flops = figures["score-against-ff"]
    assert any(isinstance(m, Box) and m.kind == "budget" for m in flip_flops.marks)
    assert "offers 624" in figures["score-against-bram18"].note
    assert not any(isinstance(m, Box) for m in figures["score-against-lut"].marks)  # RTL is there


def test_figures_that_are_no_numbers_do_no_harm() -> None:
    result = put(("bad", results.hostile()[0]), ("good", GOOD), ("bad", results.hostile()[0]))
    document = json.loads(json.dumps(page.document(result), allow_nan=False))
    assert len(document["runs"]) == 3
    assert "<script>document" not in page.html(result)
    assert "<script>" not in page.markdown(result)
    assert "<img" not in page.markdown(result)
    assert page.lines(result)


def test_csv_holds_every_figure_and_no_formula() -> None:
    odd = GOOD.model.model_copy(update={"name": "=cmd()"})
    result = put(("a", changed(model=odd)), ("b", GOOD))
    rows = list(csv.DictReader(io.StringIO(page.csv_text(result))))
    assert len(rows) == 2 * (len(GOOD.metrics) + 10)
    assert {row["model"] for row in rows} == {"'=cmd()", "hit-tagger-pooled"}
    lut = next(r for r in rows if r["name"] == "lut_vsynth" and r["run"] == "a")
    assert (lut["value"], lut["origin"], lut["target"]) == ("38500", "estimated", "hls")


def test_the_document_tells_what_is_on_a_front() -> None:
    result = compare_runs(
        label_runs([(n, r, SCHEMA_VERSION) for n, r in results.sweep(6)]), directions()
    )
    document = page.document(result)
    lut = next(f for f in document["fronts"] if f["cost"] == "lut" and f["target"] == "hls")
    scores = [point["score"] for point in lut["points"] if point["front"]]
    assert scores == sorted(scores) and len(scores) > 2
    assert document["entries"][0]["figures"]
    assert not math.isnan(document["entries"][0]["score"])


def test_one_run_or_none_with_labels_is_no_harm() -> None:
    alone = put(("a", changed(accuracy={}, metrics=(), agreement=())))
    assert "only their costs" in page.headline(alone)
    assert differences_table(alone) is None and pareto_figures(alone) == []
    assert "1 run" in page.html(alone)
