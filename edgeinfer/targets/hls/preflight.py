# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What would go wrong in the HLS flow, said before anything is compiled: a sentence, its numbers,
and a remedy for each finding."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import UsageError
from edgeinfer.ir import ops
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.largest_part import largest_part
from edgeinfer.ir.program import HostFunction, Program, body_of
from edgeinfer.targets.hls.estimate.estimate import HlsEstimate, band, estimate, with_reuse
from edgeinfer.targets.hls.estimate.reuse import (
    effective_strategy,
    layers_with_multipliers,
    legal,
    multiplication_size,
)
from edgeinfer.targets.hls.estimate.reuse_choice import (
    COMPARED,
    COMPARED_INTEL,
    UNROLL_LIMIT,
    choose_reuse,
    usage,
)
from edgeinfer.targets.hls.settings import Arithmetic, Backend, HlsSettings, IoType, Strategy

LARGE_DENSE = 100_000  # weights after a flatten, from which pooling before it is worth a thought
POOL = 4  # side of the alternative's window, where the picture allows it
FIFO_SHARE = 0.25  # of a device's block RAM, from which the depth of FIFOs is worth a thought
SMALL_TAIL = 0.01  # share of the largest probability that a table may lose


def preflight(program: Program, settings: HlsSettings, device: Device) -> tuple[str, ...]:
    """All findings; none where nothing stands in the way."""
    findings = [
        *_unroll_limit(program, settings),
        *_illegal_reuse(program, settings, device),
        *_large_dense(program, settings, device),
        *_softmax_range(program),
        *_budget(program, settings, device),
        *_deep_fifos(program, settings, device),
    ]
    return tuple(findings)


def _unroll_limit(program: Program, settings: HlsSettings) -> list[str]:
    findings = []
    top = {op.name for op in program.ops}
    for op in layers_with_multipliers(program):
        if settings.io is not IoType.PARALLEL and op.name in top:
            continue  # the bodies of recurrences are in arrays in any project
        size = op.weight.size
        if effective_strategy(op.name, settings) is Strategy.LATENCY and size >= UNROLL_LIMIT:
            findings.append(
                f"{op.name}: {size:,} multiplications laid out at once are beyond the "
                f"{UNROLL_LIMIT:,} at which HLS synthesis stops (XFORM 203-504) in io_parallel "
                f"with the latency strategy. Choose "
                f"{'io_stream, or ' if op.name in top else ''}the resource strategy for this layer."
            )
    return findings


def _illegal_reuse(program: Program, settings: HlsSettings, device: Device) -> list[str]:
    findings = []
    for op in layers_with_multipliers(program):
        reuse, allowed = settings.reuse_for(op.name), legal(op, settings)
        if reuse in allowed:
            continue
        legal_reuse = allowed.nearest(reuse)
        around = sorted(allowed.values, key=lambda value, reuse=reuse: abs(value - reuse))[:4]
        costs = "; ".join(
            f"{factor}: {_layer_cost(program, settings, device, op, factor)}"
            for factor in sorted(around)
        )
        inputs, outputs = multiplication_size(op)
        findings.append(
            f"{op.name}: hls4ml has no reuse factor {reuse} for {inputs:,} x {outputs:,} "
            f"multiplications in the {effective_strategy(op.name, settings)} strategy and would "
            f"silently take {legal_reuse}. Legal and near are {costs}."
        )
    return findings


def _layer_cost(
    program: Program, settings: HlsSettings, device: Device, op: Accumulates, factor: int
) -> str:
    design = estimate(program, with_reuse(settings, {op.name: factor}), device)
    loops = (each for each in program.ops if isinstance(each, ops.Scan))
    owners = (loop.name for loop in loops if _is_inside(op.name, body_of(loop)))
    owner = next(owners, op.name)
    layer = next(layer for layer in design.layers if layer.name == owner)
    return (
        f"about {layer.dsp:,.0f} DSP, {layer.lut:,.0f} LUT, {layer.bram18:,.0f} BRAM18, "
        f"{layer.latency_cycles:,} cycles"
    )


def _is_inside(name: str, body: Program) -> bool:
    return any(inner.name == name for inner in body.all_ops())


def _budget(program: Program, settings: HlsSettings, device: Device) -> list[str]:
    design = estimate(program, settings, device)
    over = over_budget(design, device)
    if not over:
        return []
    weights = program.parameters
    bits = sum(op.weight.size * op.weight_type.bits for op in layers_with_multipliers(program))
    memory = _memory_bits(device)
    sure = surely_beyond(design, device)
    finding = (
        f"{program.name} with {weights:,} weights and biases {'' if sure else 'probably '}does not "
        f"fit {device.name}: about {over}."
    )
    if memory is not None and bits > memory:
        finding += (
            f" No folding helps: the weights alone are {bits / 1e6:.1f} Mbit, and all block RAM "
            f"of the part holds {memory / 1e6:.1f} Mbit. {largest_part(program, memory)} Pool "
            f"before the dense layer, choose fewer bits, or a larger device."
        )
        return [finding]
    try:
        choice = choose_reuse(program, settings, device)
    except UsageError as error:
        return [f"{finding} {error}"]
    figures = choice.estimate.figures()
    factors = ", ".join(f"{name} {factor}" for name, factor in choice.settings.reuse_of)
    return [
        f"{finding} With the resource strategy and reuse factors of {factors} it is estimated to "
        f"fit, at {figures['latency_cycles']:,.0f} cycles ({figures['latency_us']:.3g} us)."
    ]


def _deep_fifos(program: Program, settings: HlsSettings, device: Device) -> list[str]:
    """FIFOs as deep as their tensors, where they take much of the block RAM."""
    offered = device.offers("bram18")
    design = estimate(program, settings, device)
    fifo_bram18 = sum(layer.fifo_bram18 for layer in design.layers)
    if not offered or fifo_bram18 <= FIFO_SHARE * offered:
        return []
    deepest = max(design.layers, key=lambda layer: layer.fifo_bram18)
    return [
        f"{fifo_bram18:,.0f} of the {design.bram18:,.0f} BRAM18 are FIFOs as deep as the tensors "
        f"between layers, {fifo_bram18 / offered:,.0%} of what {device.name} holds; "
        f"{deepest.name}'s alone {deepest.fifo_bram18:,.0f}. Without them the network needs "
        f"{design.bram18 - fifo_bram18:,.0f}. Depths measured by co-simulation (hls4ml's FIFO "
        f"depth optimization) give each FIFO only what it fills."
    ]


def estimate_remarks(program: Program, settings: HlsSettings) -> tuple[str, ...]:
    """What must be known to read an estimate aright."""
    return (*_left_to_host(program, settings), *_unknown_release(program, settings))


def _left_to_host(program: Program, settings: HlsSettings) -> list[str]:
    """What hls4ml's own project would compute, where that project is meant."""
    if settings.arithmetic is not Arithmetic.HLS4ML:
        return []
    return [
        f"{output.name}: its {output.host} is left to the host and is not in these figures; "
        f"hls4ml's own project computes it. Estimate that project, or its hls4ml_config.yml."
        for output in program.outputs
        if output.host is not HostFunction.NONE
    ]


def _unknown_release(program: Program, settings: HlsSettings) -> list[str]:
    """Streams whose cycles go by the release of Vitis HLS, where none was stated."""
    frames = settings.sparse == "frames"  # without which no line is buffered
    slides = (
        frames
        and settings.io is IoType.STREAM
        and any(
            isinstance(op, ops.Conv) and len(op.window) > 1 and math.prod(op.window) > 1
            for op in program.ops
        )
    )
    if not slides or settings.backend is not Backend.VITIS or settings.tool_version:
        return []
    return [
        "Line buffers take a cycle for each pixel in some releases of Vitis HLS, as was assumed "
        "here, and three from 2024 on. Say which one with --tool-version."
    ]


def surely_beyond(design: HlsEstimate, device: Device) -> bool:
    """Whether the whole band of any kind is beyond what the device offers."""
    names = COMPARED_INTEL if design.intel else COMPARED
    return any(
        band(design.family, names[kind], used)[0] > offered
        for kind, (used, offered) in usage(design, device).items()
    )


def over_budget(design: HlsEstimate, device: Device) -> str:
    """What is used beyond the device's budget, with how often it would have to be there."""
    return ", ".join(
        f"{used:,.0f} {kind.upper()} of {offered:,}"
        + (f" ({used / offered:.1f} times)" if offered else "")
        for kind, (used, offered) in usage(design, device).items()
        if used > offered
    )


def _memory_bits(device: Device) -> float | None:
    blocks = {"bram18": 18 * 1024, "uram": 288 * 1024, "m20k": 20 * 1024}
    offers = [size * count for kind, size in blocks.items() if (count := device.offers(kind))]
    return float(sum(offers)) if offers else None


def _large_dense(program: Program, settings: HlsSettings, device: Device) -> list[str]:
    findings = []
    for op in program.ops:
        if not isinstance(op, ops.Dense) or op.weight.size < LARGE_DENSE:
            continue
        flat = _find_flatten(program, op)
        if flat is None:
            continue
        shape = program.shapes[flat.x]
        finding = (
            f"{op.name}: a dense layer over {math.prod(shape):,} flattened values "
            f"({'x'.join(map(str, shape))}) holds {op.weight.size:,} of the network's "
            f"{program.parameters:,} parameters."
        )
        pooled = pooled_alternative(program, flat, op)
        if pooled is None:
            findings.append(f"{finding} Pool or stride before it.")
            continue
        before = estimate(program, settings, device)
        after = estimate(pooled, settings, device)
        findings.append(
            f"{finding} A maximum over {_window(shape)} positions before it, trained anew, would "
            f"leave {pooled.parameters:,} parameters: about {_cost(after)}, in place of "
            f"{_cost(before)}."
        )
    return findings


def _find_flatten(program: Program, op: ops.Dense) -> ops.Reshape | None:
    """The flatten that feeds a dense layer, through roundings."""
    before: ops.Op = program[op.x]
    while isinstance(before, ops.Requant):
        before = program[before.x]
    if not isinstance(before, ops.Reshape) or len(before.shape) != 1:
        return None
    return before if len(program.shapes[before.x]) > 1 else None


def _window(shape: tuple[int, ...]) -> str:
    return " x ".join(str(min(POOL, size)) for size in shape[:-1])


def pooled_alternative(program: Program, flat: ops.Reshape, op: ops.Dense) -> Program | None:
    """The same network with a maximum over windows before the flatten, to be costed, not run: its
    dense layer keeps the rows that the smaller picture has places for. None where the flatten has
    other readers."""
    readers = [other for other in program.ops if flat.name in ops.inputs_of(other)]
    shape = program.shapes[flat.x]
    window = tuple(min(POOL, size) for size in shape[:-1])
    if len(readers) != 1 or all(size == 1 for size in window):
        return None
    places = tuple((size - width) // width + 1 for size, width in zip(shape, window, strict=False))
    rows = math.prod(places) * shape[-1]
    pool = ops.Pool(
        f"{flat.name}.pooled",
        program.type(flat.x),
        flat.x,
        ops.PoolKind.MAX,
        window,
        window,
        ((0, 0),) * len(window),
    )
    new_ops: list[ops.Op] = []
    for other in program.ops:
        if other.name == flat.name:
            new_ops += [pool, replace(flat, x=pool.name, shape=(rows,))]
        elif other.name == op.name:
            new_ops.append(
                replace(op, weight=ops.pack_weights(np.asarray(op.weight[:rows], np.int64)))
            )
        else:
            new_ops.append(other)
    return Program(f"{program.name}_pooled", tuple(new_ops), program.outputs)


def _cost(design: HlsEstimate) -> str:
    figures = design.figures()
    names = ("dsp", "lut_vsynth", "bram18") if not design.intel else ("dsp", "alm", "m20k")
    units = {"lut_vsynth": "LUT"}
    parts = [f"{figures[name]:,.0f} {units.get(name, name.upper())}" for name in names]
    return f"{', '.join(parts)} and {figures['latency_cycles']:,.0f} cycles"


def _softmax_range(program: Program) -> list[str]:
    """Tables that end before the differences that their input can have do."""
    softmaxes = [op for op in program.ops if isinstance(op, ops.Softmax)]
    if not softmaxes:
        return []
    findings, proved = [], bounds_of(program)
    for op in softmaxes:
        range_ = proved[op.x]
        spread = range_.top - range_.bottom
        reach = op.exp.size << op.exp_shift
        last = float(op.exp.reshape(-1)[-1]) / max(float(op.exp.reshape(-1)[0]), 1.0)
        if spread >= reach and last > SMALL_TAIL:
            lsb = program.type(op.x).lsb
            findings.append(
                f"{op.name}: its table of {op.exp.size:,} exponentials ends at differences of "
                f"{reach * lsb:g}, where {last:.1%} of the largest is left, but its input is "
                f"proved to differ by up to {spread * lsb:g}. Make the table longer, or leave the "
                f"softmax to the host."
            )
        total = program.shapes[op.x][op.axis] * int(op.exp.max())
        if total >> op.inverse_shift >= op.inverse.size:
            findings.append(
                f"{op.name}: sums of exponentials reach {total * op.exp_type.lsb:g}, beyond its "
                f"table of {op.inverse.size:,} inverses, which ends at "
                f"{(op.inverse.size << op.inverse_shift) * op.exp_type.lsb:g}. Make it longer, or "
                f"leave the softmax to the host."
            )
    return findings
