# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a reader hands back: the network, the number formats its file states, and what to know."""

from __future__ import annotations

from dataclasses import dataclass

from edgeinfer.graph.nodes import Graph
from quantization.recipe import Recipe


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model as its file describes it."""

    graph: Graph
    recipe: Recipe  # empty for float models
    findings: tuple[str, ...]  # sentences: what was rounded or left out, and by how much
