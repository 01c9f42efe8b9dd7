# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Each operator against TensorFlow Lite's reference kernels, integer by integer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.tflite_operators import (
    OPERATORS,
    ports_of,
    program_outputs,
    random_stored,
    reference,
)

SAMPLES = 24
FILES = 6  # of each operator and type


@pytest.mark.parametrize("type_", ["INT8", "UINT8"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_integers_are_those_of_the_reference_kernels(
    operator: str, type_: str, tmp_path: Path
) -> None:
    for seed in range(FILES):
        rng = np.random.default_rng([seed, len(operator)])
        path = tmp_path / f"case{seed}.tflite"
        path.write_bytes(OPERATORS[operator](rng, type_))
        ports = ports_of(path)
        stored = random_stored(ports, SAMPLES, rng)
        wanted = reference(path, ports, stored)
        made = program_outputs(path, ports, stored, slow=seed == 0)
        for name, values in wanted.items():
            assert np.array_equal(made[name], values), f"file {seed}"
