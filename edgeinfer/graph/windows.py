# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where a window over spatial axes stands: how far it reaches, how many places it has."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.moves import Pads, Shape

MOST_ELEMENTS = 1 << 25  # of one tensor of one sample: every stage holds some copies of it


def count_windows(sizes: Shape, window: Shape, strides: Shape, pads: Pads) -> Shape:
    """How many positions a (dilated) window takes along each axis."""
    padded = [size + sum(pad) for size, pad in zip(sizes, pads, strict=True)]
    if math.prod(padded) > MOST_ELEMENTS:
        raise ValueError(f"padding of {pads} makes {math.prod(padded):,} elements of {sizes}")
    axes = zip(sizes, window, strides, pads, strict=True)
    counts_of_windows = tuple(
        (size + sum(pad) - width) // step + 1 for size, width, step, pad in axes
    )
    if any(count < 1 for count in counts_of_windows):
        raise ValueError(f"a window of {window} does not fit into {sizes} padded by {pads}")
    return counts_of_windows


def count_elements(sizes: Shape, window: Shape, strides: Shape, pads: Pads) -> NDArray[np.int64]:
    """How many elements, without padding, lie under a window at each of its places."""
    along = []
    for size, width, step, (before, after) in zip(sizes, window, strides, pads, strict=True):
        starts = np.arange(0, size + before + after - width + 1, step) - before
        along.append(np.minimum(starts + width, size) - np.maximum(starts, 0))
    return reduce(np.multiply.outer, along)


def dilate_window(window: Shape, dilation: Shape) -> Shape:
    """How far a window with holes reaches along each axis."""
    return tuple((width - 1) * step + 1 for width, step in zip(window, dilation, strict=True))


def same_pads(sizes: Shape, window: Shape, strides: Shape, dilation: Shape) -> Pads:
    """TensorFlow's 'same' padding: ceil(input / stride) outputs, more padding after than before."""
    pads: list[tuple[int, int]] = []
    for size, reach, step in zip(sizes, dilate_window(window, dilation), strides, strict=True):
        total = max((-(-size // step) - 1) * step + reach - size, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)
