# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Numbers as people read them, axes with round numbers, and graphs whose edges pass no node."""

from __future__ import annotations

import math
import xml.etree.ElementTree as xml
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.base.site_figures import BOUND, RECKONED, SEEN, STREAMED
from edgeinfer.report import words
from edgeinfer.report.draw.graph_layout import LANE, lay_out
from edgeinfer.report.draw.layers import distribution_figure, waterfall_figure
from edgeinfer.report.draw.marks import Area, Box, Dot, Label, Line
from edgeinfer.report.draw.network import network_figure
from edgeinfer.report.draw.occupancy import occupancy_figure
from edgeinfer.report.draw.scales import over
from edgeinfer.report.draw.scores import accuracy_figure, agreement_figure, roc_figures
from edgeinfer.report.layer_tables import layer_table, target_tables
from edgeinfer.report.page.page import html, report_on
from edgeinfer.report.page.templates import svg_file
from edgeinfer.report.page.text import markdown
from edgeinfer.report.result import Result
from edgeinfer.report.result_tables import accuracy_table, timing_table
from edgeinfer.report.site_tables import site_table
from edgeinfer.report.timings import timings_of
from edgeinfer.report.uses import uses_of
from edgeinfer.report.verdict import AnswerState, verdict_on
from tests.support import report_results as results

GOOD, PROFILE = results.good(), results.profile()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (12, "12"), (1234567, "1,234,567"), (0.5, "0.5"), (0.93533, "0.9353"),
        (-0.00052, "−0.00052"), (0.000012, "0.000012"), (1.2e-7, "1.200e−07"),
        (1e300, "1.000e+300"),
        (12.3456, "12.35"), (123456.7, "123,457"), (math.nan, "not a number"),
        (math.inf, "∞"), (-math.inf, "−∞"), (None, "–"),
    ],
)  # fmt: skip
def test_a_number_has_the_digits_that_help(value: float | None, shown: str) -> None:
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0 s"), (1.5, "1.5 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.5 µs"), (8e-8, "80 ns"),
     (math.nan, "not a number")],
)  # fmt: skip
def test_a_time_has_the_unit_that_suits_it(value: float, shown: str) -> None:
    assert words.seconds(value) == shown


def test_shares_that_round_to_nothing_are_not_nothing() -> None:
    assert words.percent(0.00001) == "< 0.1 %" and words.percent(0.0) == "0.0 %"
    assert words.percent(0.1234) == "12.3 %" and words.percent(2.31, 0) == "231 %"


def test_long_names_lose_their_middle() -> None:
    name = "block" * 40 + "end"
    assert len(words.short(name)) == words.LONGEST and words.short(name).endswith("end")
    assert "\x1b" not in words.short("a\x1b[31mb") and words.short("粒子") == "粒子"


ENDS = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(ENDS, min_size=1, max_size=5), st.booleans())
def test_an_axis_has_room_for_everything_and_reads_in_order(
    values: list[float], logarithmic: bool
) -> None:
    scale = over(values, 100.0, 500.0, logarithmic=logarithmic)
    assert scale.low < scale.high
    for value in values:
        assert 100.0 <= scale.place(value) <= 500.0
    ticks = scale.ticks()
    assert [at for at, _ in ticks] == sorted(at for at, _ in ticks)
    assert len(ticks) <= 24 and len({label for _, label in ticks}) == len(ticks)


def test_what_is_not_finite_asks_for_no_room() -> None:
    assert over([1.0, 2.0, math.nan, math.inf], 0, 1) == over([1.0, 2.0], 0, 1)
    assert over([], 0, 1).low < over([], 0, 1).high


@given(st.floats(0.01, 1000.0), st.floats(1e-6, 10.0))
def test_ticks_state_their_values(low: float, share: float) -> None:
    scale = over([low, low * (1 + share)], 0.0, 1e9)  # so wide that places are not rounded
    step = (scale.high - scale.low) / 1e9
    for at, label in scale.ticks():
        if "10" not in label:  # a power of ten is written in another way
            assert float(label.replace(",", "").replace("−", "-")) == pytest.approx(
                scale.low + at * step, abs=1e-4 * (scale.high - scale.low)
            )


GRAPHS = st.integers(1, 14).flatmap(
    lambda count: st.tuples(
        *[st.lists(st.integers(0, max(n - 1, 0)), max_size=3 if n else 0) for n in range(count)]
    )
)


@given(GRAPHS)
def test_no_edge_passes_through_a_node(edges: tuple[list[int], ...]) -> None:
    reads = {str(n): [str(m) for m in sources] for n, sources in enumerate(edges)}
    layout = lay_out(reads, 100.0, 40.0, 60.0)
    assert set(layout.places) == set(reads)
    boxes = list(layout.places.values())
    for number, (x, y) in enumerate(boxes):
        assert 0 <= x <= layout.width - 100 and 0 <= y <= layout.height - 40
        for a, b in boxes[number + 1 :]:
            assert b != y or abs(a - x) >= 100
    for name, sources in reads.items():
        for source in sources:
            assert layout.places[source][1] < layout.places[name][1]  # data flow down
            lanes = layout.lanes.get((source, name), ())
            rows = round((layout.places[name][1] - layout.places[source][1]) / 60)
            assert len(lanes) == rows - 1
            for lane_x, lane_y in lanes:
                for x, y in boxes:
                    assert y != lane_y or not x - LANE / 2 < lane_x < x + 100 + LANE / 2


def test_an_input_that_is_read_late_stands_above_its_reader() -> None:
    reads = {"a": [], "late": [], "b": ["a"], "c": ["b"], "d": ["c", "late"]}
    layout = lay_out(reads, 100.0, 40.0, 60.0)
    assert layout.places["late"][1] == layout.places["c"][1] and not layout.lanes


def test_a_skip_is_drawn_past_what_it_skips() -> None:
    layout = lay_out({"a": [], "b": ["a"], "c": ["b"], "d": ["c", "a"]}, 100.0, 40.0, 60.0)
    assert len(layout.lanes[("a", "d")]) == 2


def test_bars_of_error_are_as_long_as_the_errors() -> None:
    figure = waterfall_figure(PROFILE)
    assert figure is not None
    bars = [m for m in figure.marks if isinstance(m, Box) and m.kind == "bar" and m.about]
    lengths = {bar.about.partition(":")[0]: bar.width for bar in bars}
    errors = {layer.name: layer.error_rms for layer in PROFILE.layers}
    for name, length in lengths.items():
        assert length / lengths["logits"] == pytest.approx(errors[name] / 0.15, rel=1e-3)
    own = [m for m in figure.marks if isinstance(m, Box) and m.kind == "bar own" and m.about]
    assert {bar.about.partition(":")[0] for bar in own} == {"relu1", "relu2"}
    assert "10 % of the signal at logits" in figure.sentence


def test_the_box_of_a_format_holds_what_the_format_holds() -> None:
    figure = distribution_figure(PROFILE, "weight")
    assert figure is not None
    boxes = [m for m in figure.marks if isinstance(m, Box) and m.kind == "format" and m.about]
    lines = [m for m in figure.marks if isinstance(m, Line) and m.about.endswith("integers")]
    areas = [m for m in figure.marks if isinstance(m, Area) and m.about.endswith("floats")]
    assert len(boxes) == len(lines) == len(areas) == 2
    for box, line, area in zip(boxes, lines, areas, strict=True):
        assert box.x <= line.points[0][0] + 0.02
        assert line.points[-1][0] <= box.x + box.width + 0.02  # integers are in the box
        assert area.points[0][0] < box.x  # floats reach below half a step


def test_curves_start_and_end_in_the_corners() -> None:
    (figure,) = roc_figures(PROFILE)
    curves = [m for m in figure.marks if isinstance(m, Line) and m.about]
    assert len(curves) == 6
    assert len({curve.points[-1] for curve in curves}) == 1
    shown = [mark.text for mark in figure.marks if isinstance(mark, Label)]
    assert "signal kept" in shown and "background kept" in shown and "float network" in shown


def test_a_matrix_tells_same_different_and_near() -> None:
    figure = agreement_figure(GOOD)
    assert figure is not None
    signs = [m.text for m in figure.marks if isinstance(m, Label) and m.kind.startswith("on-")]
    assert sorted(set(signs)) == ["= 500", "= 64", "= 8,000", "≈ 8,000"]
    bad = agreement_figure(results.disagreeing())
    assert bad is not None
    assert any(isinstance(m, Label) and m.text == "≠ 8,000" for m in bad.marks)


def test_every_picture_is_well_formed_xml_with_words_for_those_who_do_not_see_it() -> None:
    result, profile = results.hostile()
    made = [
        waterfall_figure(PROFILE), distribution_figure(profile, "weight"), network_figure(profile),
        accuracy_figure(GOOD, PROFILE), agreement_figure(result), *roc_figures(profile),
    ]  # fmt: skip
    for figure in made:
        assert figure is not None
        root = xml.fromstring(svg_file(figure))
        space = "{http://www.w3.org/2000/svg}"
        assert root.find(f"{space}title").text and root.find(f"{space}desc").text  # type: ignore[union-attr]
        assert not list(root.iter(f"{space}script")) and not list(root.iter(f"{space}image"))


def test_the_verdict_answers_the_four_questions() -> None:
    verdict = verdict_on(GOOD, PROFILE, latency_us=20.0)
    assert [answer.state for answer in verdict.answers] == [
        AnswerState.GOOD, AnswerState.GOOD, AnswerState.UNSURE, AnswerState.GOOD,
    ]  # fmt: skip
    assert verdict.line.startswith(
        "Bit-identical in all 4 pairs of stages; fits (DSP 56 %, routed)"
    )
    assert "HLS within 20 µs, RTL, Edge TPU and cpu slower" in verdict.line
    assert "61 decisions of 8,000 samples differ from the engine's" in verdict.agrees.sentence
    assert "Int8 program and TFLite yield the same integers" in verdict.agrees.sentence
    bad = verdict_on(results.disagreeing(), PROFILE)
    assert bad.agrees.state is AnswerState.BAD and bad.fits.state is AnswerState.BAD
    assert bad.fast.state is AnswerState.UNKNOWN and bad.state is AnswerState.BAD


def test_an_estimate_whose_band_reaches_over_the_limit_is_not_sure() -> None:
    only = tuple(m for m in GOOD.metrics if m.target == "hls")
    result = GOOD.model_copy(update={"metrics": only})
    assert verdict_on(result, latency_us=30.0).fast.state is AnswerState.GOOD
    assert verdict_on(result, latency_us=15.0).fast.state is AnswerState.UNSURE
    assert verdict_on(result, latency_us=12.0).fast.state is AnswerState.UNSURE
    assert verdict_on(result, latency_us=10.0).fast.state is AnswerState.BAD
    small = {"hls": GOOD.targets["hls"].model_copy(update={"budget": {"lut": 40_000}})}
    tight = GOOD.model_copy(update={"metrics": only, "targets": small})
    assert verdict_on(tight).fits.state is AnswerState.UNSURE
    assert "probably fits" in verdict_on(tight).fits.words


def test_the_loss_has_its_own_interval_and_a_stage_that_loses_more_is_named() -> None:
    lost = verdict_on(GOOD, PROFILE).lost
    assert lost.words == "AUC −0.0015 ± 0.0006, TFLite −0.0024"
    assert "between 0.0009 and 0.0021" in lost.sentence and "TFLite: 0.9688" in lost.sentence
    assert verdict_on(GOOD).lost.words == "AUC −0.0015, TFLite −0.0024"
    scores = {stage: GOOD.accuracy[stage] for stage in ("float", "quantized", "csim")}
    two = GOOD.model_copy(update={"accuracy": scores})
    assert verdict_on(two, PROFILE).lost.words == "AUC −0.0015 ± 0.0006"
    alone = {stage: GOOD.accuracy[stage] for stage in ("float", "tflite")}
    one = GOOD.model_copy(update={"accuracy": alone})
    assert verdict_on(one, PROFILE).lost.words == "AUC −0.0024"


def test_samples_without_any_difference_do_not_bound_the_loss() -> None:
    same = replace(GOOD.accuracy["float"], lost={"auc": (0.0, 0.0)})
    alike = {"float": GOOD.accuracy["float"], "quantized": same}
    sentence = verdict_on(GOOD.model_copy(update={"accuracy": alike})).lost.sentence
    assert "95 %" not in sentence and "cannot tell what others would lose" in sentence


def test_resources_are_counted_by_the_best_there_is() -> None:
    uses = {(use.target, use.kind): use for use in uses_of(GOOD)}
    assert uses["hls", "lut"].metric.name == "lut_vsynth"  # nearer to the design than `lut`
    assert uses["hls", "lut"].share == pytest.approx(38_500 / 230_400)
    assert uses["rtl", "dsp"].offered == 156  # by its own share
    assert uses["edgetpu", "cached_bytes"].share == pytest.approx(412_000 / 8_388_608)


def test_an_event_takes_as_long_as_its_inferences() -> None:
    timings = {timing.target: timing for timing in timings_of(GOOD)}
    hls = timings["hls"].event_seconds(55_000)
    assert hls is not None
    assert hls[0] == pytest.approx((14.5 + 54_999 * 11.55) * 1e-6)
    assert hls[1] is not None and hls[2] is not None and hls[1] < hls[0] < hls[2]
    rtl = timings["rtl"].event_seconds(55_000)
    assert rtl is not None and rtl[0] == pytest.approx(55_000 / 19_250, rel=1e-3)
    one = timings["edgetpu"].event_seconds(1)
    assert one is not None and one[0] == pytest.approx(310e-6)
    assert timings["cpu"].event_seconds(1) is None  # nobody says whether that is pipelined


def test_a_design_for_planes_says_itself_how_long_an_event_takes() -> None:
    def figure(name: str, value: float, origin: Origin) -> Metric:
        return Metric(name, value, "", origin, target="rtl", note="56,280 hits an event")

    metrics = (
        figure("event_seconds_at_asked_clock", 0.2, Origin.SIMULATED),
        figure("event_seconds", 0.14, Origin.ROUTED),
        figure("hits_per_second", 400_000, Origin.ROUTED),
        figure("latency_us", 80, Origin.ROUTED),
    )
    result = GOOD.model_copy(update={"metrics": metrics})
    (timing,) = timings_of(result)
    assert timing.event_seconds(55_000) == (0.14, None, None)  # not 55,000 x 2.5 us
    assert timing.interval_us == pytest.approx(2.5)
    page = markdown(report_on(result, None))
    assert "56,280 hits an event" in page and "140 ms" in page


def test_tables_hold_what_a_review_asks_for() -> None:
    table = layer_table(PROFILE)
    titles = [column.title for column in table.columns]
    assert titles == [
        "value", "op", "shape", "MACs", "parameters", "format", "weights", "proved", "observed",
        "bits seen", "saturated", "error",
    ]  # fmt: skip
    relu = next(row for row in table.rows if row[0].text == "relu1")
    assert relu[titles.index("saturated")].text == "1,200 (1.33 %)"
    hls, rtl = target_tables(GOOD, PROFILE)
    assert [column.title for column in hls.columns] == [
        "layer", "reuse", "latency", "DSP", "LUT", "origin",
    ]  # fmt: skip
    assert [row[1].text for row in hls.rows] == ["2", "8", "2", "2"]
    assert [column.title for column in rtl.columns][1:3] == ["multipliers", "busy"]
    scores = accuracy_table(GOOD, PROFILE)
    assert scores is not None
    by_stage = {row[0].text: [cell.text for cell in row] for row in scores.rows}
    assert by_stage["C simulation"][3] == "0.9675 to 0.9719"  # the very same score
    assert by_stage["TFLite"][3] == ""  # another score: its interval is not known


def test_cycles_are_drawn_over_the_sites_of_a_frame() -> None:
    """Bounds lie on the line in their order, simulated frames below it."""

    def by_sites(name: str, cycles: float, count: int, origin: Origin) -> Metric:
        return Metric(name, cycles, "cycles", origin, target="rtl", layer=f"{count} sites")

    points = (
        by_sites(BOUND, 300, 20, Origin.PROVED),
        by_sites(BOUND, 120, 1, Origin.PROVED),
        by_sites(SEEN, 90, 1, Origin.SIMULATED),
        by_sites(SEEN, 250, 20, Origin.SIMULATED),
    )
    figure = occupancy_figure(GOOD.model_copy(update={"metrics": (*GOOD.metrics, *points)}))
    assert figure is not None and "at most 120 for 1, 300 for 20" in figure.sentence
    (line,) = [m for m in figure.marks if isinstance(m, Line) and m.about]
    frames = [m for m in figure.marks if isinstance(m, Dot) and "simulated" in m.about]
    assert [frame.x for frame in frames] == [x for x, _ in line.points]
    assert all(frame.y > y for frame, (_, y) in zip(frames, line.points, strict=True))
    assert occupancy_figure(GOOD) is None
    streamed = by_sites(STREAMED, 60, 20, Origin.SIMULATED)
    metrics = (*GOOD.metrics, *points, streamed)
    figure = occupancy_figure(GOOD.model_copy(update={"metrics": metrics}))
    assert figure is not None
    assert "from one frame of a stream to the next 60 for up to 20" in figure.sentence
    later = [m for m in figure.marks if isinstance(m, Dot) and m.form == "square" and m.about]
    frames = [m for m in figure.marks if isinstance(m, Dot) and m.form == "diamond" and m.about]
    assert [dot.x for dot in later] == [line.points[1][0]] and later[0].y > frames[0].y
    table = site_table(GOOD.model_copy(update={"metrics": metrics}))
    assert table is not None
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["1", "120", "90", "–"], ["20", "300", "250", "60"]
    ]  # fmt: skip
    assert all(len(each.rows) == len(ours.rows) for each, ours in zip(
        target_tables(GOOD.model_copy(update={"metrics": metrics}), PROFILE),
        target_tables(GOOD, PROFILE), strict=True))  # frames are no layers  # fmt: skip
    reckoned = Metric(RECKONED, 60, "cycles", Origin.ESTIMATED, 50, 70, target="rtl",
                      layer="20 sites", state=DesignState.NONE)  # fmt: skip
    metrics = (*GOOD.metrics, *points, reckoned)
    estimate = occupancy_figure(GOOD.model_copy(update={"metrics": metrics}))
    assert estimate is not None and estimate.sentence == figure.sentence
    assert any(isinstance(m, Label) and m.text == "frames of planes [estimated]"
               for m in estimate.marks)  # fmt: skip


def test_the_latency_of_a_sparse_design_is_told_as_a_bound() -> None:
    """Beside it stands what frames with fewer lit pixels take, with where that comes from."""

    def by_sites(name: str, cycles: float, count: int, origin: Origin) -> Metric:
        return Metric(name, cycles, "cycles", origin, target="rtl", layer=f"{count} sites")

    cycles = Metric("latency_cycles", 3_000_000, "cycles", Origin.PROVED, target="rtl")
    latency = Metric("latency_us_at_asked_clock", 30_000, "us", Origin.PROVED, target="rtl")
    bounds = [by_sites(BOUND, 3_000_000, 4_096, Origin.PROVED)]
    alone = [by_sites(SEEN, 12_500 * count, count, Origin.SIMULATED) for count in (1, 16)]
    reckoned = Metric(RECKONED, 6_000, "cycles", Origin.ESTIMATED, 4_000, 8_000, target="rtl",
                      layer="16 sites", state=DesignState.NONE)  # fmt: skip
    streamed = [by_sites(STREAMED, 5_000 * count, count, Origin.SIMULATED) for count in (1, 16)]

    def run(*metrics: Metric) -> Result:
        return GOOD.model_copy(update={"metrics": (cycles, latency, *metrics)})

    bound = "RTL at most 30 ms for 4,096 lit pixels (proved)"
    told = verdict_on(run(*bounds)).fast
    assert told.words == bound
    told = verdict_on(run(*bounds, *alone)).fast
    assert told.words == f"{bound}, drawn frames 125 µs to 2 ms for 1 to 16 (simulated)"
    told = verdict_on(run(*bounds, reckoned)).fast  # its band
    assert told.words == f"{bound}, frames of planes every 40 µs to 80 µs for up to 16 (estimated)"
    whole = run(*bounds, *alone, reckoned, *streamed)
    sparse = verdict_on(whole)
    told = f"{bound}, frames of planes every 50 µs to 800 µs for up to 16 (simulated)"
    assert sparse.fast.words == told and told in html(report_on(whole, None))
    assert told in sparse.closing[-1][1]  # how a run ends in the terminal
    table = timing_table(whole, 1, "patches")
    assert table is not None
    assert "proved, at most, for 4,096 lit pixels" in [cell.text for cell in table.rows[0]]

    assert verdict_on(whole, latency_us=30_000).fast.state is AnswerState.GOOD
    within = verdict_on(whole, latency_us=1_000).fast  # some frames are
    assert within.state is AnswerState.UNSURE
    assert within.words.startswith("not proved to be within 1 ms")
    assert verdict_on(whole, latency_us=100).fast.state is AnswerState.BAD  # no frame is

    board = Metric("latency_us", 400, "us", Origin.MEASURED, target="rtl")
    assert verdict_on(run(*bounds, board)).fast.words == "RTL 400 µs (measured)"
