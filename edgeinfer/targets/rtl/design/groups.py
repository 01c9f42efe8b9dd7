# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Convolutions whose channels are in groups: each group reads its own channels only.

A position of the window comes in rounds. In each, the taps of as many groups as are computed at
once come by themselves, so that nothing is multiplied by the zeros between groups.
"""

from __future__ import annotations

from edgeinfer.targets.rtl.design.blocks import (
    MAC_LATENCY,
    WINDOW_LATENCY,
    levels_of,
    mac_steps,
    multiplying_parameters,
    window_parameters,
)
from edgeinfer.targets.rtl.design.layers import MatrixLayer
from edgeinfer.targets.rtl.design.memory import hex_words
from edgeinfer.targets.rtl.design.netlist import Actor, Block, Parameter, Stream
from edgeinfer.targets.rtl.design.sliding import Sliding, window_steps
from edgeinfer.targets.rtl.settings import Fold
from quantization.fixed import Fixed, Ints


def group_window(x: Stream, y: Stream, op: str, shape: Sliding) -> Block:
    """A window that slides; `x` brings the channels of a round, `y` their taps in chunks."""
    rounds = shape.channels // x.lanes
    chunks = shape.taps // rounds // y.lanes
    actor = Actor((x.name,), (y.name,), window_steps(shape, chunks, rounds), 1, WINDOW_LATENCY)
    parameters: dict[str, Parameter] = {
        "BITS": x.type.bits,
        "LANES": x.lanes,
        "ROUNDS": rounds,
        **window_parameters(shape),
        "CHUNK": y.lanes,
    }
    return Block(
        "ei_group_window", f"{y.name}_window", op, parameters, (x.name,), (y.name,), (actor,)
    )


def group_mac(
    x: Stream,
    y: Stream,
    layer: MatrixLayer,
    fold: Fold,
    weight: Ints,
    weight_type: Fixed,
    bias: Ints,
    shift: int,
) -> Block:
    """Folded multiply-accumulate, group by group; `weight` is (inputs of an output, outputs)."""
    at_once = layer.groups_at_once(fold)
    rounds, sf = layer.groups // at_once, layer.inputs // fold.simd
    pe = fold.pe // at_once  # of a group
    nf = layer.outputs // layer.groups // pe
    words = weight.reshape(sf, fold.simd, rounds, at_once, nf, pe).transpose(2, 0, 4, 3, 5, 1)
    starts = bias.reshape(rounds, at_once, nf, pe).transpose(0, 2, 1, 3)
    files = {
        f"{y.name}_weights.mem": hex_words(words.reshape(rounds * sf * nf, -1), weight_type.bits),
        f"{y.name}_biases.mem": hex_words(starts.reshape(rounds * nf, -1), y.type.bits),
    }
    levels = levels_of(fold.simd)
    parameters: dict[str, Parameter] = {
        **multiplying_parameters(x.type, y.type, weight_type, shift),
        "SIMD": fold.simd,
        "PE": fold.pe,
        "GROUPS": at_once,
        "CHANNELS": layer.channels,
        "ROUNDS": rounds,
        "SF": sf,
        "NF": nf,
        "LEVELS": levels,
        "WEIGHTS": f"{y.name}_weights.mem",
        "BIASES": f"{y.name}_biases.mem",
    }
    vectors = y.beats // nf
    actor = Actor((x.name,), (y.name,), mac_steps(sf, nf), vectors, MAC_LATENCY + levels)
    return Block(
        "ei_group_mac", f"{y.name}_mac", y.name, parameters, (x.name,), (y.name,), (actor,), files
    )
