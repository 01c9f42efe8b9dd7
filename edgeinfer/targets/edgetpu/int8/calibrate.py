# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Float networks to int8 files by TensorFlow's converter, their ranges by our own look at every
tensor.

Its calibrator reads the ranges of an operator's inputs after the operator has run, when its result
may lie in the same memory (github.com/tensorflow/tensorflow/issues/127842): a gate between 0 and 1
gets the range of its product, and has few levels left.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import ToolFailedError
from edgeinfer.base.extras import require_extra
from edgeinfer.base.tflite.names import OPERATORS, name_of
from edgeinfer.graph.nodes import Shape
from edgeinfer.targets.edgetpu.tflite.simulate import Kernels, prepare, runtime_module

ONE_SCALE = {  # operators whose results have the levels of what they read
    "AVERAGE_POOL_2D", "CONCATENATION", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "MAX_POOL_2D",
    "MIRROR_PAD", "PACK", "PAD", "PADV2", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR",
    "SLICE", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE",
    "UNPACK",
}  # fmt: skip


def convert_drawing(
    draw: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    shapes: Mapping[str, Shape],
    outputs: Sequence[str],
    samples: Mapping[str, NDArray[np.float64]],
) -> bytes:
    """The converter's int8 file for a drawing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    require_extra(
        "train", "An int8 file of a network without formats of 8 bits or fewer (see --bits)"
    )
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    enter, leave = keys_of(list(shapes)), keys_of(outputs)

    class Network(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[
                {
                    enter[name]: tf.TensorSpec((1, *shape), tf.float32, name=enter[name])
                    for name, shape in shapes.items()
                }
            ],
            autograph=False,
        )
        def run(self, inputs: Any) -> Any:
            drawn = draw({name: inputs[key] for name, key in enter.items()})
            return {leave[name]: tf.identity(drawn[name], name=leave[name]) for name in outputs}

    module = Network()
    function = module.run.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
    try:
        with_ranges = state_ranges(bytes(converter.convert()), samples, enter)
        content = mlir_quantize(with_ranges, input_data_type=tf.int8, output_data_type=tf.int8)
    except Exception as error:  # the converter's own kinds are not public
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise ToolFailedError(
            f"TensorFlow's converter failed: {lines[0][:300] if lines else error!r}."
        ) from None
    return bytes(content)


def _representative(
    samples: Mapping[str, NDArray[np.float64]], keys: Mapping[str, str]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Samples one by one, by name: a list would be taken in an order of the converter's own."""
    for i in range(len(next(iter(samples.values())))):
        yield {key: samples[name][i : i + 1].astype(np.float32) for name, key in keys.items()}


def state_ranges(
    data: bytes, samples: Mapping[str, NDArray[np.float64]], keys: Mapping[str, str]
) -> bytes:
    """A float file with the ranges that its tensors have on the samples."""
    from tensorflow.lite.python.schema_py_generated import QuantizationParametersT, TensorType
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(data)
    (graph,) = model.subgraphs
    values = {
        index: tensor
        for index, tensor in enumerate(graph.tensors)
        if tensor.type == TensorType.FLOAT32 and model.buffers[tensor.buffer].data is None
    }
    interpreter = prepare(runtime_module()[0], data, Kernels.BUILTIN, keeps_tensors=True)
    runner = interpreter.get_signature_runner()
    low, high = dict.fromkeys(values, np.inf), dict.fromkeys(values, -np.inf)
    for sample in _representative(samples, keys):
        runner(**sample)
        for index in values:
            tensor = interpreter.get_tensor(index)
            low[index] = min(low[index], float(tensor.min()))
            high[index] = max(high[index], float(tensor.max()))
    _share_ranges(model, low, high)
    for index, tensor in values.items():
        tensor.quantization = QuantizationParametersT()
        tensor.quantization.min, tensor.quantization.max = [low[index]], [high[index]]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _share_ranges(model: Any, low: dict[int, float], high: dict[int, float]) -> None:
    """Tensors around an operator with one scale get the range that holds them all. The converter
    would take that of one of them, and cut off what lies beyond it in the others."""
    (graph,) = model.subgraphs
    names = [name_of(code.builtinCode, OPERATORS) for code in model.operatorCodes]
    moves = [op for op in graph.operators if names[op.opcodeIndex] in ONE_SCALE]
    around = [{*op.inputs, *op.outputs} & low.keys() for op in moves]
    for _ in around:
        for tensors in around:
            least, most = min(low[at] for at in tensors), max(high[at] for at in tensors)
            low.update(dict.fromkeys(tensors, least))
            high.update(dict.fromkeys(tensors, most))


def keys_of(names: Sequence[str]) -> dict[str, str]:
    """Names as a signature may hold them; distinct names stay distinct."""
    keys: dict[str, str] = {}
    for name in names:
        key = re.sub(r"[^A-Za-z0-9_]", "_", name)
        key = key if re.match(r"[A-Za-z]", key) else f"t_{key}"
        while key in keys.values():
            key += "_"
        keys[name] = key
    return keys
