# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whether a file treats each sample for itself: it is computed for two of them together, and for
each alone. A file that is read for one sample could mix them without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.readers.onnx.fold import compute_operator, refuse_large
from edgeinfer.readers.onnx.ops import OnnxOp, OnnxSource, UnreadableModelError
from edgeinfer.readers.onnx.recurrent import GATES

Arrays = dict[str, NDArray[Any]]


def do_samples_mix(source: OnnxSource, pair: Arrays, batch_axis: int) -> bool:
    """Whether one of two samples changes what the other gives; an UnreadableModelError where the
    file cannot be computed. `pair`: an input for two samples each."""
    together = _compute_graph(source, pair)
    alone = [
        _compute_graph(
            source, {name: array.take([place], batch_axis) for name, array in pair.items()}
        )
        for place in range(2)
    ]
    return any(
        not _is_joined(both, first, second)
        for both, first, second in zip(together, *alone, strict=True)
    )


def _is_joined(both: NDArray[Any], first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether an array is two others, one behind the other along the axis in which it is longer."""
    if not both.ndim == first.ndim == second.ndim:
        return False
    longer = [axis for axis in range(both.ndim) if (both.shape[axis], first.shape[axis]) == (2, 1)]
    if len(longer) != 1:
        return False
    joined = np.concatenate([first, second], longer[0])
    return both.shape == joined.shape and np.allclose(both, joined, rtol=1e-3, atol=1e-5)


def _compute_graph(source: OnnxSource, inputs: Arrays) -> list[NDArray[Any]]:
    """The outputs of a whole file on arrays, with a stand-in for recurrent operators."""
    values = source.constants | inputs
    for op in source.ops:
        arrays = [values[name] if name else None for name in op.inputs]
        refuse_large(op, [array for array in arrays if array is not None])
        if op.kind in GATES:
            results = _sum_steps(op, arrays)
        else:
            made = [name for name in op.outputs if name]
            results = dict(zip(made, compute_operator(op, arrays), strict=True))
        values |= results
    return [values[name] for name in source.outputs]


def _sum_steps(op: OnnxOp, arrays: list[NDArray[Any] | None]) -> Arrays:
    """What depends on all steps of a sample and on no other sample, as the outputs Y, Y_h and Y_c
    of a recurrent operator do. ONNX's reference code knows one direction only."""
    x, weights, recurrent = arrays[:3]
    if x is None or weights is None or recurrent is None or x.ndim != 3 or recurrent.ndim != 3:
        raise UnreadableModelError("its inputs do not fit together")
    first = op.whole("layout", 0) == 1
    sums = np.cumsum(x.swapaxes(0, 1) if first else x, 0).sum(-1)  # (steps, samples)
    factors = np.linspace(0.5, 1.5, weights.shape[0] * recurrent.shape[-1])
    factors = factors.reshape(1, weights.shape[0], 1, recurrent.shape[-1])
    whole = np.sin(sums[:, np.newaxis, :, np.newaxis] * factors).astype(x.dtype)
    last = whole[-1]
    if first:  # samples are in front, directions last but one
        whole, last = whole.transpose(2, 0, 1, 3), last.swapaxes(0, 1)
    return {
        name: array for name, array in zip(op.outputs, (whole, last, last), strict=False) if name
    }
