# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whatever a reader refuses, its message names what works in its place."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import edgeinfer.readers
from edgeinfer.base.errors import Offence, UnsupportedModelError
from edgeinfer.base.tflite.names import OPERATORS
from edgeinfer.readers.forms import forms_of
from edgeinfer.readers.keras import cells, layers, operations, tfmot_variables
from edgeinfer.readers.keras.config import parse_layer
from edgeinfer.readers.keras.layers import OWN_CODE, nearest_layer
from edgeinfer.readers.onnx import nodes
from edgeinfer.readers.tflite import reader as tflite_reader

ROOM = Path(edgeinfer.readers.__file__).parent
REPORTS = ("ModelError", "InputError", "UsageError")


def test_all_keras_layers_have_a_form():
    keras = pytest.importorskip("keras")
    names = {
        name
        for name, kind in vars(keras.layers).items()
        if inspect.isclass(kind) and issubclass(kind, keras.Layer)
    }
    names |= {*layers.READERS, *cells.RECURRENT, *tfmot_variables.WRAPPERS}
    forms = forms_of("keras-layers")
    assert len(names) > 150
    assert names <= {*forms, *(f"Q{name}" for name in forms)}


def test_all_keras_operations_have_a_form():
    keras = pytest.importorskip("keras")
    package = importlib.import_module("keras.src.ops")
    names = set(operations.READERS) | set(operations.REASONS)
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_test"):
            continue
        for name, kind in vars(importlib.import_module(f"keras.src.ops.{module.name}")).items():
            known = inspect.isclass(kind) and issubclass(kind, keras.Operation)
            if known and kind is not keras.Operation:
                names.add(operations.canonical_name(f"keras.ops.{name}"))
    assert len(names) > 250
    assert names <= set(forms_of("keras-operations"))


def test_all_onnx_operators_have_a_form():
    onnx = pytest.importorskip("onnx")
    names = {s.name for s in onnx.defs.get_all_schemas_with_history() if not s.domain}
    names |= {name for readers in nodes.DOMAINS.values() for name in readers}
    assert names <= set(forms_of("onnx"))


def test_all_tflite_operators_have_a_form():
    names = {name for name in OPERATORS if not name.startswith("STABLEHLO")}
    assert {*names, *tflite_reader.READABLE} <= set(forms_of("tflite"))


def test_every_report_of_a_reader_names_a_form_or_a_remedy():
    """By the readers' source: each Offence has a form, each other error of a file a hint."""
    without = []
    for path in sorted(ROOM.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                continue
            options = {option.arg for option in call.keywords}
            name = call.func.id
            bare = (name == "Offence" and len(call.args) < 4) or (
                name in REPORTS and "hint" not in options
            )
            if bare:
                without.append(f"{path.name}:{call.lineno}")
    assert without == []


def test_classes_of_ones_own_and_functions_have_a_form():
    def form_of(**entry):
        return nearest_layer(parse_layer({"name": "x", **entry}, "", 0))

    assert form_of(class_name="Thing", registered_name="mine>Thing") == OWN_CODE
    assert "before an LSTM" in form_of(class_name="ConvLSTM2D")
    function = {"class_name": "TFOpLambda", "config": {"function": "math.segment_sum"}}
    assert "one_hot" in form_of(**function)
    assert "docs/keras.md" in form_of(class_name="TFOpLambda", config={"function": 3})
    assert "HGQ2" in form_of(class_name="QEinsum", registered_name="hgq>QEinsum")


def test_a_form_stands_once_beside_the_first_of_its_kind():
    offences = [Offence(place, "A", "unknown", "use B") for place in ("first", "second")]
    text = str(UnsupportedModelError("net", [*offences, Offence("third", "C", "unknown")]))
    assert "first (A): unknown (what works: use B); second (A): unknown; third" in text
    assert text.count("use B") == 1
