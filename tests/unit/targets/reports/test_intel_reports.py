# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reports of Intel's HLS compiler, as scripts and as JSON, and Quartus's own, read rightly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.targets.reports.intel import intel_metrics, memory_of
from edgeinfer.targets.reports.quartus import fit_summary, slack_summary, timing_report
from edgeinfer.targets.reports.script_data import script_data
from tests.support.emitted_projects import REPORTS

QUARTUS = REPORTS / "quartus_20.1"


def values(metrics: tuple[Metric, ...], origin: Origin) -> dict[str, float]:
    return {metric.name: metric.value for metric in metrics if metric.origin is origin}


def test_objects_inside_strings_and_a_simulation() -> None:
    metrics = intel_metrics(REPORTS / "intel_19.2", clock_ns=5.0)
    assert values(metrics, Origin.SYNTHESISED) == {
        "lut": 4100,
        "ff": 2611,
        "m20k": 9,
        "dsp": 43,
        "mlab": 4,
    }
    assert values(metrics, Origin.SIMULATED) == pytest.approx(
        {
            "latency_cycles": 15,
            "latency_us": 0.075,
            "ii_cycles": 2,
            "latency_mean_cycles": 13.5,
            "ii_mean_cycles": 1.25,
        }
    )
    assert values(metrics, Origin.ROUTED) == {}
    assert {(metric.tool, metric.version) for metric in metrics} == {("Intel HLS", "19.2.0")}


def test_json_is_read_and_what_was_not_run_gives_no_metric() -> None:
    metrics = intel_metrics(REPORTS / "intel_24.1", clock_ns=5.0)
    assert values(metrics, Origin.SYNTHESISED) == {
        "lut": 6270,
        "ff": 17932,
        "m20k": 28,
        "dsp": 21,
        "mlab": 344,
    }
    assert {metric.origin for metric in metrics} == {Origin.SYNTHESISED}
    assert {metric.version for metric in metrics} == {"24.1.0"}


def test_scripts_say_the_same_as_json(tmp_path: Path) -> None:
    shutil.copytree(REPORTS / "intel_24.1" / "lib", tmp_path / "lib")
    shutil.rmtree(tmp_path / "lib" / "json")
    metrics = intel_metrics(tmp_path, clock_ns=5.0)
    assert values(metrics, Origin.SYNTHESISED)["ff"] == 17932


@pytest.mark.parametrize("script", [True, False])
def test_a_fit_is_of_the_whole_design(tmp_path: Path, script: bool) -> None:
    shutil.copytree(REPORTS / "intel_24.1" / "lib", tmp_path / "lib")
    fitted = REPORTS / "intel_24.1" / "fitted"
    if script:
        (tmp_path / "lib" / "json" / "quartus.json").unlink()
        shutil.copy(fitted / "quartus_data.js", tmp_path / "lib")
    else:
        shutil.copy(fitted / "quartus.json", tmp_path / "lib" / "json")
    metrics = intel_metrics(tmp_path, clock_ns=5.0)
    assert values(metrics, Origin.ROUTED) == pytest.approx(
        {"alm": 3968, "ff": 17925, "m20k": 26, "dsp": 21, "mlab": 12, "clock_ns": 3.2}
    )
    routed = {(m.tool, m.version) for m in metrics if m.origin is Origin.ROUTED}
    assert routed == {("Quartus", "20.1.0")}


def test_the_oldest_fit_names_its_columns_between_brackets(tmp_path: Path) -> None:
    shutil.copytree(REPORTS / "intel_19.2" / "lib", tmp_path / "lib")
    shutil.copytree(REPORTS / "intel_17.1" / "lib", tmp_path / "lib", dirs_exist_ok=True)
    metrics = intel_metrics(tmp_path, clock_ns=5.0)
    assert values(metrics, Origin.ROUTED) == pytest.approx(
        {"alm": 1174.5, "ff": 2749, "m10k": 10, "dsp": 17, "clock_ns": 1e3 / 148.96}
    )
    assert values(metrics, Origin.SYNTHESISED) == {"lut": 5690, "ff": 7370, "m10k": 8, "dsp": 20}
    assert {m.version for m in metrics if m.origin is Origin.ROUTED} == {"17.1.0"}


def test_a_fit_among_all_the_other_data_is_found(tmp_path: Path) -> None:
    shutil.copytree(REPORTS / "intel_19.2" / "lib", tmp_path / "lib")
    (tmp_path / "lib" / "quartus_data.js").unlink()
    fitted = (REPORTS / "intel_17.1" / "lib" / "json" / "quartus.json").read_text()
    with (tmp_path / "lib" / "report_data.js").open("a") as report:
        report.write(f"var quartusJSON={fitted.strip()};\n")
    assert values(intel_metrics(tmp_path, clock_ns=5.0), Origin.ROUTED)["alm"] == 1174.5


@pytest.mark.parametrize(
    ("family", "memory"),
    [
        ("Arria10, 10AX115U1F45I1SG", "m20k"),
        ("Stratix 10", "m20k"),
        ("CycloneV, 5CGXFC7C7F23C8", "m10k"),
        ("Cyclone V", "m10k"),
        ("Arria V", "m10k"),
        ("Arria V GZ", "m20k"),
        ("MAX 10", "m9k"),
        ("10M50DAF484C7G", "m9k"),
        ("10AX115U1F45I1SG", "m20k"),
        ("5CGXFC7C7F23C8", "m10k"),
        ("5SGXEA7K2F40C2", "m20k"),
        ("Agilex 7", "m20k"),
    ],
)
def test_memories_are_named_by_the_size_that_the_family_has(family: str, memory: str) -> None:
    assert memory_of(family) == memory


def test_quartus_summaries() -> None:
    fitted = fit_summary(QUARTUS / "quartus_compile.fit.summary")
    assert values(fitted, Origin.ROUTED) == {"alm": 4102, "ff": 18122, "m20k": 26, "dsp": 21}
    assert {metric.version for metric in fitted} == {"20.1.0"}
    timed = timing_report(QUARTUS / "quartus_compile.sta.rpt")
    assert values(timed, Origin.ROUTED) == {"clock_ns": 4.0}  # restricted, at the slowest corner
    slack = slack_summary(QUARTUS / "quartus_compile.sta.summary")
    assert values(slack, Origin.ROUTED) == {"wns_ns": 1.653}


def test_newer_slack_summaries_name_the_corner_last(tmp_path: Path) -> None:
    rule = "-" * 60
    newer = tmp_path / "a.sta.summary"
    newer.write_text(
        f"{rule}\nTiming Analyzer Summary\n{rule}\n\nType  : Setup 'clock'\nSlack : -1.260\n"
        f"TNS   : -32.558\nCorner: Slow vid2 100C Model\n\nType  : Hold 'clock'\nSlack : -9.000\n"
        f"TNS   : 0.000\nCorner: Fast vid2a -40C Model\n\n{rule}\n"
    )
    assert values(slack_summary(newer), Origin.ROUTED) == {"wns_ns": -1.26}


def test_a_device_without_alms_counts_look_up_tables(tmp_path: Path) -> None:
    older = tmp_path / "a.fit.summary"
    older.write_text(
        "Fitter Status : Successful - Mon Mar  3 16:30:46 2025\n"
        "Quartus II 64-Bit Version : 13.1.0 Build 162 10/23/2013 SJ Web Edition\n"
        "Total logic elements : 4,037 / 15,408 ( 26 % )\n"
        "    Total combinational functions : 1,385 / 15,408 ( 9 % )\n"
        "    Dedicated logic registers : 3,789 / 15,408 ( 25 % )\n"
        "Total registers : 3790\n"
        "Embedded Multiplier 9-bit elements : 8 / 112 ( 7 % )\n"
    )
    metrics = fit_summary(older)
    assert values(metrics, Origin.ROUTED) == {"lut": 1385, "ff": 3790}
    assert {metric.version for metric in metrics} == {"13.1.0"}


def test_a_fitter_that_failed_gives_no_figures(tmp_path: Path) -> None:
    text = (QUARTUS / "quartus_compile.fit.summary").read_text()
    failed = tmp_path / "a.fit.summary"
    failed.write_text(text.replace("Successful", "Failed"))
    with pytest.raises(InputError, match="the fitter says 'Failed"):
        fit_summary(failed)


def test_a_number_that_may_have_been_cut_is_not_taken(tmp_path: Path) -> None:
    text = (QUARTUS / "quartus_compile.fit.summary").read_text()
    cut = tmp_path / "a.fit.summary"
    cut.write_text(text[: text.index("18122") + 2])
    with pytest.raises(InputError, match="no logic or no registers"):
        fit_summary(cut)


def as_script(value: object) -> str:
    """A value as JavaScript might write it: single quotes, escaped apostrophes."""
    match value:
        case dict():
            inner = ", ".join(f"{as_script(k)}: {as_script(v)}" for k, v in value.items())
            return f"{{{inner}}}"
        case list():
            return f"[{', '.join(as_script(item) for item in value)},]" if value else "[]"
        case str():
            return "'" + json.dumps(value)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
        case _:
            return json.dumps(value)


plain = st.text(st.characters(codec="utf-8", exclude_characters="\t\x0b\x0c\x1c\x1d\x1e\x85"))
data = st.recursive(
    st.integers() | plain | st.booleans() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(plain, inner),
    max_leaves=12,
)


@given(st.dictionaries(plain, data, min_size=1))
def test_scripts_are_read_as_they_were_meant(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("script") / "data.js"
    path.write_text(f"var otherJSON={{}};\nvar thisJSON={as_script(value)};\n", encoding="utf-8")
    assert script_data(path, "thisJSON") == value
    assert script_data(path, "noJSON") is None


@pytest.mark.parametrize(
    "content", ["", "{", "var areaJSON={", "var areaJSON='{", "function () {}", "var areaJSON=[[["]
)
def test_broken_scripts_are_errors(tmp_path: Path, content: str) -> None:
    path = tmp_path / "report_data.js"
    path.write_text(content)
    with pytest.raises(InputError):
        script_data(path, "areaJSON")


def test_scripts_nested_without_end_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "report_data.js"
    path.write_text("var areaJSON=" + "[" * 200_000)
    with pytest.raises(InputError, match="cannot be read"):
        script_data(path, "areaJSON")


def test_an_area_that_counts_something_else_is_an_error(tmp_path: Path) -> None:
    shutil.copytree(REPORTS / "intel_24.1" / "lib", tmp_path / "lib")
    area = tmp_path / "lib" / "json" / "area.json"
    area.write_text(area.read_text().replace("ALUTs", "LEs"))
    with pytest.raises(InputError, match="its area counts les, ffs"):
        intel_metrics(tmp_path, 5.0)
    area.write_text("[]")
    with pytest.raises(InputError, match="not a table"):
        intel_metrics(tmp_path, 5.0)
