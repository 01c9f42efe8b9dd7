# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How much a network computes."""

from __future__ import annotations

from math import prod

from edgeinfer.graph.nodes import Conv, Dense, Graph


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference: those of convolutions and dense layers."""
    total = 0
    for node in graph.nodes:
        match node:
            case Conv():
                total += prod(graph.shapes[node.name][:-1]) * node.kernel.size
            case Dense():
                total += prod(graph.shapes[node.name][:-1]) * node.kernel.size
            case _:  # only convolutions and dense layers are counted
                pass
    return total
