# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An exported network in NVIDIA Triton's Python backend: the integer ONNX beside this file.

Triton imports this file as `model.py`. It stands alone: Triton's Python needs numpy and
onnxruntime, and nothing else of ours.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

MODEL_FILE = "model.onnx"


class TritonPythonModel:
    """What Triton looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the network."""
        import onnxruntime

        folder = Path(args["model_repository"]) / args["model_version"]
        self.session = onnxruntime.InferenceSession(
            folder / MODEL_FILE, providers=["CPUExecutionProvider"]
        )
        self.inputs = [port.name for port in self.session.get_inputs()]
        self.outputs = [port.name for port in self.session.get_outputs()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests in one go: they are laid together, computed, and taken apart again."""
        triton = importlib.import_module("triton_python_backend_utils")  # it is in Triton alone
        tensors_of_requests = [
            [triton.get_input_tensor_by_name(each, name).as_numpy() for name in self.inputs]
            for each in requests
        ]
        feeds = {
            name: np.concatenate(tensors)
            for name, tensors in zip(
                self.inputs, zip(*tensors_of_requests, strict=True), strict=True
            )
        }
        ends = np.cumsum([len(tensors[0]) for tensors in tensors_of_requests])[:-1]
        results = [np.split(whole, ends) for whole in self.session.run(self.outputs, feeds)]
        return [
            triton.InferenceResponse(
                [
                    triton.Tensor(name, part)
                    for name, part in zip(self.outputs, parts, strict=True)
                    if name in each.requested_output_names()
                ]
            )
            for each, parts in zip(requests, zip(*results, strict=True), strict=True)
        ]
