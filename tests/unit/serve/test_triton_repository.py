# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model repository for a real Triton: what its configuration promises, its ONNX file does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from google.protobuf import text_format

from edgeinfer.ir.interpret import interpret, results
from edgeinfer.serve import triton_repository
from edgeinfer.serve.messages import message_class
from edgeinfer.serve.triton_repository import RepositoryFormat, write_repository
from tests.support.serving import pooled_program, small_program


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(triton_repository, "program_of", lambda *given: (pooled_program(), []))
    result = write_repository(Path("RUN"), tmp_path / "models", RepositoryFormat.ONNX)
    assert result.model == "pooled" and not result.findings
    return tmp_path / "models" / "pooled"


def test_the_file_computes_what_the_configuration_describes(exported: Path) -> None:
    program = pooled_program()
    config = text_format.Parse(
        (exported / "config.pbtxt").read_text(), message_class("ModelConfig")()
    )
    assert (config.name, config.platform) == ("pooled", "onnxruntime_onnx")
    assert config.max_batch_size == 65536 and not config.backend
    session = onnxruntime.InferenceSession(exported / "1" / "model.onnx")
    ports = {(p.name, tuple(p.shape[1:]), p.type) for p in session.get_inputs()}
    assert ports == {(p.name, tuple(p.dims), "tensor(int64)") for p in config.input}
    outputs = {(p.name, tuple(p.shape[1:]), p.type) for p in session.get_outputs()}
    assert outputs == {(p.name, tuple(p.dims), "tensor(int64)") for p in config.output}
    assert config.parameters["input.patch"].string_value == "ufixed<8,0>"
    assert config.parameters["host_function.michel"].string_value == "sigmoid"
    raw = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1))
    expected = results(program, interpret(program, {"patch": raw}))
    names = [port.name for port in config.output]
    for name, values in zip(names, session.run(names, {"patch": raw}), strict=True):
        assert (values == expected[name]).all()


def test_a_name_that_is_no_folder_becomes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = replace(small_program(), name="../../etc/net")
    monkeypatch.setattr(triton_repository, "program_of", lambda *given: (program, []))
    result = write_repository(Path("RUN"), tmp_path / "models", RepositoryFormat.ONNX)
    assert result.model == "etc_net" and "called etc_net" in result.findings[0]
    assert {path.relative_to(tmp_path).parts[:2] for path in result.files} == {
        ("models", "etc_net")
    }


def test_the_python_backend_gets_a_file_that_stands_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triton_repository, "program_of", lambda *given: (small_program(), []))
    write_repository(Path("RUN"), tmp_path, RepositoryFormat.PYTHON)
    config = text_format.Parse(
        (tmp_path / "small" / "config.pbtxt").read_text(), message_class("ModelConfig")()
    )
    assert (config.backend, config.platform) == ("python", "")
    namespace: dict[str, Any] = {"__name__": "model"}
    exec((tmp_path / "small" / "1" / "model.py").read_text(), namespace)
    model = namespace["TritonPythonModel"]()
    model.initialize({"model_repository": str(tmp_path / "small"), "model_version": "1"})
    assert (model.inputs, model.outputs) == (["x"], ["sum"])
    assert "edgeinfer" not in namespace
