# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The example in C as it runs on a Zynq board: its registers and its buffer are files here, and a
stand-in for the design and for both DMAs writes what they would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.places import ROOT

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
PAGE, BUFFER_BYTES, PHYSICAL = 4096, 1 << 22, 0x30000000
CONTROL, BATCH, CYCLES = 3, 4, 10  # words of the design's registers
SEND, RECEIVE = 0x00 // 4, 0x30 // 4
STATUS, ADDRESS, LENGTH = 1, 6, 10  # of a DMA's channel
RESET, IDLE, ADDRESS_ERROR = 4, 2, 0x40
FLAGS = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]
Answer = Callable[[bytes], bytes | None]  # None where a DMA has an error


def compile_example(deploy: Path) -> Path:
    """The program, without a warning."""
    program = deploy / "example"
    _compile([*FLAGS, "-o", program, deploy / "example.c"])
    return program


def run_example(
    deploy: Path, content: bytes, answer: Answer, identity: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The example with bytes at its input; the design answers a packet with another. `identity`:
    the design's number, where it is not that of `design.json`."""
    number = int(json.loads((deploy / "design.json").read_text())["identity"], 16)
    number = number if identity is None else identity
    folder = deploy.parent / "c_board"
    folder.mkdir()
    shim = folder / "c_board.so"
    _compile(["-shared", "-fPIC", "-o", shim, ROOT / "tests/support/c_board.c"])
    (folder / "address").write_text(f"0x{PHYSICAL:x}\n")
    memory = np.memmap(folder / "mem", np.uint32, "w+", shape=(3, PAGE // 4))
    buffer = np.memmap(folder / "buffer", np.uint8, "w+", shape=(BUFFER_BYTES,))
    memory[0, :2] = number & 0xFFFFFFFF, number >> 32
    (folder / "input").write_bytes(content)
    words = [compile_example(deploy), "0x0", hex(PAGE), hex(2 * PAGE)]
    with (
        (folder / "input").open("rb") as into,
        subprocess.Popen(
            [str(word) for word in words], stdin=into,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "C_BOARD": str(folder), "LD_PRELOAD": str(shim)},
        ) as process,
    ):  # fmt: skip
        try:
            while process.poll() is None and not _serve(memory, buffer, answer):
                pass
            out, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    return subprocess.CompletedProcess(words, process.returncode, out, errors)


def _serve(memory: np.memmap, buffer: np.memmap, answer: Answer) -> bool:  # type: ignore[type-arg]
    """What the hardware does next; whether a transfer has ended."""
    design, send, receive = memory[0], memory[1, SEND:], memory[2, RECEIVE:]
    for channel in (send, receive):
        if channel[0] & RESET:
            channel[[STATUS, LENGTH]] = 0
            channel[0] = 0
    if design[CONTROL] & 1:
        design[CONTROL] = 0
    if not send[LENGTH] or not receive[LENGTH]:
        return False
    assert design[BATCH] == 1
    first, to = int(send[ADDRESS]) - PHYSICAL, int(receive[ADDRESS]) - PHYSICAL
    packet = answer(buffer[first : first + int(send[LENGTH])].tobytes())
    if packet is None:
        send[STATUS] = ADDRESS_ERROR
        return True
    assert len(packet) <= receive[LENGTH]
    buffer[to : to + len(packet)] = np.frombuffer(packet, np.uint8)
    design[CYCLES] = 1234
    receive[LENGTH] = len(packet)
    receive[STATUS] = IDLE
    return True


def _compile(words: list[str | Path]) -> None:
    done = subprocess.run(["gcc", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
