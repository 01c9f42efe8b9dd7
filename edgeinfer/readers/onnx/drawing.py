# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Graph while it is drawn: nodes, formats and findings collected so far."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from edgeinfer.base.names import free_name
from edgeinfer.graph.nodes import Node, ReshapeNode, Shape, TransposeNode, shape_of
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from quantization.fixed import Quantizer
from quantization.recipe import WeightFormat


@dataclass(slots=True)
class Drawing:
    """Nodes, formats and findings collected so far."""

    batch: int  # the batch size in shapes of the file
    quantized: bool  # the file states number formats
    before_softmax: frozenset[str] = frozenset()  # the file's tensors that only softmaxes read
    stepwise: bool = False  # each multiplier and move of the file stands where it is applied
    nodes: dict[str, Node] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    activations: dict[str, Quantizer] = field(default_factory=dict)
    weights: dict[str, WeightFormat] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    masks: dict[str, str] = field(default_factory=dict)  # of tensors, for the softmax behind them
    arranged: dict[tuple[str, tuple[int, ...], Shape], str] = field(default_factory=dict)

    def add(self, node: Node) -> str:
        """Append a node; its tensor's name."""
        try:
            self.shapes[node.name] = shape_of(node, self.shapes)
        except ValueError as error:
            raise UnreadableModelError(str(error)) from None
        self.nodes[node.name] = node
        return node.name

    def fresh(self, name: str) -> str:
        """A name like this one that is still free."""
        return free_name(name, self.nodes)

    def named(self, op: OnnxOp) -> str:
        """A free name for what an operator makes."""
        return self.fresh(clean(op.name or op.outputs[0], op.kind))


def clean(name: str, kind: str) -> str:
    """A file's name without what paths and recipes cannot bear."""
    plain = re.sub(r"[^\w.]+", "_", name, flags=re.ASCII).strip("_.")
    return plain if plain and not plain.isdigit() else f"{kind.lower()}_{plain}".rstrip("_")


def arranged_tensor(d: Drawing, tensor: str, order: tuple[int, ...], target: Shape) -> str:
    """The tensor transposed (where that moves anything) and reshaped (where that changes it)."""
    key = (tensor, order, target)
    if key in d.arranged:
        return d.arranged[key]
    shape = d.shapes[tensor]
    moving = [axis for axis in order if shape[axis] > 1]
    result = tensor
    if moving != sorted(moving):
        result = d.add(TransposeNode(d.fresh(f"{tensor}_transpose"), result, order))
    if d.shapes[result] != target:
        result = d.add(ReshapeNode(d.fresh(f"{tensor}_reshape"), result, target))
    d.arranged[key] = result
    return result
