# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""C synthesis reports of four tool versions, and one of a published network, read rightly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.reports.csynth import Synthesis, csynth_metrics
from edgeinfer.targets.reports.csynth_text import csynth_text
from edgeinfer.targets.reports.csynth_tree import csynth_tree
from edgeinfer.targets.reports.csynth_xml import csynth_xml
from edgeinfer.targets.reports.figures import CycleRange, Resources
from tests.support.emitted_projects import REPORTS

VERSIONS = {
    "vivado_hls_2018.3": (9, 9, 1, 1, Resources(43, 2300, 1105, 1), 10.0, 8.742),
    "vivado_hls_2020.1": (105, 105, 72, 72, Resources(96, 4571, 2310, 18, 0), 5.0, 4.363),
    "vitis_hls_2023.1": (143, 143, 72, 72, Resources(94, 4408, 2601, 18, 0), 5.0, 3.649),
    "vitis_hls_2024.2": (151, 4099, None, None, Resources(12, 1800, 900, 4, 2), 3.33, 2.430),
}


def read(name: str) -> Synthesis:
    return (csynth_xml if name.endswith(".xml") else csynth_text)(REPORTS / name)


def find_metric(metrics: tuple[Metric, ...], name: str, layer: str | None = None) -> Metric:
    (metric,) = (m for m in metrics if m.name == name and m.layer == layer)
    return metric


@pytest.mark.parametrize("suffix", ["rpt", "xml"])
@pytest.mark.parametrize("folder", VERSIONS)
def test_the_design_is_read_alike_from_text_and_xml(folder: str, suffix: str) -> None:
    synthesis = read(f"{folder}/tagger_csynth.{suffix}")
    least, most, soonest, latest, resources, target, clock = VERSIONS[folder]
    product, _, version = folder.rpartition("_")
    assert synthesis.top == "tagger"
    assert synthesis.version == version
    assert synthesis.tool == {"vivado_hls": "Vivado HLS", "vitis_hls": "Vitis HLS"}[product]
    assert synthesis.latency == CycleRange(least, most)
    assert synthesis.interval == CycleRange(soonest, latest)
    assert synthesis.resources == resources
    assert synthesis.clock_target_ns == target
    assert synthesis.clock_ns == clock


def test_older_reports_name_modules_without_absolute_times() -> None:
    modules = {
        module.name: module for module in read("vivado_hls_2018.3/tagger_csynth.rpt").modules
    }
    assert modules["dense_latency_0_0_0_s"].latency == CycleRange(3, 3)
    assert modules["dense_latency_0_0_0_s"].resources == Resources(31, 1500, 700, 0)
    assert modules["relu_ap_fixed_relu_config3_s"].interval == CycleRange(1, 1)


def test_modules_add_up_to_the_instances_of_the_summary() -> None:
    modules = read("vivado_hls_2020.1/tagger_csynth.rpt").modules
    total = Resources(0, 0, 0, 0, 0)
    for module in modules:
        total = total.plus(module.resources)
    assert total == Resources(96, 4475, 2230, 2, 0)


def test_instances_of_one_module_count_together(tmp_path: Path) -> None:
    text = (REPORTS / "vivado_hls_2020.1" / "tagger_csynth.rpt").read_text()
    relu = "relu_array_array_ap_ufixed_8u_relu_config3_s"
    conv = "conv_2d_cl_array_array_ap_fixed_8u_config2_s"
    twice = tmp_path / "tagger_csynth.rpt"
    twice.write_text(text.replace(f"|{relu}", f"|{conv}"))
    modules = {module.name: module for module in csynth_text(twice).modules}
    assert modules[conv].resources == Resources(72, 2950 + 311, 1810 + 16, 0, 0)
    assert modules[conv].latency == CycleRange(70, 70)


def test_metrics_say_what_they_are_and_whose() -> None:
    layers = {"conv_2d_cl_array_array_ap_fixed_8u_config2_s": "conv"}
    synthesis = read("vivado_hls_2020.1/tagger_csynth.rpt")
    metrics = csynth_metrics(synthesis, lambda module: layers.get(module, module))
    whole = find_metric(metrics, "latency_cycles")
    assert whole == Metric(
        "latency_cycles",
        105,
        "cycles",
        Origin.SYNTHESISED,
        state=DesignState.C_SYNTHESIS,
        tool="Vivado HLS",
        version="2020.1",
        target="hls",
    )
    assert find_metric(metrics, "latency_us").value == pytest.approx(0.525)
    assert find_metric(metrics, "ii_cycles").value == 72
    assert find_metric(metrics, "clock_ns").value == 4.363
    assert find_metric(metrics, "clock_target_ns").value == 5.0
    assert find_metric(metrics, "bram18").value == 18
    assert find_metric(metrics, "dsp", "conv").value == 72
    assert find_metric(metrics, "latency_cycles", "Block_proc").value == 0


def test_a_latency_that_depends_on_data_is_the_worst_case_with_its_band() -> None:
    metrics = csynth_metrics(read("vitis_hls_2024.2/tagger_csynth.xml"), str)
    latency = find_metric(metrics, "latency_cycles")
    assert (latency.value, latency.low, latency.high) == (4099, 151, 4099)
    assert find_metric(metrics, "latency_us").value == pytest.approx(4099 * 3.33e-3)


def test_an_undefined_interval_gives_no_metric() -> None:
    for suffix in ("xml", "rpt"):
        metrics = csynth_metrics(read(f"vitis_hls_2024.2/tagger_csynth.{suffix}"), str)
        assert not [m for m in metrics if m.name == "ii_cycles"]


def test_latency_is_counted_by_the_clock_that_the_tool_counts_by(tmp_path: Path) -> None:
    """Where timing is missed, absolute times may come from the estimated clock."""
    text = (REPORTS / "vitis_hls_2023.1" / "tagger_csynth.xml").read_text()
    slow = tmp_path / "slow_csynth.xml"
    slow.write_text(
        text.replace(">3.649<", ">6.500<").replace("0.715 us", "0.930 us")  # 143 x 6.5 ns
    )
    metrics = csynth_metrics(csynth_xml(slow), str)
    assert find_metric(metrics, "latency_us").value == pytest.approx(143 * 6.5e-3)
    without = re.sub(r"<\w+-caseRealTimeLatency>.*\n", "", slow.read_text())  # as older ones are
    slow.write_text(without)
    metrics = csynth_metrics(csynth_xml(slow), str)
    assert find_metric(metrics, "latency_us").value == pytest.approx(143 * 6.5e-3)


def test_the_tree_of_modules_gives_the_layers_below_the_top() -> None:
    tree = csynth_tree(REPORTS / "vitis_hls_2023.1" / "csynth.rpt")
    text = read("vitis_hls_2023.1/tagger_csynth.rpt")
    assert (tree.top, tree.version, tree.part) == ("tagger", "2023.1", "xczu7ev-ffvc1156-2-e")
    assert (tree.latency, tree.interval) == (text.latency, text.interval)
    assert tree.resources == text.resources
    assert {m.name: m for m in tree.modules} == {m.name: m for m in text.modules}


def test_a_published_network_is_read_to_the_last_module(cases: Path) -> None:
    report = cases / "vendor_reports" / "pruned_cnn_csynth.rpt"
    if not report.is_file():
        pytest.skip(f"{report} is not here")
    synthesis = csynth_text(report)
    assert (synthesis.tool, synthesis.version) == ("Vivado HLS", "2020.1")
    assert synthesis.part == "xcu250-figd2104-2L-e"
    assert (synthesis.latency, synthesis.interval) == (
        CycleRange(1044, 1044),
        CycleRange(1028, 1028),
    )
    assert synthesis.resources == Resources(5414, 245466, 52549, 100, 0)
    assert (synthesis.clock_target_ns, synthesis.clock_ns) == (5.0, 4.363)
    modules = {module.name: module for module in synthesis.modules}
    assert len(modules) == 16
    conv = modules["conv_2d_cl_array_array_ap_fixed_24u_config12_s"]
    assert (conv.latency, conv.interval) == (CycleRange(40, 40), CycleRange(40, 40))
    assert conv.resources == Resources(1300, 53724, 11809, 0, 0)
    relu = modules["relu_array_array_ap_fixed_64u_relu_config24_s"]
    assert (relu.latency, relu.interval) == (CycleRange(0, 0), CycleRange(1, 1))
    assert sum(m.resources.lut or 0 for m in synthesis.modules) == 231790
    assert find_metric(csynth_metrics(synthesis, str), "latency_us").value == pytest.approx(5.22)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("== Utilization Estimates", "== Area"), "0 tables under 'utilization estimates"),
        (("|Total ", "|Sum   "), "has no total"),
        ((" LUT ", " LCB "), "no column 'lut'"),
        ((" max ", " top "), "no columns of latency, min and max"),
        (("| Estimated ", "| Reckoned  "), "names no clock"),
        (("== Vivado HLS Report for", "== Report of"), "no title"),
        (("4571", "4b71"), "is where a number"),
    ],
)
def test_an_unknown_layout_is_an_error(
    tmp_path: Path, change: tuple[str, str], reason: str
) -> None:
    text = (REPORTS / "vivado_hls_2020.1" / "tagger_csynth.rpt").read_text()
    assert change[0] in text
    other = tmp_path / "tagger_csynth.rpt"
    other.write_text(text.replace(*change))
    with pytest.raises(InputError, match=reason) as caught:
        csynth_text(other)
    assert str(other) in str(caught.value)


def test_what_the_tool_does_not_know_is_no_zero(tmp_path: Path) -> None:
    text = (REPORTS / "vitis_hls_2023.1" / "tagger_csynth.rpt").read_text()
    total = next(line for line in text.splitlines() if line.startswith("|Total "))
    other = tmp_path / "tagger_csynth.rpt"
    other.write_text(text.replace(total, total.replace("94|", " ?|"), 1))
    assert csynth_text(other).resources == Resources(None, 4408, 2601, 18, 0)
    tree = (REPORTS / "vitis_hls_2023.1" / "csynth.rpt").read_text()
    other.write_text(tree.replace("94 (5%)", "      ?"))
    assert csynth_tree(other).resources == Resources(None, 4408, 2601, 18, 0)


def test_cycles_that_contradict_themselves_are_an_error(tmp_path: Path) -> None:
    text = (REPORTS / "vitis_hls_2024.2" / "tagger_csynth.xml").read_text()
    other = tmp_path / "tagger_csynth.xml"
    other.write_text(text.replace(">151<", ">5151<"))
    with pytest.raises(InputError, match="cannot be"):
        csynth_xml(other)
    other.write_text(text.replace("AreaEstimates", "Area"))
    with pytest.raises(InputError, match="has no AreaEstimates/Resources"):
        csynth_xml(other)
    other.write_text("no xml at all")
    with pytest.raises(InputError, match="not a complete XML"):
        csynth_xml(other)
