# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Multiply-accumulates of a `.tflite` network, by the kind of kernel that makes them."""

from __future__ import annotations

import math
from collections import Counter
from enum import StrEnum

from edgeinfer.base.tflite.model import Operator, TfliteModel


class KernelKind(StrEnum):
    """Kinds of kernels that multiply."""

    SHARED = "shared"  # convolutions and dense layers: channels share their inputs
    DEPTHWISE = "depthwise"
    ELEMENTWISE = "elementwise"  # one step for each element: whatever has no weights


def macs_of_model(model: TfliteModel) -> Counter[KernelKind]:
    """KernelKind with weights in a network; steps of element-wise operators are not products."""
    counts: Counter[KernelKind] = Counter()
    for op in model.operators:
        kind, count = work_of(op)
        if kind is not KernelKind.ELEMENTWISE:
            counts[kind] += count
    return counts


def work_of(op: Operator) -> tuple[KernelKind, int]:
    """An operator's kind, and its products or steps."""
    if not op.outputs:
        return KernelKind.ELEMENTWISE, 0
    left, weights = op.outputs[0], op.input(1)
    shape = weights.shape if weights is not None else ()
    match op.name:
        case "CONV_2D" if len(shape) == 4:
            return KernelKind.SHARED, left.elements * math.prod(shape[1:])
        case "DEPTHWISE_CONV_2D" if len(shape) == 4:
            return KernelKind.DEPTHWISE, left.elements * math.prod(shape[1:3])
        case "FULLY_CONNECTED" if len(shape) == 2:
            return KernelKind.SHARED, left.elements * shape[1]
        case "TRANSPOSE_CONV" if len(shape) == 4:
            source = op.input(2)
            places = left.elements if source is None else source.elements
            return KernelKind.SHARED, places * math.prod(shape[:3])
        case "RESHAPE" | "SQUEEZE" | "EXPAND_DIMS":
            return KernelKind.ELEMENTWISE, 0
        case _:  # every other operator touches its elements once
            return KernelKind.ELEMENTWISE, sum(tensor.elements for tensor in op.outputs)
