# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a linear layer's kernel is multiplied with: its inputs as rows, and their second moments.

With G = E[x x'] the mean squared change of a layer's output under a change d of a kernel's column
is d' G d, exactly, so formats and roundings of weights are judged without running the layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.graph.windows import dilate_window
from edgeinfer.precision.ptq.shown import Places

Floats = NDArray[np.float64]

MOST_ROWS = 1 << 12
SPARSE = 0.1  # share of lit pixels below which an image is nearly empty
LARGE = 1e15  # squares of more would overflow a float32
WIDE_RANGE = 1e3  # peaks over means from which products are summed in float64
WIDEST = 4096  # inputs of one output up to which a full matrix of moments is kept


@dataclass(frozen=True, slots=True)
class Moments:
    """Means and second moments of what one group of a layer's kernel sees."""

    mean: Floats  # (inputs,)
    gram: Floats  # (inputs, inputs), or (inputs,) where only the diagonal is kept

    @property
    def diagonal(self) -> Floats:
        """Mean squares."""
        return self.gram if self.gram.ndim == 1 else np.diagonal(self.gram)

    def error(self, change: Floats) -> Floats:
        """Mean squared change of the outputs, for changes (inputs, outputs) of the weights."""
        if self.gram.ndim == 1:
            errors: Floats = self.gram @ change**2
            return errors
        return np.asarray(np.einsum("io,io->o", change, self.gram @ change))


def moments_of(
    node: g.ConvNode | g.DenseNode, x: NDArray[np.float32], lit: Places | None = None
) -> tuple[Moments, ...]:
    """Moments for each group (a dense layer is one group)."""
    rows = rows_of(node, x, lit)
    return tuple(_moments(rows[:, group]) for group in range(rows.shape[1]))


def means_of(
    node: g.ConvNode | g.DenseNode, x: NDArray[np.float32], lit: Places | None = None
) -> tuple[Floats, ...]:
    """The means alone."""
    means = rows_of(node, x, lit).mean(axis=0, dtype=np.float64)
    return tuple(means)


def _moments(rows: NDArray[np.float32]) -> Moments:
    mean = rows.mean(axis=0, dtype=np.float64)
    if rows.shape[1] > WIDEST:
        return Moments(mean, np.mean(np.square(rows, dtype=np.float64), axis=0))
    peak, usual = float(np.abs(rows).max(initial=0.0)), float(np.abs(mean).mean())
    if peak > WIDE_RANGE * usual or peak > LARGE:
        rows = rows.astype(np.float64)
    return Moments(mean, (rows.T @ rows).astype(np.float64) / len(rows))


def rows_of(
    node: g.ConvNode | g.DenseNode,
    x: NDArray[np.float32],
    lit: Places | None = None,
    most: int = MOST_ROWS,
) -> NDArray[np.float32]:
    """(rows, groups, inputs): what the layer sees at positions spread evenly over the samples, or
    over the places that are `lit`, where a mask shows no others."""
    match node:
        case g.DenseNode():
            flat = x.reshape(-1, x.shape[-1])
            return flat[_spread(lit, np.any(flat != 0, axis=1), most)][:, None]
        case g.ConvNode():
            return _windows(node, x, lit, most)


def group_kernel(node: g.ConvNode | g.DenseNode, kernel: Floats) -> Floats:
    """A kernel as (groups, inputs, outputs of a group), inputs in the order of `rows_of`."""
    groups = node.groups if isinstance(node, g.ConvNode) else 1
    flat = kernel.reshape(-1, groups, kernel.shape[-1] // groups)
    return np.moveaxis(flat, 1, 0)


def ungroup_kernel(node: g.ConvNode | g.DenseNode, parts: Floats) -> Floats:
    """The inverse of `group_kernel`."""
    return np.moveaxis(parts, 0, 1).reshape(node.kernel.shape)


def _spread(lit: Places | None, filled: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Rows evenly over those that are lit; where no mask says which, over all, or of images that
    are nearly empty over those that are filled."""
    if lit is None:
        chosen = filled if 0.0 < filled.mean() < SPARSE else np.ones(filled.size, np.bool_)
    else:
        chosen = lit.ravel() if lit.any() else np.ones(lit.size, np.bool_)
    rows = np.flatnonzero(chosen)
    kept = np.linspace(0, len(rows) - 1, min(len(rows), most))
    return np.asarray(rows[np.rint(kept).astype(np.int64)])


def _windows(
    node: g.ConvNode, x: NDArray[np.float32], lit: Places | None, most: int
) -> NDArray[np.float32]:
    rank = len(node.strides)
    window, channels = node.kernel.shape[:rank], x.shape[-1]
    padded = np.pad(x, ((0, 0), *node.pads, (0, 0)))
    reach = dilate_window(window, node.dilation)
    counts = [
        (size - width) // step + 1
        for size, width, step in zip(padded.shape[1:-1], reach, node.strides, strict=True)
    ]
    middle = tuple(
        slice(width // 2, width // 2 + count * step, step)
        for width, count, step in zip(reach, counts, node.strides, strict=True)
    )
    chosen = _spread(lit, padded[(slice(None), *middle)].any(axis=-1).ravel(), most)
    sample, *position = np.unravel_index(chosen, (len(x), *counts))
    taps = []
    for place in np.ndindex(*window):
        at = tuple(
            where * step + offset * hole
            for where, step, offset, hole in zip(
                position, node.strides, place, node.dilation, strict=True
            )
        )
        taps.append(padded[(sample, *at)])
    windows = np.stack(taps, axis=1).reshape(len(chosen), len(taps), node.groups, -1)
    return np.moveaxis(windows, 2, 1).reshape(
        len(chosen), node.groups, len(taps) * channels // node.groups
    )
