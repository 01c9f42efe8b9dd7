# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that scale and shift: with stored statistics, with a sample's own, or with constants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import compose
from edgeinfer.graph.nodes import AffineNode, BatchNormNode, ReshapeNode, Shape, TransposeNode
from edgeinfer.readers.keras.arguments import as_constant, axes_of
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError, scalar
from edgeinfer.readers.keras.quantizer_config import quantizer
from edgeinfer.readers.keras.quantizer_values import code_weights

UNIT_EPSILON = 1e-24  # Keras limits the divisor to 1e-12 or more

F32 = NDArray[np.float32]
_LEAST_DEVIATION = 1e-7  # by which Normalization divides

_QKERAS_DEFAULTS = {
    "gamma_quantizer": "quantized_relu_po2(6,2048)",
    "beta_quantizer": "quantized_po2(5)",
    "mean_quantizer": "quantized_po2(5)",
    "variance_quantizer": "quantized_relu_po2(6,quadratic_approximation=True)",
}


def batchnorm_layer(site: Site) -> str:
    """BatchNormalization with or without gamma and beta, over any axis."""
    epsilon = site.fields.epsilon(1e-3)
    x, order = _normalized_axis(site)
    channels = (site.shape(x)[-1],)
    gamma, beta, mean, variance = _statistics(site, channels)
    node = BatchNormNode(
        site.name(),
        site.layer.path,
        x,
        gamma.astype(np.float64),
        beta.astype(np.float64),
        mean.astype(np.float64),
        variance.astype(np.float64),
        epsilon,
    )
    return _move_back(site, site.add(node), order)


def quantized_batchnorm_layer(site: Site) -> str:
    """QBatchNormalization: each statistic has a quantizer; the factor is computed in float32."""
    fields = site.fields
    epsilon = np.float32(site.fields.epsilon(1e-3))
    specs = {
        name: quantizer(
            fields.get(name, default), of_kernel=name in ("gamma_quantizer", "variance_quantizer")
        )
        for name, default in _QKERAS_DEFAULTS.items()
    }
    inverse_spec = quantizer(fields.get("inverse_quantizer"))
    x, order = _normalized_axis(site)
    channels = (site.shape(x)[-1],)

    def rounded(values: F32, spec_name: str) -> F32:
        spec = specs[spec_name]
        return values if spec is None else code_weights(spec, values).values.astype(np.float32)

    gamma, beta, mean, variance = _statistics(site, channels)
    if fields.flag("scale", True):
        gamma = rounded(gamma, "gamma_quantizer")
    if fields.flag("center", True):
        beta = rounded(beta, "beta_quantizer")
    mean = rounded(mean, "mean_quantizer")
    inverse = np.float32(1) / np.sqrt(rounded(variance, "variance_quantizer") + epsilon)
    inverse = inverse * gamma
    if inverse_spec is not None:
        inverse = code_weights(inverse_spec, inverse).values.astype(np.float32)
    shift = beta - mean * inverse
    scale, offset = inverse.astype(np.float64), shift.astype(np.float64)
    node = AffineNode(site.name(), site.layer.path, x, scale, offset)
    return _move_back(site, site.add(node), order)


def _statistics(site: Site, channels: tuple[int, ...]) -> tuple[F32, F32, F32, F32]:
    """gamma, beta, mean and variance; what the layer leaves out is neutral."""
    fields = site.fields
    one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    gamma = site.shaped("gamma", channels) if fields.flag("scale", True) else one
    beta = site.shaped("beta", channels) if fields.flag("center", True) else zero
    variance = site.shaped("moving_variance", channels)
    if (variance < 0).any():
        raise UnsupportedLayerError("its moving_variance has negative values")
    return gamma, beta, site.shaped("moving_mean", channels), variance


def _normalized_axis(site: Site) -> tuple[str, Shape]:
    """The tensor with the normalized axis last, and the order of axes that brought it there."""
    axis, rank = axis_of_norm(site.fields), len(site.shape(site.x))
    if axis == 0 or not -rank <= axis <= rank:
        raise UnsupportedLayerError(
            f"it normalizes axis {axis} of a tensor with {rank} axes and the samples"
        )
    return _move_last(site, site.x, (axis - 1 if axis > 0 else axis + rank,))


def _move_last(site: Site, x: str, axes: Shape) -> tuple[str, Shape]:
    """The tensor with some axes behind the others, and the order that brought them there."""
    rank = len(site.shape(x))
    order = (*(axis for axis in range(rank) if axis not in axes), *axes)
    if order == tuple(range(rank)):
        return x, order
    return site.add(TransposeNode(site.name("channels_last"), x, order)), order


def _move_back(site: Site, x: str, order: Shape) -> str:
    """The tensor with its axes where they were."""
    if order == tuple(range(len(order))):
        return x
    back = tuple(order.index(axis) for axis in range(len(order)))
    return site.add(TransposeNode(site.name("channels_first"), x, back))


def axis_of_norm(fields: Fields) -> int:
    """The one axis that a batch norm works on, counted with the batch."""
    axis = fields.get("axis", -1)
    if isinstance(axis, (list, tuple)):
        if len(axis) != 1:
            raise UnsupportedLayerError(f"it normalizes the axes {axis!r} together")
        axis = axis[0]
    return Fields({"axis": axis}).integer("axis")


def normalization_layer(site: Site) -> str:
    """Normalization by statistics of the data, each of its axes element by element; or back."""
    fields, shape = site.fields, site.shape(site.x)
    axis = fields.get("axis", -1)
    listed = [] if axis is None else axis if isinstance(axis, (list, tuple)) else [axis]
    kept = axes_of(listed, len(shape)) if listed else ()
    sizes = tuple(shape[each] for each in kept)
    if fields.get("mean") is None:
        mean, variance = (site.shaped(n, sizes).astype(np.float64) for n in ("mean", "variance"))
    else:
        mean, variance = (_statistic(fields, name, sizes) for name in ("mean", "variance"))
    if (variance < 0).any():
        raise UnsupportedLayerError("its variance has negative values")
    spread = np.maximum(np.sqrt(variance), _LEAST_DEVIATION)
    inverse = fields.flag("invert", False)
    scale, shift = (spread, mean) if inverse else (1.0 / spread, -mean / spread)
    wide = tuple(size if each in kept else 1 for each, size in enumerate(shape))
    factors, offsets = (np.atleast_1d(part.reshape(wide)) for part in (scale, shift))
    return site.add(AffineNode(site.name(), site.layer.path, site.x, factors, offsets))


def _statistic(fields: Fields, name: str, sizes: tuple[int, ...]) -> NDArray[np.float64]:
    """What the configuration holds, in any of the forms in which Keras writes an array."""
    value = fields.get(name)
    if isinstance(value, Mapping):
        config = value.get("config")
        value = config.get("value") if isinstance(config, Mapping) else value.get("value")
    try:
        return np.broadcast_to(as_constant(value), sizes)
    except ValueError:
        raise UnsupportedLayerError(f"its {name} does not fit its axes of {sizes}") from None


def masking_layer(site: Site) -> str:
    """Masking of zeros, which leaves every number as it is; later layers may read the mask, others
    of its input may not, so that its output is a tensor of its own."""
    value = site.fields.get("mask_value", 0.0)
    if scalar(value) != 0.0:
        raise UnsupportedLayerError(
            f"it sets steps of {value!r} to 0; only a mask_value of 0 changes nothing"
        )
    marked = site.add(ReshapeNode(site.name(), site.x, site.shape(site.x)))
    site.builder.masked[marked] = marked if len(site.shape(marked)) == 2 else None
    return marked


def rescaling_layer(site: Site) -> str:
    """Rescaling: scale x + offset."""
    scale, offset = (_numbers(site.fields, name, d) for name, d in (("scale", 1), ("offset", 0)))
    return site.add(AffineNode(site.name(), site.layer.path, site.x, scale, offset))


def _numbers(fields: Fields, name: str, default: float) -> NDArray[np.float64]:
    value = fields.get(name, default)
    listed = value if isinstance(value, (list, tuple)) else [value]
    return np.asarray([Fields({name: v}).number(name) for v in listed])


def layer_norm_layer(site: Site) -> str:
    """LayerNormalization over some axes; with `rms_scaling`, as Keras computes that."""
    fields = site.fields
    x, order, axes = _axes_last(site)
    shape = site.shape(x)[-axes:]
    epsilon = site.fields.epsilon(1e-3)
    if fields.flag("rms_scaling", False):
        raise UnsupportedLayerError("its rms_scaling is on; use RMSNormalization")
    scaled, shifted = fields.flag("scale", True), fields.flag("center", True)
    gamma = site.shaped("gamma", shape) if scaled else np.ones(shape)
    beta = site.shaped("beta", shape) if shifted else np.zeros(shape)
    normal = compose.normalize_last_axes(site, x, axes, epsilon)
    return _move_back(site, _scale(site, normal, gamma, beta), order)


def rms_norm_layer(site: Site) -> str:
    """RMSNormalization over some axes."""
    x, order, axes = _axes_last(site)
    shape = site.shape(x)[-axes:]
    scale = site.shaped("scale", shape)
    epsilon = site.fields.epsilon(1e-6)
    normal = compose.normalize_last_axes(site, x, axes, epsilon, centred=False)
    return _move_back(site, _scale(site, normal, scale, np.zeros(shape)), order)


def group_norm_layer(site: Site) -> str:
    """GroupNormalization: groups of channels, each over all of its elements."""
    x, order = _normalized_axis(site)
    channels = site.shape(x)[-1]
    groups = site.fields.integer("groups", 32)
    groups = channels if groups == -1 else groups
    if groups < 1 or channels % groups:
        raise UnsupportedLayerError(f"{channels} channels do not form {groups} groups")
    fields = site.fields
    gamma = site.shaped("gamma", (channels,)) if fields.flag("scale", True) else np.ones(channels)
    beta = site.shaped("beta", (channels,)) if fields.flag("center", True) else np.zeros(channels)
    normal = compose.normalize_groups(site, x, groups, site.fields.epsilon(1e-3))
    return _move_back(site, _scale(site, normal, gamma, beta), order)


def unit_norm_layer(site: Site) -> str:
    """UnitNormalization: vectors of length one."""
    x, order, axes = _axes_last(site)
    label = "" if x == site.x else "normal"
    normal = compose.normalize_last_axes(
        site, x, axes, UNIT_EPSILON, centred=False, mean=False, label=label
    )
    return _move_back(site, normal, order)


def _scale(site: Site, x: str, scale: NDArray[Any], shift: NDArray[Any]) -> str:
    scale, shift = scale.astype(np.float64), shift.astype(np.float64)
    return site.add(AffineNode(site.name(), site.layer.path, x, scale, shift))


def _axes_last(site: Site) -> tuple[str, Shape, int]:
    """The tensor with the axes last that a layer normalizes together, the order that brought them
    there, and how many they are."""
    axis_field = site.fields.get("axis", -1)
    listed = list(axis_field) if isinstance(axis_field, (list, tuple)) else [axis_field]
    rank = len(site.shape(site.x))
    axes = tuple(
        sorted(
            axis + rank if axis < 0 else axis - 1
            for axis in (Fields({"axis": each}).integer("axis") for each in listed)
        )
    )
    if not axes or len(set(axes)) != len(axes) or axes[0] < 0 or axes[-1] >= rank:
        raise UnsupportedLayerError(
            f"it normalizes the axes {axis_field!r} of a tensor with {rank} axes and the samples"
        )
    x, order = _move_last(site, site.x, axes)
    return x, order, len(axes)
