# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What of a Program has no block, or does not fit: found before anything is made."""

from __future__ import annotations

import math

from edgeinfer.base.errors import Offence
from edgeinfer.ir.bases import SlidingWindow
from edgeinfer.ir.largest_part import largest_part, megabits
from edgeinfer.ir.ops import Constant, Op, Scan, Sites
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.folding import WIDEST_INPUT_BITS
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.design.parts import budget_of, part_of
from edgeinfer.targets.rtl.design.recurrence import part_beside_sequences, repeated_body
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.sparse.rewrite import in_tokens
from edgeinfer.targets.rtl.unrolled.straight import is_unrolled, size_of, wide_inputs

MOST_AXES = 2  # of a window
MOST_ELEMENTS = 1 << 20  # of a value: every step of a frame is counted


def offences(program: Program, settings: RtlSettings) -> tuple[Offence, ...]:
    """Everything that stands in the way of a prepared Program."""
    if settings.sparse == "tokens":
        refused = in_tokens(program).offences
        if refused:
            return refused
    straight = is_unrolled(program, settings)
    offences_listed = [
        Offence(op.name, type(op).__name__, reason)
        for op in program.ops
        if (reason := _objection(op, program, straight=straight))
    ]
    for output in program.outputs:
        if isinstance(program[output.value], Constant):
            reason = "depends on no input, so that nothing says when to give it"
            offences_listed.append(Offence(output.name, "Output", reason))
    if straight:
        return (*offences_listed, *_too_much_to_unroll(program, settings))
    return (*offences_listed, *_too_large(program, settings))


def _objection(op: Op, program: Program, *, straight: bool) -> str:
    shape = program.shapes[op.name]
    if not math.prod(shape):
        return "has no elements"
    if math.prod(shape) > MOST_ELEMENTS:
        return (
            f"has {math.prod(shape):,} elements a frame; designs are made for up to "
            f"{MOST_ELEMENTS:,} in a value"
        )
    if isinstance(op, SlidingWindow) and len(op.strides) > MOST_AXES and not straight:
        axes = len(op.strides)
        return f"a window over {axes} axes has no block; over {MOST_AXES} there is one"
    if isinstance(op, Sites) and straight:
        return (
            f"the first {op.most} lit pixels are counted pixel by pixel, and an unrolled network "
            "sees a frame at once; fold the network instead (unroll)"
        )
    if isinstance(op, Scan):
        return _objection_to_body(op, program, straight=straight)
    return ""


def _objection_to_body(op: Scan, program: Program, *, straight: bool) -> str:
    if straight:
        return "a recurrence goes through one body step by step; fold the network instead (unroll)"
    if part := part_beside_sequences(op, program):
        return f"{part}, so that nothing says when a step of it begins"
    body = repeated_body(op, program)
    for inner in body.ops:
        if reason := _objection(inner, body, straight=False):
            return f"in its body, %{inner.name} ({type(inner).__name__}): {reason}"
    return ""


def _too_much_to_unroll(program: Program, settings: RtlSettings) -> list[Offence]:
    """An unrolled network is as large as its weights have digits, and takes a frame in a beat."""
    offences_listed = [
        Offence(op.name, "Input", f"a frame has {math.prod(op.shape) * op.type.bits:,} bits, and a "
                f"beat at most {WIDEST_INPUT_BITS:,}; let fewer elements in at once (lanes), or do "
                "not unroll")
        for op in wide_inputs(program, settings)
    ]  # fmt: skip
    size = size_of(program)
    if size > settings.unroll_most:
        reason = (
            f"{size:,} signed digits of weights and elements would be unrolled, and at most "
            f"{settings.unroll_most:,} are (unroll_most); fold the network instead"
        )
        offences_listed.append(Offence(program.name, "Program", reason))
    return offences_listed


def _too_large(program: Program, settings: RtlSettings) -> list[Offence]:
    """Weights live on the chip: more of them than it holds is the end."""
    most = budget_of(settings).memory_bits
    layers = layers_of(program)
    total = sum(layer.weight_bits for layer in layers)
    if most is None or total <= most or not layers:
        return []
    is_limited = settings.budget.memory_bits is not None
    whose = "budget is" if is_limited else f"block memories of {part_of(settings).name} hold"
    largest = max(layers, key=lambda layer: layer.weight_bits)
    part = str(largest_part(program, most)).removesuffix(".")  # the list of offences has its own
    reason = (
        f"its {largest.inputs * largest.outputs:,} weights of {largest.weight_type.bits} bits take "
        f"{megabits(largest.weight_bits)} Mbit; all weights take {megabits(total)} Mbit, and the "
        f"{whose} {megabits(most)} Mbit, {most / total:.1%} of that. {part}"
    )
    return [Offence(largest.op, "Weights", reason)]
