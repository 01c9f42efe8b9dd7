# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers that move elements about, and layers that combine tensors element by element."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.moves import bounds_along
from edgeinfer.readers.keras.builder import GraphBuilder, Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError, whole
from edgeinfer.readers.keras.linear import channels_first, move_channels_last

MERGES = {
    "Add": g.MergeKind.ADD,
    "Subtract": g.MergeKind.SUBTRACT,
    "Multiply": g.MergeKind.MULTIPLY,
    "Average": g.MergeKind.AVERAGE,
    "Maximum": g.MergeKind.MAXIMUM,
    "Minimum": g.MergeKind.MINIMUM,
}
MOST_STEPS = 128  # that become nodes one by one; of more, one is drawn and repeated
ALIKE_AT_EACH_STEP = frozenset(  # what these do to a step does not depend on where it stands
    {
        *("Dense", "QDense", "Activation", "QActivation", "ReLU", "LeakyReLU", "ELU"),
        *("Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout", "Identity"),
    }
)


def flatten_layer(site: Site) -> str:
    """Flatten; channels-first tensors are turned round first, as Keras does."""
    first = channels_first(site.fields) and len(site.shape(site.x)) > 1
    x = move_channels_last(site, site.x, first)
    return site.add(g.ReshapeNode(site.name(), x, (int(np.prod(site.shape(x), dtype=object)),)))


def reshape_layer(site: Site) -> str:
    """Reshape; one size may be -1."""
    target = site.fields.get("target_shape")
    if not isinstance(target, (list, tuple)):
        raise UnsupportedLayerError(f"its target_shape is {target!r}")
    sizes = [-1 if size is None else whole(size, "target_shape") for size in target]
    if sizes.count(-1) > 1 or any(size < -1 or size == 0 for size in sizes):
        raise UnsupportedLayerError(f"its target_shape is {target!r}")
    if -1 in sizes:
        stated_size = int(np.prod([size for size in sizes if size != -1], dtype=object))
        total = int(np.prod(site.shape(site.x), dtype=object))
        sizes[sizes.index(-1)] = max(total // stated_size, 1)
    return site.add(g.ReshapeNode(site.name(), site.x, tuple(sizes)))


def permute_layer(site: Site) -> str:
    """Permute; Keras counts the axes from 1."""
    dims = site.fields.get("dims")
    if not isinstance(dims, (list, tuple)):
        raise UnsupportedLayerError(f"its dims are {dims!r}")
    return site.add(g.TransposeNode(site.name(), site.x, tuple(whole(d, "dims") - 1 for d in dims)))


def repeat_layer(site: Site) -> str:
    """RepeatVector: the same vector at every step."""
    count = site.fields.integer("n")
    if len(site.shape(site.x)) != 1 or count < 1:
        raise UnsupportedLayerError(f"it repeats a tensor of {site.shape(site.x)} {count} times")
    row = site.add(g.ReshapeNode(site.name("row"), site.x, (1, *site.shape(site.x))))
    return site.add(g.UpsampleNode(site.name(), row, (count,)))


def _margins(fields: Fields, name: str, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) for each spatial axis, from any of the forms in which Keras keeps it."""
    value: Any = fields.get(name, 1)
    if not isinstance(value, (list, tuple)):
        value = [value] * rank
    elif rank == 1 and len(value) == 2 and not isinstance(value[0], (list, tuple)):
        value = [value]
    if len(value) != rank:
        raise UnsupportedLayerError(f"its {name} is {fields.get(name)!r}")
    pairs = [v if isinstance(v, (list, tuple)) else [v, v] for v in value]
    margins = tuple(tuple(whole(v, name) for v in pair) for pair in pairs)
    if any(len(pair) != 2 or min(pair) < 0 for pair in margins):
        raise UnsupportedLayerError(f"its {name} is {fields.get(name)!r}")
    return tuple((pair[0], pair[1]) for pair in margins)


def padding_layer(site: Site, rank: int) -> str:
    """ZeroPadding1D and ZeroPadding2D."""
    margins = _margins(site.fields, "padding", rank)
    pads = ((0, 0), *margins) if channels_first(site.fields) else (*margins, (0, 0))
    _check_rank(site, rank)
    return site.add(g.PadNode(site.name(), site.x, pads))


def cropping_layer(site: Site, rank: int) -> str:
    """Cropping1D and Cropping2D."""
    margins = _margins(site.fields, "cropping", rank)
    cuts = ((0, 0), *margins) if channels_first(site.fields) else (*margins, (0, 0))
    _check_rank(site, rank)
    shape = site.shape(site.x)
    starts = tuple(before for before, _ in cuts)
    stops = tuple(size - after for size, (_, after) in zip(shape, cuts, strict=True))
    if any(stop <= start for start, stop in zip(starts, stops, strict=True)):
        raise UnsupportedLayerError(f"it cuts all of a tensor of {shape} away")
    return site.add(g.SliceNode(site.name(), site.x, starts, stops, (1,) * len(shape)))


def _check_rank(site: Site, rank: int) -> None:
    shape = site.shape(site.x)
    if len(shape) != rank + 1:
        raise UnsupportedLayerError(
            f"it reads a tensor of {shape}, which does not have {rank + 1} axes"
        )


def merge_layer(site: Site, kind: g.MergeKind) -> str:
    """Add, Subtract, Multiply, Average, Maximum, Minimum."""
    xs = site.inputs
    if len(xs) < 2 or (kind is g.MergeKind.SUBTRACT and len(xs) != 2):
        raise UnsupportedLayerError(f"it combines {len(xs)} tensors")
    rank = max(len(site.shape(x)) for x in xs)
    wide = []
    for x in xs:  # Keras inserts axes behind the batch, broadcasting inserts them in front
        shape = site.shape(x)
        missing = (1,) * (rank - len(shape))
        wide.append(
            site.add(g.ReshapeNode(site.name("wide"), x, (*missing, *shape))) if missing else x
        )
    return site.add(g.MergeNode(site.name(), tuple(wide), kind))


def scaled_sum_layer(site: Site) -> str:
    """The sum of a tensor and a part of another, as InceptionResNetV2 of Keras has it."""
    xs = site.inputs
    if len(xs) != 2:
        raise UnsupportedLayerError(f"it combines {len(xs)} tensors")
    scale, name = site.fields.number("scale"), site.name("scale")
    layer = f"{site.layer.path}_scale"
    site.add(g.AffineNode(name, layer, xs[1], np.asarray([scale]), np.zeros(1)))
    return site.add(g.MergeNode(site.name(), (xs[0], name), g.MergeKind.ADD))


def concat_layer(site: Site) -> str:
    """Concatenate along any axis but the batch."""
    axis = site.fields.integer("axis", -1)
    xs = site.inputs
    rank = len(site.shape(xs[0])) + 1
    if not -rank < axis < rank or axis % rank == 0:
        raise UnsupportedLayerError(f"it joins along axis {axis} of tensors with {rank} axes")
    if len({len(site.shape(x)) for x in xs}) != 1:
        raise UnsupportedLayerError("it joins tensors with different numbers of axes")
    return site.add(g.ConcatNode(site.name(), xs, axis % rank - 1))


def cut_into_steps(site: Site) -> tuple[str, ...]:
    """Each step as a tensor of its own, without the axis of time."""
    steps, *rest = site.shape(site.x)
    if not rest:
        raise UnsupportedLayerError(f"its {steps} steps are single numbers; it works on tensors")
    step_inputs: list[str] = []
    for step in range(steps):
        bounds = bounds_along((steps, *rest), 0, step, step + 1)
        cut = site.add(g.SliceNode(site.name(f"at{step + 1}"), site.x, *bounds))
        step_inputs.append(site.add(g.ReshapeNode(site.name(f"input{step + 1}"), cut, tuple(rest))))
    return tuple(step_inputs)


def repeat_for_steps(
    site: Site, call: Callable[[GraphBuilder, str, str], str | None]
) -> str | None:
    """What is called on each of many steps, as a recurrence without a state."""
    shape = site.shape(site.x)
    body = site.builder.body()
    entry = body.add(g.InputNode(f"{site.stem}/step", shape[1:]))
    end = call(body, entry, f"{site.stem}/each")
    if end is None:
        return None
    graph = g.Graph(f"{site.stem}.body", tuple(body.nodes), (end,))
    return site.add(g.ScanNode(site.name(), (site.x,), (), graph, True))


def join_steps(site: Site, steps: Sequence[str]) -> str:
    """The series of what was made of each step."""
    rows = [
        site.add(g.ReshapeNode(site.name(f"row{number}"), x, (1, *site.shape(x))))
        for number, x in enumerate(steps, start=1)
    ]
    return site.add(g.ConcatNode(site.name(), tuple(rows), 0)) if len(rows) > 1 else rows[0]
