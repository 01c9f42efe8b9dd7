# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers of HGQ2: those of Keras between quantizers of what they read, hold and make."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.graph import compose
from edgeinfer.graph import nodes as g
from edgeinfer.readers.keras import (
    activation_layers,
    attention,
    einsum,
    linear,
    normalizing,
    pooling,
    shaping,
)
from edgeinfer.readers.keras.arguments import axes_of
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.functions import add_scale
from edgeinfer.readers.keras.hgq_quantizers import (
    F32,
    read_formats,
    round_tensor,
    round_weights,
)
from edgeinfer.readers.keras.hgq_variables import ATTENTION, EACH_INPUT, PACKAGE, layers_inside
from edgeinfer.readers.keras.reducing import add_reduction

FUSED_EPSILON = np.float32(1e-7)  # Keras's own; QEinsumDenseBatchnorm does not use its option
POOLS = {"MaxPooling": g.PoolNodeKind.MAX, "AveragePooling": g.PoolNodeKind.AVERAGE}


def read_hgq_layer(site: Site) -> str:
    """Append a layer's nodes between its quantizers; the name of its tensor."""
    name = site.layer.kind.removeprefix(PACKAGE)
    if name == "Quantizer":
        return round_tensor(site, site.x, "", site.name())
    if name == ATTENTION:
        return round_tensor(site, _add_attention(site), "oq", site.name("oq"))
    rounded = tuple(
        round_tensor(site, x, place, site.name(place.partition("/")[0]))
        for x, place in zip(site.inputs, _input_places(site), strict=True)
    )
    y = _read_inside(replace(site, xs=rounded), name)
    return round_tensor(site, y, "oq", site.name("oq"))


def _input_places(site: Site) -> tuple[str, ...]:
    """Where the layer keeps the quantizer of each tensor that it reads."""
    count = len(site.inputs)
    each = site.fields.get("iq_confs")
    if each is None or site.fields.get("enable_iq") is False:
        return ("iq",) * count
    if not isinstance(each, list) or len(each) != count:
        raise UnsupportedLayerError(f"it does not have one quantizer for each of {count} tensors")
    return (EACH_INPUT, *(f"{EACH_INPUT}_{number}" for number in range(1, count)))


def _read_inside(site: Site, name: str) -> str:
    """The layer of Keras that stands inside, of tensors that are rounded already."""
    match name:
        case "QDense":
            return linear.dense_layer(_with_weights(site))
        case "QBatchNormDense":
            return linear.dense_layer(_with_norm(site))
        case "QConv1D" | "QConv2D" | "QConv3D":
            return linear.conv_layer(_with_weights(site), int(name[-2]))
        case "QEinsumDense":
            return einsum.einsum_dense_layer(_with_weights(site))
        case "QEinsumDenseBatchnorm":
            return einsum.einsum_dense_layer(_with_einsum_norm(site))
        case "QBatchNormalization":
            return _add_norm(site)
        case "QUnaryFunctionLUT":
            return activation_layers.activation_layer(site)
        case "QAffinedUnaryFunctionLUT":
            return activation_layers.activation_layer(replace(site, xs=(_add_line(site),)))
        case "QSoftmax":
            return _add_softmax(site)
        case "QSum" | "QMeanPow2":
            return _add_sum(site, mean=name == "QMeanPow2")
        case "QAveragePow2":
            total = shaping.merge_layer(replace(site, stem=site.name("sum")), g.MergeKind.ADD)
            return _add_power(site, total, len(site.inputs))
        case "QDot":
            return attention.dot_layer(site)
        case "QAdd" | "QSubtract" | "QMultiply" | "QMaximum" | "QMinimum":
            return shaping.merge_layer(site, shaping.MERGES[name[1:]])
        case _:  # pools, or what is not known
            return _add_pool(site, name)


def _add_line(site: Site) -> str:
    """The tensor times a trained number, plus another."""
    scale, bias = (site.shaped(name, (1,)).astype(np.float64) for name in ("scale", "bias"))
    return site.add(g.AffineNode(site.name("line"), site.layer.path, site.x, scale, bias))


def _add_pool(site: Site, name: str) -> str:
    plain = name.removeprefix("Q")
    whole = plain.startswith("Global")
    plain = plain.removeprefix("Global")
    kind, rank = POOLS.get(plain[:-2]), plain[-2:]
    if kind is None or rank not in ("1D", "2D", "3D"):
        raise UnsupportedLayerError(f"it is HGQ2's {name}, which is not read")
    add = pooling.global_pool_layer if whole else pooling.pool_layer
    return add(site, kind, int(rank[0]))


def _with_weights(site: Site) -> Site:
    """The layer with the weights that its quantizers leave."""
    values = {"kernel": round_weights(site, "kq", site.weight("kernel"))}
    if "bias" in site.datasets:
        values["bias"] = round_weights(site, "bq", site.weight("bias"))
    return replace(site, values=values)


def _with_norm(site: Site) -> Site:
    """QBatchNormDense: what normalizes the inputs is part of the weights before they are rounded,
    as HGQ2 does it."""
    kernel, bias = site.weight("kernel"), site.weight("bias")
    inputs = kernel.shape[:1]
    mean = site.shaped("moving_mean", inputs)
    scale = _norm_scale(site, inputs, np.float32(site.fields.epsilon(1e-3)))
    values = {
        "kernel": round_weights(site, "kq", scale[:, None] * kernel),
        "bias": round_weights(site, "bq", bias - mean @ kernel),
    }
    return replace(site, values=values)


def _with_einsum_norm(site: Site) -> Site:
    """QEinsumDenseBatchnorm: what normalizes the outputs is part of the weights."""
    kernel, bias = site.weight("kernel"), site.weight("bias")
    axes = site.fields.get("bias_axes")
    sides = site.fields.text("equation").replace(" ", "").replace("->", ",").split(",")
    letters = sides[1] if len(sides) == 3 else ""
    new = [at for at, letter in enumerate(letters) if letter in str(axes)]
    letters_made = [letter for letter in sides[-1] if letter in str(axes)]
    if len(letters) != kernel.ndim or not new or letters_made != [letters[at] for at in new]:
        raise UnsupportedLayerError(f"it normalizes the axes {axes!r}, which its kernel lacks")
    channels = tuple(kernel.shape[at] for at in new)
    scale = _norm_scale(site, channels, FUSED_EPSILON)
    wide = [size if at in new else 1 for at, size in enumerate(kernel.shape)]
    offset = -site.shaped("moving_mean", channels) * scale
    if offset.size != bias.size:
        raise UnsupportedLayerError(f"its bias has {bias.size} elements, not {offset.size}")
    values = {
        "kernel": round_weights(site, "kq", kernel * scale.reshape(wide)),
        "bias": round_weights(site, "bq", bias + offset.reshape(bias.shape)),
    }
    return replace(site, values=values)


def _norm_scale(site: Site, shape: tuple[int, ...], epsilon: np.float32) -> F32:
    """gamma / sqrt(variance + epsilon), in float32."""
    variance = site.shaped("moving_variance", shape)
    if (variance + epsilon <= 0).any():
        raise UnsupportedLayerError("its moving_variance has negative values")
    gamma = np.ones(shape, np.float32)
    if site.fields.flag("scale", True):
        gamma = site.shaped("gamma", shape)
    scale: F32 = gamma / np.sqrt(variance + epsilon)
    return scale


def _add_norm(site: Site) -> str:
    """QBatchNormalization: factor and offset are rounded. Without `center`, HGQ2 itself adds 1."""
    axis = normalizing.axis_of_norm(site.fields)
    shape = site.shape(site.x)
    if not (1 <= axis <= len(shape) or -len(shape) <= axis < 0):
        raise UnsupportedLayerError(f"it normalizes axis {axis} of a tensor of {shape}")
    place = axis - 1 if axis > 0 else axis % len(shape)
    channels = (shape[place],)
    scale = _norm_scale(site, channels, np.float32(site.fields.epsilon(1e-3)))
    beta = np.ones(channels, np.float32)
    if site.fields.flag("center", True):
        beta = site.shaped("beta", channels)
    offset = beta - site.shaped("moving_mean", channels) * scale
    wide = tuple(size if at == place else 1 for at, size in enumerate(shape))
    factors, offsets = (
        round_weights(site, slot, values).astype(np.float64).reshape(wide)
        for slot, values in (("kq", scale), ("bq", offset))
    )
    return site.add(g.AffineNode(site.name(), site.layer.path, site.x, factors, offsets))


def _add_power(site: Site, x: str, count: int) -> str:
    """The tensor divided by the power of two next to a count."""
    return add_scale(site, x, 2.0 ** round(math.log2(1.0 / count)), site.name())


def _add_sum(site: Site, *, mean: bool) -> str:
    """QSum and QMeanPow2: a sum over axes, times a power of two."""
    fields, shape = site.fields, site.shape(site.x)
    axes = axes_of(fields.get("axes", -1), len(shape))
    keep = fields.flag("keepdims", False)
    scale = 1.0 if mean else fields.number("scale", 1.0)
    named = "sum" if mean or scale != 1.0 else ""
    y = add_reduction(site, site.x, axes, g.PoolNodeKind.SUM, keep, site.name(named))
    if mean:
        return _add_power(site, y, math.prod(shape[axis] for axis in axes))
    return y if scale == 1.0 else add_scale(site, y, scale, site.name())


def _add_softmax(site: Site) -> str:
    """QSoftmax: a table of exponentials, one of the inverse of their sum, and their product."""
    fields, x = site.fields, site.x
    axes = axes_of(fields.get("axes", -1), len(site.shape(x)))
    factor = float(np.float32(fields.number("input_scaler", 1.0)))
    if fields.flag("stable", True):
        top = add_reduction(site, x, axes, g.PoolNodeKind.MAX, True, site.name("top"))
        depth = g.MergeNode(site.name("depth"), (top, x), g.MergeKind.SUBTRACT)
        x = round_tensor(site, site.add(depth), "exp_table/iq", site.name("exp_iq"))
        factor = -factor
    if factor != 1.0:
        x = add_scale(site, x, factor, site.name("scaled"))
    x = site.add(g.ActivationNode(site.name("exp"), x, g.Function.EXPONENTIAL))
    exp = round_tensor(site, x, "exp_table/oq", site.name("exp_oq"))
    total = add_reduction(site, exp, axes, g.PoolNodeKind.SUM, True, site.name("total"))
    total = round_tensor(site, total, "inv_table/iq", site.name("inv_iq"))
    formats = read_formats(site, "inv_table/oq", site.shape(total), batch=True)
    if formats is not None and formats[1].signed.any():  # HGQ2 adds 1e-7, which moves ties below 0
        raise UnsupportedLayerError("its table of inverses has a sign, which HGQ2 leaves out")
    x = site.add(g.ActivationNode(site.name("inv"), total, g.Function.RECIPROCAL))
    inverse = round_tensor(site, x, "inv_table/oq", site.name("inv_oq"))
    return site.add(g.MergeNode(site.name(), (exp, inverse), g.MergeKind.MULTIPLY))


def _add_attention(site: Site) -> str:
    """QMultiHeadAttention over a sequence: projections, a softmax, and products of two tensors."""
    attention.refuse_options(site)
    axes = site.fields.get("attention_axes")
    if axes is not None and list(np.ravel(axes)) not in ([1], [-2]):
        raise UnsupportedLayerError(f"it attends along the axes {axes!r}; axis 1 alone is read")
    inputs = site.inputs
    tensors_by_role = dict.fromkeys(attention.ROLES, inputs[0])
    if len(inputs) > 1:
        tensors_by_role = attention.read_roles(site)
    if "attention_mask" in tensors_by_role or attention.call_options(site).get("use_causal_mask"):
        raise UnsupportedLayerError("it has a mask, which is not read for HGQ2's attention")
    roles = tuple(tensors_by_role[name] for name in attention.ROLES)
    if any(len(site.shape(x)) != 2 for x in roles):
        raise UnsupportedLayerError("it attends to tensors that are no sequences of vectors")
    parts = {
        place: _inner_site(site, place, inner) for place, inner in layers_inside(site.layer).items()
    }
    query, value, key = roles
    fuse = site.fields.text("fuse", "none")
    if fuse not in ("none", "kv", "qkv"):
        raise UnsupportedLayerError(f"its fuse is {fuse!r}")
    if fuse != "none":  # one quantizer for what several projections read
        value = round_tensor(parts["key_dense"], key, "iq", site.name("fused_iq"))
        query = value if fuse == "qkv" else query
    heads = [
        compose.transpose(
            site, read_hgq_layer(replace(parts[place], xs=(x,))), order, f"{place}_heads"
        )
        for place, x, order in (
            ("query_dense", query, (1, 0, 2)),
            ("key_dense", key, (1, 0, 2)),
            ("value_dense", value, (1, 2, 0)),
        )
    ]
    scores = compose.multiply_rows(site, heads[0], heads[1], "scores")
    weights = read_hgq_layer(replace(parts["_softmax"], xs=(scores,)))
    mixed = compose.multiply_rows(site, weights, heads[2], "mixed")
    joined = compose.transpose(site, mixed, (1, 0, 2), "by_place")
    return read_hgq_layer(replace(parts["output_dense"], xs=(joined,)))


def _inner_site(site: Site, place: str, inner: LayerConfig) -> Site:
    """Where a layer inside another goes, and its variables."""
    own = f"{place}/"
    datasets = {
        name.removeprefix(own): dataset
        for name, dataset in site.datasets.items()
        if name.startswith(own)
    }
    return Site(site.builder, inner, site.name(inner.name), site.xs, datasets)
