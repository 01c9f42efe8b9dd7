# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Masks: what is added or chosen before a softmax so that it leaves some elements out.

A file adds a very negative number, or chooses it, where an element is not to count. In the Graph
the softmax itself has the mask, so that no number format must hold the very negative number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgeinfer.graph.nodes import ActivationNode, Function
from edgeinfer.readers.onnx.affine import scale_view
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import ONE, Const, Value, View, settle_scale, unfold_view
from edgeinfer.readers.onnx.merge import align_views, ranked_views
from edgeinfer.readers.onnx.ops import OnnxOp

UNSEEN = -1e3  # what is as low as this counts nothing in a softmax


def before_softmax(ops: Sequence[OnnxOp], outputs: Sequence[str]) -> frozenset[str]:
    """Tensors of the file that nothing but a softmax reads."""
    read_by = [(name, op.kind) for op in ops for name in op.inputs]
    others = {name for name, kind in read_by if kind != "Softmax"} | set(outputs)
    return frozenset({name for name, kind in read_by if kind == "Softmax"} - others)


def add_mask(d: Drawing, op: OnnxOp, x: View, constant: Const) -> View | None:
    """What Add makes if the constant hides elements from a softmax; None if it does not."""
    value = np.asarray(constant.value, np.float64)
    if op.kind != "Add" or op.outputs[0] not in d.before_softmax or not (value <= UNSEEN).any():
        return None
    kept = value > UNSEEN
    x = scale_view(d, op, x, ONE, np.where(kept, value, 0.0))
    return hide(d, op, x, Const(kept.astype(np.float64)))


def choose_by_mask(
    d: Drawing, op: OnnxOp, condition: Value, a: Value, b: Value, opposite: Value
) -> View | None:
    """What Where makes if it hides elements from a softmax; None if it does not."""
    if op.outputs[0] not in d.before_softmax:
        return None
    if isinstance(a, View) and _is_unseen(b):
        return hide(d, op, a, condition)
    if isinstance(b, View) and _is_unseen(a):
        return hide(d, op, b, opposite)
    return None


def _is_unseen(value: Value) -> bool:
    return isinstance(value, Const) and bool((np.asarray(value.value) <= UNSEEN).all())


def hide(d: Drawing, op: OnnxOp, x: View, kept: Value) -> View:
    """The tensor, of which a softmax is to see only what is kept."""
    values: list[Value] = [settle_scale(d, x), _settle(d, kept)]
    shown, mask = (unfold_view(d, view) for view in ranked_views(d, op, values))
    shown, mask = align_views(d, [shown, mask])
    name = d.add(ActivationNode(d.named(op), shown.tensor, Function.LINEAR))
    d.masks[name] = mask.tensor
    return replace(shown, tensor=name, exclusive=True)


def _settle(d: Drawing, value: Value) -> Value:
    return settle_scale(d, value) if isinstance(value, View) else value


def take_mask(d: Drawing, x: View) -> tuple[View, str | None]:
    """What a softmax reads: the tensor, and the mask that was laid over it."""
    mask = d.masks.get(x.tensor)
    if mask is None:
        return x, None
    node: Any = d.nodes[x.tensor]
    return replace(x, tensor=node.x), mask
