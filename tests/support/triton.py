# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A real Triton on this machine's processor, from the wheel of `nvidia-pytriton`."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import ROOT

START_SECONDS = 60.0
CONFIG = """
name: "small"
backend: "python"
max_batch_size: 300
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ 6 ] }} ]
output [ {{ name: "sum" data_type: TYPE_FP32 dims: [ 1 ] }} ]
dynamic_batching {{ preferred_batch_size: [ 256 ] }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters [
  {{ key: "run" value: {{ string_value: "{run}" }} }},
  {{ key: "sources" value: {{ string_value: "{sources}" }} }}
]
"""


@dataclass(frozen=True, slots=True)
class Triton:
    """Where it listens."""

    grpc_port: int
    http_port: int


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def write_interpreted_model(folder: Path, run: Path) -> None:
    """A repository with one model: a run's Program, interpreted in the Python backend."""
    model = folder / "small"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(CONFIG.format(run=run, sources=ROOT))
    shutil.copy(ROOT / "tests" / "support" / "triton_model.py", model / "1" / "model.py")


@contextlib.contextmanager
def real_triton(python: Path, folder: Path, models: Path, *options: str) -> Iterator[Triton]:
    """Triton with a repository. `python`: that of an environment with `nvidia-pytriton`; `folder`:
    where Triton itself may lie."""
    version = sysconfig.get_python_version()
    packages = python.parent.parent / "lib" / f"python{version}" / "site-packages"
    home = folder / "tritonserver"
    shutil.copytree(packages / "pytriton" / "tritonserver", home)
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    shutil.copy(stub, home / "backends" / "python")
    grpc_port, http_port, metrics_port = _free_ports(3)
    libraries = [packages / "nvidia_pytriton.libs", sysconfig.get_config_var("LIBDIR")]
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(packages),
    }
    command = [
        home / "bin" / "tritonserver", f"--model-repository={models}", *options,
        f"--backend-directory={home / 'backends'}", f"--http-port={http_port}",
        f"--grpc-port={grpc_port}", f"--metrics-port={metrics_port}",
        "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--metrics-address=127.0.0.1",
    ]  # fmt: skip
    with (folder / "triton.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            _wait(process, http_port, folder / "triton.log")
            yield Triton(grpc_port, http_port)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == http.client.OK:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])
