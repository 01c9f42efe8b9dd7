# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The laws of a Program: grids that match, ranges that are proved, tables that are never left."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeinfer.base.errors import ProgramError
from edgeinfer.ir.bases import Weights, inputs_of, typed_integers_of
from edgeinfer.ir.bounds import bound_op
from edgeinfer.ir.ops import Clip, Input, Op, PRelu, Scan, Softmax, Table
from edgeinfer.ir.program import Program, body_of, inputs_given, states_of
from quantization.fixed import Fixed, fixed_of_range
from quantization.ranges import Interval, RangeError


def verify(program: Program) -> dict[str, Interval]:
    """Check every law; the proved ranges are the reward. ProgramError names op, range and need."""
    types = {op.name: op.type for op in program.ops}
    proved: dict[str, Interval] = {}
    for op in program.ops:
        where = f"{program.name}: {type(op).__name__.lower()} %{op.name}"
        _check_grid(op, types, where)
        _check_stored(op, where)
        _check_indices(op, proved, types, where)
        try:
            proved[op.name] = bound_op(op, proved, types, program.shapes)
        except RangeError as error:
            raise ProgramError(
                f"{where}: {error}", hint="Use narrower formats before it."
            ) from None
        _check_width(op, proved[op.name], where)
    _check_states(program, proved)
    return proved


def _check_states(program: Program, proved: Mapping[str, Interval]) -> None:
    """What a sample leaves is a state that the next one can read."""
    outputs = {output.name: output.value for output in program.outputs}
    for name, output in program.states.items():
        where = f"{program.name}: the state %{name}"
        if output not in outputs:
            raise ProgramError(f"{where} is the output {output!r} before, which there is not.")
        value, source = outputs[output], program[name]
        if program.shapes[value] != program.shapes[name]:
            raise ProgramError(
                f"{where} of {program.shapes[name]} becomes {program.shapes[value]}."
            )
        assert isinstance(source, Input)
        _check_given(f"{where}, %{value}", program.type(value), proved[value], source)


def _check_width(op: Op, range_: Interval, where: str) -> None:
    low, high = range_.bottom, range_.top
    if op.type.raw_min <= low and high <= op.type.raw_max:
        return
    needed = fixed_of_range(low, high, op.type.frac)
    raise ProgramError(
        f"{where}: {op.type} holds {op.type.raw_min}..{op.type.raw_max}, but the value is proved "
        f"to reach {low}..{high}: {needed.bits} bits are needed, {needed}.",
    )


def _check_grid(op: Op, types: Mapping[str, Fixed], where: str) -> None:
    least, most = op.grid(*(types[x].frac for x in inputs_of(op)))
    if op.type.frac < least or (most is not None and op.type.frac > most):
        positions = f"exactly {least}" if least == most else f"at least {least}"
        raise ProgramError(
            f"{where}: {op.type} has {op.type.frac} fractional bits, but the operands' grids ask "
            f"for {positions}."
        )


def _check_stored(op: Op, where: str) -> None:
    """Weights are integers of the type they claim."""
    for what, raw, type_ in typed_integers_of(op):
        _check_weights(raw, type_, what, where)
    if isinstance(op, PRelu) and op.slope_type.frac < 0:
        raise ProgramError(f"{where}: {op.slope_type} cannot hold the slope 1 of x >= 0.")
    if isinstance(op, Scan):
        _check_body(op, where)


def _check_body(op: Scan, where: str) -> None:
    """The body keeps every law, and a state that it leaves is one that it can read."""
    proved = verify(body_of(op))
    for value, state in states_of(op):
        _check_given(f"{where}: %{value}", body_of(op).type(value), proved[value], state)


def _check_given(where: str, type_: Fixed, range_: Interval, source: Input) -> None:
    low, high = range_.bottom, range_.top
    if type_.frac != source.type.frac or low < source.type.raw_min or high > source.type.raw_max:
        raise ProgramError(
            f"{where} of {type_} spans {low}..{high}, but it is read as {source.type}."
        )


def _check_weights(raw: Weights, type_: Fixed, what: str, where: str) -> None:
    if raw.dtype.kind not in "iu":
        raise ProgramError(f"{where}: {what} are {raw.dtype}, not integers.")
    if not raw.size:
        raise ProgramError(f"{where}: there are no {what}.")
    low, high = int(raw.min()), int(raw.max())
    if low < type_.raw_min or high > type_.raw_max:
        raise ProgramError(f"{where}: {what} span {low}..{high}, beyond their type {type_}.")


def _check_indices(
    op: Op, proved: Mapping[str, Interval], types: Mapping[str, Fixed], where: str
) -> None:
    """What is read lies within what the op has been made for."""
    match op:
        case Table():
            low, high = proved[op.x].bottom, proved[op.x].top
            last = op.first + op.entries.size - 1
            if low < op.first or high > last:
                raise ProgramError(
                    f"{where}: entries stand for {op.first}..{last}, but the index is proved to "
                    f"reach {low}..{high}: {high - low + 1} entries are needed."
                )
        case Softmax():
            if int(np.min(op.exp)) < 0 or int(np.min(op.inverse)) < 0:
                raise ProgramError(f"{where}: a table of exponentials or inverses is negative.")
            if op.exp_shift < 0 or op.inverse_shift < 0:
                raise ProgramError(f"{where}: a table is indexed through a negative shift.")
        case Clip(low=int() as low, high=int() as high) if low > high:
            raise ProgramError(f"{where}: nothing lies between {low} and {high}.")
        case Scan():
            for x, source in inputs_given(op):
                _check_given(f"{where}: %{x}", types[x], proved[x], source)
        case _:  # the others have neither tables nor limits
            pass
