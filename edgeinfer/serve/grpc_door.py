# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The protocol over gRPC: single requests, and streams of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc

from edgeinfer.serve.admission import Admission, slow_sender
from edgeinfer.serve.faults import fault_of, invalid, message_of, refusal_of
from edgeinfer.serve.grpc_calls import (
    Answer,
    call_of_bytes,
    message_of_answer,
    message_of_fields,
    parse_message,
    plain_answers,
)
from edgeinfer.serve.messages import SERVICE, message_class
from edgeinfer.serve.repository import Repository

AHEAD = 64  # requests of one stream that are computed at once
MOST_CALLS = 1024  # calls that are open at once; more are told RESOURCE_EXHAUSTED
FRAME_BYTES = 1 << 22  # that a client may send in one piece; many of gRPC's own 16 kB cost more
LEAST_AHEAD_BYTES, MOST_AHEAD_BYTES = (1 << 16) - 1, 1 << 20  # that come before anybody reads
KEEPALIVE_MS = 60_000  # after which a silent connection is asked whether it is still there
ANSWERLESS_MS = 20_000  # after which it is not
SILENT_SECONDS = 0.2  # after which a stream that sends nothing is taken to be silent
LIKELY_BYTES = 1 << 16  # of a stream's next request, at least; else twice the one before
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


@dataclass(frozen=True, slots=True)
class CallRefusal:
    """How a call ends that is not answered."""

    status: grpc.StatusCode
    message: str


class GrpcDoor:
    """The service's procedures."""

    def __init__(
        self,
        repository: Repository,
        is_ready: Callable[[], bool],
        admission: Admission,
        message_bytes: int,
    ) -> None:
        self._repository = repository
        self._admission, self._message_bytes = admission, message_bytes
        self._readers: set[asyncio.Task[None]] = set()
        single = grpc.unary_unary_rpc_method_handler
        handlers = {
            name: single(_answering(name, answer))
            for name, answer in plain_answers(repository, is_ready).items()
        }
        handlers |= {name: single(_answer_nothing) for name in NOTHING_SHARED}
        handlers |= {name: single(_refusing(what)) for name, what in REFUSED.items()}
        # One request, but of a stream: so it is read when there is room for it, and not before.
        handlers["ModelInfer"] = grpc.stream_unary_rpc_method_handler(self._infer)
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        self.handler = grpc.method_handlers_generic_handler(SERVICE, handlers)

    def end_streams(self) -> None:
        """Read no more requests of any stream; what was read is answered."""
        for reader in self._readers:
            reader.cancel()

    async def _infer(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> bytes:
        return await _answer_or_abort(context, await self._try_infer(context))

    async def _try_infer(self, context: grpc.aio.ServicerContext) -> bytes | CallRefusal:
        try:
            call, _ = call_of_bytes(await self._receive(context), self._repository.regions)
            return _bytes_of(message_of_answer(await self._repository.infer(call)))
        except Exception as error:
            return refusal_for(error)

    async def _receive(self, context: grpc.aio.ServicerContext) -> bytes:
        """The only request of a call."""
        try:
            async with asyncio.timeout(None) as limit:
                share = await self._admission.enter(
                    self._message_bytes, lambda: limit.reschedule(0.0)
                )
                try:
                    content = await context.read()
                finally:
                    self._admission.leave(share)
        except TimeoutError:
            raise slow_sender() from None
        if not isinstance(content, bytes):
            raise invalid("The call holds no request.")
        return content

    async def _receive_next(
        self, context: grpc.aio.ServicerContext, expected_bytes: int
    ) -> bytes | None:
        """The next request of a stream, None at its end. Streams are silent for long, and gRPC does
        not say when a request begins: so one that is still silent after a moment gives its room to
        others."""
        share = await self._admission.enter(expected_bytes, lambda: None)
        reading = asyncio.ensure_future(context.read())
        try:
            await asyncio.wait([reading], timeout=SILENT_SECONDS)
            self._admission.leave(share)
            content = await reading
        finally:
            self._admission.leave(share)
            reading.cancel()
        return content if isinstance(content, bytes) else None

    async def _stream(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        """Answers in the order of the requests, several of which are computed at once."""
        tasks: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()
        room = asyncio.Semaphore(AHEAD)

        async def read() -> None:
            expected = most = self._message_bytes
            try:
                while (content := await self._receive_next(context, expected)) is not None:
                    expected = min(most, max(LIKELY_BYTES, 2 * len(content)))
                    tasks.put_nowait(asyncio.create_task(self._one_of_stream(content)))
                    await room.acquire()
            finally:
                tasks.put_nowait(None)

        reader = asyncio.create_task(read())
        self._readers.add(reader)
        try:
            while (task := await tasks.get()) is not None:
                yield _bytes_of(await task)
                room.release()
            if not reader.cancelled() and (error := reader.exception()):
                await _abort(context, refusal_for(error))
        finally:
            self._readers.discard(reader)
            reader.cancel()
            while not tasks.empty():
                if (task := tasks.get_nowait()) is not None:
                    task.cancel()

    async def _one_of_stream(self, content: bytes) -> Any:
        stream_response = message_class("ModelStreamInferResponse")
        try:
            call, is_final_asked = call_of_bytes(content, self._repository.regions)
            response = message_of_answer(await self._repository.infer(call))
        except Exception as error:
            return stream_response(error_message=message_of(error))
        if is_final_asked:
            response.parameters[FINAL].bool_param = True
        return stream_response(infer_response=response)


def _bytes_of(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content


def _answering(name: str, answer: Answer) -> Callable[..., Any]:
    async def try_answer(content: bytes) -> bytes | CallRefusal:
        try:
            fields = await answer(parse_message(f"{name}Request", content))
            return _bytes_of(message_of_fields(f"{name}Response", fields))
        except Exception as error:
            return refusal_for(error)

    async def handle(content: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return await _answer_or_abort(context, await try_answer(content))

    return handle


async def _answer_nothing(content: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return b""  # a message without fields


def _refusing(what: str) -> Callable[..., Any]:
    async def handle(content: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return await _answer_or_abort(context, refusal_for(refusal_of(what)))

    return handle


def refusal_for(error: BaseException) -> CallRefusal:
    """What a client is told of an error, without the error: gRPC keeps what a call is ended with,
    and an error's traceback would keep the request's payload as long."""
    return CallRefusal(grpc.StatusCode[fault_of(error).grpc_name], message_of(error))


async def _answer_or_abort(context: grpc.aio.ServicerContext, reply: bytes | CallRefusal) -> bytes:
    if isinstance(reply, CallRefusal):
        await _abort(context, reply)
        raise AssertionError("A call goes on after its end.")
    return reply


async def _abort(context: grpc.aio.ServicerContext, refusal: CallRefusal) -> None:
    """End a call; this raises."""
    await context.abort(refusal.status, refusal.message)


def grpc_server(door: GrpcDoor, message_bytes: int, receive_bytes: int) -> grpc.aio.Server:
    """A server that takes messages of so many bytes at most. What a client may send before its
    request is read saves it a pause; half as many clients as may call do not exceed
    `receive_bytes` with it."""
    ahead = max(LEAST_AHEAD_BYTES, min(MOST_AHEAD_BYTES, receive_bytes // (MOST_CALLS // 2)))
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.http2.max_frame_size", FRAME_BYTES),
            ("grpc.http2.bdp_probe", 0),  # or many megabytes come of what nobody reads yet
            ("grpc.http2.lookahead_bytes", ahead),
            ("grpc.so_reuseport", 0),  # or two servers would share a port, each unseen by the other
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.keepalive_timeout_ms", ANSWERLESS_MS),
        ],
        maximum_concurrent_rpcs=MOST_CALLS,
    )
    server.add_generic_rpc_handlers((door.handler,))
    return server
