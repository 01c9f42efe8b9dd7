# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files of SparsePixels: the Program makes what SparsePixels makes, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.graph.nodes import SitesNode
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from quantization.fixed import dequantize
from tests.support.hgq_files import RecordedModel, recorded_model
from tests.support.places import ROOT

RECORDED = ROOT / "tests/support/sparse_pixels_models.json"


def model(name: str) -> RecordedModel:
    return recorded_model(name, RECORDED)


@pytest.mark.parametrize("name", ["fixed", "learned"])
def test_a_program_makes_what_sparsepixels_makes(tmp_path: Path, name: str) -> None:
    record = model(name)
    loaded = load(record.write(tmp_path))
    lowered = lower(loaded.graph, loaded.recipe)
    assert [
        finding for finding in lowered.findings if not finding.startswith("image: the input")
    ] == []
    raw = raw_inputs(lowered.program, lowered.recipe, Samples({"image": record.xs[0]}, "images"))
    value = lowered.program.outputs[0].value
    result = dequantize(interpret(lowered.program, raw)[value], lowered.program.type(value))
    assert record.y.any(axis=1).sum() > 3  # else the test would say little
    np.testing.assert_array_equal(result, record.y)
    again = Engine(lowered.program, threads=1).run(raw)
    np.testing.assert_array_equal(
        again[lowered.program.outputs[0].name], interpret(lowered.program, raw)[value]
    )


def test_what_was_learned_is_what_counts(tmp_path: Path) -> None:
    for name, most, threshold in (
        ("fixed", 24, np.float32(0.2)),
        ("learned", 31, np.float32(0.37)),
    ):
        nodes = load(model(name).write(tmp_path)).graph.nodes
        (sites,) = (node for node in nodes if isinstance(node, SitesNode))
        assert (sites.most, sites.threshold) == (most, threshold)


def test_an_unknown_layer_of_the_package_is_refused_by_name(tmp_path: Path) -> None:
    record = model("fixed")
    entry = next(each for each in record.config["config"]["layers"] if each["name"] == "pool1")
    entry["class_name"] = entry["registered_name"] = "SumPooling2DSparse"
    with pytest.raises(UnsupportedModelError, match="SumPooling2DSparse, which is not read"):
        load(record.write(tmp_path))
