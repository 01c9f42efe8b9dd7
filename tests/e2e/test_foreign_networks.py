# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks as strangers write them: read as Keras computes them, lowered to what their formats
allow, run alike by engine and interpreter; and by every backend's C-simulation and by Verilator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.foreign_networks import checked_network
from tests.support.rtl_designs import needs_verilator

QUICK, MANY = 100, 5000
SIMULATED = 30  # of each backend
FEW_MACS = 4000  # of a network that a simulation compiles in seconds
WAYS = [  # of HLS projects: hls4ml has no streams for Libero
    (backend, io)
    for backend in Backend
    for io in IoType
    if (backend, io) != (Backend.LIBERO, IoType.STREAM)
]
REFUSED = 0.25  # of the networks at most: weights of 1e-9 beside biases of 1 find no common grid


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


def assert_all_right(keras: Any, seeds: range, folder: Path) -> None:
    refused = [seed for seed in seeds if checked_network(keras, seed, folder).lowered is None]
    assert len(refused) <= REFUSED * len(seeds)


def test_networks_of_strangers(tmp_path: Path, keras: Any) -> None:
    assert_all_right(keras, range(QUICK), tmp_path)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("start", range(0, MANY, 500))
def test_many_networks_of_strangers(tmp_path: Path, keras: Any, start: int) -> None:
    assert_all_right(keras, range(100 + start, 600 + start), tmp_path)


def small(keras: Any, folder: Path, target: Any, settings: Any) -> Iterator[tuple[int, Any, Any]]:
    """Programs that a target takes and that compile in seconds, with raw inputs."""
    result = 0
    for seed in range(20 * SIMULATED):
        outcome = checked_network(keras, seed, folder)
        lowered = outcome.lowered
        if lowered is None or lowered.program.macs > FEW_MACS:
            continue
        if target.check(lowered.program, settings):
            continue
        assert outcome.samples is not None
        yield seed, lowered.program, raw_inputs(lowered.program, lowered.recipe, outcome.samples)
        result += 1
        if result == SIMULATED:
            return
    pytest.fail(f"only {result} networks are small enough and taken")


def assert_simulates_alike(keras: Any, folder: Path, target: Any, settings: Any) -> None:
    for seed, program, raw in small(keras, folder, target, settings):
        place = folder / str(seed)
        target.emit(program, settings).write(place)
        actual = target.simulate(program, place, raw, settings)
        for name, expected in results(program, interpret(program, raw)).items():
            np.testing.assert_array_equal(actual[name], expected, err_msg=f"seed {seed}: {name}")


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("backend", "io"), WAYS)
def test_each_backend_simulates_alike(
    tmp_path: Path, keras: Any, backend: Backend, io: IoType
) -> None:
    assert_simulates_alike(keras, tmp_path, HlsTarget(), HlsSettings(backend=backend, io=io))


@needs_verilator
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_verilator_simulates_alike(tmp_path: Path, keras: Any) -> None:
    assert_simulates_alike(keras, tmp_path, RtlTarget(), RtlSettings())
