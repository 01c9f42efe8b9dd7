# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Vivado's utilization and timing reports over versions and families, read rightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.targets.reports.vivado_timing import vivado_timing
from edgeinfer.targets.reports.vivado_usage import exported_usage, vivado_usage
from tests.support.emitted_projects import REPORTS

FLAT = {
    "vivado_2018.3": (Origin.ROUTED, {"dsp": 41, "lut": 1713, "ff": 1033, "bram18": 1}),
    "vivado_2020.1": (
        Origin.SYNTHESISED,
        {"dsp": 91, "lut": 2987, "ff": 2029, "bram18": 13, "uram": 0},
    ),
    "vivado_2024.1": (
        Origin.SYNTHESISED,
        {"dsp": 88, "lut": 2877, "ff": 2310, "bram18": 16, "uram": 3},
    ),
}


def values(metrics: tuple[Metric, ...], layer: str | None = None) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics if metric.layer == layer}


@pytest.mark.parametrize("folder", FLAT)
def test_a_flat_report_counts_blocks_and_halves_of_tiles(folder: str) -> None:
    metrics = vivado_usage(REPORTS / folder / "vivado_synth.rpt", str)
    origin, amounts = FLAT[folder]
    assert values(metrics) == amounts
    assert {metric.origin for metric in metrics} == {origin}
    assert {(m.tool, m.version) for m in metrics} == {("Vivado", folder.partition("_")[2])}


def test_a_published_network_is_read(cases: Path) -> None:
    report = cases / "vendor_reports" / "pruned_cnn_vivado_synth.rpt"
    if not report.is_file():
        pytest.skip(f"{report} is not here")
    metrics = vivado_usage(report, str)
    assert values(metrics) == {"dsp": 5386, "lut": 123948, "ff": 43435, "bram18": 84, "uram": 0}
    assert {(m.tool, m.version, m.origin) for m in metrics} == {
        ("Vivado", "2020.1", Origin.SYNTHESISED)
    }


@pytest.mark.parametrize(
    ("state", "origin"),
    [
        ("Synthesized", Origin.SYNTHESISED),
        ("Optimized", Origin.SYNTHESISED),
        ("Fully Placed", Origin.ROUTED),
        ("Routed", Origin.ROUTED),
        ("Physopt postRoute", Origin.ROUTED),
    ],
)
def test_the_state_of_the_design_is_the_origin(tmp_path: Path, state: str, origin: Origin) -> None:
    text = (REPORTS / "vivado_2024.1" / "vivado_synth.rpt").read_text()
    report = tmp_path / "utilization.rpt"
    report.write_text(text.replace("Optimized", state))
    assert {metric.origin for metric in vivado_usage(report, str)} == {origin}


def test_a_hierarchy_gives_the_design_and_its_layers() -> None:
    def layer_of(module: str) -> str:
        return {"config2": "conv", "config5": "logits"}.get(module.split("_")[-2], module)

    metrics = vivado_usage(REPORTS / "vivado_2022.2" / "util.rpt", layer_of)
    assert values(metrics) == {"dsp": 88, "lut": 2877, "ff": 2310, "bram18": 16, "uram": 3}
    assert values(metrics, "conv") == {"dsp": 66, "lut": 1800, "ff": 1500, "bram18": 14, "uram": 3}
    assert values(metrics, "logits") == {"dsp": 22, "lut": 1065, "ff": 804, "bram18": 2, "uram": 0}
    assert {metric.layer for metric in metrics} == {None, "conv", "logits"}
    assert {metric.origin for metric in metrics} == {Origin.ROUTED}


def test_an_exported_core_has_its_clock_and_no_bram_of_unknown_size() -> None:
    metrics = exported_usage(REPORTS / "vivado_2019.2" / "export_impl.xml")
    assert values(metrics) == {"dsp": 91, "lut": 2899, "ff": 2101, "uram": 0, "clock_ns": 4.612}
    assert {(m.origin, m.version) for m in metrics} == {(Origin.ROUTED, "2019.2")}


@pytest.mark.parametrize("section", ["CLB LUTs", "CLB Registers", "Block RAM Tile", "DSPs"])
def test_a_report_without_one_of_its_counts_is_an_error(tmp_path: Path, section: str) -> None:
    text = (REPORTS / "vivado_2020.1" / "vivado_synth.rpt").read_text()
    report = tmp_path / "vivado_synth.rpt"
    report.write_text("\n".join(x for x in text.splitlines() if f"| {section}" not in x))
    with pytest.raises(InputError, match="counts no"):
        vivado_usage(report, str)


@pytest.mark.parametrize(
    ("report", "origin"),
    [
        ("tagger_timing_summary_routed.rpt", Origin.ROUTED),
        ("tagger_timing_summary_placed.rpt", Origin.SYNTHESISED),  # its nets are estimates
    ],
)
def test_the_clock_is_the_period_less_the_slack(report: str, origin: Origin) -> None:
    metrics = vivado_timing(REPORTS / "vivado_2021.2" / report)
    assert values(metrics) == pytest.approx(
        {"wns_ns": 0.412, "clock_ns": 4.588, "clock_target_ns": 5}
    )
    assert {(m.origin, m.version) for m in metrics} == {(origin, "2021.2")}


def test_of_several_clocks_the_one_with_the_worst_slack_counts() -> None:
    metrics = vivado_timing(REPORTS / "vivado_2021.2" / "two_clocks_timing.rpt")
    assert values(metrics) == pytest.approx(
        {"wns_ns": -0.156, "clock_ns": 4.156, "clock_target_ns": 4}
    )


def test_without_a_constraint_there_is_no_slack() -> None:
    assert vivado_timing(REPORTS / "vivado_2021.2" / "unconstrained_timing.rpt") == ()


def test_a_timing_report_that_is_none_is_an_error(tmp_path: Path) -> None:
    report = tmp_path / "timing.rpt"
    report.write_text("| Tool Version : Vivado v.2021.2\nTiming Summary Report\n")
    with pytest.raises(InputError, match="no 'Design Timing Summary'"):
        vivado_timing(report)
