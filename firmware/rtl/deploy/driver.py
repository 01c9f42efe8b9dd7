# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The host of a design on a Zynq board: frames to it by DMA, results back, its registers.

It needs numpy and pynq, as every PYNQ image has them, and nothing else. The files beside it say
what the design is: design.json, design.bit, design.hwh.

    from driver import Accelerator

    with Accelerator() as accelerator:
        outputs = accelerator.run({"x": images})         # real numbers in and out
        raw = accelerator.run_raw({"x": integers})       # the integers themselves
        print(accelerator.cycles, accelerator.clock_mhz)
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

ID_LOW, ID_HIGH, VERSION, CONTROL, BATCH, FRAMES_IN, FRAMES_OUT = range(0, 28, 4)
SHORT_PACKETS, LONG_PACKETS, FLAGS, CYCLES, CLOCK_KHZ = range(28, 48, 4)
MISFRAMED, BUSY = 1, 2  # of the flags
SEND_CONTROL, RECEIVE_CONTROL, DMA_RESET = 0x00, 0x30, 4  # of the AXI DMA
REGISTERS = 1  # the version of them that this file knows
MOST_BYTES = (1 << 26) - 1  # of a transfer, by the DMA's length register
PATIENCE_SECONDS = 10.0


class AcceleratorError(Exception):
    """The design is not the one that design.json describes, or a transfer went wrong."""


class Accelerator:
    """A design in the programmable logic."""

    def __init__(self, folder=None, download=True):
        try:
            from pynq import Overlay, allocate
        except ImportError as error:
            raise AcceleratorError(
                f"{error}. Run this on the board, in a login shell of root, which knows where PYNQ "
                'is: sudo bash -lc "python3 ..."'
            ) from None
        self.folder = Path(__file__).parent if folder is None else Path(folder)
        self.described = json.loads((self.folder / "design.json").read_text())
        self.inputs, self.outputs = self.described["inputs"], self.described["outputs"]
        self.allocate = allocate
        try:
            self.overlay = Overlay(str(self.folder / "design.bit"), download=download)
        except (OSError, RuntimeError, ValueError) as error:
            raise AcceleratorError(
                f"The design was not loaded into the logic: {error}. Is this the board, is this a "
                "login shell of root (sudo bash -l), does another program use the logic?"
            ) from None
        streams = max(len(self.outputs), 1)  # a design for planes has one, of records
        try:
            self.registers = self.overlay.accelerator
            into = [getattr(self.overlay, f"dma_in_{k}") for k in range(len(self.inputs))]
            out_of = [getattr(self.overlay, f"dma_out_{k}") for k in range(streams)]
        except AttributeError as error:
            raise AcceleratorError(
                f"Another design is in design.bit: {error}. Copy the one of this design there, "
                "and its design.hwh."
            ) from None
        self.senders = [dma.sendchannel for dma in into]
        self.receivers = [dma.recvchannel for dma in out_of]
        self.engines = [(dma, SEND_CONTROL) for dma in into]
        self.engines += [(dma, RECEIVE_CONTROL) for dma in out_of]
        self.cycles = 0  # of the last transfer: from its first beat in to its last beat out
        self.seconds = 0.0  # of the last call of run, the DMA included
        self.check_identity()
        self.reset()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.overlay.free()

    @property
    def clock_mhz(self):
        """The clock that the design was made for."""
        return self.registers.read(CLOCK_KHZ) / 1000

    def check_identity(self):
        """An error where another design is in the logic."""
        number = self.registers.read(ID_HIGH) << 32 | self.registers.read(ID_LOW)
        expected = int(self.described["identity"], 16)
        if self.registers.read(VERSION) != REGISTERS:
            raise AcceleratorError("The design has other registers than this driver knows.")
        if number != expected:
            raise AcceleratorError(
                f"Another design is loaded: its number is {number:016x}, not {expected:016x}. Load "
                "the design.bit that lies beside design.json."
            )

    def reset(self):
        """Stop everything, forget what is on its way, clear the counters."""
        for dma, control in self.engines:
            dma.write(control, DMA_RESET)
        self.registers.write(CONTROL, 1)
        ends = time.monotonic() + PATIENCE_SECONDS
        while self.registers.read(CONTROL) & 1 or any(
            dma.read(control) & DMA_RESET for dma, control in self.engines
        ):
            if time.monotonic() > ends:
                raise AcceleratorError("The design does not leave its reset: has it a clock?")
        for channel in (*self.senders, *self.receivers):
            channel.start()

    def counters(self):
        """What the design has counted since its last reset."""
        names = {
            "frames_in": FRAMES_IN,
            "frames_out": FRAMES_OUT,
            "short_packets": SHORT_PACKETS,
            "long_packets": LONG_PACKETS,
        }
        counted = {name: self.registers.read(address) for name, address in names.items()}
        return {**counted, "misframed": bool(self.registers.read(FLAGS) & MISFRAMED)}

    def run(self, inputs, batch=256):
        """Real numbers by the inputs' names to real numbers by the outputs' names."""
        raw = {tensor["name"]: to_raw(inputs[tensor["name"]], tensor) for tensor in self.inputs}
        results = self.run_raw(raw, batch)
        return {
            tensor["name"]: finish(
                results[tensor["name"]] * 2.0 ** -tensor["fraction"], tensor["host"]
            )
            for tensor in self.outputs
        }

    def run_raw(self, raw, batch=256):
        """Integers by the inputs' names to integers by the outputs' names; frames on axis 0, so
        many of them in a transfer."""
        count = len(raw[self.inputs[0]["name"]])
        for tensor in self.inputs:
            shape = (count, *tensor["shape"])
            if np.shape(raw[tensor["name"]]) != shape or count == 0:
                raise AcceleratorError(
                    f"{tensor['name']} has the shape {np.shape(raw[tensor['name']])}, not {shape}."
                )
        largest = max(frame_bytes(tensor) for tensor in (*self.inputs, *self.outputs))
        batch = max(1, min(batch, count, MOST_BYTES // largest))
        parts = {tensor["name"]: [] for tensor in self.outputs}
        began = time.monotonic()
        for first in range(0, count, batch):
            frames = min(batch, count - first)
            sent = {name: values[first : first + frames] for name, values in raw.items()}
            for name, values in self._transfer(sent, frames).items():
                parts[name].append(values)
        self.seconds = time.monotonic() - began
        return {name: np.concatenate(values) for name, values in parts.items()}

    def _transfer(self, raw, frames):
        contents = [pack(raw[tensor["name"]], tensor) for tensor in self.inputs]
        sizes = [frames * frame_bytes(tensor) for tensor in self.outputs]
        packets = self.exchange(contents, sizes, frames)
        return {tensor["name"]: unpack(packets[k], tensor) for k, tensor in enumerate(self.outputs)}

    def exchange(self, contents, sizes, frames):
        """A packet of so many frames for each input, and up to so many bytes from each output."""
        before = self.counters()
        self.registers.write(BATCH, frames)
        sources = [self._buffer(content) for content in contents]
        sinks = [self.allocate((size,), np.uint8) for size in sizes]
        try:
            for number, buffer in enumerate(sinks):
                self.receivers[number].transfer(buffer)
            for number, buffer in enumerate(sources):
                self.senders[number].transfer(buffer)
            self._wait((*self.senders, *self.receivers))
            for buffer in sinks:
                buffer.invalidate()
            self.cycles = self.registers.read(CYCLES)
            self._check(before, frames)
            return [np.array(buffer) for buffer in sinks]
        except (OSError, RuntimeError) as error:
            self.reset()
            raise AcceleratorError(
                f"A DMA did not take a transfer: {error}. Does another program use it? The design "
                "was reset."
            ) from None
        finally:
            for buffer in (*sources, *sinks):
                buffer.freebuffer()

    def _buffer(self, content):
        buffer = self.allocate(content.shape, np.uint8)
        buffer[:] = content
        buffer.flush()
        return buffer

    def _wait(self, channels):
        ends = time.monotonic() + PATIENCE_SECONDS
        for channel in channels:
            while not channel.idle:
                if channel.error:
                    self.reset()
                    raise AcceleratorError("A DMA reported an error; the design was reset.")
                if time.monotonic() > ends:
                    counted = self.counters()
                    self.reset()
                    raise AcceleratorError(
                        f"A transfer did not end; the design was reset. It had counted {counted}."
                    )
            channel.wait()

    def _check(self, before, frames):
        after = self.counters()
        expected = {**before, "frames_in": before["frames_in"] + frames}
        expected["frames_out"] = before["frames_out"] + frames
        if after != expected:
            self.reset()
            raise AcceleratorError(
                f"The design counted {after} after {frames} frames, not {expected}; it was reset."
            )


def beat_bytes(tensor):
    """Bytes of a beat in memory: whole words of the DMA."""
    return tensor["word_bytes"] * tensor["words"]


def frame_bytes(tensor):
    """Bytes of a frame in memory."""
    return beat_bytes(tensor) * int(np.prod(tensor["shape"])) // tensor["lanes"]


def to_raw(values, tensor):
    """Real numbers as integers of an input's type: the nearest, ties to even, within its range. A
    network that rounds its inputs in another way gets integers, by run_raw."""
    rounded = np.rint(np.asarray(values, np.float64) * 2.0 ** tensor["fraction"])
    low, high = type_range(tensor)
    return np.clip(rounded, low, high).astype(np.int64)


def type_range(tensor):
    """The lowest and the highest integer of a type."""
    if tensor["signed"]:
        return -(1 << (tensor["bits"] - 1)), (1 << (tensor["bits"] - 1)) - 1
    return 0, (1 << tensor["bits"]) - 1


def pack(raw, tensor):
    """Integers (frames first) as the bytes that the DMA sends."""
    low, high = type_range(tensor)
    raw = np.ascontiguousarray(raw, np.int64)
    if raw.min() < low or raw.max() > high:
        raise AcceleratorError(f"{tensor['name']} has values beyond {low}..{high}.")
    beats = raw.reshape(-1, tensor["lanes"])
    bits = (beats[..., None] >> np.arange(tensor["bits"])) & 1
    packed = np.packbits(bits.astype(np.uint8).reshape(len(beats), -1), axis=1, bitorder="little")
    padded = np.zeros((len(beats), beat_bytes(tensor)), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.reshape(-1)


def unpack(content, tensor):
    """The way back."""
    beats = content.reshape(-1, beat_bytes(tensor))
    bits = np.unpackbits(beats, axis=1, bitorder="little", count=tensor["lanes"] * tensor["bits"])
    split = bits.reshape(len(beats), tensor["lanes"], tensor["bits"]).astype(np.int64)
    raw = (split << np.arange(tensor["bits"], dtype=np.int64)).sum(axis=2)
    if tensor["signed"]:
        sign = 1 << (tensor["bits"] - 1)
        raw = (raw ^ sign) - sign
    return raw.reshape(-1, *tensor["shape"])


def finish(values, host):
    """What the design leaves to the host: the last softmax or sigmoid."""
    if host == "softmax":
        grown = np.exp(values - values.max(axis=-1, keepdims=True))
        return grown / grown.sum(axis=-1, keepdims=True)
    if host == "sigmoid":
        return 1 / (1 + np.exp(-values))
    return values
