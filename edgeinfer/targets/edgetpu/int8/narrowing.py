# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program made such that every value that must be stored fits 8 bits.

Rounding and saturation grow with their argument, so they may as well come before a maximum or
before data are moved: `Requant` ops climb to where sums are made, and nothing changes. Two things
do change, and are said: roundings that the int8 kernels do not have (`one_rounding`), and outputs
that are sums, which are rounded to 8 bits, a lone score upwards so that its sign, which is the
decision, stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from edgeinfer.data.samples import draw_samples
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.builder import prove_again
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.passes import drop_repeats
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.ir.verify import verify
from edgeinfer.targets.edgetpu.int8.grid import Window
from edgeinfer.targets.edgetpu.int8.host_layer import can_leave, hold_widely, wide_type
from edgeinfer.targets.edgetpu.int8.one_rounding import rounding_of, settle_roundings
from edgeinfer.targets.edgetpu.int8.output_levels import (
    ScoreRange,
    finer_levels_for,
    leaves_enough,
    levels_for,
    nearest_type,
)
from edgeinfer.targets.edgetpu.int8.sums import product_bits, whole_biases
from edgeinfer.targets.edgetpu.int8.tables import (
    hold_kernel_tables,
    plain_indices,
    read_fewer_entries,
)
from edgeinfer.targets.edgetpu.int8.wide_tensors import (
    hold_slopes,
    hold_tensors,
    only_moves,
    skip_exact_roundings,
)
from edgeinfer.targets.edgetpu.int8.working_points import FEWEST_THRESHOLDS, LastLayer
from quantization.fixed import (
    Fixed,
    Ints,
    Overflow,
    Quantizer,
    Rounding,
    fixed_of_range,
    quantize,
    requantize,
)

DRAWN = 64  # samples for output ranges where none are given
GROWING = (Overflow.SAT, Overflow.SAT_SYM)


@dataclass(frozen=True, slots=True, eq=False)
class NarrowedProgram:
    """The Program, and what had to be decided."""

    program: Program
    findings: tuple[str, ...]
    fine: Mapping[str, str] = field(default_factory=dict)  # second outputs, and whose they are
    hosted: frozenset[str] = frozenset()  # outputs whose last layer the host computes


def narrow_program(
    program: Program,
    raw: Mapping[str, Ints] | None = None,
    *,
    sampled: bool = True,
    score_range: ScoreRange | None = None,
    last_layer: LastLayer = LastLayer.CHIP,
) -> NarrowedProgram:
    """The Program for int8 storage. Ranges of wide inputs and outputs come from the samples, or
    from drawn ones; or, where nothing is to be run, from what is proved. A range for scores may be
    asked for. Only who has a host may leave it the last layer of a score."""
    entering, input_findings = _narrow_inputs(plain_indices(program), raw)
    raws = _narrow_raw(program, entering, raw)
    moved, tensor_findings = hold_tensors(entering, partial(_see, sampled=sampled, raw=raws))
    if score_range is not None:
        tensor_findings += [
            f"{before.name} does not take the range of scores that was asked for: its scores are "
            f"moved after they are made."
            for before, after in zip(entering.outputs, moved.outputs, strict=True)
            if before.host is not HostFunction.NONE and before.value != after.value
        ]
    tabled, read = read_fewer_entries(_climb(moved))
    small_tables = skip_exact_roundings(hold_slopes(hold_kernel_tables(tabled)))
    rounded_alike, rounding_findings = settle_roundings(prove_again(small_tables))
    whole, cut = whole_biases(rounded_alike)
    settled = prove_again(whole)
    left, hosted, on_host = _hosted_sums(settled, raws, sampled, score_range, last_layer)
    rounded, findings, fine = _rounded_sums(left, raws, sampled, score_range, hosted)
    findings = [*on_host, *findings]
    verify(rounded)
    rounding_findings = [
        *input_findings,
        *rounding_findings,
        *read,
        *cut,
        *tensor_findings,
        *findings,
    ]
    if sampled and raw is None and (tensor_findings or findings):
        rounding_findings.append(
            f"No samples were given: output ranges come from {DRAWN} drawn from the input types."
        )
    return NarrowedProgram(rounded, tuple(rounding_findings), fine, hosted)


def _climb(program: Program) -> Program:
    """Every rounding as high as it goes; what is rounded alike for several readers is so once."""
    climbed = program
    while True:
        higher = _move_requant_up(climbed)
        if higher is climbed:
            higher = drop_repeats(climbed)
            if len(higher.ops) == len(climbed.ops):
                return climbed
        climbed = higher


def _see(
    program: Program,
    names: Collection[str],
    *,
    sampled: bool,
    raw: Mapping[str, Ints] | None,
) -> Mapping[str, Ints]:
    """Values as samples show them, given or drawn; or, where nothing is to be run, the ends of
    what is proved."""
    if sampled:
        inputs_shown = drawn_inputs(program) if raw is None else raw
        return Engine(program).run(inputs_shown, taps=tuple(names))
    bounds = bounds_of(program)
    ends = {name: (bounds[name].bottom, bounds[name].top) for name in names}
    return {name: np.asarray(both, np.int64)[:, None] for name, both in ends.items()}


def _narrow_inputs(program: Program, raw: Mapping[str, Ints] | None) -> tuple[Program, list[str]]:
    """Inputs of more than 8 bits brought to the 8 that miss the samples least."""
    findings: list[str] = []
    new_ops: list[ops.Op] = []
    for op in program.ops:
        if not isinstance(op, ops.Input) or op.type.bits <= 8:
            new_ops.append(op)
            continue
        ends = np.asarray([op.type.raw_min, op.type.raw_max], np.int64)
        type_ = nearest_type(ends if raw is None else raw[op.name], op.type.frac)
        new_ops.append(replace(op, type=type_))
        findings.append(
            f"The input {op.name} of {op.type.bits} bits is stored as {type_}, in steps of "
            f"{type_.lsb:g} from {type_.min:g} to {type_.max:g}."
        )
    if not findings:
        return program, []
    return prove_again(Program(program.name, tuple(new_ops), program.outputs)), findings


def _narrow_raw(
    program: Program, small: Program, raw: Mapping[str, Ints] | None
) -> dict[str, Ints] | None:
    """Raw inputs of a Program as those of the one with 8-bit inputs."""
    if raw is None:
        return None
    raws: dict[str, Ints] = {}
    for before, after in zip(program.inputs, small.inputs, strict=True):
        quantizer = Quantizer(after.type)
        raws[after.name] = requantize(raw[after.name], before.type.frac, quantizer)
    return raws


def _move_requant_up(program: Program) -> Program:
    """One `Requant` moved before the op that it reads; the Program itself where none can be."""
    readers = Counter(x for op in program.ops for x in ops.inputs_of(op))
    readers.update(output.value for output in program.outputs)
    for op in program.ops:
        if not isinstance(op, ops.Requant) or op.overflow not in GROWING:
            continue
        before = program[op.x]
        if readers[op.x] == 1 and only_moves(before):
            return _swap_ops(program, op, before)
    return program


def _swap_ops(program: Program, requant: ops.Requant, before: ops.Op) -> Program:
    new_ops: list[ops.Op] = []
    for op in program.ops:
        if op.name == before.name:
            continue
        if op.name != requant.name:
            new_ops.append(op)
            continue
        renamed: dict[str, str] = {}
        for number, x in enumerate(dict.fromkeys(ops.inputs_of(before))):
            if _as_it_is(program.type(x), requant.type):
                renamed[x] = x
                continue
            renamed[x] = f"{requant.name}.in{number}"
            new_ops.append(replace(requant, name=renamed[x], x=x))
        new_ops.append(_reading(before, renamed, requant))
    return Program(program.name, tuple(new_ops), program.outputs)


def _as_it_is(x: Fixed, target_type: Fixed) -> bool:
    """Whether a value needs no rounding to be of a type."""
    return (
        x.frac == target_type.frac
        and x.raw_min >= target_type.raw_min
        and x.raw_max <= target_type.raw_max
    )


def _reading(op: ops.Op, renamed: Mapping[str, str], requant: ops.Requant) -> ops.Op:
    match op:
        case ops.Concat():
            xs = tuple(renamed[x] for x in op.xs)
            return replace(op, name=requant.name, type=requant.type, xs=xs)
        case ops.Moves() | ops.Pool():
            return replace(op, name=requant.name, type=requant.type, x=renamed[op.x])
        case _:
            raise AssertionError(op)  # `only_moves` has said otherwise


def _hosted_sums(
    program: Program,
    raw: Mapping[str, Ints] | None,
    sampled: bool,
    score_range: ScoreRange | None,
    last_layer: LastLayer,
) -> tuple[Program, frozenset[str], list[str]]:
    """The Program with 16 bits for scores whose last layer the host computes: it was asked for, or
    a lone score leaves few thresholds, even where it leaves twice."""
    is_asked = last_layer is LastLayer.HOST
    if last_layer is LastLayer.CHIP or not (is_asked or (sampled and score_range is None)):
        return program, frozenset(), []
    places = {
        o.value: o
        for o in program.outputs
        if program.type(o.value).bits > 8
        and can_leave(program, program[o.value])
        and (is_asked or o.host is HostFunction.SIGMOID)
    }
    why = "this was asked for"
    if not is_asked and places:
        why = (
            f"8 bits, and twice 8, leave fewer than {FEWEST_THRESHOLDS} thresholds between 90 and "
            f"99.9 % efficiency"
        )
        seen = _see(program, places, sampled=sampled, raw=raw)
        places = {v: o for v, o in places.items() if _is_coarse(seen[v], program.type(v).frac)}
    findings: list[str] = []
    ops_of_values: dict[str, list[ops.Op]] = {}
    for value, output in places.items():
        op, type_ = program[value], wide_type(program.type(value))
        alike = op if output.host is HostFunction.NONE else _deciding_alike(program, op, type_.frac)
        ops_of_values[value] = [alike, hold_widely(op, type_)]
        findings.append(
            f"The host computes {op.name}, the layer of {output.name}, in integers from what the "
            f"file gives, in steps of {type_.lsb:g}: {why}."
        )
    if is_asked and not ops_of_values:
        findings.append(
            "--last-layer host changes nothing: no output is a dense layer's sum of more than 8 "
            "bits behind another layer."
        )
    new_ops = [each for op in program.ops for each in ops_of_values.get(op.name, [op])]
    outputs = tuple(
        replace(o, value=ops_of_values[o.value][-1].name) if o.value in ops_of_values else o
        for o in program.outputs
    )
    left = prove_again(Program(program.name, tuple(new_ops), outputs))
    return left, frozenset(o.name for o in places.values()), findings


def _is_coarse(values: Ints, frac: int) -> bool:
    """Whether a lone score leaves few thresholds on any 8 bits."""
    window = levels_for(values, frac, HostFunction.SIGMOID)
    return not leaves_enough(values, frac, finer_levels_for(values, frac, window) or window)


def _rounded_sums(
    program: Program,
    raw: Mapping[str, Ints] | None,
    sampled: bool,
    score_range: ScoreRange | None,
    hosted: Collection[str],
) -> tuple[Program, list[str], dict[str, str]]:
    """Outputs and scores wider than 8 bits, rounded to what samples show; and second outputs for
    lone scores whose levels are few where selections are made."""
    wide = {
        op.x: HostFunction.SOFTMAX
        for op in program.ops
        if isinstance(op, ops.Softmax) and program.type(op.x).bits > 8
    }
    wide |= {
        o.value: o.host
        for o in program.outputs
        if program.type(o.value).bits > 8 and o.name not in hosted
    }
    if not wide:
        return program, [], {}
    findings: list[str] = []
    values = _see(program, wide, sampled=sampled, raw=raw)
    new_ops: list[ops.Op] = []
    renamed: dict[str, str] = {}
    added: list[Output] = []
    fine: dict[str, str] = {}
    leaving = {output.value: output.name for output in program.outputs}
    for op in program.ops:
        if op.name not in wide:
            if isinstance(op, ops.Softmax) and op.x in wide:
                op = replace(op, x=renamed[op.x])
            new_ops.append(op)
            continue
        window = levels_for(values[op.name], op.type.frac, wide[op.name], score_range)
        score = _held_score(program, op, window, wide[op.name])
        new_ops += score
        renamed[op.name] = score[-1].name
        findings.append(
            f"{op.name} is a sum of {op.type.bits} bits; it is held in steps of "
            f"{2.0**-window.frac:g}, from {window.least:g} to {window.most:g}: "
            f"{_reason(wide[op.name], score_range)}."
        )
        lone = wide[op.name] is HostFunction.SIGMOID and op.name in leaving
        if not (lone and sampled and score_range is None and isinstance(op, Accumulates)):
            continue
        finer = finer_levels_for(values[op.name], op.type.frac, window)
        if finer is None:
            continue
        twin = _held_score(program, replace(op, name=f"{op.name}.fine"), finer, wide[op.name])
        new_ops += twin
        name = f"{leaving[op.name]}.fine"
        added.append(Output(name, twin[-1].name, wide[op.name]))
        fine[name] = leaving[op.name]
        findings.append(
            f"{op.name} leaves a second time as {name}, in steps of {2.0**-finer.frac:g} from "
            f"{finer.least:g} to {finer.most:g}: its own levels leave fewer than "
            f"{FEWEST_THRESHOLDS} thresholds between 90 and 99.9 % efficiency. Give --score-range "
            f"for one output."
        )
    outputs = tuple(replace(o, value=renamed.get(o.value, o.value)) for o in program.outputs)
    rounded = prove_again(Program(program.name, tuple(new_ops), (*outputs, *added)))
    return rounded, findings, fine


def _held_score(program: Program, op: ops.Op, window: Window, host: HostFunction) -> list[ops.Op]:
    """A sum, rounded to a window and limited to it."""
    if host is not HostFunction.NONE:
        op = _deciding_alike(program, op, window.frac)
    type_ = fixed_of_range(window.low, window.high, window.frac)
    name = f"{op.name}.int8"
    step = ops.Requant(f"{name}.rounded", type_, op.name, Rounding.RND, Overflow.SAT)
    rounded = replace(step, rounding=rounding_of(program, step, op))
    return [op, rounded, ops.Clip(name, type_, rounded.name, window.low, window.high)]


def _reason(host: HostFunction, score_range: ScoreRange | None) -> str:
    """Why the levels of an output are where they are."""
    if score_range is not None and host is not HostFunction.NONE:
        return f"the range from {score_range.low:g} to {score_range.high:g} was asked for"
    return "what changes least on the samples"


def _deciding_alike(program: Program, op: ops.Op, frac: int) -> ops.Op:
    """Scores with less than a step of the coarser grid added, so that rounding them there changes
    as few decisions as can be. What others read too stays.

    A lone score is rounded up: a level above zero then means a sum above zero. Among several the
    first of equal ones wins, so scores that are equal after rounding are put apart beforehand: each
    class an equal share of a step above the one before it, which halves the decisions that change.
    """
    shift = op.type.frac - frac
    readers = [other for other in program.ops if op.name in ops.inputs_of(other)]
    if not isinstance(op, Accumulates) or readers or shift < 2:
        return op
    spare = product_bits(op, program.type(op.x).frac)
    classes = op.bias.size
    if classes == 1:
        added = np.maximum((1 << (shift - 1)) - (1 << spare), 0)
    else:
        places = np.arange(classes) - (classes - 1) / 2  # around zero, so that nothing is biased
        shares = np.rint(np.ldexp(places / classes, shift - spare)).astype(np.int64)
        added = shares << spare
    return replace(op, bias=ops.pack_weights(op.bias.astype(np.int64) + added))


def drawn_inputs(program: Program) -> dict[str, Ints]:
    """Raw inputs drawn from the input types; always the same."""
    samples = draw_samples({op.name: (op.shape, op.type) for op in program.inputs}, DRAWN)
    return {op.name: quantize(samples.inputs[op.name], Quantizer(op.type)) for op in program.inputs}
