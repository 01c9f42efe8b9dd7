# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The layers of the table as other files than Keras's: nodes of ONNX, and the int8 file that
TensorFlow's converter makes of a Keras model. What is read is held against the file's own runtime.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer import api
from edgeinfer.base.errors import EdgeInferError, UnsupportedModelError
from edgeinfer.base.quiet import quiet_stderr
from edgeinfer.base.tflite import model as tflite_file
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.readers import load
from edgeinfer.targets.registry import choose
from quantization.fixed import Ints
from reports.make.onnx_cases import OnnxCase

SAMPLES, BITS = 40, 8
YES = "yes"
PLAIN = {"SUM", "ELU", "CEIL", "ROUND"}  # which the reference kernels lack, or get wrong
HARDWARE = {"HLS": "hls", "RTL": "rtl"}
Floats = NDArray[np.float64]


def reason_of(error: EdgeInferError) -> str:
    """Why a layer is refused, without its place in the model."""
    if isinstance(error, UnsupportedModelError):
        return "; ".join(dict.fromkeys(offence.reason for offence in error.offences))
    return str(error).splitlines()[0]


def run_onnx_case(case: OnnxCase, folder: Path) -> str:
    """Whether a layer in ONNX's nodes is read as ONNX Runtime computes it, and computed exactly."""
    path = folder / "net.onnx"
    path.write_bytes(_onnx_file(case))
    try:
        loaded = load(path)
        graph = loaded.graph
        shape = graph.inputs[0].shape
        x = np.random.default_rng(3).normal(0, 1, (SAMPLES, *shape)).astype("f4")
        data = {graph.inputs[0].name: x}
        quantized = api.quantize(api.load(path, data), bits=BITS)
    except EdgeInferError as error:
        return reason_of(error)
    samples = Samples(data, str(path))
    ours = judge.float_outputs(graph, samples)[graph.outputs[0]]
    theirs = _run_onnx(path, x if shape == case.shape else np.moveaxis(x, -1, 1))
    if ours.shape != theirs.shape:
        theirs = np.moveaxis(theirs, 1, -1)
    if ours.shape != theirs.shape or not np.allclose(ours, theirs, rtol=1e-3, atol=1e-4):
        return "ONNX Runtime computes other numbers"
    raw = judge.raw_inputs(quantized.program, quantized.recipe, samples)
    return _judge(quantized.program, raw)


def _onnx_file(case: OnnxCase) -> bytes:
    """A file of the nodes."""
    from onnx import numpy_helper, parser

    sizes = ", ".join(map(str, ("N", *case.shape)))
    text = f'<ir_version: 10, opset_import: ["" : {case.opset}]> '
    text += f"net (float[{sizes}] x) => (float[] y) {{ {case.nodes} }}"
    model = parser.parse_model(text)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    rng = np.random.default_rng(1)
    for name, weights in case.weights.items():
        is_shape = isinstance(weights, tuple)
        values = rng.normal(0, 0.5, weights).astype("f4") if is_shape else np.asarray(weights)
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    return bytes(model.SerializeToString())


def _run_onnx(path: Path, x: NDArray[np.float32]) -> Floats:
    import onnxruntime

    with quiet_stderr():
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {"x": x})[0], np.float64)


def run_tflite_case(content: bytes, x: NDArray[np.float32], folder: Path) -> str:
    """Whether the int8 file of a Keras model is read, and computed as the reference kernels do."""
    path = folder / "net.tflite"
    path.write_bytes(content)
    try:
        loaded = load(path)
        lowered = lower(loaded.graph, loaded.recipe)
    except EdgeInferError as error:
        return reason_of(error)
    program = lowered.program
    try:
        reals, theirs = _run_tflite(content, x)
    except ValueError as error:  # whose first sentence names what is missing
        return f"TensorFlow Lite's reference kernels: {str(error).split('. ')[0]}"
    entry = program.inputs[0]
    samples = Samples({entry.name: reals.reshape(SAMPLES, *entry.shape)}, str(path))
    raw = judge.raw_inputs(program, lowered.recipe, samples)
    ours = next(iter(judge.program_outputs(program, lowered.recipe, samples).values()))
    if not np.allclose(ours.reshape(theirs.shape), theirs, rtol=1e-6, atol=1e-6):
        return "the reference kernels make other integers"
    return _judge(program, raw)


def int8_file(model: Any, x: NDArray[np.float32]) -> bytes | str:
    """What TensorFlow's converter makes of a model, if integers alone will do; or why it makes
    nothing."""
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.representative_dataset = lambda: ([x[i : i + 1]] for i in range(len(x)))
    with quiet_stderr():
        try:
            return bytes(converter.convert())
        except ConverterError as error:
            missing = re.search(r"^TF Select ops: (.+)$", str(error), re.MULTILINE)
            if missing is None:
                raise
    return f"TensorFlow's converter finds no operators of TensorFlow Lite for {missing[1]}"


def _run_tflite(content: bytes, x: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Real inputs as the file stores them, and what the reference kernels make of them; the plain
    ones where there is no reference kernel, or one that makes no sums (of int8, in LiteRT 2.3)."""
    from ai_edge_litert import interpreter as runtime

    with quiet_stderr():
        kernels = runtime.OpResolverType.BUILTIN_REF
        names = {op.name for op in tflite_file.parse(content, "a layer").operators}
        if names & PLAIN:
            kernels = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        network = runtime.Interpreter(
            model_content=content, experimental_op_resolver_type=kernels, num_threads=1
        )
        network.allocate_tensors()
    enter, leave = network.get_input_details()[0], network.get_output_details()[0]
    scale, zero = enter["quantization"]
    stored = np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)
    outputs = []
    for sample in stored:
        network.set_tensor(enter["index"], sample[None])
        network.invoke()
        outputs.append(network.get_tensor(leave["index"]).astype(np.float64)[0])
    return (stored.astype(np.float64) - zero) * np.float64(scale), np.stack(outputs)


def _judge(program: Program, raw: dict[str, Ints]) -> str:
    """Whether the engine agrees with the interpreter, and hardware's targets take the Program."""
    slow, fast = results(program, interpret(program, raw)), Engine(program, threads=1).run(raw)
    if any(not np.array_equal(slow[name], fast[name]) for name in slow):
        return "the engine makes other integers than the interpreter"
    for title, name in HARDWARE.items():
        chosen = choose(name, {})
        offences = chosen.target.check(program, chosen.target.settle(program, chosen.settings))
        if offences:
            reasons = "; ".join(dict.fromkeys(each.reason for each in offences))
            return f"{title}: {reasons}"
    return YES
