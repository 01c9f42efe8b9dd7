# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small ONNX models made by tests, and what ONNX Runtime and qonnx compute with a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, version_converter

from edgeinfer.graph.nodes import Graph
from edgeinfer.readers.loaded import LoadedModel
from quantization.recipe import Recipe
from tests.support import float_graph

BREVITAS = "onnx.brevitas"
CHANNELS_LAST = "qonnx.custom_op.channels_last"
node = helper.make_node


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, Sequence[int | str]],
    outputs: Sequence[str],
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 17,
    domains: Mapping[str, int] | None = None,
    input_type: int = TensorProto.FLOAT,
    **fields: Any,
) -> ModelProto:
    """A model; outputs have no declared shape."""
    graph = helper.make_graph(
        list(nodes),
        "made by a test",
        [helper.make_tensor_value_info(n, input_type, list(s)) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, v) for domain, v in (domains or {}).items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **fields)


def saved(result: ModelProto, folder: Path, name: str = "net.onnx") -> Path:
    """The model as a file."""
    path = folder / name
    path.write_bytes(result.SerializeToString())
    return path


def floats(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Weights or data."""
    return rng.normal(size=shape).astype(np.float32)


def runtime(
    path: Path, feeds: Mapping[str, NDArray[Any]], *, fixed: bool = False
) -> list[NDArray[Any]]:
    """ONNX Runtime's outputs, without its own rewriting of the graph; fixed: no axis in front that
    counts samples."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    result = onnx.load(path) if fixed else for_batch(onnx.load(path), feeds)
    if result.opset_import[0].version < 7:  # which ONNX Runtime no longer has
        result = version_converter.convert_version(result, 9)
    session = onnxruntime.InferenceSession(
        result.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(y) for y in session.run(None, dict(feeds))]


def shape_of_input(path: Path) -> tuple[int, ...]:
    """The first input's shape without the batch."""
    _, *sizes = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    return tuple(size.dim_value for size in sizes)


def for_batch(result: ModelProto, feeds: Mapping[str, NDArray[Any]]) -> ModelProto:
    """The model for as many samples as are fed, without claims about its outputs."""
    for value in result.graph.input:
        if value.name in feeds:
            value.type.tensor_type.shape.dim[0].dim_value = len(feeds[value.name])
    for value in result.graph.output:
        value.type.tensor_type.ClearField("shape")
    return result


def reference(path: Path, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """qonnx's outputs for one batch."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    result = onnx.load(path)
    if CHANNELS_LAST not in {opset.domain for opset in result.opset_import}:
        result.opset_import.append(helper.make_opsetid(CHANNELS_LAST, 10))  # qonnx would assume 1
    wrapper = ModelWrapper(result).transform(InferShapes())
    found = execute_onnx(wrapper, dict(feeds))
    return [found[value.name] for value in wrapper.graph.output]


def computed(
    loaded: LoadedModel,
    feeds: Mapping[str, NDArray[Any]],
    shapes: Sequence[tuple[int, ...]] | None,
    *,
    recipe: Recipe | None = None,
) -> list[NDArray[Any]]:
    """Our outputs in the file's layout; inputs and outputs change sides where a finding says so.
    Their shapes are checked unless they are not given."""
    values = [
        np.moveaxis(x, 1, -1) if changed_sides(loaded, "input", entry.name) else x
        for entry, x in zip(loaded.graph.inputs, feeds.values(), strict=True)
    ]
    results = [
        np.moveaxis(y, -1, 1) if changed_sides(loaded, "output", name) else y
        for name, y in zip(
            loaded.graph.outputs,
            float_graph.outputs(loaded.graph, values, recipe),
            strict=True,
        )
    ]
    assert shapes is None or [y.shape for y in results] == list(shapes)
    return results


def changed_sides(loaded: LoadedModel, side: str, name: str) -> bool:
    """Whether the Graph has a tensor channels last that the file has channels first."""
    return any(finding.startswith(f"The {side} {name!r} is") for finding in loaded.findings)


def on_its_grid(loaded: LoadedModel) -> bool:
    """Whether quantizing the Graph's weights by the recipe changes none of them."""
    for key, values in loaded.graph.weights():
        form = loaded.recipe.weight(key)
        if form is not None:
            held = np.ldexp(form.raw(values).astype(np.float64), -form.frac)
            if not np.array_equal(held, values):
                return False
    return True


def kinds(graph: Graph) -> list[str]:
    """The nodes' kinds in order."""
    return [type(made).__name__.removesuffix("Node") for made in graph.nodes]
