# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The operator Attention, drawn as the products, the softmax and the sums that it is made of."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.graph import compose
from edgeinfer.graph.compose import OperatorSite
from edgeinfer.graph.nodes import Shape
from edgeinfer.readers.onnx.affine import scale_view
from edgeinfer.readers.onnx.args import Args, data
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.layout import (
    Const,
    View,
    arrange_axes,
    settle_scale,
    with_batch,
    write_constant,
)
from edgeinfer.readers.onnx.masking import UNSEEN
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError

MASK, PAST, NO_PAD = 3, (4, 5), 6  # places of inputs
ZERO = np.zeros(())


def attention(d: Drawing, op: OnnxOp, args: Args) -> View:
    """softmax(Q K scale + mask) V for every head."""
    if any(place < len(args) and args[place] is not None for place in (*PAST, NO_PAD)):
        raise UnreadableModelError("it has a cache or a padded length; give whole sequences")
    if any(op.outputs[1:]):
        raise UnreadableModelError("it also returns its cache or its products")
    if op.real("softcap", 0.0):
        raise UnreadableModelError("it has a softcap; leave it out")
    site = OperatorSite(d, d.named(op))
    flat = data(args, 0).rank == 3
    heads = _heads(op, "q_num_heads", flat)
    queries = _by_head(d, site, data(args, 0), heads, "query")
    size = d.shapes[queries.tensor][-1]
    scale = op.attributes.get("scale") or 1.0 / math.sqrt(size)
    queries = settle_scale(d, scale_view(d, op, queries, np.asarray(scale, np.float64), ZERO))
    kept = _heads(op, "kv_num_heads", flat)
    keys, values = (
        _by_head(d, site, data(args, place), kept, label).tensor
        for place, label in ((1, "key"), (2, "value"))
    )
    heads, places, _ = d.shapes[queries.tensor]
    key_heads, others, _ = d.shapes[keys]
    if heads % key_heads or d.shapes[values][:2] != (key_heads, others):
        raise UnreadableModelError(f"{heads} heads of queries cannot share {key_heads} of keys")
    mask, bias = _masks(d, op, site, args, (heads, places, others))
    mixed = compose.weigh_values(site, queries.tensor, keys, values, mask, bias)
    if flat:
        joined = compose.transpose(site, mixed, (1, 0, 2), "by_place")
        mixed = compose.reshape(site, joined, (places, heads * d.shapes[mixed][-1]), "joined")
    order = tuple(range(len(d.shapes[mixed])))
    return replace(queries, tensor=mixed, order=order, exclusive=True, integer="")


def _heads(op: OnnxOp, key: str, flat: bool) -> int:
    count = op.whole(key, 0)
    if flat and count < 1:
        raise UnreadableModelError(f"its {key} is {count}")
    return count


def _by_head(d: Drawing, site: OperatorSite, x: View, heads: int, label: str) -> View:
    """A sequence as (heads, places, size)."""
    x = arrange_axes(d, with_batch(d, settle_scale(d, x)))
    if x.merged or len(x.order) not in (2, 3):
        raise UnreadableModelError(f"its {label} has no batch of sequences")
    if len(x.order) == 3:
        return x
    places, width = d.shapes[x.tensor]
    if width % heads:
        raise UnreadableModelError(f"{width} channels of its {label} do not form {heads} heads")
    parted = compose.reshape(site, x.tensor, (places, heads, width // heads), f"{label}_parted")
    turned = compose.transpose(site, parted, (1, 0, 2), f"{label}_heads")
    return replace(x, tensor=turned, order=(0, 1, 2), exclusive=True)


def _masks(
    d: Drawing, op: OnnxOp, site: OperatorSite, args: Args, shape: Shape
) -> tuple[str | None, str | None]:
    """What leaves elements out, and what is added to the products."""
    mask_input = args[MASK] if len(args) > MASK else None
    causal = np.tri(shape[1], shape[2]) if op.whole("is_causal", 0) else np.ones(shape[1:])
    if isinstance(mask_input, View):
        if not causal.all():
            raise UnreadableModelError("it is causal and has a mask that depends on an input")
        tensor = _mask_by_head(d, site, mask_input, shape)
        return (tensor, None) if mask_input.integer == "bool" else (None, tensor)
    bias = np.zeros(())
    if isinstance(mask_input, Const):
        value = np.asarray(mask_input.value, np.float64)
        if value.ndim == 4 and len(value) == 1:
            value = value[0]
        if mask_input.value.dtype == np.bool_:
            causal = causal * value
        else:
            causal, bias = causal * (value > UNSEEN), np.where(value > UNSEEN, value, 0.0)
    mask = None if causal.all() else write_constant(d, site.name("mask"), causal)
    return mask, write_constant(d, site.name("bias"), bias) if bias.any() else None


def _mask_by_head(d: Drawing, site: OperatorSite, mask: View, shape: Shape) -> str:
    view = arrange_axes(d, with_batch(d, settle_scale(d, mask)))
    have = d.shapes[view.tensor]
    if view.merged or len(have) != 3 or have[0] not in (1, shape[0]) or have[1:] != shape[1:]:
        raise UnreadableModelError(
            f"its mask is {have} for {shape}, (heads, places, other places); one for each sample, "
            f"for each head or for all, can be read"
        )
    return view.tensor
