# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A server from its start to its end, at which it answers what it has accepted."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.data.open import existing
from edgeinfer.serve.admission import Admission
from edgeinfer.serve.grpc_door import GrpcDoor, GrpcServer
from edgeinfer.serve.http_door import HttpState, metrics_application, protocol_application
from edgeinfer.serve.repository import Repository, RepositorySettings
from edgeinfer.serve.shared import SharedRegions

SILENT_SECONDS = 60.0  # after which a connection that sends no request is closed
BODY_SECONDS = 120.0  # in which a request's body has to arrive
CHUNK_BYTES = 1 << 20  # of a body that are read at once
SENDING_SECONDS = 1.0  # for what is computed to reach its client
LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the server shows of itself, and who has signed its clients, if they must show something
    too."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where a server listens, and what it takes."""

    repository: RepositorySettings
    host: str = "127.0.0.1"
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    certificates: Certificates | None = None
    message_bytes: int = 64_000_000
    receive_bytes: int = 512_000_000
    drain_seconds: float = 30.0
    shared_memory: bool = False  # whether clients may name memory of this machine
    slowest_bytes_per_s: float = 32_000  # at which a client of gRPC takes a large answer

    @property
    def is_exposed(self) -> bool:
        """Whether others on the network can use it, unencrypted or without showing who they are."""
        if self.certificates is not None and self.certificates.client_ca is not None:
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"


@dataclass(frozen=True, slots=True)
class OpenServer:
    """Where a running server listens, and what it serves."""

    grpc_port: int
    http_port: int
    metrics_port: int
    models: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class _Doors:
    grpc: GrpcServer
    http: list[HTTPServer] = field(default_factory=list)


async def serve(settings: ServerSettings, announce: Callable[[OpenServer], None]) -> None:
    """Serve until a signal says to end, then answer what has been accepted."""
    logging.getLogger("tornado").setLevel(logging.ERROR)  # who sends nonsense fills no log
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, end.set)
    async with open_server(settings) as opened:
        announce(opened)
        await end.wait()


@contextlib.asynccontextmanager
async def open_server(settings: ServerSettings) -> AsyncIterator[OpenServer]:
    """A server for as long as the block lasts; then it answers what it has accepted."""
    tls = grpc_tls = None
    if settings.certificates is not None:
        tls, grpc_tls = (_server_context(settings.certificates) for _ in range(2))
        grpc_tls.set_alpn_protocols(["h2"])
    regions = SharedRegions(settings.message_bytes if settings.shared_memory else None)
    repository = Repository(settings.repository, regions)
    try:
        await repository.open()
        state: HttpState

        def is_ready() -> bool:
            return not state.draining and bool(repository.loaded)

        admission = Admission(settings.receive_bytes)
        state = HttpState(repository, is_ready, admission, settings.message_bytes)
        door = GrpcDoor(repository, is_ready, admission, settings.message_bytes)
        doors = _Doors(GrpcServer(door, settings.receive_bytes, settings.slowest_bytes_per_s))
        try:
            sockets = _bind(settings.grpc_port, settings.host)
            await doors.grpc.listen(sockets, grpc_tls)
            port: int = sockets[0].getsockname()[1]
            protocol, metrics = protocol_application(state), metrics_application(state)
            http_port = _listen(protocol, settings.http_port, settings, tls, doors)
            metrics_port = _listen(metrics, settings.metrics_port, settings, tls, doors)
            models = tuple((b.model.name, b.model.version) for b in repository.loaded)
            yield OpenServer(port, http_port, metrics_port, models)
        finally:
            await _drain(doors, state, settings.drain_seconds)
    finally:
        await repository.close()
        regions.unregister()


async def _drain(doors: _Doors, state: HttpState, seconds: float) -> None:
    """Accept nothing more, and wait until all that was accepted is answered; an error where it is
    not in time."""
    loop, budget = asyncio.get_running_loop(), state.repository.budget
    state.draining = True
    for batcher in state.repository.loaded:
        batcher.hurry()
    for server in doors.http:
        server.stop()
    doors.grpc.leave()
    stopping = asyncio.create_task(doors.grpc.stop(seconds + SENDING_SECONDS))
    end = loop.time() + seconds
    while (state.active or budget.held_bytes) and loop.time() < end:
        await asyncio.sleep(LOOK_SECONDS)
    left = budget.held_bytes
    if left:
        await doors.grpc.stop(0)
    await stopping
    for server in doors.http:
        await server.close_all_connections()
    if left:
        raise ToolFailedError(
            f"Not every request was answered within the {seconds:g} s after the signal to end.",
            hint="--drain-s allows more.",
        )


def _listen(
    application: Application,
    port: int,
    settings: ServerSettings,
    tls: ssl.SSLContext | None,
    doors: _Doors,
) -> int:
    server = HTTPServer(
        application,
        ssl_options=tls,
        idle_connection_timeout=SILENT_SECONDS,
        body_timeout=BODY_SECONDS,
        chunk_size=CHUNK_BYTES,
        max_body_size=settings.message_bytes,
        max_buffer_size=settings.message_bytes + 1_000_000,
    )
    sockets = _bind(port, settings.host)
    server.add_sockets(sockets)
    doors.http.append(server)
    bound: int = sockets[0].getsockname()[1]
    return bound


def _bind(port: int, host: str) -> list[socket.socket]:
    try:
        return bind_sockets(port, host)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ToolFailedError(
            f"Nothing can listen at {host}, port {port}: {reason}.",
            hint="Another server may be there; choose other ports with --port-grpc, --port-http "
            "and --port-metrics. 0 takes any that is free.",
        ) from None


def _server_context(files: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    paths = [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]
    for path in paths:
        existing(path)
    try:
        context.load_cert_chain(files.certificate, files.key, password=lambda: b"")  # nobody asks
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise UsageError(
            f"{', '.join(map(str, paths))} are no certificates that belong together: {error}.",
            hint="Give PEM files: the server's certificate, its key, and the clients' authority.",
        ) from None
    return context
