# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files of docs/deploy held against what reads them: systemd, Kubernetes' schema, the server's
own metrics, and the Dockerfile's steps done one by one."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import ServerSettings
from tests.support.environments import environment
from tests.support.places import ROOT
from tests.support.serving import ask, infer, numbers, running, small_program, write_run

DEPLOY = ROOT / "docs" / "deploy"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Its program is not installed here: another one stands for it."""
    text = (DEPLOY / "edgeinfer-serve.service").read_text()
    assert text.count("/opt/edgeinfer/bin/edgeinfer") == 1
    unit = tmp_path / "edgeinfer-serve.service"
    unit.write_text(text.replace("/opt/edgeinfer/bin/edgeinfer", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not ours and done.returncode == 0, done.stderr


def test_the_dashboard_asks_for_what_the_server_exports(tmp_path: Path) -> None:
    """Names of metrics and of labels, as a running server writes them."""
    run = write_run(tmp_path / "run", small_program())
    with running(ServerSettings(RepositorySettings((run,)))) as server:
        infer(server, "small", "x", numbers(2))
        text = ask(server.metrics_port, "GET", "/metrics")[1].decode()
    exported: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(\w+)\{(.*)\} \d+$", text, re.MULTILINE):
        exported.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [
        each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"
    ]
    assert len(queries) > 5
    for query in queries:
        names = re.findall(r"\bnv_\w+", query)
        grouped = {w for each in re.findall(r"by \(([^)]*)\)", query) for w in each.split(", ")}
        filtered = set(re.findall(r"\{(\w+)=~", query))
        assert names and all((grouped | filtered) <= exported[name] for name in names), query


@pytest.mark.slow
def test_kubernetes_schema_takes_the_manifest(tmp_path_factory: pytest.TempPathFactory) -> None:
    python = environment(tmp_path_factory, "kubernetes", "kubernetes-validate")
    validate = [python.parent / "kubernetes-validate", "--strict", "--no-warn"]
    done = subprocess.run([*validate, DEPLOY / "kubernetes.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall("passed for resource", done.stdout + done.stderr)) == 2


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction of a Dockerfile."""

    name: str
    rest: str


def steps() -> list[Step]:
    """Every instruction; no line of ours goes on in the next."""
    lines = [line.strip() for line in (DEPLOY / "Dockerfile").read_text().splitlines()]
    pairs = [line.split(None, 1) for line in lines if line and not line.startswith("#")]
    return [Step(name, rest) for name, rest in pairs]


def test_what_the_image_copies_reaches_docker() -> None:
    """The list of what Docker does not get leaves out nothing that the Dockerfile copies."""
    hidden, shown = [], []
    for line in (ROOT / ".dockerignore").read_text().split():
        (shown if line.startswith("!") else hidden).append(line.lstrip("!").strip("/"))
    copied = [word for s in steps() if s.name == "COPY" for word in s.rest.split()[:-1]]
    assert len(copied) == 3
    for word in copied:
        folders = [word, *map(str, Path(word).parents)]
        is_hidden = any(fnmatch.fnmatch(f, pattern) for f in folders for pattern in hidden)
        assert not is_hidden or any(fnmatch.fnmatch(f, p) for f in folders for p in shown), word
        assert "*" in word or (ROOT / word).is_file()


def test_the_server_imports_what_its_image_has() -> None:
    """Of what the core depends on, the image has a part; a server imports nothing else of it."""
    listed = (DEPLOY / "requirements.txt").read_text().splitlines()[1:]
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    left_out = {re.split("[<>=]", line)[0] for line in core} - set(listed)
    assert "scipy" in left_out
    names = {module for module, dists in packages_distributions().items() if left_out & set(dists)}
    code = "import sys, edgeinfer.serve.server; print(*{n.split('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert names.isdisjoint(done.stdout.split())


@pytest.mark.slow
def test_the_images_steps_make_a_server(tmp_path: Path) -> None:
    """COPY, RUN and ENTRYPOINT in a virtual environment for the image, and a folder for /build."""
    image, files = tmp_path / "image", tmp_path / "build"
    files.mkdir()
    build = [Path(sys.executable).parent / "uv", "build", "--quiet", "--wheel", "--out-dir"]
    subprocess.run([*build, tmp_path / "dist", "--python", sys.executable, ROOT], check=True)
    subprocess.run([sys.executable, "-m", "venv", image], check=True)
    system = {**os.environ, "PATH": f"{image / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    system.pop("PYTHONPATH", None)
    entry: list[str] = []
    for step in steps():
        if step.name == "COPY":
            for word in step.rest.split()[:-1]:
                place = tmp_path if word.startswith("dist/") else ROOT
                for path in place.glob(word):
                    shutil.copy(path, files)
        elif step.name == "RUN" and "useradd" not in step.rest:
            command = step.rest.replace("/build", str(files))
            subprocess.run(command, shell=True, check=True, env=system, cwd=tmp_path)
        elif step.name == "ENTRYPOINT":
            entry = json.loads(step.rest)
    assert not files.exists()
    run = write_run(tmp_path / "run", small_program())
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 6), np.float32))
    entry[entry.index("0.0.0.0")] = "127.0.0.1"  # nobody else is to reach a test
    ports = shlex.split("--port-grpc 0 --port-http 0 --port-metrics 0 --json")
    command = [image / "bin" / entry[0], *entry[1:], run, *ports]
    with subprocess.Popen(command, cwd=tmp_path, env=system, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["grpc_port"]
        ask_it = [image / "bin" / "edgeinfer", "infer", f"grpc://127.0.0.1:{port}", "--json"]
        done = subprocess.run(
            [*ask_it, "--data", tmp_path / "d.npz"], cwd=tmp_path, env=system, capture_output=True
        )
        server.terminate()
        assert json.loads(done.stdout)["samples"] == 2 and server.wait(timeout=30) == 0
