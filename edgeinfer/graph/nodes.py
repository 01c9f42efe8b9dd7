# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Graph: a float network as its author drew it, channels last, nodes in topological order.

Shapes leave out the batch dimension. A node makes one tensor, which bears the node's name. Weights
are float arrays; nodes that share a layer share its name in `layer`, so that one recipe entry
serves both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import ModelError
from edgeinfer.graph import indexing, moves
from edgeinfer.graph.functions import Function as Function
from edgeinfer.graph.indexing import IndexedNode as IndexedNode
from edgeinfer.graph.indexing import IndexingNode as IndexingNode
from edgeinfer.graph.indexing import LookNode as LookNode
from edgeinfer.graph.indexing import RankNode as RankNode
from edgeinfer.graph.indexing import ScatterNode as ScatterNode
from edgeinfer.graph.indexing import SitesNode as SitesNode
from edgeinfer.graph.moves import FlipNode as FlipNode
from edgeinfer.graph.moves import MoveNode as MoveNode
from edgeinfer.graph.moves import PadNode as PadNode
from edgeinfer.graph.moves import ReshapeNode as ReshapeNode
from edgeinfer.graph.moves import SliceNode as SliceNode
from edgeinfer.graph.moves import TransposeNode as TransposeNode
from edgeinfer.graph.moves import UpsampleNode as UpsampleNode
from edgeinfer.graph.windows import MOST_ELEMENTS, count_windows, dilate_window

MOST_ELEMENTS_IN_ALL = 1 << 28  # of all tensors of one sample: the interpreter holds them all

Floats = NDArray[np.float64]
Shape = moves.Shape
Pads = moves.Pads


class PoolNodeKind(StrEnum):
    """What a pooling window yields."""

    MAX = "max"
    AVERAGE = "average"  # over the elements inside the tensor, padding not counted
    SUM = "sum"  # padding counts as zero


class MergeKind(StrEnum):
    """Element-wise operations on two or more tensors of one shape (broadcasting allowed)."""

    ADD = "add"
    SUBTRACT = "subtract"
    MULTIPLY = "multiply"
    AVERAGE = "average"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"


@dataclass(frozen=True, slots=True, eq=False)
class InputNode:
    """A network input. `output_before`: the output of the sample before that it is, where it is a
    state which goes from sample to sample."""

    name: str
    shape: Shape
    output_before: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ConstantNode:
    """A tensor that does not depend on any input."""

    name: str
    value: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ConvNode:
    """Cross-correlation over one or two spatial axes; depthwise is groups == channels.

    kernel: (*window, channels in / groups, channels out); bias: (channels out,).
    """

    name: str
    layer: str
    x: str
    kernel: Floats
    bias: Floats | None
    strides: Shape
    pads: Pads
    dilation: Shape
    groups: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class DenseNode:
    """x @ kernel + bias over the last axis; kernel: (in, out)."""

    name: str
    layer: str
    x: str
    kernel: Floats
    bias: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class BatchNormNode:
    """gamma (x - mean) / sqrt(variance + epsilon) + beta, over the last axis."""

    name: str
    layer: str
    x: str
    gamma: Floats
    beta: Floats
    mean: Floats
    variance: Floats
    epsilon: float

    @property
    def scale(self) -> Floats:
        """The factor of x."""
        return self.gamma / np.sqrt(self.variance + self.epsilon)

    @property
    def shift(self) -> Floats:
        """What is added to scale x."""
        return self.beta - self.mean * self.scale


@dataclass(frozen=True, slots=True, eq=False)
class AffineNode:
    """scale x + shift with constants that broadcast against x (quantizer scales, ONNX Mul/Add)."""

    name: str
    layer: str
    x: str
    scale: Floats
    shift: Floats


@dataclass(frozen=True, slots=True, eq=False)
class ActivationNode:
    """An element-wise function of one tensor."""

    name: str
    x: str
    function: Function
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PReluNode:
    """x where x >= 0, else slope x; slope broadcasts against x."""

    name: str
    layer: str
    x: str
    slope: Floats


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxNode:
    """exp(x) / sum exp(x) over one axis (counted without the batch).

    mask: a tensor that broadcasts against x. Where it is not above zero, x counts nothing; where
    that is so all along the axis, all elements count alike.
    """

    name: str
    x: str
    axis: int = -1
    mask: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PoolNode:
    """Pooling over one or two spatial axes; global pooling is a window of the whole tensor.

    count_pads: whether an average divides by the whole window where it hangs over the edge.
    """

    name: str
    x: str
    kind: PoolNodeKind
    window: Shape
    strides: Shape
    pads: Pads
    count_pads: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class MergeNode:
    """Element-wise combination of two or more tensors."""

    name: str
    xs: tuple[str, ...]
    kind: MergeKind


@dataclass(frozen=True, slots=True, eq=False)
class ConcatNode:
    """Tensors side by side along one axis (counted without the batch)."""

    name: str
    xs: tuple[str, ...]
    axis: int = -1


@dataclass(frozen=True, slots=True, eq=False)
class ScanNode:
    """A recurrence: the body runs once for each entry along the first axis of the sequences.

    The body's inputs are one entry of each sequence, then the states; its outputs are what a step
    yields, then the states that the next step reads. `starts` are the states of the first step.
    The tensor holds what all steps yield along a new first axis, or what the last one yields.
    The names inside a body are unlike those around it, so that a recipe can tell them apart.
    """

    name: str
    xs: tuple[str, ...]
    starts: tuple[str, ...]
    body: Graph
    stacked: bool

    @property
    def slices(self) -> tuple[InputNode, ...]:
        """The body's inputs that hold an entry of a sequence."""
        return self.body.inputs[: len(self.xs)]

    @property
    def states(self) -> tuple[InputNode, ...]:
        """The body's inputs that hold a state."""
        return self.body.inputs[len(self.xs) :]


Node = (
    InputNode
    | ConstantNode
    | ConvNode
    | DenseNode
    | BatchNormNode
    | AffineNode
    | ActivationNode
    | PReluNode
    | SoftmaxNode
    | PoolNode
    | MoveNode
    | MergeNode
    | ConcatNode
    | ScanNode
    | IndexingNode
)


def inputs_of(node: Node) -> tuple[str, ...]:
    """Names of the tensors that a node reads."""
    match node:
        case InputNode() | ConstantNode():
            return ()
        case MergeNode(xs=xs) | ConcatNode(xs=xs):
            return xs
        case ScanNode():
            return (*node.xs, *node.starts)
        case IndexingNode():
            return node.reads
        case SoftmaxNode(mask=str() as mask):
            return (node.x, mask)
        case _:  # the type checker sees that every other node has one `x`
            return (node.x,)


def weights_of(node: Node) -> dict[str, Floats]:
    """A node's parameters by recipe key, ``<layer>/<parameter>``."""
    match node:
        case ConvNode() | DenseNode():
            weights = {f"{node.layer}/kernel": node.kernel}
            return weights if node.bias is None else weights | {f"{node.layer}/bias": node.bias}
        case BatchNormNode():
            return {f"{node.layer}/scale": node.scale, f"{node.layer}/shift": node.shift}
        case AffineNode():
            return {f"{node.layer}/scale": node.scale, f"{node.layer}/shift": node.shift}
        case PReluNode():
            return {f"{node.layer}/slope": node.slope}
        case ConstantNode():
            return {f"{node.name}/value": node.value}
        case ScanNode():
            return dict(node.body.weights())
        case (
            InputNode() | ActivationNode() | SoftmaxNode() | PoolNode() | MergeNode() | ConcatNode()
        ):
            return {}
        case MoveNode() | IndexingNode():
            return {}
        case _:
            assert_never(node)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes in an order in which every tensor is made before it is read."""

    name: str
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, Shape] = field(init=False)

    def __post_init__(self) -> None:
        shapes: dict[str, Shape] = {}
        total = 0
        for node in self.nodes:
            if node.name in shapes:
                raise ModelError(f"{self.name}: two tensors are called {node.name!r}.")
            missing = [x for x in inputs_of(node) if x not in shapes]
            if missing:
                raise ModelError(
                    f"{self.name}: {node.name!r} reads {missing[0]!r} before it is made."
                )
            try:
                shapes[node.name] = shape_of(node, shapes)
            except ValueError as error:
                raise ModelError(f"{self.name}: layer {node.name!r}: {error}.") from None
            size = math.prod(shapes[node.name])
            total += size
            if size > MOST_ELEMENTS or total > MOST_ELEMENTS_IN_ALL:
                raise ModelError(
                    f"{self.name}: {node.name!r} has {size:,} elements, and all tensors so far "
                    f"{total:,}; at most {MOST_ELEMENTS:,} and {MOST_ELEMENTS_IN_ALL:,} can be "
                    f"computed.",
                    hint="Make the input smaller, or divide the network.",
                )
        lost = [name for name in self.outputs if name not in shapes]
        if lost or not self.outputs:
            raise ModelError(f"{self.name}: no node makes the output {lost[0] if lost else ''!r}.")
        object.__setattr__(self, "shapes", shapes)

    @property
    def inputs(self) -> tuple[InputNode, ...]:
        """The input nodes, in order."""
        return tuple(node for node in self.nodes if isinstance(node, InputNode))

    @property
    def states(self) -> dict[str, str]:
        """Inputs that go from sample to sample, and the outputs that become them."""
        kept = ((node.name, node.output_before) for node in self.inputs)
        return {name: output for name, output in kept if output is not None}

    def node(self, name: str) -> Node:
        """The node that makes a tensor."""
        return next(node for node in self.nodes if node.name == name)

    def weights(self) -> Iterator[tuple[str, Floats]]:
        """Every parameter once, shared ones too, by recipe key."""
        keys: set[str] = set()
        for node in self.nodes:
            for key, value in weights_of(node).items():
                if key not in keys:
                    keys.add(key)
                    yield key, value

    @property
    def parameters(self) -> int:
        """Number of weights, shared ones counted once; zeros, or the end of a clip, are none."""
        values = [
            v for k, v in self.weights() if not k.endswith("/value") or (v.size > 1 and v.any())
        ]
        return sum(value.size for value in values)

    def all_nodes(self) -> Iterator[Node]:
        """Every node, and after a recurrence those of its body."""
        for node in self.nodes:
            yield node
            if isinstance(node, ScanNode):
                yield from node.body.all_nodes()


def shape_of(node: Node, shapes: dict[str, Shape]) -> Shape:
    """The shape of a node's tensor; ValueError where the node does not fit its inputs."""
    match node:
        case InputNode():
            if any(size <= 0 for size in node.shape):
                raise ValueError(f"the shape {node.shape} has a size below 1")
            return node.shape
        case ConstantNode():
            return node.value.shape
        case ConvNode():
            return _conv_shape(node, shapes[node.x])
        case DenseNode():
            x = shapes[node.x]
            if not x or x[-1] != node.kernel.shape[0]:
                raise ValueError(f"a kernel of {node.kernel.shape} does not fit a tensor of {x}")
            return (*x[:-1], node.kernel.shape[1])
        case BatchNormNode():
            np.broadcast_shapes(shapes[node.x][-1:], node.scale.shape)
            return shapes[node.x]
        case AffineNode():
            return np.broadcast_shapes(shapes[node.x], node.scale.shape, node.shift.shape)
        case PReluNode():
            return np.broadcast_shapes(shapes[node.x], node.slope.shape)
        case ActivationNode():
            return shapes[node.x]
        case SoftmaxNode():
            x = shapes[node.x]
            if node.mask is not None and np.broadcast_shapes(x, shapes[node.mask]) != x:
                raise ValueError(f"a mask of {shapes[node.mask]} does not fit {x}")
            return x
        case PoolNode():
            x = shapes[node.x]
            spatial = count_windows(x[:-1], node.window, node.strides, node.pads)
            return (*spatial, x[-1])
        case MoveNode():
            return node.shape_of(shapes[node.x])
        case MergeNode():
            return np.broadcast_shapes(*(shapes[x] for x in node.xs))
        case ConcatNode():
            parts = [shapes[x] for x in node.xs]
            axis = node.axis % len(parts[0])
            if len({(p[:axis], p[axis + 1 :]) for p in parts}) != 1:
                raise ValueError(f"{parts} cannot be joined along axis {node.axis}")
            joined = sum(p[axis] for p in parts)
            return (*parts[0][:axis], joined, *parts[0][axis + 1 :])
        case ScanNode():
            return _scan_shape(node, shapes)
        case IndexingNode():
            return node.shape_of(*(shapes[x] for x in node.reads))
        case _:
            assert_never(node)


def _scan_shape(node: ScanNode, shapes: dict[str, Shape]) -> Shape:
    body, yielded = node.body, node.body.shapes[node.body.outputs[0]]
    steps = {shapes[x][0] for x in node.xs if shapes[x]}
    if len(steps) != 1 or len(body.inputs) != len(node.xs) + len(node.starts):
        raise ValueError(f"a body of {len(body.inputs)} inputs does not fit {inputs_of(node)}")
    for x, one in zip(node.xs, node.slices, strict=True):
        if shapes[x][1:] != one.shape:
            raise ValueError(f"a step of {one.shape} does not fit a sequence of {shapes[x]}")
    for start, state, after in zip(node.starts, node.states, body.outputs[1:], strict=True):
        if {shapes[start], body.shapes[after]} != {state.shape}:
            raise ValueError(
                f"a state of {state.shape} starts as {shapes[start]} and becomes "
                f"{body.shapes[after]}"
            )
    return (*steps, *yielded) if node.stacked else yielded


def _conv_shape(node: ConvNode, x: Shape) -> Shape:
    rank = len(node.strides)
    if node.kernel.ndim != rank + 2 or len(x) != rank + 1:
        raise ValueError(f"a kernel of {node.kernel.shape} does not fit a tensor of {x}")
    if x[-1] != node.kernel.shape[-2] * node.groups or node.kernel.shape[-1] % node.groups:
        raise ValueError(
            f"a kernel of {node.kernel.shape} in {node.groups} groups does not fit {x[-1]} channels"
        )
    reach = dilate_window(node.kernel.shape[:rank], node.dilation)
    return (*count_windows(x[:-1], reach, node.strides, node.pads), node.kernel.shape[-1])


def whole_inputs(graph: Graph) -> dict[str, tuple[int, int]]:
    """Inputs that are read as indices or masks, and the whole numbers that each must hold."""
    nodes = {node.name: node for node in graph.nodes}
    ranges: dict[str, tuple[int, int]] = {}
    for node in graph.nodes:
        match node:
            case ScatterNode():
                waiting, (low, high) = [node.index], indexing.widest_index(node.count)
            case IndexedNode():
                low, high = indexing.widest_index(graph.shapes[node.x][0])
                waiting = [node.index]
            case SoftmaxNode(mask=str() as mask):
                waiting, low, high = [mask], 0, 1
            case _:  # no other node reads whole numbers
                continue
        while waiting:
            source = nodes[waiting.pop()]
            joins = isinstance(source, MergeNode) and source.kind is MergeKind.MULTIPLY
            masks = [x for x in inputs_of(source) if isinstance(nodes[x], ConstantNode)]
            if isinstance(source, MoveNode | ConcatNode) or (joins and masks):
                waiting += inputs_of(source)
            elif isinstance(source, InputNode):
                before = ranges.get(source.name, (low, high))
                ranges[source.name] = min(low, before[0]), max(high, before[1])
    return ranges


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference: those of convolutions and dense layers."""
    return sum(
        graph.shapes[node.xs[0]][0] * macs(node.body)
        if isinstance(node, ScanNode)
        else prod(graph.shapes[node.name][:-1]) * node.kernel.size
        for node in graph.nodes
        if isinstance(node, ConvNode | DenseNode | ScanNode)
    )
