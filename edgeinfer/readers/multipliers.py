# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Affine nodes of a quantized file: as few as possible, then on fixed-point grids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import replace

from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import rewire_node
from edgeinfer.readers.grids import fixed_bias, fixed_multiplier
from quantization.recipe import WeightFormat

_HOMOGENEOUS = (g.Function.RELU, g.Function.LEAKY_RELU)


def move_scales_up(nodes: list[g.Node], fixed: Container[str]) -> list[g.Node]:
    """A scale moves up past rectifiers and maxima into the Affine node before them.

    fixed: tensors that must stay what they are (quantized ones and outputs).
    """
    readers = Counter(x for node in nodes for x in g.inputs_of(node))
    moved_nodes: dict[str, g.Node] = {}
    renamed: dict[str, str] = {}
    for node in nodes:
        current = rewire_node(node, renamed)
        if isinstance(current, g.AffineNode) and current.name not in fixed:
            target = _target(current, moved_nodes, readers, fixed)
            if target is not None:
                moved_nodes[target.name] = replace(
                    target,
                    scale=target.scale * current.scale,
                    shift=target.shift * current.scale + current.shift,
                )
                renamed[node.name] = current.x
                readers[current.x] = readers[node.name]
                continue
        moved_nodes[current.name] = current
    return list(moved_nodes.values())


def _target(
    node: g.AffineNode,
    moved_nodes: Mapping[str, g.Node],
    readers: Mapping[str, int],
    fixed: Container[str],
) -> g.AffineNode | None:
    """The Affine node that can take over what this one does."""
    before, between = moved_nodes[node.x], 0
    while not isinstance(before, g.AffineNode):
        passes = (isinstance(before, g.ActivationNode) and before.function in _HOMOGENEOUS) or (
            isinstance(before, g.PoolNode) and before.kind is g.PoolNodeKind.MAX
        )
        if not passes or readers[before.name] != 1 or before.name in fixed:
            return None
        before, between = moved_nodes[g.inputs_of(before)[0]], between + 1
    if readers[before.name] != 1 or before.name in fixed:
        return None
    if between and (_bulky(node.scale) or (node.scale <= 0).any() or (node.shift != 0).any()):
        return None
    return before


def _bulky(values: g.Floats) -> bool:
    return any(size != 1 for size in values.shape[:-1])


def on_grids(
    nodes: list[g.Node], *, exact: bool
) -> tuple[list[g.Node], dict[str, WeightFormat], list[str]]:
    """Affine nodes with fixed-point numbers, the numbers' formats, and their errors."""
    done: list[g.Node] = []
    formats: dict[str, WeightFormat] = {}
    findings: list[str] = []
    for node in nodes:
        if not isinstance(node, g.AffineNode):
            done.append(node)
            continue
        scale = fixed_multiplier(node.scale, exact=exact)
        shift = fixed_bias(node.shift, exact=exact)
        done.append(replace(node, scale=scale.values, shift=shift.values))
        formats[f"{node.layer}/scale"] = scale.format
        formats[f"{node.layer}/shift"] = shift.format
        for what, fixed in (("multiplier", scale), ("addend", shift)):
            if fixed.error:
                findings.append(
                    f"{node.name}: its {what} is held in {fixed.format.bits} bits, "
                    f"with a relative error of at most {fixed.error:.1e}."
                )
    return done, formats, findings
