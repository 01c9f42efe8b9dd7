# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The protocol over gRPC: single requests, and streams of them."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from edgeinfer.serve.admission import MOST_WAITING, Admission, Share, slow_sender
from edgeinfer.serve.faults import (
    GRPC_CODES,
    RequestError,
    RequestFault,
    fault_of,
    invalid,
    message_of,
    refusal_of,
)
from edgeinfer.serve.frames import END_HEADERS, END_STREAM, FrameKind, frame
from edgeinfer.serve.grpc_calls import (
    Answer,
    call_of_bytes,
    message_of_answer,
    message_of_fields,
    parse_message,
    plain_answers,
)
from edgeinfer.serve.headers import Headers, pack_headers
from edgeinfer.serve.http2 import PREFIX_BYTES, Connection
from edgeinfer.serve.messages import SERVICE, message_class
from edgeinfer.serve.repository import Repository
from edgeinfer.serve.streams import CallStream

AHEAD = 64  # requests of one stream that are computed at once
MOST_CALLS = 1024  # calls that are open at once; more are told RESOURCE_EXHAUSTED
LEAST_AHEAD_BYTES, MOST_AHEAD_BYTES = (1 << 16) - 1, 1 << 21  # of a call that has no room yet
LOOK_SECONDS = 0.02
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")  # of a status message
TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
WINDOWS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}  # as zlib numbers the formats
FINAL = "triton_final_response"
NOTHING_SHARED = (  # no region is registered, and clients that tidy up first may go on
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryUnregister",
)
REFUSED = {
    "CudaSharedMemoryRegister": "Shared memory of a GPU",
    "TraceSetting": "Tracing",
    "LogSettings": "A change of log settings",
}
Content = bytes | memoryview
Answering = Callable[[Content], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class CallRefusal:
    """How a call ends that is not answered."""

    status: str
    message: str


@dataclass(slots=True, eq=False)
class Parts:
    """A stream's requests that are not answered yet, and then its end."""

    queue: asyncio.Queue[asyncio.Task[bytes] | None] = field(default_factory=asyncio.Queue)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    open_count: int = 0


@dataclass(slots=True, eq=False)
class Call:
    """A client's call, until it is answered or nobody waits for that."""

    connection: Connection
    stream: CallStream
    answering: Answering
    packing: bytes  # of its messages, where they are packed
    parts: Parts | None  # of a stream
    is_taken: bool = False  # whether its only request, or all of a stream's, are there
    is_begun: bool = False  # whether the first part of an answer was sent
    share: Share | None = None
    deadline: asyncio.TimerHandle | None = None
    waiting: asyncio.Task[None] | None = None  # for room
    answer: asyncio.Task[None] | None = None


BEGIN: Headers = (
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-accept-encoding", b"identity,deflate,gzip"),
)
_STREAM_PATH = f"/{SERVICE}/ModelStreamInfer".encode()
_BEGIN = pack_headers(BEGIN)
_DONE = pack_headers([(b"grpc-status", b"0")])


class GrpcDoor:
    """The service's procedures, for the calls of all connections."""

    def __init__(
        self,
        repository: Repository,
        is_ready: Callable[[], bool],
        admission: Admission,
        message_bytes: int,
    ) -> None:
        self._repository = repository
        self._admission, self._message_bytes = admission, message_bytes
        self._calls: dict[CallStream, Call] = {}
        self._handlers: dict[bytes, Answering] = {
            _path_of(name): _answering(name, answer)
            for name, answer in plain_answers(repository, is_ready).items()
        }
        self._handlers |= {_path_of(name): _answer_nothing for name in NOTHING_SHARED}
        self._handlers |= {_path_of(name): _refusing(what) for name, what in REFUSED.items()}
        self._handlers[_path_of("ModelInfer")] = self._infer
        self._handlers[_STREAM_PATH] = self._one_of_stream

    def end_streams(self) -> None:
        """Read no more requests of any stream; what was read is answered."""
        for call in list(self._calls.values()):
            if call.parts is not None:
                self._end_parts(call, call.parts)

    # What a connection tells.

    def begin(self, connection: Connection, stream: CallStream) -> None:
        """A call is there; it may be refused at once."""
        headers = dict(stream.headers)
        path = headers.get(b":path", b"")
        handler = self._handlers.get(path)
        if headers.get(b":method") != b"POST" or not headers.get(b"content-type", b"").startswith(
            b"application/grpc"
        ):
            block = pack_headers([(b":status", b"415")])
            flags = END_HEADERS | END_STREAM
            connection.send(stream, b"", (), frame(FrameKind.HEADERS, flags, stream.number, block))
            return
        call = Call(
            connection,
            stream,
            handler or _refusing("This procedure"),
            headers.get(b"grpc-encoding", b"identity"),
            Parts() if path == _STREAM_PATH else None,
        )
        if len(self._calls) >= MOST_CALLS:
            most = f"{MOST_CALLS} calls are open, which is the most."
            self._refuse(call, CallRefusal("RESOURCE_EXHAUSTED", most))
            return
        self._calls[stream] = call
        if handler is None:
            text = path[:200].decode(errors="replace")
            self._refuse(call, refusal_for(refusal_of(f"The procedure {text!r}")))
            return
        if match := TIMEOUT.fullmatch(headers.get(b"grpc-timeout", b"")):
            seconds = int(match[1]) * UNIT_SECONDS[match[2]]
            loop = asyncio.get_running_loop()
            call.deadline = loop.call_later(seconds, self._end_late, call)
        if call.parts is not None:
            call.answer = asyncio.create_task(self._answer_stream(call, call.parts))

    def has_room(self, stream: CallStream, length: int) -> bool:
        """Whether a message of so many bytes may come now. Where there is no room it is waited for,
        and the call is refused if none comes."""
        call = self._calls[stream]
        if length > self._message_bytes:
            self._refuse(call, refusal_for(_too_large(length, self._message_bytes)))
            return False
        if call.is_taken:  # a stream that is being ended is not read any more
            if call.parts is None:
                self._refuse(call, refusal_for(invalid("The call holds more than one request.")))
            return False
        if call.parts is None or call.parts.open_count < AHEAD:
            call.share = self._admission.try_enter(length, lambda: self._end_slow(call))
            if call.share is not None:
                return True
        call.waiting = asyncio.create_task(self._wait_for_room(call, length))
        return False

    def take(self, stream: CallStream, message: memoryview, is_packed: bool) -> None:
        """A request is there."""
        call = self._calls[stream]
        self._leave_admission(call)
        call.is_taken = call.is_taken or call.parts is None
        content = self._unpack(call, message) if is_packed else message
        if isinstance(content, CallRefusal):
            self._refuse(call, content)
        elif call.parts is not None:
            call.parts.open_count += 1
            call.parts.queue.put_nowait(asyncio.create_task(self._answer_part(call, content)))
        else:
            call.answer = asyncio.create_task(self._answer(call, content))

    def end_input(self, stream: CallStream) -> None:
        """There will be no request more."""
        call = self._calls.get(stream)
        if call is None:
            return
        if stream.prefix:
            self._refuse(call, refusal_for(invalid("The call ends within its request.")))
        elif call.parts is not None:
            self._end_parts(call, call.parts)
        elif not call.is_taken:
            self._refuse(call, refusal_for(invalid("The call holds no request.")))

    def abandon(self, stream: CallStream) -> None:
        """The call is over."""
        call = self._calls.pop(stream, None)
        if call is None:
            return
        self._leave_admission(call)
        if call.deadline is not None:
            call.deadline.cancel()
        for task in (call.waiting, call.answer):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        while call.parts is not None and not call.parts.queue.empty():
            if (part := call.parts.queue.get_nowait()) is not None:
                part.cancel()

    # How calls are answered.

    async def _wait_for_room(self, call: Call, length: int) -> None:
        try:
            while call.parts is not None and call.parts.open_count >= AHEAD:
                call.parts.answered.clear()
                await call.parts.answered.wait()
            call.share = await self._admission.enter(length, lambda: self._end_slow(call))
        except RequestError as error:
            self._refuse(call, refusal_for(error))
            return
        call.waiting = None
        call.connection.admit(call.stream)

    def _leave_admission(self, call: Call) -> None:
        if call.share is not None:
            self._admission.leave(call.share)
            call.share = None

    def _end_slow(self, call: Call) -> None:
        self._refuse(call, refusal_for(slow_sender()))

    def _end_late(self, call: Call) -> None:
        self._refuse(call, CallRefusal(
            "DEADLINE_EXCEEDED", "The client's deadline has passed."
        ))  # fmt: skip

    async def _answer(self, call: Call, content: Content) -> None:
        """Answer a call of one request."""
        try:
            answer = await call.answering(content)
        except Exception as error:
            self._refuse(call, refusal_for(error))
            return
        number = call.stream.number
        begin = frame(FrameKind.HEADERS, END_HEADERS, number, _BEGIN)
        end = frame(FrameKind.HEADERS, END_HEADERS | END_STREAM, number, _DONE)
        call.connection.send(call.stream, begin, [_prefix_message(answer)], end)

    def _end_parts(self, call: Call, parts: Parts) -> None:
        call.is_taken = True
        parts.queue.put_nowait(None)

    async def _answer_stream(self, call: Call, parts: Parts) -> None:
        """Answers in the order of the requests, several of which are computed at once."""
        number, sent = call.stream.number, call.stream.sent
        begin = frame(FrameKind.HEADERS, END_HEADERS, number, _BEGIN)
        call.connection.send(call.stream, begin, (), b"")
        call.is_begun = True
        while (task := await parts.queue.get()) is not None:
            answer = _prefix_message(await task)
            call.stream.computed_bytes -= len(answer) - PREFIX_BYTES
            parts.open_count -= 1
            parts.answered.set()
            sent.clear()
            call.connection.send(call.stream, b"", [answer], b"")
            await sent.wait()
        end = frame(FrameKind.HEADERS, END_HEADERS | END_STREAM, number, _DONE)
        call.connection.send(call.stream, b"", (), end)

    async def _answer_part(self, call: Call, content: Content) -> bytes:
        """One of a stream's answers, which waits for its turn."""
        answer = await self._one_of_stream(content)
        call.stream.computed_bytes += len(answer)
        call.connection.bound_unsent(call.stream)
        return answer

    def _refuse(self, call: Call, refusal: CallRefusal) -> None:
        """End a call without an answer."""
        code = GRPC_CODES.index(refusal.status)
        headers = [
            (b"grpc-status", str(code).encode()),
            (b"grpc-message", quote(refusal.message, safe=PRINTABLE).encode()),
        ]
        block = pack_headers(headers if call.is_begun else [*BEGIN[:2], *headers])
        end = frame(FrameKind.HEADERS, END_HEADERS | END_STREAM, call.stream.number, block)
        call.stream.outgoing.clear()
        call.connection.send(call.stream, b"", (), end)

    def _unpack(self, call: Call, message: memoryview) -> bytes | CallRefusal:
        if call.packing not in WINDOWS:
            text = call.packing[:40].decode(errors="replace")
            return refusal_for(refusal_of(f"The encoding {text!r}", hint="Use gzip or deflate."))
        unpacker = zlib.decompressobj(WINDOWS[call.packing])
        try:
            content = unpacker.decompress(message, self._message_bytes)
        except zlib.error as error:
            return refusal_for(invalid(f"The request is not packed as it says: {error}."))
        if unpacker.unconsumed_tail:
            return refusal_for(_too_large(None, self._message_bytes))
        return content

    async def _infer(self, content: Content) -> bytes:
        call, _ = call_of_bytes(content, self._repository.regions)
        return _bytes_of(message_of_answer(await self._repository.infer(call)))

    async def _one_of_stream(self, content: Content) -> bytes:
        stream_response = message_class("ModelStreamInferResponse")
        try:
            call, is_final_asked = call_of_bytes(content, self._repository.regions)
            response = message_of_answer(await self._repository.infer(call))
        except Exception as error:
            return _bytes_of(stream_response(error_message=message_of(error)))
        if is_final_asked:
            response.parameters[FINAL].bool_param = True
        return _bytes_of(stream_response(infer_response=response))


def _path_of(name: str) -> bytes:
    return f"/{SERVICE}/{name}".encode()


def _prefix_message(message: bytes) -> bytes:
    """A message as it travels, not packed."""
    return b"\0" + len(message).to_bytes(4) + message


def _too_large(length: int | None, most: int) -> RequestError:
    size = f"The request has {length} bytes" if length else "The request unpacks to more"
    return RequestError(RequestFault.TOO_LARGE, f"{size}; the server takes {most}.")


def _bytes_of(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content


def _answering(name: str, answer: Answer) -> Answering:
    async def handle(content: Content) -> bytes:
        fields = answer(parse_message(f"{name}Request", bytes(content)))
        if isinstance(fields, Awaitable):
            fields = await fields
        return _bytes_of(message_of_fields(f"{name}Response", fields))

    return handle


async def _answer_nothing(content: Content) -> bytes:
    return b""  # a message without fields


def _refusing(what: str) -> Answering:
    async def handle(content: Content) -> bytes:
        raise refusal_of(what)

    return handle


def refusal_for(error: BaseException) -> CallRefusal:
    """What a client is told of an error."""
    return CallRefusal(fault_of(error).grpc_name, message_of(error))


class GrpcServer:
    """The sockets at which clients of gRPC call, and their connections. What a call may send before
    there is room for it saves a pause; the calls that may wait for room take half of
    `receive_bytes` with it at most."""

    def __init__(self, door: GrpcDoor, receive_bytes: int, slowest_bytes_per_s: float) -> None:
        self._door, self._slowest = door, slowest_bytes_per_s
        self._ahead = max(
            LEAST_AHEAD_BYTES, min(MOST_AHEAD_BYTES, receive_bytes // 2 // MOST_WAITING)
        )
        self._connections: set[Connection] = set()
        self._listeners: list[asyncio.Server] = []

    async def listen(self, sockets: Iterable[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        for each in sockets:
            listener = await loop.create_server(
                lambda: Connection(self._door, self._connections, self._ahead, self._slowest),
                sock=each,
                ssl=tls,
            )
            self._listeners.append(listener)

    def leave(self) -> None:
        """Accept no connection and no call more; what was accepted is answered."""
        for listener in self._listeners:
            listener.close()
        self._door.end_streams()
        for connection in list(self._connections):
            connection.leave()

    async def stop(self, seconds: float) -> None:
        """Wait until all is answered, for so long at most, and close every connection."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._connections and loop.time() < end:
            await asyncio.sleep(LOOK_SECONDS)
        for connection in list(self._connections):
            connection.abort()
