# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Quotients and other real numbers of two tensors of integers, over all pairs of integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.readers import load
from tests.support.tflite_builder import O, T, tflite
from tests.support.tflite_operators import ports_of, program_outputs, reference

WIDTH = 256
LOW = {"INT8": -128, "UINT8": 0}


def drawn(rng: np.random.Generator, name: str, type_: str, scale: float, zero: int | None) -> T:
    low = LOW[type_]
    zero = int(rng.integers(low, low + WIDTH)) if zero is None else zero
    return T(name, (1, WIDTH), type_, None, (scale,), (zero,))


def all_pairs(type_: str, without: int | None = None) -> dict[str, NDArray[Any]]:
    stored = np.arange(WIDTH) + LOW[type_]
    a, b = np.meshgrid(stored, stored[stored != without])
    return {"a": a, "b": b}


def shifts(a: NDArray[Any], b: NDArray[Any], scale: float) -> NDArray[Any]:
    """By how many bits the kernel moves the quotient of steps down, by its own rules."""

    def bits(x: NDArray[Any]) -> NDArray[Any]:
        return np.frexp(x.astype(float))[1]

    a = np.where(b < 0, -a, a)
    signs = 32 - np.where(a < 0, bits(-2 * a - 1), np.maximum(bits(a) + 1, 1))
    return bits(np.abs(b)) - 1 + signs - np.frexp(scale)[1]


@pytest.mark.parametrize("type_", LOW)
@pytest.mark.parametrize("seed", range(4))
def test_quotients_are_the_kernels_where_c_defines_them(
    type_: str, seed: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng([seed, 5])
    one, other = (float(np.float32(n)) for n in rng.uniform(0.001, 0.5, 2))
    scale = float(np.float32(one / other * rng.choice([0.02, 0.05, 0.2])))
    a, b = drawn(rng, "a", type_, one, None), drawn(rng, "b", type_, other, None)
    y = drawn(rng, "y", type_, scale, None)
    path = tmp_path / "case.tflite"
    step = O("DIV", ("a", "b"), ("y",), 2, {0: ("i8", int(rng.choice([0, 1, 3])))})
    path.write_bytes(tflite([a, b, y], [step], ["a", "b"], ["y"]))
    ports, zero = ports_of(path), b.zero_points[0]
    stored = all_pairs(type_, without=zero)
    made = program_outputs(path, ports, stored)["y"]
    wanted = reference(path, ports, stored)["y"]
    scales = np.float32(one) / (np.float32(other) * np.float32(scale))
    steps = stored["a"] - a.zero_points[0], stored["b"] - zero
    defined = shifts(*steps, float(scales)) < 32
    assert defined.mean() > 0.9
    assert np.array_equal(made[defined], wanted[defined])
    exact = np.clip(steps[0] / steps[1] * scales + y.zero_points[0], LOW[type_], LOW[type_] + 255)
    if not step.options[0][1]:
        assert (
            np.abs(made - exact).max() <= 0.5 + 1e-3
        )  # also where the kernel's shift is undefined


def real_pair(op: str, added: float = 0.0, *, same: bool = False) -> bytes:
    """An operator that the converter leaves in real numbers, as it does the quotient."""
    rng = np.random.default_rng(len(op))
    a, b = drawn(rng, "a", "INT8", 0.05, 3), drawn(rng, "b", "INT8", 0.03, -20)
    y = drawn(rng, "y", "INT8", 0.07, -9)
    shape = (1, WIDTH)
    reals = [T(name, shape, "FLOAT32", None, (), ()) for name in ("ra", "rb", "moved", "made")]
    number = T("number", (), "FLOAT32", np.asarray(added, np.float32), (), ())
    source = "a" if same else "b"
    steps = [
        O("DEQUANTIZE", ("a",), ("ra",), 2, {}),
        O("DEQUANTIZE", (source,), ("rb",), 2, {}),
        O("ADD", ("rb", "number"), ("moved",), 1, {0: ("i8", 0)}),
        O(op, ("ra", "moved"), ("made",), 1, {0: ("i8", 0)}),
        O("QUANTIZE", ("made",), ("y",), 2, {}),
    ]
    inputs = ["a"] if same else ["a", "b"]
    return tflite([a, b, y, *reals, number], steps, inputs, ["y"])


@pytest.mark.parametrize("op", ["DIV", "MUL", "ADD", "SUB"])
@pytest.mark.parametrize("same", [False, True])
def test_real_numbers_of_two_tensors_are_those_of_float32(
    op: str, same: bool, tmp_path: Path
) -> None:
    path = tmp_path / "case.tflite"
    path.write_bytes(real_pair(op, 8.0, same=same))
    ports, stored = ports_of(path), all_pairs("INT8")
    stored = {"a": stored["a"]} if same else stored
    made = program_outputs(path, ports, stored)["y"]
    assert np.array_equal(made, reference(path, ports, stored)["y"])


def test_a_real_divisor_that_may_be_zero_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.tflite"
    path.write_bytes(real_pair("DIV"))
    with pytest.raises(UnsupportedModelError, match="not finite for every integer"):
        load(path)
