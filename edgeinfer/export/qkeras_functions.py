# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Element-wise functions as Keras layers, alone or in one with their rounding. Needs Keras."""

from __future__ import annotations

from typing import Any

import qkeras
from keras import layers as kl

from edgeinfer.export.qkeras_checks import QKERAS_HARD_SIGMOID, unit_type
from edgeinfer.export.qkeras_formats import bits, held_slope, is_quantized_relu, relu
from edgeinfer.graph.nodes import ActivationNode, Function
from quantization.fixed import Overflow, Quantizer


def rounding_function(node: ActivationNode, quantizer: Quantizer) -> Any:
    """The QKeras quantizer that is a function and its rounding in one, where there is one."""
    unit = unit_type(node.function, quantizer.type.bits)
    symmetric = quantizer.overflow is Overflow.SAT_SYM
    match node.function:
        case Function.LINEAR:
            return bits(quantizer)
        case Function.RELU if is_quantized_relu(quantizer):
            return relu(quantizer)
        case Function.TANH if quantizer.type == unit:
            return qkeras.quantized_tanh(unit.bits, symmetric=symmetric, use_real_tanh=True)
        case Function.SIGMOID if quantizer.type == unit:
            return qkeras.quantized_sigmoid(unit.bits, use_real_sigmoid=True)
        case Function.HARD_SIGMOID if node.parameters == QKERAS_HARD_SIGMOID:
            return qkeras.quantized_sigmoid(unit.bits)
        case _:  # the function and its rounding stay two layers
            return None


def plain_function(node: ActivationNode, name: str) -> Any:
    """The layer of a function in float32."""
    match node.function:
        case Function.RELU:
            return kl.ReLU(name=name)
        case Function.RELU6:
            return kl.ReLU(max_value=6.0, name=name)
        case Function.LEAKY_RELU:
            return kl.LeakyReLU(negative_slope=held_slope(node.parameters[0]), name=name)
        case Function.ELU:
            return kl.ELU(alpha=node.parameters[0], name=name)
        case Function.SIGN:
            return qkeras.QActivation(qkeras.binary(alpha=1.0), name=name)
        case Function.TERNARY:
            function = qkeras.ternary(alpha=1.0, threshold=node.parameters[0])
            return qkeras.QActivation(function, name=name)
        case function:  # Keras has the other functions under the same names
            return kl.Activation(str(function), name=name)
