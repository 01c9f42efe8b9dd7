# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Exported ONNX files run by other people's code, their integers found by their own metadata."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from quantization.fixed import Ints


def ports(content: bytes, side: str) -> dict[str, dict[str, Any]]:
    """What the file says of its inputs or outputs."""
    prefix = f"edgeinfer.{side}."
    props = onnx.load_from_string(content).metadata_props
    return {
        prop.key.removeprefix(prefix): json.loads(prop.value)
        for prop in props
        if prop.key.startswith(prefix)
    }


def fed(content: bytes, raw: Mapping[str, Ints]) -> dict[str, NDArray[Any]]:
    """Raw inputs as the file wants them."""
    results: dict[str, NDArray[Any]] = {}
    for name, said in ports(content, "input").items():
        if said["holds"] == "raw":
            results[name] = raw[name]
        else:
            values = np.ldexp(raw[name].astype(np.float64), -said["fractional_bits"])
            results[name] = values.astype(np.float32)
            assert np.array_equal(results[name], values)
    return results


def integers(message: Mapping[str, Any], result: NDArray[Any]) -> Ints:
    """Raw integers of what a tensor holds."""
    if message["holds"] == "raw":
        assert result.dtype == np.int64
        return result
    whole = np.ldexp(result.astype(np.float64), message["fractional_bits"])
    assert np.array_equal(whole, np.round(whole))
    return whole.astype(np.int64)


def by_runtime(content: bytes, raw: Mapping[str, Ints]) -> dict[str, Ints]:
    """Raw outputs as ONNX Runtime computes them, without rewriting the graph."""
    import onnxruntime

    onnx.checker.check_model(content, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    said = ports(content, "output")
    results = session.run(list(said), fed(content, raw))
    return {name: integers(said[name], y) for name, y in zip(said, results, strict=True)}


def by_qonnx(content: bytes, raw: Mapping[str, Ints]) -> dict[str, Ints]:
    """Raw outputs as qonnx computes them, all samples at once."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    model, feeds = onnx.load_from_string(content), fed(content, raw)
    batch = len(next(iter(feeds.values())))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapper = ModelWrapper(model).transform(InferShapes())
        context = execute_onnx(wrapper, feeds, return_full_exec_context=True)
    return {
        name: integers(said, context[said["tensor"]])
        for name, said in ports(content, "output").items()
    }
