# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Predictions against what others publish of compiled files, to which no rule was fitted."""

from __future__ import annotations

from collections import Counter

import pytest

from edgeinfer.base.tflite import model as tflite
from edgeinfer.targets.edgetpu.predict.instructions import INSTRUCTION_BAND
from edgeinfer.targets.edgetpu.predict.latency import Link
from edgeinfer.targets.edgetpu.predict.prediction import Prediction, prediction_of
from tests.support.published_compilations import (
    COMPILATIONS,
    DIGITS_STATUSES,
    WINDOW_STREAMED_MIB,
    Compilation,
    covering_window,
    digits,
)

PREDICTED = [(each, prediction_of(tflite.parse(each.data(), each.name))) for each in COMPILATIONS]
IDS = [each.name for each in COMPILATIONS]
RATIOS = [
    (each.name, predicted.traffic.instructions / each.instruction_bytes)
    for each, predicted in PREDICTED
    if each.instruction_bytes is not None
]
# The memory that was left for parameters is less than is assumed, and is within the band.
SMALLER_MEMORY = "Inception v1 at 224"


@pytest.mark.parametrize(("each", "predicted"), PREDICTED, ids=IDS)
def test_every_operator_is_mapped(each: Compilation, predicted: Prediction) -> None:
    assert len(predicted.mapping.on_chip) == len(predicted.model.operators)


@pytest.mark.parametrize(("each", "predicted"), PREDICTED, ids=IDS)
def test_parameters_take_the_published_bytes(each: Compilation, predicted: Prediction) -> None:
    memory = predicted.memory
    assert each.cached_bytes is not None
    total = each.cached_bytes + each.streamed_bytes
    assert memory.cached_bytes + memory.streamed_bytes == total
    if each.name == SMALLER_MEMORY:
        assert predicted.narrow.cached_bytes <= each.cached_bytes <= predicted.roomy.cached_bytes
    else:
        assert (memory.cached_bytes, memory.streamed_bytes) == (
            each.cached_bytes,
            each.streamed_bytes,
        )


def test_a_window_over_the_whole_image_is_streamed_where_no_tile_holds_a_row_of_it() -> None:
    """As dense layers are; a row of 512 KiB at most stays, as in compiled files (11 x 11 x 32)."""
    long, short = (
        prediction_of(tflite.parse(covering_window(*sizes), "window")).memory
        for sizes in ((7, 576, 128), (11, 32, 256))
    )
    assert long.cached_bytes == 0
    assert round(long.streamed_bytes / 2**20, 2) == WINDOW_STREAMED_MIB
    assert (short.cached_bytes, short.streamed_bytes) == (994_304, 0)


@pytest.mark.parametrize(("name", "ratio"), RATIOS)
def test_instructions_take_the_published_bytes(name: str, ratio: float) -> None:
    assert 0.85 < ratio < 1.15, name
    assert 1 / INSTRUCTION_BAND < ratio < INSTRUCTION_BAND


def test_instructions_are_met_on_average() -> None:
    assert len(RATIOS) == 30
    assert sum(abs(ratio - 1) for _, ratio in RATIOS) < 0.04 * len(RATIOS)


def test_latencies_that_nothing_was_chosen_by_are_met_within_15_percent_on_average() -> None:
    errors = [
        abs(predicted.latency(Link.USB).value_us / each.latency_ms / 1e3 - 1)
        for each, predicted in PREDICTED
        if each.latency_ms is not None
    ]
    assert len(errors) == 10
    assert sum(errors) / len(errors) < 0.15


def test_statuses_are_those_of_a_published_log() -> None:
    predicted = prediction_of(tflite.parse(digits(), "digits"))
    statuses = Counter((m.operator.name, str(m.status)) for m in predicted.mapping.operators)
    assert statuses == DIGITS_STATUSES
