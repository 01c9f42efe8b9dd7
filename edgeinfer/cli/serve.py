# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``serve``: runs behind the protocol that clients of Triton speak."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from edgeinfer.base.errors import UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.cli.terminal import answer, tell

if TYPE_CHECKING:
    from edgeinfer.serve.server import OpenServer, ServerSettings

LARGEST_PORT = 65535
LARGEST_INT32 = 2**31 - 1  # of a model's configuration
MOST_INSTANCES = 256
SMALLEST_MB, LARGEST_MESSAGE_MB = 0.001, 2000.0  # a message of Protocol Buffers ends at 2 GB
LARGEST_QUEUE_MB, LONGEST_DRAIN_SECONDS = 1e6, 86400.0
SLOWEST_KB_S, FASTEST_KB_S = 0.1, 1e6


def serve(
    *runs: Annotated[
        Path, Parameter(help="run folders; those with one model's name are its versions 1, 2, ...")
    ],
    bind: Annotated[str, Parameter(help="the address to listen at; others can reach 0.0.0.0")]
    = "127.0.0.1",
    port_grpc: Annotated[int, Parameter(help="0 takes one that is free")] = 8001,
    port_http: Annotated[int, Parameter(help="0 takes one that is free")] = 8000,
    port_metrics: Annotated[int, Parameter(help="0 takes one that is free")] = 8002,
    names: Annotated[
        Path | None, Parameter(help="a TOML file with the names that clients use; docs/serving.md")
    ] = None,
    outputs: Annotated[
        Literal["real", "raw"], Parameter(help="FP32 after softmax or sigmoid, or raw integers")
    ] = "real",
    backend: Annotated[
        str,
        Parameter(help="engine; a target's simulation that the run has (csim); board[:/dev/PORT]"),
    ] = "engine",
    batch: Annotated[
        int, Parameter(help="samples of several requests that are computed together, at most")
    ] = 256,
    delay_us: Annotated[
        int, Parameter(help="how long a request waits for others to join it, at most")
    ] = 0,
    instances: Annotated[
        int, Parameter(help="batches of a model that are computed at the same time")
    ] = 1,
    max_batch: Annotated[int, Parameter(help="samples that one request may hold")] = 65536,
    message_mb: Annotated[float, Parameter(help="size of a request, at most")] = 64.0,
    receive_mb: Annotated[
        float, Parameter(help="requests that are received at once; more wait, and are then refused")
    ] = 512.0,
    queue_mb: Annotated[
        float, Parameter(help="requests that wait or are computed; more are answered UNAVAILABLE")
    ] = 256.0,
    models: Annotated[int, Parameter(help="runs that may be served at once")] = 64,
    control: Annotated[
        bool, Parameter(negative="", help="let clients load and unload the models")
    ] = False,
    shared_memory: Annotated[
        bool,
        Parameter(negative="", help="let clients of this machine and user name shared memory"),
    ] = False,
    slowest_kb_s: Annotated[
        float, Parameter(help="how fast a client of gRPC takes a large answer at least")
    ] = 32.0,
    drain_s: Annotated[
        float, Parameter(help="how long accepted requests may take after SIGTERM")
    ] = 30.0,
    tls_cert: Annotated[Path | None, Parameter(help="the server's certificate (PEM)")] = None,
    tls_key: Annotated[Path | None, Parameter(help="its key (PEM)")] = None,
    tls_client_ca: Annotated[
        Path | None, Parameter(help="clients must show a certificate that this authority signed")
    ] = None,
    json: Annotated[
        bool, Parameter(negative="", help="print where it listens as JSON on stdout")
    ] = False,
) -> None:  # fmt: skip
    """Serve Programs bit for bit by gRPC and HTTP, until SIGTERM or Ctrl-C; then answer what was
    accepted and end with exit code 0."""
    if not runs:
        raise UsageError("There is nothing to serve.", hint="Name one run folder or more.")
    if len(runs) > models:
        raise UsageError(f"{len(runs)} runs are more than --models {models} allows.")
    numbers: dict[str, tuple[float, float, float]] = {
        "--batch": (batch, 1, LARGEST_INT32),
        "--max-batch": (max_batch, 1, LARGEST_INT32),
        "--instances": (instances, 1, MOST_INSTANCES),
        "--delay-us": (delay_us, 0, LARGEST_INT32),
        "--message-mb": (message_mb, SMALLEST_MB, LARGEST_MESSAGE_MB),
        "--receive-mb": (receive_mb, SMALLEST_MB, LARGEST_QUEUE_MB),
        "--queue-mb": (queue_mb, SMALLEST_MB, LARGEST_QUEUE_MB),
        "--slowest-kb-s": (slowest_kb_s, SLOWEST_KB_S, FASTEST_KB_S),
        "--drain-s": (drain_s, 0, LONGEST_DRAIN_SECONDS),
        "--port-grpc": (port_grpc, 0, LARGEST_PORT),
        "--port-http": (port_http, 0, LARGEST_PORT),
        "--port-metrics": (port_metrics, 0, LARGEST_PORT),
    }
    for name, (number, least, most) in numbers.items():
        if not least <= number <= most:
            raise UsageError(f"{name} {number:g} cannot be; give {least:g} to {most:g}.")
    if (tls_cert is None) != (tls_key is None) or (tls_client_ca and tls_cert is None):
        raise UsageError("Encryption needs --tls-cert and --tls-key together.")
    require_extra("serve", "Serving models")
    from edgeinfer.serve import server
    from edgeinfer.serve.repository import RepositorySettings
    from edgeinfer.serve.served import BatchSettings

    batching = BatchSettings(max_batch, batch, delay_us, instances)
    certificates = None
    if tls_cert is not None and tls_key is not None:
        certificates = server.Certificates(tls_cert, tls_key, tls_client_ca)
    settings = server.ServerSettings(
        RepositorySettings(
            runs, names, backend, outputs == "raw", batching, control, int(queue_mb * 1e6)
        ),
        bind, port_grpc, port_http, port_metrics, certificates, int(message_mb * 1e6),
        int(receive_mb * 1e6), drain_s, shared_memory, slowest_kb_s * 1e3,
    )  # fmt: skip
    if settings.is_exposed and shared_memory:
        raise UsageError(
            f"--shared-memory lets whoever reaches {bind} read and write this user's shared "
            "memory.",
            hint="Listen at 127.0.0.1, or admit only clients that --tls-client-ca knows.",
        )
    if settings.is_exposed:
        tell(
            f"warning: whoever reaches {bind} can use this server and see what it answers. "
            "Give --tls-cert, --tls-key and --tls-client-ca, or keep others out otherwise."
        )
    asyncio.run(server.serve(settings, lambda opened: _announce(settings, opened, as_json=json)))


def _announce(settings: ServerSettings, opened: OpenServer, *, as_json: bool) -> None:
    letter = "s" if settings.certificates else ""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lines = [
        *(f"serving   {name}, version {version}" for name, version in opened.models),
        f"gRPC      grpc{letter}://{host}:{opened.grpc_port}",
        f"HTTP      http{letter}://{host}:{opened.http_port}/v2",
        f"metrics   http{letter}://{host}:{opened.metrics_port}/metrics",
    ]
    document = {"host": settings.host, **asdict(opened)}
    answer(document, lines, as_json=as_json, indent=None)
