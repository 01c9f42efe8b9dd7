# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""HGQ2's quantizers as its files hold them: options in the architecture, widths among the weights.

What counts are the stored widths, which training has changed, rounded to whole numbers (halves to
even). Weights are rounded in float32, operation by operation, as HGQ2 does it.
"""

from __future__ import annotations

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import Shape
from edgeinfer.readers.keras import formats
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.element_formats import ElementFormats, round_elements
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.hgq_variables import (
    KINDS,
    QuantizerOptions,
    entries_of,
    parse_quantizer,
)
from quantization.fixed import Overflow, Rounding

F32 = NDArray[np.float32]
MOST_BITS = 62  # of one element, and before or behind the point


def read_formats(
    site: Site, place: str, shape: Shape, *, batch: bool
) -> tuple[QuantizerOptions, ElementFormats] | None:
    """A quantizer of the layer with its widths, for a tensor or weights of a shape; None where it
    changes nothing.

    batch: whether the stored arrays have an axis for the samples.
    """
    entry = entries_of(site.layer).get(place)
    options = None if entry is None else parse_quantizer(entry)
    if options is None:
        return None
    group = f"{place}/quantizer".removeprefix("/")
    signed = site.integers(f"{group}/k")
    names = KINDS[options.kind]
    first, second = (np.rint(site.weight(f"{group}/{name}")) for name in names)
    if not (signed.shape == first.shape == second.shape) or (signed > 1).any():
        raise UnsupportedLayerError(f"the variables of its {group} do not fit each other")
    if max(np.abs(first).max(initial=0), np.abs(second).max(initial=0)) > MOST_BITS:
        raise UnsupportedLayerError(
            f"its {group} has formats of more than {MOST_BITS} bits; HGQ2's own limits are below"
        )
    a, b = first.astype(np.int64), second.astype(np.int64)
    integer, frac = (b, a - b) if options.kind == "kbi" else (a, b)
    if batch:
        if signed.shape[:1] != (1,):
            raise UnsupportedLayerError(f"its {group} has a format for each sample")
        signed, integer, frac = signed[0], integer[0], frac[0]
    if signed.ndim != len(shape) or any(
        size not in (1, whole) for size, whole in zip(signed.shape, shape, strict=True)
    ):
        raise UnsupportedLayerError(
            f"its {group} has formats for {signed.shape} elements, not for {shape}"
        )
    return options, ElementFormats(signed, integer, frac, options.rounding, options.overflow)


def round_tensor(site: Site, x: str, place: str, name: str) -> str:
    """The tensor behind a quantizer of the layer; itself where the layer has none there."""
    element_formats = read_formats(site, place, site.shape(x), batch=True)
    return x if element_formats is None else round_elements(site, x, element_formats[1], name)


def round_weights(site: Site, place: str, values: F32) -> F32:
    """Weights behind a quantizer of the layer; Unsupported where no grid here holds them all."""
    if place not in entries_of(site.layer):
        raise UnsupportedLayerError(f"its architecture does not describe its quantizer {place}")
    element_formats = read_formats(site, place, values.shape, batch=False)
    if element_formats is None:
        return values
    rounded = _round_float32(values, *element_formats)
    if formats.narrowest(rounded.astype(np.float64)) is None:
        raise UnsupportedLayerError(
            f"its {place} has weights whose smallest and largest bits are too far apart; at most "
            f"{formats.MAX_BITS} bits in all are held"
        )
    return rounded


def _round_float32(values: F32, options: QuantizerOptions, own: ElementFormats) -> F32:
    """What HGQ2 makes of weights."""
    one, two = np.float32(1), np.float32(2)
    k, f = own.signed.astype(np.float32), own.frac.astype(np.float32)
    i = np.maximum(own.integer, -own.frac).astype(np.float32)
    step, top = two**-f, two**i
    x = values.astype(np.float32)
    if options.overflow in (Overflow.SAT, Overflow.SAT_SYM):
        least = -top * k if options.overflow is Overflow.SAT else -(top - step) * k
        x = np.clip(x, least, top - step)
    x = _round(x * two**f, options.rounding) * step
    if options.overflow is Overflow.WRAP and not options.rounds_only:
        half = k * two ** (i + k - one)
        x = np.mod(x + half, two ** (i + k)) - half
    elif options.overflow is Overflow.SAT_ZERO:
        raise UnsupportedLayerError("its quantizer overflows by SAT_ZERO")
    result: F32 = x if options.rounds_only else np.where(own.live, x, np.float32(0))
    return result


def _round(x: F32, rounding: Rounding) -> F32:
    half = np.float32(0.5)
    rounded: F32
    match rounding:
        case Rounding.TRN:
            rounded = np.floor(x)
        case Rounding.RND:
            rounded = np.floor(x + half)
        case Rounding.RND_CONV:
            rounded = np.rint(x)
        case Rounding.TRN_ZERO:
            rounded = np.trunc(x)
        case Rounding.RND_MIN_INF:
            rounded = np.ceil(x - half)
        case Rounding.RND_INF:
            rounded = np.sign(x) * np.floor(np.abs(x) + half)
        case Rounding.RND_ZERO:
            rounded = np.sign(x) * np.ceil(np.abs(x) - half)
        case _:
            assert_never(rounding)
    return rounded
