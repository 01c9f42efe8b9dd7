# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design on a board: messages, answers, what goes wrong on a line, the board from pin to pin."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base import assets
from edgeinfer.base.errors import (
    DisagreementError,
    InputError,
    ToolFailedError,
    ToolMissingError,
    UsageError,
)
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards import messages
from edgeinfer.targets.boards.boards import FOLDER, SerialBoard, board, boards
from edgeinfer.targets.boards.messages import (
    AnswerError,
    Channel,
    Protocol,
    checksum,
    read_protocol,
)
from edgeinfer.targets.boards.serial import SerialLine, find_port, open_port, run
from edgeinfer.targets.rtl.board.shell_files import CLOCK, CRYSTAL, TOP, clock_file
from edgeinfer.targets.rtl.board.simulate import simulated_line
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Fixed, Ints
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import needs_verilator
from tests.support.rtl_faults import FAULTS
from tests.support.rtl_library import Fault
from tests.support.rtl_programs import dense_program, merged, small_network
from tests.unit.targets.rtl.test_library import lint

BOARD = "ulx3s"
SETTINGS = RtlSettings(board=BOARD, clock_mhz=20.0)  # few cycles for a bit, so quickly simulated
PATIENCE = 20_000
SERIAL = [name for name in boards() if isinstance(board(name), SerialBoard)]
CYCLES = 4242
EXAMPLE = Protocol(
    0xBEEF,
    1_000_000,
    100,
    100.0,
    (Channel("x", Fixed(True, 5, 2), (2, 6), 3), Channel("z", Fixed(False, 9, 9), (2,), 1)),
    (Channel("y", Fixed(True, 12, 4), (4,), 2),),
)


def serial_board(name: str) -> SerialBoard:
    result = board(name)
    assert isinstance(result, SerialBoard)
    return result


def frame_of(protocol: Protocol, seed: int) -> dict[str, Ints]:
    rng = np.random.default_rng(seed)
    return {
        c.name: rng.integers(c.type.raw_min, c.type.raw_max, c.shape, endpoint=True)
        for c in protocol.inputs
    }


def turned_round(protocol: Protocol) -> Protocol:
    """The board's side: what is put out is put in."""
    return replace(protocol, inputs=protocol.outputs, outputs=protocol.inputs)


def answer(protocol: Protocol, values: Mapping[str, Ints], status: int = 0) -> bytes:
    """What a board would say; its outputs are packed as inputs are."""
    turned = turned_round(protocol)
    payload = turned.message(values)[5:-2] + CYCLES.to_bytes(4, "little") if status == 0 else b""
    body = bytes([status]) + len(payload).to_bytes(2, "little") + payload
    return bytes([messages.ANSWER]) + body + checksum(body)


class Echo:
    """A line with given answers, after the one that says it is the right design; what was sent is
    kept."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = [answer(EXAMPLE, {}, messages.WRONG_LENGTH), *answers]
        self.sent: list[bytes] = []
        self.come = io.BytesIO()

    def write(self, content: bytes, /) -> None:
        self.sent.append(content)
        self.come = io.BytesIO(self.answers.pop(0))

    def read(self, count: int, /) -> bytes:
        return self.come.read(count)

    def reset_input_buffer(self) -> None:
        self.come = io.BytesIO()


def test_a_message_holds_beats_in_whole_bytes() -> None:
    frame = {"x": np.arange(12).reshape(2, 6), "z": np.array([257, 3])}
    message = EXAMPLE.message(frame)
    assert message[:5] == bytes([0xA5, 0xEF, 0xBE, 12, 0])
    first = 0 | 1 << 5 | 2 << 10
    assert message[5:7] == first.to_bytes(2, "little")
    assert message[13:17] == bytes([1, 1, 3, 0])
    assert message[17:] == checksum(message[1:17])


def test_the_check_is_the_published_one() -> None:
    assert checksum(b"123456789") == (0x29B1).to_bytes(2, "little")


@given(st.integers(0, 1 << 30))
def test_answers_are_read_back(seed: int) -> None:
    values = frame_of(turned_round(EXAMPLE), seed)
    result = EXAMPLE.read_answer(io.BytesIO(answer(EXAMPLE, values)).read)
    np.testing.assert_array_equal(result.outputs["y"], values["y"])
    assert result.cycles == CYCLES


def test_a_damaged_message_is_sent_again_and_reasons_are_told() -> None:
    frame = frame_of(EXAMPLE, 1)
    batch = {name: values[None] for name, values in frame.items()}
    good = answer(EXAMPLE, {"y": np.array([1, -2, 3, -4])})
    damaged = bytes([*good[:-1], good[-1] ^ 1])
    line = Echo(answer(EXAMPLE, {}, messages.WRONG_CHECK), damaged, good)
    results = run(EXAMPLE, line, batch)
    assert results.outputs["y"].tolist() == [[1, -2, 3, -4]] and results.cycles.tolist() == [CYCLES]
    assert line.sent == [EXAMPLE.question(), *[EXAMPLE.message(frame)] * 3]
    for said, reason in (
        (answer(EXAMPLE, {}, messages.OTHER_DESIGN), "another design is on the board"),
        (answer(EXAMPLE, {}, messages.WRONG_LENGTH), "another length"),
        (good[:9], "did not answer, or not to the end"),
        (b"", "did not answer"),
        (b"\x00" + good, "does not begin an answer"),
    ):
        with pytest.raises(AnswerError, match=reason):
            run(EXAMPLE, Echo(said), batch, tries=1)


def test_another_design_is_noticed_before_a_frame_is_sent() -> None:
    batch = {name: values[None] for name, values in frame_of(EXAMPLE, 1).items()}
    line = Echo()
    line.answers = [answer(EXAMPLE, {}, messages.OTHER_DESIGN)]
    with pytest.raises(AnswerError, match="another design is on the board") as caught:
        run(EXAMPLE, line, batch)
    assert "edgeinfer board load" in caught.value.hint and line.sent == [EXAMPLE.question()]


def test_frames_that_do_not_fit_are_refused() -> None:
    frame = frame_of(EXAMPLE, 1)
    with pytest.raises(InputError, match="has shape"):
        EXAMPLE.message(frame | {"z": np.zeros(3, np.int64)})
    with pytest.raises(InputError, match="holds the raw integer"):
        EXAMPLE.message(frame | {"z": np.array([0, 512])})
    with pytest.raises(InputError, match="number of frames"):
        run(EXAMPLE, Echo(), {"x": np.zeros((2, 2, 6), int), "z": np.zeros((1, 2), int)})


def test_a_port_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no design for a board"):
        read_protocol(tmp_path)
    missing = importlib.util.find_spec("serial") is None
    expected = ToolMissingError if missing else ToolFailedError
    with pytest.raises(expected), open_port(str(tmp_path / "no-such-port"), 9600):
        pass


def test_a_board_without_a_port_of_its_own_wants_one_named() -> None:
    with pytest.raises(UsageError, match="no serial port on USB of its own") as caught:
        find_port(serial_board("orangecrab"))
    assert "--port" in caught.value.hint


def test_what_lies_beside_a_design_for_a_board(tmp_path: Path) -> None:
    program = dense_program(4, 2)
    RtlTarget().emit(program, SETTINGS).write(tmp_path)
    names = {path.name for path in (tmp_path / FOLDER).iterdir()}
    assert {f"{TOP}.v", "ulx3s.lpf", "Makefile", "board.json", "ei_uart_rx.v"} <= names
    protocol = read_protocol(tmp_path)
    assert protocol.number == int(program.digest[:4], 16)
    assert [c.name for c in protocol.inputs] == ["x"] and protocol.outputs[0].shape == (2,)
    with pytest.raises(UsageError, match="no shell for the board"):
        RtlTarget().emit(program, RtlSettings(board="ulx3"))
    with pytest.raises(UsageError, match="keeps up to 65,535"):
        RtlTarget().emit(dense_program(8, 70_000), SETTINGS)


@pytest.mark.parametrize("name", SERIAL)
def test_every_port_of_a_board_s_top_has_a_pin(name: str) -> None:
    on, program = serial_board(name), dense_program(4, 2)
    settings = RtlSettings(board=name)
    assert settings.part == on.part and 10 < settings.clock_mhz <= 100
    top = RtlTarget().emit(program, settings).files[f"{FOLDER}/{TOP}.v"].decode()
    head = top[top.index(f"module {TOP}") : top.index(");")]
    ports = re.findall(r"(?:input|output) +wire (?:\[(\d+):0\] )?(\w+)", head)
    expected = {
        f"{port}[{bit}]" if width else port
        for width, port in ports
        for bit in range(int(width or 0) + 1)
    }
    pins = assets.text(f"firmware/rtl/boards/{on.pins}")
    result = re.findall(
        r'LOCATE COMP "(.+?)"|IO_LOC "(.+?)"|ldc_set_location.*ports \{(.+?)\}'
        r"|set_io (?:-pullup yes )?(\S+) \d", pins
    )  # fmt: skip
    placed = [next(filter(None, each)) for each in result]
    assert expected == set(placed) and len(placed) == len(expected)
    sites = re.findall(r'SITE "(\w+)"|IO_LOC "\S+" (\d+)|-site \{(\w+)\}|set_io .* (\d+)', pins)
    assert len(set(sites)) == len(placed)


def two_networks() -> Program:
    """Two inputs and two outputs of which each frame has several beats."""
    return merged([dense_program(6, 4), small_network(2)], "both")


@contextmanager
def opened(folder: Path, patience: int = PATIENCE) -> Iterator[tuple[Protocol, SerialLine]]:
    """The simulated board with the design of a folder."""
    protocol = read_protocol(folder)
    with simulated_line(folder, serial_board(BOARD), protocol, frames=1, patience=patience) as line:
        yield protocol, line


def assert_answers(
    program: Program, line: SerialLine, protocol: Protocol, raw: dict[str, Ints]
) -> None:
    """What comes out of the pins is what the engine says, frame by frame."""
    results = run(protocol, line, raw, tries=1)
    for name, values in Engine(program, threads=1).run(raw).items():
        np.testing.assert_array_equal(results.outputs[name], values, err_msg=name)
    metrics = {m.name: m.value for m in RtlTarget().estimate(program, SETTINGS) if not m.layer}
    assert set(results.cycles) == {metrics["latency_cycles"]}


@needs_verilator
def test_frames_in_through_the_pins_and_decisions_out(tmp_path: Path) -> None:
    program = two_networks()
    RtlTarget().emit(program, SETTINGS).write(tmp_path)
    raw = random_inputs(program, 5, 4)
    with opened(tmp_path) as (protocol, line):
        assert_answers(program, line, protocol, raw)
        line.write(bytes(range(0x20, 0x60)))  # noise between messages is ignored
        assert_answers(program, line, protocol, raw)
        assert line.read(1) == b""


def damaged_messages(protocol: Protocol, message: bytes) -> dict[str, bytes]:
    """A message with a wrong check, one for another design, one of another length: by the reason
    for which each is refused."""
    other = bytes([message[0], message[1] ^ 1, *message[2:-2]])
    short = message[:3] + b"\x02\x00ab"
    return {
        "check": bytes([*message[:9], message[9] ^ 4, *message[10:]]),
        "another design": other + checksum(other[1:]),
        "another length": short + checksum(short[1:]),
    }


@needs_verilator
def test_a_damaged_message_is_answered_and_the_next_is_taken(tmp_path: Path) -> None:
    program = two_networks()
    RtlTarget().emit(program, SETTINGS).write(tmp_path)
    raw = random_inputs(program, 5, 1)
    with opened(tmp_path) as (protocol, line):
        message = protocol.message({name: values[0] for name, values in raw.items()})
        for reason, content in damaged_messages(protocol, message).items():
            line.write(content)
            with pytest.raises(AnswerError, match=reason):
                protocol.read_answer(line.read)
        assert_answers(program, line, protocol, raw)


@needs_verilator
@pytest.mark.parametrize("name", SERIAL)
def test_the_board_is_clean(name: str, tmp_path: Path) -> None:
    RtlTarget().emit(two_networks(), RtlSettings(board=name)).write(tmp_path)
    for path in (tmp_path / HDL).glob("*.v"):
        if not path.name.startswith("tb_") and not path.name.endswith("_tb.v"):
            path.rename(tmp_path / FOLDER / path.name)
    (tmp_path / FOLDER / CLOCK).write_bytes(clock_file(CRYSTAL))  # a PLL is the vendor's
    assert lint(tmp_path / FOLDER, TOP) == ""


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize(
    "fault", [f for f in FAULTS if f.file.startswith("shell/")], ids=lambda fault: fault.name
)
def test_a_fault_of_the_shell_is_noticed_from_outside(tmp_path: Path, fault: Fault) -> None:
    program = two_networks()
    RtlTarget().emit(program, SETTINGS).write(tmp_path)
    raw = random_inputs(program, 5, 2)
    Fault(fault.name, Path(fault.file).name, fault.right, fault.wrong, "").put_in(tmp_path / FOLDER)
    half = "without end" in fault.name
    quiet = 7_000_000 if half else PATIENCE  # cycles: longer than half a message is waited for
    with (
        opened(tmp_path, quiet) as (protocol, line),
        pytest.raises((AssertionError, AnswerError, DisagreementError)),
    ):
        message = protocol.message({name: values[0] for name, values in raw.items()})
        refused = damaged_messages(protocol, message)
        for reason in ("check", "another design"):
            line.write(refused[reason])
            try:
                protocol.read_answer(line.read)
            except AnswerError as error:
                assert reason in error.message
            else:
                raise AssertionError("a wrong message was taken")
        if half:
            line.write(message[:8])
            assert line.read(1) == b""
        assert_answers(program, line, protocol, raw)
