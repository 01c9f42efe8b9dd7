# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Run folders from someone who means harm: nothing outside of them is read, written or deleted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.base.plan import sha256_of
from edgeinfer.cli.app import main
from tests.support import small_models as small

SECRET = "the-secret-of-someone-else"
Harm = Callable[[Path, Path], None]  # what is done to a run folder, given what lies outside


@pytest.fixture(scope="module")
def run_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good run with a report, and its model beside it."""
    home = tmp_path_factory.mktemp("made")
    small.classifier(home)
    run = home / "run"
    assert main(["compile", str(home / "net.keras"), "--target", "none", "-o", str(run)]) == 0
    assert main(["report", str(run)]) == 0
    return home


def rewritten(step: str, **changes: Any) -> Harm:
    """A record with other entries."""

    def harm(run: Path, outside: Path) -> None:
        path = run / ".edgeinfer" / f"{step}.json"
        document = json.loads(path.read_text()) | changes
        path.write_text(json.dumps(document).replace("OUTSIDE", str(outside)))

    return harm


def listing(step: str, path: str) -> Harm:
    """A record that says of a file outside that the step made it."""

    def harm(run: Path, outside: Path) -> None:
        file = run / ".edgeinfer" / f"{step}.json"
        document = json.loads(file.read_text())
        document["files"][path.replace("OUTSIDE", str(outside))] = "0" * 64
        file.write_text(json.dumps(document | {"key": "0" * 64}))

    return harm


def change_value(step: str, *place: str, value: Any) -> Harm:
    """A record with another fact."""

    def harm(run: Path, outside: Path) -> None:
        file = run / ".edgeinfer" / f"{step}.json"
        document = json.loads(file.read_text())
        at = document["facts"]
        for key in place[:-1]:
            at = at[key]
        at[place[-1]] = value
        file.write_text(json.dumps(document).replace("OUTSIDE", str(outside)))

    return harm


def linked(name: str, to: str) -> Harm:
    """A file or folder of the run that is a link to something outside."""

    def harm(run: Path, outside: Path) -> None:
        path = run / name
        if path.is_dir():
            shutil.move(path, outside.parent / "kept")
        else:
            path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(to.replace("OUTSIDE", str(outside)))

    return harm


def shared(name: str) -> Harm:
    """A file of the run that is the same as one outside, by a hard link."""

    def harm(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.link(outside / "secret.txt", run / name)

    return harm


def piped(name: str) -> Harm:
    """A pipe, from which one would read for ever."""

    def harm(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return harm


def text(name: str, content: str) -> Harm:
    """A file with another content."""

    def harm(run: Path, outside: Path) -> None:
        (run / name).write_text(content.replace("OUTSIDE", str(outside)))

    return harm


AWAY = ("OUTSIDE/secret.txt", "../outside/secret.txt", "model/../../outside/secret.txt",
        "report/../../outside/folder/kept.txt")  # fmt: skip
HARMS: dict[str, Harm] = {
    **{f"{step} lists {path}": listing(step, path)
       for step in ("load", "lower", "simulate") for path in AWAY},
    **{f"lower lists {path!r}": listing("lower", path) for path in ("", ".", "..", "a\nb", "\0")},
    **{f"the model is {path}": change_value("load", "model", "file", value=path) for path in AWAY},
    **{f"{name} links away": linked(name, "OUTSIDE/secret.txt")
       for name in ("report.html", "log.txt", "result.json", "program.npz", "recipe.toml",
                    "report_data.json", "program.txt", "model/net.keras", ".edgeinfer/lock",
                    ".edgeinfer/load.json", ".edgeinfer/lower.json", "report/roc.svg")},
    **{f"{name} links to a folder": linked(name, "OUTSIDE/folder")
       for name in ("report", ".edgeinfer", "model", "hls", "rtl")},
    "a link with ..": linked("report", "../outside/folder"),
    "a link to nothing": linked("log.txt", "OUTSIDE/new.txt"),
    "a link to a link": linked("log.txt", "OUTSIDE/link"),
    **{f"{name} is also called otherwise": shared(name) for name in ("log.txt", ".edgeinfer/lock",
                                                                     "report.html")},
    **{f"{name} is a pipe": piped(name) for name in ("log.txt", "result.json",
                                                     ".edgeinfer/lower.json")},
    "facts are a list": rewritten("load", facts=[]),
    "facts are none": rewritten("lower", facts=None),
    "facts are empty": rewritten("lower", facts={}),
    "files are a list": rewritten("lower", files=["OUTSIDE/secret.txt"]),
    "the time is a word": rewritten("lower", seconds="long"),
    "of another step": rewritten("lower", name="load"),
    "one entry more": rewritten("lower", more=1),
    "the program is a number": change_value("lower", "program", value=3),
    "the digest is a list": change_value("lower", "program", "digest", value=[]),
    "the batch axis is a text": change_value("load", "batch_axis", value="0"),
    "the batch axis is negative": change_value("load", "batch_axis", value=-1),
    "the model is none": change_value("load", "model", value=None),
    "the reference is a path": change_value("load", "reference", value="OUTSIDE/secret.txt"),
    "findings are numbers": change_value("lower", "findings", value=[1, 2]),
    "metrics are words": change_value("lower", "metrics", value=["a"]),
    "nested deep": text(".edgeinfer/lower.json", "[" * 100_000),
    "no JSON": text(".edgeinfer/lower.json", "{"),
    "not finite": text(".edgeinfer/lower.json", '{"name": "lower", "key": "", "seconds": NaN}'),
    "a result of nothing": text("result.json", "{}"),
    "a deep result": text("result.json", "[" * 100_000),
    "a recipe of brackets": text("recipe.toml", "a = " + "[" * 5_000),
    "no program": text("program.npz", "PK"),
    "a deep profile": text("report_data.json", "[" * 100_000),
}  # fmt: skip
VERBS = (
    ["compile", "MODEL", "--target", "none", "--bits", "5", "-o", "RUN"],
    ["simulate", "RUN"],
    ["report", "RUN"],
    ["explain", "RUN"],
    ["compare", "RUN", "RUN"],
    ["export", "RUN", "--format", "qonnx", "-o", "OUT"],
)


def outsiders(outside: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything outside, as it is."""
    return {
        str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns,
                    path.read_bytes() if path.is_file() else b"")
        for path in sorted(outside.rglob("*"))
    }  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Someone else's files."""
    place = tmp_path / "outside"
    (place / "folder").mkdir(parents=True)
    (place / "secret.txt").write_text(SECRET)
    (place / "folder" / "kept.txt").write_text(SECRET)
    (place / "link").symlink_to("secret.txt")
    return place


def use(run: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb that takes a run folder; none fails as a bug, none tells the secret."""
    for verb in VERBS:
        words = {"RUN": str(run), "MODEL": str(model), "OUT": str(run.parent / "out.onnx")}
        capsys.readouterr()
        code = main([words.get(word, word) for word in verb])
        output = capsys.readouterr()
        assert code in (0, 2), (verb, code, output.err)
        assert SECRET not in output.out + output.err
        assert len(output.err.strip().splitlines()) < 20 and "Traceback" not in output.err


@pytest.mark.timeout(120)
@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
def test_nothing_outside_a_hostile_run_folder_is_touched(
    harm: Harm, run_home: Path, outside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_home / "run", run)
    harm(run, outside)
    before = outsiders(outside)
    use(run, run_home / "net.keras", capsys)
    assert outsiders(outside) == before
    inside = [path for path in run.rglob("*") if path.is_file() and not path.is_symlink()]
    held = [path for path in inside if SECRET.encode() in path.read_bytes()]
    # A hard link is the secret itself, and a log goes on after what was there.
    assert all(path.name in ("log.txt", "lock", "report.html") for path in held)


def test_fifty_harms_are_tried() -> None:
    assert len(HARMS) >= 50


def test_a_project_that_a_record_names_is_not_set_aside_elsewhere(
    run_home: Path, outside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight characters of a digest once made up the name of a folder that was deleted."""
    run = tmp_path / "run"
    shutil.copytree(run_home / "run", run)
    (run / "rtl").mkdir()
    (run / "rtl" / "left.txt").write_text("a tool's work")
    (run / "rtl-").mkdir()
    lower = json.loads((run / ".edgeinfer" / "lower.json").read_text())
    facts = {"target": "rtl", "program": lower["facts"]["program"]["digest"], "stage": "rtl",
             "exact": True, "settings": {}, "place": {}, "findings": [],
             "project": "/../../outside/folder"}  # fmt: skip
    record = lower | {"name": "emit-rtl", "files": {}, "facts": facts}
    (run / ".edgeinfer" / "emit-rtl.json").write_text(json.dumps(record))
    before = outsiders(outside)
    model = str(run_home / "net.keras")
    assert main(["compile", model, "--target", "rtl", "--bits", "5", "-o", str(run)]) == 2
    assert "emit-rtl" in capsys.readouterr().err
    assert outsiders(outside) == before


@pytest.mark.parametrize("bad", [{"clock_mhz": "fast"}, {"no_such": 1}, {"folds": 3}, {"part": []}])
def test_hostile_settings_are_refused(
    bad: dict[str, Any], run_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_home / "run", run)
    lower = json.loads((run / ".edgeinfer" / "lower.json").read_text())
    facts = {"target": "rtl", "program": lower["facts"]["program"]["digest"], "stage": "rtl",
             "exact": True, "settings": bad, "place": {}, "findings": [],
             "project": "0" * 64}  # fmt: skip
    record = lower | {"name": "emit-rtl", "files": {}, "facts": facts}
    (run / ".edgeinfer" / "emit-rtl.json").write_text(json.dumps(record))
    assert main(["simulate", str(run)]) == 2
    assert "compile the model" in capsys.readouterr().err.lower()


def test_a_link_that_stays_inside_is_no_harm(run_home: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_home / "run", run)
    (run / "again.html").symlink_to("report.html")
    assert main(["report", str(run)]) == 0


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a project in C++ and one in Verilog."""
    home = tmp_path_factory.mktemp("projects")
    small.classifier(home)
    code = main(["compile", str(home / "net.keras"), "--bits", "5", "--target", "hls", "--target",
                 "rtl", "--io", "io_parallel", "-o", str(home / "run")])  # fmt: skip
    assert code == 0
    return home


OWNED = "owned-by-a-run-folder"
CODE: dict[str, tuple[str, str, str]] = {  # stage, file, what is put before what is there
    "C++": ("csim", "hls/firmware/defines.h", f'#include <cstdlib>\nstatic int z = '
            f'std::system("touch {OWNED}");\n'),
    "a header that hides another": ("csim", "hls/firmware/vector", "#error hidden\n"),
    "Verilog": ("rtl", "rtl/hdl/ei_fifo.v",
                f'module z; initial $system("touch {OWNED}"); endmodule\n'),
    "a block more": ("rtl", "rtl/hdl/ei_zq.v", "module ei_zq; endmodule\n"),
}  # fmt: skip


def forged(run: Path, name: str) -> None:
    """The record says that the file is as it was emitted."""
    target = name.partition("/")[0]
    path = run / ".edgeinfer" / f"emit-{target}.json"
    record = json.loads(path.read_text())
    record["files"][name] = sha256_of(run / name)
    path.write_text(json.dumps(record))


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "name", "text"), CODE.values(), ids=CODE.keys())
def test_code_in_a_run_folder_is_not_run_unasked(
    stage: str, name: str, text: str, projects: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    shutil.copytree(projects / "run", run)
    file = run / name
    file.write_text(text + (file.read_text() if file.exists() else ""))
    forged(run, name)
    (run / ".edgeinfer" / f"{stage}.json").unlink()
    assert main(["simulate", str(run), "--stage", stage]) == 2
    message = capsys.readouterr().err
    assert Path(name).name in message and "--edited" in message
    assert not list(tmp_path.rglob(OWNED))


@pytest.mark.slow
def test_a_program_in_a_run_folder_is_not_run(projects: Path, tmp_path: Path) -> None:
    """It bears the name of the one that the project compiles to."""
    run = tmp_path / "run"
    shutil.copytree(projects / "run", run)
    (program,) = (run / "hls" / "csim").glob("csim-*")
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/{OWNED}\n")
    (run / ".edgeinfer" / "csim.json").unlink()
    assert main(["simulate", str(run), "--stage", "csim"]) == 0
    assert not list(tmp_path.rglob(OWNED))
