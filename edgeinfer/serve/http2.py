# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The server's side of an HTTP/2 connection that carries gRPC, and nothing else of HTTP/2.

Messages of some hundred kilobytes are what it is made for: their bytes go from the socket into the
message, without a copy between, and the socket wakes the loop when a good part of them is there.
What a client may send before there is room for its message is bounded for each call; the connection
itself is never held up, so no call waits for another that finds no room.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from edgeinfer.serve.frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEAD_BYTES,
    LARGEST_FRAME,
    LARGEST_WINDOW,
    NUMBER_MASK,
    PADDED,
    PREFACE,
    USUAL_WINDOW,
    ConnectionFault,
    FrameKind,
    Reason,
    Setting,
    expect,
    farewell_frame,
    frame,
    reset_frame,
    settings_frame,
    strip_padding,
    window_frame,
)
from edgeinfer.serve.headers import HeaderReader, PackingError
from edgeinfer.serve.presence import Presence, Sign
from edgeinfer.serve.streams import CallStream, Door, Patience, SendingRoom

BUFFER_BYTES = 1 << 16  # that are read at once of what is no message
LARGEST_BLOCK = 1 << 14  # bytes of packed headers
PREFIX_BYTES = 5  # before a message: whether it is compressed, and its length
LEAST_WAKE_BYTES, MOST_WAKE_BYTES = 1 << 16, 1 << 20  # of a message, for which the loop is woken
LINGER_SECONDS = 1.0  # for the last words to be read by a client
MOST_CONNECTIONS = 1024  # at once; more are closed
MOST_UNSENT_BYTES = 1 << 29  # of all connections' answers that their clients do not take


class Connection(asyncio.BufferedProtocol):
    """A client's connection. `ahead_bytes`: that a call may send before its message has room."""

    def __init__(
        self, door: Door, connections: set[Connection], ahead_bytes: int, slowest_bytes_per_s: float
    ) -> None:
        self._door, self._connections, self._ahead = door, connections, ahead_bytes
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._filled = 0
        self._direct: memoryview | None = None  # the part of a message that is read into
        self._wake_bytes = 1
        self._streams: dict[int, CallStream] = {}
        self._last = 0  # number of a stream
        self._reader = HeaderReader()
        self._block, self._block_flags, self._block_number = bytearray(), 0, 0
        self._is_begun = self._is_settled = self._is_leaving = self._is_over = False
        self._data_stream: CallStream | None = None  # of the DATA frame that is being read
        self._data_left = self._padding_left = self._data_flags = 0
        self._room, self._receive_window = SendingRoom(), LARGEST_WINDOW
        self._is_paused = self._has_new_room = False
        self._presence = Presence(slowest_bytes_per_s)
        self._patience = Patience()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what may be sent."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._socket = None
        if transport.get_extra_info("ssl_object") is None and hasattr(socket, "SO_RCVLOWAT"):
            self._socket = transport.get_extra_info("socket")
        self._connections.add(self)
        self._timer = self._loop.call_later(Presence.wait_seconds(Sign.HERE), self._look)
        if len(self._connections) > MOST_CONNECTIONS:
            self.abort()
            return
        settings = {
            Setting.ENABLE_PUSH: 0,
            Setting.INITIAL_WINDOW_SIZE: self._ahead,
            Setting.MAX_FRAME_SIZE: LARGEST_FRAME,
            Setting.MAX_HEADER_LIST_SIZE: LARGEST_BLOCK,
        }
        growth = LARGEST_WINDOW - USUAL_WINDOW
        self._write([settings_frame(settings), window_frame(0, growth)])

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody is left."""
        self._is_over = True
        self._connections.discard(self)
        self._timer.cancel()
        self._direct = None
        for stream in list(self._streams.values()):
            self._drop(stream)

    def pause_writing(self) -> None:
        """The client does not read: so nothing more is read of it, and answers wait."""
        self._is_paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_paused = False
        self._transport.resume_reading()
        self._send_waiting()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go."""
        return self._buffer[self._filled :] if self._direct is None else self._direct

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes are there."""
        self._presence.has_heard = True
        if self._is_over:
            return
        try:
            if self._direct is not None:
                assert self._data_stream is not None
                self._data_stream.filled += nbytes
                self._data_left -= nbytes
                self._count_data(nbytes)
                self._take_complete(self._data_stream)
                self._end_data()
            else:
                self._filled += nbytes
                self._parse()
            if self._has_new_room:  # looked at once, however many frames have said so
                self._has_new_room = False
                self._send_waiting()
            self._aim()
        except ConnectionFault as fault:
            self._fail(fault)

    def _aim(self) -> None:
        """Choose where the next bytes go, and how many are to wake the loop."""
        stream, self._direct = self._data_stream, None
        wanted = 0
        if self._data_left and stream is not None and stream.message is not None:
            wanted = min(self._data_left, len(stream.message) - stream.filled)
            self._direct = stream.message[stream.filled : stream.filled + wanted]
        self._wake_after(min(wanted, MOST_WAKE_BYTES) if wanted >= LEAST_WAKE_BYTES else 1)

    def _wake_after(self, wake_bytes: int) -> None:
        if wake_bytes != self._wake_bytes and self._socket is not None:
            self._wake_bytes = wake_bytes
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wake_bytes)

    # What comes in.

    def _parse(self) -> None:
        """Take all frames, and parts of DATA frames, that are in the buffer."""
        buffer, at, end = self._buffer, 0, self._filled
        if not self._is_begun:
            length = min(end, len(PREFACE))
            if buffer[:length] != PREFACE[:length]:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "This port speaks gRPC.")
            if length < len(PREFACE):
                return
            self._is_begun, at = True, length
        while not self._is_over:
            if self._data_left or self._padding_left:
                count = min(self._data_left, end - at)
                self._data_left -= count
                if self._data_stream is not None:
                    self._feed(self._data_stream, buffer[at : at + count])
                self._count_data(count)
                at += count
                count = 0 if self._data_left else min(self._padding_left, end - at)
                self._padding_left -= count
                self._count_data(count)
                at += count
                self._end_data()
                if at == end:
                    break
                continue
            if end - at < HEAD_BYTES:
                break
            length = int.from_bytes(buffer[at : at + 3])
            kind, flags = buffer[at + 3], buffer[at + 4]
            number = int.from_bytes(buffer[at + 5 : at + 9]) & NUMBER_MASK
            if self._block_number and (kind, number) != (
                FrameKind.CONTINUATION, self._block_number
            ):  # fmt: skip
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "Headers are interrupted.")
            if not self._is_settled and kind != FrameKind.SETTINGS:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "The settings are not the first.")
            if kind == FrameKind.DATA:
                if not length:
                    self._patience.count_idle()
                if flags & PADDED and end - at <= HEAD_BYTES:
                    break
                at += HEAD_BYTES
                self._begin_data(number, flags, length, buffer[at] if flags & PADDED else 0)
                at += bool(flags & PADDED)
                continue
            if length > BUFFER_BYTES - HEAD_BYTES:
                raise ConnectionFault(Reason.FRAME_SIZE_ERROR, "The frame is too long.")
            if end - at < HEAD_BYTES + length:
                break
            at += HEAD_BYTES
            self._take_frame(kind, flags, number, bytes(buffer[at : at + length]))
            at += length
        if at:
            buffer[: end - at] = bytes(buffer[at:end])
            self._filled = end - at

    def _begin_data(self, number: int, flags: int, length: int, padding: int) -> None:
        head = bool(flags & PADDED)  # the byte that says how much padding there is
        if not 0 < number <= self._last:
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "Data come before their call.")
        if head + padding > length:
            raise ConnectionFault(Reason.PROTOCOL_ERROR, "More padding than there is room for.")
        stream = self._data_stream = self._streams.get(number)  # none: what comes late is dropped
        if stream is not None:
            if stream.is_client_done:
                raise ConnectionFault(Reason.STREAM_CLOSED, "Data come after their end.")
            if length > stream.receive_window:
                raise ConnectionFault(Reason.FLOW_CONTROL_ERROR, "More comes than may.")
        self._data_left, self._padding_left = length - head - padding, padding
        self._data_flags = flags
        self._count_data(head)
        self._end_data()

    def _count_data(self, count: int) -> None:
        """So many bytes less may come, until it is time to say that there may be more."""
        if self._data_stream is not None:
            self._data_stream.receive_window -= count
        self._receive_window -= count
        if self._receive_window < LARGEST_WINDOW // 2:
            self._write([window_frame(0, LARGEST_WINDOW - self._receive_window)])
            self._receive_window = LARGEST_WINDOW

    def _end_data(self) -> None:
        """What happens behind a DATA frame, if this is its end."""
        if self._data_left or self._padding_left:
            return
        stream, self._data_stream = self._data_stream, None
        if stream is not None and self._data_flags & END_STREAM:
            self._end_input(stream)

    def _feed(self, stream: CallStream, data: memoryview) -> None:
        """Take bytes of a call's messages."""
        if stream.is_waiting:
            stream.early += data
            return
        while data and stream.number in self._streams:
            if stream.message is None:
                missing = PREFIX_BYTES - len(stream.prefix)
                stream.prefix += data[:missing]
                data = data[missing:]
                if len(stream.prefix) < PREFIX_BYTES:
                    return
                if not self._door.has_room(stream, int.from_bytes(stream.prefix[1:])):
                    stream.is_waiting = True
                    stream.early += data
                    return
                self._begin_message(stream, 0)
            assert stream.message is not None
            count = min(len(data), len(stream.message) - stream.filled)
            stream.message[stream.filled : stream.filled + count] = data[:count]
            stream.filled += count
            data = data[count:]
            self._take_complete(stream)

    def _begin_message(self, stream: CallStream, early_bytes: int) -> None:
        """Let a message come as a whole, and some of what follows it. Some bytes are here and were
        counted already."""
        length = int.from_bytes(stream.prefix[1:])
        stream.place_message(length)
        wanted = length - early_bytes
        if stream.receive_window - wanted < self._ahead // 4:
            growth = min(wanted + self._ahead, LARGEST_WINDOW) - stream.receive_window
            stream.receive_window += growth
            self._write([window_frame(stream.number, growth)])

    def _take_complete(self, stream: CallStream) -> None:
        message = stream.message
        if message is None or stream.filled < len(message) or stream.number not in self._streams:
            return
        is_packed = bool(stream.prefix[0])
        stream.message = None
        stream.prefix.clear()
        self._patience.idle_frames = 0
        self._door.take(stream, message, is_packed)

    def _end_input(self, stream: CallStream) -> None:
        stream.is_client_done = True
        if not stream.is_waiting and stream.number in self._streams:
            self._door.end_input(stream)

    def admit(self, stream: CallStream) -> None:
        """There is room for the message for which there was none."""
        stream.is_waiting = False
        early, stream.early = stream.early, bytearray()
        self._begin_message(stream, len(early))
        self._take_complete(stream)
        self._feed(stream, memoryview(early))
        if stream.is_client_done and not stream.is_waiting:
            self._end_input(stream)

    def _take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Take a frame that holds no data."""
        if kind not in (FrameKind.HEADERS, FrameKind.RST_STREAM, FrameKind.WINDOW_UPDATE):
            self._patience.count_idle()
        match kind:
            case FrameKind.HEADERS:
                expect(number % 2 == 1)  # the numbers that a client gives
                self._block = bytearray(strip_padding(flags, payload))
                self._block_flags, self._block_number = flags, number
                self._take_block(flags)
            case FrameKind.CONTINUATION:
                if not self._block_number:
                    raise ConnectionFault(Reason.PROTOCOL_ERROR, "No headers go on here.")
                self._block += payload
                self._take_block(flags)
            case FrameKind.RST_STREAM:
                expect(len(payload) == 4, Reason.FRAME_SIZE_ERROR)
                expect(0 < number <= self._last)
                if (stream := self._streams.get(number)) is not None:
                    self._drop(stream)
                    self._patience.count_reset()
            case FrameKind.SETTINGS:
                expect(number == 0)
                self._take_settings(flags, payload)
            case FrameKind.PING:
                expect(number == 0)
                expect(len(payload) == 8, Reason.FRAME_SIZE_ERROR)
                if not flags & ACK:
                    self._write([frame(FrameKind.PING, ACK, 0, payload)])
            case FrameKind.WINDOW_UPDATE:
                self._take_window(number, payload)
            case FrameKind.PUSH_PROMISE:
                raise ConnectionFault(Reason.PROTOCOL_ERROR, "A client promises nothing.")
            case _:  # PRIORITY and GOAWAY say nothing that is needed; others are to be ignored
                pass

    def _take_block(self, flags: int) -> None:
        """Read a call's headers, if all of them are there."""
        if len(self._block) > LARGEST_BLOCK:
            raise ConnectionFault(Reason.ENHANCE_YOUR_CALM, "The headers are too long.")
        if not flags & END_HEADERS:
            return
        number, self._block_number = self._block_number, 0
        try:
            headers = self._reader.read(bytes(self._block))
        except PackingError as error:
            raise ConnectionFault(Reason.COMPRESSION_ERROR, str(error)) from None
        is_end = bool(self._block_flags & END_STREAM)
        stream = self._streams.get(number)
        if number <= self._last:
            if stream is not None:  # headers behind a call's messages say nothing that is needed
                expect(is_end and not stream.is_client_done)
                self._end_input(stream)
            return
        self._last = number
        if self._is_leaving:
            self._write([reset_frame(number, Reason.REFUSED_STREAM)])
            return
        stream = CallStream(
            number, headers, self._room.first_window, self._ahead, is_client_done=is_end
        )
        self._streams[number] = stream
        self._door.begin(self, stream)
        if is_end:
            self._end_input(stream)

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            return
        self._is_settled = True
        self._patience.count_idle(len(self._streams))  # each of which is looked at
        self._room.take_settings(payload, self._streams.values())
        self._write([frame(FrameKind.SETTINGS, ACK, 0)])
        self._has_new_room = True

    def _take_window(self, number: int, payload: bytes) -> None:
        expect(len(payload) == 4, Reason.FRAME_SIZE_ERROR)
        growth = int.from_bytes(payload) & NUMBER_MASK
        expect(growth > 0 and number <= self._last)
        if number == 0:
            self._room.grow(growth)
        elif (stream := self._streams.get(number)) is not None:
            stream.grow(growth)
        self._has_new_room = True

    # What goes out.

    def send(
        self, stream: CallStream, head: bytes, content: Sequence[bytes], trailer: bytes
    ) -> None:
        """Send frames, then data as far as the client lets them come, then, if there is one, the
        frame that ends the call."""
        if stream.number not in self._streams:
            return
        stream.outgoing += [memoryview(piece) for piece in content]
        stream.trailer = trailer
        parts: list[bytes | memoryview] = [head]
        self._send_some(stream, parts)
        self._write(parts)
        self.bound_unsent(stream)

    @property
    def unsent_bytes(self) -> int:
        """Of the answers that this client has not taken."""
        unsent = sum(stream.unsent_bytes for stream in self._streams.values())
        return 0 if self._is_over else unsent + self._transport.get_write_buffer_size()

    def bound_unsent(self, stream: CallStream) -> None:
        """If this client lets answers lie, and all clients too many: end with the worst."""
        if stream.outgoing or self._is_paused:
            unsent = {each: each.unsent_bytes for each in self._connections}
            if sum(unsent.values()) > MOST_UNSENT_BYTES:
                max(unsent, key=unsent.__getitem__).abort()

    def _send_waiting(self) -> None:
        for stream in [stream for stream in self._streams.values() if stream.outgoing]:
            parts: list[bytes | memoryview] = []
            self._send_some(stream, parts)
            self._write(parts)

    def _send_some(self, stream: CallStream, parts: list[bytes | memoryview]) -> None:
        must_wait = self._is_paused and stream.outgoing
        if must_wait or not self._room.take_data(stream, parts):
            return
        stream.sent.set()
        if stream.trailer:
            self._patience.count_answer()
            parts.append(stream.trailer)
            if not stream.is_client_done:  # it need not send the rest
                parts.append(reset_frame(stream.number, Reason.NO_ERROR))
            self._drop(stream)

    def _write(self, parts: Sequence[bytes | memoryview]) -> None:
        if not self._is_over:
            data = b"".join(parts)
            self._presence.written_bytes += len(data)
            self._transport.write(data)

    # How it ends.

    def _drop(self, stream: CallStream) -> None:
        """A call is over."""
        self._streams.pop(stream.number, None)
        self._door.abandon(stream)
        stream.sent.set()
        if self._is_leaving and not self._is_over and not self._streams:
            self._wait_for_client()

    def leave(self) -> None:
        """Take no more calls, and close when those that are there are answered."""
        if self._is_leaving or self._is_over:
            return
        self._is_leaving = True
        self._write([farewell_frame(self._last, Reason.NO_ERROR)])
        if not self._streams:
            self._wait_for_client()

    def _wait_for_client(self) -> None:
        """Let the client close the connection, when it has read what it was sent: it would forget
        answers that it has not read yet if it were closed here."""
        self._timer.cancel()
        self._timer = self._loop.call_later(LINGER_SECONDS, self.abort)

    def abort(self) -> None:
        """Close the connection now."""
        self._is_over = True
        self._transport.abort()

    def _fail(self, fault: ConnectionFault) -> None:
        """Say what the client may not do, and close the connection."""
        self._write([farewell_frame(self._last, fault.reason, str(fault))])
        self._is_over = True
        self._transport.close()
        self._timer.cancel()
        self._timer = self._loop.call_later(LINGER_SECONDS, self._transport.abort)

    def _look(self) -> None:
        """Ask a silent client whether it is still there."""
        sign = self._presence.look(self._loop.time(), self._transport.get_write_buffer_size())
        if sign is Sign.GONE or not self._is_begun:
            self.abort()
            return
        if sign is Sign.SILENT:
            self._wake_after(1)  # some of a message may be there, though not enough
            self._write([frame(FrameKind.PING, 0, 0, bytes(8))])
        self._patience = Patience()
        self._timer = self._loop.call_later(Presence.wait_seconds(sign), self._look)
