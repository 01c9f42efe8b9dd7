# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Quantization-aware models of TensorFlow's Model Optimization Toolkit: the Program makes what the
toolkit's own rounding makes."""

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
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.complete import complete_recipe
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.ir.ops import Conv, Dense
from edgeinfer.readers import load
from quantization.fixed import dequantize
from tests.support import tfmot_files
from tests.support.tfmot_files import QuantizationAwareModel, recorded, recorded_model


def lowered(path: Path) -> LoweredModel:
    """The Program of a file."""
    loaded = load(path)
    return lower(loaded.graph, complete_recipe(loaded.graph, loaded.recipe).recipe)


def outputs(model: LoweredModel, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the interpreter makes of real inputs."""
    program = model.program
    named = {program.inputs[0].name: x}
    raw = raw_inputs(program, model.recipe, Samples(named, "the toolkit"))
    value = program.outputs[0].value
    return dequantize(interpret(program, raw)[value], program.type(value))


POWERS = sorted(name for name in recorded() if name.endswith("_powers"))
LOGITS = "classes"  # whose softmax is left to the host


@pytest.mark.parametrize("name", POWERS)
def test_steps_that_are_powers_of_two_are_types(tmp_path: Path, name: str) -> None:
    model = recorded_model(name)
    result = outputs(lowered(model.write(tmp_path)), model.x)
    np.testing.assert_array_equal(result, model.y)


@pytest.mark.parametrize("name", sorted(recorded().keys() - {*POWERS, LOGITS}))
def test_a_program_makes_what_the_toolkit_makes(tmp_path: Path, name: str) -> None:
    """Up to float32's last bits. Where these decide between two steps, an output may be one off."""
    model = recorded_model(name)
    result = outputs(lowered(model.write(tmp_path)), model.x)
    off = np.abs(result - model.y) / np.abs(model.y).max()
    assert (off > 1e-6).sum() <= 1 and off.max() < 0.02


def test_a_softmax_at_the_end_is_left_to_the_host(tmp_path: Path) -> None:
    model = recorded_model(LOGITS)
    logits = outputs(lowered(model.write(tmp_path)), model.x)
    powers = np.exp(logits)
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), model.y, rtol=1e-5)


def test_what_is_multiplied_are_integers_of_eight_bits(tmp_path: Path) -> None:
    """Real scales do not reach the products with weights."""
    loaded = load(recorded_model("conv").write(tmp_path))
    program = lower(loaded.graph, complete_recipe(loaded.graph, loaded.recipe).recipe).program
    products = [op for op in program.ops if isinstance(op, Conv | Dense)]
    assert len(products) == 3
    for op in products:
        assert program.type(op.x).bits <= 9 and program.type(op.x).frac == 0
        assert op.weight_type.bits <= 8


def test_both_layouts_of_keras_hold_the_same_network(tmp_path: Path) -> None:
    model = recorded_model("conv")
    old, new = load(model.write(tmp_path)), load(model.write_archive(tmp_path))
    assert old.recipe == new.recipe and old.findings == new.findings
    weights = dict(new.graph.weights())
    for key, values in old.graph.weights():
        np.testing.assert_array_equal(weights[key], values)


def with_range(name: str, layer: str, weight: str, value: float) -> QuantizationAwareModel:
    model = recorded_model(name)
    for place, (stored, values) in enumerate(model.weights[layer]):
        if stored.endswith(weight):
            model.weights[layer][place] = (stored, np.full_like(values, value))
    return model


@pytest.mark.parametrize(
    ("weight", "value", "why"),
    [
        ("post_activation_max:0", np.nan, "NaN|not finite|no two ends"),
        ("post_activation_max:0", -100.0, "no two ends"),
        ("kernel_min:0", np.inf, "not finite|no two ends|infin"),
    ],
)
def test_ranges_that_are_none_are_refused(
    tmp_path: Path, weight: str, value: float, why: str
) -> None:
    layer = next(name for name in recorded_model("dense").weights if name.startswith("quant_dense"))
    with pytest.raises(ModelError, match=why):
        load(with_range("dense", layer, weight, value).write(tmp_path))


def test_settings_that_are_code_are_refused_by_name(tmp_path: Path) -> None:
    model = recorded_model("dense")
    layers = model.config["config"]["layers"]
    wrapped = [each for each in layers if each["class_name"] == "QuantizeWrapperV2"]
    wrapped[0]["config"]["quantize_config"] = {"class_name": "MyConfig", "config": {}}
    wrapped[1]["config"]["quantize_config"]["config"]["weight_attrs"] = ["kernel", "bias"]
    rounding = next(each for each in layers if each["class_name"] == "QuantizeLayer")
    rounding["config"]["quantizer"]["class_name"] = "MyQuantizer"
    with pytest.raises(ModelError, match="3 layers") as error:
        load(model.write(tmp_path))
    for part in ("'MyConfig'", "'MyQuantizer'", "rounds kernel, bias"):
        assert part in str(error.value)


OTHER_PYTHON = os.environ.get("EDGEINFER_TFMOT_PYTHON", "")
needs_tfmot = pytest.mark.skipif(
    not OTHER_PYTHON,
    reason="EDGEINFER_TFMOT_PYTHON names no Python that has tensorflow-model-optimization",
)


@needs_tfmot
def test_the_toolkit_still_makes_what_is_recorded(tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    script = Path(tfmot_files.__file__).with_name("tfmot_record.py")
    subprocess.run([OTHER_PYTHON, script, again], check=True, cwd=tmp_path, timeout=600)
    ours, theirs = recorded(), json.loads(again.read_text())
    assert ours.keys() == theirs.keys()
    for name, entry in ours.items():
        ys = (np.asarray(each["y"][2]) for each in (entry, theirs[name]))
        np.testing.assert_allclose(*ys, rtol=1e-5, atol=1e-6)
