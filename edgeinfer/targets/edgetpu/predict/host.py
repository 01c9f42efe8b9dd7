# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How long the operators take that stay on the host.

Nanoseconds for each product or element were measured once: LiteRT 2.3 on one core of a server of
2026 (x86-64), with TensorFlow Lite's built-in kernels, which is what runs beside the vendor's
delegate; `host_timing` measures a file's own operators anew. With XNNPACK some are ten times
faster; older hosts are slower: the band says so. Slower hosts are scaled by what Coral publishes
for whole networks on the processor of the Dev Board. What a custom operator takes is not known, and
is said. Layers that the file leaves to the host (`ports.json`) were timed as `run.py` computes
them, by NumPy in integers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from edgeinfer.base.tflite.macs import KernelKind, work_of
from edgeinfer.base.tflite.model import CUSTOM, Operator, TfliteModel
from edgeinfer.targets.edgetpu.tflite.ports import HostLayer

HostLayers = Mapping[str, HostLayer]  # by the output that they make
NO_LAYERS: Final[HostLayers] = MappingProxyType({})
PRODUCT_NS: Final = {KernelKind.SHARED: 0.03, KernelKind.DEPTHWISE: 0.33}
ELEMENT_NS: Final = {
    "ADD": 1.5, "ARG_MAX": 0.2, "ARG_MIN": 0.2, "CAST": 0.2, "CONCATENATION": 0.15,
    "DEQUANTIZE": 0.15, "HARD_SWISH": 5.0, "LEAKY_RELU": 4.5, "LOGISTIC": 0.3, "MEAN": 10.0,
    "MUL": 0.7, "PAD": 0.45, "QUANTIZE": 0.75, "RESHAPE": 0.02, "RESIZE_BILINEAR": 9.0,
    "SOFTMAX": 2.5, "STRIDED_SLICE": 4.7, "TRANSPOSE": 0.35,
}  # fmt: skip
OTHER_NS: Final = 3.0  # in the middle of those above
READS: Final = ("ARG_MAX", "ARG_MIN", "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
RUNS_SUBGRAPHS: Final = ("CALL", "CALL_ONCE", "IF", "STABLEHLO_COMPOSITE", "WHILE")
CALL_US: Final = 1.0  # for each operator, however small
LAYER_CALL_US: Final = 9.0  # for each layer of `ports.json`: NumPy's calls
LAYER_PRODUCT_NS: Final = 1.0
FASTER, SLOWER = 10.0, 3.0


@dataclass(frozen=True, slots=True)
class HostTime:
    """One operator on the host; None where nothing is known of it."""

    index: int
    op: str
    value_us: float | None
    low_us: float  # estimated: with kernels that use all of the processor
    high_us: float  # estimated: on an older processor
    measured: bool = False  # on this computer (`host_timing`)


def host_times(model: TfliteModel, mapped: Collection[int]) -> tuple[HostTime, ...]:
    """The time of each operator that is not mapped."""
    left = [op for op in model.operators if op.index not in mapped]
    times = [_time_us(op) if can_time(op) else None for op in left]
    return tuple(
        HostTime(op.index, op.title, us, (us or 0.0) / FASTER, (us or 0.0) * SLOWER)
        for op, us in zip(left, times, strict=True)
    )


def layer_times(layers: HostLayers, first: int) -> tuple[HostTime, ...]:
    """The time of each layer that the host computes behind the file, numbered from `first` on."""
    times = [LAYER_CALL_US + LAYER_PRODUCT_NS * layer.products * 1e-3 for layer in layers.values()]
    return tuple(
        HostTime(first + i, layer_title(name), us, us / FASTER, us * SLOWER)
        for i, (name, us) in enumerate(zip(layers, times, strict=True))
    )


def layer_title(output: str) -> str:
    """How the layer that makes an output on the host is called among operators."""
    return f"HOST_DENSE:{output}"


def can_time(op: Operator) -> bool:
    """Whether anything is known of an operator's work."""
    is_known = op.name != CUSTOM and op.name not in RUNS_SUBGRAPHS
    return is_known and not any(tensor.dynamic for tensor in op.outputs)


def _time_us(op: Operator) -> float:
    kind, count = work_of(op)
    if kind is not KernelKind.ELEMENTWISE:
        return CALL_US + PRODUCT_NS[kind] * count * 1e-3
    source = op.input(0)
    elements = sum(tensor.elements for tensor in op.outputs)
    if op.name in READS and source is not None:
        elements = source.elements
    return CALL_US + ELEMENT_NS.get(op.name, OTHER_NS) * elements * 1e-3
