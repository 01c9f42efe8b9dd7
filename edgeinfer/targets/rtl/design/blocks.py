# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""One function for each module of firmware/rtl: its parameters, its memory files, its timing.

The latencies are facts about the Verilog: cycles from a step to the beat's being there to be read.
The simulation tests hold every one of them to the cycle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgeinfer.ir.ops import PairKind
from edgeinfer.targets.rtl.design.codes import OVERFLOWS, PAIRS, ROUNDINGS
from edgeinfer.targets.rtl.design.layers import ALL_MEET, Grouping
from edgeinfer.targets.rtl.design.memory import hex_words
from edgeinfer.targets.rtl.design.netlist import (
    BANKS,
    OFFERED,
    PASS,
    SENT,
    Actor,
    Block,
    BlockStep,
    Parameter,
    PortNames,
    SizedNumber,
    Stream,
)
from edgeinfer.targets.rtl.design.sliding import Sliding, window_steps
from quantization.fixed import Fixed, Ints, Overflow, Rounding, fixed_of_range

WIDEN_LATENCY = FORK_LATENCY = POOL_LATENCY = CONCAT_LATENCY = CLIP_LATENCY = 1
INGRESS_LATENCY = EGRESS_LATENCY = KEEP_LATENCY = 1
NARROW_LATENCY = 2
REQUANT_LATENCY = PAIR_LATENCY = CONSTANT_LATENCY = 3
WINDOW_LATENCY = TABLE_LATENCY = GATHER_LATENCY = 4
AFFINE_LATENCY = 5
MAC_LATENCY = 6
REDUCE_LATENCY = 2
PLAIN_PORTS = PortNames()


def levels_of(count: int) -> int:
    """Depth of a tree that joins so many numbers."""
    return max(count - 1, 0).bit_length()


def type_parameters(prefix: str, type_: Fixed) -> dict[str, Parameter]:
    """How wide the numbers of a type are, and whether they have a sign."""
    return {f"{prefix}BITS": type_.bits, f"{prefix}SIGNED": int(type_.signed)}


def axis_parameters(name: str, sizes: Sequence[int]) -> dict[str, Parameter]:
    """Something of an image along its rows and its columns."""
    return {f"{name}_H": sizes[0], f"{name}_W": sizes[1]}


def make_block(
    module: str,
    xs: Sequence[Stream],
    y: Stream,
    op: str,
    parameters: dict[str, Parameter],
    latency: int,
    files: Mapping[str, bytes] | None = None,
    pattern: tuple[BlockStep, ...] = (PASS,),
    times: int | None = None,
    ports: PortNames = PLAIN_PORTS,
    parts: frozenset[str] = frozenset(),
    counter: str = "",
) -> Block:
    """A block whose streams meet in one actor. It goes through the pattern so many times in a
    frame: by default once for each beat of the first stream."""
    reads, times = tuple(x.name for x in xs), xs[0].beats if times is None else times
    actor = Actor(reads, (y.name,), pattern, times, latency)
    name = f"{y.name}_{module.removeprefix('ei_').removeprefix('site_')}"
    return Block(
        module, name, op, parameters, reads, (y.name,), (actor,), files or {}, ports, parts,
        counter=counter,
    )  # fmt: skip


def ingress(stream: Stream, op: str) -> Block:
    """Frames come in."""
    actor = Actor(
        (f"{stream.name}{OFFERED}",), (stream.name,), (PASS,), stream.beats, INGRESS_LATENCY
    )
    parameters: dict[str, Parameter] = {
        "WIDTH": stream.width,
        "BYTES": -(-stream.width // 8),
        "BEATS": stream.beats,
    }
    return Block("ei_ingress", f"{stream.name}_in", op, parameters, (), (stream.name,), (actor,))


def egress(stream: Stream, op: str, name: str) -> Block:
    """Results go out; whoever reads them is always ready, as far as the timing goes."""
    sent = f"{stream.name}{SENT}"
    actors = (
        Actor((stream.name,), (sent,), (PASS,), stream.beats, EGRESS_LATENCY),
        Actor((sent,), (), (BlockStep(reads=1, frees=1),), stream.beats, 0),
    )
    parameters: dict[str, Parameter] = {
        "WIDTH": stream.width,
        "BYTES": -(-stream.width // 8),
        "BEATS": stream.beats,
    }
    return Block("ei_egress", name, op, parameters, (stream.name,), (), actors)


def fork(x: Stream, a: Stream, b: Stream, op: str) -> Block:
    """One stream for two readers."""
    actor = Actor((x.name,), (a.name, b.name), (PASS,), x.beats, FORK_LATENCY)
    parameters: dict[str, Parameter] = {"WIDTH": x.width}
    return Block("ei_fork", f"{a.name}_fork", op, parameters, (x.name,), (a.name, b.name), (actor,))


def narrow(x: Stream, y: Stream, op: str) -> Block:
    """Fewer lanes."""
    ratio = x.lanes // y.lanes
    waiting = BlockStep(reads=1, reserves=True, yields=True)
    pattern = (*[waiting] * (ratio - 1), PASS)
    parameters: dict[str, Parameter] = {"BITS": x.type.bits, "LANES": y.lanes, "RATIO": ratio}
    return make_block("ei_narrow", (x,), y, op, parameters, NARROW_LATENCY, pattern=pattern)


def widen(x: Stream, y: Stream, op: str) -> Block:
    """More lanes."""
    ratio = y.lanes // x.lanes
    pattern = (*[BlockStep(reads=1, frees=1)] * (ratio - 1), PASS)
    parameters: dict[str, Parameter] = {"BITS": x.type.bits, "LANES": x.lanes, "RATIO": ratio}
    return make_block("ei_widen", (x,), y, op, parameters, WIDEN_LATENCY, {}, pattern, y.beats)


def window(x: Stream, y: Stream, op: str, shape: Sliding, fill: int) -> Block:
    """A window that slides; `y` carries it in chunks of its lanes. Where `x` brings a pixel in
    several beats, the taps of each beat's channels come by themselves."""
    rounds = shape.channels // x.lanes
    chunks = shape.taps // rounds // y.lanes
    pattern = window_steps(shape, chunks, rounds)
    parameters: dict[str, Parameter] = {
        "BITS": x.type.bits,
        "CHANNELS": x.lanes,
        "ROUNDS": rounds,
        "HEIGHT": shape.image[0],
        "WIDTH": shape.image[1],
        **axis_parameters("KERNEL", shape.kernel),
        **axis_parameters("STRIDE", shape.strides),
        **axis_parameters("DILATE", shape.dilation),
        "PAD_TOP": shape.pads[0][0],
        "PAD_BOTTOM": shape.pads[0][1],
        "PAD_LEFT": shape.pads[1][0],
        "PAD_RIGHT": shape.pads[1][1],
        "FILL": SizedNumber(x.type.bits, fill),
        "CHUNK": y.lanes,
    }
    return make_block(
        "ei_window", (x,), y, op, parameters, WINDOW_LATENCY, pattern=pattern, times=1
    )


def mac(
    x: Stream,
    y: Stream,
    op: str,
    weight: Ints,
    weight_type: Fixed,
    bias: Ints,
    shift: int,
    grouping: Grouping = ALL_MEET,
) -> Block:
    """Folded multiply-accumulate: `x` brings SIMD inputs a beat for each group at once, `y` takes
    PE outputs of all of these. `weight` is (inputs of an output, outputs of all groups)."""
    at_once, rounds = grouping.at_once, grouping.rounds
    simd, pe = x.lanes // at_once, y.lanes // at_once  # of a group
    sf, nf = weight.shape[0] // simd, weight.shape[1] // at_once // rounds // pe
    levels = levels_of(simd)
    words = weight.reshape(sf, simd, rounds, at_once, nf, pe).transpose(2, 0, 4, 3, 5, 1)
    starts = bias.reshape(rounds, at_once, nf, pe).transpose(0, 2, 1, 3)
    files = {
        f"{op}_weights.mem": hex_words(words.reshape(rounds * sf * nf, -1), weight_type.bits),
        f"{op}_biases.mem": hex_words(starts.reshape(rounds * nf, -1), y.type.bits),
    }
    parameters: dict[str, Parameter] = {
        **multiplying_parameters(x.type, y.type, weight_type, shift),
        "SIMD": simd,
        "PE": y.lanes,
        "GROUPS": at_once,
        "CHANNELS": grouping.channels,
        "ROUNDS": rounds,
        "SF": sf,
        "NF": nf,
        "LEVELS": levels,
        "WEIGHTS": f"{op}_weights.mem",
        "BIASES": f"{op}_biases.mem",
    }
    steps, latency = mac_steps(sf, nf), MAC_LATENCY + levels
    return make_block("ei_mac", (x,), y, op, parameters, latency, files, steps, y.beats // nf)


def multiplying_parameters(
    x: Fixed, y: Fixed, weight_type: Fixed, shift: int
) -> dict[str, Parameter]:
    """The types between which a block multiplies and accumulates."""
    return {
        **type_parameters("X_", x),
        **type_parameters("W_", weight_type),
        "ACC_BITS": y.bits,
        "SHIFT": shift,
    }


def mac_steps(sf: int, nf: int) -> tuple[BlockStep, ...]:
    """A vector: every beat but the last is held for nf cycles; in the last's, outputs leave."""
    leading = (BlockStep(reads=1, frees=1, cycles=nf),) * (sf - 1)
    waiting = BlockStep(reads=1, reserves=True, yields=True)
    return (*leading, *[waiting] * (nf - 1), PASS)


def pool(
    x: Stream, y: Stream, op: str, image: Sequence[int], tile: Sequence[int], add: int
) -> Block:
    """Pooling over tiles; `image` is (height, width, channels)."""
    height, width, channels = image
    groups = channels // x.lanes
    taken, left = BlockStep(reads=1, frees=1), PASS
    pattern: list[BlockStep] = []
    for row in range(height):
        last_h = row % tile[0] == tile[0] - 1
        for column in range(width):
            ends = last_h and column % tile[1] == tile[1] - 1
            pattern += [left if ends else taken] * groups
    parameters: dict[str, Parameter] = {
        **type_parameters("", x.type),
        "LANES": x.lanes,
        "GROUPS": groups,
        "HEIGHT": height,
        "WIDTH": width,
        **axis_parameters("TILE", tile),
        "SUM": add,
        "OUT_BITS": y.type.bits,
    }
    return make_block("ei_pool", (x,), y, op, parameters, POOL_LATENCY, {}, tuple(pattern), 1)


def reduce(x: Stream, y: Stream, op: str, add: int) -> Block:
    """Maximum or sum over the taps of whole windows."""
    taps = x.lanes // y.lanes
    levels = max(levels_of(taps), 1)
    parameters: dict[str, Parameter] = {
        **type_parameters("", x.type),
        "LANES": y.lanes,
        "TAPS": taps,
        "LEVELS": levels,
        "SUM": add,
        "OUT_BITS": y.type.bits,
    }
    return make_block("ei_reduce", (x,), y, op, parameters, REDUCE_LATENCY + levels)


def requant(x: Stream, y: Stream, op: str, rounding: Rounding, overflow: Overflow) -> Block:
    """Numbers brought to another type."""
    parameters: dict[str, Parameter] = {
        "LANES": x.lanes,
        **type_parameters("IN_", x.type),
        "SHIFT": x.type.frac - y.type.frac,
        "ROUNDING": ROUNDINGS.index(rounding),
        "OVERFLOW": OVERFLOWS.index(overflow),
        **type_parameters("OUT_", y.type),
    }
    return make_block("ei_requant", (x,), y, op, parameters, REQUANT_LATENCY)


def clip(x: Stream, y: Stream, op: str, low: int | None, high: int | None) -> Block:
    """Numbers limited."""
    ends = [x.type.raw_min, x.type.raw_max, y.type.raw_min, y.type.raw_max, low or 0, high or 0]
    width = max(fixed_of_range(min(*ends, -1), max(ends), 0).bits, x.type.bits + 1)
    parameters: dict[str, Parameter] = {
        "LANES": x.lanes,
        **type_parameters("IN_", x.type),
        "OUT_BITS": y.type.bits,
        "W_BITS": width,
        "HAS_LOW": int(low is not None),
        "HAS_HIGH": int(high is not None),
        "LOW": SizedNumber(width, low or 0),
        "HIGH": SizedNumber(width, high or 0),
    }
    return make_block("ei_clip", (x,), y, op, parameters, CLIP_LATENCY)


def affine(
    x: Stream,
    y: Stream,
    op: str,
    factor: Ints,
    factor_type: Fixed,
    bias: Ints,
    shift: int,
    prelu: int,
) -> Block:
    """x factor 2^shift + bias; factor and bias are given for every element of the frame."""
    flat = np.stack([factor.reshape(x.beats, x.lanes), bias.reshape(x.beats, x.lanes)])
    words = _period(flat)
    files = {
        f"{op}_factors.mem": hex_words(flat[0, :words], factor_type.bits),
        f"{op}_biases.mem": hex_words(flat[1, :words], y.type.bits),
    }
    parameters: dict[str, Parameter] = {
        "LANES": x.lanes,
        **type_parameters("X_", x.type),
        **type_parameters("F_", factor_type),
        "SHIFT": shift,
        "PRELU": prelu,
        "OUT_BITS": y.type.bits,
        "WORDS": words,
        "FACTORS": f"{op}_factors.mem",
        "BIASES": f"{op}_biases.mem",
    }
    return make_block("ei_affine", (x,), y, op, parameters, AFFINE_LATENCY, files)


def _period(flat: Ints) -> int:
    """The fewest words that, repeated, make up the frame."""
    beats = int(flat.shape[1])
    for words in range(1, beats):
        if beats % words == 0 and bool(np.all(flat[:, words:] == flat[:, :-words])):
            return words
    return beats


def table(x: Stream, y: Stream, op: str, first: int, entries: Ints) -> Block:
    """A look-up."""
    parameters: dict[str, Parameter] = {
        "LANES": x.lanes,
        **type_parameters("IN_", x.type),
        "FIRST": SizedNumber(64, first),
        "ENTRIES": entries.size,
        "OUT_BITS": y.type.bits,
        "TABLE": f"{op}_table.mem",
    }
    files = {f"{op}_table.mem": hex_words(entries.reshape(-1, 1), y.type.bits)}
    return make_block("ei_table", (x,), y, op, parameters, TABLE_LATENCY, files)


def pair(a: Stream, b: Stream, y: Stream, op: str, kind: PairKind) -> Block:
    """Two streams, element by element."""
    step = BlockStep(reads=3, frees=3, reserves=True, yields=True)
    moved = kind is not PairKind.MUL
    parameters: dict[str, Parameter] = {
        "LANES": y.lanes,
        **type_parameters("A_", a.type),
        "SHIFT_A": y.type.frac - a.type.frac if moved else 0,
        **type_parameters("B_", b.type),
        "SHIFT_B": y.type.frac - b.type.frac if moved else 0,
        "KIND": PAIRS.index(kind),
        "OUT_BITS": y.type.bits,
    }
    return make_block("ei_pair", (a, b), y, op, parameters, PAIR_LATENCY, {}, (step,), y.beats)


def concat(a: Stream, b: Stream, y: Stream, op: str, beats_a: int, beats_b: int) -> Block:
    """Two streams, one after the other, and again."""
    first = BlockStep(reads=1, frees=1, reserves=True, yields=True)
    second = BlockStep(reads=2, frees=2, reserves=True, yields=True)
    pattern = (*[first] * beats_a, *[second] * beats_b)
    repeats = y.beats // (beats_a + beats_b)
    parameters: dict[str, Parameter] = {
        "LANES": y.lanes,
        **type_parameters("A_", a.type),
        "SHIFT_A": y.type.frac - a.type.frac,
        "BEATS_A": beats_a,
        **type_parameters("B_", b.type),
        "SHIFT_B": y.type.frac - b.type.frac,
        "BEATS_B": beats_b,
        "OUT_BITS": y.type.bits,
    }
    return make_block("ei_concat", (a, b), y, op, parameters, CONCAT_LATENCY, {}, pattern, repeats)


def keep(x: Stream, y: Stream, op: str, first: int) -> Block:
    """The beats of a frame from `first` on, as many as `y` has; the others are let go of."""
    taken = BlockStep(reads=1, frees=1)
    before, behind = (taken,) * first, (taken,) * (x.beats - first - y.beats)
    pattern = (*before, *[PASS] * y.beats, *behind)
    parameters: dict[str, Parameter] = {
        "WIDTH": x.width,
        "BEATS": x.beats,
        "FIRST": first,
        "KEPT": y.beats,
    }
    return make_block("ei_keep", (x,), y, op, parameters, KEEP_LATENCY, pattern=pattern, times=1)


def repeat(x: Stream, y: Stream, op: str) -> Block:
    """One element a beat, for all lanes of y."""
    parameters: dict[str, Parameter] = {"WIDTH": x.width, "TIMES": y.lanes}
    return make_block("ei_repeat", (x,), y, op, parameters, KEEP_LATENCY)


def first(x: Stream, y: Stream, op: str, most: int, counter: str) -> Block:
    """Of a frame's bits, the first that are set, so many at most."""
    parameters: dict[str, Parameter] = {"BEATS": x.beats, "MOST": most}
    return make_block("ei_first", (x,), y, op, parameters, KEEP_LATENCY, counter=counter)


def gather(x: Stream, y: Stream, op: str, order: Ints, fill: int) -> Block:
    """Beats of a frame in another order; -1 stands for the filling."""
    index_bits = max((x.beats - 1).bit_length(), 1)
    words = np.where(order < 0, np.int64(1) << index_bits, order)
    bank = f"{y.name}{BANKS}"
    opening, taken = BlockStep(reads=1, frees=1, reserves=True), BlockStep(reads=1, frees=1)
    closing = BlockStep(reads=1, frees=1, yields=True)
    only = BlockStep(reads=1, frees=1, reserves=True, yields=True)
    inward = (opening, *[taken] * (x.beats - 2), closing) if x.beats > 1 else (only,)
    waiting = BlockStep(reads=1, reserves=True, yields=True)
    outward = (*[waiting] * (y.beats - 1), PASS)
    actors = (
        Actor((x.name,), (bank,), inward, 1, 1),
        Actor((bank,), (y.name,), outward, 1, GATHER_LATENCY, release=1),
    )
    parameters: dict[str, Parameter] = {
        "BITS": x.type.bits,
        "LANES": x.lanes,
        "IN_BEATS": x.beats,
        "OUT_BEATS": y.beats,
        "FILL": SizedNumber(x.type.bits, fill),
        "ORDER": f"{y.name}_order.mem",
    }
    files = {f"{y.name}_order.mem": hex_words(words.reshape(-1, 1), index_bits + 1)}
    return Block(
        "ei_gather", f"{y.name}_gather", op, parameters, (x.name,), (y.name,), actors, files
    )


def constant(y: Stream, op: str, value: Ints) -> Block:
    """The same frame for ever."""
    words = value.reshape(y.beats, y.lanes)
    step = BlockStep(reserves=True, yields=True)
    parameters: dict[str, Parameter] = {
        "WIDTH": y.width,
        "WORDS": y.beats,
        "VALUES": f"{y.name}_values.mem",
    }
    files = {f"{y.name}_values.mem": hex_words(words, y.type.bits)}
    return make_block(
        "ei_constant", (), y, op, parameters, CONSTANT_LATENCY, files, (step,), y.beats
    )
