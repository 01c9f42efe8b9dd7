# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model of HGQ2 compiled for hardware: every stage makes the integers that HGQ2's floats are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.command_line import shown
from tests.support.hgq_files import recorded_model


@pytest.mark.slow
def test_a_model_of_hgq2_is_the_same_in_every_simulation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = recorded_model("functional")
    data = tmp_path / "data.npz"
    np.savez(data, x=model.xs[0].astype(np.float32), y=model.y.argmax(axis=-1))
    targets = ("--target", "rtl", "--target", "hls", "--device", "zcu104")
    order = ("compile", model.write(tmp_path), "--data", data, *targets, "-o", tmp_path / "run")
    document = shown(capsys, *map(str, order))
    results = {tuple(entry["pair"]): entry["bit_identical"] for entry in document["agreement"]}
    assert results == {
        ("interpret", "engine"): True,
        ("engine", "rtl"): True,
        ("engine", "csim"): True,
    }
    assert document["accuracy"]["rtl"]["accuracy"] == 1.0  # the labels are HGQ2's decisions
