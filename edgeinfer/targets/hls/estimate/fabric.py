# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a tool makes of one operation on one fabric: LUTs, delays, block RAMs.

The laws are those of the tools' own operator libraries, as their reports print them (an N bit
adder is N + 7 LUTs, and N in a three-input pair; a product of 18 bits or more takes a DSP block).
Constants that were fitted to published designs are in ``firmware/hls/estimate.toml``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from edgeinfer.base import assets
from edgeinfer.targets.hls.settings import Backend, HlsSettings

CONSTANTS = "firmware/hls/estimate.toml"
DSP_LEAST_PRODUCT_BITS = 18  # narrower products go to LUTs
DSP_LUTS = 5  # beside each DSP block
MULTIPLIER_FF = 67.0  # of one that takes two cycles
MULTIPLEXER_LUT = 0.33  # for each bit of each way: a LUT holds a 4-way multiplexer
CARRY_LUTS = 7  # of an adder, beyond its width
SRL_BITS = 1024  # of a FIFO that stays in shift registers
SRL_DEPTH = 32
OUTPUT_REGISTER_BITS = 128  # at most, behind the block RAM of a FIFO
WORD_BITS = 18  # of a block RAM that is as wide as it goes with two ports
HANDED_FF = 5.0  # of a FIFO's control
DELAY_FF, DELAY_LUT = 4, 2  # for each bit of a value that waits for several cycles, in Vitis HLS
BRAM_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


class HlsTool(StrEnum):
    """Whose operator library, and whose way to connect layers."""

    VIVADO = "Vivado HLS"
    VITIS = "Vitis HLS"


UNCERTAINTY = {HlsTool.VIVADO: 0.125, HlsTool.VITIS: 0.27}  # of the clock, as hls4ml asks for it
RECENT_YEAR = 2024  # from which on Vitis HLS connects tasks, and cuts multipliers, in another way
PACED_RELEASE = "2023.2"  # from which on it schedules line buffers in another way
EARLY_YEAR = 2021  # up to which Vitis HLS is asked for as little as Vivado HLS, and chains sums


@cache
def constants() -> dict[str, Any]:
    """The fitted constants and the bands."""
    return tomllib.loads(assets.text(CONSTANTS))


@dataclass(frozen=True, slots=True)
class HlsFabric:
    """A tool, a clock, and how fast and how wide the part's logic is."""

    tool: HlsTool
    usable_ns: float  # of a clock cycle
    speed: float  # delays relative to UltraScale+
    dsp_wide: int  # operand widths of a DSP block's multiplier, signed
    dsp_narrow: int
    fit: dict[str, float]
    early: bool = False  # Vitis HLS of its first years
    recent: bool = False  # Vitis HLS that is known to be of a recent release
    paced: bool = False  # Vitis HLS whose line buffers take a pixel in three cycles
    slow: bool = False  # logic in which wide operators take most of a usual clock cycle

    @property
    def multiply_ns(self) -> float:
        """Through a DSP block without registers."""
        return self.fit["multiply_ns"] * self.speed

    @property
    def multiplier_ff(self) -> float:
        """Registers in a multiplier: recent Vitis HLS gives it two cycles on slow logic."""
        return MULTIPLIER_FF if self.recent and self.slow else 0.0

    @property
    def add_ns(self) -> float:
        """Through an adder of two or three numbers."""
        return self.fit["add_ns"] * self.speed

    @property
    def lut_multiply_ns(self) -> float:
        """Through a narrow product in LUTs."""
        return SLOW_LUT_MULTIPLY_NS if self.slow else self.multiply_ns * LUT_SPEED

    @property
    def compare_ns(self) -> float:
        """Through a comparison and a choice."""
        return SLOW_COMPARE_NS if self.slow else COMPARE_NS * self.speed

    @property
    def window_lut(self) -> float:
        """LUTs for each bit of a window that slides along with a stream."""
        return self.fit["window_lut" if self.tool is HlsTool.VIVADO else "window_lut_vitis"]

    @property
    def gather_lut(self) -> float:
        """LUTs of a wide multiplexer, for each bit of each way."""
        return self.fit["gather_lut"] if self.tool is HlsTool.VIVADO else MULTIPLEXER_LUT


LUT_SPEED = 0.75  # of a narrow product in LUTs, relative to a DSP block
COMPARE_NS = 1.15  # on UltraScale+
SLOW_COMPARE_NS = 3.2  # on 7-series, as the tool's library has it
SLOW_LUT_MULTIPLY_NS = 4.2
SPEEDS = {"versal": 0.9, "ultrascale+": 1.0, "ultrascale": 1.25, "7-series": 1.7}
DSP_WIDTHS = {"7-series": (25, 18)}  # DSP48E1; all others as DSP48E2


def fabric(settings: HlsSettings, kind: str, fit: dict[str, float] | None = None) -> HlsFabric:
    """The tool that the backend calls, on a kind of logic."""
    tool = HlsTool.VIVADO if settings.backend is Backend.VIVADO else HlsTool.VITIS
    wide, narrow = DSP_WIDTHS.get(kind, (27, 18))
    year = settings.tool_year if tool is HlsTool.VITIS else None
    early = year is not None and year <= EARLY_YEAR
    recent = year is not None and year >= RECENT_YEAR
    paced = year is not None and settings.tool_version >= PACED_RELEASE
    usable = settings.clock_ns * (1 - UNCERTAINTY[HlsTool.VIVADO if early else tool])
    chosen = fit if fit is not None else constants()["fit"]
    return HlsFabric(
        tool,
        usable,
        SPEEDS.get(kind, 1.25),
        wide,
        narrow,
        chosen,
        early,
        recent,
        paced,
        slow=kind == "7-series",
    )


def cuts_of(usable_ns: float, delays_ns: Iterable[float], begun_ns: float = 0.0) -> int:
    """Clock edges within a row of operators: each goes where there is room in the cycle, and one
    that is longer than a cycle is cut itself."""
    cuts, at = 0, 0.0
    for delay in (begun_ns, *delays_ns):
        if at and at + delay > usable_ns:
            cuts, at = cuts + 1, 0.0
        within = int(delay / usable_ns)
        cuts, at = cuts + within, at + delay - within * usable_ns
    return cuts


def adder_luts(f: HlsFabric, bits: float, count: float = 1) -> float:
    """Adders in a tree: most pairs become three-input adders, a LUT for each bit."""
    return count * (bits + CARRY_LUTS * f.fit["binary_share"])


def compare_luts(f: HlsFabric, bits: int) -> float:
    """Two numbers, which is larger."""
    return bits + CARRY_LUTS if f.tool is HlsTool.VITIS else 5 + bits / 2


def maximum_luts(f: HlsFabric, bits: int) -> float:
    """The larger of two numbers: compared, then selected."""
    return compare_luts(f, bits) + bits


def multiplexer_luts(bits: float, ways: float) -> float:
    """One of several numbers."""
    return bits * max(ways - 1, 0) * MULTIPLEXER_LUT


def product_dsps(f: HlsFabric, a_bits: int, b_bits: int) -> int:
    """DSP blocks of a multiplier; 0 where it goes to LUTs."""
    if a_bits + b_bits < DSP_LEAST_PRODUCT_BITS or min(a_bits, b_bits) < 2:
        return 0
    wide, narrow = max(a_bits, b_bits), min(a_bits, b_bits)

    def parts(bits: int, port: int) -> int:
        return max(math.ceil((bits - 1) / (port - 1)), 1)

    return min(
        parts(wide, f.dsp_wide) * parts(narrow, f.dsp_narrow),
        parts(wide, f.dsp_narrow) * parts(narrow, f.dsp_wide),
    )


def product_luts(f: HlsFabric, a_bits: int, b_bits: int) -> float:
    """LUTs of a multiplier: all of it, or what stands beside its DSP blocks."""
    blocks = product_dsps(f, a_bits, b_bits)
    if blocks:
        return DSP_LUTS * blocks
    wide = max(a_bits, b_bits)
    return wide * wide / 2 + 8.5 if min(a_bits, b_bits) > 1 else float(wide)


def memory_brams(depth: int, bits: int) -> int:
    """Block RAMs of 18 kbit for a memory, in the best of their shapes."""
    if depth <= 0 or bits <= 0:
        return 0
    return min(math.ceil(depth / d) * math.ceil(bits / w) for d, w in BRAM_SHAPES)


@dataclass(frozen=True, slots=True)
class Store:
    """A memory or a FIFO: where its bits are kept."""

    lut: float = 0.0
    ff: float = 0.0
    bram18: int = 0


def handed_element(f: HlsFabric, bits: int) -> Store:
    """What holds an element that a task hands to another one where all elements are at hand. Vitis
    HLS registers it; from 2024 on, as its task does, in a FIFO of two places."""
    if f.tool is HlsTool.VIVADO:
        return Store(bits + 4.0, HANDED_FF)
    if f.recent:
        return Store(bits + 20.0, 3.0 * bits + HANDED_FF)
    return Store(bits + 4.0, float(bits))


def whole_word(bits: int) -> Store:
    """A tensor as one word in a FIFO of two places: in block RAM, however wide, as Vivado HLS has
    it."""
    blocks = math.ceil(bits / WORD_BITS) if 2 * bits > SRL_BITS else 0
    return Store(bits + 19.0, bits + 10.0, blocks)


def fifo(f: HlsFabric, depth: int, bits: int, channels: int) -> Store:
    """The FIFO between two layers: one for every channel in Vivado HLS, one for all in Vitis."""
    if f.tool is HlsTool.VIVADO:
        one = _fifo(depth, bits, SRL_BITS // 4)
        return Store(one.lut * channels, one.ff * channels, one.bram18 * channels)
    return _fifo(depth, bits * channels, SRL_BITS)


def _fifo(depth: int, bits: int, srl_bits: int) -> Store:
    counter = math.ceil(math.log2(max(depth, 2)))
    if depth <= 2 or depth * bits <= srl_bits:
        shift_registers = bits * math.ceil(depth / SRL_DEPTH)
        return Store(shift_registers + 19, 4 + counter)
    register_bits = min(bits, OUTPUT_REGISTER_BITS)
    blocks = min(math.ceil(depth / d) * math.ceil(bits / w) for d, w in BRAM_SHAPES[1:])
    return Store(register_bits + 19, register_bits + 3.3 * counter, blocks)
