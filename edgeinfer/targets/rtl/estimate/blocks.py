# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What each module of firmware/rtl is made of, from the parameters of an instance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import or_

import numpy as np
from numpy.typing import NDArray

from edgeinfer.targets.rtl.design.netlist import Block, Netlist, SizedNumber
from edgeinfer.targets.rtl.estimate.constant import constant_products
from edgeinfer.targets.rtl.estimate.dead import without_data
from edgeinfer.targets.rtl.estimate.sites import DROPPED_BITS, SITE_MODULES
from edgeinfer.targets.rtl.estimate.work import (
    PIECE_WORDS,
    BlockParts,
    BlockSizes,
    Memory,
    Multiplier,
    WordChoice,
    Work,
    addition,
    bits_for,
    counter,
    join_parts,
    queue,
    registers,
    tree,
)

HOLDING = (
    "ei_mac",
    "ei_requant",
    "ei_affine",
    "ei_pair",
    "ei_window",
)  # they begin with a register
BITS_BELOW = {2: 1}  # the point, by a rounding that does not look at all of them
KEPT = 256  # memories whose columns are known
MOST_DIGITS = 1 << 16  # of a memory's text: what is larger goes to block memories, whole


def parts_of(block: Block, netlist: Netlist, dead: frozenset[str]) -> BlockParts:
    """An instance, with its queues; `dead` streams have no data."""
    numbers = {
        name: value.value if isinstance(value, SizedNumber) else value
        for name, value in block.parameters.items()
        if not isinstance(value, str)
    }
    numbers |= {f"{name}_COLUMNS": count for name, count in _columns(block)}
    if block.module == "ei_mac" or (block.module == "ei_affine" and not numbers["PRELU"]):
        biases = block.files[str(block.parameters["BIASES"])]
        lanes, bits = ("PE", "ACC_BITS") if block.module == "ei_mac" else ("LANES", "OUT_BITS")
        numbers["BIASED"] = _count_biased(biases, numbers[lanes], numbers[bits])
    if block.module == "ei_gather" and "ORDER_COLUMNS" in numbers:
        order = block.files[str(block.parameters["ORDER"])]
        for words in PIECE_WORDS:
            numbers[f"ORDER_PIECES_{words}"] = count_pieces(order, words)
    if block.module == "ei_mac":
        numbers["WEIGHT_ROWS"] = count_rows(
            block.files[str(block.parameters["WEIGHTS"])], numbers["W_BITS"]
        )
    sizes = without_data(block, numbers, dead)
    own = MODULES.get(block.module, _other(block))(sizes)
    if block.contents:
        own = BlockParts({Work(kind): amount for kind, amount in block.contents.items()})
    elif block.module == "ei_mac" and numbers["ROUNDS"] * numbers["SF"] * numbers["NF"] == 1:
        own = _constant_mac(block, sizes)
    queues = [
        queue(
            0 if name in dead else netlist.streams[name].width,
            netlist.depths[name],
            _is_held(name, netlist),
        )
        for name in block.outputs
    ]
    if block.module == "ei_egress":
        queues = [queue(numbers["WIDTH"] + (numbers["BEATS"] > 1), 2)]
    if block.module == "ei_fork" and len(depths := {netlist.depths[n] for n in block.outputs}) == 1:
        (depth,) = depths  # what is written to both at once has one place
        queues.append(BlockParts({Work.REGISTER: -bits_for(depth)}))
    one = BlockParts({Work.BLOCK: 1})
    return join_parts((one, own, *queues))


def _is_held(stream: str, netlist: Netlist) -> bool:
    """Whether the reader of a queue begins with a register for the whole word."""
    readers = (block for block in netlist.blocks if stream in block.inputs)
    return any(reader.module in HOLDING for reader in readers)


def _columns(block: Block) -> Iterator[tuple[str, int]]:
    """By the parameter that names a memory's file: bits of its words that differ."""
    for name, value in block.parameters.items():
        if isinstance(value, str):
            count = _count_columns(block.files[value])
            if count is not None:
                yield name, count


@functools.lru_cache(maxsize=KEPT)
def _count_biased(biases: bytes, lanes: int, bits: int) -> int:
    """Lanes of which some bias is not zero."""
    every = functools.reduce(or_, (int(word, 16) for word in biases.split()))
    return sum(bool(every >> (bits * lane) & ((1 << bits) - 1)) for lane in range(lanes))


@functools.lru_cache(maxsize=KEPT)
def count_rows(text: bytes, bits: int) -> int:
    """Rows of products that take adders, of all weights in a word, of so many bits each: one for
    each bit that is set in some word. Of two words, what differs is a single bit or its inverse, so
    that synthesis sees which rows are never added at the same time: those share adders."""
    words = [int(word, 16) for word in text.split()]
    if len(words) != 2:
        return functools.reduce(or_, words).bit_count()
    mask, rows = (1 << bits) - 1, 0
    for place in range(0, max(words).bit_length(), bits):
        rows += max((word >> place & mask).bit_count() for word in words)
    return rows


@functools.lru_cache(maxsize=KEPT)
def count_pieces(text: bytes, length: int) -> int:
    """Pieces of so many words of a memory's columns, but for those that are all the same bit, or
    that the column has before: an order repeats itself, and fills whole rows."""
    columns = _bit_columns(text.split())
    count = 0
    for column in columns:
        text_of_column = column.tobytes()
        pieces = {text_of_column[at : at + length] for at in range(0, len(text_of_column), length)}
        count += sum(piece.count(piece[0]) < len(piece) for piece in pieces)
    return count


@functools.lru_cache(maxsize=KEPT)
def _count_columns(text: bytes) -> int | None:
    """Bits that differ in a memory's words; None where nobody needs to know. Kept, because the same
    layers come again when many foldings are tried."""
    lines = text.split()
    return distinct_columns(lines) if len(lines) * len(lines[0]) <= MOST_DIGITS else None


def distinct_columns(lines: Sequence[bytes]) -> int:
    """Bits of words (as hexadecimal text) that are neither constant nor equal to another."""
    columns = np.packbits(_bit_columns(lines), axis=1).T
    last = len(lines) % 8
    full = np.full(len(columns), 255, np.uint8)
    full[-1] = 255 if not last else (255 << (8 - last)) & 255
    varying = columns[:, np.any(columns != 0, axis=0) & np.any(columns != full[:, None], axis=0)]
    return len(np.unique(varying, axis=1).T) if varying.size else 0


def _bit_columns(lines: Sequence[bytes]) -> NDArray[np.uint8]:
    """Each bit of words (as hexadecimal text), in all words: a row of zeros and ones."""
    even = len(lines[0]) + len(lines[0]) % 2
    digits = b"".join(line.zfill(even) for line in lines).decode()
    rows = np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(len(lines), -1)
    return np.ascontiguousarray(np.unpackbits(rows, axis=1).T)


def _other(block: Block) -> Callable[[BlockSizes], BlockParts]:
    """A module that is not described here: a register for each bit of a beat and cycle."""
    latency = sum(actor.latency for actor in block.actors)

    def plain(sizes: BlockSizes) -> BlockParts:
        width = sizes.get("WIDTH", sizes.get("LANES", 1) * sizes.get("OUT_BITS", 8))
        return BlockParts({Work.REGISTER: latency * width, Work.SELECT: latency * width})

    return plain


def _port(sizes: BlockSizes) -> BlockParts:
    return join_parts((counter(sizes["BEATS"]), registers(1)))


def _narrow(sizes: BlockSizes) -> BlockParts:
    ratio, width = sizes["RATIO"], sizes["BITS"] * sizes["LANES"]
    chosen = BlockParts(choices=(WordChoice(ratio, width),))
    return join_parts((counter(ratio), registers(width + 1), chosen))


def _widen(sizes: BlockSizes) -> BlockParts:
    register_bits = (sizes["RATIO"] - 1) * sizes["BITS"] * sizes["LANES"]
    return join_parts((counter(sizes["RATIO"]), registers(register_bits)))


def _window(sizes: BlockSizes) -> BlockParts:
    """What is kept of a round lies in memories, where there are several."""
    beat, rounds = sizes["CHANNELS"] * sizes["BITS"], sizes["ROUNDS"]
    rows = sizes["HEIGHT"] + sizes["PAD_TOP"] + sizes["PAD_BOTTOM"]
    columns = sizes["WIDTH"] + sizes["PAD_LEFT"] + sizes["PAD_RIGHT"]
    reach_h = (sizes["KERNEL_H"] - 1) * sizes["DILATE_H"] + 1
    reach_w = (sizes["KERNEL_W"] - 1) * sizes["DILATE_W"] + 1
    chunk = sizes["CHUNK"] * sizes["BITS"]
    chunks = sizes["KERNEL_H"] * sizes["KERNEL_W"] * sizes["CHANNELS"] // sizes["CHUNK"]
    most_h, most_w = max(reach_h, sizes["STRIDE_H"]), max(reach_w, sizes["STRIDE_W"])
    kept = sizes["KERNEL_H"] * (reach_w if rounds == 1 else sizes["KERNEL_W"]) * beat
    parts = [
        counter(rows), counter(columns), counter(chunks),
        BlockParts({Work.COUNT: bits_for(most_h + 1) + bits_for(most_w + 1)}),
        registers(bits_for(most_h + 1) + bits_for(most_w + 1) + 5 + 3),
        registers(beat + kept + chunk),
    ]  # fmt: skip
    padded = rows * columns > sizes["HEIGHT"] * sizes["WIDTH"]
    if padded:
        parts.append(BlockParts({Work.SELECT: beat}))
    if chunks > 1:
        parts.append(registers(2 * bits_for(chunks)))
        parts.append(BlockParts(choices=(WordChoice(chunks, chunk),)))
    if reach_h > 1:
        parts.append(registers(bits_for(columns * rounds)))
        lines = Memory(columns * rounds, (reach_h - 1) * beat, registered=True)
        parts.append(BlockParts(memories=(lines,)))
    if rounds > 1:
        parts += (counter(rounds), counter(columns * rounds))
        if reach_w > 1:
            parts.append(registers(bits_for(rounds)))
            left = Memory(rounds, (reach_w - 1) * sizes["KERNEL_H"] * beat, registered=True)
            parts.append(BlockParts(memories=(left,)))
    return join_parts(parts)


def _mac_frame(
    sizes: BlockSizes, trees: BlockParts, product: int, memories: tuple[Memory, ...]
) -> BlockParts:
    """All of a multiply-accumulate but its multipliers and what feeds them."""
    pe, sf, nf, acc = (sizes[name] for name in ("PE", "SF", "NF", "ACC_BITS"))
    rounds = sizes["ROUNDS"]
    wide = pe * acc
    control = join_parts((
        counter(nf), counter(sf), counter(sf * nf * rounds), counter(nf), counter(sf),
        registers(4 + sizes["LEVELS"] + 1 + 4 + 2 * (sf == 1) + (nf > 1)),
    ))  # fmt: skip
    work = addition(acc, pe)
    work |= {Work.REGISTER: float(wide + product), Work.BASE: float(sizes["BIASED"] * acc)}
    biases = sizes.get("BIASES_COLUMNS")
    if nf > 1:
        memories += (Memory(nf, wide, registered=True),)
    else:
        work[Work.REGISTER] += wide
    if rounds > 1:
        starts = Memory(rounds * nf, wide, rom=True, stages=1, columns=biases)
        control = join_parts((control, counter(rounds * nf)))
        memories += (starts,)
    elif nf > 1:
        memories += (Memory(nf, wide, rom=True, columns=biases, joined=2),)
    return join_parts((control, trees, BlockParts(work, memories)))


def _product_bits(sizes: BlockSizes) -> int:
    if sizes["X_BITS"] == 1 and not sizes["X_SIGNED"]:
        return sizes["W_BITS"]  # the weight or zero
    both = sizes["X_SIGNED"] or sizes["W_SIGNED"]
    return sizes["X_BITS"] + sizes["W_BITS"] + (0 if both else 1)


def _mac(sizes: BlockSizes) -> BlockParts:
    """A DSP block that adds as well takes in the first row of each tree, where two products are
    added or one is held; without a tree, it takes in the sum."""
    pe, simd, x, w = sizes["PE"], sizes["SIMD"], sizes["X_BITS"], sizes["W_BITS"]
    levels, acc = sizes["LEVELS"], sizes["ACC_BITS"]
    sum_bits = min(_product_bits(sizes), acc - sizes["SHIFT"])
    sums = min(_product_bits(sizes) + levels, acc)
    trees = join_parts([tree(simd, sum_bits, sums, levels, largest=False)] * pe)
    words = sizes["SF"] * sizes["NF"] * sizes["ROUNDS"]
    weights = Memory(
        words, pe * simd * w, rom=True, stages=3,
        taken=2, columns=sizes.get("WEIGHTS_COLUMNS"),
    )  # fmt: skip
    products = pe * simd * sum_bits
    frame = _mac_frame(sizes, trees, products, (weights,))
    if levels:
        row = 1 << (levels - 1)
        added = pe * (simd - row) * min(sum_bits + 1, sums)
        register_bits = added + pe * (2 * row - simd) * sum_bits
    else:
        added, register_bits = (0 if sizes["SHIFT"] else pe * acc), 0
    multipliers = Multiplier(
        pe * simd,
        x,
        w,
        sum_bits,
        rows=sizes.get("WEIGHT_ROWS"),
        signed=bool(sizes["X_SIGNED"]),
        b_signed=bool(sizes["W_SIGNED"]),
        alternatives=words if words == 2 else None,
        kept=pe * simd * x,
        after=products,
        added=added,
        held=register_bits,
    )
    plain = registers((2 * sizes["GROUPS"] + pe) * simd * x)  # the last for each lane
    return join_parts((frame, plain, BlockParts(multipliers=(multipliers,))))


def _constant_mac(block: Block, sizes: BlockSizes) -> BlockParts:
    product = min(_product_bits(sizes), sizes["ACC_BITS"] - sizes["SHIFT"])
    sums = min(product + sizes["LEVELS"], sizes["ACC_BITS"])
    products = constant_products(block, product, sums) if sizes["PE"] else BlockParts()
    return _mac_frame(sizes, products, 0, ())


def _requant(sizes: BlockSizes) -> BlockParts:
    lanes, shift, out = sizes["LANES"], sizes["SHIFT"], sizes["OUT_BITS"]
    rounds = sizes["ROUNDING"] != 0 and shift > 0
    floor = max(sizes["IN_BITS"] - max(shift, 0), 1)
    kept = floor + 1 if rounds else floor
    below = min(shift, BITS_BELOW.get(sizes["ROUNDING"], shift)) if rounds else 0
    if sizes["OVERFLOW"] == 0:  # what lies above is not looked at
        floor, kept = min(floor, out), min(kept, out)
    register_bits = min(floor + below, sizes["IN_BITS"])
    work: dict[Work, float] = {Work.REGISTER: 2.0 + lanes * register_bits}
    if sizes["OVERFLOW"] != 0 and kept + max(-shift, 0) > out - (1 if sizes["OUT_SIGNED"] else 0):
        work[Work.EQUAL] = lanes * max(kept + max(-shift, 0) - out, 1)
        work[Work.SELECT] = lanes * out
    work[Work.REGISTER] += lanes * kept
    if rounds:
        work[Work.SHORT_ADD] = lanes * kept
        work[Work.EQUAL] = work.get(Work.EQUAL, 0.0) + lanes * min(shift, sizes["IN_BITS"]) / 2
    return BlockParts(work)


def _clip(sizes: BlockSizes) -> BlockParts:
    """The ends are constants; what is below zero has a sign."""
    ends = sizes["HAS_LOW"] + sizes["HAS_HIGH"]
    compared = (sizes["HAS_LOW"] and sizes["LOW"] != 0) + sizes["HAS_HIGH"]
    return BlockParts({
        Work.EQUAL: sizes["LANES"] * compared * sizes["IN_BITS"],
        Work.SELECT: sizes["LANES"] * sizes["OUT_BITS"] * ends,
    })  # fmt: skip


def _affine(sizes: BlockSizes) -> BlockParts:
    lanes, words, out = sizes["LANES"], sizes["WORDS"], sizes["OUT_BITS"]
    kept = min(sizes["X_BITS"] + sizes["F_BITS"], out)
    register_bits = 2.0 * lanes * sizes["X_BITS"] + lanes * (kept + out) + 4
    added = 0 if sizes["PRELU"] or sizes["SHIFT"] else sizes["BIASED"] * out
    factors = Memory(
        words, lanes * sizes["F_BITS"], rom=True, stages=2, taken=1,
        columns=sizes.get("FACTORS_COLUMNS"),
    )  # fmt: skip
    biases = Memory(words, lanes * out, rom=True, stages=3, columns=sizes.get("BIASES_COLUMNS"))
    multipliers = (
        Multiplier(
            lanes, sizes["X_BITS"], sizes["F_BITS"], kept, before=lanes * sizes["X_BITS"],
            after=lanes * kept, added=added, held=added, signed=bool(sizes["X_SIGNED"]),
            b_signed=bool(sizes["F_SIGNED"]),
        ),
    )  # fmt: skip
    if sizes["PRELU"]:
        work = {Work.REGISTER: register_bits + lanes * (out + 1), Work.SELECT: float(lanes * out)}
        return join_parts((counter(words), BlockParts(work, (factors,), multipliers)))
    work = {Work.REGISTER: register_bits} | addition(out, sizes["BIASED"])
    return join_parts((counter(words), BlockParts(work, (factors, biases), multipliers)))


def _table(sizes: BlockSizes) -> BlockParts:
    lanes, entries, out = sizes["LANES"], sizes["ENTRIES"], sizes["OUT_BITS"]
    address = bits_for(entries)
    columns = sizes.get("TABLE_COLUMNS")
    memories = (Memory(entries, out, rom=True, stages=2, columns=columns),) * lanes
    work: dict[Work, float] = {Work.REGISTER: 3 + lanes * address}
    if sizes["FIRST"]:
        work |= addition(address, lanes)
    return BlockParts(work, memories)


def _pair(sizes: BlockSizes) -> BlockParts:
    lanes, a, b, out = sizes["LANES"], sizes["A_BITS"], sizes["B_BITS"], sizes["OUT_BITS"]
    stored = registers(2 + lanes * (a + b + out))
    match sizes["KIND"]:
        case 0 | 1:
            return join_parts((stored, BlockParts(addition(out, lanes))))
        case 2:
            product = Multiplier(
                lanes, a, b, out, kept=lanes * (a + b), after=lanes * out,
                signed=bool(sizes["A_SIGNED"]), b_signed=bool(sizes["B_SIGNED"]),
            )  # fmt: skip
            return join_parts((stored, BlockParts(multipliers=(product,))))
        case _:  # 3 and 4, the maximum and the minimum
            return join_parts(
                (stored, BlockParts({Work.COMPARE: lanes * out, Work.SELECT: lanes * out}))
            )


def _pool(sizes: BlockSizes) -> BlockParts:
    lanes, out, groups = sizes["LANES"], sizes["OUT_BITS"], sizes["GROUPS"]
    tiles_w = sizes["WIDTH"] // sizes["TILE_W"]
    partials = tiles_w * groups if sizes["TILE_H"] > 1 else groups
    wide = lanes * out
    work: dict[Work, float] = {Work.SELECT: wide, Work.REGISTER: 1}
    if sizes["SUM"]:
        work |= addition(out, lanes)
    else:  # one LUT has both choices: of the larger, and of the new one where a tile opens
        work[Work.COMPARE] = wide
    parts = [counter(groups), counter(partials)]
    for axis in ("H", "W"):
        size = sizes["HEIGHT" if axis == "H" else "WIDTH"]
        parts += [counter(size + 1), counter(sizes[f"TILE_{axis}"] + 1), registers(5)]
    memory = Memory(partials, wide, registered=groups == 1)
    return join_parts((*parts, BlockParts(work, (memory,))))


def _reduce(sizes: BlockSizes) -> BlockParts:
    grown = sizes["BITS"] + (sizes["LEVELS"] if sizes["SUM"] else 0)
    one = tree(sizes["TAPS"], sizes["BITS"], grown, sizes["LEVELS"], largest=not sizes["SUM"])
    register_bits = sizes["LEVELS"] + 1 + sizes["TAPS"] * sizes["LANES"] * sizes["BITS"]
    return join_parts((registers(register_bits), *[one] * sizes["LANES"]))


def _concat(sizes: BlockSizes) -> BlockParts:
    wide = sizes["LANES"] * sizes["OUT_BITS"]
    return join_parts(
        (counter(sizes["BEATS_A"] + sizes["BEATS_B"]), BlockParts({Work.SELECT: wide}))
    )


def _gather(sizes: BlockSizes) -> BlockParts:
    width = sizes["LANES"] * sizes["BITS"]
    place, read = bits_for(sizes["IN_BEATS"]), bits_for(sizes["OUT_BEATS"])
    bank = Memory(sizes["IN_BEATS"], width, stages=1)
    pieces = tuple(sizes[k] for n in PIECE_WORDS if (k := f"ORDER_PIECES_{n}") in sizes)
    order = Memory(
        sizes["OUT_BEATS"], place + 1, rom=True, stages=1, columns=sizes.get("ORDER_COLUMNS"),
        pieces=pieces if len(pieces) == len(PIECE_WORDS) else None,
    )  # fmt: skip
    work: dict[Work, float] = {
        Work.REGISTER: place + read + 6 + 3 + 4 + width,
        Work.COUNT: place + read,
    }
    either = WordChoice(2, width)  # one LUT also has what fills: a constant, or a reset
    return BlockParts(work, (bank, bank, order), choices=(either,))


def _constant(sizes: BlockSizes) -> BlockParts:
    columns = sizes.get("VALUES_COLUMNS")
    values = Memory(sizes["WORDS"], sizes["WIDTH"], rom=True, stages=2, columns=columns)
    return join_parts((counter(sizes["WORDS"]), registers(2), BlockParts(memories=(values,))))


def _argmax(sizes: BlockSizes) -> BlockParts:
    bits, out = sizes["BITS"], sizes["OUT_BITS"]
    work: dict[Work, float] = {
        Work.REGISTER: bits + out, Work.COMPARE: bits, Work.SELECT: bits + out,
    }  # fmt: skip
    return join_parts((counter(sizes["N"]), BlockParts(work)))


MODULES: Mapping[str, Callable[[BlockSizes], BlockParts]] = {
    "ei_ingress": _port,
    "ei_egress": _port,
    "ei_fork": lambda known: BlockParts(),
    "ei_queue": lambda known: BlockParts(),
    "ei_narrow": _narrow,
    "ei_widen": _widen,
    "ei_window": _window,
    "ei_mac": _mac,
    "ei_requant": _requant,
    "ei_clip": _clip,
    "ei_affine": _affine,
    "ei_table": _table,
    "ei_pair": _pair,
    "ei_pool": _pool,
    "ei_reduce": _reduce,
    "ei_concat": _concat,
    "ei_gather": _gather,
    "ei_keep": lambda known: join_parts((counter(known["BEATS"]), registers(1))),
    "ei_repeat": lambda known: BlockParts(),
    "ei_first": lambda known: join_parts(
        (counter(known["BEATS"]), counter(known["MOST"] + 1), counter(1 << DROPPED_BITS))
    ),
    "ei_constant": _constant,
    "ei_argmax": _argmax,
    **SITE_MODULES,
}
