# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What operators are given: tensors, constants, and settings that moved from one to the other."""

from __future__ import annotations

import numpy as np

from edgeinfer.readers.onnx.layout import Const, Value, View
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError

Args = tuple[Value | None, ...]


def data(args: Args, place: int) -> View:
    """An input that depends on the network's input."""
    value = args[place] if place < len(args) else None
    if not isinstance(value, View):
        raise UnreadableModelError(f"its input {place} does not depend on any network input")
    return value


def constant(args: Args, place: int, what: str) -> Const:
    """An input that must be constant."""
    const = constant_or_none(args, place, what)
    if const is None:
        raise UnreadableModelError(f"it has no {what}")
    return const


def constant_or_none(args: Args, place: int, what: str) -> Const | None:
    """An optional input that must be constant."""
    value = args[place] if place < len(args) else None
    if isinstance(value, View):
        raise UnreadableModelError(f"its {what} depend on the network's input")
    return value


def epsilon_of(op: OnnxOp) -> float:
    """What a norm adds to a variance; a negative number would make roots of negative ones."""
    epsilon = op.real("epsilon", 1e-5)
    if not epsilon >= 0:
        raise UnreadableModelError(f"its epsilon is {epsilon:g}; it must not be negative")
    return epsilon


def setting(op: OnnxOp, args: Args, key: str, place: int) -> tuple[int, ...] | None:
    """Integers that older operator sets give as an attribute, newer ones as an input."""
    values = op.wholes(key)
    if values is not None:
        return values
    const = constant_or_none(args, place, key)
    if const is None:
        return None
    return tuple(int(value) for value in const.value.reshape(-1))


def number(op: OnnxOp, args: Args, key: str, place: int, default: float) -> float:
    """The same for one real number; not NaN."""
    if key in op.attributes:
        value = op.real(key, default)
    else:
        const = constant_or_none(args, place, key)
        if const is not None and const.value.size != 1:
            raise UnreadableModelError(f"its {key} is not a single number")
        value = default if const is None else float(const.value.reshape(-1)[0])
    if np.isnan(value):
        raise UnreadableModelError(f"its {key} is NaN")
    return value
