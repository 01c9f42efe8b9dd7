# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""``report``, ``compare`` and ``check`` as a shell sees them."""

from __future__ import annotations

import time
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from edgeinfer.cli.app import main
from edgeinfer.evaluate.profile.data import from_json as profile_from_json
from edgeinfer.report.result import from_json
from tests.support import report_results as results
from tests.support import small_models as small
from tests.support.command_line import shown


@pytest.fixture(scope="module")
def run_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of a small model, judged on data."""
    folder = tmp_path_factory.mktemp("report")
    model, data = small.classifier(folder), small.data(folder)
    tokens = ["compile", str(model), "--bits", "6", "--data", str(data), "-o", str(folder / "RUN")]
    assert main([*tokens, "--target", "none"]) == 0
    return folder


def test_a_report_is_written_from_a_run(run_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_home / "RUN"
    document = shown(
        capsys,
        "report",
        str(run),
        "--markdown",
        str(run_home / "r.md"),
        "--junit",
        str(run_home / "r.xml"),
    )
    assert document["answers"]["agrees"]["state"] == "good"
    assert document["output"].endswith("report.html")
    page = (run / "report.html").read_text()
    assert document["verdict"].split(";")[0] in page
    assert document["verdict"].split(";")[0] in (run_home / "r.md").read_text()
    suite = xml.parse(run_home / "r.xml").getroot()[0]
    assert suite.attrib["failures"] == "0" and suite[0].attrib["name"] == "interpret = engine"
    profile = profile_from_json((run / "report_data.json").read_text(), "p")
    assert profile.origin == "60 samples of data.npz"  # those of compile
    result = from_json((run / "result.json").read_text(), "r")
    assert profile.program == result.program.digest
    assert result.data is not None and result.data.samples == 60
    assert {path.name for path in (run / "report").iterdir()} == {
        "accuracy.svg", "roc.svg", "agreement.svg", "error-by-layer.svg", "weights.svg",
        "activations.svg", "network.svg", "layers.csv",
    }  # fmt: skip


def test_a_second_report_looks_into_nothing_again(
    run_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run_home / "RUN")]) == 0
    capsys.readouterr()
    assert main(["report", str(run_home / "RUN")]) == 0
    assert "profile: as before" in capsys.readouterr().err
    assert main(["report", str(run_home / "RUN"), "--data", str(run_home / "data.npz")]) == 0
    assert "profile: as before" in capsys.readouterr().err  # the same samples


def test_the_summary_is_the_verdict_of_the_page(
    run_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run_home / "RUN"), "--latency-us", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "net"
    assert lines[1].startswith("Bit-identical in 1 pair of stages; fit not known")
    assert lines[1] in (run_home / "RUN" / "report.html").read_text().replace("&gt;", ">")
    assert lines[-1] == f"written   {run_home / 'RUN' / 'report.html'}"


def test_a_result_alone_has_a_report_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = results.hostile()
    (tmp_path / "result.json").write_text(result.to_json())
    document = shown(capsys, "report", str(tmp_path))
    assert document["answers"]["agrees"]["state"] == "bad"
    assert "holds a result alone" in (tmp_path / "report.html").read_text()
    (tmp_path / "report_data.json").write_text(results.profile().to_json())
    (tmp_path / "result.json").write_text(results.good().to_json())
    assert main(["report", str(tmp_path), "--data", "d.npz"]) == 2
    assert main(["report", str(tmp_path)]) == 0
    assert 'id="table-layers"' in (tmp_path / "report.html").read_text()
    other = results.profile().model_copy(update={"program": "cd" * 32})
    (tmp_path / "report_data.json").write_text(other.to_json())
    assert main(["report", str(tmp_path)]) == 0
    assert "of another Program" in (tmp_path / "report.html").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {
        "result.json", "report_data.json", "report.html", "report",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["report", "nowhere"], "is not there"),
        (["report", "RUN", "--event", "0"], "is not possible"),
        (["report", "RUN", "--latency-us", "nan"], "is not a possible latency"),
        (["report", "RUN", "--data", "gone.npz"], "gone.npz"),
        (["compare"], "nothing to compare"),
        (["compare", "nowhere"], "nowhere"),
        (["compare", "RUN/model"], "holds no result.json"),
        (["check", "RUN"], "Give --gates"),
        (["check", "RUN", "--gates", "gone.toml"], "gone.toml"),
        (["check", "RUN", "--baseline", "gone.json"], "gone.json"),
        (["check", "RUN/model/net.keras", "--baseline", "RUN"], "net.keras"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_paragraph(
    tokens: list[str],
    words: str,
    run_home: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(run_home)
    assert main(tokens) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and words in captured.err and captured.err.count("\n") == 1


def test_gates_decide_the_exit_code(run_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, gates = str(run_home / "RUN"), run_home / "gates.toml"
    gates.write_text('auc_drop = "<= 1"\nbit_identical = true\n')
    document = shown(capsys, "check", run, "--gates", str(gates))
    assert document["passed"] and [gate["held"] for gate in document["gates"]] == [
        "passed",
        "passed",
    ]
    assert document["gates"][1]["value"] is True and isinstance(
        document["gates"][0]["value"], float
    )
    gates.write_text('auc_drop = "<= -1"\nhls.lut = {max = 1, origin = "synthesised"}\n')
    document = shown(
        capsys, "check", run, "--gates", str(gates), "--junit", str(run_home / "g.xml"), code=1
    )
    assert not document["passed"]
    assert main(["check", run, "--gates", str(gates)]) == 1
    captured = capsys.readouterr()
    assert "2 of 2 gates missed: auc_drop: " in captured.err
    assert "limit <= −1" in captured.err
    assert "hls.lut: not measured, limit <= 1" in captured.err
    assert captured.out.count("missed") == 2
    assert xml.parse(run_home / "g.xml").getroot()[0].attrib["failures"] == "2"
    gates.write_text('latency_uss = "<= 1"\n')
    assert main(["check", run, "--gates", str(gates)]) == 2
    assert "'latency_us'" in capsys.readouterr().err


def test_a_run_is_no_worse_than_itself(run_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(run_home / "RUN")
    document = shown(capsys, "check", run, "--baseline", run)
    assert document["passed"] and len(document["gates"]) == 5
    (run_home / "worse.json").write_text(
        results.disagreeing().model_copy(update={"device": None}).to_json()
    )
    (run_home / "good.json").write_text(results.good().to_json())
    worse, good = str(run_home / "worse.json"), str(run_home / "good.json")
    assert shown(capsys, "check", worse, "--baseline", good, code=1)["passed"] is False


def test_runs_are_compared_in_every_form(
    run_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: str(run_home / f"c.{name}") for name in ("html", "markdown", "csv")}
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    (run_home / "other.json").write_text(results.good().to_json())
    document = shown(
        capsys, "compare", str(run_home / "RUN"), str(run_home / "other.json"), *options
    )
    assert [run["run"] for run in document["runs"]] == [
        str(run_home / "RUN"),
        str(run_home / "other.json"),
    ]
    assert document["not_comparable"]
    for path in files.values():
        assert Path(path).stat().st_size > 1000
    assert main(["compare", str(run_home / "RUN" / "result.json")]) == 0
    assert str(run_home / "RUN") in capsys.readouterr().out


def test_200_runs_are_compared_in_seconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = []
    for name, result in results.sweep(200):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(result.to_json())
        names.append(str(folder))
    began = time.process_time()
    document = shown(capsys, "compare", *names, "--html", str(tmp_path / "c.html"))
    assert time.process_time() - began < 3.0
    assert len(document["entries"]) == 800
    assert (tmp_path / "c.html").stat().st_size < 1_500_000
