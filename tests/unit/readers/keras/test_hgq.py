# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files of HGQ2: the Program makes what HGQ2 itself makes, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.base.errors import ModelError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import quantized_outputs, raw_inputs
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.readers import load
from quantization.fixed import dequantize
from tests.support import hgq_files
from tests.support.hgq_files import RecordedModel, recorded, recorded_model


def lowered(path: Path) -> LoweredModel:
    """The Program of a file."""
    loaded = load(path)
    assert not loaded.findings
    result = lower(loaded.graph, loaded.recipe)
    assert not result.findings
    return result


def outputs(model: LoweredModel, xs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """What the interpreter makes of inputs as they were given to HGQ2, off every grid."""
    program = model.program
    named = {op.name: x for op, x in zip(program.inputs, xs, strict=True)}
    raw = raw_inputs(program, model.recipe, Samples(named, "HGQ2"))
    value = program.outputs[0].value
    return dequantize(interpret(program, raw)[value], program.type(value))


INEXACT = {"residual"}  # a layer of Keras reads the input as a float


@pytest.mark.parametrize("name", sorted(recorded().keys() - INEXACT))
def test_a_program_makes_what_hgq2_makes(tmp_path: Path, name: str) -> None:
    model = recorded_model(name)
    result = outputs(lowered(model.write(tmp_path)), model.xs)
    np.testing.assert_array_equal(result, model.y)


@pytest.mark.parametrize("name", ["functional", "nested_twice"])
def test_layers_are_found_by_their_classes_where_names_are_not_noted(
    tmp_path: Path, name: str
) -> None:
    model = recorded_model(name)
    model.names.clear()
    np.testing.assert_array_equal(outputs(lowered(model.write(tmp_path)), model.xs), model.y)


def test_an_input_that_a_layer_reads_as_it_is_gets_more_bits(tmp_path: Path) -> None:
    model = recorded_model("residual")
    loaded = load(model.write(tmp_path))
    wide = "seen_unrounded is taken as fixed<26,16,TRN,SAT>: add would read floats."
    assert loaded.findings == (wide,)
    result = outputs(lower(loaded.graph, loaded.recipe), model.xs)
    assert (result == model.y).mean() > 0.9  # few sums lie so near to the middle of two steps


def test_elements_have_formats_of_their_own_and_outputs_differ() -> None:
    """Else the first test would say little."""
    places = [f"layers/q_dense/iq/quantizer/vars/{number}" for number in range(3)]
    dense = [recorded_model(name) for name in recorded() if name.startswith("dense_kif")]
    wraps = [model.variables for model in dense if f"{places[0][:-1]}3" in model.variables]
    frac, signed, integer = (np.rint([each[place] for each in wraps]) for place in places)
    bits = (frac + signed + integer).reshape(len(wraps), -1)
    assert (bits <= 0).any() and (signed == 0).any() and (signed == 1).any()
    assert all(len(np.unique(row)) > 2 for row in bits)
    rows = [recorded_model(name).y for name in recorded()]
    varied = [len(np.unique(y.reshape(len(y), -1), axis=0)) > 0.3 * len(y) for y in rows]
    assert np.mean(varied) > 0.9


OTHER_PYTHON = os.environ.get("EDGEINFER_HGQ2_PYTHON", "")
needs_hgq2 = pytest.mark.skipif(
    not OTHER_PYTHON, reason="EDGEINFER_HGQ2_PYTHON names no Python that has hgq2"
)


@needs_hgq2
def test_hgq2_still_makes_what_is_recorded(tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    script = Path(hgq_files.__file__).with_name("hgq_record.py")
    subprocess.run([OTHER_PYTHON, script, again], check=True, cwd=tmp_path, timeout=600)
    assert json.loads(again.read_text()) == recorded()


CASES = ["one", "dense", "conv", "jets_1000_ebops", "jets_23500_ebops"]


@pytest.mark.parametrize("name", CASES)
def test_files_of_others_yield_what_hgq2_yields(cases: Path, name: str) -> None:
    path = cases / "hgq2" / f"{name}.keras"
    inputs = np.load(path.with_suffix(".npz"))
    model = lowered(path)
    (x,) = model.program.inputs
    raw = raw_inputs(model.program, model.recipe, Samples({x.name: inputs["x"]}, "HGQ2"))
    result = quantized_outputs(model.program, raw)
    np.testing.assert_array_equal(next(iter(result.values())), inputs["y"])


def test_a_dense_layer_of_keras_after_one_of_hgq2_is_rounded_with_a_finding(cases: Path) -> None:
    path = cases / "hgq2" / "mixed_keras_dense_after.keras"
    inputs, loaded = np.load(path.with_suffix(".npz")), load(path)
    assert ["24 bits" in finding for finding in loaded.findings] == [True]
    result = outputs(lower(loaded.graph, loaded.recipe), [inputs["x"]])
    np.testing.assert_allclose(result, inputs["y"], atol=1e-6)


def broken(model: RecordedModel, path: str, values: NDArray[np.generic] | None) -> RecordedModel:
    """The model with another variable, or without it."""
    del model.variables[path]
    if values is not None:
        model.variables[path] = values
    return model


WIDTH = "layers/q_dense/iq/quantizer/vars/0"
SIGN = "layers/q_dense/iq/quantizer/vars/1"
HOSTILE = [
    (WIDTH, None, "no weight|no whole numbers"),
    (SIGN, None, "no weight|no whole numbers"),
    (WIDTH, np.full((1, 6), np.nan, np.float32), "NaN"),
    (WIDTH, np.full((1, 6), 1e30, np.float32), "more than 62 bits"),
    (WIDTH, np.full((1, 6), 60, np.float32), "at most|63 bits|needs"),
    (WIDTH, np.zeros((1, 5), np.float32), "do not fit"),
    (WIDTH, np.zeros((2, 6), np.float32), "do not fit"),
    (SIGN, np.full((1, 6), 7, np.uint8), "do not fit"),
    (SIGN, np.zeros((1, 6), np.float32), "whole numbers"),
    ("layers/q_dense/kq/quantizer/vars/0", np.zeros((), np.float32), "do not fit"),
]


@pytest.mark.parametrize(("path", "values", "why"), HOSTILE)
def test_hostile_variables_are_refused(
    tmp_path: Path, path: str, values: NDArray[np.generic] | None, why: str
) -> None:
    model = broken(recorded_model("dense_kif_RND_WRAP"), path, values)
    with pytest.raises(ModelError, match=why):
        load(model.write(tmp_path))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"q_type": "float"}, "type 'float'"),
        ({"q_type": None}, "q_type is None"),
        ({"scaler": 3.0}, "option scaler"),
        ({"affine": [1, 2]}, "option affine"),
        ({"overflow_mode": "WRAP_SM"}, "WRAP_SM"),
        ({"round_mode": "UP"}, "UP"),
        ({"bw_mapper": {"class_name": "Mine"}}, "code that is not in the file"),
    ],
)
def test_unknown_quantizers_are_refused_by_name(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    model = recorded_model("dense_kif_RND_WRAP")
    layer = model.config["config"]["layers"][1]
    layer["config"]["iq_conf"]["config"].update(change)
    with pytest.raises(ModelError, match=rf"q_dense.*{why}"):
        load(model.write(tmp_path))


@pytest.mark.parametrize("slot", ["iq", "oq", "kq", "bq"])
def test_a_quantizer_that_the_architecture_leaves_out_is_not_taken_for_none(
    tmp_path: Path, slot: str
) -> None:
    model = recorded_model("dense_kif_RND_WRAP")
    del model.config["config"]["layers"][1]["config"][f"{slot}_conf"]
    with pytest.raises(ModelError, match=f"does not describe its quantizer {slot}"):
        load(model.write(tmp_path))


def test_unknown_layers_are_refused_by_name(tmp_path: Path) -> None:
    model = recorded_model("dense_kif_RND_WRAP")
    layer = model.config["config"]["layers"][1]
    layer |= {"class_name": "QGRU", "registered_name": "hgq>QGRU"}
    with pytest.raises(ModelError, match="HGQ2's QGRU"):
        load(model.write(tmp_path))
