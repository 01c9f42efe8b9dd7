# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Plain functions of one tensor: by name, or as the layers that are nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from edgeinfer.graph import compose
from edgeinfer.graph import nodes as g
from edgeinfer.graph.moves import bounds_along
from edgeinfer.readers.keras.arguments import per_sample
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError

_ALONE: dict[str, tuple[g.Function, tuple[float, ...]]] = {
    "relu": (g.Function.RELU, ()),
    "relu6": (g.Function.RELU6, ()),
    "leaky_relu": (g.Function.LEAKY_RELU, (0.2,)),
    "sigmoid": (g.Function.SIGMOID, ()),
    "tanh": (g.Function.TANH, ()),
    "hard_tanh": (g.Function.HARD_TANH, ()),
    "elu": (g.Function.ELU, (1.0,)),
    "celu": (g.Function.ELU, (1.0,)),
    "mish": (g.Function.MISH, ()),
    "selu": (g.Function.SELU, ()),
    "softplus": (g.Function.SOFTPLUS, ()),
    "softsign": (g.Function.SOFTSIGN, ()),
    "swish": (g.Function.SWISH, ()),
    "gelu": (g.Function.GELU, ()),
    "exponential": (g.Function.EXPONENTIAL, ()),
    "smooth_sigmoid": (g.Function.HARD_SIGMOID, (0.1875, 0.5)),
    "sparse_sigmoid": (g.Function.HARD_SIGMOID, (0.5, 0.5)),
    "abs": (g.Function.LEAKY_RELU, (-1.0,)),
}
_TOGETHER = frozenset(  # of several nodes
    {
        "softmax",
        "hard_sigmoid",
        "hard_swish",
        "log_sigmoid",
        "tanh_shrink",
        "soft_shrink",
        "hard_shrink",
        "glu",
        "log_softmax",
        "sparse_plus",
        "squareplus",
    }
)
_OTHER_NAMES = {"silu": "swish", "exp": "exponential", "hard_silu": "hard_swish"}
_KERAS2_HARD_SIGMOID = (0.2, 0.5)
_KERAS3_HARD_SIGMOID = (1 / 6, 0.5)
QKERAS_HARD_SIGMOID = (0.5, 0.5)
LAYERS = frozenset({"ReLU", "LeakyReLU", "ThresholdedReLU", "ELU", "Softmax"})


@dataclass(frozen=True, slots=True)
class Plain:
    """A function by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Rectifier:
    """x above the threshold, at most `top`; below it, slope (x - threshold)."""

    slope: float = 0.0
    top: float | None = None
    threshold: float = 0.0


@dataclass(frozen=True, slots=True)
class GraphFunction:
    """A function of the Graph with its parameters."""

    function: g.Function
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class SoftmaxAlong:
    """Softmax over one axis, which counts the batch."""

    axis: int


FloatStep = Plain | Rectifier | GraphFunction | SoftmaxAlong


def plain_function(name: str) -> Plain:
    """The function that a name stands for; Unsupported for one that is not known."""
    function = _OTHER_NAMES.get(name, name)
    if function in _ALONE or function in _TOGETHER:
        return Plain(function)
    raise UnsupportedLayerError(f"its activation {name!r} is not known")


def function_of_layer(kind: str, fields: Fields) -> FloatStep:
    """What one of `LAYERS` computes."""
    match kind:
        case "ReLU":
            return rectifier(
                fields.optional("negative_slope"),
                fields.optional("max_value"),
                fields.optional("threshold"),
            )
        case "ThresholdedReLU":
            theta = fields.optional("theta")
            return Rectifier(threshold=1.0 if theta is None else theta)
        case "ELU":
            alpha = fields.optional("alpha")
            return GraphFunction(g.Function.ELU, (1.0 if alpha is None else alpha,))
        case "LeakyReLU":
            return GraphFunction(g.Function.LEAKY_RELU, (_slope(fields),))
        case "Softmax":
            axis = fields.get("axis", -1)
            return SoftmaxAlong(Fields({"axis": axis}).integer("axis"))
        case _:  # the caller has checked the kind
            raise AssertionError(kind)


def rectifier(slope: float | None, top: float | None, threshold: float | None) -> Rectifier:
    """The function that Keras calls relu, with what its arguments leave open."""
    if top is not None and top < 0:
        raise UnsupportedLayerError(f"its max_value is {top:g}")
    return Rectifier(slope or 0.0, top, threshold or 0.0)


def _slope(fields: Fields) -> float:
    for name in ("negative_slope", "alpha"):
        if fields.get(name) is not None:
            return float(np.float32(fields.number(name, limit=1e30)))
    return float(np.float32(0.3))


def label_of_function(step: FloatStep) -> str:
    """The word that a fused function adds to its layer's name."""
    match step:
        case Plain(name=name):
            return name
        case Rectifier(slope=slope):
            return g.Function.LEAKY_RELU if slope else g.Function.RELU
        case GraphFunction(function=function):
            return function
        case SoftmaxAlong():
            return "softmax"


def add_function(site: Site, x: str, step: FloatStep, name: str) -> str:
    """Append the nodes of a function; the last of them is the tensor that the user knows."""
    match step:
        case Plain():
            return _add_plain(site, x, step.name, name)
        case Rectifier():
            return _add_rectifier(site, x, step, name)
        case GraphFunction():
            return site.add(g.ActivationNode(name, x, step.function, step.parameters))
        case SoftmaxAlong(axis=axis):
            rank = len(site.shape(x))
            if axis == 0 or not -rank <= axis <= rank:
                raise UnsupportedLayerError(f"it runs over axis {axis} of a tensor of {rank} axes")
            return _add_softmax(site, x, axis - 1 if axis > 0 else axis, name)


def _add_softmax(site: Site, x: str, axis: int, name: str) -> str:
    """With the mask of what a choice before it hides."""
    shown, mask = site.builder.hidden.get(x, (x, None))
    return site.add(g.SoftmaxNode(name, shown, axis, mask))


def _add_plain(site: Site, x: str, function: str, name: str) -> str:
    match function:
        case "softmax":
            return _add_softmax(site, x, -1, name)
        case "hard_sigmoid":
            return site.add(g.ActivationNode(name, x, g.Function.HARD_SIGMOID, _hard_sigmoid(site)))
        case "hard_swish":
            return _add_gate(
                site, x, x, GraphFunction(g.Function.HARD_SIGMOID, _KERAS3_HARD_SIGMOID), name
            )
        case "log_sigmoid":
            negative = add_scale(site, x, -1.0, site.builder.fresh(f"{name}_negative"))
            soft = site.builder.fresh(f"{name}_softplus")
            site.add(g.ActivationNode(soft, negative, g.Function.SOFTPLUS))
            return add_scale(site, soft, -1.0, name)
        case "tanh_shrink":
            curve = site.builder.fresh(f"{name}_tanh")
            site.add(g.ActivationNode(curve, x, g.Function.TANH))
            return site.add(g.MergeNode(name, (x, curve), g.MergeKind.SUBTRACT))
        case "soft_shrink":
            return add_soft_shrink(site, x, 0.5, name)
        case "hard_shrink":
            return add_hard_shrink(site, x, 0.5, name)
        case "glu":
            return add_gated_half(site, x, -1, name)
        case "log_softmax":
            return _add_log_softmax(site, x, name)
        case "sparse_plus":
            return _add_sparse_plus(site, x, name)
        case "squareplus":
            return _add_square_plus(site, x, name)
        case _:  # the caller has checked that the name is known
            kind, parameters = _ALONE[function]
            return site.add(g.ActivationNode(name, x, kind, parameters))


def _add_log_softmax(site: Site, x: str, name: str) -> str:
    """Distances to the largest element of the last axis, less the logarithm of their exponentials'
    sum."""
    shape = site.shape(x)
    rows = compose.reshape(site, x, (prod(shape[:-1]), shape[-1], 1), "rows")
    largest = compose.pool_rows(site, rows, g.PoolNodeKind.MAX, "largest")
    below = site.add(g.MergeNode(site.name("distance"), (rows, largest), g.MergeKind.SUBTRACT))
    powers = site.add(g.ActivationNode(site.name("powers"), below, g.Function.EXPONENTIAL))
    total = compose.pool_rows(site, powers, g.PoolNodeKind.SUM, "total")
    log = site.add(g.ActivationNode(site.name("log"), total, g.Function.LOG))
    rest = site.add(g.MergeNode(site.name("logits"), (below, log), g.MergeKind.SUBTRACT))
    return site.add(g.ReshapeNode(name, rest, shape))


def _add_sparse_plus(site: Site, x: str, name: str) -> str:
    """0 up to -1, x from 1 on, a parabola between: the square of a hard sigmoid, and x - 1."""
    gate, square, over, rest = (
        site.builder.fresh(f"{name}_{part}") for part in ("gate", "square", "over", "rest")
    )
    site.add(g.ActivationNode(gate, x, g.Function.HARD_SIGMOID, (0.5, 0.5)))
    site.add(g.MergeNode(square, (gate, gate), g.MergeKind.MULTIPLY))
    add_affine(site, x, 1.0, -1.0, over)
    site.add(g.ActivationNode(rest, over, g.Function.RELU))
    return site.add(g.MergeNode(name, (square, rest), g.MergeKind.ADD))


def _add_square_plus(site: Site, x: str, name: str) -> str:
    """(x + sqrt(x^2 + 4)) / 2."""
    square, raised, root, both = (
        site.builder.fresh(f"{name}_{part}") for part in ("square", "raised", "root", "both")
    )
    site.add(g.MergeNode(square, (x, x), g.MergeKind.MULTIPLY))
    add_affine(site, square, 1.0, 4.0, raised)
    site.add(g.ActivationNode(root, raised, g.Function.SQRT))
    site.add(g.MergeNode(both, (x, root), g.MergeKind.ADD))
    return add_scale(site, both, 0.5, name)


def _add_rectifier(site: Site, x: str, step: Rectifier, name: str) -> str:
    if step.threshold:
        return _add_threshold_rectifier(site, x, step, name)
    if step.slope:
        y = site.add(g.ActivationNode(name, x, g.Function.LEAKY_RELU, (step.slope,)))
    elif step.top == 6.0:
        return site.add(g.ActivationNode(name, x, g.Function.RELU6))
    else:
        y = site.add(g.ActivationNode(name, x, g.Function.RELU))
    return y if step.top is None else add_clip(site, y, g.MergeKind.MINIMUM, step.top)


def _add_threshold_rectifier(site: Site, x: str, step: Rectifier, name: str) -> str:
    """In the order in which Keras computes it: below a threshold under 0, `top` makes it 0."""
    last = step.top is None and not step.slope
    gate = _add_gate_above(site, x, step.threshold, 1.0)
    part = name if last else site.builder.fresh(f"{name}_above")
    y = site.add(g.MergeNode(part, (x, gate), g.MergeKind.MULTIPLY))
    if step.top is not None:
        y = add_clip(site, y, g.MergeKind.MAXIMUM, 0.0)
        y = add_clip(site, y, g.MergeKind.MINIMUM, step.top, None if step.slope else name)
    if not step.slope:
        return y
    below = add_affine(site, x, -1.0, step.threshold, site.builder.fresh(f"{name}_below"))
    rest = site.builder.fresh(f"{name}_rest")
    site.add(g.ActivationNode(rest, below, g.Function.RELU))
    scaled = add_affine(site, rest, step.slope, 0.0, site.builder.fresh(f"{name}_slope"))
    return site.add(g.MergeNode(name, (y, scaled), g.MergeKind.SUBTRACT))


def _add_gate_above(site: Site, x: str, threshold: float, sign: float) -> str:
    """1 where sign x is above the threshold, else 0: from a sign, which counts 0 as above."""
    stem = site.builder.fresh(f"{x}_{'above' if sign > 0 else 'below'}")
    short = add_affine(site, x, -sign, threshold, f"{stem}_distance")
    signs = site.builder.fresh(f"{stem}_sign")
    site.add(g.ActivationNode(signs, short, g.Function.SIGN))
    return add_affine(site, signs, -0.5, 0.5, stem)


def add_threshold(site: Site, x: str, threshold: float, default: float, name: str) -> str:
    """x where it is above the threshold, else a number."""
    gate = _add_gate_above(site, x, threshold, 1.0)
    if not default:
        return site.add(g.MergeNode(name, (x, gate), g.MergeKind.MULTIPLY))
    above = site.builder.fresh(f"{name}_above")
    site.add(g.MergeNode(above, (x, gate), g.MergeKind.MULTIPLY))
    rest = add_affine(site, gate, -default, default, site.builder.fresh(f"{name}_rest"))
    return site.add(g.MergeNode(name, (above, rest), g.MergeKind.ADD))


def add_hard_shrink(site: Site, x: str, threshold: float, name: str) -> str:
    """x where its magnitude is above the threshold, else 0."""
    if threshold < 0:
        raise UnsupportedLayerError(f"its threshold is {threshold:g}")
    gates = [_add_gate_above(site, x, threshold, sign) for sign in (1.0, -1.0)]
    gate = site.add(g.MergeNode(site.builder.fresh(f"{name}_gate"), tuple(gates), g.MergeKind.ADD))
    return site.add(g.MergeNode(name, (x, gate), g.MergeKind.MULTIPLY))


def _hard_sigmoid(site: Site) -> tuple[float, float]:
    """The three slopes that go by this name."""
    if site.layer.kind.startswith("Q"):
        return QKERAS_HARD_SIGMOID
    return _KERAS3_HARD_SIGMOID if site.builder.keras_major >= 3 else _KERAS2_HARD_SIGMOID


def _add_gate(site: Site, x: str, of: str, gate: GraphFunction, name: str) -> str:
    """x times a function of another tensor."""
    gated = site.builder.fresh(f"{name}_gate")
    site.add(g.ActivationNode(gated, of, gate.function, gate.parameters))
    return site.add(g.MergeNode(name, (x, gated), g.MergeKind.MULTIPLY))


def add_gated_half(site: Site, x: str, axis: int, name: str) -> str:
    """The first half along an axis (counted without the batch), times a sigmoid of the second."""
    shape = site.shape(x)
    if shape[axis] % 2:
        raise UnsupportedLayerError(f"it halves an axis of {shape[axis]}")
    middle = shape[axis] // 2
    value, gate = (site.builder.fresh(f"{name}_{part}") for part in ("value", "half"))
    site.add(g.SliceNode(value, x, *bounds_along(shape, axis, 0, middle)))
    site.add(g.SliceNode(gate, x, *bounds_along(shape, axis, middle, shape[axis])))
    return _add_gate(site, value, gate, GraphFunction(g.Function.SIGMOID), name)


def add_soft_shrink(site: Site, x: str, threshold: float, name: str) -> str:
    """x moved towards zero by the threshold, and no further than zero."""
    if threshold < 0:
        raise UnsupportedLayerError(f"its threshold is {threshold:g}")
    near = add_clip(site, x, g.MergeKind.MAXIMUM, -threshold)
    near = add_clip(site, near, g.MergeKind.MINIMUM, threshold)
    return site.add(g.MergeNode(name, (x, near), g.MergeKind.SUBTRACT))


def add_scale(site: Site, x: str, factor: float, name: str) -> str:
    """A tensor times a number."""
    return add_affine(site, x, factor, 0.0, name)


def add_affine(site: Site, x: str, factor: float, shift: float, name: str) -> str:
    """A tensor times a number, plus a number."""
    return site.add(g.AffineNode(name, name, x, np.asarray([factor]), np.asarray([shift])))


def add_clip(site: Site, x: str, kind: g.MergeKind, bound: float, name: str | None = None) -> str:
    """The larger or smaller of a tensor and a constant."""
    value = per_sample(np.asarray(bound), len(site.shape(x)))
    constant = site.add(g.ConstantNode(site.builder.fresh(f"{x}_bound"), value))
    clip = site.builder.fresh(f"{x}_clip") if name is None else name
    return site.add(g.MergeNode(clip, (x, constant), kind))
