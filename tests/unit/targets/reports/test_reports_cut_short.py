# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whatever is cut off a report, no figure is wrong: it is the same, or there is an error."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeinfer.base.errors import EdgeInferError, InputError
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.reports.cosim import cosim, cosim_metrics, with_transactions
from edgeinfer.targets.reports.csynth import csynth_metrics
from edgeinfer.targets.reports.csynth_text import csynth_text
from edgeinfer.targets.reports.csynth_tree import csynth_tree
from edgeinfer.targets.reports.csynth_xml import csynth_xml
from edgeinfer.targets.reports.figures import FigureSource
from edgeinfer.targets.reports.intel import intel_metrics
from edgeinfer.targets.reports.quartus import fit_summary, slack_summary, timing_report
from edgeinfer.targets.reports.vivado_timing import vivado_timing
from edgeinfer.targets.reports.vivado_usage import exported_usage, vivado_usage
from tests.support.emitted_projects import REPORTS

Reader = Callable[[Path], Iterable[Metric]]
SOURCE = FigureSource(Origin.SIMULATED, DesignState.NONE, "x")


def simulated(path: Path) -> Iterable[Metric]:
    result = cosim(path)
    return cosim_metrics(result, SOURCE, 5.0) if result else ()


def transactions(path: Path) -> Iterable[Metric]:
    base = cosim(REPORTS / "vivado_hls_2018.3" / "tagger_cosim.rpt")
    assert base is not None
    return cosim_metrics(with_transactions(base, path), SOURCE, 5.0)


def intel(path: Path) -> Iterable[Metric]:
    """The reports of a folder of its own, with one of them replaced."""
    folder = path.parent / "intel"
    shutil.rmtree(folder, ignore_errors=True)
    kept = "24.1" if path.suffix == ".json" else "19.2"
    shutil.copytree(REPORTS / f"intel_{kept}", folder)
    name = {"area.json": "json/area.json", "quartus.json": "json/quartus.json"}
    shutil.copy(path, folder / "lib" / name.get(path.name, path.name))
    return intel_metrics(folder, 5.0)


READERS: dict[str, Reader] = {
    "vivado_hls_2018.3/tagger_csynth.rpt": lambda p: csynth_metrics(csynth_text(p), str),
    "vivado_hls_2020.1/tagger_csynth.rpt": lambda p: csynth_metrics(csynth_text(p), str),
    "vitis_hls_2023.1/tagger_csynth.rpt": lambda p: csynth_metrics(csynth_text(p), str),
    "vitis_hls_2024.2/tagger_csynth.rpt": lambda p: csynth_metrics(csynth_text(p), str),
    "vivado_hls_2020.1/tagger_csynth.xml": lambda p: csynth_metrics(csynth_xml(p), str),
    "vitis_hls_2023.1/csynth.rpt": lambda p: csynth_metrics(csynth_tree(p), str),
    "vivado_hls_2020.1/tagger_cosim.rpt": simulated,
    "vitis_hls_2023.1/tagger_cosim.rpt": simulated,
    "vivado_hls_2018.3/tagger.performance.result.transaction.xml": transactions,
    "vivado_2020.1/vivado_synth.rpt": lambda p: vivado_usage(p, str),
    "vivado_2018.3/vivado_synth.rpt": lambda p: vivado_usage(p, str),
    "vivado_2022.2/util.rpt": lambda p: vivado_usage(p, str),
    "vivado_2021.2/two_clocks_timing.rpt": vivado_timing,
    "vivado_2019.2/export_impl.xml": exported_usage,
    "quartus_20.1/quartus_compile.fit.summary": fit_summary,
    "quartus_20.1/quartus_compile.sta.rpt": timing_report,
    "quartus_20.1/quartus_compile.sta.summary": slack_summary,
    "intel_19.2/lib/report_data.js": intel,
    "intel_19.2/lib/verification_data.js": intel,
    "intel_24.1/lib/json/area.json": intel,
    "intel_24.1/fitted/quartus.json": intel,
    "intel_17.1/lib/json/quartus.json": intel,
}
CUTS = 120  # of each report, evenly


def key(metric: Metric) -> tuple[str, str | None, Origin]:
    return metric.name, metric.layer, metric.origin


@pytest.mark.parametrize("report", READERS)
def test_a_report_cut_short_is_an_error_or_says_what_the_whole_says(
    report: str, tmp_path: Path
) -> None:
    content = (REPORTS / report).read_bytes()
    path = tmp_path / Path(report).name
    path.write_bytes(content)
    whole = {key(metric): metric for metric in READERS[report](path)}
    assert whole
    errors = 0
    for cut in sorted({len(content) * part // CUTS for part in range(1, CUTS)}):
        path.write_bytes(content[:cut])
        try:
            metrics = list(READERS[report](path))
        except InputError as error:
            assert path.name in str(error)
            errors += 1
            continue
        for metric in metrics:
            other = whole[key(metric)]
            assert (metric.value, metric.unit) == (other.value, other.unit), cut
    assert errors > 0


@pytest.mark.parametrize("report", READERS)
@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damage_is_an_error_and_never_a_crash(
    report: str, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray((REPORTS / report).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    gone = data.draw(st.integers(0, 60))
    content[at : at + gone] = data.draw(st.binary(max_size=30))
    path = tmp_path / Path(report).name
    path.write_bytes(bytes(content))
    try:
        list(READERS[report](path))
    except EdgeInferError as error:
        assert error.exit_code == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.text(alphabet="|+-= *\n1aT.%(", max_size=300), reader=st.sampled_from(list(READERS))
)
def test_what_is_no_report_is_an_error_and_never_a_crash(
    content: str, reader: str, tmp_path: Path
) -> None:
    path = tmp_path / Path(reader).name
    path.write_text(content)
    try:
        assert not list(READERS[reader](path)) or "intel" in reader
    except EdgeInferError as error:
        assert error.exit_code == 2
