# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which function of ONNX a table holds: one whose every entry float32 and a rounding give alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.functions import evaluate
from edgeinfer.graph.nodes import Function
from edgeinfer.ir.ops import Table
from quantization.fixed import Overflow, Quantizer, Rounding, quantize
from quantization.ranges import Interval

CANDIDATES: tuple[tuple[Function, tuple[float, ...], str, dict[str, Any]], ...] = (
    (Function.SIGMOID, (), "Sigmoid", {}),
    (Function.TANH, (), "Tanh", {}),
    (Function.HARD_SIGMOID, (1 / 6, 0.5), "HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    (Function.HARD_SIGMOID, (0.2, 0.5), "HardSigmoid", {"alpha": 0.2, "beta": 0.5}),
    (Function.ELU, (1.0,), "Elu", {"alpha": 1.0}),
    (Function.SELU, (), "Selu", {}),
    (Function.SOFTPLUS, (), "Softplus", {}),
    (Function.SOFTSIGN, (), "Softsign", {}),
    (Function.EXPONENTIAL, (), "Exp", {}),
)
ROUNDINGS = (
    Rounding.RND_CONV,
    Rounding.TRN,
    Rounding.TRN_ZERO,
    Rounding.RND_INF,
    Rounding.RND_ZERO,
)


@dataclass(frozen=True, slots=True)
class RoundedOperator:
    """An operator, and how its results are rounded."""

    operator: str
    attributes: dict[str, Any]
    quantizer: Quantizer


def function_of(op: Table, index: Interval, frac: int) -> RoundedOperator | None:
    """The function behind a table, if a reader that fills it anew gets every entry."""
    if (op.first, op.entries.size) != (index.bottom, index.top - index.bottom + 1):
        return None  # a table that is longer than its index needs
    points = np.ldexp(np.arange(index.bottom, index.top + 1, dtype=np.float64), -frac)
    entries = op.entries.astype(np.int64)
    for function, parameters, operator, attributes in CANDIDATES:
        stored = tuple(float(np.float32(value)) for value in parameters)  # as the file has them
        values = evaluate(function, stored, points)
        if not np.isfinite(values).all() or np.abs(values).max() > np.finfo(np.float32).max:
            continue
        for rounding in ROUNDINGS:
            for overflow in (Overflow.SAT, Overflow.SAT_SYM):
                quantizer = Quantizer(op.type, rounding, overflow)
                if np.array_equal(quantize(values, quantizer), entries):
                    computed = _compute_function(operator, attributes, points.astype(np.float32))
                    if np.array_equal(quantize(computed, quantizer), entries):
                        return RoundedOperator(operator, attributes, quantizer)
    return None


def _compute_function(
    operator: str, attributes: dict[str, Any], points: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What ONNX Runtime's own float32 function yields."""
    import onnxruntime

    from edgeinfer.ir.engine.onnx_builder import OnnxBuilder

    builder = OnnxBuilder()
    x = builder.input(np.dtype(np.float32), ())
    model = builder.model([builder.node(operator, x, **attributes)])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (results,) = session.run(None, {x: points})
    return np.asarray(results, dtype=np.float64)
