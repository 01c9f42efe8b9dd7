# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Studies from the command line: in parallel, shared, killed at any moment, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from edgeinfer.cli.app import main
from edgeinfer.targets.hls.csim import build
from tests.support import small_models as small
from tests.support.command_line import shown
from tests.support.mlflow_server import start_tracking
from tests.support.places import ROOT
from tests.support.waiting import LIMIT_SECONDS, count_lines, until

STUDY = """
[study]
model = "net.keras"
data = "data.npz"
device = "xc7z020"
strategy = "{strategy}"
trials = {trials}
seed = 5
refine = false
{more}

[space]
reuse = [1, 2]
[space.bits]
"*" = [3, 4, 6, 8]

[[objective]]
figure = "auc_drop"
[[objective]]
figure = "hls.lut_vsynth"
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, data and a study of 8 trials."""
    monkeypatch.setattr(build, "FLAGS", ("-O0", "-w", "-pthread"))
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    study("study.toml")
    return tmp_path


def study(name: str, trials: int = 8, strategy: str = "grid", more: str = "") -> None:
    Path(name).write_text(STUDY.format(trials=trials, strategy=strategy, more=more))


def fronts(answer: Any) -> list[Any]:
    by_key = {each["key"]: each for each in answer["trials"]}
    return [(by_key[key]["point"], by_key[key]["figures"]) for key in answer["front"]]


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_a_study_is_the_same_with_any_number_of_workers_and_is_shared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study("study.toml", 12, "optuna")
    two = shown(capsys, "sweep", "study.toml", "-o", "two", "--jobs", "2", "--store", "a")
    one = shown(capsys, "sweep", "study.toml", "-o", "one", "--jobs", "1", "--store", "b")
    assert len(two["trials"]) <= 8 and two["failed"] == 0
    assert fronts(two) == fronts(one) and fronts(one)
    assert sorted(each["key"] for each in one["trials"]) == sorted(
        p.name for p in Path("b").iterdir()
    )
    # Another study that asks for the same trials finds them done.
    study("other.toml", 8, "grid")
    other = shown(capsys, "sweep", "other.toml", "-o", "other", "--jobs", "1", "--store", "b")
    keys = {each["key"] for each in one["trials"]}
    shared = [each for each in other["trials"] if each["key"] in keys]
    assert len(shared) == len(keys)
    for each in shared:
        result = json.loads(Path("b", each["key"], "result.json").read_text())
        assert all(step["cached"] for step in result["steps"])


@pytest.mark.usefixtures("work")
def test_a_trial_that_fails_does_not_stop_a_study(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("study.toml").read_text().replace("reuse = [1, 2]", 'io = ["io_parallel", "x"]')
    Path("study.toml").write_text(text)
    document = shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1")
    assert document["failed"] == 4 and len(document["trials"]) == 8 and document["front"]
    assert all("'x'" in each["error"] for each in document["trials"] if each["error"])


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_the_best_are_compiled_and_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    study("study.toml", 4, "random", "compile_best = 1")
    document = shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1")
    (deep,) = document["compiled"]
    assert deep["key"] == document["front"][0] and not deep["error"]
    result = json.loads(Path("trials", deep["key"], "result.json").read_text())
    assert ["engine", "csim"] in [entry["pair"] for entry in result["agreement"]]
    assert document["saving"]["seconds_without"] > document["saving"]["compiled"]


@pytest.mark.usefixtures("work")
def test_budgets_cut_hopeless_trials_short(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("study.toml").open("a") as file:
        file.write('[budget]\n"hls.lut_vsynth" = 1\n')
    document = shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1")
    assert document["cut_short"] == 8 and document["front"] == [] and document["failed"] == 0


def begun(*tokens: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgeinfer", "sweep", *tokens],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def trials_of(folder: str) -> int:
    return count_lines(Path(folder) / "trials.jsonl")


def children(parent: int) -> list[int]:
    results = subprocess.run(
        ["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False
    )
    return [int(word) for word in results.stdout.split()]


@pytest.mark.usefixtures("work")
def test_a_killed_study_loses_what_was_in_flight_and_no_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    process = begun("study.toml", "-o", "S", "--jobs", "1")
    until(lambda: trials_of("S") >= 2)
    workers = children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not any(Path(f"/proc/{worker}/exe").exists() for worker in workers))
    known = trials_of("S")
    with Path("S/trials.jsonl").open("a") as file:
        file.write('{"point": {"reu')  # as a process leaves it that is killed while it writes
    assert main(["sweep", "study.toml", "-o", "S", "--jobs", "1"]) == 2
    assert "--resume" in capsys.readouterr().err
    document = shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1", "--resume")
    assert document["resumed"] == known and len(document["trials"]) == 8 and document["failed"] == 0
    whole = shown(capsys, "sweep", "study.toml", "-o", "W", "--jobs", "1")
    assert fronts(whole) == fronts(document)


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_a_killed_worker_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    process = begun("study.toml", "-o", "S", "--jobs", "1")
    until(lambda: trials_of("S") >= 1)
    for worker in children(process.pid):
        os.kill(worker, signal.SIGKILL)
    assert process.wait(timeout=LIMIT_SECONDS) == 0
    document = json.loads(Path("S/study.json").read_text())
    assert len(document["trials"]) == 8 and document["failed"] == 0


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["stdy.toml"], "Did you mean 'study.toml'"),
        (["study.toml", "--jobs", "0"], "0 processes"),
        (["study.toml", "--jobs", "1", "--scheduler", "tcp://x:1"], "Give one"),
    ],
)
def test_what_cannot_be_asked_for(
    capsys: pytest.CaptureFixture[str], tokens: list[str], said: str
) -> None:
    assert main(["sweep", *tokens]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("work")
def test_a_figure_that_no_run_tells_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("study.toml").read_text().replace("hls.lut_vsynth", "hls.luts_vsynth")
    Path("study.toml").write_text(text)
    assert main(["sweep", "study.toml"]) == 2
    assert "Did you mean 'lut_vsynth'" in capsys.readouterr().err


@pytest.mark.usefixtures("work")
def test_another_study_does_not_go_on_in_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1")
    study("study.toml", 7)
    assert main(["sweep", "study.toml", "-o", "S", "--resume"]) == 2
    assert "another study" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_the_page_shows_the_front_and_links_every_trial(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1")
    made = shown(capsys, "report", "S")
    assert made["verdict"].startswith(f"8 trials, {len(document['front'])} of them on the front")
    page = Path("S/report.html").read_text()
    for each in document["trials"]:
        assert f'href="../trials/{each["key"]}/result.json"' in page
    assert page.count("<circle") >= 8 and "http://" not in page.replace("http://www.w3.org", "")
    picture = Path("S/report/front-hls-lut-vsynth.svg").read_text()
    assert picture.count("<circle") == 8
    rows = Path("S/trials.csv").read_text().splitlines()
    assert len(rows) == 9 and rows[0].startswith("key,reuse,bits:*,")


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_trials_are_a_table_for_other_tools(capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("duckdb")
    document = shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1")
    shown(capsys, "report", "S", "--parquet", "t.parquet")
    assert parquet.read_table("t.parquet").num_rows == 8
    order = ["report", "S", "--sql"]
    rows = shown(capsys, *order, "select count(*) as n from trials where front")
    assert rows == [{"n": len(document["front"])}]
    assert main([*order, "select nonsense"]) == 2
    assert main([*order, "select * from read_csv('data.npz')"]) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_trials_are_runs_of_a_tracking_server(capsys: pytest.CaptureFixture[str]) -> None:
    document = shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1")
    with start_tracking() as memory:
        assert shown(capsys, "report", "S", "--mlflow", memory.address)["sent"] == 8
        assert shown(capsys, "report", "S", "--mlflow", memory.address)["sent"] == 0
        assert [each["info"]["run_name"] for each in memory.runs.values()] == [
            each["key"][:8] for each in document["trials"]
        ]
        number = next(iter(memory.runs))
        assert set(memory.values(number, "params")) == {"reuse", "bits_any"}
        assert {"auc_drop", "hls.lut_vsynth"} <= set(memory.values(number, "metrics"))


@pytest.mark.slow
@pytest.mark.usefixtures("work")
def test_trials_are_a_study_of_optuna(capsys: pytest.CaptureFixture[str]) -> None:
    document = shown(capsys, "sweep", "study.toml", "-o", "S", "--jobs", "1")
    shown(capsys, "report", "S", "--optuna", "t.db")
    shown(capsys, "report", "S", "--optuna", "t.db")  # a file that is there is replaced
    study = optuna.load_study(study_name="S", storage="sqlite:///t.db")
    by_key = {trial.user_attrs["key"]: trial for trial in study.get_trials()}
    assert set(by_key) == {each["key"] for each in document["trials"]} and len(by_key) == 8
    for each in document["trials"]:
        trial = by_key[each["key"]]
        assert trial.params == each["point"]
        figures = dict(zip(study.metric_names, trial.values, strict=True))
        assert figures == {name: each["figures"][name] for name in figures}


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("reuse = [1, 2]", "throughput = [1, 2]", "throughput is varied, but the target hls"),
        ("reuse = [1, 2]", "sparsity = [0.0, 0.5]", "it is only used in training"),
        ("seed = 5", 'tools = "synth"', "no trial is compiled for them"),
    ],
)
def test_what_would_change_nothing_is_a_mistake(
    capsys: pytest.CaptureFixture[str], before: str, after: str, said: str
) -> None:
    text = Path("study.toml").read_text()
    Path("study.toml").write_text(text.replace(before, after))
    assert main(["sweep", "study.toml"]) == 2
    assert said in capsys.readouterr().err
