# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Comparisons, choices, and real numbers between integers, against TensorFlow Lite's kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.evaluate import judge
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from tests.support.sampling import sample_cases
from tests.support.tflite_builder import O, T, tflite
from tests.support.tflite_choices import CHOICES, PLAIN
from tests.support.tflite_operators import (
    plain_outputs,
    ports_of,
    program_outputs,
    random_stored,
    reference,
)

FILES = 12
CASES = [(kind, seed) for kind in CHOICES for seed in range(FILES)]


@pytest.mark.parametrize(("kind", "seed"), sample_cases(CASES, 19))
def test_integers_are_those_of_the_kernels(kind: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed, len(kind)])
    path = tmp_path / "case.tflite"
    path.write_bytes(CHOICES[kind](rng))
    ports = ports_of(path)
    stored = random_stored(ports, 24, rng)
    made = program_outputs(path, ports, stored, slow=seed == 0)["y"]
    if kind in PLAIN:  # which have no reference kernel
        assert np.array_equal(made, plain_outputs(path, stored["x"], made))
    else:
        assert np.array_equal(made, reference(path, ports, stored)["y"])


def one_function(op: str, zero: int, leaves: bool = False) -> bytes:
    """A function of real numbers, which may leave the network."""
    real, made = (T(name, (1, 256), "FLOAT32", None, (), ()) for name in ("real", "made"))
    steps = [O("DEQUANTIZE", ("x",), ("real",), 2), O(op, ("real",), ("made",))]
    x = T("x", (1, 256), "INT8", None, (0.03,), (zero,))
    y = T("y", (1, 256), "INT8", None, (0.1,), (0,))
    if leaves:
        return tflite([x, real, made], steps, ["x"], ["made"])
    return tflite([x, real, made, y], [*steps, O("QUANTIZE", ("made",), ("y",))], ["x"], ["y"])


def test_real_numbers_leave_the_network_to_32_bits(tmp_path: Path) -> None:
    path = tmp_path / "case.tflite"
    path.write_bytes(one_function("SQUARE", 0, leaves=True))
    loaded = load(path)
    lowered = lower(loaded.graph, loaded.recipe)
    reals = (np.float32(0.03) * np.arange(-128, 128).astype(np.float32))[None]
    samples = judge.Samples({lowered.program.inputs[0].name: reals.astype(float)}, "all integers")
    (made,) = judge.program_outputs(lowered.program, lowered.recipe, samples).values()
    assert np.abs(made - np.square(reals)).max() <= 2.0**-28
    assert any("rounded to steps of 2^-27" in finding for finding in loaded.findings)


def test_a_function_beyond_its_domain_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "case.tflite"
    path.write_bytes(one_function("SQRT", 0))
    with pytest.raises(UnsupportedModelError, match="not finite for every integer"):
        load(path)


def test_a_scale_that_the_kernel_does_not_compare_is_refused(tmp_path: Path) -> None:
    a, b = (
        T(name, (1, 4), "INT8", None, (scale,), (0,)) for name, scale in (("a", 1.5), ("b", 0.1))
    )
    truth = T("truth", (1, 4), "BOOL", None, (), ())
    path = tmp_path / "case.tflite"
    path.write_bytes(
        tflite([a, b, truth], [O("LESS", ("a", "b"), ("truth",), 2)], ["a", "b"], ["truth"])
    )
    with pytest.raises(UnsupportedModelError, match=r"is 1\.5; the kernel takes those below 1"):
        load(path)
