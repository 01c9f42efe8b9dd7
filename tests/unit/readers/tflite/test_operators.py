# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Each operator against TensorFlow Lite's reference kernels, integer by integer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.tflite.model import parse
from edgeinfer.readers import load
from tests.support.float_graph import outputs
from tests.support.tflite_builder import O, T, tflite
from tests.support.tflite_moves import MOVES
from tests.support.tflite_operators import (
    OPERATORS,
    SIGNED,
    SUM,
    plain_outputs,
    ports_of,
    program_outputs,
    random_stored,
    reference,
)
from tests.support.tflite_places import PLACES

SAMPLES = 24
FILES = 6  # of each operator and type


def seeds_of(operator: str) -> range:
    """Fewer where integers only move."""
    return range(2 if operator in MOVES or operator in PLACES else FILES)


@pytest.mark.parametrize("type_", ["INT8", "UINT8"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_integers_are_those_of_the_reference_kernels(
    operator: str, type_: str, tmp_path: Path
) -> None:
    for seed in seeds_of(operator):
        rng = np.random.default_rng([seed, len(operator)])
        path = tmp_path / f"case{seed}.tflite"
        path.write_bytes(OPERATORS[operator](rng, type_))
        ports = ports_of(path)
        stored = random_stored(ports, SAMPLES, rng)
        expected = reference(path, ports, stored)
        result = program_outputs(path, ports, stored, slow=seed == 0)
        for name, values in expected.items():
            assert np.array_equal(result[name], values), f"file {seed}"


@pytest.mark.parametrize("operator", SIGNED)
def test_integers_of_kernels_for_int8_alone(operator: str, tmp_path: Path) -> None:
    for seed in range(2 * FILES):
        rng = np.random.default_rng([seed, 1])
        path = tmp_path / f"case{seed}.tflite"
        path.write_bytes(SIGNED[operator](rng))
        ports = ports_of(path)
        stored = random_stored(ports, SAMPLES, rng)
        wanted = reference(path, ports, stored)
        made = program_outputs(path, ports, stored, slow=seed == 0)
        assert np.array_equal(made["y"], wanted["y"]), f"file {seed}"


@pytest.mark.parametrize("type_", ["INT8", "UINT8"])
def test_sums_are_those_of_the_kernels(type_: str, tmp_path: Path) -> None:
    """LiteRT 2.3's reference kernel of INT8 makes numbers that are no sums, so for these the plain
    one counts, which rounds once."""
    for seed in range(2 * FILES):
        rng = np.random.default_rng([seed, 3])
        path = tmp_path / f"case{seed}.tflite"
        path.write_bytes(SUM(rng, type_))
        ports = ports_of(path)
        stored = random_stored(ports, SAMPLES, rng)
        made = program_outputs(path, ports, stored, slow=seed == 0)["y"]
        if type_ == "UINT8":
            assert np.array_equal(made, reference(path, ports, stored)["y"]), f"file {seed}"
        else:
            assert np.array_equal(made, plain_outputs(path, stored["x"], made)), f"file {seed}"


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_float_network_is_within_steps_of_the_integers(operator: str, tmp_path: Path) -> None:
    """Wherever what is stored is not at an end of its range."""
    for seed in seeds_of(operator):
        rng = np.random.default_rng([seed, len(operator)])
        path = tmp_path / f"case{seed}.tflite"
        path.write_bytes(OPERATORS[operator](rng, "INT8"))
        ports = ports_of(path)
        stored = random_stored(ports, SAMPLES, rng)
        result = program_outputs(path, ports, stored)
        graph = load(path).graph
        shapes = [node.shape for node in graph.inputs]
        reals = [
            port.real(stored[port.name]).reshape(-1, *shape)
            for port, shape in zip(ports.inputs, shapes, strict=True)
        ]
        for port, values in zip(ports.outputs, outputs(graph, reals), strict=True):
            steps = values.reshape(-1, *port.shape) / port.scale + port.zero_point
            inside = (result[port.name] > -128) & (result[port.name] < 127)
            assert np.abs(steps - result[port.name])[inside].max(initial=0.0) < 1.3, f"file {seed}"


@pytest.mark.parametrize("approximate", [False, True])
def test_a_gelu_says_by_which_formula_it_is_computed(approximate: bool) -> None:
    gelu = O("GELU", ("x",), ("y",), options={0: ("bool", approximate)})
    file = tflite([T("x", (1, 4)), T("y", (1, 4))], [gelu], ["x"], ["y"])
    (operator,) = parse(file, "gelu.tflite").operators
    assert operator.options.approximate is approximate
