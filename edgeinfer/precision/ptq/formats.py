# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where the binary points go: of tensors by what they do to the network's outputs, of kernels by
what they do to their layer's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.precision.ptq.network import CutNetwork, Values, round_values
from edgeinfer.precision.ptq.rows import Moments
from edgeinfer.precision.ptq.weights import kernel_format
from quantization.calibrate import Method, fit_quantizer, fitted_channels, places
from quantization.fixed import Quantizer
from quantization.recipe import WeightFormat

UNSEEN = 1e-12  # of the square of an output's usual spread: no format is better for so little
CONSTANT_EXTRA_BITS = 4  # scales, shifts and slopes act on wide sums


def tensor_format(
    network: CutNetwork, tensor: str, bits: int, *, signed: bool | None = None
) -> Quantizer:
    """The format of this width that changes the network's outputs least while all else is exact."""
    point = network.point(tensor)
    exact = network.exact[point]
    candidates = places(exact, bits, signed=signed)
    if len(candidates) == 1:
        return candidates[0]
    values = [round_values(exact, candidate) for candidate in candidates]
    errors = np.asarray([alone(network, point, each) for each in values])
    best = int(np.argmin(errors))
    even = np.flatnonzero(errors <= errors[best] + UNSEEN)
    if len(even) > 1:  # as of what moves all scores alike: a log_softmax takes away one number
        own = [float(np.square(values[place] - exact).mean()) for place in even]
        return candidates[int(even[int(np.argmin(own))])]
    return candidates[best]


def alone(network: CutNetwork, point: str, values: Values) -> float:
    """The error at the outputs if this tensor alone held other values."""
    return network.error(network.outputs_after({point: values}))


def layer_moments(
    network: CutNetwork, quantizers: Mapping[str, Quantizer]
) -> dict[str, list[tuple[g.ConvNode | g.DenseNode, tuple[Moments, ...]]]]:
    """What every kernel is multiplied with, by layer: an entry for each of its uses, on inputs that
    were rounded once (so that an outlier which a format cuts off does not decide on weights)."""
    moments: dict[str, list[tuple[g.ConvNode | g.DenseNode, tuple[Moments, ...]]]] = {}
    values = dict(network.exact)
    for tensor in network.tensors:
        if tensor in quantizers:
            point = network.point(tensor)
            values[point] = round_values(network.exact[point], quantizers[tensor])
    for part in network.parts:
        for node in part.layers:
            uses = moments.setdefault(node.layer, [])
            uses.append((node, network.moments(part, node, values)))
    return moments


def kernel_formats(
    network: CutNetwork,
    quantizers: Mapping[str, Quantizer],
    bits: Mapping[str, int],
    *,
    per_channel: bool,
) -> dict[str, WeightFormat]:
    """A format for every kernel, by key; `bits` by layer."""
    formats: dict[str, WeightFormat] = {}
    for layer, uses in layer_moments(network, quantizers).items():
        node = uses[0][0]
        moments = join_moments([moments for _, moments in uses])
        formats[f"{layer}/kernel"] = kernel_format(
            node, moments, bits[layer], per_channel=per_channel
        )
    return formats


def join_moments(uses: Sequence[tuple[Moments, ...]]) -> tuple[Moments, ...]:
    """Moments over all uses of a shared layer."""
    if len(uses) == 1:
        return uses[0]
    return tuple(
        Moments(
            np.asarray(np.mean([use.mean for use in group], axis=0)),
            np.asarray(np.mean([use.gram for use in group], axis=0)),
        )
        for group in zip(*uses, strict=True)
    )


def constant_formats(graph: g.Graph, bits: int) -> dict[str, WeightFormat]:
    """Formats of what is neither kernel nor bias: scales and shifts for each channel, slopes."""
    formats: dict[str, WeightFormat] = {}
    for node in graph.nodes:
        if isinstance(node, g.BatchNormNode | g.AffineNode | g.PReluNode | g.ConstantNode):
            for key, values in g.weights_of(node).items():
                formats[key] = _constant(node, values, bits + CONSTANT_EXTRA_BITS)
    return formats


def _constant(node: g.Node, values: g.Floats, bits: int) -> WeightFormat:
    if isinstance(node, g.BatchNormNode | g.AffineNode) and values.ndim and values.shape[-1] > 1:
        return fitted_channels(values, bits)
    return WeightFormat.of(fit_quantizer(values, bits))


def ranged_kernels(
    network: CutNetwork,
    bits: Mapping[str, int],
    method: Method,
    percentile: float,
    *,
    per_channel: bool,
) -> dict[str, WeightFormat]:
    """Formats of kernels by the range of their values alone; `bits` by layer."""
    formats: dict[str, WeightFormat] = {}
    for part in network.parts:
        for node in part.layers:
            width = bits[node.layer]
            if per_channel and node.kernel.shape[-1] > 1:
                fmt = fitted_channels(node.kernel, width, method=method, percentile=percentile)
            else:
                fmt = WeightFormat.of(
                    fit_quantizer(
                        node.kernel, width, method=method, percentile=percentile, signed=True
                    )
                )
            formats[f"{node.layer}/kernel"] = fmt
    return formats
