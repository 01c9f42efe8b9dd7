# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program in NVIDIA Triton's Python backend: the interpreter, in Triton's own environment.

Triton imports this file as `model.py`; the configuration's parameters say where the sources and the
run are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    """What Triton looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the run."""
        parameters = json.loads(args["model_config"])["parameters"]
        sys.path.insert(0, parameters["sources"]["string_value"])
        from edgeinfer.ir import store
        from quantization.recipe import Recipe

        run = Path(parameters["run"]["string_value"])
        self.program = store.load((run / "program.npz").read_bytes())
        self.recipe = Recipe.from_toml((run / "recipe.toml").read_text())

    def execute(self, requests: list) -> list:
        """Every request by itself."""
        from edgeinfer.ir.interpret import interpret, results
        from quantization.fixed import dequantize, quantize

        answers = []
        (port,) = self.program.inputs
        for request in requests:
            values = triton.get_input_tensor_by_name(request, port.name).as_numpy()
            raw = {port.name: quantize(values, self.recipe.activation(port.name))}
            result = results(self.program, interpret(self.program, raw))
            tensors = [
                triton.Tensor(
                    output.name,
                    dequantize(result[output.name], self.program.type(output.value)).astype(
                        np.float32
                    ),
                )
                for output in self.program.outputs
            ]
            answers.append(triton.InferenceResponse(output_tensors=tensors))
        return answers
