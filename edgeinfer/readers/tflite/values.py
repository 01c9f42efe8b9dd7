# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Graph while a file is drawn, and what a tensor of the file is in it.

A tensor of 8-bit integers is drawn as steps: stored integer minus zero point, which is the real
value in units of the tensor's scale. So the padding of a convolution is zero, as in every Graph,
and the Graph without its roundings is the network of real numbers that the file stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.names import free_name
from edgeinfer.graph import nodes as g
from quantization.fixed import Ints, Quantizer, fixed_of_range
from quantization.recipe import WeightFormat

ZERO = np.zeros((), np.int64)
Reals = NDArray[np.float32]


class UnreadableOperatorError(ValueError):
    """Why an operator cannot be read."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Integers counted from the zero point: the Graph's tensor, its bounds, its scale."""

    tensor: str
    shape: g.Shape  # as in the file, with the batch
    low: int
    high: int
    scale: np.float32
    zero: int


@dataclass(frozen=True, slots=True)
class Entering:
    """Real numbers that nothing has rounded yet."""

    tensor: str
    shape: g.Shape  # as in the file, with the batch
    whole: bool = False  # they are stored integers that no scale turns into others


@dataclass(frozen=True, slots=True)
class Leaving:
    """Steps on their way out as real numbers, perhaps through a softmax; nothing computes with
    them."""

    steps: Steps
    softmax: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class TabledReals:
    """Real numbers, each of which depends on one integer: one for each of its steps from the least
    one."""

    steps: Steps
    reals: Reals


@dataclass(frozen=True, slots=True)
class StoredTruth:
    """What a comparison says: 1 or 0."""

    tensor: str
    shape: g.Shape  # as in the file, with the batch

    @property
    def steps(self) -> Steps:
        """The same as whole numbers."""
        return Steps(self.tensor, self.shape, 0, 1, np.float32(1.0), 0)


Value = Steps | Entering | Leaving | TabledReals | StoredTruth


def inner(shape: g.Shape) -> g.Shape:
    """A shape of the file in the Graph: without the batch of one."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def clean(name: str) -> str:
    """A file's name for a tensor without what paths and recipes cannot bear."""
    plain = name.removeprefix("serving_default_").partition(";")[0]
    plain = re.sub(r":0$", "", plain)
    plain = re.sub(r"[^\w.]+", "_", plain, flags=re.ASCII).strip("_.")
    return plain if plain and not plain.isdigit() else f"tensor_{plain}".rstrip("_")


@dataclass(slots=True)
class StepDrawing:
    """Nodes, formats and findings collected so far."""

    nodes: dict[str, g.Node] = field(default_factory=dict)
    shapes: dict[str, g.Shape] = field(default_factory=dict)
    activations: dict[str, Quantizer] = field(default_factory=dict)
    weights: dict[str, WeightFormat] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def add(self, node: g.Node, quantizer: Quantizer | None = None) -> str:
        """Append a node, and how its tensor is rounded; the tensor's name."""
        try:
            self.shapes[node.name] = g.shape_of(node, self.shapes)
        except ValueError as error:
            raise UnreadableOperatorError(str(error)) from None
        self.nodes[node.name] = node
        if quantizer is not None:
            self.activations[node.name] = quantizer
        return node.name

    def fresh(self, name: str) -> str:
        """A name like this one that is still free."""
        return free_name(name, self.nodes)

    def hold(self, key: str, raw: Ints, frac: int = 0) -> g.Floats:
        """Give a weight the format that holds these integers 2^-frac; what they stand for."""
        low, high = int(raw.min(initial=0)), int(raw.max(initial=0))
        self.weights[key] = WeightFormat.of(Quantizer(fixed_of_range(low, high, frac)))
        return np.ldexp(raw.astype(np.float64), -frac)

    def affine(
        self,
        name: str,
        x: str,
        factor: Ints,
        frac: int,
        quantizer: Quantizer | None = None,
        shift: Ints = ZERO,
        shift_frac: int = 0,
        real: g.Floats | None = None,
    ) -> str:
        """Append x factor 2^-frac + shift 2^-shift_frac, and how it is rounded. `real` are the
        numbers that the factors round, for the float network."""
        scale = self.hold(f"{name}/scale", factor, frac)
        if real is not None:
            scale = np.where(factor == 0, 0.0, real)
        offset = self.hold(f"{name}/shift", shift, shift_frac)
        return self.add(g.AffineNode(name, name, x, scale, offset), quantizer)

    def reshape(self, name: str, x: str, shape: g.Shape) -> str:
        """The tensor in another shape; itself where it has that shape."""
        if self.shapes[x] == shape:
            return x
        return self.add(g.ReshapeNode(self.fresh(name), x, shape))

    def clip(self, name: str, x: str, low: int | None, high: int | None) -> str:
        """Append limits; None leaves a side open."""
        if low == 0:
            x = self.add(g.ActivationNode(self.fresh(f"{name}_low"), x, g.Function.RELU))
        elif low is not None:
            x = self._limit(f"{name}_low", x, low, g.MergeKind.MAXIMUM)
        if high is not None:
            x = self._limit(f"{name}_high", x, high, g.MergeKind.MINIMUM)
        return x

    def _limit(self, name: str, x: str, limit: int, kind: g.MergeKind) -> str:
        bound = self.constant(f"{name}_limit", np.asarray(limit, np.int64))
        return self.add(g.MergeNode(self.fresh(name), (x, bound), kind))

    def constant(self, name: str, raw: Ints) -> str:
        """Append whole numbers that depend on no input."""
        name = self.fresh(name)
        return self.add(g.ConstantNode(name, self.hold(f"{name}/value", raw)))
