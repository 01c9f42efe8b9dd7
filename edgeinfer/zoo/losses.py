# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Losses of outputs that have a truth at some places only. Needs the extra `[train]`.

A target below zero says that there is none; a sample without any place that counts has no loss.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_LEAST_SHARE = 1e-6  # so that the logarithm of a share stays finite


def located_error(truth: Any, predicted: Any) -> Any:
    """Mean absolute error, of each sample, where there is a truth."""
    return _mean_where(truth, ops.abs(truth - predicted))


def located_crossentropy(truth: Any, predicted: Any) -> Any:
    """Mean binary cross-entropy, of each sample, where there is a truth."""
    share = ops.clip(predicted, _LEAST_SHARE, 1 - _LEAST_SHARE)
    return _mean_where(truth, -(truth * ops.log(share) + (1 - truth) * ops.log(1 - share)))


def _mean_where(truth: Any, values: Any) -> Any:
    counts = ops.cast(truth >= 0, values.dtype)
    axes = tuple(range(1, len(truth.shape)))
    total = ops.sum(ops.where(truth >= 0, values, 0.0), axis=axes)
    return total / ops.maximum(ops.sum(counts, axis=axes), 1.0)


for _loss in (located_error, located_crossentropy):  # so that a saved training is read again
    keras.saving.register_keras_serializable("edgeinfer")(_loss)
