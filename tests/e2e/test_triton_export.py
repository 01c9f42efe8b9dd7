# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Exported model repositories in a real Triton: our integers from its Python backend, and a
configuration that it reads for its ONNX Runtime backend, which the wheel does not have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.interpret import interpret, results
from edgeinfer.serve import triton_repository
from edgeinfer.serve.messages import message_class
from edgeinfer.serve.triton_repository import RepositoryFormat, write_repository
from tests.e2e.test_triton import PACKAGES
from tests.support.environments import environment
from tests.support.serving import ask, call, pooled_program, small_program, tensor
from tests.support.triton import Triton, real_triton


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """Triton with the pooled tagger for the Python backend, and a small model for the other."""
    python = environment(tmp_path_factory, "triton", *PACKAGES)
    folder = tmp_path_factory.mktemp("exported")
    for program, format_ in (
        (pooled_program(), RepositoryFormat.PYTHON),
        (small_program(), RepositoryFormat.ONNX),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(triton_repository, "program_of", lambda *given, p=program: (p, []))
            write_repository(Path("RUN"), folder / "models", format_)
    options = ("--exit-on-error=false", "--strict-readiness=false")
    with real_triton(python, folder, folder / "models", *options) as opened:
        yield opened


@pytest.mark.slow
def test_triton_serves_our_integers(triton: Triton) -> None:
    program = pooled_program()
    config = ask(triton.http_port, "GET", "/v2/models/pooled/config")[1]
    assert config["backend"] == "python" and config["max_batch_size"] == 65536
    assert config["parameters"]["program"]["string_value"] == program.digest
    for count in (1, 7, 300):
        raw = np.random.default_rng(count).integers(0, 256, (count, 48, 48, 1))
        expected = results(program, interpret(program, {"patch": raw}))
        response = call(
            triton.grpc_port, "ModelInfer", model_name="pooled",
            inputs=[tensor("patch", raw, "INT64")], raw_input_contents=[raw.tobytes()],
        )  # fmt: skip
        assert isinstance(response, message_class("ModelInferResponse")), response
        for output, content in zip(response.outputs, response.raw_output_contents, strict=True):
            result = np.frombuffer(content, np.int64).reshape(tuple(output.shape))
            assert np.array_equal(result, expected[output.name])
        assert {output.name for output in response.outputs} == set(expected)


@pytest.mark.slow
def test_triton_reads_the_configuration_for_the_backend_that_it_lacks(triton: Triton) -> None:
    index = ask(triton.http_port, "POST", "/v2/repository/index", b"")[1]
    (listed,) = (model for model in index if model["name"] == "small")
    assert listed["version"] == "1" and listed["state"] == "UNAVAILABLE"
    assert "onnxruntime" in listed["reason"] and "backend" in listed["reason"]
