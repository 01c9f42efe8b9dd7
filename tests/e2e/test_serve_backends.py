# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Other ways to compute behind the same door: a client sees the same numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import RunBusyError, UsageError
from edgeinfer.cli.app import main
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.run.folder import Progress, open_run
from edgeinfer.run.lower import read_recipe
from edgeinfer.run.projects import recall_targets
from edgeinfer.run.result import RECIPE
from edgeinfer.run.trial import stored_program
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import ServerSettings
from tests.support import small_models as small
from tests.support.serving import call, running

VALUES = np.random.default_rng(0).normal(size=(7, small.INPUTS)).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network for HLS and for the Edge TPU."""
    folder = tmp_path_factory.mktemp("backends")
    model, data = small.classifier(folder), small.data(folder)
    targets = ["--target", "hls", "--io", "io_parallel", "--target", "edgetpu"]
    command = ["compile", str(model), "--bits", "6", "--data", str(data), *targets]
    assert main([*command, "-o", str(folder / "run")]) == 0
    return folder / "run"


def answers(run: Path, backend: str) -> np.ndarray:
    """Raw outputs that a server with a backend gives."""
    settings = RepositorySettings((run,), backend=backend, raw_outputs=True)
    tensor = {"name": "x", "datatype": "FP32", "shape": VALUES.shape}
    fields: dict[str, Any] = {"inputs": [tensor], "raw_input_contents": [VALUES.tobytes()]}
    with running(ServerSettings(settings)) as server:
        ((name, _),) = server.models
        response = call(server.grpc_port, "ModelInfer", model_name=name, **fields)
        config = call(server.grpc_port, "ModelConfig", name=name).config
    assert config.parameters["backend"].string_value == backend
    (output,), (content,) = response.outputs, response.raw_output_contents
    return np.frombuffer(content, f"i{int(output.datatype[3:]) // 8}").reshape(tuple(output.shape))


@pytest.mark.slow
def test_exact_targets_answer_as_the_engine_and_the_chip_as_its_file(run: Path) -> None:
    engine = answers(run, "engine")
    assert (answers(run, "csim") == engine).all()
    assert (answers(run, "hls") == engine).all()
    with open_run(run, Progress(), new=False) as folder:
        program, recipe = stored_program(folder), read_recipe(run / RECIPE)
        (chosen,) = (t for t in recall_targets(folder, program.digest) if t.name == "edgetpu")
        raw = raw_inputs(program, recipe, Samples({"x": VALUES}, ""))
        (expected,) = chosen.target.simulate(
            program, run / "edgetpu", raw, chosen.settings
        ).values()
    document = answers(run, "tflite")
    assert (document == expected).all() and (document != engine).any()


@pytest.mark.slow
def test_what_a_run_does_not_hold_is_refused_by_name(run: Path) -> None:
    settings = RepositorySettings((run,), backend="rtl")
    message = "can be served by engine, csim, tflite"
    with pytest.raises(UsageError, match=message), running(ServerSettings(settings)):
        pass
    board = RepositorySettings((run,), backend="board:/dev/ttyUSB0")
    with pytest.raises(UsageError, match="no design for a board"), running(ServerSettings(board)):
        pass


@pytest.mark.slow
def test_a_simulation_keeps_the_folder_to_itself_and_the_engine_does_not(run: Path) -> None:
    with running(ServerSettings(RepositorySettings((run,)))), open_run(run, Progress(), new=False):
        pass
    settings = ServerSettings(RepositorySettings((run,), backend="csim"))
    with running(settings), pytest.raises(RunBusyError), open_run(run, Progress(), new=False):
        pass


@pytest.mark.slow
def test_code_that_someone_has_changed_is_not_run(run: Path) -> None:
    source = next((run / "hls" / "firmware").glob("*.cpp"))
    before = source.read_text()
    source.write_text(before + "\n// more\n")
    try:
        settings = ServerSettings(RepositorySettings((run,), backend="csim"))
        with pytest.raises(UsageError, match="not as emitted"), running(settings):
            pass
    finally:
        source.write_text(before)
