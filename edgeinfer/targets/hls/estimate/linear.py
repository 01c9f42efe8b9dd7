# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Convolutions and dense layers as hls4ml's templates lay them out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.ir.ops import Conv, Dense, Shape
from edgeinfer.targets.hls.estimate.fabric import (
    CARRY_LUTS,
    SRL_DEPTH,
    HlsFabric,
    HlsTool,
    adder_luts,
    fifo,
    memory_brams,
    multiplexer_luts,
    product_dsps,
    product_luts,
)
from edgeinfer.targets.hls.estimate.products import (
    Products,
    constant_products,
    digits,
    share_multipliers,
    trees,
)
from edgeinfer.targets.hls.estimate.reuse import multiplication_size
from edgeinfer.targets.hls.estimate.stage import Arrangement, GateCost, HardwareStage, Value
from edgeinfer.targets.hls.settings import Strategy

FOLDED_OVERHEAD = 4  # cycles of a folded product beyond its reuse factor: fetch, multiply, add
LINE_CONTROL = 3
PACED_PIXEL_CYCLES = 3  # of a line buffer's loop, as Vitis HLS schedules it from 2023.2 on
TASK_OVERHEAD = 2  # cycles of a folded dense layer between two others
DSP_LEAST_BITS = 8  # of an operand: what is narrower, logic synthesis multiplies in LUTs
AFTER_INPUT_LUT, AFTER_SUM_LUT = 0.77, 5.3  # after logic synthesis, for each bit
AFTER_MULTIPLIER_LUT, AFTER_ROM_LUT = 38, 0.03
AFTER_CONTROL_FF = 67
KEPT_REGISTERS = 1.3  # for each bit of a product that waits
SHARED_REGISTERS = 0.3  # of a tree, where several cycles share what each level holds
HELD_INPUT_LUT = 36  # of an input that is held for folded products: four choices, of any width
PICK_LUT = 4  # for each bit of an input that is picked in turn
PIXEL_OVERHEAD = 1  # cycles to shift a pixel into the window, where pixels are not pipelined


@dataclass(frozen=True, slots=True)
class Matrix:
    """What multiplies, adds and remembers, for one vector."""

    dsp: float
    lut: float
    ff: float
    bram18: float
    cuts: int
    cycles: int  # between two vectors: as asked for, or as soon as it is through
    turns: int  # of the busiest multiplier: as many cycles as are needed
    multipliers: float
    after: GateCost | None = None


def matrix(
    f: HlsFabric,
    op: Conv | Dense,
    x_bits: int,
    sum_bits: int,
    kept_bits: int | None,
    strategy: Strategy,
    reuse: int,
    *,
    alone: bool = False,
) -> Matrix:
    """The matrix of a layer in its strategy. alone: it has a task of its own, which makes products
    in LUTs all at once if it may; in one pipeline with other layers they wait."""
    if strategy is Strategy.RESOURCE and reuse > 1:
        return _fold_matrix(f, op, x_bits, sum_bits, reuse)
    products = _products(f, op, x_bits, kept_bits)
    if strategy is Strategy.DISTRIBUTED:
        products = _distribute_products(f, op, products, x_bits)
    limit = multiplier_limit(op, reuse)
    folded = share_multipliers(f, products, x_bits, op.weight_type.bits, limit)
    tree = trees(f, products, int(np.count_nonzero(op.bias)), sum_bits, math.prod(op.weight.shape))
    turns = max(math.ceil(products.multipliers / limit), 1)
    tree_ff = tree.ff
    if reuse > 1 and (not alone or products.dsp or turns > 1):
        # A product waits for the others, and what is added lives a cycle of many.
        kept = products.terms * products.bits * KEPT_REGISTERS
        tree_ff = tree.ff * SHARED_REGISTERS / reuse + kept
    return Matrix(
        folded.dsp,
        folded.lut + tree.lut,
        tree_ff + folded.dsp * f.multiplier_ff,
        0.0,
        tree.cuts,
        min(reuse, turns + tree.cuts + 1) if reuse > 1 else reuse,
        turns,
        folded.multipliers,
    )


def multiplier_limit(op: Conv | Dense, reuse: int) -> int:
    """How many multipliers hls4ml allows a layer in the latency strategy: those that zeros would
    take are taken off. The tool uses as many as it may, also where fewer would do in the same
    number of cycles."""
    inputs, outputs = multiplication_size(op)
    zeros = op.weight.size - int(np.count_nonzero(op.weight))
    return max(math.ceil(inputs * outputs / reuse) - zeros // reuse, 1)


def _products(f: HlsFabric, op: Conv | Dense, x_bits: int, kept_bits: int | None) -> Products:
    groups = op.groups if isinstance(op, Conv) else 1
    weights = np.asarray(op.weight.reshape(-1, op.weight.shape[-1]), np.int64)
    if groups == 1:
        return constant_products(f, op.weight, x_bits, kept_bits)
    parts = [
        constant_products(f, part, x_bits, kept_bits) for part in np.split(weights, groups, axis=1)
    ]
    terms = sum(part.terms for part in parts)
    return Products(
        sum(part.dsp for part in parts),
        sum(part.lut for part in parts),
        sum(part.multipliers for part in parts),
        terms,
        tuple(pair for part in parts for pair in part.outputs),
        sum(part.bits * part.terms for part in parts) / max(terms, 1),
    )


def _distribute_products(
    f: HlsFabric, op: Conv | Dense, products: Products, x_bits: int
) -> Products:
    """Adder graphs instead of multipliers: an adder for each digit of a weight beyond the first,
    of which the search for common terms saves a share."""
    magnitude = np.abs(op.weight.reshape(-1).astype(np.int64))
    extra = float(np.maximum(digits(magnitude) - 1, 0).sum())
    luts = adder_luts(f, x_bits + 2, extra * f.fit["distributed_share"])
    return replace(products, dsp=0.0, lut=luts, multipliers=0.0)


def _fold_matrix(f: HlsFabric, op: Conv | Dense, x_bits: int, sum_bits: int, reuse: int) -> Matrix:
    """Multipliers that take other weights in every cycle, from a ROM as wide as all of them.

    Logic synthesis keeps a ROM of weights in LUTs, and leaves narrow products there, too.
    """
    inputs, outputs = multiplication_size(op)
    multipliers = math.ceil(inputs * outputs / reuse)
    w_bits = op.weight_type.bits
    wide = min(x_bits + w_bits + 1, sum_bits)
    per_output = max(multipliers / outputs, 1.0)
    levels = math.ceil(math.log2(per_output)) if per_output > 1 else 0
    if f.tool is HlsTool.VIVADO:
        selecting = float(inputs * HELD_INPUT_LUT + math.ceil(inputs / reuse) * x_bits * PICK_LUT)
    else:
        selecting = multiplexer_luts(x_bits, min(reuse, inputs)) * math.ceil(inputs / reuse)
    accumulators = outputs * sum_bits
    scattered = multiplexer_luts(sum_bits, max(reuse / inputs, 1)) * multipliers
    lut = (
        multipliers * product_luts(f, x_bits, w_bits)
        + adder_luts(f, (wide + sum_bits) / 2, multipliers)
        + selecting
        + scattered
        + multipliers * f.fit["folded_multiplier_lut"]
        + accumulators * f.fit["folded_sum_lut"]
    )
    ff = inputs * x_bits * f.fit["folded_input_ff"] + accumulators + multipliers * (wide + w_bits)
    blocks = product_dsps(f, x_bits, w_bits)  # a product of several is added up, block by block
    stages = 2 * math.ceil(math.log2(blocks)) if blocks > 1 else 0
    return Matrix(
        multipliers * blocks,
        lut,
        ff,
        memory_brams(reuse, multipliers * w_bits),
        FOLDED_OVERHEAD + levels // 4 + stages,
        reuse,
        reuse,
        multipliers,
        _fold_after(f, op, x_bits, sum_bits, multipliers),
    )


def _fold_after(
    f: HlsFabric, op: Conv | Dense, x_bits: int, sum_bits: int, multipliers: int
) -> GateCost | None:
    """What logic synthesis leaves of a folded matrix from Vitis HLS: registers for inputs and
    sums, a multiplexer in front of each sum, weights in LUTs."""
    if f.tool is not HlsTool.VITIS:
        return None
    inputs, outputs = multiplication_size(op)
    w_bits = op.weight_type.bits
    blocks = product_dsps(f, x_bits, w_bits) if min(x_bits, w_bits) >= DSP_LEAST_BITS else 0
    in_luts = 0.0 if blocks else float(x_bits * w_bits)
    lut = (
        inputs * x_bits * AFTER_INPUT_LUT
        + outputs * sum_bits * AFTER_SUM_LUT
        + multipliers * (AFTER_MULTIPLIER_LUT + in_luts)
        + op.weight.size * w_bits * AFTER_ROM_LUT
    )
    ff = inputs * x_bits * 2.0 + outputs * (2.0 * sum_bits + CARRY_LUTS) + AFTER_CONTROL_FF
    return GateCost(multipliers * blocks, lut, ff)


def dense_stage(
    a: Arrangement,
    op: Dense,
    x: Value,
    out: Value,
    kept_bits: int | None,
    strategy: Strategy,
    reuse: int,
    reads: tuple[str, ...],
) -> HardwareStage:
    """A dense layer; over positions, it is a convolution of one pixel."""
    f = a.fabric
    sum_bits = kept_bits or op.type.bits
    vectors = out.positions
    product_matrix = matrix(f, op, x.bits, sum_bits, kept_bits, strategy, reuse)
    stage = _plain_stage(op, "dense", product_matrix, out, reuse, reads)
    if not a.streamed:
        looped = strategy is Strategy.RESOURCE or vectors > 1
        folded = strategy is Strategy.RESOURCE and reuse > 1 and vectors == 1
        busy = vectors * product_matrix.turns + product_matrix.cuts + (1 if looped else 0)
        if folded and f.tool is HlsTool.VITIS:
            busy = product_matrix.turns + TASK_OVERHEAD
        return replace(
            stage,
            lut=product_matrix.lut + (x.all_bits * f.gather_lut if vectors > 1 else 0.0),
            cuts=product_matrix.cuts + product_matrix.turns - 1,
            turns=min(max(reuse, 1), product_matrix.cuts + product_matrix.turns),
            looped=looped,
            busy_cycles=busy,
            fill_cycles=busy,
            drain_cycles=busy,
        )
    packs = vectors if vectors > 1 else x.positions
    calls = f.tool is HlsTool.VITIS and op.weight.shape[0] > 1  # a call takes a cycle more
    once = product_matrix.cuts + product_matrix.cycles + (1 if calls else 0)
    busy = (
        (packs * product_matrix.cycles + product_matrix.cuts + 2)
        if vectors > 1
        else _gather_cycles(packs, once)
    )
    drain = once + (1 if packs > 1 else 0)
    stored = x.elements // vectors * x.bits if product_matrix.cuts or packs > 1 else 0
    return replace(
        stage,
        lut=product_matrix.lut + a.ports_luts(x, out),
        ff=product_matrix.ff + stored + a.output_ff(out),
        busy_cycles=busy,
        fill_cycles=once if vectors > 1 else busy,
        drain_cycles=drain,
    )


def _plain_stage(
    op: Conv | Dense,
    kind: str,
    product_matrix: Matrix,
    out: Value,
    reuse: int,
    reads: tuple[str, ...],
) -> HardwareStage:
    """The matrix alone, before it is known when it works."""
    return HardwareStage(
        op.name,
        kind,
        reads,
        out,
        dsp=product_matrix.dsp,
        lut=product_matrix.lut,
        ff=product_matrix.ff,
        bram18=product_matrix.bram18,
        cuts=product_matrix.cuts,
        reuse=reuse,
        after=product_matrix.after,
    )


def _gather_cycles(packs: int, once: int) -> int:
    """Cycles to collect a vector that comes in packs, and to multiply it."""
    return packs + once + 1 if packs > 1 else once


def conv_stage(
    a: Arrangement,
    op: Conv,
    size: Shape,
    x: Value,
    out: Value,
    kept_bits: int | None,
    strategy: Strategy,
    reuse: int,
    reads: tuple[str, ...],
    at_once: int = 1,
) -> HardwareStage:
    """A convolution: over a window that slides with the stream, or gathered at each position, or
    at several at once."""
    f = a.fabric
    sum_bits = kept_bits or op.type.bits
    alone = not a.streamed
    product_matrix = matrix(f, op, x.bits, sum_bits, kept_bits, strategy, reuse, alone=alone)
    window = op.window
    window_bits = math.prod(window) * size[-1] * x.bits
    stage = _plain_stage(op, "conv", product_matrix, out, reuse, reads)
    folded = strategy is Strategy.RESOURCE
    if not a.streamed:
        return _gathered_conv(a, op, x, stage, product_matrix, window_bits, folded, at_once)
    padded = [
        length + before + after for length, (before, after) in zip(size, op.pads, strict=False)
    ]
    pixels = math.prod(padded)
    per_pixel = pixel_cycles(f, op, product_matrix, folded)
    after_last = product_matrix.cuts + 3
    lines = line_buffer_luts(padded, window, size[-1], x.bits)
    ahead = (window[0] - 1) * padded[1] + window[1] if len(window) > 1 else window[0]
    buffered = math.prod(window) > 1
    lut = product_matrix.lut + lines + a.ports_luts(x, out)
    ff = product_matrix.ff + a.output_ff(out)
    if buffered:
        lut += window_bits * f.window_lut
        ff += window_bits * f.fit["window_ff"]
    bram = product_matrix.bram18
    if pixels > x.positions:  # a layer of its own puts zeros around the picture
        store = fifo(f, pixels, x.bits, x.channels)
        lut += a.ports_luts(x, x) + x.channels * x.bits + store.lut
        ff += a.output_ff(x) + store.ff
        bram += store.bram18
    return replace(
        stage,
        lut=lut,
        ff=ff,
        bram18=bram,
        busy_cycles=pixels * per_pixel + after_last,
        fill_cycles=ahead * per_pixel + after_last,
        drain_cycles=(per_pixel if folded else 0) + after_last,
    )


def pixel_cycles(f: HlsFabric, op: Conv, product_matrix: Matrix, folded: bool) -> int:
    """Cycles between two pixels. Vitis HLS, asked for one, starts the next pixel only when the
    window of the one before is through; in one dimension, its control took three cycles more
    before 2023.2."""
    if folded:
        return product_matrix.cycles + product_matrix.cuts + PIXEL_OVERHEAD
    window = op.window
    if f.tool is HlsTool.VIVADO or op.groups > 1 or math.prod(window) == 1:
        return product_matrix.cycles
    control = LINE_CONTROL if len(window) == 1 and not f.paced else 0
    least = PACED_PIXEL_CYCLES if f.paced else 1
    return max(product_matrix.cycles, product_matrix.cuts + 1 + control, least)


def _gathered_conv(
    a: Arrangement,
    op: Conv,
    x: Value,
    stage: HardwareStage,
    product_matrix: Matrix,
    window_bits: int,
    folded: bool,
    at_once: int,
) -> HardwareStage:
    """All pixels at hand: a loop over the positions picks each window out of them."""
    positions = stage.out.positions
    turns = positions // at_once
    per_position = (
        product_matrix.cycles + product_matrix.cuts
        if folded and product_matrix.cycles > 1
        else product_matrix.cycles
    )
    busy = turns * per_position + product_matrix.cuts + 2
    lut, ff = product_matrix.lut * at_once, product_matrix.ff * at_once
    if turns > 1:
        lut += window_bits * positions * a.fabric.gather_lut
        if a.fabric.tool is HlsTool.VIVADO:  # a product waits for the next cycle
            ff += product_matrix.multipliers * at_once * min(op.type.bits, x.bits)
    return replace(
        stage,
        dsp=product_matrix.dsp * at_once,
        bram18=product_matrix.bram18 * at_once,
        lut=lut,
        ff=ff,
        busy_cycles=busy,
        fill_cycles=busy,
        drain_cycles=busy,
        looped=positions > 1 or folded,
    )


def line_buffer_luts(padded: list[int], window: Shape, channels: int, bits: int) -> float:
    """Shift registers that hold the rows above."""
    if len(window) < 2 or window[0] < 2:
        return 0.0
    return (window[0] - 1) * channels * bits * math.ceil(padded[1] / SRL_DEPTH)
