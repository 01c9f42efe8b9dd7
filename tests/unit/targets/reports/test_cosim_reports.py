# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Co-simulation reports: passed or failed, cycles in three figures, samples one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.reports.cosim import CoSimulation, cosim, cosim_metrics, with_transactions
from edgeinfer.targets.reports.figures import CycleRange, FigureSource
from tests.support.emitted_projects import REPORTS

SOURCE = FigureSource(Origin.SIMULATED, DesignState.NONE, "Vivado HLS", "2020.1")


def read(name: str) -> CoSimulation:
    simulated = cosim(REPORTS / name)
    assert simulated is not None
    return simulated


def figures(metrics: list[Metric]) -> dict[str, tuple[float, float | None, float | None]]:
    return {metric.name: (metric.value, metric.low, metric.high) for metric in metrics}


def test_three_figures_of_latency_and_interval() -> None:
    simulated = read("vivado_hls_2020.1/tagger_cosim.rpt")
    assert simulated == CoSimulation(
        "Verilog", True, CycleRange(104, 106), CycleRange(72, 75), 104, 73
    )
    metrics = list(cosim_metrics(simulated, SOURCE, clock_ns=5.0))
    assert {metric.origin for metric in metrics} == {Origin.SIMULATED}
    assert figures(metrics) == {
        "cosim_passed": (1, None, None),
        "latency_cycles": (106, 104, 106),
        "latency_us": (pytest.approx(0.53), pytest.approx(0.52), pytest.approx(0.53)),
        "ii_cycles": (75, 72, 75),
        "latency_mean_cycles": (104, None, None),
        "ii_mean_cycles": (73, None, None),
    }


def test_newer_reports_have_a_column_more() -> None:
    simulated = read("vitis_hls_2023.1/tagger_cosim.rpt")
    assert (simulated.latency, simulated.interval) == (CycleRange(143, 145), CycleRange(72, 72))


def test_a_failed_simulation_gives_no_cycles() -> None:
    metrics = list(cosim_metrics(read("vitis_hls_2023.1/failed_cosim.rpt"), SOURCE, 5.0))
    assert figures(metrics) == {"cosim_passed": (0, None, None)}


def test_samples_one_by_one_fill_in_what_the_report_leaves_out() -> None:
    folder = REPORTS / "vivado_hls_2018.3"
    simulated = read("vivado_hls_2018.3/tagger_cosim.rpt")
    assert simulated.interval == CycleRange(None, None)
    fuller = with_transactions(simulated, folder / "tagger.performance.result.transaction.xml")
    assert fuller.latency == CycleRange(9, 9)
    assert fuller.interval == CycleRange(1, 2)
    assert fuller.interval_mean == pytest.approx(4 / 3)


def test_a_report_of_nothing_run_is_none(tmp_path: Path) -> None:
    text = (REPORTS / "vitis_hls_2023.1" / "failed_cosim.rpt").read_text()
    idle = tmp_path / "idle.rpt"
    idle.write_text(text.replace("Fail", "  NA"))
    assert cosim(idle) is None
    idle.write_text(text.replace("Fail", "Mist"))
    with pytest.raises(InputError, match="neither Pass nor Fail"):
        cosim(idle)


def test_a_list_of_transactions_that_ends_inside_one_is_an_error(tmp_path: Path) -> None:
    name = "vivado_hls_2018.3/tagger.performance.result.transaction.xml"
    cut = tmp_path / "cut.xml"
    cut.write_text((REPORTS / name).read_text()[:-3])
    with pytest.raises(InputError, match="ends inside one"):
        with_transactions(read("vivado_hls_2018.3/tagger_cosim.rpt"), cut)
