# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Number formats that a file states: QuantizeLinear/DequantizeLinear, and QONNX's Quant and kin.

A quantizer with step s and zero point z yields s (q - z) for whole numbers q in a range. Where s is
a power of two it is a fixed-point format. Elsewhere the Graph holds q, with s owed as a scale.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import ActivationNode, Floats, Function
from edgeinfer.readers.onnx.affine import scale_view
from edgeinfer.readers.onnx.args import Args, constant
from edgeinfer.readers.onnx.drawing import Drawing
from edgeinfer.readers.onnx.elementwise import clip_view
from edgeinfer.readers.onnx.layout import (
    ONE,
    ZERO,
    Const,
    Value,
    View,
    local,
    settle_scale,
    write_affine,
)
from edgeinfer.readers.onnx.ops import OnnxOp, UnreadableModelError
from edgeinfer.readers.onnx.steps import (
    ROUNDINGS,
    QuantizationSteps,
    const_of,
    mode_of,
    overflow_of,
    quantized_constant,
    range_of,
    type_range,
)
from edgeinfer.readers.onnx.weights import finite, grid_type, powers_of_two
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, fixed_of_range
from quantization.ranges import shrink_array

BIPOLAR = Quantizer(Fixed(True, 2, 2))


def quant(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """QONNX Quant (IntQuant)."""
    bits = int(_one(args, 3, "bit width"))
    mode = mode_of(op, "ROUND")
    signed, narrow = bool(op.whole("signed", 1)), bool(op.whole("narrow", 0))
    low, high = range_of(bits, signed=signed, narrow=narrow)
    step, zero = _step(args, 1), finite(constant(args, 2, "zero point"), "zero point")
    steps = QuantizationSteps(step, zero, low, high, mode, bipolar=signed and bits == 1)
    return _quantize_value(d, op, args[0], steps)


def bipolar_quant(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """QONNX BipolarQuant: the sign times a scale."""
    return _quantize_value(
        d, op, args[0], QuantizationSteps(_step(args, 1), np.zeros(()), -1, 1, bipolar=True)
    )


def trunc(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """QONNX Trunc: drop the lower bits of a number that is on a grid already."""
    step, zero = _step(args, 1), finite(constant(args, 2, "zero point"), "zero point")
    bits = int(_one(args, 3, "input width"))
    mode = mode_of(op, "FLOOR")
    first = QuantizationSteps(step, zero, *range_of(bits + 1, signed=True, narrow=False))
    if op.version < 2:
        dropped = bits - int(_one(args, 4, "output width"))
        unit, zero_after, out = 2.0**dropped, zero, step
        low, high = range_of(bits + 1, signed=True, narrow=False)
    else:
        out = _step(args, 4)
        unit = float(2.0 ** np.round(np.log2(out.reshape(-1)[0] / step.reshape(-1)[0])))
        zero_after = zero / unit
        narrow, signed = bool(op.whole("narrow", 0)), bool(op.whole("signed", 1))
        low, high = range_of(int(_one(args, 5, "output width")), signed=signed, narrow=narrow)
    whole = _quantize_value(d, op, args[0], first)
    if isinstance(whole, Const):
        raise UnreadableModelError("it truncates a constant")
    tensor = _in_units(d, whole, step, zero)
    cut = _quantize_value(
        d, op, tensor, QuantizationSteps(np.asarray(unit), np.zeros(()), low, high, mode)
    )
    if isinstance(cut, Const):
        raise UnreadableModelError("it truncates a constant")
    return scale_view(d, op, cut, out / unit, -zero_after * out)


def quantize_linear(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """QuantizeLinear: q itself."""
    step, zero, type_ = _linear_steps(op, args, default="uint8")
    low, high = type_range(type_)
    x = args[0]
    rank = x.rank if isinstance(x, View) else np.ndim(constant(args, 0, "input").value)
    step, zero = _along(step, op, rank), _along(zero, op, rank)
    if isinstance(x, Const):
        array = np.asarray(x.value)
        own = step.astype(array.dtype)
        if not own.all():
            raise UnreadableModelError(f"its scale is zero in the {array.dtype} of what it divides")
        values = np.round(array / own) + zero
        return Const(np.clip(values, low, high).astype(np.int64))
    if (zero != zero.reshape(-1)[0]).any():
        raise UnreadableModelError("its zero point varies")
    view = _quantize_value(d, op, x, QuantizationSteps(step, zero, low, high, rounds_first=True))
    return _in_units(d, view, step, zero) if isinstance(view, View) else view


def dequantize_linear(d: Drawing, op: OnnxOp, args: Args) -> Value:
    """DequantizeLinear: step x (q - zero)."""
    step, zero, type_ = _linear_steps(op, args, default="int32")
    x = args[0]
    if isinstance(x, View):
        step, zero = _along(step, op, x.rank), _along(zero, op, x.rank)
        return scale_view(d, op, replace(x, integer=""), step, -zero * step)
    stored = constant(args, 0, "input").value
    step, zero = _along(step, op, stored.ndim), _along(zero, op, stored.ndim)
    whole = np.asarray(stored, dtype=np.float64) - zero
    low, high = type_range(type_) if len(args) > 2 and args[2] else type_range(stored.dtype)
    if low < -(1 << 30):  # a bias of 32 bits rarely needs them
        low, high = int(whole.min(initial=0)), int(whole.max(initial=0))
        return const_of(whole, step, low, high)
    return const_of(whole, step, low - int(zero.max()), high - int(zero.min()))


def _in_units(d: Drawing, view: View, step: NDArray[Any], zero: NDArray[Any]) -> View:
    """q itself, of a tensor that is step x (q - zero)."""
    unit, offset = local(d, view, step), local(d, view, zero)
    if unit is None or offset is None:
        raise UnreadableModelError("its scale does not fit its input")
    shift = np.round(view.shift / unit + offset, 9)
    return replace(view, scale=shrink_array(view.scale / unit), shift=shrink_array(shift))


def _quantize_value(d: Drawing, op: OnnxOp, x: Value | None, steps: QuantizationSteps) -> Value:
    if isinstance(x, Const):
        return quantized_constant(x, steps)
    if x is None:
        raise UnreadableModelError("it has no input")
    steps = steps.simplest
    step, zero = local(d, x, steps.step), local(d, x, steps.zero)
    if step is None or zero is None:
        raise UnreadableModelError("its scale does not fit its input")
    if steps.bipolar:
        return _signs(d, op, x, step, zero)
    if steps.rounds_first and (zero % 2 != 0).any() and powers_of_two(step):
        # with an odd zero point halves would go the other way: round first, then move and saturate
        type_ = fixed_of_range(steps.low - int(zero.max()), steps.high - int(zero.min()), 0)
        first = QuantizationSteps(steps.step, np.zeros(()), type_.raw_min, type_.raw_max)
        return _quantize_value(
            d, op, _quantize_value(d, op, x, first), replace(steps, rounds_first=False)
        )
    mirrored = steps.mode == "CEIL"
    if step.ndim == 0 and powers_of_two(step) and (zero == 0).all() and not mirrored:
        return _round_view(d, op, settle_scale(d, x), steps, float(step))
    sign = -1.0 if mirrored else 1.0
    low, high = (-steps.high, -steps.low) if mirrored else (steps.low, steps.high)
    moved = -low if ROUNDINGS[steps.mode] is Rounding.TRN and overflow_of(low, high) is None else 0
    units = replace(
        x,
        scale=shrink_array(np.asarray(sign * x.scale / step)),
        shift=shrink_array(np.asarray(sign * (x.shift / step + zero) + moved)),
        label=x.label or f"{d.named(op)}_scale",
    )
    bounds = replace(steps, low=low + moved, high=high + moved)
    whole = _round_view(d, op, settle_scale(d, units), bounds, 1.0)
    return replace(
        whole,
        scale=shrink_array(sign * step),
        shift=shrink_array(-(zero + sign * moved) * step),
        label=f"{whole.tensor}_scale",
    )


def _round_view(d: Drawing, op: OnnxOp, x: View, steps: QuantizationSteps, step: float) -> View:
    """x, of which nothing is owed, on a grid of low..high times a power of two."""
    overflow = overflow_of(steps.low, steps.high)
    if overflow is None:
        x = clip_view(d, op, x, steps.low * step, steps.high * step)
        overflow = Overflow.SAT
    type_ = grid_type(steps.low, steps.high, step)
    name = d.add(ActivationNode(d.named(op), x.tensor, Function.LINEAR))
    d.activations[name] = Quantizer(type_, ROUNDINGS[steps.mode], overflow)
    return replace(x, tensor=name, exclusive=True)


def _signs(d: Drawing, op: OnnxOp, x: View, step: Floats, zero: Floats) -> View:
    if (x.scale > 0).all() and (x.shift == 0).all() and (zero == 0).all():
        bare = replace(x, scale=ONE, shift=ZERO)
    else:
        shift = shrink_array(np.asarray(x.shift + zero * step))
        bare = write_affine(d, replace(x, shift=shift, label=x.label or f"{d.named(op)}_scale"))
    name = d.add(ActivationNode(d.named(op), bare.tensor, Function.SIGN))
    d.activations[name] = BIPOLAR
    return replace(
        bare,
        tensor=name,
        scale=step,
        shift=shrink_array(-zero * step),
        exclusive=True,
        label=f"{name}_scale",
    )


def _one(args: Args, place: int, what: str) -> float:
    values = finite(constant(args, place, what), what).reshape(-1)
    if not values.size or (values != values[0]).any() or values[0] != round(values[0]):
        raise UnreadableModelError(f"its {what} is not a whole number, the same for all channels")
    return float(values[0])


def _step(args: Args, place: int) -> NDArray[Any]:
    step = finite(constant(args, place, "scale"), "scale")
    if not step.size or not (step > 0).all():
        raise UnreadableModelError("its scale is not positive")
    return step


def _linear_steps(op: OnnxOp, args: Args, default: str) -> tuple[NDArray[Any], NDArray[Any], Any]:
    if op.whole("block_size", 0):
        raise UnreadableModelError("its scale goes by blocks")
    step = _step(args, 1)
    zero = args[2] if len(args) > 2 else None
    if isinstance(zero, View):
        raise UnreadableModelError("its zero point depends on the network's input")
    if zero is None:
        named = op.whole("output_dtype", 0)
        return step, np.zeros(()), _named_type(named) if named else np.dtype(default)
    return step, np.asarray(zero.value, dtype=np.float64), zero.value.dtype


def _named_type(data_type: int) -> Any:
    from onnx import helper

    return helper.tensor_dtype_to_np_dtype(data_type)


def _along(values: NDArray[Any], op: OnnxOp, rank: int) -> NDArray[Any]:
    """Numbers for each entry of one axis, as an array that broadcasts."""
    if values.size == 1:
        return values.reshape(())
    axis = op.whole("axis", 1)
    if values.ndim != 1 or not -rank <= axis < rank:
        raise UnreadableModelError(f"a scale of shape {values.shape} does not fit axis {axis}")
    return values.reshape((-1,) + (1,) * (rank - 1 - axis % rank))


def integer_input(data_type_name: str) -> Quantizer | None:
    """The format of an input that the file declares as small integers."""
    low, high = (0, 1) if data_type_name == "bool" else type_range(data_type_name)
    return Quantizer(fixed_of_range(low, high, 0)) if high < 1 << 16 else None
