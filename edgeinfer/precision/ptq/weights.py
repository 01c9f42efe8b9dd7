# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Formats of kernels, and kernels brought onto them, so that the layer's output changes least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq.rows import Moments, group_kernel, ungroup_kernel
from quantization.calibrate import DEEPEST, fit_quantizer
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding
from quantization.recipe import WeightFormat

Floats = NDArray[np.float64]

DAMPING = 0.01  # of the mean square, added to every input's: few samples must not be trusted fully


def kernel_format(
    node: g.ConvNode | g.DenseNode, moments: Sequence[Moments], bits: int, *, per_channel: bool
) -> WeightFormat:
    """The format of this width under which the layer's output changes least."""
    kernel = node.kernel.astype(np.float64)
    whole = fit_quantizer(kernel, bits, signed=True).type
    places = [whole.integer - depth for depth in range(DEEPEST + 1)]
    errors = np.stack([_errors(node, moments, Fixed(True, bits, place)) for place in places])
    if not per_channel or kernel.shape[-1] == 1:
        return WeightFormat.of(_at(bits, places[int(errors.sum(axis=1).argmin())]))
    best = errors.argmin(axis=0)
    silent = ~np.any(kernel.reshape(-1, kernel.shape[-1]), axis=0)
    best[silent] = 0
    return WeightFormat.of(*(_at(bits, places[place]) for place in best))


def _at(bits: int, integer: int) -> Quantizer:
    return Quantizer(Fixed(True, bits, integer), Rounding.RND_CONV, Overflow.SAT)


def _errors(node: g.ConvNode | g.DenseNode, moments: Sequence[Moments], type_: Fixed) -> Floats:
    """Mean squared change of each output channel under plain rounding."""
    kernel = group_kernel(node, node.kernel.astype(np.float64))
    rounded = nearest(kernel, np.full(kernel.shape[-1], type_.lsb), type_.raw_min, type_.raw_max)
    parts = [m.error(change) for m, change in zip(moments, rounded - kernel, strict=True)]
    return np.concatenate(parts)


def nearest(values: Floats, lsb: Floats, lowest: float, highest: float) -> Floats:
    """Values on grids of their own along the last axis, ties to even, saturated."""
    return np.asarray(np.clip(np.rint(values / lsb), lowest, highest) * lsb)


def plain(kernel: g.Floats, fmt: WeightFormat) -> Floats:
    """Every weight on the nearest place of its grid."""
    raw = fmt.raw(kernel)
    return np.asarray(np.ldexp(raw.astype(np.float64), -fmt.frac))


def round_with_compensation(
    node: g.ConvNode | g.DenseNode, moments: Sequence[Moments], fmt: WeightFormat
) -> Floats:
    """Weights on the grid one after the other, what rounding one did to the output being made good
    by those that follow. The nearest place is not always the best one."""
    modes = {(q.rounding, q.overflow) for q in fmt.quantizers}
    if modes != {(Rounding.RND_CONV, Overflow.SAT)} or any(m.gram.ndim == 1 for m in moments):
        return plain(node.kernel, fmt)
    kernel = group_kernel(node, node.kernel.astype(np.float64))
    channels = fmt.quantizers if fmt.per_channel else fmt.quantizers * node.kernel.shape[-1]
    lsb = np.array([q.type.lsb for q in channels]).reshape(len(kernel), -1)
    low = np.array([q.type.raw_min for q in channels], dtype=float).reshape(len(kernel), -1)
    high = np.array([q.type.raw_max for q in channels], dtype=float).reshape(len(kernel), -1)
    groups = [
        _compensate_group(part, m.gram, *limits)
        for part, m, *limits in zip(kernel, moments, lsb, low, high, strict=True)
    ]
    return ungroup_kernel(node, np.stack(groups))


def _compensate_group(
    kernel: Floats, gram: Floats, lsb: Floats, low: Floats, high: Floats
) -> Floats:
    """One group: inputs by falling mean square, each one's error pushed to those not yet rounded.

    With the inverse of the damped moments factored as U'U, row i of U holds how the best values of
    the later weights answer to a change of weight i.
    """
    diagonal = np.diagonal(gram)
    mean = float(diagonal.mean())
    if not mean > 0.0:
        return np.asarray(np.clip(np.rint(kernel / lsb), low, high) * lsb)
    order = np.argsort(-diagonal, kind="stable")
    damped = gram[np.ix_(order, order)] + DAMPING * mean * np.eye(len(gram))
    answer = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, rounded = kernel[order].copy(), np.empty_like(kernel)
    for i in range(len(left)):
        rounded[i] = np.clip(np.rint(left[i] / lsb), low, high) * lsb
        error = (left[i] - rounded[i]) / answer[i, i]
        left[i + 1 :] -= np.outer(answer[i, i + 1 :], error)
    placed = np.empty_like(rounded)
    placed[order] = rounded
    return placed


def bias_format(bias: g.Floats, frac: int, most_bits: int = 24) -> Quantizer:
    """The narrowest quantizer with `frac` fractional bits that holds the values, at most
    `most_bits` wide (then coarser)."""
    top = float(np.abs(bias).max(initial=0.0))
    if top:
        frac = min(frac, most_bits - int(np.frexp(top)[1]) - 1)
    raw = np.rint(np.ldexp(bias, frac))
    bits = int(max(np.abs(raw).max(initial=0.0), 1)).bit_length() + 1
    return Quantizer(Fixed(True, bits, bits - frac), Rounding.RND_CONV, Overflow.SAT)


def corrected_bias(
    node: g.ConvNode | g.DenseNode,
    kernel: Floats,
    exact: Sequence[Floats],
    quantized: Sequence[Floats],
) -> Floats:
    """The bias with which the mean of each output is what it was: `exact` are the means of the
    float inputs, `quantized` those of the rounded ones that `kernel` is applied to."""
    exact_kernel, actual = (
        group_kernel(node, node.kernel.astype(np.float64)),
        group_kernel(node, kernel),
    )
    moved = [
        e @ w - s @ k for e, s, w, k in zip(exact, quantized, exact_kernel, actual, strict=True)
    ]
    bias = np.zeros(node.kernel.shape[-1]) if node.bias is None else node.bias
    return np.asarray(bias + np.concatenate(moved))
