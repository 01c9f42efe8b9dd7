# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs ``infer`` and ``bench-serve``: a server asked, and how much it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from edgeinfer.base.errors import UsageError
from edgeinfer.base.plan import write_file
from edgeinfer.cli.options import Json
from edgeinfer.cli.terminal import Line, answer

if TYPE_CHECKING:
    from edgeinfer.serve.client import Client, Identity

Url = Annotated[str, Parameter(help="grpc://HOST:8001 or http://HOST:8000; grpcs, https encrypt")]
Model = Annotated[str | None, Parameter(help="its name; not needed where there is only one")]
Version = Annotated[str, Parameter(help="one of its versions; otherwise the newest")]
Ca = Annotated[Path | None, Parameter(help="the authority that signed the server's certificate")]
Cert = Annotated[Path | None, Parameter(help="the certificate to show (PEM)")]
Key = Annotated[Path | None, Parameter(help="its key (PEM)")]
Datatype = Annotated[
    Literal["FP32", "INT8", "UINT8", "INT16", "UINT16", "INT32"],
    Parameter(help="FP32: real numbers; else the Program's integers, rounded here as it does"),
]
InferBy = Annotated[
    Literal["installed", "tritonclient", "own"],
    Parameter(help="installed: tritonclient if it is there, else a few lines of our own"),
]
LoadBy = Annotated[
    Literal["own", "tritonclient"],
    Parameter(help="own: few lines that leave the machine to the server; or tritonclient"),
]
LONGEST_SECONDS = 86400
SHOWN = 5  # samples that are printed where no file is written


def infer(
    url: Url,
    /,
    *,
    data: Annotated[Path, Parameter(help="samples: npz and all that docs/data.md lists")],
    model: Model = None,
    model_version: Version = "",
    datatype: Datatype = "FP32",
    batch: Annotated[int, Parameter(help="samples in one request")] = 256,
    output: Annotated[
        Path | None, Parameter(name=["--output", "-o"], help="outputs.npz, by the outputs' names")
    ] = None,
    client: InferBy = "installed",
    tls_ca: Ca = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
    json: Json = False,
) -> None:
    """Send samples to a server of the open inference protocol, ours or another."""
    if batch < 1:
        raise UsageError(f"--batch {batch} sends nothing; give at least 1.")
    with _connect(url, _identity(tls_ca, tls_cert, tls_key), client) as connected:
        from edgeinfer.serve import ask

        remote = ask.find_model(connected, model, model_version)
        inference = ask.infer(connected, remote, ask.read_inputs(remote, data), batch, datatype)
    if output is not None:
        from edgeinfer.data.formats.npz import pack_arrays

        write_file(output, pack_arrays(inference.outputs))
    document = {
        "url": url,
        "model": remote.name,
        "samples": inference.samples,
        "requests": inference.requests,
        "seconds": inference.seconds,
        "outputs": {name: list(values.shape) for name, values in inference.outputs.items()},
        "output": None if output is None else str(output),
    }
    lines: list[Line] = [
        f"{remote.name}: {inference.samples:,} samples in {inference.requests} requests, "
        f"{inference.seconds:.3f} s"
    ]
    if output is None:
        for name, values in inference.outputs.items():
            for i, row in enumerate(values[:SHOWN].reshape(len(values[:SHOWN]), -1)):
                text = " ".join(f"{value:.5g}" for value in row[:8])
                lines.append(f"{name}[{i}]  {text}{' ...' if row.size > 8 else ''}")
    else:
        lines.append(f"written   {output}")
    answer(document, lines, as_json=json)


def bench_serve(
    url: Url,
    /,
    *,
    concurrency: Annotated[str, Parameter(help="numbers of clients, one after the other")]
    = "1,8,64",
    samples: Annotated[int, Parameter(help="samples in one request")] = 16,
    seconds: Annotated[float, Parameter(help="for each number of clients")] = 5.0,
    data: Annotated[
        Path | None, Parameter(help="samples to send; otherwise drawn over what the inputs hold")
    ] = None,
    model: Model = None,
    model_version: Version = "",
    datatype: Datatype = "FP32",
    shared_memory: Annotated[
        bool, Parameter(negative="", help="the input lies in shared memory of this machine")
    ] = False,
    client: LoadBy = "own",
    tls_ca: Ca = None,
    tls_cert: Cert = None,
    tls_key: Key = None,
    json: Json = False,
) -> None:  # fmt: skip
    """Measure a server's rate and latency, seen from clients on this machine."""
    counts = _counts(concurrency)
    if samples < 1 or not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(
            f"--samples is 1 or more, --seconds above 0 and {LONGEST_SECONDS} at most."
        )
    identity = _identity(tls_ca, tls_cert, tls_key)
    with _connect(url, identity, client) as connected:
        from edgeinfer.serve import ask, load
        from edgeinfer.serve.connect import ClientLibrary
        from edgeinfer.serve.shared import NO_PARTS

        remote = ask.find_model(connected, model, model_version)
        inputs = ask.draw_inputs(remote, samples)
        if data is not None:
            inputs = {k: values[:samples] for k, values in ask.read_inputs(remote, data).items()}
        tensors = [remote.tensor(name, values, datatype) for name, values in inputs.items()]
        sent = len(tensors[0].values)
        warmup = min(1.0, seconds)
        settings = [load.LoadSettings(n, seconds, warmup, ClientLibrary(client)) for n in counts]
        sharing = connected.sharing(tensors) if shared_memory else contextlib.nullcontext(NO_PARTS)
        with sharing as shared:
            prepared = connected.prepare(remote.name, remote.version, tensors, shared)
            rows = [load.load_server(url, identity, prepared, sent, each) for each in settings]
    document = {
        "url": url,
        "model": remote.name,
        "datatype": datatype,
        "shared_memory": shared_memory,
        "results": [row.as_dict() for row in rows],
    }
    lines = [f"{'clients':>7} {'samples/s':>11} {'p50 ms':>9} {'p90 ms':>9} {'p95 ms':>9} "
             f"{'p99 ms':>9} {'errors':>6}"]  # fmt: skip
    for row in rows:
        times = " ".join(f"{value:9.3f}" for value in row.latencies_ms.values())
        lines.append(
            f"{row.clients:7d} {row.samples_per_second:11,.0f} {times} "
            f"{sum(row.errors.values()):6d}"
        )
    answer(document, lines, as_json=json)


def _counts(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.strip().isdecimal() and 1 <= int(word) <= 1000 for word in words):
        raise UsageError(
            f"--concurrency {text} is no list of numbers of clients.", hint="Write 1,8,64."
        )
    return [int(word) for word in words]


def _identity(ca: Path | None, certificate: Path | None, key: Path | None) -> Identity:
    if (certificate is None) != (key is None):
        raise UsageError("A certificate needs its key: --tls-cert and --tls-key go together.")
    from edgeinfer.serve.client import Identity

    return Identity(ca, certificate, key)


@contextlib.contextmanager
def _connect(url: str, identity: Identity, library: str) -> Iterator[Client]:
    from edgeinfer.serve.connect import ClientLibrary, connect

    client = connect(url, identity, ClientLibrary(library))
    try:
        yield client
    finally:
        client.close()
