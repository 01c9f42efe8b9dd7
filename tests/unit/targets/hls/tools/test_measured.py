# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A folder's reports, read where tools leave them: the whole, the layers, and what is not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.targets.hls.settings import Backend, HlsSettings
from edgeinfer.targets.hls.tools.measured import read_measurements
from tests.support.emitted_projects import REPORTS, emitted, lay

VITIS = HlsSettings(backend=Backend.VITIS)


def select(metrics: tuple[Metric, ...], name: str, layer: str | None = None) -> list[Metric]:
    return [metric for metric in metrics if (metric.name, metric.layer) == (name, layer)]


def test_a_project_in_which_no_tool_ran_has_no_metrics(tmp_path: Path) -> None:
    for backend in (Backend.VITIS, Backend.VIVADO, Backend.QUARTUS):
        folder = emitted(tmp_path / backend, backend)
        assert read_measurements(folder, HlsSettings(backend=backend)) == ()


def test_every_report_of_a_folder_is_read(tmp_path: Path) -> None:
    folder = emitted(tmp_path, name="jets")
    solution = folder / "jets_prj" / "solution1"
    for suffix in ("xml", "rpt"):
        report = solution / "syn" / "report" / f"jets_csynth.{suffix}"
        lay(f"vitis_hls_2023.1/tagger_csynth.{suffix}", report, "jets")
    cosim = solution / "sim" / "report" / "jets_cosim.rpt"
    lay("vitis_hls_2023.1/tagger_cosim.rpt", cosim, "jets")
    lay("vivado_2024.1/vivado_synth.rpt", folder / "vivado_synth.rpt", "jets")
    lay(
        "vivado_2021.2/tagger_timing_summary_routed.rpt", folder / "jets_timing_summary.rpt", "jets"
    )
    (folder / "jets_clock_utilization_routed.rpt").write_text("another report")
    (folder / "jets_timing_paths.rpt").write_text("another report")
    export = solution / "impl" / "report" / "verilog" / "export_impl.xml"
    lay("vivado_2019.2/export_impl.xml", export, "jets")
    metrics = read_measurements(folder, VITIS)
    said = {(m.tool, m.origin, m.value) for m in select(metrics, "latency_cycles")}
    assert said == {
        ("Vitis HLS", Origin.SYNTHESISED, 143),
        ("Vitis HLS", Origin.SIMULATED, 145),
    }
    assert [(m.tool, m.origin, m.value) for m in select(metrics, "lut")] == [
        ("Vitis HLS", Origin.SYNTHESISED, 4408),
    ]
    assert [(m.tool, m.origin, m.value) for m in select(metrics, "lut_vsynth")] == [
        ("Vivado", Origin.SYNTHESISED, 2877),
        ("Vivado", Origin.ROUTED, 2899),
    ]
    assert {m.target for m in metrics} == {"hls"}
    assert {m.layer for m in metrics} == {None, "conv", "conv.relu", "logits"}
    assert [m.value for m in select(metrics, "dsp", "conv")] == [70]
    assert [m.value for m in select(metrics, "latency_cycles", "logits")] == [5]
    assert len(select(metrics, "wns_ns")) == 1


def test_layers_come_from_the_tree_where_the_text_report_is_not_there(tmp_path: Path) -> None:
    folder = emitted(tmp_path)
    report = folder / "tagger_prj" / "solution1" / "syn" / "report"
    lay("vitis_hls_2023.1/tagger_csynth.xml", report / "tagger_csynth.xml")
    lay("vitis_hls_2023.1/csynth.rpt", report / "csynth.rpt")
    metrics = read_measurements(folder, VITIS)
    assert [m.value for m in select(metrics, "lut", "conv.relu")] == [305]
    assert [m.value for m in select(metrics, "clock_ns")] == [3.649]


def test_without_the_source_modules_keep_their_own_names(tmp_path: Path) -> None:
    folder = emitted(tmp_path)
    shutil.rmtree(folder / "firmware")
    report = folder / "tagger_prj" / "solution1" / "syn" / "report"
    lay("vitis_hls_2023.1/tagger_csynth.rpt", report / "tagger_csynth.rpt")
    layers = {metric.layer for metric in read_measurements(folder, VITIS)}
    assert "dense_array_array_ap_fixed_3u_config5_s" in layers


def test_a_solution_of_another_name_is_found(tmp_path: Path) -> None:
    folder = emitted(tmp_path)
    report = folder / "tagger_prj" / "fast" / "syn" / "report"
    lay("vitis_hls_2023.1/tagger_csynth.xml", report / "tagger_csynth.xml")
    assert select(read_measurements(folder, VITIS), "lut")


def test_intel_reports_and_quartus_summaries(tmp_path: Path) -> None:
    folder = emitted(tmp_path, Backend.QUARTUS)
    shutil.copytree(REPORTS / "intel_19.2", folder / "tagger-fpga.prj" / "reports")
    output = folder / "tagger-fpga.prj" / "quartus" / "output_files"
    shutil.copytree(REPORTS / "quartus_20.1", output)
    metrics = read_measurements(
        folder, HlsSettings(backend=Backend.QUARTUS, part="Arria10", clock_ns=4.0)
    )
    assert [m.value for m in select(metrics, "lut")] == [4100]
    assert [m.value for m in select(metrics, "alm")] == [4102]
    assert [m.value for m in select(metrics, "clock_ns")] == [4.0]
    (latency,) = select(metrics, "latency_us")
    assert latency.value == pytest.approx(15 * 4e-3)


def test_what_the_compiler_says_of_the_fit_is_not_said_twice(tmp_path: Path) -> None:
    folder = emitted(tmp_path, Backend.QUARTUS)
    reports = folder / "tagger-fpga.prj" / "reports"
    shutil.copytree(REPORTS / "intel_24.1", reports)
    shutil.copy(REPORTS / "intel_24.1" / "fitted" / "quartus.json", reports / "lib" / "json")
    shutil.copytree(REPORTS / "quartus_20.1", folder / "tagger-fpga.prj" / "quartus")
    metrics = read_measurements(folder, HlsSettings(backend=Backend.QUARTUS, part="Arria10"))
    assert [m.value for m in select(metrics, "alm")] == [3968]
    assert [m.value for m in select(metrics, "clock_ns")] == [3.2]
    assert [m.value for m in select(metrics, "wns_ns")] == [1.653]


def test_a_report_cut_short_is_an_error_and_not_a_gap(tmp_path: Path) -> None:
    folder = emitted(tmp_path)
    report = folder / "tagger_prj" / "solution1" / "syn" / "report" / "tagger_csynth.xml"
    lay("vitis_hls_2023.1/tagger_csynth.xml", report)
    report.write_text(report.read_text()[:900])
    with pytest.raises(InputError) as caught:
        read_measurements(folder, VITIS)
    assert str(report) in str(caught.value) and "not a complete XML" in str(caught.value)


@pytest.mark.parametrize("backend", [Backend.ONEAPI, Backend.CATAPULT, Backend.LIBERO])
def test_backends_whose_reports_are_not_read_are_named(tmp_path: Path, backend: Backend) -> None:
    with pytest.raises(InputError, match=f"reports of {backend} projects are not read"):
        read_measurements(tmp_path, HlsSettings(backend=backend))


def test_a_folder_that_is_no_project_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no project\.tcl, so this is not a Vitis project"):
        read_measurements(tmp_path, VITIS)
    (tmp_path / "project.tcl").write_text("set part x\n")
    with pytest.raises(InputError, match="names no project"):
        read_measurements(tmp_path, VITIS)
