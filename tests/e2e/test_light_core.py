# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Nothing but training, and what is written as .keras, needs TensorFlow; what does says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgeinfer.base.extras import EXTRAS
from edgeinfer.library.health import known_extras
from tests.support.places import ROOT

SCRIPT = ROOT / "tests" / "support" / "without_training.py"
LIGHT = (
    "models",
    "devices",
    "data jet-tagger -n 300 -o d.npz",
    "convert d.npz -o d.h5",
    "quantize jet-tagger --bits 6 --data d.npz -o q.toml",
    "estimate jet-tagger --bits 6 --device zcu104",
    "compile jet-tagger --bits 6 --data d.npz --target edgetpu -o run",
    "simulate run --stage engine,interpret,tflite",
    "explain run",
    "export run --format integer-onnx -o q.onnx",
    "report run",
    "compare run run --html c.html",
    "map run/edgetpu/model.tflite",
)
PROJECT = (
    "compile jet-tagger --bits 6 --data d.npz --target hls -o project",
    "simulate project --stage csim",
)
TRAINING = (
    "quantize jet-tagger --bits 6 --data d.npz -o q.keras",
    "quantize jet-tagger --bits 6 --data d.npz --method qat -o q.keras",
    "train jet-tagger -o t.keras",
    "search jet-tagger --data d.npz -o found",
)
MOST_BYTES = 900_000_000


def run(python: Path, commands: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """The commands in a Python of their own."""
    search = {"PYTHONPATH": str(ROOT)} if python == Path(sys.executable) else {}
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [python, SCRIPT],
        input="\n".join(commands),
        cwd=folder,
        env=clean | search,
        capture_output=True,
        text=True,
    )


def test_every_verb_that_trains_nothing_runs_without_tensorflow(tmp_path: Path) -> None:
    done = run(Path(sys.executable), (*LIGHT, *TRAINING), tmp_path)
    assert done.returncode == 0, done.stderr
    *codes, imported = done.stdout.splitlines()
    assert codes == ["0"] * len(LIGHT) + ["3"] * len(TRAINING), done.stderr
    assert imported == "imported: []"
    refusals = [line for line in done.stderr.splitlines() if "edgeinfer: error:" in line]
    assert len(refusals) == len(TRAINING)
    assert all(EXTRAS["train"].command in line for line in refusals)


def test_every_extra_is_declared_and_none_of_their_libraries_is_in_the_core() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = set(project["optional-dependencies"]) - {"dev", "docs"}
    assert {extra.name for extra in known_extras()} == declared
    heavy = ("tensorflow", "keras", "qkeras")
    assert not [line for line in project["dependencies"] if line.startswith(heavy)]


@pytest.mark.slow
def test_a_fresh_environment_is_light_and_compiles(tmp_path: Path) -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if uv is None:
        pytest.skip("the fresh environment is made with uv, which is not here")
    home = tmp_path / "env"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, home], check=True)
    python = home / "bin" / "python"
    result = subprocess.run(
        [uv, "pip", "install", "--quiet", "--link-mode", "copy", "--python", python, ROOT],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        pytest.skip(f"the libraries cannot be had here: {result.stderr[:200]}")
    taken = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    assert taken < MOST_BYTES
    done = run(python, ("doctor", *LIGHT, *PROJECT, *TRAINING), tmp_path)
    *codes, imported = done.stdout.splitlines()
    light = len(LIGHT) + len(PROJECT) + 1
    assert codes == ["0"] * light + ["3"] * len(TRAINING), done.stderr
    assert imported == "imported: []"
