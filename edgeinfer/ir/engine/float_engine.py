# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The float network in ONNX Runtime: what calibration looks at and quantization is judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, UsageError, did_you_mean
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_functions import apply_function
from edgeinfer.ir.engine.float_indexing import choose_elements
from edgeinfer.ir.engine.moving import move_elements
from edgeinfer.ir.engine.onnx_builder import (
    OnnxBuilder,
    available_threads,
    open_session,
    samples_at_once,
)
from edgeinfer.ir.engine.values import CarriedTensor, Carrier, axis_in, lay_out, parameter
from edgeinfer.ir.engine.window import onnx_pads, rows

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FLOAT = Carrier.FLOAT32
HIDDEN = -1e9  # what a softmax sees where a mask is zero: nothing beside any other number


@dataclass(frozen=True, slots=True)
class _CompiledNetwork:
    session: InferenceSession
    inputs: tuple[tuple[str, str], ...]  # Graph's name, ONNX name
    outputs: tuple[tuple[str, str], ...]


class FloatEngine:
    """Runs a Graph in float32. Another set of taps is compiled when first asked for."""

    def __init__(self, graph: g.Graph, *, threads: int | None = None) -> None:
        self.graph = graph
        self.threads = threads or available_threads()
        self.batch = samples_at_once(max(math.prod(shape) for shape in graph.shapes.values()))
        self._compiled: dict[tuple[str, ...], _CompiledNetwork] = {}
        self._still = _without_inputs(graph)

    def run(
        self, inputs: Mapping[str, NDArray[Any]], taps: Sequence[str] = ()
    ) -> dict[str, NDArray[np.float32]]:
        """The outputs for a batch, and every tensor named in `taps`, by node."""
        for tap in taps:
            if tap not in self.graph.shapes:
                raise UsageError(
                    f"{self.graph.name} has no tensor {tap!r} to tap.",
                    hint=did_you_mean(tap, self.graph.shapes),
                )
        samples = self._checked(inputs)
        tensor_names = tuple(sorted({*self.graph.outputs, *taps}))
        if tensor_names not in self._compiled:
            self._compiled[tensor_names] = _compile_graph(
                self.graph, self._still, tensor_names, self.threads
            )
        compiled = self._compiled[tensor_names]
        values_by_name: dict[str, NDArray[np.float32]] = {
            name: np.empty((samples, *self.graph.shapes[name]), np.float32) for name in tensor_names
        }
        tensors = sorted({tensor for _, tensor in compiled.outputs})
        for start in range(0, samples, self.batch):
            part = slice(start, start + self.batch)
            feeds = {
                tensor: np.asarray(inputs[name][part], dtype=np.float32)
                for name, tensor in compiled.inputs
            }
            results = dict(zip(tensors, compiled.session.run(tensors, feeds), strict=True))
            for name, tensor in compiled.outputs:
                values_by_name[name][part] = results[tensor]
        return values_by_name

    def _checked(self, inputs: Mapping[str, NDArray[Any]]) -> int:
        """The number of samples of inputs that fit the Graph."""
        shapes = {node.name: node.shape for node in self.graph.inputs}
        if set(inputs) != set(shapes):
            raise InputError(
                f"{self.graph.name} reads the inputs {', '.join(sorted(shapes))}, "
                f"but {', '.join(sorted(inputs)) or 'nothing'} was given."
            )
        for name, shape in shapes.items():
            if np.shape(inputs[name])[1:] != shape:
                raise InputError(
                    f"The input {name} has shape {np.shape(inputs[name])}, not (batch, *{shape})."
                )
        counts = {len(values) for values in inputs.values()}
        if len(counts) != 1:
            raise InputError("The inputs differ in their number of samples.")
        return counts.pop()


def _without_inputs(graph: g.Graph) -> frozenset[str]:
    """Tensors that are the same for every sample."""
    still: set[str] = set()
    for node in graph.nodes:
        if not isinstance(node, g.InputNode) and still.issuperset(g.inputs_of(node)):
            still.add(node.name)
    return frozenset(still)


def _compile_graph(
    graph: g.Graph, still: frozenset[str], tensor_names: Sequence[str], threads: int
) -> _CompiledNetwork:
    needed = set(tensor_names)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(g.inputs_of(node))
    walk = _Walk(graph.shapes, still)
    fed: list[tuple[str, str]] = []
    for node in graph.nodes:
        if node.name not in needed:
            continue
        if isinstance(node, g.InputNode):
            fed.append((node.name, walk.builder.input(np.dtype(np.float32), node.shape)))
            walk.values[node.name] = CarriedTensor(fed[-1][1], FLOAT, node.shape)
        else:
            walk.values[node.name] = walk.emit_op(node)
    outputs = tuple(
        (name, walk.builder.result(walk.shaped(name, False).tensor)) for name in tensor_names
    )
    model = walk.builder.model(sorted({tensor for _, tensor in outputs}))
    blocks = any(isinstance(n, g.ConvNode) and graph.shapes[n.x][-1] > 1 for n in graph.nodes)
    session = open_session(model, threads, exact=False, channel_blocks=blocks)
    return _CompiledNetwork(session, tuple(fed), outputs)


@dataclass(slots=True)
class _Walk:
    shapes: Mapping[str, g.Shape]
    still: frozenset[str]
    builder: OnnxBuilder = field(default_factory=OnnxBuilder)
    values: dict[str, CarriedTensor] = field(default_factory=dict)

    def shaped(self, name: str, first: bool | None = None) -> CarriedTensor:
        """A tensor under its own shape; in the layout it has unless another is asked for."""
        x, shape = self.values[name], self.shapes[name]
        keeps = x.first and x.layout == shape
        return lay_out(self.builder, x, shape, keeps if first is None else first)

    def emit_op(self, node: g.Node) -> CarriedTensor:
        """Nodes for one node of the Graph."""
        builder, shape = self.builder, self.shapes[node.name]
        match node:
            case g.InputNode() | g.ConstantNode():
                assert isinstance(node, g.ConstantNode)
                return CarriedTensor(builder.constant(node.value[None], np.float32), FLOAT, shape)
            case g.ConvNode():
                return self._conv(node, shape)
            case g.DenseNode():
                return self._dense(node, shape)
            case g.BatchNormNode():
                return self._affine(node.x, node.scale, node.shift, shape)
            case g.AffineNode():
                return self._affine(node.x, node.scale, node.shift, shape)
            case g.ActivationNode():
                x = self.values[node.x]
                tensor = apply_function(builder, node.function, node.parameters, x.tensor)
                return replace(x, tensor=tensor)
            case g.PReluNode():
                x = self._wide(node.x, shape)
                slope = builder.node("Mul", x.tensor, parameter(builder, node.slope, x))
                zero = builder.constant(0.0, np.float32)
                positive = builder.node("GreaterOrEqual", x.tensor, zero)
                tensor = builder.node("Where", positive, x.tensor, slope)
                return replace(x, tensor=tensor, layout=shape)
            case g.SoftmaxNode(mask=str() as mask):
                x = self.shaped(node.x, False)
                kept = self._wide(mask, shape)
                kept = lay_out(builder, kept, kept.layout, False)
                zero = builder.constant(0.0, np.float32)
                hidden = builder.constant(HIDDEN, np.float32)
                is_shown = builder.node("Greater", kept.tensor, zero)
                masked = builder.node("Where", is_shown, x.tensor, hidden)
                axis = node.axis % len(shape) + 1
                return replace(x, tensor=builder.node("Softmax", masked, axis=axis))
            case g.SoftmaxNode():
                x = self.shaped(node.x)
                axis = axis_in(shape, x.first, node.axis % len(shape))
                return replace(x, tensor=builder.node("Softmax", x.tensor, axis=axis))
            case g.PoolNode():
                return self._pool(node, shape)
            case g.ReshapeNode():
                return self.values[node.x]
            case g.MoveNode():
                fill = np.asarray(node.fill, np.float32)
                return move_elements(builder, node, self.values[node.x], self.shapes[node.x], fill)
            case g.MergeNode():
                return self._merged(node, shape)
            case g.ConcatNode():
                return self._concatenated(node, shape)
            case g.ScanNode():
                return self._scanned(node, shape)
            case g.IndexingNode():
                tensors = [self.shaped(x, False).tensor for x in node.reads]
                shapes = [self.shapes[x] for x in node.reads]
                return CarriedTensor(choose_elements(builder, node, tensors, shapes), FLOAT, shape)
            case _:
                assert_never(node)

    def _wide(self, name: str, shape: g.Shape) -> CarriedTensor:
        """A tensor with as many axes as a shape that it is to be broadcast to."""
        missing = len(shape) - len(self.shapes[name])
        if not missing:
            return self.shaped(name)
        return lay_out(self.builder, self.values[name], (1,) * missing + self.shapes[name], False)

    def _affine(
        self, name: str, scale: NDArray[np.float64], shift: NDArray[np.float64], shape: g.Shape
    ) -> CarriedTensor:
        x = self._wide(name, shape)
        like = replace(x, layout=shape)
        scaled = self.builder.node("Mul", x.tensor, parameter(self.builder, scale, like))
        moved = self.builder.node("Add", scaled, parameter(self.builder, shift, like))
        return replace(like, tensor=moved)

    def _conv(self, node: g.ConvNode, shape: g.Shape) -> CarriedTensor:
        rank = len(node.strides)
        kernel = np.moveaxis(node.kernel, (-1, -2), (0, 1))
        weights = [self.builder.constant(kernel, np.float32)]
        if node.bias is not None:
            weights.append(self.builder.constant(node.bias, np.float32))
        tensor = self.builder.node(
            "Conv",
            self.shaped(node.x, True).tensor,
            *weights,
            kernel_shape=list(node.kernel.shape[:rank]),
            strides=list(node.strides),
            pads=onnx_pads(node.pads),
            dilations=list(node.dilation),
            group=node.groups,
        )
        return CarriedTensor(tensor, FLOAT, shape, True)

    def _dense(self, node: g.DenseNode, shape: g.Shape) -> CarriedTensor:
        builder, x = self.builder, self.values[node.x]
        bias = np.zeros(shape[-1]) if node.bias is None else node.bias
        if len(shape) == 1:
            flat, kernel = rows(builder, x, node.kernel)
            weights = builder.constant(kernel, np.float32), builder.constant(bias, np.float32)
            return CarriedTensor(builder.node("Gemm", flat, *weights), FLOAT, shape)
        x = self.shaped(node.x, False)
        product = builder.node("MatMul", x.tensor, builder.constant(node.kernel, np.float32))
        return CarriedTensor(
            builder.node("Add", product, builder.constant(bias, np.float32)), FLOAT, shape
        )

    def _pool(self, node: g.PoolNode, shape: g.Shape) -> CarriedTensor:
        attributes: dict[str, Any] = {
            "kernel_shape": list(node.window),
            "strides": list(node.strides),
            "pads": onnx_pads(node.pads),
        }
        x = self.shaped(node.x, True)
        match node.kind:
            case g.PoolNodeKind.MAX:
                tensor = self.builder.node("MaxPool", x.tensor, **attributes)
            case g.PoolNodeKind.AVERAGE:
                attributes["count_include_pad"] = int(node.count_pads)
                tensor = self.builder.node("AveragePool", x.tensor, **attributes)
            case g.PoolNodeKind.SUM:
                ones = np.ones((x.layout[-1], 1, *node.window), np.float32)
                weights = self.builder.constant(ones)
                tensor = self.builder.node(
                    "Conv", x.tensor, weights, group=x.layout[-1], **attributes
                )
            case _:
                assert_never(node.kind)
        return CarriedTensor(tensor, FLOAT, shape, True)

    def _merged(self, node: g.MergeNode, shape: g.Shape) -> CarriedTensor:
        parts = [self._wide(x, shape) for x in node.xs]
        first = any(part.first for part in parts)
        parts = [lay_out(self.builder, part, part.layout, first) for part in parts]
        kinds = {
            g.MergeKind.ADD: "Add",
            g.MergeKind.SUBTRACT: "Sub",
            g.MergeKind.MULTIPLY: "Mul",
            g.MergeKind.AVERAGE: "Add",
            g.MergeKind.MAXIMUM: "Max",
            g.MergeKind.MINIMUM: "Min",
        }
        tensors = [part.tensor for part in parts]
        tensor = reduce(lambda a, b: self.builder.node(kinds[node.kind], a, b), tensors)
        if node.kind is g.MergeKind.AVERAGE:
            count = self.builder.constant(len(tensors), np.float32)
            tensor = self.builder.node("Div", tensor, count)
        return CarriedTensor(tensor, FLOAT, shape, first)

    def _concatenated(self, node: g.ConcatNode, shape: g.Shape) -> CarriedTensor:
        moving = [x for x in node.xs if x not in self.still]
        first = len(shape) > 1 and any(self.shaped(x).first for x in node.xs)
        tensors = []
        for x in node.xs:
            part = self.shaped(x, first).tensor
            if x in self.still and moving:
                like = self.values[moving[0]].tensor
                part = self.builder.each_sample(part, like, len(shape))
            tensors.append(part)
        axis = axis_in(shape, first, node.axis % len(shape))
        return CarriedTensor(self.builder.node("Concat", *tensors, axis=axis), FLOAT, shape, first)

    def _scanned(self, node: g.ScanNode, shape: g.Shape) -> CarriedTensor:
        builder, body = self.builder, node.body
        inner = _Walk(body.shapes, _without_inputs(body), builder.body())
        for port in (*node.states, *node.slices):
            tensor = inner.builder.input(np.dtype(np.float32), port.shape)
            inner.values[port.name] = CarriedTensor(tensor, FLOAT, port.shape)
        for each in body.nodes:
            if not isinstance(each, g.InputNode):
                inner.values[each.name] = inner.emit_op(each)
        moving = [x for x in g.inputs_of(node) if x not in self.still]
        reads = {
            x: self.sampled(x, moving[0]) if moving else self.shaped(x, False).tensor
            for x in g.inputs_of(node)
        }
        y, *after = (inner.sampled(name, node.slices[0].name) for name in body.outputs)
        xs, starts = [reads[x] for x in node.xs], [reads[x] for x in node.starts]
        tensor = builder.scan(inner.builder, starts, xs, after, y, stacked=node.stacked)
        return CarriedTensor(tensor, FLOAT, shape)

    def sampled(self, name: str, like: str) -> str:
        """A tensor under its own shape, once for each sample of another."""
        tensor = self.shaped(name, False).tensor
        if name not in self.still:
            return tensor
        return self.builder.each_sample(tensor, self.values[like].tensor, len(self.shapes[name]))
