# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files of docs/deploy say what the server does: its options, its paths, its metrics."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.cli.serve import serve
from edgeinfer.serve.tallies import FAILURES, METRICS
from tests.support.environments import environment
from tests.support.places import ROOT
from tests.support.serving import small_program, write_run

DEPLOY = ROOT / "docs" / "deploy"
SERVING = ROOT / "docs" / "serving.md"


def options() -> set[str]:
    """Every option of the verb."""
    return {f"--{name.replace('_', '-')}" for name in inspect.signature(serve).parameters}


@pytest.mark.parametrize("name", ["Dockerfile", "edgeinfer-serve.service", "kubernetes.yaml"])
def test_options_are_the_servers(name: str) -> None:
    text = (DEPLOY / name).read_text()
    for line in text.splitlines():
        if "docker" in line or "pip " in line or "useradd" in line:
            continue
        assert set(re.findall(r"--[a-z][a-z-]+", line)) <= options(), line


def test_the_manual_names_options_that_there_are() -> None:
    named = set(re.findall(r"`(--[a-z-]+)[ `]", SERVING.read_text()))
    others = {"--tls-ca", "--json", "--format", "--client"}  # of infer and export
    assert named <= options() | others
    assert options() - {"--runs"} - named <= {"--names", "--port-grpc", "--port-http",
                                              "--port-metrics"}  # fmt: skip


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    text = " ".join(t["expr"] for panel in dashboard["panels"] for t in panel["targets"])
    assert set(re.findall(r"nv_\w+", text)) == {*METRICS, FAILURES}


def test_probes_ask_for_paths_that_there_are() -> None:
    paths = set(re.findall(r"path: (/[^,}\s]+)", (DEPLOY / "kubernetes.yaml").read_text()))
    assert paths == {"/v2/health/ready", "/v2/health/live", "/metrics"}


@pytest.mark.slow
def test_the_image_has_all_that_serving_imports(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lists = ["-c", str(ROOT / "constraints.txt"), "-r", str(DEPLOY / "requirements.txt")]
    python = environment(tmp_path_factory, "serving", *lists)
    run = write_run(tmp_path / "run", small_program())
    ports = ["--port-grpc", "0", "--port-http", "0", "--port-metrics", "0"]
    command = [python, "-m", "edgeinfer", "serve", run, "--json", *ports]
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 6), np.float32))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["grpc_port"]
        ask = [python, "-m", "edgeinfer", "infer", f"grpc://127.0.0.1:{port}", "--json"]
        done = subprocess.run([*ask, "--data", tmp_path / "d.npz"], cwd=ROOT, capture_output=True)
        server.terminate()
        assert json.loads(done.stdout)["samples"] == 2 and server.wait(timeout=30) == 0
