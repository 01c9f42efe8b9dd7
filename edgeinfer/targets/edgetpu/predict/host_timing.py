# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The operators that stay on the host, timed on this computer.

Each operator becomes a file of its own, which LiteRT runs with TensorFlow Lite's built-in kernels
on one thread, as beside the vendor's delegate. Inputs are drawn once. What a call from Python takes
is in the time, about a microsecond. Custom operators and tensors of open sizes are not timed. A
layer that the file leaves to the host is computed as `run.py` does.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Collection
from copy import copy
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import numpy as np

from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.tflite.flat import FlatError
from edgeinfer.base.tflite.model import Operator, TfliteModel, broken_file_error
from edgeinfer.targets.edgetpu import run_file
from edgeinfer.targets.edgetpu.predict.host import HostLayers, HostTime, can_time, layer_title
from edgeinfer.targets.edgetpu.tflite.ports import NUMPY_TYPES

SECONDS: Final = 0.2  # for each operator
FEWEST_RUNS, MOST_RUNS = 5, 1000
WARM_UP: Final = 1
LOW, HIGH = 0.05, 0.95  # quantiles of the runs
SEED: Final = 20240229
IDENTIFIER: Final = b"TFL3"


def measure_host_times(model: TfliteModel, mapped: Collection[int]) -> tuple[HostTime, ...]:
    """The time of each operator that is not mapped, where it can be run by itself."""
    left = [op for op in model.operators if op.index not in mapped]
    if not left:
        return ()
    schema, runtime = _libraries()
    try:
        whole = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytes(model.flat.data), 0))
        alone = {op.index: _lone_operator(whole, op.index) for op in left if can_time(op)}
    except (struct.error, ValueError, TypeError, IndexError, AttributeError) as error:
        raise broken_file_error(model.source, FlatError(f"its schema: {error}")) from None
    return tuple(
        _measure(op, alone[op.index], runtime)
        if op.index in alone
        else HostTime(op.index, op.title, None, 0.0, 0.0)
        for op in left
    )


def measure_layer_times(layers: HostLayers, first: int) -> tuple[HostTime, ...]:
    """The time of each layer that the host computes behind the file, numbered from `first` on."""
    generator = np.random.default_rng(SEED)
    times = []
    for number, (output, layer) in enumerate(layers.items(), first):
        ready = run_file.ready_layer(asdict(layer))
        x = _draw_input(generator, layer.shape, np.dtype(NUMPY_TYPES[layer.type]))
        run = partial(run_file.compute_layer, ready, x)
        times.append(_time_runs(number, layer_title(output), run))
    return tuple(times)


def _libraries() -> tuple[Any, Any]:
    """The schema's classes and the runtime."""
    try:
        from ai_edge_litert import interpreter, schema_py_generated
    except ImportError:
        raise ToolMissingError(
            "ai-edge-litert is not installed, so no operator can be timed.",
            hint="Get it with: pip install ai-edge-litert",
        ) from None
    return schema_py_generated, interpreter


def _lone_operator(whole: Any, index: int) -> bytes:
    """A file of one operator: what it computes with enters, what it makes leaves."""
    import flatbuffers

    graph, model = copy(whole.subgraphs[0]), copy(whole)
    op = copy(graph.operators[index])
    reads = [int(i) for i in op.inputs]
    makes = [int(i) for i in op.outputs]
    kept = sorted({i for i in (*reads, *makes) if i >= 0})
    place = {number: i for i, number in enumerate(kept)} | {-1: -1}
    tensors = [copy(graph.tensors[i]) for i in kept]
    model.buffers = [copy(whole.buffers[0])]
    entering = []
    for number, tensor in zip(kept, tensors, strict=True):
        buffer = whole.buffers[tensor.buffer]
        constant = buffer.data is not None and len(buffer.data)
        tensor.buffer = len(model.buffers) if constant else 0
        if constant:
            model.buffers.append(buffer)
        elif number not in makes:
            entering.append(place[number])
    model.operatorCodes = [whole.operatorCodes[op.opcodeIndex]]
    op.opcodeIndex = 0
    op.inputs, op.outputs = [place[i] for i in reads], [place[i] for i in makes]
    graph.tensors, graph.operators = tensors, [op]
    graph.inputs, graph.outputs = entering, op.outputs
    model.subgraphs, model.signatureDefs = [graph], None
    model.metadata = model.metadataBuffer = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _measure(op: Operator, data: bytes, runtime: Any) -> HostTime:
    """An operator's runs by LiteRT."""
    try:
        alone = runtime.Interpreter(
            model_content=data,
            num_threads=1,
            experimental_op_resolver_type=(
                runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
        )
        alone.allocate_tensors()
        generator = np.random.default_rng(SEED)
        for entry in alone.get_input_details():
            alone.set_tensor(entry["index"], _draw_input(generator, entry["shape"], entry["dtype"]))
        alone.invoke()
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0][:300].rstrip(".")
        raise ToolFailedError(
            f"LiteRT cannot run {op.title} {op.index} by itself: {reason}.",
            hint="Without --time-host its time is estimated.",
        ) from None
    return _time_runs(op.index, op.title, alone.invoke)


def _time_runs(index: int, title: str, run: Callable[[], object]) -> HostTime:
    """The median of many calls, between the 5th and the 95th percentile."""
    for _ in range(WARM_UP):
        run()
    runs: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(runs) < FEWEST_RUNS or (len(runs) < MOST_RUNS and time.perf_counter() < end):
        start = time.perf_counter()
        run()
        runs.append((time.perf_counter() - start) * 1e6)
    low, middle, high = (float(np.quantile(runs, q)) for q in (LOW, 0.5, HIGH))
    return HostTime(index, title, middle, low, high, measured=True)


def _draw_input(generator: np.random.Generator, shape: Any, dtype: Any) -> Any:
    """Numbers of a type: integers over its range, reals around zero."""
    if np.issubdtype(dtype, np.integer):
        ends = np.iinfo(dtype)
        few = np.dtype(dtype).itemsize > 1  # sizes and places, not levels
        low, high = (0, 1) if few else (int(ends.min), int(ends.max))
        return generator.integers(low, high, shape, dtype, endpoint=True)
    return generator.normal(0.0, 1.0, shape).astype(dtype)
