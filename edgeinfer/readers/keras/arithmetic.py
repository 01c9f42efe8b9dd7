# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operations that combine a tensor with constants, or with other tensors, element by element or
as a product of matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgeinfer.graph import compose
from edgeinfer.graph import nodes as g
from edgeinfer.graph.compose_einsum import multiply_along, split_equation
from edgeinfer.readers.keras.arguments import Arguments, CallTensor, as_constant, per_sample
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.einsum import add_einsum, parse_equation
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError

MOST_FACTORS = 8  # of a power


def add_pair(site: Site, kind: g.MergeKind, a: Any, b: Any) -> str:
    """A sum, difference, product, maximum or minimum of two operands, one of them a tensor."""
    if isinstance(a, CallTensor) and isinstance(b, CallTensor):
        ranks = len(site.shape(a.name)), len(site.shape(b.name))
        if ranks[0] != ranks[1]:
            raise UnsupportedLayerError(f"it combines tensors of {ranks[0]} and {ranks[1]} axes")
        return site.add(g.MergeNode(site.name(), (a.name, b.name), kind))
    if isinstance(a, CallTensor):
        return _add_constant(site, kind, a.name, as_constant(b), first=False)
    if isinstance(b, CallTensor):
        return _add_constant(site, kind, b.name, as_constant(a), first=True)
    raise UnsupportedLayerError("it reads no tensor")


def _add_constant(site: Site, kind: g.MergeKind, x: str, values: g.Floats, *, first: bool) -> str:
    values = per_sample(values, len(site.shape(x)))
    one, zero = np.ones(1), np.zeros(1)
    match kind:
        case g.MergeKind.ADD:
            return _add_affine(site, x, one, values)
        case g.MergeKind.SUBTRACT:
            return (
                _add_affine(site, x, -one, values) if first else _add_affine(site, x, one, -values)
            )
        case g.MergeKind.MULTIPLY:
            return _add_affine(site, x, values, zero)
        case _:  # all others are merges of two tensors
            constant = site.add(g.ConstantNode(site.builder.fresh(f"{x}_bound"), values))
            return site.add(g.MergeNode(site.name(), (x, constant), kind))


def _add_affine(site: Site, x: str, scale: g.Floats, shift: g.Floats) -> str:
    return site.add(g.AffineNode(site.name(), site.layer.path, x, scale, shift))


def add_quotient(site: Site, a: Any, b: Any) -> str:
    """A tensor divided by constants, or anything times the reciprocal of a tensor."""
    if isinstance(b, CallTensor):
        node = g.ActivationNode(site.name("reciprocal"), b.name, g.Function.RECIPROCAL)
        return add_pair(site, g.MergeKind.MULTIPLY, a, CallTensor(site.add(node)))
    divisor = as_constant(b)
    if not divisor.all():
        raise UnsupportedLayerError("it divides by zero")
    return add_pair(site, g.MergeKind.MULTIPLY, a, 1.0 / divisor)


def add_power(site: Site, a: Any, b: Any) -> str:
    """A tensor to a power: products where it is small and whole, else a function."""
    if isinstance(b, CallTensor) or not isinstance(a, CallTensor):
        raise UnsupportedLayerError("its exponent is a tensor; constants are read")
    power = Fields({"exponent": np.asarray(as_constant(b)).tolist()}).number("exponent")
    if power not in range(1, MOST_FACTORS + 1):
        return site.add(g.ActivationNode(site.name(), a.name, g.Function.POWER, (power,)))
    y = a.name
    for left in range(int(power) - 1, 0, -1):
        name = site.name() if left == 1 else site.name("power")
        y = site.add(g.MergeNode(name, (y, a.name), g.MergeKind.MULTIPLY))
    return y


def read_square(site: Site, arguments: Arguments) -> str:
    """`keras.ops.square`."""
    x = arguments.tensor()
    return site.add(g.MergeNode(site.name(), (x, x), g.MergeKind.MULTIPLY))


def read_negative(site: Site, arguments: Arguments) -> str:
    """-x."""
    return _add_affine(site, arguments.tensor(), -np.ones(1), np.zeros(1))


def read_clip(site: Site, arguments: Arguments) -> str:
    """Between two constants; either may be missing."""
    x = arguments.tensor()
    low = arguments.take(1, "x_min", "clip_value_min", "a_min")
    high = arguments.take(2, "x_max", "clip_value_max", "a_max")
    if low is not None:
        x = _limit(site, x, low, g.MergeKind.MAXIMUM, site.name("low" if high is not None else ""))
    if high is not None:
        x = _limit(site, x, high, g.MergeKind.MINIMUM, site.name())
    return x


def _limit(site: Site, x: str, bound: Any, kind: g.MergeKind, name: str) -> str:
    values = per_sample(as_constant(bound), len(site.shape(x)))
    constant = site.add(g.ConstantNode(site.builder.fresh(f"{name}_bound"), values))
    return site.add(g.MergeNode(name, (x, constant), kind))


def read_sum_of_list(site: Site, arguments: Arguments) -> str:
    """`tf.add_n`."""
    listed = arguments.take(0, "inputs")
    xs = tuple(each.name for each in listed or () if isinstance(each, CallTensor))
    if len(xs) < 2 or len(xs) != len(listed):
        raise UnsupportedLayerError("it adds other than two or more tensors")
    return site.add(g.MergeNode(site.name(), xs, g.MergeKind.ADD))


def read_matmul(site: Site, arguments: Arguments) -> str:
    """A product of a tensor with a constant matrix, on either side."""
    a, b = arguments.take(0, "x1", "a", "x"), arguments.take(1, "x2", "b", "y")
    turns = [bool(arguments.option(f"transpose_{side}", default=False)) for side in "ab"]
    if isinstance(a, CallTensor) and isinstance(b, CallTensor):
        return _multiply_tensors(site, (a.name, b.name), turns)
    if turns[0 if isinstance(a, CallTensor) else 1]:
        raise UnsupportedLayerError("it transposes the tensor; use a transpose before it")
    matrix = as_constant(b if isinstance(a, CallTensor) else a)
    matrix = matrix.reshape(matrix.shape[-2:]) if matrix.ndim > 2 and matrix.size else matrix
    if matrix.ndim != 2:
        raise UnsupportedLayerError(f"its constant has the shape {matrix.shape}, not a matrix")
    if isinstance(a, CallTensor):
        kernel = matrix.T if turns[1] else matrix
        return site.add(g.DenseNode(site.name(), site.layer.path, a.name, kernel, None))
    assert isinstance(b, CallTensor)
    rank = len(site.shape(b.name))
    if rank < 2:
        raise UnsupportedLayerError("it multiplies along the batch")
    swap = (*range(rank - 2), rank - 1, rank - 2)
    turned = site.add(g.TransposeNode(site.name("columns"), b.name, swap))
    kernel = matrix if turns[0] else matrix.T
    y = site.add(g.DenseNode(site.name("product"), site.layer.path, turned, kernel, None))
    return site.add(g.TransposeNode(site.name(), y, swap))


def _multiply_tensors(site: Site, names: tuple[str, str], turns: list[bool]) -> str:
    """Matrices times matrices, both of which depend on the network's input."""
    shapes = [site.shape(name) for name in names]
    try:
        lead = np.broadcast_shapes(*(shape[:-2] for shape in shapes))
    except ValueError:
        lead = None
    if lead is None or len(shapes[0]) != len(shapes[1]) or len(shapes[0]) < 2:
        raise UnsupportedLayerError(
            f"it multiplies tensors of {shapes[0]} and {shapes[1]}; matrices can be read, or "
            f"stacks of them with as many axes, each equal in both or 1 in one of them"
        )
    rows = []
    for name, shape, turned, label in zip(
        names, shapes, (turns[0], not turns[1]), ("rows", "columns"), strict=True
    ):
        swap = (*range(len(lead)), len(lead) + 1, len(lead)) if turned else tuple(range(len(shape)))
        alike = compose.spread(site, name, (*lead, *shape[-2:]), label)
        x = compose.transpose(site, alike, swap, label)
        matrices = (math.prod(lead), *site.shape(x)[-2:])
        rows.append(compose.reshape(site, x, matrices, f"{label}_listed"))
    a, b = rows
    if site.shape(a)[-1] != site.shape(b)[-1]:
        raise UnsupportedLayerError(f"tensors of {shapes[0]} and {shapes[1]} cannot be multiplied")
    product = compose.multiply_rows(site, a, b, "products")
    return compose.reshape(site, product, (*lead, *site.shape(product)[1:]), "")


def read_einsum(site: Site, arguments: Arguments) -> str:
    """An einsum of a tensor with a constant, which comes second."""
    text = arguments.option("subscripts", "equation")
    if text is None:
        text, a, b = (arguments.take(place) for place in range(3))
    else:
        a, b = arguments.take(0), arguments.take(1)
    if isinstance(a, CallTensor) and isinstance(b, CallTensor):
        return _einsum_of_tensors(site, text, a.name, b.name)
    if not isinstance(a, CallTensor) or b is None:
        raise UnsupportedLayerError("it multiplies other than a tensor with a constant after it")
    kernel = as_constant(b)
    equation = parse_equation(text, len(site.shape(a.name)) + 1, kernel.ndim)
    return add_einsum(site, a.name, equation, kernel, None, site.name())


def _einsum_of_tensors(site: Site, text: Any, a: str, b: str) -> str:
    """An einsum of two tensors that have the batch in front, as the result has."""
    ranks = len(site.shape(a)) + 1, len(site.shape(b)) + 1
    try:
        axes = split_equation(str(text), ranks)
        if len({part[:1] for part in axes}) != 1:
            raise UnsupportedLayerError(f"its equation {text!r} works along the batch")
        left, right, y = (part[1:] for part in axes)
        product = multiply_along(site, a, b, (left, right, y))
    except ValueError as error:
        raise UnsupportedLayerError(str(error)) from None
    return site.add(g.ReshapeNode(site.name(), product, site.shape(product)))
