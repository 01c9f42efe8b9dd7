# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What TensorFlow's Model Optimization Toolkit (TFMOT) keeps of quantization-aware training: which
tensors a layer rounds, between which ends, and to which steps that leads.

A range of 2^bits steps is moved a little so that one step is zero. A number then becomes the step
nearest to it, halves up, as far as the range goes. Steps are computed in float32, operation by
operation, as TensorFlow computes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.readers.keras.config import LayerConfig, class_name
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError

LAYER = "QuantizeLayer"
WRAPPERS = frozenset({"QuantizeWrapper", "QuantizeWrapperV2"})
WEIGHTS = frozenset({"kernel", "depthwise_kernel"})
ROUNDED_BEFORE = frozenset({"softmax", "sigmoid", "tanh", "gelu"})
ROUNDED_AFTER = frozenset({"linear", "relu", "swish", "gelu"})
ROUNDED_AS_LAYER = frozenset({"relu", "relu6", "swish", "gelu"})
MOST_BITS = 16

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FakeQuantizer:
    """How a tensor is rounded; the ends of its range are stored, or (`ends`) always the same."""

    bits: int = 8
    narrow: bool = False
    per_channel: bool = False  # a range for each entry of the last axis
    ends: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StepRange:
    """The steps of a tensor: multiples of `scale` from `low` to `high`. `zero`: how many steps lie
    between 0 and the least number that is stored (or would be, in a narrow range)."""

    scale: F32  # one, or one for each entry of the last axis
    zero: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def code(self, values: F32) -> F32:
        """Numbers in steps."""
        bottom, top = (end.astype(np.float32) * self.scale for end in (self.low, self.high))
        inverse = np.float32(1) / self.scale
        quantized_zero = np.floor(-bottom * inverse + np.float32(0.5))
        moved = np.clip(values, bottom, top) - bottom
        steps: F32 = np.floor(moved * inverse - quantized_zero + np.float32(0.5))
        return steps


@dataclass(frozen=True, slots=True)
class RoundedParts:
    """Which parts of a wrapped layer are rounded, and how."""

    weights: str | None = None  # the parameter's name
    weight_quantizer: FakeQuantizer = FakeQuantizer()
    activation: bool = False  # what goes into its activation, or comes out of it, or both
    output: bool = False

    def variables(self, layer: LayerConfig) -> tuple[str, ...]:
        """The stored ranges in their order."""
        names = [] if self.weights is None else [self.weights]
        if self.activation:
            function = activation_name(layer)
            names += ["pre_activation"] * (function in ROUNDED_BEFORE)
            names += ["post_activation"] * (function in ROUNDED_AFTER)
        names += ["output"] * self.output
        return tuple(f"{name}_{end}" for name in names for end in ("min", "max"))


def step_range(quantizer: FakeQuantizer, bottom: F32, top: F32) -> StepRange:
    """The steps between two ends, of which one becomes zero."""
    ok = np.isfinite(bottom).all() and np.isfinite(top).all() and bottom.shape == top.shape
    if not ok or (bottom > top).any() or ((bottom == top) & (bottom != 0)).any():
        raise UnsupportedLayerError("its ranges are no two ends each, the lower one first")
    none = (bottom == 0) & (top == 0)  # of which TensorFlow makes zeros
    least, most = np.float32(quantizer.narrow), np.float32((1 << quantizer.bits) - 1)
    scale = np.where(none, np.float32(1), (top - bottom) / (most - least))
    if not (scale > 0).all():
        raise UnsupportedLayerError("its ranges are too small for steps in float32")
    zero = np.clip(np.floor(least - bottom / scale + np.float32(0.5)), least, most)
    low, high = (np.where(none, 0, end - zero).astype(np.int64) for end in (least, most))
    return StepRange(scale, zero.astype(np.int64), low, high)


def parse_quantizer(entry: Any) -> FakeQuantizer | None:
    """The quantizer of a QuantizeLayer; None for one that rounds nothing."""
    if entry is None:
        return None
    kind, fields = _class_and_options(entry)
    if kind == "NoQuantizer":
        return None
    if kind not in ("AllValuesQuantizer", "LastValueQuantizer", "MovingAverageQuantizer",
                    "FixedQuantizer"):  # fmt: skip
        raise UnsupportedLayerError(f"its quantizer is {kind!r}, whose code is not in the file")
    if fields.flag("per_axis", False):
        raise UnsupportedLayerError("its quantizer has a range for each channel of a tensor")
    bits, narrow = fields.integer("num_bits", 8), fields.flag("narrow_range", False)
    if not 2 <= bits <= MOST_BITS:
        raise UnsupportedLayerError(f"its quantizer has {bits} bits; 2 to {MOST_BITS} are read")
    if kind != "FixedQuantizer":
        return FakeQuantizer(bits, narrow)
    ends = fields.number("init_min", -6.0), fields.number("init_max", 6.0)
    return FakeQuantizer(8, narrow, ends=ends)  # it rounds to 8 bits, whatever it says


def parse_wrapper(layer: LayerConfig) -> RoundedParts:
    """What a wrapper rounds, by its quantize_config."""
    return _parse_parts(layer, layer.fields.get("quantize_config"))


def _parse_parts(layer: LayerConfig, entry: Any) -> RoundedParts:
    kind, fields = _class_and_options(entry)
    match kind:
        case "OutputOnlyConfig":
            return replace(_parse_parts(layer, fields.get("quantize_config")), weights=None)
        case "NoOpQuantizeConfig":
            return RoundedParts()
        case "Default8BitOutputQuantizeConfig":
            return RoundedParts(output=fields.flag("quantize_output", True))
        case "Default8BitActivationQuantizeConfig":
            rounded = activation_name(layer) in ROUNDED_AS_LAYER
            return RoundedParts(output=rounded and fields.flag("quantize_output", True))
        case (
            "Default8BitQuantizeConfig"
            | "Default8BitConvQuantizeConfig"
            | "Default8BitConvTransposeQuantizeConfig"
        ):
            weights, activations = (
                tuple(fields.get(f"{name}_attrs") or ()) for name in ("weight", "activation")
            )
            if len(weights) > 1 or not WEIGHTS.issuperset(weights):
                raise UnsupportedLayerError(f"its quantize_config rounds {', '.join(weights)}")
            if activations not in ((), ("activation",)):
                raise UnsupportedLayerError(f"its quantize_config rounds {', '.join(activations)}")
            each = kind == "Default8BitConvQuantizeConfig"
            return RoundedParts(
                weights[0] if weights else None,
                FakeQuantizer(narrow=True, per_channel=each),
                bool(activations),
                fields.flag("quantize_output", False),
            )
        case _:
            raise UnsupportedLayerError(
                f"its quantize_config is {kind!r}; those of the default 8-bit scheme are read, "
                f"others are code that is not in the file"
            )


def activation_name(layer: LayerConfig) -> str:
    """The activation of the layer in a wrapper; '' for TFMOT's own that does nothing."""
    entry = layer.fields.get("layer")
    config = entry.get("config") if isinstance(entry, Mapping) else None
    value = config.get("activation") if isinstance(config, Mapping) else None
    while isinstance(value, Mapping):
        kind, fields = _class_and_options(value)
        if kind == "NoOpActivation":
            return ""
        inner = fields.get("activation") if kind == "QuantizeAwareActivation" else kind
        value = fields.get("function_name", kind) if inner is None else inner
    return value.rpartition(">")[2] if isinstance(value, str) else "linear"


def range_variables(layer: LayerConfig) -> tuple[str, ...]:
    """The variables that TFMOT adds to a layer, in their order."""
    if layer.kind in WRAPPERS:
        return ("optimizer_step", *parse_wrapper(layer).variables(layer))
    quantizer = parse_quantizer(layer.fields.get("quantizer"))
    stored = quantizer is not None and quantizer.ends is None
    ends = tuple(f"{layer.name}_{end}" for end in ("min", "max")) if stored else ()
    return (*ends, "optimizer_step")


def _class_and_options(entry: Any) -> tuple[str, Fields]:
    """A serialised object's class and options."""
    if not isinstance(entry, Mapping):
        raise UnsupportedLayerError(f"{entry!r} stands where TFMOT's settings would")
    return class_name(entry), Fields(entry.get("config") or {})
