# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What cocotb does at the pins of a design behind AXI, inside the simulator: it plays the packets
of a script and compares what comes out. `tests/conformance/test_axi_cocotb.py` writes the script,
so that nothing is computed here."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

SCRIPT = "EDGEINFER_AXI_SCRIPT"
PERIOD_NS = 10
PATIENCE_US = 40
ID_LOW, ID_HIGH, VERSION, CONTROL, BATCH, FRAMES_IN, FRAMES_OUT = range(0, 28, 4)
SHORT_PACKETS, LONG_PACKETS, FLAGS, CYCLES, CLOCK_KHZ = range(28, 48, 4)
MISFRAMED, BUSY = 1, 2


class Pins:
    """A design with a processor at its registers and a DMA at each of its streams."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.script = json.loads(Path(os.environ[SCRIPT]).read_text(encoding="utf-8"))
        self.rng = random.Random(self.script["seed"])
        cocotb.start_soon(Clock(dut.aclk, PERIOD_NS, unit="ns").start())
        pins = (dut.aclk, dut.aresetn)
        self.registers = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axi"), *pins, reset_active_level=False
        )
        self.sources = [
            AxiStreamSource(
                AxiStreamBus.from_prefix(dut, f"s_axis_{name}"), *pins, reset_active_level=False
            )
            for name in self.script["inputs"]
        ]
        self.sinks = [
            AxiStreamSink(
                AxiStreamBus.from_prefix(dut, f"m_axis_{name}"), *pins, reset_active_level=False
            )
            for name in self.script["outputs"]
        ]
        self.resetting = True
        self.first_beat = self.last_beat = 0
        for name in self.script["outputs"]:
            cocotb.start_soon(self._watch_stream(name))

    async def reset(self) -> None:
        """By the pin, which resets registers, design and DMAs."""
        self.resetting = True
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 8)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 24)
        self._forget()
        self.resetting = False

    async def reset_by_software(self) -> None:
        """By the register, and the DMAs beside it, as the driver does."""
        self.resetting = True
        for channel in (*self.sources, *self.sinks):
            channel.assert_reset(True)
        await self.write(CONTROL, 1)
        while await self.read(CONTROL) & 1:
            pass
        for channel in (*self.sources, *self.sinks):
            channel.assert_reset(False)
        self._forget()
        self.resetting = False

    def _forget(self) -> None:
        for sink in self.sinks:
            sink.clear()

    def hold_back(self, chance: float) -> None:
        """Let every channel stand still in so many of all cycles, each at random."""
        bus = self.registers
        channels = [bus.write_if.aw_channel, bus.write_if.w_channel, bus.write_if.b_channel]
        channels += [bus.read_if.ar_channel, bus.read_if.r_channel, *self.sources, *self.sinks]
        for channel in channels:
            channel.set_pause_generator(self._pauses(chance))

    def _pauses(self, chance: float) -> Iterator[bool]:
        rng = random.Random(self.rng.random())
        while True:
            yield rng.random() < chance

    async def _watch_stream(self, name: str) -> None:
        """A beat that was offered is offered until it is taken, and does not change."""
        pins = [getattr(self.dut, f"m_axis_{name}_{pin}") for pin in ("tdata", "tkeep", "tlast")]
        valid = getattr(self.dut, f"m_axis_{name}_tvalid")
        ready = getattr(self.dut, f"m_axis_{name}_tready")
        waiting = None
        while True:
            await FallingEdge(self.dut.aclk)
            if self.resetting:
                waiting = None
                continue
            seen = tuple(int(pin.value) for pin in pins)
            if waiting is not None:
                assert int(valid.value), f"{name} withdrew a beat"
                assert seen == waiting, f"{name} changed a beat that was not taken"
            waiting = seen if int(valid.value) and not int(ready.value) else None

    async def count_cycles(self) -> None:
        """The cycles in which the first beat went in and the last came out, by the pins alone."""
        pairs = {
            way: [
                [getattr(self.dut, f"{way}_axis_{name}_{pin}") for pin in ("tvalid", "tready")]
                for name in names
            ]
            for way, names in (("s", self.script["inputs"]), ("m", self.script["outputs"]))
        }
        self.first_beat = -1
        for cycle in itertools.count():
            await FallingEdge(self.dut.aclk)
            moved = {
                way: any(all(int(pin.value) for pin in pair) for pair in pairs[way])
                for way in pairs
            }
            if moved["s"] and self.first_beat < 0:
                self.first_beat = cycle
            if moved["m"]:
                self.last_beat = cycle

    async def read(self, address: int) -> int:
        """A register."""
        return await with_timeout(self.registers.read_dword(address), PATIENCE_US, "us")

    async def write(self, address: int, value: int) -> None:
        """Set a register."""
        await with_timeout(self.registers.write_dword(address, value), PATIENCE_US, "us")

    async def counters(self) -> dict[str, int]:
        """What the design has counted."""
        return {
            "frames_in": await self.read(FRAMES_IN),
            "frames_out": await self.read(FRAMES_OUT),
            "short": await self.read(SHORT_PACKETS),
            "long": await self.read(LONG_PACKETS),
            "misframed": await self.read(FLAGS) & MISFRAMED,
        }

    def send(self, packet: dict[str, Any]) -> None:
        """Give the DMAs what a packet of the script sends; each stream may send several pieces,
        each with a TLAST of its own."""
        for source, pieces in zip(self.sources, packet["sent"], strict=True):
            for piece in pieces:
                source.send_nowait(AxiStreamFrame(bytes.fromhex(piece)))

    async def play(self, packet: dict[str, Any]) -> None:
        """Send a packet, and compare all that comes out."""
        await self.write(BATCH, packet["batch"])
        self.send(packet)
        for sink, frames in zip(self.sinks, packet["expected"], strict=True):
            for expected in frames:
                result = await with_timeout(sink.recv(), PATIENCE_US, "us")
                assert bytes(result.tdata).hex() == expected
        for source in self.sources:  # what is too long is dropped after the results have come
            await with_timeout(source.wait(), PATIENCE_US, "us")
        await ClockCycles(self.dut.aclk, 4)
        assert all(sink.empty() and sink.idle() for sink in self.sinks)


async def begin(dut: Any, chance: float) -> Pins:
    """A design that was reset, whose channels stand still at random."""
    pins = Pins(dut)
    pins.hold_back(chance)
    await pins.reset()
    return pins


@cocotb.test()
async def registers_are_as_documented(dut: Any) -> None:
    pins = await begin(dut, 0.4)
    results = [await pins.read(address) for address in (ID_HIGH, ID_LOW, VERSION, CLOCK_KHZ)]
    assert results == [*pins.script["identity"], 1, pins.script["clock_khz"]]
    assert await pins.read(BATCH) == 1
    await pins.registers.write(BATCH, bytes.fromhex("785634f2"))
    assert await pins.read(BATCH) == 0xF2345678
    await pins.registers.write(BATCH + 1, bytes.fromhex("aabb"))  # two lanes of the strobe
    assert await pins.read(BATCH) == 0xF2BBAA78
    for address in (ID_LOW, VERSION, FRAMES_IN, CYCLES, CLOCK_KHZ, 0x30, 0xFC):
        before = await pins.read(address)
        await pins.write(address, 0xFFFFFFFF)
        assert await pins.read(address) == before
    assert await pins.read(0x30) == await pins.read(0xFC) == 0
    await pins.reset()
    assert await pins.read(BATCH) == 1


@cocotb.test()
async def good_packets_are_the_engine_s(dut: Any) -> None:
    pins = Pins(dut)
    for chance in (0.0, 0.3, 0.8):
        pins.hold_back(chance)
        await pins.reset()
        frames = 0
        for packet in pins.script["good"]:
            await pins.play(packet)
            frames += packet["batch"]
            assert not await pins.read(FLAGS) & BUSY
        expected = {"frames_in": frames, "frames_out": frames, "short": 0, "long": 0}
        assert await pins.counters() == {**expected, "misframed": 0}


@cocotb.test()
async def cycles_are_counted_from_the_first_beat_to_the_last(dut: Any) -> None:
    pins = Pins(dut)
    for chance in (0.0, 0.5):
        pins.hold_back(chance)
        await pins.reset()
        for packet in pins.script["good"]:
            watch = cocotb.start_soon(pins.count_cycles())
            await pins.play(packet)
            watch.cancel()
            assert await pins.read(CYCLES) == pins.last_beat - pins.first_beat + 1


@cocotb.test()
async def a_wrong_tlast_is_counted_and_the_next_packet_is_good(dut: Any) -> None:
    pins = await begin(dut, 0.3)
    counted = {"frames_in": 0, "frames_out": 0, "short": 0, "long": 0, "misframed": 0}
    for number, packet in enumerate(pins.script["wrong"]):
        await pins.play(packet)
        await pins.play(pins.script["good"][number % len(pins.script["good"])])
        frames = packet["packets"] * packet["batch"]
        frames += pins.script["good"][number % len(pins.script["good"])]["batch"]
        for name in ("frames_in", "frames_out"):
            counted[name] += frames
        counted["short"] += packet["short"]
        counted["long"] += packet["long"]
        assert await pins.counters() == counted, packet["title"]


@cocotb.test()
async def a_reset_in_the_middle_leaves_nothing_behind(dut: Any) -> None:
    pins = await begin(dut, 0.3)
    for number, packet in enumerate(pins.script["good"] * 2):
        await pins.write(BATCH, packet["batch"])
        pins.send(packet)
        await ClockCycles(dut.aclk, pins.rng.randrange(1, 2 * pins.script["latency_cycles"]))
        if number % 2:
            await pins.reset()
        else:
            await pins.reset_by_software()
        assert not any((await pins.counters()).values())
        await pins.play(packet)
        assert (await pins.counters())["frames_out"] == packet["batch"]
