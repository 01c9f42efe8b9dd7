# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Functions of `keras.ops` and TensorFlow that combine elements along axes in several nodes:
variances, norms, logarithms of sums, products, running sums."""

from __future__ import annotations

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.moves import bounds_along
from edgeinfer.readers.keras.arguments import Arguments, as_constant, axis_of
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.functions import add_affine
from edgeinfer.readers.keras.reducing import add_reduction, parse_reduction

MOST_FACTORS = 16  # of one product
EPSILON = 1e-7  # Keras's own


def read_variance(site: Site, arguments: Arguments) -> str:
    """`keras.ops.var`: the mean of squared distances to the mean."""
    return _add_variance(site, *parse_reduction(site, arguments), site.name())


def read_deviation(site: Site, arguments: Arguments) -> str:
    """`keras.ops.std`: the root of the variance."""
    variance = _add_variance(site, *parse_reduction(site, arguments), site.name("variance"))
    return site.add(g.ActivationNode(site.name(), variance, g.Function.SQRT))


def _add_variance(site: Site, x: str, axes: g.Shape, keep: bool, name: str) -> str:
    mean = add_reduction(site, x, axes, g.PoolNodeKind.AVERAGE, True, site.name("mean"))
    centred = site.add(g.MergeNode(site.name("centred"), (x, mean), g.MergeKind.SUBTRACT))
    square = _square(site, centred)
    return add_reduction(site, square, axes, g.PoolNodeKind.AVERAGE, keep, name)


def read_norm(site: Site, arguments: Arguments) -> str:
    """`keras.ops.norm`: a root of squares, a sum of magnitudes, or the largest one."""
    order = arguments.option("ord", default=2)
    order = 2 if order == "euclidean" else order
    x, axes, keep = parse_reduction(site, arguments)
    if len(axes) == 1 and order in (1, "inf", float("inf")):
        size = site.add(g.ActivationNode(site.name("size"), x, g.Function.LEAKY_RELU, (-1.0,)))
        kind = g.PoolNodeKind.SUM if order == 1 else g.PoolNodeKind.MAX
        return add_reduction(site, size, axes, kind, keep, site.name())
    if order not in ((2,) if len(axes) == 1 else (2, "fro")):
        raise UnsupportedLayerError(
            f"its ord is {order!r} over {len(axes)} axes; 1, 2 and infinity over one axis are read"
        )
    power = add_reduction(
        site, _square(site, x), axes, g.PoolNodeKind.SUM, keep, site.name("power")
    )
    return site.add(g.ActivationNode(site.name(), power, g.Function.SQRT))


def read_normalize(site: Site, arguments: Arguments) -> str:
    """`keras.ops.normalize`: vectors of length one."""
    x = arguments.tensor()
    axis = axis_of(arguments.option("axis", default=-1), len(site.shape(x)))
    order, limit = arguments.option("order", default=2), arguments.option("epsilon")
    if order != 2:
        raise UnsupportedLayerError(f"its order is {order!r}; 2 is read")
    smallest = EPSILON if limit is None else float(limit)
    power = add_reduction(
        site, _square(site, x), (axis,), g.PoolNodeKind.SUM, True, site.name("power")
    )
    inverse = g.ActivationNode(site.name("inverse"), power, g.Function.RSQRT, (smallest**2,))
    return site.add(g.MergeNode(site.name(), (x, site.add(inverse)), g.MergeKind.MULTIPLY))


def read_log_sum(site: Site, arguments: Arguments) -> str:
    """`keras.ops.logsumexp`: of distances to the largest element, which is added again."""
    x, axes, keep = parse_reduction(site, arguments)
    _, largest, total = _below_largest(site, x, axes)
    if keep:
        return site.add(g.MergeNode(site.name(), (total, largest), g.MergeKind.ADD))
    added = site.add(g.MergeNode(site.name("added"), (total, largest), g.MergeKind.ADD))
    shape = site.shape(x)
    rest = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return site.add(g.ReshapeNode(site.name(), added, rest))


def read_log_softmax(site: Site, arguments: Arguments) -> str:
    """`keras.ops.log_softmax`."""
    x = arguments.tensor()
    axis = axis_of(arguments.take(1, "axis", default=-1), len(site.shape(x)))
    return add_log_softmax(site, x, axis)


def add_log_softmax(site: Site, x: str, axis: int) -> str:
    """Append distances to the largest element, less the logarithm of their exponentials' sum."""
    below, _, total = _below_largest(site, x, (axis,))
    return site.add(g.MergeNode(site.name(), (below, total), g.MergeKind.SUBTRACT))


def _below_largest(site: Site, x: str, axes: g.Shape) -> tuple[str, str, str]:
    """The distances to the largest element, that element, and the logarithm of the sum of the
    distances' exponentials, which none of them overflows."""
    largest = add_reduction(site, x, axes, g.PoolNodeKind.MAX, True, site.name("largest"))
    below = site.add(g.MergeNode(site.name("below"), (x, largest), g.MergeKind.SUBTRACT))
    powers = site.add(g.ActivationNode(site.name("powers"), below, g.Function.EXPONENTIAL))
    total = add_reduction(site, powers, axes, g.PoolNodeKind.SUM, True, site.name("total"))
    return below, largest, site.add(g.ActivationNode(site.name("log"), total, g.Function.LOG))


def read_product(site: Site, arguments: Arguments) -> str:
    """`keras.ops.prod`, element by element."""
    x, axes, keep = parse_reduction(site, arguments)
    arguments.option("dtype")
    shape = site.shape(x)
    if len(axes) != 1 or shape[axes[0]] > MOST_FACTORS:
        raise UnsupportedLayerError(
            f"it multiplies along {len(axes)} axes of {shape}; at most {MOST_FACTORS} numbers "
            f"along one axis are read"
        )
    (axis,) = axes
    parts = []
    for place in range(shape[axis]):
        bounds = bounds_along(shape, axis, place, place + 1)
        parts.append(site.add(g.SliceNode(site.name("factor"), x, *bounds)))
    product = parts[0]
    for part in parts[1:]:
        pair = (product, part)
        product = site.add(g.MergeNode(site.name("product"), pair, g.MergeKind.MULTIPLY))
    rest = tuple(size for place, size in enumerate(shape) if place != axis)
    return site.add(g.ReshapeNode(site.name(), product, site.shape(product) if keep else rest))


def read_running_sum(site: Site, arguments: Arguments) -> str:
    """`keras.ops.cumsum`: a product with a triangle of ones."""
    x = arguments.tensor()
    shape = site.shape(x)
    axis = axis_of(arguments.take(1, "axis"), len(shape))
    for option in ("exclusive", "reverse"):
        if arguments.option(option, default=False):
            raise UnsupportedLayerError(f"its {option} is set")
    order = (*(place for place in range(len(shape)) if place != axis), axis)
    turned = site.add(g.TransposeNode(site.name("turned"), x, order))
    ones = np.triu(np.ones((shape[axis], shape[axis])))
    sums = site.add(g.DenseNode(site.name("sums"), site.layer.path, turned, ones, None))
    back = tuple(order.index(place) for place in range(len(shape)))
    return site.add(g.TransposeNode(site.name(), sums, back))


def read_remainder(site: Site, arguments: Arguments) -> str:
    """`keras.ops.mod` of a constant: what the whole multiples below leave."""
    x, divisor = arguments.tensor(), as_constant(arguments.take(1, "y", "x2"))
    if divisor.size != 1 or not divisor.reshape(()) > 0:
        raise UnsupportedLayerError("its divisor is not one number above 0")
    by = float(divisor.reshape(()))
    quotient = add_affine(site, x, 1.0 / by, 0.0, site.name("quotient"))
    whole = site.add(g.ActivationNode(site.name("whole"), quotient, g.Function.FLOOR))
    multiple = add_affine(site, whole, by, 0.0, site.name("multiple"))
    return site.add(g.MergeNode(site.name(), (x, multiple), g.MergeKind.SUBTRACT))


def read_batch_norm(site: Site, arguments: Arguments) -> str:
    """`keras.ops.batch_normalization` by constants."""
    x = arguments.tensor()
    shape = site.shape(x)
    axis = axis_of(arguments.option("axis"), len(shape))
    wide = tuple(size if place == axis else 1 for place, size in enumerate(shape))
    epsilon = float(arguments.option("epsilon", default=1e-3))
    mean, variance = (
        as_constant(arguments.take(place, name)) for place, name in ((1, "mean"), (2, "variance"))
    )
    given = arguments.take(3, "offset"), arguments.take(4, "scale")
    offset, scale = (
        as_constant(default if value is None else value)
        for value, default in zip(given, (0.0, 1.0), strict=True)
    )
    scale = scale / np.sqrt(variance + epsilon)
    try:
        factor, shift = (
            np.broadcast_to(values, (shape[axis],)).reshape(wide)
            for values in (scale, offset - mean * scale)
        )
    except ValueError:
        raise UnsupportedLayerError(f"its constants do not fit an axis of {shape[axis]}") from None
    return site.add(g.AffineNode(site.name(), site.layer.path, x, factor, shift))


def _square(site: Site, x: str) -> str:
    return site.add(g.MergeNode(site.name("square"), (x, x), g.MergeKind.MULTIPLY))
