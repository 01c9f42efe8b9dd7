# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where ONNX Runtime's products of unsigned and signed bytes (`MatMulInteger`) are exact.

Processors with dot-product instructions add four products to 32 bits at once. Other x86 ones first
add the products of two neighbouring inputs in 16 bits, and saturate: 255 x 127 + 255 x 127 comes
out as 32,767. So either every pair of neighbours is proved to fit, which is right everywhere, or
the processor is asked, once a process, with the most extreme numbers.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.engine.onnx_builder import OnnxBuilder, open_session
from edgeinfer.ir.engine.values import Carrier

PAIR_LIMIT = (1 << 15) - 1  # of the sum of two neighbouring products
LARGEST_BYTE = 255
PLAIN_CPU = "EDGEINFER_PLAIN_CPU"  # set: take this processor for one without such instructions
HEAVY_WEIGHTS = 1 << 21  # beyond so many, looking for an order of channels takes too long
TRIES = 200
PROBES = ((1, 4, 16), (3, 64, 16), (16, 130, 24), (70, 768, 128))  # rows, inputs, outputs


def largest_operand(carrier: Carrier, top: int) -> int:
    """Largest byte that a kernel may see: it shifts signed ones to unsigned ones first."""
    return LARGEST_BYTE if carrier is Carrier.INT8 else max(top, 1)


def wide_pairs(weight: NDArray[np.integer], largest: int) -> NDArray[np.intp]:
    """Rows of (inputs, outputs) to take out so that no two neighbouring products leave 16 bits,
    for inputs of 0 to `largest`: the second row of each such pair."""
    rows = len(weight) // 2
    if not rows or 2 * largest * int(np.abs(weight.astype(np.int16)).max()) <= PAIR_LIMIT:
        return np.zeros(0, np.intp)
    first, second = weight[0 : 2 * rows : 2], weight[1 : 2 * rows : 2]
    beyond = _leave_16_bits(first.astype(np.int16), second.astype(np.int16), largest)
    return 2 * np.flatnonzero(beyond.any(axis=1)) + 1


def _leave_16_bits(
    first: NDArray[np.int16], second: NDArray[np.int16], largest: int
) -> NDArray[np.bool_]:
    """Whether two products may add up to more than 16 bits hold, either way."""
    most = PAIR_LIMIT // largest
    up = np.maximum(first, 0) + np.maximum(second, 0)
    down = np.minimum(first, 0) + np.minimum(second, 0)
    return (up > most) | (down < -most)


def safe_order(weights: NDArray[np.integer], largest: int) -> NDArray[np.intp] | None:
    """An order of the channels of (places, channels, outputs), an even number of them, in which
    every two neighbours are safe at all places; None where none is found."""
    _, channels, _ = weights.shape
    clash = _clashes(weights, largest)
    if clash is None:
        return None
    rng = np.random.default_rng(0)
    for _ in range(TRIES):
        left = list(rng.permutation(channels))
        order: list[int] = []
        while left:
            # The channel that gets on with the fewest others chooses first.
            one = max(left, key=lambda c: clash[c, left].sum())
            left.remove(one)
            other = next((c for c in left if not clash[one, c]), None)
            if other is None:
                break
            left.remove(other)
            order += [one, other]
        if len(order) == channels:
            return np.array(order, np.intp)
    return None


def _clashes(weights: NDArray[np.integer], largest: int) -> NDArray[np.bool_] | None:
    """Which channels must not be neighbours. One of two that clash has a heavy weight."""
    _, channels, _ = weights.shape
    heavy = np.argwhere(
        2 * largest * np.abs(weights.astype(np.int16)).astype(np.int32) > PAIR_LIMIT
    )
    if len(heavy) > HEAVY_WEIGHTS:
        return None
    clash = np.zeros((channels, channels), np.bool_)
    for start in range(0, len(heavy), 1 << 14):
        place, channel, output = heavy[start : start + (1 << 14)].T
        beside = weights[place, :, output].astype(np.int16)
        own = weights[place, channel, output].astype(np.int16)[:, None]
        at, other = np.nonzero(_leave_16_bits(own, beside, largest))
        clash[channel[at], other] = clash[other, channel[at]] = True
    np.fill_diagonal(clash, False)
    return clash


def bytes_saturate() -> bool:
    """Whether products of bytes may saturate on this processor, so that pairs need a proof."""
    return bool(os.environ.get(PLAIN_CPU)) or not extremes_are_exact()


@functools.cache
def extremes_are_exact() -> bool:
    """Whether the largest sums that bytes allow come out right, in matrices of several sizes."""
    for rows, inputs, outputs in PROBES:
        x = np.full((rows, inputs), LARGEST_BYTE, np.uint8)
        for extreme in (-128, 127):
            weight = np.full((inputs, outputs), extreme, np.int8)
            exact = inputs * LARGEST_BYTE * extreme
            for sums in (ByteMatrix(weight).multiply(x), multiply_bytes(x, weight)):
                if (sums != exact).any():
                    return False
    return True


class ByteMatrix:
    """Signed bytes that rows of unsigned bytes are multiplied with, on one thread."""

    def __init__(self, weight: NDArray[np.int8]) -> None:
        builder = OnnxBuilder()
        x = builder.input(np.dtype(np.uint8), weight.shape[:1])
        product = builder.node("MatMulInteger", x, builder.constant(weight))
        self._names = [product], x
        model = builder.model([product])
        self._session = open_session(model, 1, exact=True, channel_blocks=False)

    def multiply(self, x: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The products' sums in int32. They wrap around where they are too large for it."""
        names, name = self._names
        (sums,) = self._session.run(names, {name: x})
        return np.asarray(sums)


def multiply_bytes(x: NDArray[np.uint8], weight: NDArray[np.int8]) -> NDArray[np.int32]:
    """The same with weights that come with each call: measured, as fast from 200 rows on."""
    session, output, names = _open_product()
    (sums,) = session.run([output], dict(zip(names, (x, weight), strict=True)))
    return np.asarray(sums)


@functools.cache
def _open_product() -> tuple[Any, str, tuple[str, str]]:
    builder = OnnxBuilder()
    x = builder.input(np.dtype(np.uint8), ("inputs",))
    weight = builder.input(np.dtype(np.int8), ("outputs",), batch="inputs")
    product = builder.node("MatMulInteger", x, weight)
    model = builder.model([product])
    return open_session(model, 1, exact=True, channel_blocks=False), product, (x, weight)


def space_rows(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """Rows with a row of zeros behind each, so that each product stands alone."""
    alone = np.zeros((2 * len(weight), weight.shape[1]), np.int8)
    alone[::2] = weight
    return alone
