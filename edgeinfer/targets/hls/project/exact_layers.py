# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Ops that become layers of ours in hls4ml: the functions of `firmware/hls/nnet_exact.h`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgeinfer.ir import ops
from edgeinfer.ir.ops import Op, PairKind, PoolKind, Shape, Weights, pack_weights
from edgeinfer.targets.hls.project.spec import StoredIntegers, exactly
from edgeinfer.targets.hls.settings import Backend
from quantization.fixed import Fixed, Ints, Overflow, fixed_of_range, requantize

if TYPE_CHECKING:
    from edgeinfer.targets.hls.project.layout import ProjectLayout

MOST_AXES = 4
COMPARING = (PairKind.MAX, PairKind.MIN)
MERGES = {
    PairKind.ADD: "add",
    PairKind.SUB: "subtract",
    PairKind.MUL: "multiply",
    PairKind.MAX: "maximum",
    PairKind.MIN: "minimum",
}


def place_requant(layout: ProjectLayout, op: ops.Requant) -> None:
    """The result's type rounds and overflows. Where it drops more bits than there are, only its
    sign counts, and the types of the C-simulation refuse to round: two numbers take their place."""
    result = op.quantizer
    x, shape = layout.of_value[op.x], layout.program.shapes[op.name]
    if only_zero(op):
        nothing = StoredIntegers("values", np.array([0, 0]), op.type)
        layout.exact(op, "sign", (x,), shape, exactly(op.type), stored=(nothing,))
        return
    if not drops_all(layout, op):
        layout.exact(op, "requant", (x,), shape, result)
        return
    ends = requantize(np.array([-1, 0]), layout.program.type(op.x).frac, result)
    layout.exact(
        op, "sign", (x,), shape, exactly(op.type), stored=(StoredIntegers("values", ends, op.type),)
    )


def only_zero(op: ops.Requant) -> bool:
    """Whether 0 is all that the result may be: one bit with a sign, the same on both sides of 0.
    `ap_fixed` saturates to -1 there."""
    return op.overflow is Overflow.SAT_SYM and op.type.signed and op.type.bits == 1


def drops_all(layout: ProjectLayout, op: ops.Requant) -> bool:
    """Whether even the largest x is less than half a step of the result."""
    x_type = layout.program.type(op.x)
    return x_type.frac - op.type.frac > x_type.bits


def place_copy(layout: ProjectLayout, op: ops.Reshape) -> None:
    """The same elements in words of another size."""
    layout.exact(op, "requant", (layout.of_value[op.x],), op.shape, exactly(op.type))


def place_clip(layout: ProjectLayout, op: ops.Clip) -> None:
    """Limits that nothing can reach are left out; where nothing lies between them, they are all."""
    x, shape = layout.ranges[op.x], layout.program.shapes[op.name]
    low = None if op.low is None or op.low <= x.bottom else op.low
    high = None if op.high is None or op.high >= x.top else op.high
    ends = [end for end in (low, high) if end is not None and not x.bottom <= end <= x.top]
    if ends:
        values = StoredIntegers("values", np.array([ends[0]] * 2), op.type)
        layout.exact(
            op, "sign", (layout.of_value[op.x],), shape, exactly(op.type), stored=(values,)
        )
        return
    limits = np.array([low or 0, high or 0])
    signed = layout.program.type(op.x).signed
    layout.exact(
        op, "clip", (layout.of_value[op.x],), shape, exactly(op.type),
        constants={"has_low": int(low is not None), "has_high": int(high is not None)},
        stored=(store_integers("limits", limits, op.type.frac, signed=signed),),
    )  # fmt: skip


def place_scale(layout: ProjectLayout, op: ops.Scale) -> None:
    """Factors and biases lie beside the layer, as often as they differ."""
    shape = layout.program.shapes[op.name]
    x = spread(layout, op, op.x, shape)
    factors, biases = repeating(op.factor, shape), repeating(op.bias, shape)
    layout.exact(
        op, "scale", (x,), shape, exactly(op.type),
        constants={"n_factors": factors.size, "n_biases": biases.size},
        stored=(
            StoredIntegers("factors", factors, op.factor_type),
            store_integers("biases", biases, op.type.frac),
        ),
    )  # fmt: skip


def place_prelu(layout: ProjectLayout, op: ops.PRelu) -> None:
    """Slopes lie beside the layer, as often as they differ."""
    shape = layout.program.shapes[op.name]
    x = spread(layout, op, op.x, shape)
    slopes = repeating(op.slope, shape)
    layout.exact(
        op, "prelu", (x,), shape, exactly(op.type),
        constants={"n_slopes": slopes.size},
        stored=(StoredIntegers("slopes", slopes, op.slope_type),),
    )  # fmt: skip


def place_table(layout: ProjectLayout, op: ops.Table) -> None:
    """Our very table, entry by entry; the index is proved to stay inside."""
    layout.exact(
        op, "table", (layout.of_value[op.x],), layout.program.shapes[op.name], exactly(op.type),
        constants={"first": op.first}, stored=(StoredIntegers("entries", op.entries, op.type),),
    )  # fmt: skip


def place_softmax(layout: ProjectLayout, op: ops.Softmax) -> None:
    """Both tables, and types that hold every distance and every sum."""
    shape, x_type = layout.program.shapes[op.name], layout.program.type(op.x)
    ways = shape[op.axis]
    product = op.exp_type.frac + op.inverse_type.frac
    if product - op.type.frac > op.exp_type.bits + op.inverse_type.bits:
        layout.refuse(op, f"{op.type} is so coarse that every share is rounded away")
        return
    most = ways * int(op.exp.max())
    constants = {
        "n_outer": math.prod(shape[: op.axis]),
        "n_slice": ways,
        "n_inner": math.prod(shape[op.axis + 1 :]),
        "exp_shift": op.exp_shift,
        "exp_last": op.exp.size - 1,
        "inverse_shift": op.inverse_shift,
        "inverse_last": op.inverse.size - 1,
    }
    layout.exact(
        op, "softmax", (layout.of_value[op.x],), shape,
        op.quantizer, constants=constants,
        stored=(
            StoredIntegers("exps", op.exp, op.exp_type),
            StoredIntegers("inverses", op.inverse, op.inverse_type),
        ),
        types={
            "distance": Fixed(False, x_type.bits, x_type.integer),
            "sum": fixed_of_range(0, most, op.exp_type.frac),
        },
    )  # fmt: skip


def place_pool(layout: ProjectLayout, op: ops.Pool) -> None:
    """Sums, and maxima that leave padding out."""
    shape, out = layout.program.shapes[op.x], layout.program.shapes[op.name]
    lead = (1,) * (2 - len(op.window))
    height, width = (*lead, *shape[:-1])
    out_height, out_width = (*lead, *out[:-1])
    window, strides = (*lead, *op.window), (*lead, *op.strides)
    pads = (*((0, 0),) * len(lead), *op.pads)
    constants = {
        "in_height": height,
        "in_width": width,
        "out_height": out_height,
        "out_width": out_width,
        "channels": shape[-1],
        "window_height": window[0],
        "window_width": window[1],
        "stride_height": strides[0],
        "stride_width": strides[1],
        "pad_top": pads[0][0],
        "pad_left": pads[1][0],
    }
    function = "sum_pool" if op.kind is PoolKind.SUM else "max_pool"
    layout.exact(op, function, (layout.of_value[op.x],), out, exactly(op.type), constants=constants)


def place_pair(layout: ProjectLayout, op: ops.Pair) -> None:
    """Two tensors of one shape are hls4ml's merge. One that broadcasts is spread out first, and a
    constant lies beside the layer."""
    shape = layout.program.shapes[op.name]
    for value, other, swapped in ((op.b, op.a, False), (op.a, op.b, True)):
        constant = layout.constant(value)
        if constant is None:
            continue
        x, raw = spread(layout, op, other, shape), repeating(constant.value, shape)
        constant_value, type_ = layout.program.type(other), constant.type
        if op.kind in COMPARING and constant_value.signed != type_.signed:
            type_ = signed_type_of(type_)
            x = _as_signed(layout, op, x, constant_value, shape, "")
        function = MERGES[op.kind]
        if swapped and op.kind is PairKind.SUB:
            function = "subtract_from"
        layout.exact(
            op, function, (x,), shape, exactly(op.type),
            constants={"n_constants": raw.size}, stored=(StoredIntegers("constants", raw, type_),),
        )  # fmt: skip
        return
    if op.kind in COMPARING and layout.streams and layout.settings.backend is Backend.CATAPULT:
        layout.refuse(
            op, f"hls4ml's {MERGES[op.kind]} of two streams does not compile for Catapult"
        )
        return
    types = [layout.program.type(value) for value in (op.a, op.b)]
    layers = [spread(layout, op, op.a, shape, "_a"), spread(layout, op, op.b, shape, "_b")]
    if op.kind in COMPARING and types[0].signed != types[1].signed:
        layers = [
            _as_signed(layout, op, layer, type_, shape, side)
            for layer, type_, side in zip(layers, types, ("_a", "_b"), strict=True)
        ]
    layout.add(
        op, "Merge", tuple(layers), shape, exactly(op.type), attributes={"op": MERGES[op.kind]}
    )


def signed_type_of(type_: Fixed) -> Fixed:
    """The signed type on the same grid that holds all of it."""
    return type_ if type_.signed else Fixed(True, type_.bits + 1, type_.integer + 1)


def _as_signed(
    layout: ProjectLayout, op: ops.Pair, layer: str, type_: Fixed, shape: Shape, side: str
) -> str:
    """A copy with a sign: ap_fixed compares wide numbers of either kind as if none had one."""
    if type_.signed:
        return layer
    return layout.exact(
        op, "requant", (layer,), shape, exactly(signed_type_of(type_)), part=f"_signed{side}"
    )


def place_concat(layout: ProjectLayout, op: ops.Concat) -> None:
    """Two at a time, from the left. Constants, on the result's grid, lie beside the layer."""
    shape, result = layout.program.shapes[op.name], exactly(op.type)
    parts = _parts(layout, op)
    first_value, size = parts[0]
    for i, (part, width) in enumerate(parts[1:], start=1):
        joined = _upsampled_shape(shape, op.axis, size + width)
        inner = math.prod(shape[op.axis + 1 :])
        constants = {
            "n_outer": math.prod(shape[: op.axis]), "n_a": size * inner, "n_b": width * inner,
        }  # fmt: skip
        last = "" if i == len(parts) - 1 else f"_part{i}"
        match first_value, part:
            case str(), str():
                first_value = layout.exact(
                    op,
                    "concat",
                    (first_value, part),
                    joined,
                    result,
                    constants=constants,
                    part=last,
                )
            case str(), np.ndarray():
                first_value = layout.exact(
                    op, "append", (first_value,), joined, result, constants=constants, part=last,
                    stored=(store_integers("constants", part, op.type.frac),),
                )  # fmt: skip
            case np.ndarray(), str():
                first_value = layout.exact(
                    op, "prepend", (part,), joined, result, constants=constants, part=last,
                    stored=(store_integers("constants", first_value, op.type.frac),),
                )  # fmt: skip
            case _:
                raise AssertionError("`_parts` has joined neighbouring constants")
        size += width
    if len(parts) == 1 and isinstance(first_value, str):
        layout.exact(op, "requant", (first_value,), shape, result)


def _parts(layout: ProjectLayout, op: ops.Concat) -> list[tuple[str | Ints, int]]:
    """The layers and the constants side by side, and how wide each is; neighbouring constants are
    one."""
    parts: list[tuple[str | Ints, int]] = []
    for x in op.xs:
        width = layout.program.shapes[x][op.axis]
        constant = layout.constant(x)
        if constant is None:
            parts.append((layout.of_value[x], width))
            continue
        raw: Ints = constant.value.astype(np.int64) << (op.type.frac - constant.type.frac)
        if parts and not isinstance(parts[-1][0], str):
            before, beside = parts.pop()
            raw, width = np.concatenate([before, raw], axis=op.axis), beside + width
        parts.append((raw, width))
    return parts


def place_move(layout: ProjectLayout, op: ops.Moves) -> None:
    """Every move is one gather: where each element of the result comes from, axis by axis, or else
    from a list of places."""
    shape, out = layout.program.shapes[op.x], layout.program.shapes[op.name]
    rank = len(shape)
    order: Shape = tuple(range(rank))
    factors, steps, starts = (1,) * rank, (1,) * rank, (0,) * rank
    match op:
        case _ if rank > MOST_AXES:
            _place_any(layout, op, out)
            return
        case ops.Transpose():
            order = op.order
        case ops.Pad():
            starts = tuple(-before for before, _ in op.pads)
        case ops.Upsample():
            factors = (*op.factors, 1)
        case ops.Slice():
            starts, steps = op.starts, op.steps
        case _:  # any move is a gather, by its sources
            _place_any(layout, op, out)
            return
    _place_gather(layout, op, out, gather(shape, out, order, factors, steps, starts))


def _place_any(layout: ProjectLayout, op: ops.Moves, out: Shape) -> None:
    """A move by its sources alone: in even steps where they go so, else from a list."""
    places = op.sources(layout.program.shapes[op.x])
    constants = evenly_spaced(places.reshape(out))
    if constants is not None:
        _place_gather(layout, op, out, constants)
        return
    highest = fixed_of_range(0, int(places.max()) + 1, 0)
    layout.exact(
        op, "pick", (layout.of_value[op.x],), out, exactly(op.type),
        stored=(
            StoredIntegers("places", places + 1, highest),
            store_integers("pad", np.array([op.fill]), op.type.frac),
        ),
    )  # fmt: skip


def _place_gather(
    layout: ProjectLayout, op: ops.Moves, out: Shape, constants: dict[str, int]
) -> None:
    layout.exact(
        op, "gather", (layout.of_value[op.x],), out, exactly(op.type), constants=constants,
        stored=(store_integers("pad", np.array([op.fill]), op.type.frac),),
    )  # fmt: skip


def spread(layout: ProjectLayout, op: Op, value: str, shape: Shape, side: str = "") -> str:
    """The layer that holds a value as often as another shape asks for."""
    own = layout.program.shapes[value]
    if own == shape:
        return layout.of_value[value]
    if len(shape) > MOST_AXES:
        layout.refuse(op, f"%{value} is spread over {len(shape)} axes; {MOST_AXES} at most can be")
        return layout.of_value[value]
    factors = tuple(o if s == 1 else 1 for s, o in zip(own, shape, strict=True))
    rank = len(shape)
    constants = gather(own, shape, tuple(range(rank)), factors, (1,) * rank, (0,) * rank)
    type_ = layout.program.type(value)
    return layout.exact(
        op, "gather", (layout.of_value[value],), shape, exactly(type_), constants=constants,
        stored=(store_integers("pad", np.array([0]), type_.frac),), part=f"_spread{side}",
    )  # fmt: skip


def place_rows(
    layout: ProjectLayout, op: ops.Conv, shape_taken: Shape, step: int, before: int
) -> str:
    """Every step-th row, beginning so many zero rows before the first."""
    shape, rank = layout.program.shapes[op.x], len(shape_taken)
    type_ = layout.program.type(op.x)
    constants = gather(
        shape, shape_taken, tuple(range(rank)), (1,) * rank, (step, *(1,) * (rank - 1)),
        (-before, *(0,) * (rank - 1)),
    )  # fmt: skip
    return layout.exact(
        op, "gather", (layout.of_value[op.x],), shape_taken, exactly(type_), constants=constants,
        stored=(store_integers("pad", np.array([0]), type_.frac),), part="_rows",
    )  # fmt: skip


def gather(
    shape: Shape, out: Shape, order: Shape, factors: Shape, steps: Shape, starts: Shape
) -> dict[str, int]:
    """The constants of a move; output axis k goes along input axis order[k]."""
    lead = MOST_AXES - len(shape)
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    constants: dict[str, int] = {}
    for axis in range(MOST_AXES):
        k = axis - lead
        pattern = (1, 1, 0, 1, 1, 0)
        if k >= 0:
            pattern = (
                out[k], factors[k], starts[k], steps[k], shape[order[k]], strides[order[k]],
            )  # fmt: skip
        names = ("out", "factor", "start", "step", "size", "stride")
        constants |= {f"{name}{axis}": n for name, n in zip(names, pattern, strict=True)}
    return constants


def evenly_spaced(places: Ints) -> dict[str, int] | None:
    """The constants of a move whose places go in even steps along every axis, perhaps backwards;
    None where they do not, or where something comes from nowhere."""
    if places.ndim > MOST_AXES or (places < 0).any():
        return None
    corner = (0,) * places.ndim
    steps = [int(np.diff(places, axis=k)[corner]) if places.shape[k] > 1 else 0
             for k in range(places.ndim)]  # fmt: skip
    grid = np.indices(places.shape)
    moved = sum(step * index for step, index in zip(steps, grid, strict=True)) + places[corner]
    if not np.array_equal(moved, places):
        return None
    # Along an axis that goes backwards, counting begins at its far end, so that none is negative.
    starts = [-step * (size - 1) if step < 0 else 0
              for step, size in zip(steps, places.shape, strict=True)]  # fmt: skip
    starts[-1] += int(places[corner]) - sum(starts)
    reach = int(places.max()) + 1
    constants: dict[str, int] = {}
    for axis in range(MOST_AXES):
        k = axis - (MOST_AXES - places.ndim)
        pattern = (
            (1, 1, 0, 1, 1, 0) if k < 0 else (places.shape[k], 1, starts[k], steps[k], reach, 1)
        )
        names = ("out", "factor", "start", "step", "size", "stride")
        constants |= {f"{name}{axis}": n for name, n in zip(names, pattern, strict=True)}
    return constants


def repeating(raw: Weights, shape: Shape) -> Weights:
    """The shortest array that, repeated, is this one broadcast to the shape."""
    if raw.size == 1:
        return raw.reshape(-1)
    trimmed = raw.reshape((1,) * (len(shape) - raw.ndim) + raw.shape)
    for axis in range(len(shape)):
        tail = trimmed.shape[axis:]
        if trimmed.shape[:axis] == (1,) * axis and tail == shape[axis:]:
            return trimmed.reshape(-1)
    return pack_weights(np.broadcast_to(trimmed, shape).astype(np.int64).reshape(-1))


def store_integers(name: str, raw: Weights, frac: int, *, signed: bool = False) -> StoredIntegers:
    """Integers in the narrowest type of that grid; one with a sign where that is asked for."""
    low = min(int(raw.min()), -1 if signed else 0)
    return StoredIntegers(name, raw, fixed_of_range(low, int(raw.max()), frac))


def _upsampled_shape(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])
