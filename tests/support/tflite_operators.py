# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""One operator a file, with random shapes, scales, zero points and options, and what TensorFlow
Lite's reference kernels make of it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.tflite import model as tflite_file
from edgeinfer.base.tflite.model import TfliteTensor
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from edgeinfer.readers.tflite.values import inner
from edgeinfer.targets.edgetpu.tflite.ports import TflitePort, TflitePorts
from edgeinfer.targets.edgetpu.tflite.simulate import Interpreter, Kernels
from quantization.fixed import Ints, dequantize, quantize
from tests.support.tflite_builder import O, T, tflite
from tests.support.tflite_moves import MOVES, bilinear
from tests.support.tflite_places import PLACES, matmul

FUSED = (0, 1, 2, 3)  # none, RELU, RELU_N1_TO_1, RELU6
RANGES = {"INT8": (-128, 128), "UINT8": (0, 256)}
Rng = np.random.Generator


def ports_of(path: Path) -> TflitePorts:
    """A file's inputs and outputs."""
    model = tflite_file.read(path)
    return TflitePorts(*(tuple(map(_port, side)) for side in (model.inputs, model.outputs)))


def _port(tensor: TfliteTensor) -> TflitePort:
    scale = float(tensor.scales[0]) if tensor.scales.size else 1.0
    zero = int(tensor.zero_points[0]) if tensor.zero_points.size else 0
    return TflitePort(tensor.name, inner(tensor.shape), tensor.type, scale, zero)


def random_stored(ports: TflitePorts, samples: int, rng: Rng) -> dict[str, Ints]:
    """Stored inputs of every size."""
    return {
        port.name: rng.integers(*RANGES[port.type], (samples, *port.shape)) for port in ports.inputs
    }


def before_softmax(data: bytes) -> bytes:
    """The same file, in which the tensors that a final softmax reads are the outputs."""
    model = tflite_file.parse(data, "a case")
    reads = {op.outputs[0].index: op for op in model.operators if op.name == "SOFTMAX"}
    graph = model.flat.root().tables(2)[0]
    changed = bytearray(data)
    for place, output in enumerate(model.outputs):
        if output.index in reads:
            first = reads[output.index].inputs[0]
            assert first is not None
            struct.pack_into("<i", changed, graph.start(2) + 4 * place, first.index)
    return bytes(changed)


def reference(path: Path, ports: TflitePorts, stored: dict[str, Ints]) -> dict[str, NDArray[Any]]:
    """What the reference kernels make of stored inputs."""
    return Interpreter(path.read_bytes(), ports, Kernels.REFERENCE).run(stored)


def plain_outputs(path: Path, stored: Ints, like: Ints) -> Ints:
    """What TensorFlow Lite's plain kernels make of one stored input, without XNNPACK."""
    from ai_edge_litert import interpreter as runtime

    kernels = runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    network = runtime.Interpreter(str(path), experimental_op_resolver_type=kernels, num_threads=1)
    network.allocate_tensors()
    (enter,), (leave,) = network.get_input_details(), network.get_output_details()
    outputs = []
    for sample in stored:
        network.set_tensor(enter["index"], sample.reshape(enter["shape"]).astype(enter["dtype"]))
        network.invoke()
        outputs.append(network.get_tensor(leave["index"]).copy())
    return np.stack(outputs).reshape(like.shape).astype(np.int64)


def program_outputs(
    path: Path, ports: TflitePorts, stored: dict[str, Ints], *, slow: bool = False
) -> dict[str, Ints]:
    """What the Program makes of stored inputs that come as real numbers, as it would be stored."""
    loaded = load(path)
    lowered = lower(loaded.graph, loaded.recipe)
    program = lowered.program
    raw = {}
    for port, op in zip(ports.inputs, program.inputs, strict=True):
        quantizer = lowered.recipe.activation(op.name)
        assert quantizer is not None
        values = port.real(stored[port.name])
        raw[op.name] = quantize(values.reshape(-1, *op.shape), quantizer)
    result = (
        results(program, interpret(program, raw)) if slow else Engine(program, threads=1).run(raw)
    )
    found = {}
    for port, output in zip(ports.outputs, program.outputs, strict=True):
        real = dequantize(result[output.name], program.type(output.value))
        found[port.name] = _stored(real, port).reshape(-1, *port.shape)
    return found


def _stored(real: NDArray[np.float64], port: TflitePort) -> Ints:
    steps = real / port.scale
    assert np.abs(steps - np.rint(steps)).max(initial=0.0) < 1e-6  # an output is on its own grid
    return np.rint(steps).astype(np.int64) + port.zero_point


def scale(rng: Rng, low: float = 0.003, high: float = 0.3) -> float:
    """A scale, sometimes a power of two, for which there are ties."""
    if rng.random() < 0.3:
        return float(2.0 ** rng.integers(-8, -1))
    return float(np.float32(np.exp(rng.uniform(np.log(low), np.log(high)))))


def zero(rng: Rng, type_: str) -> int:
    """A zero point, often at an end."""
    low, high = RANGES[type_]
    return int(rng.choice([low, high - 1, 0 if low else 128, rng.integers(low, high)]))


def tensor(rng: Rng, name: str, shape: Sequence[int], type_: str, **given: Any) -> T:
    """A computed tensor."""
    given = {"scales": (scale(rng),), "zero_points": (zero(rng, type_),)} | given
    return T(name, tuple(shape), type_, **given)


def alike(one: T, name: str, shape: Sequence[int]) -> T:
    """A tensor with the scale and the zero point of another."""
    return T(name, tuple(shape), one.type, None, one.scales, one.zero_points)


def _weights(rng: Rng, shape: tuple[int, ...], type_: str, axis: int, per_channel: bool) -> T:
    channels = shape[axis]
    count = channels if per_channel else 1
    scales = tuple(scale(rng, 0.001, 0.05) for _ in range(count))
    zeros = (int(rng.integers(0, 256)),) if type_ == "UINT8" else (0,) * count
    low = -127 if type_ == "INT8" else 0
    data = rng.integers(low, RANGES[type_][1], shape)
    return T("w", shape, type_, data, scales, zeros, axis)


def _linear(
    rng: Rng, op: str, x: T, w: T, y: tuple[int, ...], options: dict[int, tuple[str, float]]
) -> bytes:
    channels = y[-1]
    reach = float(x.scales[0]) * max(w.scales) * 127 * 64 * np.sqrt(np.prod(w.shape) / channels)
    out = tensor(rng, "y", y, x.type, scales=(scale(rng, reach / 500, reach / 20),))
    products = tuple(float(np.float32(x.scales[0]) * np.float32(s)) for s in w.scales)
    zeros = (0,) * len(products)
    b = T("b", (channels,), "INT32", rng.integers(-3000, 3000, channels), products, zeros)
    has_bias = op != "FULLY_CONNECTED" or rng.random() < 0.7  # convolutions have one always
    read: tuple[str | None, ...] = ("x", "w", "b") if has_bias else ("x", "w", None)
    version = 4 if op == "FULLY_CONNECTED" else 3
    if op == "TRANSPOSE_CONV":
        shape = T("shape", (4,), "INT32", y, (), ())
        step = O(op, ("shape", "w", "x", "b"), ("y",), version, options)
        return tflite([x, shape, w, b, out], [step], ["x"], ["y"])
    return tflite([x, w, b, out], [O(op, read, ("y",), version, options)], ["x"], ["y"])


def dense(rng: Rng, type_: str) -> bytes:
    """FULLY_CONNECTED."""
    inputs, outputs = int(rng.integers(1, 40)), int(rng.integers(1, 12))
    x = tensor(rng, "x", (1, inputs), type_)
    per_channel = type_ == "INT8" and rng.random() < 0.5
    w = _weights(rng, (outputs, inputs), type_, 0, per_channel)
    return _linear(rng, "FULLY_CONNECTED", x, w, (1, outputs), {0: ("i8", int(rng.choice(FUSED)))})


def _geometry(rng: Rng) -> tuple[Any, ...]:
    size, window = rng.integers(4, 9, 2), rng.integers(1, 4, 2)
    strides, same = rng.integers(1, 3, 2), bool(rng.random() < 0.5)
    return size, window, strides, same


def _places(size: Any, reach: Any, strides: Any, *, same: bool) -> tuple[int, ...]:
    return tuple(
        int(-(-n // s) if same else (n - r) // s + 1)
        for n, r, s in zip(size, reach, strides, strict=True)
    )


def conv(rng: Rng, type_: str) -> bytes:
    """CONV_2D."""
    size, window, strides, same = _geometry(rng)
    groups = int(rng.choice([1, 2])) if type_ == "INT8" else 1
    each, outputs = int(rng.integers(1, 4)), groups * int(rng.integers(1, 4))
    dilation = rng.integers(1, 3, 2) if (strides == 1).all() else np.ones(2, int)
    reach = (window - 1) * dilation + 1
    same = same or bool((reach > size).any())
    x = tensor(rng, "x", (1, *map(int, size), each * groups), type_)
    shape = (outputs, *map(int, window), each)
    w = _weights(rng, shape, type_, 0, type_ == "INT8" and rng.random() < 0.7)
    y = (1, *_places(size, reach, strides, same=same), outputs)
    options = {
        0: ("i8", 0 if same else 1),
        1: ("i32", int(strides[1])),
        2: ("i32", int(strides[0])),
        3: ("i8", int(rng.choice(FUSED))),
        4: ("i32", int(dilation[1])),
        5: ("i32", int(dilation[0])),
    }
    return _linear(rng, "CONV_2D", x, w, y, options)


def transposed(rng: Rng, type_: str) -> bytes:
    """TRANSPOSE_CONV."""
    size, window, strides, same = _geometry(rng)
    inputs, outputs = (int(n) for n in rng.integers(1, 4, 2))
    x = tensor(rng, "x", (1, *map(int, size), inputs), type_)
    w = _weights(rng, (outputs, *map(int, window), inputs), type_, 0, type_ == "INT8")
    full = size * strides if same else (size - 1) * strides + np.maximum(window, strides)
    y = (1, *map(int, full), outputs)
    options = {
        0: ("i8", 0 if same else 1),
        1: ("i32", int(strides[1])),
        2: ("i32", int(strides[0])),
        3: ("i8", int(rng.choice([0, 1, 3]))),
    }
    return _linear(rng, "TRANSPOSE_CONV", x, w, y, options)


def depthwise(rng: Rng, type_: str) -> bytes:
    """DEPTHWISE_CONV_2D."""
    size, window, strides, same = _geometry(rng)
    channels, multiplier = int(rng.integers(1, 5)), int(rng.integers(1, 3))
    x = tensor(rng, "x", (1, *map(int, size), channels), type_)
    shape = (1, *map(int, window), channels * multiplier)
    w = _weights(rng, shape, type_, 3, type_ == "INT8" and rng.random() < 0.7)
    y = (1, *_places(size, window, strides, same=same), channels * multiplier)
    options = {
        0: ("i8", 0 if same else 1),
        1: ("i32", int(strides[1])),
        2: ("i32", int(strides[0])),
        3: ("i32", multiplier),
        4: ("i8", int(rng.choice(FUSED))),
        5: ("i32", 1),
        6: ("i32", 1),
    }
    return _linear(rng, "DEPTHWISE_CONV_2D", x, w, y, options)


def pool(rng: Rng, type_: str, op: str) -> bytes:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""
    size, window, strides, same = _geometry(rng)
    x = tensor(rng, "x", (1, *map(int, size), int(rng.integers(1, 4))), type_)
    y = alike(x, "y", (1, *_places(size, window, strides, same=same), x.shape[3]))
    options = {
        0: ("i8", 0 if same else 1),
        1: ("i32", int(strides[1])),
        2: ("i32", int(strides[0])),
        3: ("i32", int(window[1])),
        4: ("i32", int(window[0])),
        5: ("i8", int(rng.choice(FUSED))),
    }
    return tflite([x, y], [O(op, ("x",), ("y",), 2, options)], ["x"], ["y"])


def pair(rng: Rng, type_: str, op: str) -> bytes:
    """ADD, SUB and MUL, of two inputs or of an input and a constant."""
    shape = tuple(int(n) for n in rng.integers(1, 5, 3))
    other = shape if rng.random() < 0.6 else (1, 1, shape[-1])
    a, b = tensor(rng, "a", (1, *shape), type_), tensor(rng, "b", (1, *other), type_)
    reach = a.scales[0] * b.scales[0] * 60 if op == "MUL" else max(a.scales[0], b.scales[0])
    if op == "SQUARED_DIFFERENCE":
        reach = 200 * max(a.scales[0], b.scales[0]) ** 2
    y = tensor(rng, "y", (1, *shape), type_, scales=(scale(rng, reach / 2, reach * 4),))
    names = ["a", "b"]
    if rng.random() < 0.3:
        names = ["a"]
        b = T("b", b.shape, type_, rng.integers(*RANGES[type_], b.shape), b.scales, b.zero_points)
    order = ("a", "b") if rng.random() < 0.7 else ("b", "a")
    fused = {} if op == "SQUARED_DIFFERENCE" else {0: ("i8", int(rng.choice(FUSED)))}
    step = O(op, order, ("y",), 2, fused)
    return tflite([a, b, y], [step], names, ["y"])


VERSIONS = {"RELU_N1_TO_1": 1, "HARD_SWISH": 1, "NEG": 1}


def single(rng: Rng, type_: str, op: str) -> bytes:
    """Operators on each number that choose the output's scale freely."""
    x = tensor(rng, "x", (1, int(rng.integers(1, 60))), type_)
    other = str(rng.choice(["INT8", "UINT8"])) if op == "QUANTIZE" else type_
    span = x.scales[0]
    y = tensor(rng, "y", x.shape, other, scales=(scale(rng, span / 3, span * 3),))
    options: dict[int, tuple[str, float]] = {}
    match op:
        case "LOGISTIC":
            y = T("y", x.shape, type_, None, (1 / 256,), (-128 if type_ == "INT8" else 0,))
        case "TANH":
            y = T("y", x.shape, type_, None, (1 / 128,), (0 if type_ == "INT8" else 128,))
        case "HARD_SWISH":
            y = tensor(rng, "y", x.shape, type_, scales=(span * float(rng.uniform(0.5, 2.0)),))
        case "LEAKY_RELU":
            options = {0: ("f32", float(rng.uniform(-0.5, 1.5)))}
        case "GELU":
            options = {0: ("bool", bool(rng.random() < 0.5))}
        case _:  # the scale above will do
            pass
    version = VERSIONS.get(op, 2)
    return tflite([x, y], [O(op, ("x",), ("y",), version, options)], ["x"], ["y"])


def reduce(rng: Rng, type_: str, op: str = "MEAN") -> bytes:
    """MEAN, SUM, REDUCE_MAX or REDUCE_MIN over some axes, kept or not."""
    rank = int(rng.choice([4, 4, 3]))
    shape = (1, *(int(n) for n in rng.integers(1, 7, rank - 1)))
    x, keep = tensor(rng, "x", shape, type_), bool(rng.random() < 0.5)
    some = rng.permutation(range(1, rank))[: int(rng.integers(1, rank))]
    axes = [1, 2] if rank == 4 and rng.random() < 0.6 else [int(axis) for axis in some]
    out = tuple(1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes)
    y = alike(x, "y", out)
    if op in ("MEAN", "SUM") and rng.random() < 0.6:
        most = 2.0 if op == "MEAN" else 20.0
        y = tensor(rng, "y", out, type_, scales=(x.scales[0] * float(rng.uniform(0.3, most)),))
        if rng.random() < 0.3:  # for which there are ties
            y = tensor(rng, "y", out, type_, scales=(x.scales[0] * 2.0 ** rng.integers(-1, 5),))
    inputs = T("axes", (len(axes),), "INT32", axes, (), ())
    step = O(op, ("x", "axes"), ("y",), 2, {0: ("bool", keep)})
    return tflite([x, inputs, y], [step], ["x"], ["y"])


def inverse_root(rng: Rng) -> bytes:
    """RSQRT of numbers that are not below zero, the only ones that it takes."""
    x = tensor(rng, "x", (1, int(rng.integers(1, 60))), "INT8", zero_points=(-128,))
    most = 1 / np.sqrt(x.scales[0])  # of one step
    y = tensor(rng, "y", x.shape, "INT8", scales=(float(most * rng.uniform(0.001, 0.02)),))
    return tflite([x, y], [O("RSQRT", ("x",), ("y",), 2, {})], ["x"], ["y"])


def log_softmax(rng: Rng) -> bytes:
    """LOG_SOFTMAX of rows of any length, whose output has one scale only."""
    width = int(rng.choice([1, 2, 3, 5, 10, 17, 40, 200, 1000]))
    x = tensor(rng, "x", (1, int(rng.integers(1, 4)), width), "INT8")
    y = T("y", x.shape, "INT8", None, (1 / 16,), (127,))
    return tflite([x, y], [O("LOG_SOFTMAX", ("x",), ("y",), 2, {})], ["x"], ["y"])


Builder = Callable[[Rng, str], bytes]


def _of(build: Callable[[Rng, str, str], bytes], op: str) -> Builder:
    return lambda rng, type_: build(rng, type_, op)


OPERATORS: dict[str, Builder] = {
    "FULLY_CONNECTED": dense,
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": depthwise,
    "TRANSPOSE_CONV": transposed,
    **{op: _of(reduce, op) for op in ("MEAN", "REDUCE_MAX", "REDUCE_MIN")},
    **{op: _of(pool, op) for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D")},
    **{op: _of(pair, op) for op in ("ADD", "SUB", "MUL")},
    **{op: _of(single, op) for op in ("QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1")},
    **MOVES,
    **PLACES,
    **{op: _of(single, op) for op in ("LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU")},
}
SUM: Builder = _of(reduce, "SUM")
SIGNED: dict[str, Callable[[Rng], bytes]] = {  # which have kernels of integers for INT8 only
    "RESIZE_BILINEAR": bilinear,
    "BATCH_MATMUL": matmul,
    "SQUARED_DIFFERENCE": partial(pair, type_="INT8", op="SQUARED_DIFFERENCE"),
    "RSQRT": inverse_root,
    "LOG_SOFTMAX": log_softmax,
    "NEG": partial(single, type_="INT8", op="NEG"),
    **{op: partial(single, type_="INT8", op=op) for op in ("ABS", "EXP", "GELU", "LOG")},
}
