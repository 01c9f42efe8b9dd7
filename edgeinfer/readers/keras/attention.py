# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Attention: every head's products of queries and keys, their softmax, and the values it weighs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeinfer.graph import compose
from edgeinfer.graph.nodes import ConstantNode, DenseNode, MergeKind, MergeNode, Shape
from edgeinfer.readers.keras import normalizing
from edgeinfer.readers.keras.arguments import as_constant, constant_value
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.config import references
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError

ROLES = ("query", "value", "key")  # in the order in which the layers take them
PADDING_MASKS = ("query_mask", "value_mask", "key_mask", "mask")


def multi_head_layer(site: Site) -> str:
    """MultiHeadAttention over the one axis of places."""
    fields = site.fields
    heads, size = fields.integer("num_heads"), fields.integer("key_dim")
    value_size = size if fields.get("value_dim") is None else fields.integer("value_dim")
    axes = fields.get("attention_axes")
    if axes is not None and list(np.ravel(axes)) not in ([1], [-2]):
        raise UnsupportedLayerError(
            f"it attends along the axes {axes!r}; axis 1 alone is supported"
        )
    width = fields.get("output_shape")
    listed = width if isinstance(width, (list, tuple)) else [width]
    if len(listed) != 1:
        raise UnsupportedLayerError(f"its output_shape is {width!r}; one number is supported")
    return _attend(site, heads, heads, size, value_size, listed[0])


def grouped_query_layer(site: Site) -> str:
    """GroupQueryAttention: several heads of the query share one of keys and values."""
    fields = site.fields
    heads, shared = fields.integer("num_query_heads"), fields.integer("num_key_value_heads")
    if heads < 1 or shared < 1 or heads % shared:
        raise UnsupportedLayerError(f"{heads} heads of queries cannot share {shared} heads of keys")
    size = fields.integer("head_dim")
    return _attend(site, heads, shared, size, size, None)


def _attend(site: Site, heads: int, key_heads: int, size: int, value_size: int, layout: Any) -> str:
    if min(heads, key_heads, size, value_size) < 1:
        raise UnsupportedLayerError(f"it has {heads} heads of {size} and {value_size} channels")
    refuse_options(site)
    roles = read_roles(site)
    query, value, key = (roles[name] for name in ROLES)
    shapes = {site.shape(x) for x in (query, value, key)}
    if any(len(shape) != 2 for shape in shapes):
        raise UnsupportedLayerError(
            f"it attends to tensors of {', '.join(map(str, sorted(shapes)))}; sequences, "
            f"(places, channels), are supported"
        )
    factor = 1.0 / math.sqrt(size)
    projections = (
        _projection(site, "query", site.shape(query)[-1], (heads, size), factor),
        _projection(site, "key", site.shape(key)[-1], (key_heads, size)),
        _projection(site, "value", site.shape(value)[-1], (key_heads, value_size)),
    )
    places, others = site.shape(query)[0], site.shape(key)[0]
    mask = read_mask(site, roles.get("attention_mask"), places, others)
    mixed = compose.attend(site, query, key, value, projections, heads, key_heads, mask)
    width = (
        site.shape(query)[-1]
        if layout is None
        else Fields({"output_shape": layout}).integer("output_shape")
    )
    kernel = site.shaped("output_kernel", (heads, value_size, width)).astype(np.float64)
    biased = site.fields.flag("use_bias", True)
    bias = site.shaped("output_bias", (width,)).astype(np.float64) if biased else None
    layer = f"{site.layer.path}_output"
    return site.add(DenseNode(site.name(), layer, mixed, kernel.reshape(-1, width), bias))


def _projection(
    site: Site, part: str, channels: int, heads: Shape, factor: float = 1.0
) -> compose.Projection:
    kernel = site.shaped(f"{part}_kernel", (channels, *heads)).astype(np.float64)
    bias = None
    if site.fields.flag("use_bias", True):
        bias = site.shaped(f"{part}_bias", heads).astype(np.float64).reshape(-1) * factor
    layer = f"{site.layer.path}_{part}"
    return compose.Projection(layer, kernel.reshape(channels, -1) * factor, bias)


def refuse_options(site: Site) -> None:
    """Refuse what is not computed here."""
    if site.fields.flag("use_gate", False):
        raise UnsupportedLayerError("it has a gate (use_gate=True); leave the gate out")
    if site.fields.get("sliding_window") is not None:
        raise UnsupportedLayerError("it has a sliding window; attention to all places is supported")
    for name, value in call_options(site).items():
        if name in PADDING_MASKS and value not in (None, False):
            raise UnsupportedLayerError(
                f"it is called with {name}; use attention_mask or use_causal_mask"
            )
        if name == "return_attention_scores" and value:
            raise UnsupportedLayerError("it also returns its attention scores")


def call_options(site: Site) -> Mapping[str, Any]:
    """What the layer is called with by name, in the form of any version of Keras."""
    if isinstance(site.call, Mapping):
        options = site.call.get("kwargs")
        return options if isinstance(options, Mapping) else {}
    parts = site.call if isinstance(site.call, (list, tuple)) else ()
    parts = [parts] if parts and isinstance(parts[0], str) else parts
    options = {}
    for part in parts:
        if isinstance(part, (list, tuple)) and len(part) > 3 and isinstance(part[3], Mapping):
            options |= part[3]
    return options


def read_roles(site: Site, names: tuple[str, ...] = ROLES) -> dict[str, str]:
    """Query, value and key, and a mask if there is one: by position, then by name."""
    tensors, options = site.inputs, call_options(site)
    by_name = [name for name in sorted(options) for _ in references(options[name])]
    roles = [*names[: len(tensors) - len(by_name)], *by_name]
    tensors_by_role = dict(zip(roles, tensors, strict=False))
    role_names = {*ROLES, "attention_mask"}
    if (
        len(set(roles)) != len(tensors)
        or not {"query", "value"} <= set(tensors_by_role) <= role_names
    ):
        raise UnsupportedLayerError(f"it reads {len(tensors)} tensors whose parts are not clear")
    return {"key": tensors_by_role["value"]} | tensors_by_role


def read_mask(site: Site, mask: str | None, places: int, others: int) -> str | None:
    """The mask of (places, other places), which may have heads before: the one that the layer is
    called with and the one that leaves out what comes later, both where there are both."""
    constant = np.ones((places, others))
    options = call_options(site)
    if options.get("use_causal_mask"):
        constant = np.tri(places, others)
    written = options.get("attention_mask")
    if mask is None and written is not None:
        value = as_constant(constant_value(written))
        value = value[0] if value.ndim > 2 and len(value) == 1 else value
        try:
            constant = constant * (value > 0)
        except ValueError:
            raise UnsupportedLayerError(f"its mask of {value.shape} does not fit") from None
    if constant.all():
        return mask
    constant_name = site.add(
        ConstantNode(site.name("causal" if written is None else "mask"), constant)
    )
    if mask is None:
        return constant_name
    return site.add(MergeNode(site.name("both_masks"), (mask, constant_name), MergeKind.MULTIPLY))


def dot_layer(site: Site) -> str:
    """Dot: products of two tensors summed over one axis of each."""
    if len(site.inputs) != 2:
        raise UnsupportedLayerError(f"it reads {len(site.inputs)} tensors instead of two")
    axes = site.fields.get("axes")
    listed = list(axes) if isinstance(axes, (list, tuple)) else [axes, axes]
    if len(listed) != 2:
        raise UnsupportedLayerError(f"its axes are {axes!r}, not one for each tensor")
    parts: list[tuple[str, int]] = []
    for x, axis in zip(site.inputs, listed, strict=True):
        rank = len(site.shape(x))
        place = Fields({"axes": axis}).integer("axes")
        place = place - 1 if place > 0 else place + rank
        if rank not in (1, 2) or not 0 <= place < rank:
            raise UnsupportedLayerError(
                f"it sums axis {axis} of a tensor of {site.shape(x)}; vectors and matrices are "
                f"supported"
            )
        label = f"part{len(parts) + 1}"
        x = compose.transpose(site, x, _last(rank, place), f"{label}_rows")
        if site.fields.flag("normalize", False):
            x = compose.normalize_last_axes(
                site, x, 1, normalizing.UNIT_EPSILON, centred=False, mean=False
            )
        rows, length = (1, *site.shape(x))[-2:]
        parts.append((compose.reshape(site, x, (1, rows, length), label), rank))
    (a, rank_a), (b, rank_b) = parts
    if site.shape(a)[-1] != site.shape(b)[-1]:
        raise UnsupportedLayerError(
            f"it multiplies {site.shape(a)[-1]} elements with {site.shape(b)[-1]}"
        )
    product = compose.multiply_rows(site, a, b, "products")
    _, rows, columns = site.shape(product)
    shape = ((rows,) if rank_a == 2 else ()) + ((columns,) if rank_b == 2 else ())
    return compose.reshape(site, product, shape or (1,), "")


def _last(rank: int, place: int) -> Shape:
    """The order of axes that brings one to the end."""
    return (*(axis for axis in range(rank) if axis != place), place)
