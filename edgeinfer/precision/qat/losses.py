# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Losses in TensorFlow, from what the model yields (mostly logits) to one number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import tensorflow as tf

from edgeinfer.graph import nodes as g
from edgeinfer.precision.qat.aims import Aim, Loss, yields_logits

SMALLEST = 1e-7  # probability of which a logarithm is taken


def loss_between(loss: Loss, actual: Any, aim: Any, *, logits: bool, unit: float) -> Any:
    """The mean over a batch."""
    match loss:
        case Loss.CLASSES if logits:
            return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(aim, actual))
        case Loss.CLASSES:
            return -tf.reduce_mean(tf.reduce_sum(aim * _log(actual), axis=-1))
        case Loss.YES_NO if logits:
            return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(aim, actual))
        case Loss.YES_NO:
            return -tf.reduce_mean(aim * _log(actual) + (1.0 - aim) * _log(1.0 - actual))
        case Loss.SQUARED:
            return tf.reduce_mean(tf.square(actual / unit - aim))
        case _:
            assert_never(loss)


def mean_loss(
    graph: g.Graph, aims: Sequence[Aim], outputs: Mapping[str, Any], aim_values: Sequence[Any]
) -> Any:
    """The mean over the aims of what outputs, before what the host applies, are away from them."""
    losses = [
        loss_between(
            aim.loss,
            outputs[aim.output],
            values,
            logits=yields_logits(graph, aim.output),
            unit=aim.unit,
        )
        for aim, values in zip(aims, aim_values, strict=True)
    ]
    return tf.add_n(losses) / len(losses)


def _log(values: Any) -> Any:
    return tf.math.log(tf.maximum(values, SMALLEST))
