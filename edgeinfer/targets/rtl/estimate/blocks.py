# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What each module of firmware/rtl is made of, from the parameters of an instance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import or_

import numpy as np

from edgeinfer.targets.rtl.design.netlist import Block, Netlist, SizedNumber
from edgeinfer.targets.rtl.estimate.constant import constant_products
from edgeinfer.targets.rtl.estimate.sites import SITE_MODULES
from edgeinfer.targets.rtl.estimate.work import (
    BlockParts,
    Memory,
    Multiplier,
    Work,
    addition,
    bits_for,
    counter,
    join_parts,
    queue,
    registers,
    tree,
)

Known = Mapping[str, int]
HOLDING = (
    "ei_mac",
    "ei_requant",
    "ei_affine",
    "ei_pair",
    "ei_window",
)  # they begin with a register
BITS_BELOW = {2: 1}  # the point, by a rounding that does not look at all of them
FEW = 8  # chunks of a window, of which one is chosen at little cost
KEPT = 256  # memories whose columns are known
MOST_DIGITS = 1 << 16  # of a memory's text: what is larger goes to block memories, whole


def parts_of(block: Block, netlist: Netlist) -> BlockParts:
    """An instance, with its queues."""
    known = {
        name: value.value if isinstance(value, SizedNumber) else value
        for name, value in block.parameters.items()
        if not isinstance(value, str)
    }
    known |= {f"{name}_COLUMNS": count for name, count in _columns(block)}
    if block.module == "ei_mac":
        biases = block.files[str(block.parameters["BIASES"])]
        known["BIASED"] = _count_biased(biases, known["PE"], known["ACC_BITS"])
    own = MODULES.get(block.module, _other(block))(known)
    if block.contents:
        own = BlockParts({Work(kind): amount for kind, amount in block.contents.items()})
    elif block.module == "ei_mac" and known["SF"] * known["NF"] == 1:
        own = _constant_mac(block, known)
    queues = [
        queue(netlist.streams[name].width, netlist.depths[name], _is_held(name, netlist))
        for name in block.outputs
    ]
    if block.module == "ei_egress":
        queues = [queue(known["WIDTH"] + (known["BEATS"] > 1), 2)]
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
def _count_columns(text: bytes) -> int | None:
    """Bits that differ in a memory's words; None where nobody needs to know. Kept, because the same
    layers come again when many foldings are tried."""
    lines = text.split()
    return distinct_columns(lines) if len(lines) * len(lines[0]) <= MOST_DIGITS else None


def distinct_columns(lines: Sequence[bytes]) -> int:
    """Bits of words (as hexadecimal text) that are neither constant nor equal to another."""
    even = len(lines[0]) + len(lines[0]) % 2
    rows = [np.frombuffer(bytes.fromhex(line.decode().zfill(even)), np.uint8) for line in lines]
    columns = np.packbits(np.unpackbits(np.stack(rows), axis=1), axis=0)
    last = len(lines) % 8
    full = np.full(len(columns), 255, np.uint8)
    full[-1] = 255 if not last else (255 << (8 - last)) & 255
    varying = columns[:, np.any(columns != 0, axis=0) & np.any(columns != full[:, None], axis=0)]
    return len(np.unique(varying, axis=1).T) if varying.size else 0


def _other(block: Block) -> Callable[[Known], BlockParts]:
    """A module that is not described here: a register for each bit of a beat and cycle."""
    held = sum(actor.latency for actor in block.actors)

    def plain(known: Known) -> BlockParts:
        width = known.get("WIDTH", known.get("LANES", 1) * known.get("OUT_BITS", 8))
        return BlockParts({Work.REGISTER: held * width, Work.SELECT: held * width})

    return plain


def _port(known: Known) -> BlockParts:
    return join_parts((counter(known["BEATS"]), registers(1)))


def _narrow(known: Known) -> BlockParts:
    ratio, width = known["RATIO"], known["BITS"] * known["LANES"]
    return join_parts(
        (counter(ratio), registers(width + 1), BlockParts({Work.CHOOSE: ratio * width}))
    )


def _widen(known: Known) -> BlockParts:
    held = (known["RATIO"] - 1) * known["BITS"] * known["LANES"]
    return join_parts((counter(known["RATIO"]), registers(held)))


def _window(known: Known) -> BlockParts:
    pixel = known["CHANNELS"] * known["BITS"]
    rows = known["HEIGHT"] + known["PAD_TOP"] + known["PAD_BOTTOM"]
    columns = known["WIDTH"] + known["PAD_LEFT"] + known["PAD_RIGHT"]
    reach_h = (known["KERNEL_H"] - 1) * known["DILATE_H"] + 1
    reach_w = (known["KERNEL_W"] - 1) * known["DILATE_W"] + 1
    taps = known["KERNEL_H"] * known["KERNEL_W"] * pixel
    chunk = known["CHUNK"] * known["BITS"]
    chunks = taps // chunk
    most_h, most_w = max(reach_h, known["STRIDE_H"]), max(reach_w, known["STRIDE_W"])
    parts = [
        counter(rows), counter(columns), counter(chunks),
        BlockParts({Work.COUNT: bits_for(most_h + 1) + bits_for(most_w + 1)}),
        registers(bits_for(most_h + 1) + bits_for(most_w + 1) + 5 + 3),
        registers(pixel + known["KERNEL_H"] * reach_w * pixel + chunk),
    ]  # fmt: skip
    padded = rows * columns > known["HEIGHT"] * known["WIDTH"]
    if padded:
        parts.append(BlockParts({Work.SELECT: pixel}))
    if chunks > 1:
        parts.append(registers(2 * bits_for(chunks)))
        parts.append(BlockParts({Work.PICK if chunks <= FEW else Work.PICK_MANY: taps}))
    if reach_h > 1:
        parts.append(registers(bits_for(columns)))
        lines = Memory(columns, (reach_h - 1) * pixel, registered=True)
        parts.append(BlockParts(memories=(lines,)))
    return join_parts(parts)


def _mac_frame(
    known: Known, trees: BlockParts, product: int, memories: tuple[Memory, ...]
) -> BlockParts:
    """All of a multiply-accumulate but its multipliers and what feeds them."""
    pe, sf, nf, acc = (known[name] for name in ("PE", "SF", "NF", "ACC_BITS"))
    wide = pe * acc
    control = join_parts((
        counter(nf), counter(sf), counter(sf * nf), counter(nf), counter(sf),
        registers(4 + known["LEVELS"] + 1 + 4 + 2 * (sf == 1) + (nf > 1)),
    ))  # fmt: skip
    work = addition(acc, pe)
    work |= {Work.REGISTER: float(wide + product), Work.BASE: float(known["BIASED"] * acc)}
    if nf > 1:
        biases = known.get("BIASES_COLUMNS")
        memories += (
            Memory(nf, wide, registered=True),
            Memory(nf, wide, rom=True, columns=biases, joined=2),
        )
    else:
        work[Work.REGISTER] += wide
    return join_parts((control, trees, BlockParts(work, memories)))


def _product_bits(known: Known) -> int:
    both = known["X_SIGNED"] or known["W_SIGNED"]
    return known["X_BITS"] + known["W_BITS"] + (0 if both else 1)


def _mac(known: Known) -> BlockParts:
    """A DSP block that adds as well takes in the first row of each tree, where two products are
    added or one is held; without a tree, it takes in the sum."""
    pe, simd, x, w = known["PE"], known["SIMD"], known["X_BITS"], known["W_BITS"]
    levels, acc = known["LEVELS"], known["ACC_BITS"]
    wanted = min(_product_bits(known), acc - known["SHIFT"])
    sums = min(_product_bits(known) + levels, acc)
    trees = join_parts([tree(simd, wanted, sums, levels, largest=False)] * pe)
    weights = Memory(
        known["SF"] * known["NF"], pe * simd * w, rom=True, stages=3, taken=2,
        columns=known.get("WEIGHTS_COLUMNS"),
    )  # fmt: skip
    products = pe * simd * wanted
    frame = _mac_frame(known, trees, products, (weights,))
    if levels:
        row = 1 << (levels - 1)
        added = pe * (simd - row) * min(wanted + 1, sums)
        held = added + pe * (2 * row - simd) * wanted
    else:
        added, held = (0 if known["SHIFT"] else pe * acc), 0
    multipliers = Multiplier(
        pe * simd, x, w, wanted, kept=pe * simd * x, after=products, added=added, held=held
    )
    plain = registers((2 + pe) * simd * x)  # the last of them for each lane
    return join_parts((frame, plain, BlockParts(multipliers=(multipliers,))))


def _constant_mac(block: Block, known: Known) -> BlockParts:
    product = _product_bits(known)
    sums = min(product + known["LEVELS"], known["ACC_BITS"])
    return _mac_frame(known, constant_products(block, product, sums), 0, ())


def _requant(known: Known) -> BlockParts:
    lanes, shift, out = known["LANES"], known["SHIFT"], known["OUT_BITS"]
    rounds = known["ROUNDING"] != 0 and shift > 0
    floor = max(known["IN_BITS"] - max(shift, 0), 1)
    kept = floor + 1 if rounds else floor
    below = min(shift, BITS_BELOW.get(known["ROUNDING"], shift)) if rounds else 0
    held = min(floor + below, known["IN_BITS"])
    work: dict[Work, float] = {Work.REGISTER: 2.0 + lanes * held}
    if known["OVERFLOW"] == 0:
        kept = min(kept, out)
    elif kept + max(-shift, 0) > out - (1 if known["OUT_SIGNED"] else 0):
        work[Work.COMPARE] = lanes * max(kept + max(-shift, 0) - out, 1)
        work[Work.SELECT] = lanes * out
    work[Work.REGISTER] += lanes * kept
    if rounds:
        work[Work.SHORT_ADD] = lanes * kept
        work[Work.COMPARE] = work.get(Work.COMPARE, 0.0) + lanes * min(shift, known["IN_BITS"]) / 2
    return BlockParts(work)


def _clip(known: Known) -> BlockParts:
    ends = known["HAS_LOW"] + known["HAS_HIGH"]
    compared = 0.0 if known["LOW"] == 0 and not known["HAS_HIGH"] else known["IN_BITS"] * ends
    return BlockParts({
        Work.COMPARE: known["LANES"] * compared,
        Work.SELECT: known["LANES"] * known["OUT_BITS"] * ends,
    })  # fmt: skip


def _affine(known: Known) -> BlockParts:
    lanes, words, out = known["LANES"], known["WORDS"], known["OUT_BITS"]
    kept = min(known["X_BITS"] + known["F_BITS"], out)
    held = 2.0 * lanes * known["X_BITS"] + lanes * (kept + out) + 4
    added = 0 if known["PRELU"] or known["SHIFT"] else lanes * out
    factors = Memory(
        words, lanes * known["F_BITS"], rom=True, stages=2, taken=1,
        columns=known.get("FACTORS_COLUMNS"),
    )  # fmt: skip
    biases = Memory(words, lanes * out, rom=True, stages=3, columns=known.get("BIASES_COLUMNS"))
    multipliers = (
        Multiplier(
            lanes, known["X_BITS"], known["F_BITS"], kept, before=lanes * known["X_BITS"],
            after=lanes * kept, added=added, held=added,
        ),
    )  # fmt: skip
    if known["PRELU"]:
        work = {Work.REGISTER: held + lanes * (out + 1), Work.SELECT: float(lanes * out)}
        return join_parts((counter(words), BlockParts(work, (factors,), multipliers)))
    work = {Work.REGISTER: held} | addition(out, lanes)
    return join_parts((counter(words), BlockParts(work, (factors, biases), multipliers)))


def _table(known: Known) -> BlockParts:
    lanes, entries, out = known["LANES"], known["ENTRIES"], known["OUT_BITS"]
    address = bits_for(entries)
    columns = known.get("TABLE_COLUMNS")
    memories = (Memory(entries, out, rom=True, stages=2, columns=columns),) * lanes
    work: dict[Work, float] = {Work.REGISTER: 3 + lanes * address}
    if known["FIRST"]:
        work |= addition(address, lanes)
    return BlockParts(work, memories)


def _pair(known: Known) -> BlockParts:
    lanes, a, b, out = known["LANES"], known["A_BITS"], known["B_BITS"], known["OUT_BITS"]
    held = registers(2 + lanes * (a + b + out))
    match known["KIND"]:
        case 0 | 1:
            return join_parts((held, BlockParts(addition(out, lanes))))
        case 2:
            product = Multiplier(lanes, a, b, out, kept=lanes * (a + b), after=lanes * out)
            return join_parts((held, BlockParts(multipliers=(product,))))
        case _:  # 3 and 4, the maximum and the minimum
            return join_parts(
                (held, BlockParts({Work.COMPARE: lanes * out, Work.SELECT: lanes * out}))
            )


def _pool(known: Known) -> BlockParts:
    lanes, out, groups = known["LANES"], known["OUT_BITS"], known["GROUPS"]
    tiles_w = known["WIDTH"] // known["TILE_W"]
    partials = tiles_w * groups if known["TILE_H"] > 1 else groups
    wide = lanes * out
    work: dict[Work, float] = {Work.SELECT: wide, Work.REGISTER: 1}
    if known["SUM"]:
        work |= addition(out, lanes)
    else:
        work[Work.COMPARE] = wide
        work[Work.SELECT] += wide
    parts = [counter(groups), counter(partials)]
    for axis in ("H", "W"):
        size = known["HEIGHT" if axis == "H" else "WIDTH"]
        parts += [counter(size + 1), counter(known[f"TILE_{axis}"] + 1), registers(5)]
    memory = Memory(partials, wide, registered=groups == 1)
    return join_parts((*parts, BlockParts(work, (memory,))))


def _reduce(known: Known) -> BlockParts:
    grown = known["BITS"] + (known["LEVELS"] if known["SUM"] else 0)
    one = tree(known["TAPS"], known["BITS"], grown, known["LEVELS"], largest=not known["SUM"])
    held = known["LEVELS"] + 1 + known["TAPS"] * known["LANES"] * known["BITS"]
    return join_parts((registers(held), *[one] * known["LANES"]))


def _concat(known: Known) -> BlockParts:
    wide = known["LANES"] * known["OUT_BITS"]
    return join_parts(
        (counter(known["BEATS_A"] + known["BEATS_B"]), BlockParts({Work.SELECT: wide}))
    )


def _gather(known: Known) -> BlockParts:
    width = known["LANES"] * known["BITS"]
    place, read = bits_for(known["IN_BEATS"]), bits_for(known["OUT_BEATS"])
    bank = Memory(known["IN_BEATS"], width, stages=1)
    order = Memory(
        known["OUT_BEATS"], place + 1, rom=True, stages=1, columns=known.get("ORDER_COLUMNS")
    )
    work: dict[Work, float] = {
        Work.REGISTER: place + read + 6 + 3 + 4 + width,
        Work.COUNT: place + read,
        Work.SELECT: 2 * width,
    }
    return BlockParts(work, (bank, bank, order))


def _constant(known: Known) -> BlockParts:
    columns = known.get("VALUES_COLUMNS")
    values = Memory(known["WORDS"], known["WIDTH"], rom=True, stages=2, columns=columns)
    return join_parts((counter(known["WORDS"]), registers(2), BlockParts(memories=(values,))))


def _argmax(known: Known) -> BlockParts:
    bits, out = known["BITS"], known["OUT_BITS"]
    work: dict[Work, float] = {
        Work.REGISTER: bits + out, Work.COMPARE: bits, Work.SELECT: bits + out,
    }  # fmt: skip
    return join_parts((counter(known["N"]), BlockParts(work)))


MODULES: Mapping[str, Callable[[Known], BlockParts]] = {
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
    "ei_first": lambda known: join_parts((counter(known["BEATS"]), counter(known["MOST"] + 1))),
    "ei_constant": _constant,
    "ei_argmax": _argmax,
    **SITE_MODULES,
}
