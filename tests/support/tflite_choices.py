# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files that compare and choose, and files with real numbers between integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.tflite_builder import O, T, tflite

RANGES = {"INT8": (-128, 128), "UINT8": (0, 256)}
COMPARED = ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL")
CURVES = ("ABS", "NEG", "SQUARE", "FLOOR", "CEIL", "ROUND", "EXP", "SIN", "COS", "ELU")
ROOTS = ("SQRT", "RSQRT", "LOG")  # of numbers above zero only
PLAIN = ("real CEIL", "real ROUND", "real ELU", "ELU")
VECTOR = 8  # elements that a plain kernel takes at once, with roundings of the processor's own
Rng = np.random.Generator


def _tensor(rng: Rng, name: str, shape: tuple[int, ...], type_: str, **given: Any) -> T:
    scale = float(np.float32(np.exp(rng.uniform(np.log(0.003), np.log(0.3)))))
    if rng.random() < 0.3:
        scale = float(2.0 ** rng.integers(-8, -1))
    low, high = RANGES[type_]
    zero = int(rng.choice([low, high - 1, rng.integers(low, high)]))
    return T(name, shape, type_, **({"scales": (scale,), "zero_points": (zero,)} | given))


def choice(rng: Rng, type_: str, op: str) -> bytes:
    """A comparison of two inputs, or of one and a constant, and a choice by it."""
    shape = tuple(int(n) for n in rng.integers(1, 5, 3))
    a, b = (_tensor(rng, name, (1, *shape), type_) for name in "ab")
    inputs, kind = ["a", "b"], rng.random()
    if kind < 0.6:  # near each other, so that some are equal
        size = () if kind < 0.4 else (1, 1, 1, shape[-1])
        b = T("b", size, type_, rng.integers(*RANGES[type_], size), b.scales, b.zero_points)
        inputs = ["a"]
    elif kind < 0.8:
        b = T("b", (1, *shape), type_, None, a.scales, a.zero_points)
    order = ("a", "b") if rng.random() < 0.6 else ("b", "a")
    tensors, steps = [a, b], [O(op, order, ("truth",), 2, {})]
    tensors.append(T("truth", (1, *shape), "BOOL", None, (), ()))
    truth = "truth"
    if rng.random() < 0.4:
        tensors.append(T("other", (1, *shape), "BOOL", None, (), ()))
        logical = str(rng.choice(["LOGICAL_NOT", "LOGICAL_AND", "LOGICAL_OR"]))
        read = (truth,) if logical == "LOGICAL_NOT" else (truth, truth)
        if logical != "LOGICAL_NOT":
            tensors.append(T("third", (1, *shape), "BOOL", None, (), ()))
            steps.append(O("LESS_EQUAL", order, ("third",), 2, {}))
            read = (truth, "third")
        steps.append(O(logical, read, ("other",), 1, {}))
        truth = "other"
    c = _tensor(rng, "c", (1, *shape), type_)
    y = T("y", c.shape, type_, None, c.scales, c.zero_points)
    if rng.random() < 0.3:
        tensors.append(T("real", c.shape, "FLOAT32", None, (), ()))
        steps.append(O("CAST", (truth,), ("real",), 1, {0: ("i8", 6), 1: ("i8", 0)}))
        steps.append(O("QUANTIZE", ("real",), ("y",), 2, {}))
        return tflite([*tensors, y], steps, inputs, ["y"])
    stored = zero = int(c.zero_points[0])
    if rng.random() < 0.5:
        stored = int(rng.integers(*RANGES[type_]))
    version_two = rng.random() < 0.5
    e = T("e", c.shape, type_, None, c.scales, c.zero_points)
    if version_two:
        e = T("e", (), type_, np.asarray(stored), c.scales, (zero,))
    else:
        inputs.append("e")
    chosen = "SELECT_V2" if version_two else "SELECT"
    steps.append(O(chosen, (truth, "c", "e"), ("y",), 1, {}))
    return tflite([*tensors, c, e, y], steps, [*inputs, "c"], ["y"])


def curve(rng: Rng, op: str) -> bytes:
    """A function of real numbers between integers."""
    shape = (1, int(rng.integers(1, VECTOR if f"real {op}" in PLAIN else 60)))
    zero = {"zero_points": (-128,)} if op in ROOTS else {}
    if op == "EXP":  # far above what is stored, the kernel's cast to an integer is undefined
        zero = {"scales": (0.05,)}
    x = _tensor(rng, "x", shape, "INT8", **zero)
    reals = [T(name, shape, "FLOAT32", None, (), ()) for name in ("real", "moved", "made")]
    one = T("one", (), "FLOAT32", np.asarray(x.scales[0], np.float32), (), ())
    y = _tensor(rng, "y", shape, "INT8")
    steps = [
        O("DEQUANTIZE", ("x",), ("real",), 2, {}),
        O("ADD", ("real", "one"), ("moved",), 1, {0: ("i8", 0)}),
        O(op, ("moved",), ("made",), 1, {}),
        O("QUANTIZE", ("made",), ("y",), 2, {}),
    ]
    return tflite([x, *reals, one, y], steps, ["x"], ["y"])


def real_comparison(rng: Rng, op: str) -> bytes:
    """A comparison of real numbers with a constant."""
    shape = (1, int(rng.integers(1, 60)))
    x, y = _tensor(rng, "x", shape, "INT8"), _tensor(rng, "y", shape, "INT8")
    low, high = -128 - x.zero_points[0], 127 - x.zero_points[0]
    number = np.asarray(np.float32(x.scales[0]) * np.float32(rng.integers(low, high)), np.float32)
    tensors = [
        x, y, T("real", shape, "FLOAT32", None, (), ()), T("truth", shape, "BOOL", None, (), ()),
        T("number", (), "FLOAT32", number, (), ()), T("one", shape, "FLOAT32", None, (), ()),
    ]  # fmt: skip
    order = ("real", "number") if rng.random() < 0.6 else ("number", "real")
    steps = [
        O("DEQUANTIZE", ("x",), ("real",), 2, {}),
        O(op, order, ("truth",), 1, {}),
        O("CAST", ("truth",), ("one",), 1, {0: ("i8", 6), 1: ("i8", 0)}),
        O("QUANTIZE", ("one",), ("y",), 2, {}),
    ]
    return tflite(tensors, steps, ["x"], ["y"])


def stored_function(rng: Rng, op: str) -> bytes:
    """A function of stored integers that are not below zero, or of any."""
    shape = (1, int(rng.integers(1, 60)))
    zero = {"zero_points": (-128,)} if op == "SQRT" else {}
    x, y = _tensor(rng, "x", shape, "INT8", **zero), _tensor(rng, "y", shape, "INT8")
    return tflite([x, y], [O(op, ("x",), ("y",), 1, {})], ["x"], ["y"])


def _of(build: Callable[..., bytes], *rest: str) -> Callable[[Rng], bytes]:
    return lambda rng: build(rng, *rest)


CHOICES: dict[str, Callable[[Rng], bytes]] = {
    **{f"{op} {t}": _of(choice, t, op) for op in COMPARED for t in RANGES},
    **{f"real {op}": _of(real_comparison, op) for op in COMPARED},
    **{f"real {op}": _of(curve, op) for op in (*CURVES, *ROOTS)},
    **{op: _of(stored_function, op) for op in ("SQRT", "ELU")},
}
