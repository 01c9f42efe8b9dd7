# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Gates pass what keeps a limit and was measured well enough, and nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.ir.agreement import Agreement
from edgeinfer.report.compare.baseline import regressions
from edgeinfer.report.gates.check import GateOutcome, GateResult, check, markdown_of
from edgeinfer.report.gates.figures import Vocabulary
from edgeinfer.report.gates.gates import Gate, Tolerance, read
from edgeinfer.report.result import DataPart, Result
from edgeinfer.targets.registry import directions, figures, stages
from tests.support import report_results as results

GOOD = results.good()


def check_gates_of(text: str, result: Result = GOOD) -> list[GateResult]:
    return check(
        result, read(text, "gates.toml").gates, "gates.toml", Vocabulary(figures(), stages())
    )


def one(text: str, result: Result = GOOD) -> GateResult:
    (found,) = check_gates_of(text, result)
    return found


@pytest.mark.parametrize(
    "text",
    [
        'gates = ["hls.lut <= 20000"]',
        'gates = [{gate = "hls.lut <= 20000"}]',
        'gates = [{metric = "lut", target = "hls", max = 20000}]',
        '[[gate]]\nmetric = "hls.lut"\nmax = 20000',
        '"hls.lut" = "<= 20000"',
        'hls.lut = "<=20_000"',
        "hls.lut = {max = 20000}",
        '[hls]\nlut = "<= 20,000"',
        '[gates]\nhls.lut = "<= 2e4"',
        "[gates.hls]\nlut = {max = 20000}",
        'hls.lut = {limit = "<= 20000"}',
    ],
)
def test_a_limit_may_be_written_in_several_ways(text: str) -> None:
    assert read(text, "g").gates == (Gate("lut", "<=", 20000.0, "hls"),)


def test_truths_bounds_and_options_are_read() -> None:
    text = """
    bit_identical = true
    auc = {min = 0.9, max = 1.0}
    [hls]
    lut = {max = 1, origin = "synthesised", optional = true, whole_band = true}
    """
    assert read(text, "g").gates == (
        Gate("bit_identical", "=", True),
        Gate("auc", "<=", 1.0),
        Gate("auc", ">=", 0.9),
        Gate("lut", "<=", 1.0, "hls", Origin.SYNTHESISED, True, True),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("auc_drop <= 0.005", "in quotes"),
        ("lut = 20000", 'Write lut = "<= 20000"'),
        ('lut = "<= many"', "is not a number"),
        ('lut = "about 3"', "is not a limit"),
        ('gates = ["lut"]', "is not a gate"),
        ("gates = [3]", "is not a gate"),
        ("lut = {most = 3, optional = true}", "means nothing"),
        ("lut = {optional = true}", "no limit"),
        ('lut = {max = 3, optional = "yes"}', "true or false"),
        ('lut = {max = 3, origin = "synthesized"}', "synthesised"),
        ('gates = [{gate = "lut <= 3", origins = "routed"}]', "origin"),
        ("lut = nan", "does not say"),
        ('lut = "<= nan"', "NaN"),
        ("", "holds no gates"),
        ("[hls]", "is not a gate"),
        ("lut = [1]", "is not a gate"),
        ("baseline = 3", "tolerances"),
        ('[baseline]\nlut = "much"', "is not a tolerance"),
        ("[baseline]\nlut = -1", "is not a tolerance"),
    ],
)
def test_what_is_no_gate_is_named(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read(text, "my/gates.toml")
    assert "my/gates.toml" in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("gate", "passes"),
    [
        ("auc_drop <= 0.005", True),
        ("auc_drop <= 0.0016", False),  # TFLite loses more than the quantized network
        ("quantized.auc_drop <= 0.0016", True),
        ("edgetpu.auc_drop <= 0.0016", False),
        ("hls.auc >= 0.9697", True),
        ("float.auc > 0.9712", False),
        ("accuracy_drop < 0.0032", False),  # TFLite's; of RTL's 500 samples the float is not known
        ("hls.accuracy_drop < 0.0045", True),
        ("bit_identical = true", True),
        ("bit_identical = false", False),
        ("hls.bit_identical = true", True),
        ("edgetpu.bit_identical = true", False),  # asked for by name, it is held to it
        ("edgetpu.decision_flips <= 60", False),
        ("decision_flips = 0", True),
        ("agreement_samples >= 100", False),
        ("rtl.agreement_samples >= 100", True),
        ("macs <= 2e6", True),
        ("hls.lut <= 61000", True),
        ("hls.lut_vsynth <= 38499", False),
        ("rtl.latency_us <= 10", False),
        ("hls.fits = true", True),
        ("hls.device_share <= 0.17", True),
        ("hls.event_seconds < 0.7", True),
        ("same_decision_as_float >= 0.98", True),
    ],
)
def test_limits_are_kept_or_missed(gate: str, passes: bool) -> None:
    assert (one(f'gates = ["{gate}"]').outcome is GateOutcome.PASSED) is passes


def test_a_gate_without_a_target_is_held_for_each() -> None:
    result = check_gates_of('gates = ["lut <= 40000"]')
    assert {(each.figure, each.outcome) for each in result} == {
        ("hls.lut", GateOutcome.MISSED),
        ("rtl.lut", GateOutcome.PASSED),
    }


def test_what_was_not_measured_is_missed_unless_optional() -> None:
    assert one('gates = ["hls.uram <= 5"]').outcome is GateOutcome.MISSED
    assert "not measured" in str(one('gates = ["hls.uram <= 5"]'))
    assert one("hls.uram = {max = 5, optional = true}").outcome is GateOutcome.SKIPPED
    bare = GOOD.model_copy(update={"agreement": (), "accuracy": {}, "metrics": ()})
    for gate in ("bit_identical = true", "auc_drop <= 1", "fits = true", "latency_us <= 1e9"):
        assert one(f'gates = ["{gate}"]', bare).outcome is GateOutcome.MISSED
    nothing = Agreement(("engine", "csim"), 0, True, 0.0, 0)
    untried = GOOD.model_copy(update={"agreement": (nothing,)})
    assert one("bit_identical = true", untried).outcome is GateOutcome.MISSED


def test_an_estimate_does_not_pass_for_a_measurement() -> None:
    text = 'hls.lut = {max = 1e9, origin = "synthesised"}'
    result = one(text)
    assert (
        result.outcome is GateOutcome.MISSED
        and "estimated" in result.reason
        and "61,000" in result.value
    )
    reported = Metric("lut", 52_000, "LUT", Origin.SYNTHESISED, state=DesignState.C_SYNTHESIS,
                      tool="Vitis HLS", target="hls")  # fmt: skip
    better = GOOD.model_copy(update={"metrics": (reported, *GOOD.metrics)})
    passed = one(text, better)
    assert passed.outcome is GateOutcome.PASSED and passed.value == "52,000"
    assert one('hls.lut = {max = 1e9, origin = "measured"}', better).outcome is GateOutcome.MISSED
    proved = one('rtl.latency_cycles = {max = 1e9, origin = "measured"}')
    assert proved.outcome is GateOutcome.PASSED and "proved" in proved.reason


def test_of_several_figures_the_best_origin_counts_and_of_equals_the_further_design() -> None:
    more = [
        Metric("lut", 1.0, "LUT", Origin.SYNTHESISED, state=DesignState.LOGIC_SYNTHESIS,
               tool="Vivado", target="hls"),
        Metric("lut", 2.0, "LUT", Origin.SYNTHESISED, state=DesignState.C_SYNTHESIS,
               tool="Vitis HLS", target="hls"),
    ]  # fmt: skip
    both = GOOD.model_copy(update={"metrics": (*GOOD.metrics, *more)})
    result = one('hls.lut = "<= 1"', both)
    assert result.outcome is GateOutcome.PASSED and "after logic synthesis" in result.reason


def test_a_whole_band_may_be_demanded() -> None:
    assert one('hls.latency_us = "<= 15"').outcome is GateOutcome.PASSED
    result = one("hls.latency_us = {max = 15, whole_band = true}")
    assert result.outcome is GateOutcome.MISSED and "17.4" in result.reason


@pytest.mark.parametrize("limit", ["<= 1", ">= 1", "< 1", "> 1", "= 1"])
def test_what_is_no_number_keeps_no_limit(limit: str) -> None:
    odd = GOOD.model_copy(
        update={"metrics": (Metric("lut", math.nan, "LUT", Origin.ROUTED, target="hls"),)}
    )
    result = one(f'hls.lut = "{limit}"', odd)
    assert result.outcome is GateOutcome.MISSED and result.value == "not a number"
    assert result.as_dict()["value"] is None


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("latncy_us <= 1", "latency_us"),
        ("hls.lutt <= 1", "'lut'"),
        ("hsl.lut <= 1", "'hls'"),
        ("bit_identcal = true", "bit_identical"),
        ("auc_dorp <= 1", "auc_drop"),
        ("bit_identical <= 3", "true or false"),
        ("hls.lut = true", "is a number"),
    ],
)
def test_a_typing_error_is_an_error_that_names_what_was_meant(gate: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_gates_of(f'gates = ["{gate}"]')
    assert caught.value.exit_code == 2


def outcomes_by_gate(
    result: Result, baseline: Result = GOOD, **more: Tolerance
) -> dict[str, GateOutcome]:
    return {each.figure: each.outcome for each in regressions(result, baseline, more, directions())}


def test_a_result_is_no_worse_than_itself() -> None:
    assert set(outcomes_by_gate(GOOD).values()) == {GateOutcome.PASSED}
    assert len(outcomes_by_gate(GOOD)) > 20


def test_what_got_worse_is_missed_and_tolerances_allow_for_it() -> None:
    dearer = GOOD.model_copy(
        update={
            "metrics": tuple(
                replace(m, value=m.value * 1.04) if m.name == "dsp" and m.target == "rtl" else m
                for m in GOOD.metrics
            )
        }
    )
    name = "rtl.dsp (routing)"
    assert outcomes_by_gate(dearer)[name] is GateOutcome.MISSED
    assert outcomes_by_gate(GOOD, dearer)[name] is GateOutcome.PASSED  # better than before
    assert (
        outcomes_by_gate(dearer, **{"rtl.dsp": Tolerance(relative=0.05)})[name]
        is GateOutcome.PASSED
    )
    assert outcomes_by_gate(dearer, dsp=Tolerance(absolute=1))[name] is GateOutcome.MISSED
    assert read('[baseline]\nrtl.dsp = "5 %"\nauc = 0.01', "g").tolerances == {
        "rtl.dsp": Tolerance(relative=0.05),
        "auc": Tolerance(absolute=0.01),
    }


def test_a_slower_clock_is_worse() -> None:
    slower = GOOD.model_copy(
        update={
            "metrics": tuple(
                replace(m, value=80.0) if m.name == "fmax_mhz" else m for m in GOOD.metrics
            )
        }
    )
    assert outcomes_by_gate(slower)["rtl.fmax_mhz"] is GateOutcome.MISSED
    assert outcomes_by_gate(GOOD, slower)["rtl.fmax_mhz"] is GateOutcome.PASSED


def test_what_the_baseline_knew_must_still_be_known() -> None:
    blind = GOOD.model_copy(update={"metrics": (), "agreement": (), "accuracy": {}})
    result = outcomes_by_gate(blind)
    assert set(result.values()) == {GateOutcome.MISSED} and "agreement engine = csim" in result


def test_other_samples_and_other_devices_are_not_compared() -> None:
    other = DataPart(name="other.npz", sha256="cd" * 32, samples=8000)
    there = GOOD.targets["hls"].model_copy(update={"device": "xcu250"})
    moved = GOOD.model_copy(update={"data": other, "targets": {"hls": there}})
    found = {each.figure: each for each in regressions(moved, GOOD, {}, directions())}
    assert found["csim.auc"].outcome is GateOutcome.MISSED
    assert "not comparable" in found["csim.auc"].reason
    assert "not comparable" in found["hls.lut (C synthesis)"].reason


def test_a_better_origin_is_another_quantity_and_a_worse_one_is_missed() -> None:
    reported = results.with_metrics(GOOD, lut=20_000.0)
    assert outcomes_by_gate(reported)["hls.lut (C synthesis)"] is GateOutcome.SKIPPED
    assert outcomes_by_gate(GOOD, reported)["hls.lut (C synthesis)"] is GateOutcome.MISSED


def test_another_network_is_no_baseline() -> None:
    (result,) = regressions(GOOD.model_copy(update={"task": None}), GOOD, {}, directions())[:1]
    assert result.outcome is GateOutcome.PASSED  # an unknown task is no other task
    ports = GOOD.program.model_copy(update={"outputs": ()})
    (refused,) = regressions(GOOD.model_copy(update={"program": ports}), GOOD, {}, directions())
    assert refused.outcome is GateOutcome.MISSED and "other inputs or outputs" in refused.reason


def test_a_disagreement_that_was_not_there_is_missed() -> None:
    assert outcomes_by_gate(results.disagreeing())["agreement engine = csim"] is GateOutcome.MISSED


def test_gates_are_told_as_markdown() -> None:
    text = markdown_of(check_gates_of('gates = ["lut <= 40000", "hls.uram <= 3"]'))
    assert text.startswith("## 2 of 3 gates missed")
    assert "| hls.lut | **missed** | 61,000 | &lt;= 40,000 |" in text


def test_a_drop_is_of_the_same_samples() -> None:
    """A stage on few samples of its own is held against the float network on these."""
    few = {"rtl": replace(GOOD.accuracy["rtl"], floats={"auc": 0.9700, "accuracy": 0.907})}
    apart = tuple(
        Agreement(("engine", "rtl"), 500, False, 0.1, 3) if "rtl" in entry.pair else entry
        for entry in GOOD.agreement
    )
    result = GOOD.model_copy(update={"accuracy": {**GOOD.accuracy, **few}, "agreement": apart})
    worst = max(0.9712 - 0.9697, 0.9712 - 0.9688, 0.9700 - 0.9689)
    found = one('auc_drop = "<= 0.01"', result)
    assert found.outcome is GateOutcome.PASSED and math.isclose(found.number or 0, worst)
    (own,) = check_gates_of('rtl.auc_drop = "<= 0.01"', result)
    assert math.isclose(own.number or 0, 0.9700 - 0.9689)
    # one that is the engine bit for bit says nothing that the Program does not say on more samples
    lucky = {"rtl": replace(few["rtl"], auc=0.90)}
    same = GOOD.model_copy(update={"accuracy": {**GOOD.accuracy, **lucky}})
    assert math.isclose(one('auc_drop = "<= 0.01"', same).number or 0, worst)
    # without the float network on the same samples, nothing is known of such a stage
    assert math.isclose(one('auc_drop = "<= 0.01"').number or 0, worst)
    assert one('rtl.auc_drop = "<= 0.01"').outcome is GateOutcome.MISSED
