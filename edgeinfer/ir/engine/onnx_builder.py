# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An ONNX graph in the making: nodes by what they compute, constants by value, then a session."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeinfer.base.errors import ProgramError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

OPSET = 18
RUNTIME_DOMAIN = "com.microsoft"  # of operators that ONNX Runtime has beside those of ONNX
IR_VERSION = 10
LARGEST_MODEL_BYTES = 2_000_000_000  # a protobuf message ends at 2^31
SHARED_CONSTANT_BYTES = 4096
SNUG_VALUES = 1 << 20  # of the largest tensor of a batch: measured, more falls out of the caches
ROOMY_VALUES = 4 << 20
WORTHWHILE_BATCH = 32  # samples that share one pass over the weights, if they are roomy at most
LARGEST_BATCH = 128

# These fold a constant factor or summand into weights or biases, which lets the partial sums of a
# product grow beyond what was proved of them.
INEXACT_REWRITES = (
    "ConvAddFusion",
    "ConvMulFusion",
    "ConvBNFusion",
    "MatMulAddFusion",
    "MatMulBNFusion",
    "MatMulScaleFusion",
)


class OnnxBuilder:
    """Collects nodes. All of them are pure, so asking twice for the same yields the same tensor.

    The graph of a loop's body has a builder of its own; its names begin with a `prefix`.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._bodies = 0
        self._bytes = 0  # of all constants, those of bodies too
        self._nodes: list[Any] = []
        self._made: dict[tuple[object, ...], str] = {}
        self._constants: list[tuple[str, NDArray[Any]]] = []
        self._inputs: list[tuple[str, np.dtype[Any], tuple[int | str, ...]]] = []

    def input(self, dtype: np.dtype[Any], shape: Sequence[int | str], batch: str = "batch") -> str:
        """A tensor from outside, of any batch; sizes that are names may be any, too."""
        name = f"{self._prefix}input{len(self._inputs)}"
        self._inputs.append((name, dtype, (batch, *shape)))
        return name

    def constant(self, value: ArrayLike, dtype: Any = None) -> str:
        """A tensor known now."""
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype)).reshape(np.shape(value))
        key = None
        if array.nbytes <= SHARED_CONSTANT_BYTES:
            key = ("constant", array.dtype.str, array.shape, array.tobytes())
            if key in self._made:
                return self._made[key]
        name = f"{self._prefix}constant{len(self._constants)}"
        self._bytes += array.nbytes
        self._constants.append((name, array))
        if key is not None:
            self._made[key] = name
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The result of an operator of one output."""
        from onnx import helper

        key = (kind, *inputs, *(f"{name}={value}" for name, value in sorted(attributes.items())))
        if key not in self._made:
            name = f"{self._prefix}{kind.lower()}{len(self._nodes)}"
            self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
            self._made[key] = name
        return self._made[key]

    def filled(self, shape: str, value: int, dtype: Any) -> str:
        """A tensor of a computed shape that holds one number throughout."""
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        number = helper.make_tensor("value", kind, [1], [value])
        return self.node("ConstantOfShape", shape, value=number)

    def byte_product(
        self, x: str, weight: NDArray[np.int8], factor: float, bias: NDArray[np.float32]
    ) -> str:
        """(x @ weight) factor + bias as floats, from products of bytes that add up in 32 bits."""
        own, one = self.constant(factor, np.float32), self.constant(1.0, np.float32)
        operands = x, self.constant(weight), own, one, "", "", self.constant(bias)
        return self.node("MatMulIntegerToFloat", *operands, domain=RUNTIME_DOMAIN)

    def places_of_largest(self, tensor: str, count: int) -> str:
        """Where the largest elements along the last axis are, the first of equals first."""
        from onnx import helper

        key = ("places", tensor, count)
        if key not in self._made:
            names = [f"{what}{len(self._nodes)}" for what in ("largest", "places")]
            arguments = [tensor, self.constant([count], np.int64)]
            self._nodes.append(helper.make_node("TopK", arguments, names, axis=-1))
            self._made[key] = names[1]
        return self._made[key]

    def cast(self, tensor: str, dtype: Any) -> str:
        """The tensor's numbers in another type."""
        from onnx import helper

        return self.node("Cast", tensor, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, tensor: str, shape: Sequence[int]) -> str:
        """The tensor's elements under another shape, which leaves out the batch."""
        return self.node("Reshape", tensor, self.constant([0, *shape], np.int64))

    def result(self, tensor: str) -> str:
        """The tensor under a name that a graph may give out: one that a node made."""
        is_made = any(tensor in node.output for node in self._nodes)
        return tensor if is_made else self.node("Identity", tensor)

    def body(self) -> OnnxBuilder:
        """A builder for the graph of a loop's body in this graph."""
        self._bodies += 1
        return OnnxBuilder(f"{self._prefix}body{self._bodies}_")

    def scan(
        self,
        body: OnnxBuilder,
        starts: Sequence[str],
        sequences: Sequence[str],
        after: Sequence[str],
        y: str,
        *,
        stacked: bool,
    ) -> str:
        """What a loop along the first axis behind the batch yields in all steps, or in the last.

        The body's inputs are the states and a slice of each sequence, in this order; in the body,
        `after` are the next states, and `y` is what a step yields.
        """
        from onnx import helper

        results = [*after, y] if stacked or y not in after else list(after)
        graph = body._graph([body._copy(tensor) for tensor in results])
        self._bytes += body._bytes
        names = [f"{self._prefix}scan{len(self._nodes)}_{i}" for i in range(len(results))]
        axes: dict[str, Any] = {"scan_input_axes": [1] * len(sequences)}
        if len(results) > len(after):
            axes["scan_output_axes"] = [1]
        read, count = [*starts, *sequences], len(sequences)
        self._nodes.append(
            helper.make_node("Scan", read, names, body=graph, num_scan_inputs=count, **axes)
        )
        if stacked:
            return names[-1]
        if y in after:
            return names[list(after).index(y)]
        return self.node("Gather", names[-1], self.constant(-1, np.int64), axis=1)

    def each_sample(self, tensor: str, like: str, rank: int) -> str:
        """A tensor that is the same for all samples, once for each sample of another."""
        ones = self.constant([1] * rank, np.int64)
        batch = self.node("Shape", like, start=0, end=1)
        return self.node("Expand", tensor, self.node("Concat", batch, ones, axis=0))

    def _copy(self, tensor: str) -> str:
        """The tensor under one more name: a body's results must all differ."""
        from onnx import helper

        name = f"{self._prefix}result{len(self._nodes)}"
        self._nodes.append(helper.make_node("Identity", [tensor], [name]))
        return name

    def model(self, outputs: Sequence[str]) -> bytes:
        """The finished graph; `outputs` are distinct tensors that nodes made."""
        from onnx import helper

        if self._bytes > LARGEST_MODEL_BYTES:
            raise ProgramError(
                f"The weights take {self._bytes / 1e9:.1f} GB; an ONNX model in memory holds 2 GB.",
                hint="Split the network at a tap and run the parts one after the other.",
            )
        graph = self._graph(outputs)
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == RUNTIME_DOMAIN for node in graph.node):
            opsets.append(helper.make_opsetid(RUNTIME_DOMAIN, 1))
        model = helper.make_model(graph, opset_imports=opsets)
        model.ir_version = IR_VERSION
        serialized: bytes = model.SerializeToString()
        return serialized

    def _graph(self, outputs: Sequence[str]) -> Any:
        import onnx
        from onnx import helper, numpy_helper

        nodes = self._read_nodes(outputs)
        read = {x for node in nodes for x in node.input}
        return helper.make_graph(
            nodes,
            f"{self._prefix}network",
            [
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), shape)
                for name, dtype, shape in self._inputs
            ],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [
                numpy_helper.from_array(array, name)
                for name, array in self._constants
                if name in read
            ],
        )

    def _read_nodes(self, outputs: Sequence[str]) -> list[Any]:
        """The nodes that outputs depend on; ONNX Runtime would compute the others, too."""
        read, nodes = set(outputs), []
        for node in reversed(self._nodes):
            if not read.isdisjoint(node.output):
                read.update(node.input)
                nodes.append(node)
        return nodes[::-1]


def available_threads() -> int:
    """Processors that this process may use; workers of a study are told to keep to one."""
    if setting := os.environ.get("EDGEINFER_THREADS", ""):
        return max(1, int(setting)) if setting.isdecimal() else 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def samples_at_once(values: int) -> int:
    """A batch whose largest tensor, of so many values a sample, stays in the caches."""
    values = max(values, 1)
    shared = min(WORTHWHILE_BATCH, ROOMY_VALUES // values)
    return max(1, min(LARGEST_BATCH, max(SNUG_VALUES // values, shared)))


def open_session(
    model: bytes, threads: int, *, exact: bool, channel_blocks: bool
) -> InferenceSession:
    """An ONNX Runtime session on the CPU; an exact one keeps proved integer sums as proved.

    With `channel_blocks`, convolutions work on blocks of channels: measured, up to twice as fast
    where they read several, and slower where they read only one.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others compute too
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=[
            *(INEXACT_REWRITES if exact else ()),
            "Pad_Fusion",  # it gives a pool more padding than ONNX Runtime's own pools take
            *(() if channel_blocks else ("NchwcTransformer",)),
        ],
    )
