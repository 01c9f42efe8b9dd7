# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""`tritonclient` is asked where it is installed; here a module of its name stands for it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeinfer.cli.app import main
from tests.support.command_line import shown

URL = "grpc://somewhere:8001"


class InferenceServerException(Exception):
    """As the package raises it."""

    def message(self) -> str:
        return str(self.args[0])

    def status(self) -> str:
        return "StatusCode.NOT_FOUND"


class InferenceServerClient:
    """A server of a model `small`, which doubles its input."""

    def __init__(self, address: str, ssl: bool) -> None:
        assert address == "somewhere:8001" and not ssl

    def get_model_repository_index(self, as_json: bool) -> dict[str, Any]:
        gone = {"name": "gone", "state": "UNAVAILABLE"}
        return {"models": [{"name": "small", "state": "READY"}, gone]}

    def get_model_metadata(self, name: str, version: str, as_json: bool) -> dict[str, Any]:
        if name != "small":
            raise InferenceServerException(f"no {name}")
        return {side: [{"name": side[0], "shape": ["-1", "6"]}] for side in ("inputs", "outputs")}

    def get_model_config(self, name: str, version: str, as_json: bool) -> dict[str, Any]:
        return {"config": {"max_batch_size": 8}}

    def infer(self, name: str, inputs: list[Any], version: str, client_timeout: float) -> Any:
        (tensor,) = inputs
        outputs = [{"name": "o", "datatype": tensor.datatype}]
        return SimpleNamespace(
            get_response=lambda as_json: {"outputs": outputs},
            as_numpy=lambda name: 2 * tensor.values,
        )

    def close(self) -> None:
        """Nothing is open."""


class InferInput:
    """An input as the package holds it."""

    def __init__(self, name: str, shape: list[int], datatype: str) -> None:
        self.name, self.datatype = name, datatype

    def set_data_from_numpy(self, values: np.ndarray) -> None:
        self.values = values


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three samples."""
    np.savez(tmp_path / "d.npz", i=np.arange(18, dtype=np.float32).reshape(3, 6))
    return tmp_path / "d.npz"


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {
        "grpc": {"InferenceServerClient": InferenceServerClient, "InferInput": InferInput},
        "utils": {"InferenceServerException": InferenceServerException},
    }
    for part, held in parts.items():
        module = ModuleType(f"tritonclient.{part}")
        module.__dict__.update(held)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "tritonclient", ModuleType("tritonclient"))


def test_infer_asks_through_it_where_it_is_installed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch)
    output = tmp_path / "o.npz"
    found = shown(capsys, "infer", URL, "--data", str(data), "--batch", "2", "-o", str(output))
    assert found["model"] == "small" and found["requests"] == 2
    assert (np.load(output)["o"] == 2 * np.load(data)["i"]).all()
    assert main(["infer", URL, "--data", str(data), "--model", "other"]) == 4
    assert "answered NOT_FOUND: no other" in capsys.readouterr().err


def test_without_it_who_asks_for_it_is_told_how_to_get_it(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tritonclient.grpc", None)
    assert main(["infer", URL, "--data", str(data), "--client", "tritonclient"]) == 3
    assert "pip install 'tritonclient[grpc]'" in capsys.readouterr().err
