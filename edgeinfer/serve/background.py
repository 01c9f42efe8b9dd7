# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A server in a thread of this process: for notebooks and scripts that go on beside it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from edgeinfer.base.errors import UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.base.names import printable

if TYPE_CHECKING:
    from edgeinfer.serve.server import OpenServer, ServerSettings


class StoredRun(Protocol):
    """A run that has a folder."""

    @property
    def folder(self) -> Path:
        """Where it is."""
        ...


class BackgroundServer:
    """A server that listens until `close`, or until the end of a `with` block."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._opened: OpenServer | None = None
        self._failure: BaseException | None = None
        self._is_begun = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="serve", daemon=True)
        self._thread.start()
        self._is_begun.wait()
        if self._opened is None:
            self.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._loop.close()
            self._is_begun.set()

    async def _serve(self) -> None:
        from edgeinfer.serve import server

        async with server.open_server(self._settings) as opened:
            self._opened = opened
            self._is_begun.set()
            await self._end.wait()

    @property
    def opened(self) -> OpenServer:
        """Its ports, and what it serves."""
        assert self._opened is not None  # or there would be no object
        return self._opened

    @property
    def grpc_url(self) -> str:
        """As `edgeinfer infer` takes it; other clients leave out what stands before the address."""
        return self._url("grpc", self.opened.grpc_port)

    @property
    def http_url(self) -> str:
        """The address for clients of the protocol by HTTP."""
        return self._url("http", self.opened.http_port)

    @property
    def metrics_url(self) -> str:
        """The page that Prometheus reads."""
        return self._url("http", self.opened.metrics_port) + "/metrics"

    def _url(self, scheme: str, port: int) -> str:
        host = self._settings.host
        letter = "s" if self._settings.certificates else ""
        return f"{scheme}{letter}://{f'[{host}]' if ':' in host else host}:{port}"

    def close(self) -> None:
        """Answer what was accepted, and end; an error where that was not in time. A second time
        does nothing."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def __enter__(self) -> BackgroundServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        models = ", ".join(f"{printable(name)} {version}" for name, version in self.opened.models)
        if not self._thread.is_alive():
            return f"<server of {models}, closed>"
        return f"<server of {models}: {self.grpc_url}, {self.http_url}, {self.metrics_url}>"


def open_server(
    *runs: StoredRun | str | Path,
    ports: tuple[int, int, int] = (8001, 8000, 8002),
    names: str | Path | None = None,
    backend: str = "engine",
    raw_outputs: bool = False,
) -> BackgroundServer:
    """Serve runs to clients of Triton from this process, until `close` or the end of a `with`
    block. `ports`: gRPC, HTTP, metrics; 0 takes one that is free. `names`: a TOML file with the
    names that clients use. `backend`: engine, or a target's simulation that the run has. It listens
    to this machine alone; `edgeinfer serve` has all settings. Needs the extra `[serve]`."""
    if not runs:
        raise UsageError("There is nothing to serve.", hint="Give one run or more.")
    require_extra("serve", "Serving models")
    from edgeinfer.serve.repository import RepositorySettings
    from edgeinfer.serve.server import ServerSettings

    folders = tuple(Path(run) if isinstance(run, (str, Path)) else run.folder for run in runs)
    repository = RepositorySettings(
        folders, None if names is None else Path(names), backend, raw_outputs
    )
    grpc_port, http_port, metrics_port = ports
    settings = ServerSettings(
        repository, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port
    )
    return BackgroundServer(settings)
