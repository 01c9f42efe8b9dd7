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
    """Collects nodes. All of them are pure, so asking twice for the same yields the same tensor."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._made: dict[tuple[object, ...], str] = {}
        self._constants: list[tuple[str, NDArray[Any]]] = []
        self._inputs: list[tuple[str, np.dtype[Any], tuple[int, ...]]] = []

    def input(self, dtype: np.dtype[Any], shape: Sequence[int]) -> str:
        """A tensor from outside, of any batch."""
        name = f"input{len(self._inputs)}"
        self._inputs.append((name, dtype, tuple(shape)))
        return name

    def constant(self, value: ArrayLike, dtype: Any = None) -> str:
        """A tensor known now."""
        array = np.ascontiguousarray(np.asarray(value, dtype=dtype)).reshape(np.shape(value))
        key = None
        if array.nbytes <= SHARED_CONSTANT_BYTES:
            key = ("constant", array.dtype.str, array.shape, array.tobytes())
            if key in self._made:
                return self._made[key]
        name = f"constant{len(self._constants)}"
        self._constants.append((name, array))
        if key is not None:
            self._made[key] = name
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The result of an operator of one output."""
        from onnx import helper

        key = (kind, *inputs, *(f"{name}={value}" for name, value in sorted(attributes.items())))
        if key not in self._made:
            name = f"{kind.lower()}{len(self._nodes)}"
            self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
            self._made[key] = name
        return self._made[key]

    def places_of_largest(self, tensor: str, count: int) -> str:
        """Where the largest elements along the last axis are, the first of equals first."""
        from onnx import helper

        key = ("places", tensor, count)
        if key not in self._made:
            names = [f"{what}{len(self._nodes)}" for what in ("largest", "places")]
            wanted = [tensor, self.constant([count], np.int64)]
            self._nodes.append(helper.make_node("TopK", wanted, names, axis=-1))
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
        made = any(tensor in node.output for node in self._nodes)
        return tensor if made else self.node("Identity", tensor)

    def model(self, outputs: Sequence[str]) -> bytes:
        """The finished graph; `outputs` are distinct tensors that nodes made."""
        import onnx
        from onnx import helper, numpy_helper

        size = sum(array.nbytes for _, array in self._constants)
        if size > LARGEST_MODEL_BYTES:
            raise ProgramError(
                f"The weights take {size / 1e9:.1f} GB; an ONNX model in memory holds 2 GB.",
                hint="Split the network at a tap and run the parts one after the other.",
            )
        graph = helper.make_graph(
            self._nodes,
            "network",
            [
                helper.make_tensor_value_info(
                    name, helper.np_dtype_to_tensor_dtype(dtype), ["batch", *shape]
                )
                for name, dtype, shape in self._inputs
            ],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self._constants],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        serialized: bytes = model.SerializeToString()
        return serialized


def available_threads() -> int:
    """Processors that this process may use; workers of a study are told to keep to one."""
    if told := os.environ.get("EDGEINFER_THREADS", ""):
        return max(1, int(told)) if told.isdecimal() else 1
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
