# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The table of what the Edge TPU can do, by runtime version: each operator, since when, and within
which limits. Statuses are worded as the vendor's compiler words them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from edgeinfer.base.tflite.model import Operator, TfliteTensor
from edgeinfer.targets.edgetpu.tflite.versions import COMPILER, newest_mapped, readable

OLDEST_RUNTIME, NEWEST_RUNTIME = 10, 14
EIGHT_BITS: Final = ("INT8", "UINT8")
LONGEST_SOFTMAX: Final = 16_384  # the documentation says 16,000; this many were seen to map
WIDEST_RESIZE: Final = 16
LARGEST_MEAN: Final = 16_384  # positions: 64x128 were seen to map, 256x128 were not
INNER_AXES: Final = 3


class Status(StrEnum):
    """What becomes of an operator, in the compiler's words."""

    MAPPED = "Mapped to Edge TPU"
    LATER = "More than one subgraph is not supported"
    LIMITED = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
    DATA_TYPE = "Operation is working on an unsupported data type"
    UNSUPPORTED = "Operation not supported"
    VERSION = "Operation version not supported"
    RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
    NOT_CONSTANT = "Filter, bias, or other param is not constant at compile-time"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an operator cannot run on the chip, and what to do about it."""

    status: Status
    reason: str
    remedy: str


Check = Callable[[Operator, int], Refusal | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """An operator that is supported since a runtime version, within the limits of a check; the
    inputs that have to be in the file."""

    since: int
    check: Check | None = None
    constants: Sequence[int] = ()


def refusal(op: Operator, runtime: int) -> Refusal | None:
    """Why an operator cannot run on the chip under a runtime version; None where it can."""
    rule = RULES.get(op.name)
    if not readable(op.name, op.version):
        return Refusal(
            Status.VERSION,
            f"compiler {COMPILER} cannot read {op.title} version {op.version} and refuses the file",
            "Convert with an older TensorFlow, or without the option that needs the newer version.",
        )
    if rule is None:
        return Refusal(
            Status.UNSUPPORTED,
            f"the chip has no {op.title}",
            REPLACEMENTS.get(op.name, "Move it to the end of the network."),
        )
    if rule.since > runtime:
        return Refusal(
            Status.UNSUPPORTED,
            f"{op.title} is supported from runtime {rule.since} on, not by {runtime}",
            f"Use a runtime of version {rule.since} or newer.",
        )
    if op.version > newest_mapped(op.name, runtime):
        return Refusal(
            Status.VERSION,
            f"{op.title} version {op.version} is newer than what is mapped",
            REPLACEMENTS.get(f"{op.name}.version", "Convert with an older TensorFlow."),
        )
    refused = _of_tensors(op, runtime) or _constant(op, rule.constants)
    return refused or (None if rule.check is None else rule.check(op, runtime))


def _of_tensors(op: Operator, runtime: int) -> Refusal | None:
    """What holds for every operator: 8 bits, sizes that are known, no batch of images."""
    if not op.outputs or not op.inputs:
        return refuse_for_limit("it has no input or no output", "Write the file again.")
    for tensor in (*op.computed(), *op.outputs):
        state = op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM" and tensor.type == "INT16"
        if tensor.type not in EIGHT_BITS and not state:
            if op.name == "QUANTIZE":
                return refuse_for_limit(
                    f"{tensor.name or 'a tensor'} is {tensor.type}: floats are quantized by the "
                    f"host",
                    "Give the model int8 inputs and outputs.",
                )
            return Refusal(
                Status.DATA_TYPE,
                f"{tensor.name or 'a tensor'} is {tensor.type}; the chip works on int8 and uint8",
                "Quantize the whole network to int8, inputs and outputs too.",
            )
        if tensor.dynamic:
            return refuse_for_limit(
                f"{tensor.name or 'a tensor'} has a size that is left open",
                "Fix every size, the batch at 1, before converting.",
            )
        if math.prod(tensor.shape[:-INNER_AXES]) > 1 and not _enlarges(op, tensor, runtime):
            return Refusal(
                Status.RANK,
                f"{tensor.name or 'a tensor'} is {_sizes(tensor)}: only the three innermost sizes "
                f"may exceed 1",
                "Use a batch of 1, and at most three axes besides it.",
            )
    return None


def _enlarges(op: Operator, tensor: TfliteTensor, runtime: int) -> bool:
    """Whether a tensor of many axes is a step of enlarging an image by repetition: one tensor that
    is packed with itself and reshaped, as in feature pyramids; known since runtime 14."""
    if runtime < NEWEST_RUNTIME:
        return False
    alike = {t.index for t in op.inputs if t is not None}
    packs = op.name == "PACK" and len(op.inputs) > 1 and len(alike) == 1
    flattens = op.name == "RESHAPE" and tensor.index in {t.index for t in op.computed()}
    return packs or (flattens and len(tensor.shape) > INNER_AXES + 1)


def refuse_for_limit(reason: str, remedy: str) -> Refusal:
    """A refusal for which the compiler gives no particular reason."""
    return Refusal(Status.LIMITED, reason, remedy)


def _sizes(tensor: TfliteTensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _constant(op: Operator, places: Sequence[int]) -> Refusal | None:
    """Inputs that must be in the file."""
    for place in places:
        tensor = op.input(place)
        if tensor is not None and not tensor.constant:
            return Refusal(
                Status.NOT_CONSTANT,
                f"{tensor.name or f'input {place}'} is computed",
                "Make it a constant of the network.",
            )
    return None


def _weights(op: Operator, runtime: int) -> Refusal | None:
    weights = op.input(1)
    if weights is None or weights.type in EIGHT_BITS:
        return None
    reason = f"its weights are {weights.type}"
    return Refusal(Status.DATA_TYPE, reason, "Quantize the weights to int8.")


def _conv(op: Operator, runtime: int) -> Refusal | None:
    image, weights = op.input(0), op.input(1)
    window = weights.shape[1:3] if weights is not None and len(weights.shape) == 4 else (0, 0)
    steps = {
        step for step, reach in zip(op.options.dilation, window, strict=True) if reach != 1
    }  # along an axis where the window has one position nothing is spread
    if len(steps) > 1:
        return refuse_for_limit(
            f"its dilation is {op.options.dilation[0]} in y and {op.options.dilation[1]} in x",
            "Use the same dilation in both directions.",
        )
    refused = _constant(op, (1, 2)) or _weights(op, runtime)
    if refused or op.name != "CONV_2D" or image is None or weights is None:
        return refused
    if image.shape[-1:] != weights.shape[-1:]:
        return refuse_for_limit(
            f"its weights read {weights.shape[-1:]} of {image.shape[-1:]} channels: groups",
            "Split the channels and use one convolution for each group.",
        )
    return None


def _dense(op: Operator, runtime: int) -> Refusal | None:
    refused = _weights(op, runtime)
    if refused:
        return refused
    if not op.options.default_weights:
        return refuse_for_limit(
            "its weights are not in the default format", "Convert without shuffling."
        )
    left = op.outputs[0]
    if math.prod(left.shape[:-1]) > 1:
        return refuse_for_limit(
            f"its output is {_sizes(left)}, but must be one row",
            "Replace the dense layer over several positions by a 1x1 convolution.",
        )
    return None


def _softmax(op: Operator, runtime: int) -> Refusal | None:
    source = op.inputs[0]
    if source is None:
        return None
    if math.prod(source.shape[:-1]) > 1:
        return refuse_for_limit(
            f"its input is {_sizes(source)}, but must be one row",
            "Replace the softmax over several positions by the logits, and let the host apply it.",
        )
    if source.elements > LONGEST_SOFTMAX:
        return refuse_for_limit(
            f"its input has {source.elements:,} elements; {LONGEST_SOFTMAX:,} are the most",
            "Let the host apply it.",
        )
    return None


def _refuse_unfused(op: Operator, runtime: int) -> Refusal | None:
    if op.options.fused != "NONE":
        return refuse_for_limit(
            f"it has {op.options.fused} fused into it",
            "Apply the activation before it, or as a layer of its own.",
        )
    return None


def _concatenation(op: Operator, runtime: int) -> Refusal | None:
    refused = _refuse_unfused(op, runtime)
    constants = [t for t in op.inputs if t is not None and t.constant]
    if refused or not constants:
        return refused
    zero = all(_holds_zeros(t) for t in constants)
    if len(op.inputs) > 2 or not zero:
        return refuse_for_limit(
            "it joins a constant that is not a zero padding of one tensor",
            "Pad with zeros, or join computed tensors only.",
        )
    return None


def _holds_zeros(tensor: TfliteTensor) -> bool:
    if tensor.type not in EIGHT_BITS:
        return False
    nought = int(tensor.zero_points[0]) if tensor.zero_points.size else 0
    return bool(np.all(tensor.integers() == nought))


def _axes(op: Operator) -> set[int] | None:
    """The axes that the second input names, counted from the front."""
    tensor = op.input(1)
    if tensor is None or not tensor.constant or op.inputs[0] is None:
        return None
    rank = len(op.inputs[0].shape)
    return {int(axis) % rank for axis in np.ravel(tensor.integers())} if rank else set()


def _reduction(op: Operator, runtime: int) -> Refusal | None:
    axes, source = _axes(op), op.inputs[0]
    if axes is None or source is None:
        return None
    rank = len(source.shape)
    if 0 in axes and rank > 1:
        return refuse_for_limit("it reduces the batch", "Reduce over the other axes only.")
    if op.name != "MEAN":
        return None
    if rank - 1 in axes and rank > 1:
        if runtime <= 12:
            return refuse_for_limit(
                "it averages over channels", "Use a runtime of version 13 or newer."
            )
        if source.shape[-1] % 4:
            return refuse_for_limit(
                f"it averages over {source.shape[-1]} channels, no multiple of 4",
                "Use a multiple of 4 channels.",
            )
    area = math.prod(source.shape[axis] for axis in axes if axis != rank - 1)
    if area > LARGEST_MEAN:
        return refuse_for_limit(
            f"it averages over {area:,} positions; {LARGEST_MEAN:,} are the most",
            "Average in two steps.",
        )
    return None


def _pad(op: Operator, runtime: int) -> Refusal | None:
    pads = op.input(1)
    if pads is None:
        return None
    if pads.elements % 2:
        return refuse_for_limit(f"its amounts are {_sizes(pads)}", "Give two for each axis.")
    amounts = pads.integers().reshape(-1, 2)
    if len(amounts) == 4 and amounts[0].any():
        return refuse_for_limit("it pads the batch", "Pad the other axes only.")
    if runtime <= 12 and len(amounts) == 4 and amounts[-1].any():
        return refuse_for_limit("it pads channels", "Use a runtime of version 13 or newer.")
    return None


def _split(op: Operator, runtime: int) -> Refusal | None:
    axis, source = op.input(0), op.input(1)
    if axis is None or source is None:
        return None
    rank = max(len(source.shape), 1)
    alone = len(op.outputs) == 1  # a split into one part splits nothing
    if not alone and rank > 1 and 0 in (np.ravel(axis.integers()) % rank):
        return refuse_for_limit("it splits the batch", "Split along another axis.")
    return None


def _pack(op: Operator, runtime: int) -> Refusal | None:
    rank = max(len(op.outputs[0].shape), 1)
    if op.options.axis % rank == 0:
        return refuse_for_limit("it packs along the batch", "Pack along another axis.")
    return None


def _resize(op: Operator, runtime: int) -> Refusal | None:
    source, left = op.inputs[0], op.outputs[0]
    if source is None:
        return None
    if len(source.shape) != 4 or len(left.shape) != 4:
        return refuse_for_limit(f"its input is {_sizes(source)}, no image", "Resize images only.")
    factors = [left.shape[axis] / max(source.shape[axis], 1) for axis in (1, 2)]
    if max(factors) > WIDEST_RESIZE:
        return refuse_for_limit(
            f"it enlarges {max(factors):g} times, more than {WIDEST_RESIZE}: precision would be "
            f"lost",
            "Resize in several steps, or leave it to the host.",
        )
    return None


def _strided_slice(op: Operator, runtime: int) -> Refusal | None:
    steps = op.input(3)
    if steps is None:
        return None
    if (steps.integers() != 1).any():
        return refuse_for_limit(
            f"it takes steps of {steps.integers().tolist()}",
            "Take every element, or use a convolution with strides.",
        )
    if op.options.ellipsis_mask or op.options.new_axis_mask:
        return refuse_for_limit("it has an ellipsis or a new axis", "Write every range out.")
    return None


def _squeeze(op: Operator, runtime: int) -> Refusal | None:
    source = op.inputs[0]
    if runtime > 12 or source is None:
        return None
    sizes = [size for size in source.shape if size > 1]
    if sizes and source.shape[-len(sizes) :] != tuple(sizes):
        return refuse_for_limit(
            "it removes an axis that is not in front", "Use runtime 13 or newer."
        )
    return None


def _transpose(op: Operator, runtime: int) -> Refusal | None:
    order = op.input(1)
    if order is None:
        return None
    if order.elements == 4 and order.integers().flat[0] != 0:
        return refuse_for_limit("it moves the batch", "Leave the batch in front.")
    return None


def _prelu(op: Operator, runtime: int) -> Refusal | None:
    slope = op.input(1)
    if slope is None:
        return None
    if math.prod(slope.shape[:-1]) > 1:
        return refuse_for_limit(
            f"its slopes are {_sizes(slope)}, but must be one for each channel",
            "Share the slopes over the positions: shared_axes=[1, 2] in Keras.",
        )
    return None


RULES: Final[dict[str, Rule]] = {
    "ADD": Rule(10),
    "AVERAGE_POOL_2D": Rule(10, _refuse_unfused),
    "CONCATENATION": Rule(10, _concatenation),
    "CONV_2D": Rule(10, _conv),
    "DEPTHWISE_CONV_2D": Rule(10, _conv),
    "DEQUANTIZE": Rule(10),  # known, but always works on floats
    "EXPAND_DIMS": Rule(13),
    "FULLY_CONNECTED": Rule(10, _dense, (1, 2)),
    "L2_NORMALIZATION": Rule(10),
    "LOGISTIC": Rule(10),
    "MAXIMUM": Rule(10),
    "MAX_POOL_2D": Rule(10, _refuse_unfused),
    "MEAN": Rule(10, _reduction, (1,)),
    "MINIMUM": Rule(10),
    "MUL": Rule(10),
    "PACK": Rule(13, _pack),
    "PAD": Rule(10, _pad, (1,)),
    "PRELU": Rule(13, _prelu, (1,)),
    "QUANTIZE": Rule(12),
    "REDUCE_MAX": Rule(14, _reduction, (1,)),
    "REDUCE_MIN": Rule(14, _reduction, (1,)),
    "RELU": Rule(10),
    "RELU6": Rule(10),
    "RELU_N1_TO_1": Rule(10),
    "RESHAPE": Rule(10),
    "RESIZE_BILINEAR": Rule(10, _resize, (1,)),
    "RESIZE_NEAREST_NEIGHBOR": Rule(10, _resize, (1,)),
    "RSQRT": Rule(14),
    "SLICE": Rule(10, constants=(1, 2)),
    "SOFTMAX": Rule(10, _softmax),
    "SPACE_TO_DEPTH": Rule(10),
    "SPLIT": Rule(10, _split, (0,)),
    "SQUARED_DIFFERENCE": Rule(14),
    "SQUEEZE": Rule(10, _squeeze),
    "STRIDED_SLICE": Rule(10, _strided_slice, (1, 2, 3)),
    "SUB": Rule(10),
    "SUM": Rule(13, _reduction, (1,)),
    "TANH": Rule(10),
    "TILE": Rule(14, constants=(1,)),
    "TRANSPOSE": Rule(14, _transpose, (1,)),
    "TRANSPOSE_CONV": Rule(13, _weights, (0, 1, 3)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": Rule(12, constants=range(1, 18)),
}

# What to use instead of operators that are often met and never mapped.
REPLACEMENTS: Final = {
    "ARG_MAX": "Leave it to the host: the network's output is then the scores.",
    "CAST": "Give the model int8 or uint8 inputs, and let the host convert.",
    "DIV": "Multiply by the reciprocal, as a constant.",
    "FULLY_CONNECTED.version": "Flatten before the dense layer, so that its output is one row.",
    "GATHER": "Use a slice, or a 1x1 convolution that picks the channels.",
    "GELU": "Use ReLU or ReLU6.",
    "HARD_SWISH": "Use ReLU6, or x times a clipped ReLU.",
    "LEAKY_RELU": "Use ReLU, or maximum(x, slope x).",
    "ELU": "Use ReLU.",
    "PADV2": "Pad with zeros.",
    "MIRROR_PAD": "Pad with zeros.",
    "POW": "Multiply a tensor by itself.",
    "SPLIT_V": "Split into equal parts.",
    "UNPACK": "Split, and reshape the parts.",
}
