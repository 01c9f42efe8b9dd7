# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""NVIDIA's own client, in an environment of its own, against our server."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.serve.messages import message_class, message_classes
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import ServerSettings
from quantization.fixed import quantize
from tests.support.environments import environment
from tests.support.places import ROOT
from tests.support.serving import (
    DOWNWARDS,
    INPUT_QUANTIZER,
    LARSOFT,
    expected,
    numbers,
    pooled_program,
    running,
    small_program,
    write_run,
)

REQUIREMENT = "tritonclient[grpc,http]>=2.50,<3"
# The command line, with the packages of another environment behind its own.
COMMAND = """
import sys
sys.path.append(sys.argv.pop(1))
from edgeinfer.cli.app import main
sys.exit(main(sys.argv[1:]))
"""
OUTPUTS = {"track_shower": "em_trk_none_netout/Softmax", "michel": "michel_netout/Sigmoid"}


def described_messages() -> dict[str, dict[int, tuple[str, int, bool]]]:
    """Name, type and list or not of each field, by its number."""
    return {
        name: {
            field.number: (field.name, field.type, field.is_repeated)
            for field in message_class(name).DESCRIPTOR.fields
        }
        for name in message_classes()
    }


@pytest.mark.slow
def test_tritonclient_gets_the_interpreters_integers(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = environment(tmp_path_factory, "tritonclient", REQUIREMENT)
    run = write_run(tmp_path / "tagger", pooled_program())
    (tmp_path / "names.toml").write_text(LARSOFT)
    values = np.random.default_rng(0).uniform(0, 1, (235, 48, 48, 1)).astype(np.float32)
    _, wanted = expected(pooled_program(), values)
    arrays = {str(i): wanted[name] for i, name in enumerate(OUTPUTS)}
    raw = quantize(values, INPUT_QUANTIZER)
    np.savez(tmp_path / "arrays.npz", values=values, raw=raw, **arrays)
    settings = ServerSettings(RepositorySettings((run,), tmp_path / "names.toml"))
    with running(settings) as server, running(replace(settings, shared_memory=True)) as sharing:
        task = {
            "grpc_port": server.grpc_port,
            "http_port": server.http_port,
            "sharing_grpc_port": sharing.grpc_port,
            "sharing_http_port": sharing.http_port,
            "model": "cnn_emtrkmichel_1",
            "input": "main_input",
            "outputs": list(OUTPUTS.values()),
            "arrays": str(tmp_path / "arrays.npz"),
            "messages": described_messages(),
        }
        (tmp_path / "task.json").write_text(json.dumps(task))
        script = ROOT / "tests" / "support" / "tritonclient_session.py"
        done = subprocess.run(
            [python, script, tmp_path / "task.json"], capture_output=True, text=True, timeout=300
        )
    assert done.stdout == "all is well\n", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_infer_and_bench_serve_ask_through_tritonclient(
    protocol: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    python = environment(tmp_path_factory, "tritonclient", REQUIREMENT)
    (packages,) = (python.parent.parent / "lib").glob("python*/site-packages")
    values = numbers(20)
    np.savez(tmp_path / "d.npz", x=values)
    run = write_run(tmp_path / "small", small_program(), DOWNWARDS)
    with running(ServerSettings(RepositorySettings((run,)))) as server:
        port = {"grpc": server.grpc_port, "http": server.http_port}[protocol]
        url = f"{protocol}://127.0.0.1:{port}"

        def run_verb(verb: str, *tokens: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", COMMAND, str(packages), verb, url, *tokens]
            options = ["--client", "tritonclient"]
            return subprocess.run([*command, *options], capture_output=True, text=True, cwd=ROOT)

        made = run_verb("infer", "--data", str(tmp_path / "d.npz"), "-o", str(tmp_path / "o.npz"))
        assert made.returncode == 0, made.stderr
        absent = run_verb("infer", "--data", str(tmp_path / "d.npz"), "--model", "none")
        assert absent.returncode == 4 and "'none' is not found" in absent.stderr
        load = ("--seconds", "1", "--concurrency", "3", "--samples", "4", "--json")
        measured = run_verb("bench-serve", *load)
        assert measured.returncode == 0, measured.stderr
    _, wanted = expected(small_program(), values, DOWNWARDS)
    assert (np.load(tmp_path / "o.npz")["sum"] == wanted["sum"]).all()
    (row,) = json.loads(measured.stdout)["results"]
    assert row["requests"] and not row["errors"]
