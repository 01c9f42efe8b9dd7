# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Products along named axes (EinsumDense, einsum) as a dense layer between two changes of shape."""

from __future__ import annotations

import string
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgeinfer.graph.nodes import DenseNode, Floats, ReshapeNode, TransposeNode
from edgeinfer.readers.keras import activations
from edgeinfer.readers.keras.arguments import check_axis_of_bias
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError


@dataclass(frozen=True, slots=True)
class Equation:
    """Names of the axes of a tensor, a kernel and the result, without the batch."""

    x: str
    kernel: str
    y: str

    @property
    def summed(self) -> str:
        """Axes over which products are added."""
        return "".join(axis for axis in self.kernel if axis in self.x)

    @property
    def new(self) -> str:
        """Axes that come from the kernel."""
        return "".join(axis for axis in self.kernel if axis not in self.x)


def parse_equation(text: Any, rank: int, kernel_rank: int) -> Equation:
    """An equation such as '...x,xy->...y'; Unsupported where it is no dense layer over some axes.

    rank: that of the tensor, with the batch.
    """
    compact = text.replace(" ", "") if isinstance(text, str) else ""
    parts = compact.replace("->", ",").split(",")
    if compact.count("->") != 1 or compact.count(",") != 1 or len(parts) != 3:
        raise UnsupportedLayerError(f"its equation is {text!r}; 'tensor,kernel->result' is read")
    spare = [c for c in string.ascii_letters if c not in compact]
    open_ = rank - len(parts[0].replace("...", ""))
    dots = "".join(spare[: max(open_, 0)])
    x, kernel, y = (part.replace("...", dots) for part in parts)
    if "..." in parts[1] or len(x) != rank or len(kernel) != kernel_rank:
        raise UnsupportedLayerError(f"its equation {text!r} does not fit {rank} axes")
    if any(len(set(each)) != len(each) or not each.isalpha() for each in (x, kernel, y)):
        raise UnsupportedLayerError(f"its equation {text!r} does not name each axis by a letter")
    if y[:1] != x[0] or x[0] in kernel:
        raise UnsupportedLayerError(f"its equation {text!r} works along the batch")
    equation_read = Equation(x[1:], kernel, y[1:])
    rest = "".join(axis for axis in equation_read.x if axis not in kernel)
    if sorted(equation_read.y) != sorted(rest + equation_read.new) or not equation_read.summed:
        raise UnsupportedLayerError(
            f"its equation {text!r} is no dense layer over some axes: each axis of the kernel must "
            "be either summed over or new"
        )
    return equation_read


def add_einsum(
    site: Site, x: str, equation: Equation, kernel: Floats, bias: Floats | None, name: str
) -> str:
    """Append transpose, reshape, dense, reshape and transpose, as far as each is needed.

    bias: one number for each of the new axes' elements.
    """
    sizes = dict(zip(equation.x, site.shape(x), strict=True))
    added = dict(zip(equation.kernel, kernel.shape, strict=True))
    if any(sizes[axis] != added[axis] for axis in equation.summed):
        raise UnsupportedLayerError(f"its kernel of {kernel.shape} does not fit {site.shape(x)}")
    summed, new = equation.summed, equation.new
    rest = "".join(axis for axis in equation.x if axis not in summed)
    order = tuple(equation.x.index(axis) for axis in rest + summed)
    matrix = kernel.transpose([equation.kernel.index(axis) for axis in summed + new])
    depth = prod(sizes[axis] for axis in summed)
    matrix = np.ascontiguousarray(matrix).reshape(depth, -1)
    if order != tuple(range(len(order))):
        x = site.add(TransposeNode(site.name("axes"), x, order))
    if len(summed) > 1:
        x = site.add(ReshapeNode(site.name("rows"), x, (*(sizes[a] for a in rest), depth)))
    last = tuple((rest + new).index(axis) for axis in equation.y)
    turns, splits = last != tuple(range(len(last))), len(new) != 1
    dense = site.name("product") if turns or splits else name
    x = site.add(DenseNode(dense, site.layer.path, x, matrix, bias))
    if splits:
        shape = (*(sizes[axis] for axis in rest), *(added[axis] for axis in new))
        x = site.add(ReshapeNode(site.name("parts") if turns else name, x, shape))
    return site.add(TransposeNode(name, x, last)) if turns else x


def einsum_dense_layer(site: Site) -> str:
    """EinsumDense whose bias, if any, runs over new axes only."""
    fields = site.fields
    step = activations.parse_activation(site, fields.get("activation"))
    weights = site.weight("kernel").astype(np.float64)
    text = fields.text("equation")
    equation = parse_equation(text, len(site.shape(site.x)) + 1, weights.ndim)
    axes = fields.get("bias_axes")
    bias, stored = None, np.zeros(1)
    if axes is not None:
        new = dict(zip(equation.kernel, weights.shape, strict=True))
        if not isinstance(axes, str) or not set(axes) <= set(equation.new):
            raise UnsupportedLayerError(f"its bias_axes {axes!r} are not among the kernel's new")
        inside = [axis for axis in equation.y if axis in axes]
        stored = site.weight("bias").astype(np.float64)
        kept = stored.reshape([new[axis] for axis in inside])
        order = [inside.index(axis) for axis in equation.new if axis in axes]
        spread = kept.transpose(order).reshape(
            [new[axis] if axis in axes else 1 for axis in equation.new]
        )
        bias = np.broadcast_to(spread, [new[axis] for axis in equation.new]).reshape(-1)
    y = add_einsum(site, site.x, equation, weights, bias, site.name())
    if bias is not None and site.builder.keras_major >= 3:
        check_axis_of_bias(site.shape(y), stored)
    return activations.fuse_activation(site, y, step)
