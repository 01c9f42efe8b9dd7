# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""TimeDistributed: a layer or a model that is called on each step of a series."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.graph.nodes import ConcatNode, ReshapeNode, SliceNode
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError

MOST_STEPS = 128
ALIKE_AT_EACH_STEP = frozenset(  # what these do to a step does not depend on where it stands
    {
        *("Dense", "QDense", "Activation", "QActivation", "ReLU", "LeakyReLU", "ELU"),
        *("Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout", "Identity"),
    }
)


def cut_into_steps(site: Site) -> tuple[str, ...]:
    """Each step as a tensor of its own, without the axis of time."""
    steps, *rest = site.shape(site.x)
    if not rest or steps > MOST_STEPS:
        raise UnsupportedLayerError(
            f"it works on {steps} steps of {tuple(rest)}; up to {MOST_STEPS} are read"
        )
    found: list[str] = []
    for step in range(steps):
        starts, stops, ones = (step, *(0 for _ in rest)), (step + 1, *rest), (1, *(1 for _ in rest))
        cut = site.add(SliceNode(site.name(f"at{step + 1}"), site.x, starts, stops, ones))
        found.append(site.add(ReshapeNode(site.name(f"input{step + 1}"), cut, tuple(rest))))
    return tuple(found)


def join_steps(site: Site, steps: Sequence[str]) -> str:
    """The series of what was made of each step."""
    rows = [
        site.add(ReshapeNode(site.name(f"row{number}"), x, (1, *site.shape(x))))
        for number, x in enumerate(steps, start=1)
    ]
    return site.add(ConcatNode(site.name(), tuple(rows), 0)) if len(rows) > 1 else rows[0]
