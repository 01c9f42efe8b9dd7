# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Activations, tables, pools, merges and moves as hls4ml's templates lay them out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.targets.hls.estimate.fabric import (
    CARRY_LUTS,
    DELAY_FF,
    DELAY_LUT,
    HlsFabric,
    HlsTool,
    adder_luts,
    compare_luts,
    cuts_of,
    maximum_luts,
    memory_brams,
    product_dsps,
    product_luts,
)
from edgeinfer.targets.hls.estimate.linear import line_buffer_luts
from edgeinfer.targets.hls.estimate.products import constant_products
from edgeinfer.targets.hls.estimate.stage import Arrangement, HardwareStage, Value
from edgeinfer.targets.hls.settings import Arithmetic
from quantization.fixed import Overflow, Rounding

ROM_LUT_BITS = 2048  # of a table that stays in LUTs
TABLE_ADDRESS_BITS = 10
SLOW_SOFTMAX_PRODUCT_NS = 4.3
SOON = 18  # elements of a chain of comparisons that do not wait for long
SUM_LEVEL = 0.85  # an addition that saturates, relative to a comparison and a choice
FOLDED_TABLE_BITS = 28  # up to which exponentials are calculated beforehand: 21 are, 36 are not
FILL_CYCLES, FILL_DSP, FILL_LUT, FILL_FF = 21, 7, 3120, 1000  # of a design that calculates them
STREAMED_SOFTMAX_EXTRA = {HlsTool.VIVADO: 2, HlsTool.VITIS: 1}


def passing_stage(
    a: Arrangement,
    name: str,
    kind: str,
    reads: tuple[str, ...],
    x: Value,
    out: Value,
    *,
    dsp: float = 0.0,
    lut: float = 0.0,
    ff: float = 0.0,
    bram: float = 0.0,
    cuts: int = 0,
) -> HardwareStage:
    """A stage that treats each position on its own."""
    busy, fill, drain = a.passing(max(x.positions, out.positions), cuts)
    if not a.streamed:
        busy, fill, drain = cuts, cuts, cuts
    return HardwareStage(
        name, kind, reads, out, dsp,
        lut + a.ports_luts(x, out),
        ff + a.output_ff(out),
        bram, cuts, busy, fill, drain,
    )  # fmt: skip


def relu_luts(f: HlsFabric, x: Value, out: Value) -> float:
    """An element cut off at zero."""
    return compare_luts(f, x.bits) + min(x.bits, out.bits)


def relu_cuts(f: HlsFabric) -> int:
    """Whether a comparison and the product after it need a cycle each."""
    return int((f.compare_ns + f.multiply_ns) / f.usable_ns)


def requant_luts(f: HlsFabric, op: ops.Requant, x_bits: int, x_frac: int) -> float:
    """An element rounded and brought into its range; dropping bits is wiring."""
    luts = 0.0
    dropped = x_frac - op.type.frac
    if dropped > 0 and op.rounding is not Rounding.TRN:
        luts += op.type.bits + CARRY_LUTS
        if op.rounding is not Rounding.RND:  # a tie is told from the bits that are dropped
            luts += 6 + dropped / 3
    if op.overflow is not Overflow.WRAP and x_bits - max(dropped, 0) > op.type.bits:
        luts += compare_luts(f, x_bits - max(dropped, 0) - op.type.bits + 1) + op.type.bits
    return luts


def clip_stage(
    a: Arrangement, op: ops.Clip, x: Value, out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """One comparison and one choice for each side."""
    sides = (op.low is not None) + (op.high is not None)
    lut = a.copies(out) * sides * relu_luts(a.fabric, x, out)
    cuts = 0 if a.streamed else relu_cuts(a.fabric)
    return passing_stage(a, op.name, "clip", reads, x, out, lut=lut, cuts=cuts)


def table_stage(
    a: Arrangement, op: ops.Table, x: Value, out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """A look-up for each element: two share a block RAM; a small table stays in LUTs."""
    copies, f = a.copies(out), a.fabric
    addressed, entries = f.fit["table_lut"], a.entries(op.entries.size)
    if entries * out.bits <= ROM_LUT_BITS:
        rom = out.bits * math.ceil(entries / 64)
        return passing_stage(
            a, op.name, "table", reads, x, out, lut=copies * (rom + out.bits), ff=copies * out.bits,
            cuts=1,
        )  # fmt: skip
    brams = math.ceil(copies / 2) * memory_brams(entries, out.bits)
    registers = out.bits + (TABLE_ADDRESS_BITS if f.tool is HlsTool.VITIS else 0)
    cuts = 1 if not a.streamed or f.tool is HlsTool.VIVADO else 2
    return passing_stage(
        a, op.name, "table", reads, x, out,
        lut=copies * addressed, ff=copies * registers, bram=brams, cuts=cuts,
    )  # fmt: skip


def softmax_stage(
    a: Arrangement, op: ops.Softmax, x: Value, out: Value, reads: tuple[str, ...], reuse: int
) -> HardwareStage:
    """The largest, differences, a table of exponentials, their sum, its inverse, products.

    reuse: hls4ml shares the multipliers of a softmax on a stream as those of a layer."""
    f, copies = a.fabric, a.copies(out)
    classes = out.channels
    limit = math.ceil(classes / reuse) if a.streamed else classes
    groups = copies / classes
    per_class = (
        maximum_luts(f, x.bits)
        + 2 * (x.bits + CARRY_LUTS)
        + adder_luts(f, op.exp_type.bits)
        + product_luts(f, op.exp_type.bits, op.inverse_type.bits)
        + f.fit["softmax_lut"]
    )
    per_class_ff = op.exp_type.bits + 2 * x.bits + out.bits
    inverses = classes // 2 if f.early else 1  # looked up once for each class, two at a time
    brams = groups * (
        math.ceil(classes / 2) * memory_brams(a.entries(op.exp.size), op.exp_type.bits)
        + inverses * memory_brams(a.entries(op.inverse.size), op.inverse_type.bits)
    )
    dsp = copies / classes * limit * product_dsps(f, op.exp_type.bits, op.inverse_type.bits)
    cycles = softmax_cycles(f, classes) + (STREAMED_SOFTMAX_EXTRA[f.tool] if a.streamed else 0)
    cycles += classes // limit - 1
    stage = passing_stage(
        a, op.name, "softmax", reads, x, out, dsp=dsp, lut=copies * per_class,
        ff=copies * per_class_ff, bram=brams, cuts=cycles,
    )  # fmt: skip
    return _fill_table(stage, a.entries(op.exp.size)) if fills_table(a, x.bits) else stage


def fills_table(a: Arrangement, x_bits: int) -> bool:
    """Whether the exponentials of a softmax are calculated while the design runs: recent Vitis HLS
    does not do so beforehand for numbers this wide, which hls4ml's `auto` makes of 16 bits."""
    own = a.arithmetic is Arithmetic.HLS4ML and a.streamed
    return own and a.fabric.recent and x_bits > FOLDED_TABLE_BITS


def _fill_table(stage: HardwareStage, entries: int) -> HardwareStage:
    """An entry in every cycle, before each sample."""
    return replace(
        stage,
        dsp=stage.dsp + FILL_DSP,
        lut=stage.lut + FILL_LUT,
        ff=stage.ff + FILL_FF,
        busy_cycles=stage.busy_cycles + entries + FILL_CYCLES,
    )


def softmax_cycles(f: HlsFabric, classes: int) -> int:
    """Cuts of a softmax: a tree of maxima, a table, a tree of sums, a table, a product. On slow
    logic a table takes its address in one cycle and answers in the next, and the product of the
    two tables is cut itself."""
    levels = math.ceil(math.log2(max(classes, 2)))
    largest = 1 + cuts_of(f.usable_ns, [f.compare_ns] * levels)
    total = 1 + cuts_of(f.usable_ns, [SUM_LEVEL * f.compare_ns] * levels)
    if not f.slow:
        return largest + total + 2
    return largest + total + 4 + 1 + math.ceil(SLOW_SOFTMAX_PRODUCT_NS / f.usable_ns)


def prelu_stage(
    a: Arrangement, op: ops.PRelu, x: Value, out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """A product with the slope, and a choice."""
    dsp, lut = _elementwise_products(a, op.slope, x, out)
    if np.all(op.slope == 1 << op.slope_type.frac):
        return passing_stage(a, op.name, "prelu", reads, x, out)
    lut += a.copies(out) * relu_luts(a.fabric, x, out)
    return passing_stage(a, op.name, "prelu", reads, x, out, dsp=dsp, lut=lut)


def scale_stage(
    a: Arrangement, op: ops.Scale, x: Value, out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """A product with a constant for each channel or element, and a sum."""
    dsp, lut = _elementwise_products(a, op.factor, x, out)
    if np.any(op.bias):
        lut += adder_luts(a.fabric, out.bits, a.copies(out))
    delay = (a.fabric.multiply_ns if dsp else a.fabric.add_ns) + a.fabric.add_ns
    cuts = int(delay / a.fabric.usable_ns)
    return passing_stage(a, op.name, "scale", reads, x, out, dsp=dsp, lut=lut, cuts=cuts)


def mean_stage(
    a: Arrangement, op: ops.Scale, x: Value, out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """A sum divided by how many were added, as hls4ml has it: in LUTs, a row of subtractions for
    each bit, where a Program multiplies. A power of two is wiring."""
    count = float(1 / np.mean(op.factor / 2.0**op.factor_type.frac))
    if math.log2(count).is_integer():
        return scale_stage(a, op, x, out, reads)
    rows = x.bits
    lut = a.copies(out) * rows * (rows + 1.0)
    cuts = cuts_of(a.fabric.usable_ns, [a.fabric.add_ns] * rows)
    return passing_stage(a, op.name, "scale", reads, x, out, lut=lut, cuts=cuts)


def _elementwise_products(
    a: Arrangement, factor: ops.Weights, x: Value, out: Value
) -> tuple[float, float]:
    """DSP blocks and LUTs of one multiplier by a constant for each element at work."""
    values = factor.reshape(-1, 1)
    products = constant_products(a.fabric, values, x.bits, None)
    repeated = a.copies(out) / values.size
    return products.dsp * repeated, products.lut * repeated


def pool_stage(
    a: Arrangement,
    op: ops.Pool,
    size: ops.Shape,
    x: Value,
    out: Value,
    reads: tuple[str, ...],
) -> HardwareStage:
    """The largest or the sum of each window. A sum is a tree, the largest of all at hand a chain:
    no tool puts comparisons into another order, so the last elements wait for long."""
    f = a.fabric
    window = math.prod(op.window)
    if op.kind is ops.PoolKind.MAX:
        one = maximum_luts(f, x.bits)
    else:  # in a sum of an even number, one adder is left without a partner
        one = out.bits + (CARRY_LUTS / (window - 1) if window % 2 == 0 else 0.0)
    whole = all(width >= length for width, length in zip(op.window, size, strict=False))
    if not a.streamed:
        lut = out.elements * (window - 1) * one
        if op.kind is not ops.PoolKind.MAX:
            cuts = int(math.log2(max(window, 1)) * f.add_ns / f.usable_ns)
            return passing_stage(a, op.name, "pool", reads, x, out, lut=lut, cuts=cuts)
        cuts = cuts_of(f.usable_ns, [f.compare_ns] * (window - 1))
        waiting = float(max(window - SOON, 0) * out.elements * x.bits) if cuts else 0.0
        return passing_stage(
            a, op.name, "pool", reads, x, out,
            lut=lut + waiting * DELAY_LUT, ff=waiting * DELAY_FF, cuts=cuts,
        )  # fmt: skip
    padded = [
        length + before + after for length, (before, after) in zip(size, op.pads, strict=False)
    ]
    pixels = math.prod(padded)
    channels = out.channels
    if whole:
        lut, ff = channels * one, 2.0 * channels * out.bits
        ahead = pixels
    else:
        window_bits = window * channels * x.bits
        lut = (
            channels * (window - 1) * one
            + window_bits * f.fit["pool_lut"]
            + line_buffer_luts(padded, op.window, channels, x.bits)
        )
        ff = window_bits * f.fit["pool_ff"]
        ahead = (op.window[0] - 1) * padded[1] + op.window[1] if len(padded) > 1 else op.window[0]
    return HardwareStage(
        op.name, "pool", reads, out,
        lut=lut + a.ports_luts(x, out),
        ff=ff + a.output_ff(out),
        busy_cycles=pixels + 3,
        fill_cycles=ahead + 3,
        drain_cycles=3,
    )  # fmt: skip


def pair_stage(
    a: Arrangement, op: ops.Pair, left: Value, right: Value, out: Value, reads: tuple[str, ...]
) -> HardwareStage:
    """Two tensors, element by element."""
    f, copies = a.fabric, a.copies(out)
    match op.kind:
        case ops.PairKind.ADD | ops.PairKind.SUB:
            dsp, lut = 0.0, float(out.bits + CARRY_LUTS)
        case ops.PairKind.MAX | ops.PairKind.MIN:
            dsp, lut = 0.0, maximum_luts(f, out.bits)
        case ops.PairKind.MUL:
            dsp = float(product_dsps(f, left.bits, right.bits))
            lut = product_luts(f, left.bits, right.bits)
    return passing_stage(a, op.name, "pair", reads, left, out, dsp=copies * dsp, lut=copies * lut)


def move_stage(
    a: Arrangement,
    name: str,
    kind: str,
    x: Value,
    out: Value,
    reads: tuple[str, ...],
    *,
    stores_all: bool,
) -> HardwareStage:
    """Elements elsewhere: wiring where all are at hand, else a stage that passes them on."""
    if not a.streamed:
        return passing_stage(a, name, kind, reads, x, out)
    bram = memory_brams(x.positions, x.channels * x.bits) if stores_all else 0
    stage = passing_stage(a, name, kind, reads, x, out, lut=out.channels * out.bits / 2, bram=bram)
    if not stores_all:
        return stage
    busy = x.positions + out.positions
    return HardwareStage(
        name, kind, reads, out, lut=stage.lut, ff=stage.ff, bram18=stage.bram18, busy_cycles=busy,
        fill_cycles=x.positions, drain_cycles=out.positions,
    )  # fmt: skip
