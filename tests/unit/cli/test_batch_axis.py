# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""``--batch-axis``: every verb that reads an ONNX file takes one that is drawn for one sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.cli.app import main
from tests.support import onnx_models as m

RNG = np.random.default_rng(4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network of one sample, whose axes are all its own."""
    nodes = [m.node("MatMul", ["x", "w"], ["s"]), m.node("Relu", ["s"], ["y"])]
    result = m.model(nodes, {"x": (4, 3)}, ["y"], {"w": m.floats(RNG, 3, 2)})
    np.savez(tmp_path / "data.npz", x=RNG.normal(size=(60, 4, 3)))
    return m.saved(result, tmp_path)


SEARCH = pytest.param("search", marks=pytest.mark.slow)


@pytest.mark.parametrize("verb", ["estimate", "export", "quantize", "compile", SEARCH])
def test_the_first_axis_may_be_one_of_the_samples_own(
    verb: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(model.parent / "data.npz")]
    more = {
        "estimate": [],
        "export": ["-o", "out.onnx", "--format", "qonnx"],
        "search": ["-o", "found", "--trials", "1", *data],
        "quantize": ["-o", "out.toml", *data],
        "compile": ["-o", "run", "--target", "none"],
    }[verb]
    more = [str(model.parent / each) if each in ("out.onnx", "found", "out.toml", "run") else each
            for each in more]  # fmt: skip
    assert main([verb, str(model), "--batch-axis", "none", *more]) == 0
    assert main([verb, str(model), "--batch-axis", "first", *more]) == 2
    assert "is no axis" in capsys.readouterr().err


def test_a_run_folder_knows_its_axis(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = str(model.parent / "run"), str(model.parent / "out.onnx")
    asked = ["--batch-axis", "none", "-o"]
    assert main(["compile", str(model), "--target", "none", *asked, run]) == 0
    export = ["export", run, "--format", "qonnx"]
    assert main([*export, *asked, out]) == 2
    assert "A run folder says itself" in capsys.readouterr().err
    assert main([*export, "-o", out]) == 0
