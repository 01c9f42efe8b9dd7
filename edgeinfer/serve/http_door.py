# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The protocol over HTTP: JSON, and tensors as bytes behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler, stream_request_body

from edgeinfer.base.version import __version__
from edgeinfer.serve.admission import Admission, Share
from edgeinfer.serve.faults import (
    RequestError,
    RequestFault,
    fault_of,
    invalid,
    message_of,
    refusal_of,
)
from edgeinfer.serve.grpc_calls import refuse_parameters
from edgeinfer.serve.http_tensors import body_of_answer, call_of_body, region_of_body
from edgeinfer.serve.repository import Repository, statistics_of
from edgeinfer.serve.served import described_server
from edgeinfer.serve.tallies import metrics_text

HEADER_LENGTH = "Inference-Header-Content-Length"
JSON, BYTES = "application/json", "application/octet-stream"
LENGTH_DIGITS = 18  # of a body's length that are read: more are too much anyway
WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}  # as zlib numbers the formats


class HttpState:
    """What all requests by HTTP share."""

    def __init__(
        self,
        repository: Repository,
        is_ready: Callable[[], bool],
        admission: Admission,
        message_bytes: int,
    ) -> None:
        self.repository, self.is_ready = repository, is_ready
        self.admission, self.message_bytes = admission, message_bytes
        self.active = 0  # requests that are being answered
        self.draining = False


@stream_request_body
class ProtocolHandler(RequestHandler):
    """Every path of the protocol."""

    def initialize(self, state: HttpState) -> None:
        """Called by the library for each request."""
        self.state = state
        self.task: asyncio.Task[Any] | None = None
        self.share: Share | None = None
        self.received: list[bytes] = []

    async def prepare(self) -> None:
        """Called when the headers are there: wait for room for the body, or refuse it unread."""
        length = self.request.headers.get("Content-Length", "")
        if not length and "Transfer-Encoding" not in self.request.headers:
            return  # no body
        message_bytes = self.state.message_bytes
        if length.isascii() and length.isdecimal():
            message_bytes = int(length[:LENGTH_DIGITS])
        if message_bytes > self.state.message_bytes:
            return  # the library refuses it
        try:
            self.share = await self.state.admission.enter(message_bytes, self._end_connection)
        except RequestError as error:
            await self._say(error)

    def data_received(self, chunk: bytes) -> None:
        """Called for each part of the body."""
        self.received.append(chunk)

    def _end_connection(self) -> None:
        """The body comes too slowly, and others wait."""
        self.received.clear()
        if isinstance(self.request.connection, HTTP1Connection):
            self.request.connection.close()

    def _leave_admission(self) -> None:
        if self.share is not None:
            self.state.admission.leave(self.share)

    def on_finish(self) -> None:
        """Called when the answer is sent, whatever it was."""
        self._leave_admission()

    def on_connection_close(self) -> None:
        """The client has gone away, so nobody waits for an answer."""
        super().on_connection_close()
        self._leave_admission()
        if self.task is not None:
            self.task.cancel()

    def set_default_headers(self) -> None:
        """What no answer needs to say."""
        self.clear_header("Server")

    async def get(self) -> None:
        """Questions."""
        await self._answer(self._ask)

    async def post(self) -> None:
        """Work."""
        await self._answer(self._act)

    async def _answer(self, find: Callable[[list[str]], Any]) -> None:
        self.state.active += 1
        self.task = asyncio.current_task()
        try:
            parts = [unquote(part) for part in self.request.path.strip("/").split("/")]
            content = await find(parts)
            if not isinstance(content, bytes):
                self.set_header("Content-Type", JSON)
                content = json.dumps(content).encode()
            await self.finish(self._compress(content))
        except (asyncio.CancelledError, StreamClosedError):
            return  # nobody is left to answer
        except Exception as error:
            await self._say(error)
        finally:
            self._leave_admission()
            self.task = None
            self.state.active -= 1

    async def _say(self, error: Exception) -> None:
        """Answer with an error."""
        self.set_status(fault_of(error).http_status)
        self.set_header("Content-Type", JSON)
        if self.state.draining:
            self.set_header("Connection", "close")
        with contextlib.suppress(StreamClosedError):
            await self.finish(json.dumps({"error": message_of(error)}))

    async def _ask(self, parts: list[str]) -> Any:
        repository = self.state.repository
        match parts:
            case ["v2"]:
                return described_server(__version__, shares_memory=repository.regions.is_allowed)
            case ["v2", "health", "live"]:
                return b""
            case ["v2", "health", "ready"]:
                if not self.state.is_ready():
                    raise invalid("The server is not ready.")
                return b""
            case ["v2", "models", "stats"]:
                return statistics_of(repository.loaded)
            case ["v2", "models", name, *rest]:
                version, what = self._split_version(rest)
                if what == ["ready"]:
                    if not repository.is_loaded(name, version):
                        raise invalid(f"The model {name[:200]!r} is not ready.")
                    return b""
                if what == ["stats"]:
                    return statistics_of(repository.find_batchers(name, version))
                batcher = repository.find(name, version)
                match what:
                    case []:
                        return batcher.model.metadata(repository.versions_of(name))
                    case ["config"]:
                        return batcher.model.config()
                    case _:
                        raise self._nothing_here()
            case ["v2", "systemsharedmemory", "status"]:
                return repository.regions.list_regions()
            case ["v2", "systemsharedmemory", "region", name, "status"]:
                return repository.regions.list_regions(name)
            case ["v2", "cudasharedmemory", *_, "status"]:
                return []
            case _:
                raise self._nothing_here()

    async def _act(self, parts: list[str]) -> Any:
        repository = self.state.repository
        if self.state.draining:
            raise RequestError(RequestFault.OVERLOAD, "The server is about to end.")
        match parts:
            case ["v2", "models", name, *rest]:
                version, what = self._split_version(rest)
                if what != ["infer"]:
                    raise self._nothing_here()
                return await self._infer(name, version)
            case ["v2", "repository", "index"]:
                return repository.index(ready=bool(self._json().get("ready")))
            case ["v2", "repository", "models", name, "load"]:
                refuse_parameters(self._parameters())
                await repository.load(name)
                return b""
            case ["v2", "repository", "models", name, "unload"]:
                await repository.unload(name)
                return b""
            case ["v2", "systemsharedmemory", "unregister"]:
                repository.regions.unregister()
                return b""
            case ["v2", "systemsharedmemory", "region", name, "unregister"]:
                repository.regions.unregister(name)
                return b""
            case ["v2", "systemsharedmemory", "region", name, "register"]:
                repository.regions.require_permission()
                repository.regions.register(name, *region_of_body(self._body()))
                return b""
            case ["v2", "cudasharedmemory", *_, "unregister"]:
                return b""  # nothing is registered
            case ["v2", "cudasharedmemory", *_, "register"]:
                raise refusal_of("Shared memory of a GPU", hint="Send the tensors' bytes.")
            case _:
                raise self._nothing_here()

    def _split_version(self, rest: list[str]) -> tuple[str, list[str]]:
        """The version that a path names, if any, and what stands behind it."""
        if len(rest) < 2 or rest[0] != "versions":
            return "", rest
        if not (rest[1].isascii() and rest[1].isdecimal()):
            raise self._nothing_here()
        return rest[1], rest[2:]

    def _nothing_here(self) -> RequestError:
        return RequestError(RequestFault.ABSENT, f"There is nothing at {self.request.path[:200]}.")

    async def _infer(self, name: str, version: str) -> bytes:
        body = self._body()
        length = self.request.headers.get(HEADER_LENGTH)
        if length is not None and not (length.isascii() and length.isdecimal()):
            raise invalid(f"{HEADER_LENGTH} is {length[:40]!r}, which is no number of bytes.")
        json_bytes, regions = int(length) if length else None, self.state.repository.regions
        call, wants_bytes = call_of_body(name, version, body, json_bytes, regions)
        self._leave_admission()  # from here on, the queue counts it
        answer = await self.state.repository.infer(call)
        head, tail = body_of_answer(answer, wants_bytes)
        self.set_header("Content-Type", BYTES if tail else JSON)
        if tail:
            self.set_header(HEADER_LENGTH, str(len(head)))
        return head + tail

    def _body(self) -> bytes:
        """The request's body, unpacked; one that would not fit is refused before it is there."""
        packed = b"".join(self.received)
        self.received.clear()
        packing = self.request.headers.get("Content-Encoding", "identity")
        if packing == "identity":
            return packed
        if packing not in WINDOWS:
            raise refusal_of(f"The encoding {packing[:40]!r}", hint="Use gzip or deflate.")
        most = self.state.message_bytes
        unpacker = zlib.decompressobj(WINDOWS[packing])
        try:
            content = unpacker.decompress(packed, most)
        except zlib.error as error:
            raise invalid(f"The body is not {packing}: {error}.") from None
        if unpacker.unconsumed_tail:
            raise RequestError(
                RequestFault.TOO_LARGE, f"The body unpacks to more than {most} bytes."
            )
        if not unpacker.eof:
            raise invalid(f"The body ends in the middle of its {packing} stream.")
        return content

    def _json(self) -> Mapping[str, Any]:
        """The body as a JSON object; an empty one is an empty object."""
        try:
            document = json.loads(self._body() or b"{}")
        except (ValueError, RecursionError):
            raise invalid("The body is not JSON.") from None
        if not isinstance(document, dict):
            raise invalid("The body is not a JSON object.")
        return document

    def _parameters(self) -> Mapping[str, Any]:
        parameters = self._json().get("parameters") or {}
        if not isinstance(parameters, dict):
            raise invalid("The body's parameters are not a JSON object.")
        return parameters

    def _compress(self, content: bytes) -> bytes:
        """The answer packed, if the client asked for that and for nothing else."""
        packing = self.request.headers.get("Accept-Encoding", "")
        if packing not in WINDOWS or not content:
            return content
        self.set_header("Content-Encoding", packing)
        packer = zlib.compressobj(wbits=WINDOWS[packing])
        return packer.compress(content) + packer.flush()


class MetricsHandler(RequestHandler):
    """The metrics, as Prometheus reads them."""

    def initialize(self, state: HttpState) -> None:
        """Called by the library for each request."""
        self.state = state

    def get(self) -> None:
        """All of them."""
        loaded = self.state.repository.loaded
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(metrics_text((b.model.name, b.model.version, b.tally) for b in loaded))


def protocol_application(state: HttpState) -> Application:
    """The protocol's paths."""
    return Application([(r".*", ProtocolHandler, {"state": state})], log_function=_log_nothing)


def metrics_application(state: HttpState) -> Application:
    """The path of the metrics alone."""
    return Application([(r"/metrics", MetricsHandler, {"state": state})], log_function=_log_nothing)


def _log_nothing(handler: RequestHandler) -> None:
    """What was refused is counted, and its sender is told."""
