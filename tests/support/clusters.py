# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Dask cluster of two workers on this machine, which share no folder with whoever uses it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.places import ROOT
from tests.support.waiting import until

OURS = ("--tls-ca", "--tls-cert", "--tls-key")
DASKS = ("--tls-ca-file", "--tls-cert", "--tls-key")


@dataclass
class Cluster:
    """Processes, and where the scheduler listens."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


def certified(folder: Path, name: str) -> list[str]:
    """A certificate authority, a certificate that it has signed, and its key, as options."""
    ca, ca_key, request, certificate, key = (
        folder / f"{name}.{end}" for end in ("ca.pem", "ca.key", "csr", "pem", "key")
    )
    new = ["-newkey", "rsa:2048", "-nodes"]
    sign = ["-CA", str(ca), "-CAkey", str(ca_key), "-CAcreateserial", "-days", "2"]
    for command in (
        ["req", "-x509", *new, "-days", "2", "-subj", f"/CN={name} authority",
         "-keyout", str(ca_key), "-out", str(ca)],
        ["req", *new, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request)],
        ["x509", "-req", "-in", str(request), *sign, "-out", str(certificate)],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return [str(ca), str(certificate), str(key)]


def options(files: list[str], *names: str) -> list[str]:
    return [word for pair in zip(names, files, strict=True) for word in pair]


@contextlib.contextmanager
def start_cluster(folder: Path, *, encrypted: bool = False) -> Iterator[Cluster]:
    """A scheduler and two workers, which end with the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes: list[subprocess.Popen[bytes]] = []

    def start(module: str, *tokens: str) -> subprocess.Popen[bytes]:
        place = folder / f"elsewhere-{len(processes)}"
        place.mkdir()
        with (place / "log").open("w") as log:
            command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard"]
            process = subprocess.Popen(
                [*command, *tokens], cwd=place, env=environment, stderr=log, stdout=log
            )
        processes.append(process)
        return process

    try:
        more = options(certified(folder, "ours"), *DASKS) if encrypted else []
        host = "tls://127.0.0.1" if encrypted else "127.0.0.1"
        scheduler = start("dask_scheduler", "--port", "0", "--host", host, *more)
        log = folder / "elsewhere-0/log"
        until(lambda: "Scheduler at:" in log.read_text())
        address = re.search(r"Scheduler at:\s+(t\w+://\S+)", log.read_text())
        assert address is not None
        worker = ("dask_worker", address[1], "--nthreads", "1", "--no-nanny", *more)
        yield Cluster(address[1], scheduler, [start(*worker) for _ in range(2)])
    finally:
        for process in processes:
            process.kill()
            process.wait()
