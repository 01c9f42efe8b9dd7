# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A drawing finished: quantizers joined with what makes their tensor, unread nodes dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import rewire_node
from edgeinfer.readers.multipliers import move_scales_up, on_grids
from edgeinfer.readers.onnx.drawing import Drawing
from quantization.fixed import Quantizer
from quantization.recipe import Recipe


def finish_drawing(
    d: Drawing, name: str, outputs: tuple[str, ...], names: tuple[str, ...]
) -> tuple[g.Graph, Recipe, tuple[str, ...]]:
    """The Graph and the Recipe that a drawing holds, and all findings.

    names: what the file calls the outputs.
    """
    nodes, weights, findings = _read(d.nodes, outputs), dict(d.weights), list(d.findings)
    if d.quantized:
        if not d.stepwise:
            nodes = move_scales_up(nodes, {*outputs, *d.activations})
        nodes, formats, errors = on_grids(nodes, exact=d.stepwise)
        weights |= formats
        findings += errors
    nodes, activations = _join_quantizers(nodes, d.activations, outputs)
    renamed = _names(d, outputs, names)
    nodes = [_rename_node(rewire_node(node, renamed), renamed) for node in nodes]
    activations = {renamed.get(key, key): value for key, value in activations.items()}
    outputs = tuple(renamed.get(tensor, tensor) for tensor in outputs)
    graph = g.Graph(name, tuple(nodes), outputs)
    keys = {key for node in graph.nodes for key in g.weights_of(node)}
    recipe = Recipe.of(
        {key: value for key, value in activations.items() if key in graph.shapes},
        {key: value for key, value in weights.items() if key in keys},
    )
    return graph, recipe, tuple(dict.fromkeys(findings))


def _names(d: Drawing, outputs: tuple[str, ...], names: tuple[str, ...]) -> dict[str, str]:
    """New names, so that outputs bear those that the file gives them."""
    renamed: dict[str, str] = {}
    for tensor, name in zip(outputs, names, strict=True):
        if tensor == name or name in renamed.values():
            continue
        if name in d.nodes:
            if name in outputs or isinstance(d.nodes[name], g.InputNode):
                continue
            renamed[name] = d.fresh(f"{name}_inner")
        renamed[tensor] = name
    return renamed


def _rename_node(node: g.Node, renamed: Mapping[str, str]) -> g.Node:
    return replace(node, name=renamed[node.name]) if node.name in renamed else node


def _read(nodes: Mapping[str, g.Node], outputs: tuple[str, ...]) -> list[g.Node]:
    """The nodes on which an output depends, and the inputs."""
    needed = set(outputs)
    kept: list[g.Node] = []
    for node in reversed(list(nodes.values())):
        if node.name in needed or isinstance(node, g.InputNode):
            needed.update(g.inputs_of(node))
            kept.append(node)
    return kept[::-1]


def _join_quantizers(
    nodes: list[g.Node], quantizers: Mapping[str, Quantizer], outputs: tuple[str, ...]
) -> tuple[list[g.Node], dict[str, Quantizer]]:
    """A quantizer alone becomes the format of the node before it, where nothing else reads that."""
    readers = Counter(x for node in nodes for x in g.inputs_of(node))
    activations, renamed = dict(quantizers), dict[str, str]()
    nodes_by_name: dict[str, g.Node] = {}
    for node in nodes:
        current = rewire_node(node, renamed)
        maker = (
            nodes_by_name[g.inputs_of(current)[0]]
            if _only_quantizes(current, activations)
            else None
        )
        joins = (
            maker is not None
            and _computes(maker)
            and maker.name not in activations
            and maker.name not in outputs
            and readers[maker.name] == 1
        )
        if maker is None or not joins or (node.name in outputs and isinstance(maker, g.InputNode)):
            nodes_by_name[current.name] = current
        elif node.name in outputs:  # an output keeps its name
            del nodes_by_name[maker.name]
            nodes_by_name[node.name] = replace(maker, name=node.name)
        else:
            activations[maker.name] = activations.pop(node.name)
            readers[maker.name] = readers[node.name]
            renamed[node.name] = maker.name
    return list(nodes_by_name.values()), activations


def _only_quantizes(node: g.Node, activations: Mapping[str, Quantizer]) -> bool:
    linear = isinstance(node, g.ActivationNode) and node.function is g.Function.LINEAR
    return linear and node.name in activations


def _computes(node: g.Node) -> bool:
    """Whether a node makes new numbers, whose format is then its own."""
    kinds = (
        g.InputNode
        | g.ConvNode
        | g.DenseNode
        | g.BatchNormNode
        | g.AffineNode
        | g.ActivationNode
        | g.PReluNode
        | g.SoftmaxNode
        | g.MergeNode
    )
    return isinstance(node, kinds) or (
        isinstance(node, g.PoolNode) and node.kind is not g.PoolNodeKind.MAX
    )
