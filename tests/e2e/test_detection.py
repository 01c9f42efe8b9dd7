# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A detector from its reference models to a picture, on the command line and from Python."""

from __future__ import annotations

import numpy as np
import pytest

import edgeinfer
from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.entry import stage_seed
from tests.support.command_line import shown

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detector")
    for name in ("hgcal-detector", "hgcal-heads"):
        edgeinfer.load(name).quantize(8, refine=False).compile(folder / name)
    return folder / "hgcal-detector", folder / "hgcal-heads"


def test_eight_bits_find_what_floats_find(runs, capsys, tmp_path):
    trunk, heads = map(str, runs)
    document = shown(
        capsys, "detect", trunk, heads, "--images", "400", "--seed", "1", "--compare-float",
        "-o", str(tmp_path / "d.npz"), "--picture", str(tmp_path / "p.png"),
    )  # fmt: skip
    floats, integers = document["scores"]["float"], document["scores"]["integers"]
    assert integers["boxes"]["map50"] == pytest.approx(floats["boxes"]["map50"], abs=0.01)
    assert integers["boxes"]["map"] == pytest.approx(floats["boxes"]["map"], abs=0.01)
    assert integers["masks"]["map"] == pytest.approx(floats["masks"]["map"], abs=0.015)
    parts = {part["name"]: part for part in document["partition"]}
    assert [part["where"] for part in parts.values()].count("host") == 4
    assert parts["trunk"]["bytes_in"] == 64 * 64
    assert parts["heads"]["bytes_in"] == 16 * 8 * 8 * 12
    assert parts["heads"]["origin"] == "measured"
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    images = ENTRIES["hgcal-detector"].data(stage_seed(1, "fresh"), 400).inputs["image"]
    result = edgeinfer.detect(*runs, images)
    kept = np.load(tmp_path / "d.npz")
    for name, values in result.items():
        np.testing.assert_array_equal(values, kept[name])


def test_the_wrong_way_round_is_refused(runs, capsys):
    from edgeinfer.cli.app import main

    assert main(["detect", str(runs[1]), str(runs[0])]) == 2
    assert "no output 'place'" in capsys.readouterr().err
