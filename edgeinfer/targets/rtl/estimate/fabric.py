# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What work costs in a family: memories and multipliers by Yosys's own rules, the rest by constants
that were fitted to what Yosys finds. All of it stands in `firmware/rtl/costs.toml`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from edgeinfer.base import assets
from edgeinfer.base.errors import UsageError
from edgeinfer.targets.rtl.estimate.work import (
    PIECE_WORDS,
    BlockParts,
    Memory,
    Multiplier,
    Work,
    bits_for,
)

COSTS = "firmware/rtl/costs.toml"
ALIKE = {"ultrascale": "ultrascale+"}  # of one make, as far as Yosys goes
Add = Callable[[Work, float], None]
LOGIC = ("lut", "ff", "dsp")  # kinds that every family has, beside its block memories
BLOCK_BITS = {"bram18": 16_384, "bram4": 4_096}  # of a block memory, without parity
BLOCK_WIDTHS = {  # a word, and how much of it is no parity
    "bram18": {1: 1, 2: 2, 4: 4, 9: 8, 18: 16, 36: 32},
    "bram4": {2: 2, 4: 4, 8: 8, 16: 16},
}


@dataclass(frozen=True, slots=True)
class BlockCut:
    """A size of DSP block: the most bits of both its numbers, the fewest of the wider and of the
    narrower number for which Yosys takes it, and what it counts."""

    most: int
    least_wide: int
    least_narrow: int
    blocks: float


@dataclass(frozen=True, slots=True)
class CutProduct:
    """A product in pieces: DSP blocks, bits of the additions that join pieces, and the numbers of
    bits of pieces that are too small for any block and stay in LUTs."""

    blocks: float = 0.0
    joined_bits: float = 0.0
    in_luts: tuple[tuple[int, int], ...] = ()

    def __add__(self, other: CutProduct) -> CutProduct:
        return CutProduct(
            self.blocks + other.blocks,
            self.joined_bits + other.joined_bits,
            self.in_luts + other.in_luts,
        )


@dataclass(frozen=True, slots=True)
class FabricCosts:
    """A family's rules and constants."""

    small_words: int  # of a memory made of LUTs; 0: there are none
    small_bits: int
    small_lut: int  # LUTs that it takes
    small_cost: float  # by which Yosys chooses
    small_flat: float  # of that, what a memory costs of which only some bits are used
    small_early: float  # what is added if it is read a cycle early
    block_cost: float
    rom_cost: float  # of a bit in logic
    ram_cost: float
    fetch_words: int  # that one LUT can look up
    fetch_joined: int  # of those, as many as the fabric's own multiplexers join
    pick_words: int  # among which one LUT chooses
    least_bits: int  # of a product, for a DSP block
    ports: tuple[int, int]  # the widest numbers that one DSP block multiplies
    joined_bits: int  # up to this, blocks are joined without additions; 0: never
    takes_before: int  # rows of registers that DSP blocks take in before the multiplier
    takes_kept: bool  # whether also of those that must not be moved
    takes_after: bool  # and the register of the product
    takes_sums: bool  # and the addition that follows, with its register
    shifts_from: int  # so many registers in a row are a shift register in a LUT; 0: never
    lut: Mapping[Work, float]
    ff: Mapping[Work, float]
    pipeline: Mapping[Work, float]  # of an unrolled pipeline, whose blocks Yosys merges
    band: Mapping[str, tuple[float, float]]  # by kind, what Yosys found over what was estimated
    block_band: Mapping[str, tuple[float, float]]
    cuts: tuple[BlockCut, ...] = ()  # of products, where there are DSP blocks of several sizes
    block_kind: str = "bram18"  # what its block memories are
    write_cost: float = 0.0  # what a block memory costs more that is written: reads in that cycle

    @property
    def kinds(self) -> tuple[str, ...]:
        """What its designs take."""
        return (*LOGIC, self.block_kind)


@cache
def read_fabrics() -> dict[str, Any]:
    """The tables of the file, by fabric."""
    return tomllib.loads(assets.text(COSTS))


def known_fabrics() -> tuple[str, ...]:
    """Fabrics whose costs are known."""
    return (*read_fabrics(), *ALIKE)


@cache
def fabric_of(name: str) -> FabricCosts:
    """A family's costs."""
    if name not in known_fabrics():
        raise UsageError(
            f"No costs are known for the fabric {name!r}.",
            hint=f"There are: {', '.join(read_fabrics())}.",
        )
    return fabric_from(read_fabrics()[ALIKE.get(name, name)])


def fabric_from(entry: Mapping[str, Any]) -> FabricCosts:
    """A family's costs from its table in the file."""

    def costs(kind: str) -> dict[Work, float]:
        return {Work(name): float(cost) for name, cost in entry.get(kind, {}).items()}

    def bands(which: str) -> dict[str, tuple[float, float]]:
        return {kind: (float(low), float(high)) for kind, (low, high) in entry[which].items()}

    rules = {**entry["rules"], "ports": tuple(entry["rules"]["ports"])}
    rules["cuts"] = tuple(BlockCut(**cut) for cut in rules.get("cuts", ()))
    return FabricCosts(
        **rules, lut=costs("lut"), ff=costs("ff"), pipeline=costs("pipeline"),
        band=bands("band"), block_band=bands("block_band"),
    )  # fmt: skip


def pipeline_costs(fabric: FabricCosts) -> FabricCosts:
    """The same family with what work costs within an unrolled pipeline."""
    lut, ff = dict(fabric.lut), dict(fabric.ff)
    for work, cost in fabric.pipeline.items():
        (ff if work is Work.REGISTER else lut)[work] = cost
    return replace(fabric, lut=lut, ff=ff)


def work_of(
    parts: BlockParts, fabric: FabricCosts, *, dsp: bool
) -> tuple[dict[Work, float], dict[str, float]]:
    """Memories and multipliers decided: the work that is left, and what they take by kind."""
    work = dict(parts.work)
    takes = dict.fromkeys(fabric.kinds, 0.0)

    def add(kind: Work, amount: float) -> None:
        work[kind] = work.get(kind, 0.0) + amount

    inside = any(_is_whole(one, fabric, dsp=dsp) for one in parts.multipliers)
    for memory in parts.memories:
        taken = min(memory.taken, fabric.takes_before) if inside else 0
        _decide_memory(memory, memory.stages - taken, fabric, add, takes)
    for multiplier in parts.multipliers:
        _decide_multiplier(multiplier, fabric, add, takes, dsp=dsp)
    for delay in parts.delays:
        _hold(delay.bits, delay.stages, fabric, add, takes)
    for choice in parts.choices:
        add(Work.PICK, choice.bits * math.ceil(max(choice.words - 1, 0) / (fabric.pick_words - 1)))
    return work, takes


def amounts(parts: BlockParts, fabric: FabricCosts, *, dsp: bool) -> dict[str, float]:
    """LUTs, flip-flops, DSP blocks and block memories of something that is made so."""
    work, takes = work_of(parts, fabric, dsp=dsp)
    for kind, amount in work.items():
        takes["lut"] += amount * fabric.lut.get(kind, 0.0)
        takes["ff"] += amount * fabric.ff.get(kind, 0.0)
    takes["ff"] = max(takes["ff"], 0.0)
    return takes


def _decide_memory(
    memory: Memory, stages: int, fabric: FabricCosts, add: Add, takes: dict[str, float]
) -> None:
    words, bits = memory.words, memory.bits
    if words <= 1:
        if not memory.rom:
            add(Work.REGISTER, bits * words)
        return
    logic = words * bits * (fabric.rom_cost if memory.rom else fabric.ram_cost)
    has_small = fabric.small_words and not memory.rom
    small = _small_cost(memory, fabric) if has_small else math.inf
    count = blocks(memory, fabric.block_kind)
    block = count * fabric.block_cost + (0.0 if memory.rom else fabric.write_cost)
    if block < min(logic, small):
        takes[fabric.block_kind] += count
        _hold(bits, max(stages - 1, 0), fabric, add, takes)
        if memory.queue:
            add(Work.REGISTER, bits + bits_for(words))
            add(Work.SELECT, bits)
        return
    _hold(memory.distinct, stages, fabric, add, takes)
    if small < logic:
        rows, columns = _small_shape(memory, fabric)
        takes["lut"] += rows * columns * fabric.small_lut
        add(Work.SELECT, (rows - 1) * bits)
        if memory.registered and words > 2:
            add(Work.REGISTER, bits_for(words))
    elif memory.rom:
        if not memory.joined or words << memory.joined > fabric.fetch_words:
            pieces = math.ceil(words / fabric.fetch_words)
            every = memory.distinct * pieces
            if memory.pieces is not None:
                every = memory.pieces[0 if fabric.fetch_words == PIECE_WORDS[0] else 1]
            add(Work.FETCH, every)
            add(Work.JOIN, max(math.ceil(every / fabric.fetch_joined) - memory.distinct, 0))
    else:
        add(Work.REGISTER, words * bits)
        add(Work.CHOOSE, words * bits)


def _hold(bits: int, stages: int, fabric: FabricCosts, add: Add, takes: dict[str, float]) -> None:
    """Registers in a row."""
    if fabric.shifts_from and stages >= fabric.shifts_from:
        takes["lut"] += bits
    else:
        add(Work.REGISTER, bits * stages)


def blocks(memory: Memory, kind: str = "bram18") -> int:
    """Block memories of a kind that hold it, in the best of their shapes."""
    return min(
        math.ceil(memory.bits / width) * math.ceil(memory.words / (BLOCK_BITS[kind] // plain))
        for width, plain in BLOCK_WIDTHS[kind].items()
    )


def _small_shape(memory: Memory, fabric: FabricCosts) -> tuple[int, float]:
    rows = math.ceil(memory.words / fabric.small_words)
    columns = memory.bits / fabric.small_bits
    return rows, columns if fabric.small_flat else math.ceil(columns)


def _small_cost(memory: Memory, fabric: FabricCosts) -> float:
    rows = math.ceil(memory.words / fabric.small_words)
    whole, rest = divmod(memory.bits, fabric.small_bits)
    last = 0.0
    if rest:
        share = rest / fabric.small_bits if fabric.small_flat else 1.0
        last = fabric.small_flat + (fabric.small_cost - fabric.small_flat) * share
    joining = (rows - 1) * memory.bits + (fabric.small_early if memory.registered else 0.0)
    return rows * (whole * fabric.small_cost + last) + joining


def _is_whole(multiplier: Multiplier, fabric: FabricCosts, *, dsp: bool) -> bool:
    """Whether a product leaves DSP blocks as a whole, with nothing to add outside of them."""
    pieces = _pieces(multiplier, fabric, dsp=dsp)
    return pieces == 1 or (pieces > 0 and max(multiplier.a, multiplier.b) <= fabric.joined_bits)


def cut_product(a: int, b: int, cuts: Sequence[BlockCut]) -> CutProduct:
    """A product cut for each size of block in turn; the next gets what the one before leaves."""
    cut = CutProduct(in_luts=((a, b),))
    for size in cuts:
        left, cut = cut.in_luts, replace(cut, in_luts=())
        for x, y in left:
            cut += _cut_once(max(x, y), min(x, y), size)
    return cut


def _cut_once(a: int, b: int, size: BlockCut) -> CutProduct:
    if a < size.least_wide or b < size.least_narrow:
        return CutProduct(in_luts=((a, b),))
    if max(a, b) <= size.most:
        return CutProduct(size.blocks)
    long, other = (a, b) if a > size.most else (b, a)
    full = math.ceil(long / size.most) - 1
    joined = sum(a + b - place * size.most for place in range(1, full + 1))
    cut = CutProduct(joined_bits=joined)
    for bits in [size.most] * full + [long - full * size.most]:
        cut += _cut_once(bits, other, size) if a > size.most else _cut_once(other, bits, size)
    return cut


def _cut_of(multiplier: Multiplier, fabric: FabricCosts) -> CutProduct:
    """Of two numbers of which only one has a sign, the other gets a bit for it."""
    mixed = multiplier.signed is not multiplier.b_signed
    a = multiplier.a + (mixed and not multiplier.signed)
    b = multiplier.b + (mixed and multiplier.signed)
    return cut_product(a, b, fabric.cuts)


def _pieces(multiplier: Multiplier, fabric: FabricCosts, *, dsp: bool) -> float:
    """DSP blocks for one product; none where it is made of LUTs."""
    a, b = max(multiplier.a, multiplier.b), min(multiplier.a, multiplier.b)
    if dsp and fabric.cuts:
        return _cut_of(multiplier, fabric).blocks
    if not dsp or b < 2 or min(a + b, multiplier.out) < fabric.least_bits:
        return 0
    pieces = 1
    for bits, port in ((a, fabric.ports[0]), (b, fabric.ports[1])):
        pieces *= 1 if bits <= port else math.ceil(bits / fabric.ports[1])
    return pieces


def _joining_bits(a: int, b: int, ports: tuple[int, int]) -> int:
    """Bits of the additions that join the pieces of a product: the lower ones of each sum are those
    of the piece below."""
    a, b = max(a, b), min(a, b)
    port, piece = (ports[0], ports[1]) if a > ports[0] else (ports[1], ports[1])
    cut, other = (a, b) if a > ports[0] else (b, a)
    if cut <= port:
        return 0
    count = math.ceil(cut / piece)
    added = sum(cut + other - place * piece for place in range(1, count))
    lengths = [piece] * (count - 1) + [cut - piece * (count - 1)]
    return added + sum(_joining_bits(length, other, ports) for length in lengths)


def _is_table(input_bits: int, alternatives: int, fabric: FabricCosts) -> bool:
    """Whether a bit of an input times one of few constants is a table of one LUT or two, which is
    smaller than rows of adders."""
    return alternatives << input_bits <= 2 * fabric.fetch_words


def _decide_multiplier(
    multiplier: Multiplier, fabric: FabricCosts, add: Add, takes: dict[str, float], *, dsp: bool
) -> None:
    a, b, count = multiplier.a, multiplier.b, multiplier.count
    if not count:
        return
    pieces = _pieces(multiplier, fabric, dsp=dsp)
    if not pieces:
        if min(a, b) == 1:
            ands = count * min(max(a, b), multiplier.out)  # one for each bit of the product
            takes["lut"] += ands if a > 1 or multiplier.rows is None else min(ands, multiplier.rows)
            return
        if multiplier.alternatives and _is_table(a, multiplier.alternatives, fabric):
            pieces = math.ceil((multiplier.alternatives << a) / fabric.fetch_words)
            add(Work.FETCH, count * multiplier.out * pieces)
            return
        product_bits = sum(
            min(b, multiplier.out - place) for place in range(min(a, multiplier.out))
        )
        rows = count * b if multiplier.rows is None else multiplier.rows
        add(Work.PRODUCT, rows * product_bits / b)
        if multiplier.signed:
            extended = sum(max(multiplier.out - place - a, 0) for place in range(b))
            add(Work.EXTEND, rows * extended / b)
        return
    takes["dsp"] += count * pieces
    if fabric.cuts:
        cut = _cut_of(multiplier, fabric)
        set_share = 1.0 if multiplier.rows is None else multiplier.rows / (count * b)
        add(Work.ADD, count * cut.joined_bits)
        add(Work.PRODUCT, count * set_share * sum(x * y for x, y in cut.in_luts))
        return
    if not _is_whole(multiplier, fabric, dsp=dsp):
        add(Work.ADD, count * _joining_bits(a, b, fabric.ports))
        return
    if fabric.takes_before:
        add(Work.REGISTER, -float(multiplier.before))
    if fabric.takes_kept:
        add(Work.REGISTER, -float(multiplier.kept))
    if fabric.takes_after:
        add(Work.REGISTER, -float(multiplier.after))
    if fabric.takes_sums:
        add(Work.ADD, -float(multiplier.added))
        add(Work.REGISTER, -float(multiplier.held))
