# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Post-training quantization on the Graph: data -> Recipe, without a training framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer import graph as g
from edgeinfer.errors import InputError, UsageError
from edgeinfer.float_engine import FloatEngine
from edgeinfer.fold import fold_batch_norms
from quantization.calibrate import Method, finite, fitted, fitted_channels
from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe, WeightFormat

TABLE_INDEX_EXTRA_BITS = 4  # a table's index is finer than its output, for slopes are at most 1
MOST_SAMPLES = 4096  # calibration looks at this many, evenly spread over the set


@dataclass(frozen=True, slots=True)
class PtqSettings:
    """Widths and how ranges are drawn."""

    bits: int
    method: Method = Method.MINMAX
    percentile: float = 99.9
    per_channel: bool = False
    input_bits: int | None = None  # as `bits` where None

    def __post_init__(self) -> None:
        for width in (self.bits, self.input_bits or self.bits):
            if not 2 <= width <= 24:
                raise UsageError(f"{width} bits cannot be asked for; choose 2 to 24.")


@dataclass(frozen=True, slots=True)
class Quantized:
    """What quantization chose: the graph it applies to (batch norms folded), recipe, remarks."""

    graph: g.Graph
    recipe: Recipe
    findings: tuple[str, ...]


def quantize(
    graph: g.Graph, data: Mapping[str, NDArray[np.float64]], settings: PtqSettings
) -> Quantized:
    """Choose a format for every input, weight and tensor that feeds arithmetic."""
    folded = fold_batch_norms(graph)
    samples = calibration_samples(folded, data)
    findings = list(degenerate(samples))
    tensors = quantized_tensors(folded)
    indices = table_indices(folded)
    wanted = [name for name in [*tensors, *indices] if name not in samples]
    values = FloatEngine(folded).run(samples, taps=wanted) | samples
    activations = {name: _format(values[name], settings, name, folded) for name in tensors} | {
        name: fitted(values[name], settings.bits + TABLE_INDEX_EXTRA_BITS, signed=True)
        for name in indices
    }
    weights = weight_formats(folded, settings, activations)
    for name, quantizer in activations.items():
        if not np.any(values[name]):
            findings.append(f"{name} is zero throughout the calibration set; taken as {quantizer}.")
    return Quantized(folded, Recipe.of(activations, weights), tuple(findings))


def calibration_samples(
    graph: g.Graph, data: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """The inputs among the data, checked, thinned to what calibration looks at."""
    found: dict[str, NDArray[np.float64]] = {}
    for node in graph.inputs:
        if node.name not in data:
            raise InputError(f"The data have no array for the input {node.name!r}.")
        values = np.asarray(data[node.name])
        if values.shape[1:] != node.shape:
            raise InputError(
                f"The data of {node.name!r} have shape {values.shape}, not (samples, "
                f"{', '.join(map(str, node.shape))})."
            )
        if not len(values):
            raise InputError(
                f"The calibration set is empty: {node.name!r} has no samples.",
                hint="Give at least one sample, better some hundreds.",
            )
        kept = np.linspace(0, len(values) - 1, min(len(values), MOST_SAMPLES)).astype(int)
        try:
            found[node.name] = finite(values[kept])
        except FormatError as error:
            raise InputError(f"The data of {node.name!r}: {error}") from None
    if len({len(values) for values in found.values()}) > 1:
        raise InputError("The inputs differ in their number of samples.")
    return found


def degenerate(samples: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Remarks on data that say little about the ranges."""
    findings = []
    for name, values in samples.items():
        if len(values) < 16:
            findings.append(f"{name}: only {len(values)} calibration samples.")
        if values.size and values.min() == values.max():
            findings.append(f"{name} is constant ({values.flat[0]:g}) in the calibration set.")
            continue
        top, usual = float(np.abs(values).max()), float(np.percentile(np.abs(values), 99.9))
        if usual and top > 100 * usual:
            findings.append(
                f"{name} reaches {top:.3g}, though 99.9 % lie below {usual:.3g}: "
                "outliers cost resolution; consider percentile or mse."
            )
    return findings


def quantized_tensors(graph: g.Graph) -> tuple[str, ...]:
    """Tensors that get a format: the inputs, and whatever feeds arithmetic without being on a
    narrow grid already. What leaves the network stays exact."""
    found: set[str] = {node.name for node in graph.inputs}
    for node in graph.nodes:
        if isinstance(node, g.Conv | g.Dense | g.BatchNorm | g.Affine | g.Merge | g.Softmax):
            found.update(_sources(graph, x) for x in g.inputs_of(node))
        elif isinstance(node, g.Pool) and node.kind is g.PoolKind.AVERAGE:
            found.add(_sources(graph, node.x))
    constants = {node.name for node in graph.nodes if isinstance(node, g.Constant)}
    return tuple(node.name for node in graph.nodes if node.name in found - constants)


def table_indices(graph: g.Graph) -> tuple[str, ...]:
    """Tensors that feed a function which becomes a table, outputs left to the host excepted."""
    linear = {g.Function.LINEAR, g.Function.RELU, g.Function.RELU6, g.Function.LEAKY_RELU}
    linear |= {g.Function.SIGN, g.Function.TERNARY, g.Function.HARD_TANH}
    readers = {x for node in graph.nodes for x in g.inputs_of(node)}
    found = []
    for node in graph.nodes:
        if not isinstance(node, g.Activation) or node.function in linear:
            continue
        hosted = node.function is g.Function.SIGMOID and node.name in graph.outputs
        if not hosted or node.name in readers:
            found.append(node.x)
    return tuple(dict.fromkeys(found))


def _sources(graph: g.Graph, tensor: str) -> str:
    """The tensor whose values reach `tensor` unchanged."""
    node = graph.node(tensor)
    match node:
        case g.Reshape() | g.Transpose() | g.Upsample() | g.Slice():
            return _sources(graph, node.x)
        case g.Pool(kind=g.PoolKind.MAX):
            return _sources(graph, node.x)
        case g.Pad(value=0.0):
            return _sources(graph, node.x)
        case _:
            return tensor


def _format(
    values: NDArray[np.float64], settings: PtqSettings, name: str, graph: g.Graph
) -> Quantizer:
    is_input = isinstance(graph.node(name), g.Input)
    bits = (settings.input_bits or settings.bits) if is_input else settings.bits
    return fitted(values, bits, method=settings.method, percentile=settings.percentile)


def weight_formats(
    graph: g.Graph, settings: PtqSettings, activations: Mapping[str, Quantizer]
) -> dict[str, WeightFormat]:
    """Kernels at the asked width, fitted to their values; biases on the accumulator's grid."""
    found: dict[str, WeightFormat] = {}
    for node in graph.nodes:
        if isinstance(node, g.BatchNorm | g.Affine | g.PRelu | g.Constant):
            for key, values in g.weights_of(node).items():
                found[key] = WeightFormat.of(fitted(values, settings.bits + 4))
        if not isinstance(node, g.Conv | g.Dense):
            continue
        key = f"{node.layer}/kernel"
        kernel = _kernel(node.kernel, settings)
        found[key] = kernel
        if node.bias is not None:
            source = activations.get(_sources(graph, node.x))
            grid = kernel.frac + (source.type.frac if source else settings.bits)
            found[f"{node.layer}/bias"] = WeightFormat.of(on_grid(node.bias, grid))
    return found


def _kernel(values: g.Floats, settings: PtqSettings) -> WeightFormat:
    if settings.per_channel and values.shape[-1] > 1:
        return fitted_channels(
            values, settings.bits, method=settings.method, percentile=settings.percentile
        )
    return WeightFormat.of(
        fitted(
            values,
            settings.bits,
            method=settings.method,
            percentile=settings.percentile,
            signed=True,
        )
    )


def on_grid(values: g.Floats, frac: int, most_bits: int = 24) -> Quantizer:
    """The narrowest quantizer with `frac` fractional bits that holds the values, at most
    `most_bits` wide (then coarser)."""
    for coarser in range(64):
        scaled = np.rint(np.ldexp(values, frac - coarser))
        bits = int(max(np.abs(scaled).max(initial=0.0), 1)).bit_length() + 1
        if bits <= most_bits:
            type_ = Fixed(True, bits, bits - (frac - coarser))
            return Quantizer(type_, Rounding.RND_CONV, Overflow.SAT)
    raise InputError("A bias is too large for its layer's grid.")
