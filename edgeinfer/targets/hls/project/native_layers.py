# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Ops that hls4ml has as layers of its own, with the formats under which those are exact.

hls4ml multiplies exactly, casts each product to the accumulator's type and adds. An accumulator of
the op's own type, which is proved to hold the sum and is at least as fine as the products, may wrap
on the way but ends exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.ops import Pads, PoolKind, Shape, Weights, inputs_of
from edgeinfer.targets.hls.project import exact_layers
from edgeinfer.targets.hls.project.spec import exactly, representable
from edgeinfer.targets.hls.settings import Backend, Strategy
from quantization.fixed import Overflow, Quantizer, dequantize, fixed_of_range

if TYPE_CHECKING:
    from edgeinfer.targets.hls.project.layout import ProjectLayout

INPUT, RESHAPE, RELU = "InputLayer", "Reshape", "Activation"
PADDING = "ZeroPadding"
AXES, SIDES = ("height", "width"), (("top", "bottom"), ("left", "right"))
WITH_DEPTHWISE = (Backend.VITIS, Backend.VIVADO)
BITS_OF_INT = 32
SATURATING = (Overflow.SAT, Overflow.SAT_SYM)
LAST = {"data_format": "channels_last"}


def place_input(layout: ProjectLayout, op: ops.Input) -> None:
    """An input keeps its name where C++ allows it: it names a port."""
    if layout.streams and layout.settings.backend is Backend.LIBERO:
        layout.refuse(op, "hls4ml writes no io_stream project for Libero; choose io_parallel")
    layout.add(
        op, INPUT, (), op.shape, exactly(op.type),
        attributes={"input_shape": list(op.shape)}, part="_port", value=op.name,
    )  # fmt: skip


def place_dense(layout: ProjectLayout, op: ops.Dense) -> None:
    """One position: a dense layer. Several: a convolution that sees one position at a time."""
    shape = layout.program.shapes[op.x]
    weight = op.weight.reshape((1,) * (len(shape) - 1) + op.weight.shape)
    if len(shape) == 1:
        sizes = {"n_in": op.weight.shape[0], "n_out": op.weight.shape[1]}
        _linear(layout, op, layout.of_value[op.x], "Dense", weight, sizes)
    elif len(shape) <= 3:
        rank = len(shape) - 1
        sizes = _window(
            "filt", (1,) * rank, (1,) * rank, ((0, 0),) * rank, shape,
            layout.program.shapes[op.name],
        )  # fmt: skip
        _linear(layout, op, layout.of_value[op.x], f"Conv{rank}D", weight, sizes)
    else:
        layout.refuse(op, f"hls4ml's dense layers read 1 to 3 axes, not {len(shape)}")


def place_conv(layout: ProjectLayout, op: ops.Conv) -> None:
    """1D and 2D. Groups and dilation are written out with zeros between the weights, for hls4ml
    has neither; one group per channel is a depthwise convolution."""
    rank = len(op.strides)
    if rank not in (1, 2):
        layout.refuse(op, f"hls4ml has convolutions over 1 or 2 axes, not {rank}")
        return
    weight = spread(op.weight, op.dilation)
    if any(step > 1 for step in op.dilation):
        layout.findings.append(
            f"{op.name}: hls4ml has no dilation that works in every mode; its window of "
            f"{_times(op.window)} is written as one of {_times(weight.shape[:rank])} "
            f"with zeros."
        )
    rows = layout.streams and rank == 2 and weight.shape[0] == 1 and op.strides[0] > 1
    source = _every_row(layout, op) if rows else ConvSource(
        layout.of_value[op.x], layout.program.shapes[op.x], op.strides, op.pads
    )  # fmt: skip
    source = _pad_source(layout, op, source)
    out = layout.program.shapes[op.name]
    sizes = _window("filt", weight.shape[:rank], source.strides, source.pads, source.shape, out)
    x, shape = source.layer, source.shape
    depthwise = op.groups == shape[-1] == op.weight.shape[-1] and op.groups > 1
    if depthwise and _has_depthwise(layout, op):
        _linear(layout, op, x, f"DepthwiseConv{rank}D", np.moveaxis(weight, -1, -2), sizes)
        return
    if op.groups > 1:
        weight = ungroup_kernel(weight, op.groups)
        layout.findings.append(
            f"{op.name}: hls4ml has no convolution in {op.groups} groups; it is written as one "
            f"with zeros between the groups."
        )
    _linear(layout, op, x, f"Conv{rank}D", weight, sizes)


@dataclass(frozen=True, slots=True)
class ConvSource:
    """What a convolution reads, and the steps and padding that are left to it."""

    layer: str
    shape: Shape
    strides: Shape
    pads: Pads


def _every_row(layout: ProjectLayout, op: ops.Conv) -> ConvSource:
    """A window one row high takes the rows that it steps on: hls4ml's stream does not step over
    rows where there are none to buffer."""
    shape, rows = layout.program.shapes[op.x], layout.program.shapes[op.name][0]
    row_shape = (rows, *shape[1:])
    layer = exact_layers.place_rows(layout, op, row_shape, op.strides[0], op.pads[0][0])
    return ConvSource(layer, row_shape, (1, op.strides[1]), ((0, 0), op.pads[1]))


def _pad_source(layout: ProjectLayout, op: ops.Conv, source: ConvSource) -> ConvSource:
    """In a stream zeros are put around it by a layer of their own: where hls4ml inserts that, it
    may put it before the wrong reader."""
    shape, pads, rank = source.shape, source.pads, len(op.strides)
    if not layout.streams or not np.any(pads):
        return source
    sizes: dict[str, Any] = {"n_chan": shape[-1], **LAST}
    wide = tuple(s + before + after for s, (before, after) in zip(shape, pads, strict=False))
    axes, sides = AXES[-rank:], SIDES[-rank:]
    for i, axis in enumerate(axes):
        sizes |= {f"in_{axis}": shape[i], f"out_{axis}": wide[i]}
        sizes |= {f"pad_{side}": pads[i][k] for k, side in enumerate(sides[i])}
    padded = (*wide, shape[-1])
    layer = layout.add(
        op, f"{PADDING}{rank}D", (source.layer,), padded, exactly(layout.program.type(op.x)),
        attributes=sizes, part="_padding",
    )  # fmt: skip
    return ConvSource(layer, padded, source.strides, ((0, 0),) * rank)


def _has_depthwise(layout: ProjectLayout, op: ops.Conv) -> bool:
    """hls4ml's are written for the latency strategy, and not for Quartus; the one over one axis
    cannot be compiled beside the one over two, for their headers share an include guard."""
    latency = layout.settings.strategy_for(op.name) is Strategy.LATENCY
    return latency and len(op.strides) == 2 and layout.settings.backend in WITH_DEPTHWISE


def spread(weight: Weights, dilation: Shape) -> Weights:
    """A window with zeros in the gaps that dilation leaves."""
    rank = len(dilation)
    wide = tuple((w - 1) * step + 1 for w, step in zip(weight.shape, dilation, strict=False))
    result = np.zeros((*wide, *weight.shape[rank:]), weight.dtype)
    result[tuple(slice(None, None, step) for step in dilation)] = weight
    return result


def ungroup_kernel(weight: Weights, groups: int) -> Weights:
    """A kernel over all channels, zero where input and output are in different groups."""
    per_in, outs = weight.shape[-2:]
    per_out = outs // groups
    result = np.zeros((*weight.shape[:-2], per_in * groups, outs), weight.dtype)
    for g in range(groups):
        columns = slice(g * per_out, (g + 1) * per_out)
        result[..., g * per_in : (g + 1) * per_in, columns] = weight[..., columns]
    return result


def _linear(
    layout: ProjectLayout,
    op: ops.Conv | ops.Dense,
    x: str,
    kind: str,
    weight: Weights,
    sizes: dict[str, Any],
) -> None:
    bias = op.bias.astype(np.int64)
    bias_type = fixed_of_range(min(int(bias.min()), 0), int(bias.max()), op.type.frac)
    if not all(representable(raw) for raw in (op.weight, bias)):
        layout.refuse(op, "weights beyond 2^53 cannot be written as hls4ml writes them")
        return
    data = "depthwise_data" if kind.startswith("Depthwise") else "weight_data"
    attributes = {
        **sizes,
        data: dequantize(weight, op.weight_type),
        "bias_data": dequantize(bias, bias_type),
        "use_bias": True,
    }
    layout.add(
        op, kind, (x,), layout.program.shapes[op.name], exactly(op.type),
        formats={"weight": op.weight_type, "bias": bias_type, "accum": op.type},
        attributes=attributes, multiplies=True,
    )  # fmt: skip


def place_requant(layout: ProjectLayout, op: ops.Requant) -> None:
    """An unsigned type that saturates is what a ReLU of hls4ml rounds to. It assigns a plain 0 to
    the type, which has to be rounded to it as any int: not to a grid coarser than all its bits."""
    far = exact_layers.drops_all(layout, op) or op.type.frac < -BITS_OF_INT
    if not far and not op.type.signed and op.overflow in SATURATING:
        _relu(layout, op, op.quantizer)
    else:
        exact_layers.place_requant(layout, op)


def place_clip(layout: ProjectLayout, op: ops.Clip) -> None:
    """ReLU, or limits of any kind."""
    if op.low == 0 and op.high is None:
        _relu(layout, op, exactly(op.type))
    else:
        exact_layers.place_clip(layout, op)


def _relu(layout: ProjectLayout, op: ops.Requant | ops.Clip, result: Quantizer) -> None:
    shape = layout.program.shapes[op.name]
    layout.add(
        op, RELU, (layout.of_value[op.x],), shape, result,
        attributes={"activation": "relu", "n_in": math.prod(shape)},
    )  # fmt: skip


def place_pool(layout: ProjectLayout, op: ops.Pool) -> None:
    """A maximum without padding is hls4ml's; its padding and its averages are not exact."""
    rank = len(op.window)
    if rank not in (1, 2):
        layout.refuse(op, f"hls4ml pools over 1 or 2 axes, not {rank}")
        return
    plain = op.kind is PoolKind.MAX and not any(side for pad in op.pads for side in pad)
    native = plain and layout.settings.backend is not Backend.LIBERO
    if not native or op.window != op.strides:
        exact_layers.place_pool(layout, op)
        return
    shape, out = layout.program.shapes[op.x], layout.program.shapes[op.name]
    sizes = _window("pool", op.window, op.strides, op.pads, shape, out)
    if rank == 1:
        sizes |= {"n_in": shape[0], "n_out": out[0]}
    layout.add(
        op, f"MaxPooling{rank}D", (layout.of_value[op.x],), out, exactly(op.type),
        formats={"accum": op.type}, attributes=sizes | {"pool_op": "Max"},
    )  # fmt: skip


def place_reshape(layout: ProjectLayout, op: ops.Reshape) -> None:
    """Nothing in arrays, but for Libero, where hls4ml leaves them empty. In a stream, only a dense
    layer reads words of another size than its own; for anyone else they are packed anew."""
    readers = [reader for reader in layout.program.ops if op.name in inputs_of(reader)]
    flat = len(op.shape) == 1 and all(isinstance(reader, ops.Dense) for reader in readers)
    lost = layout.settings.backend is Backend.LIBERO
    if lost or (layout.streams and not (flat and readers)):
        exact_layers.place_copy(layout, op)
        return
    layout.add(
        op, RESHAPE, (layout.of_value[op.x],), op.shape, exactly(op.type),
        attributes={"target_shape": list(op.shape)},
    )  # fmt: skip


def _window(
    what: str,
    window: Shape,
    strides: Shape,
    pads: Pads,
    shape: Shape,
    out: Shape,
) -> dict[str, Any]:
    """The sizes of a layer with a window, by hls4ml's names."""
    axes, sides = AXES[-len(window) :], SIDES[-len(window) :]
    sizes: dict[str, Any] = {"padding": "same" if np.any(pads) else "valid", **LAST}
    for i, axis in enumerate(axes):
        sizes |= {
            f"in_{axis}": shape[i],
            f"out_{axis}": out[i],
            f"{what}_{axis}": window[i],
            f"stride_{axis}": strides[i],
            f"pad_{sides[i][0]}": pads[i][0],
            f"pad_{sides[i][1]}": pads[i][1],
        }
    return sizes | {"n_chan": shape[-1], "n_filt": out[-1]}


def _times(shape: Shape) -> str:
    return " x ".join(map(str, shape))
