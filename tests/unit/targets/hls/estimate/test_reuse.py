# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reuse factors: what hls4ml takes, and what it would make of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.ir.ops import Conv, Dense
from edgeinfer.targets.hls.estimate.reuse import (
    LegalFactors,
    folded_factors,
    layers_with_multipliers,
    legal,
    multiplication_size,
    reuse_of,
)
from edgeinfer.targets.hls.settings import Backend, HlsSettings, Strategy
from tests.support.hit_tagger_programs import POOLED, hit_tagger

SIZES = [(1, 1), (16, 64), (96, 42), (27, 16), (7, 13), (144, 24), (320, 5), (12, 12), (64, 1)]


@pytest.mark.parametrize("backend", ["Vitis", "Vivado", "Quartus", "oneAPI", "Catapult", "Libero"])
def test_legal_factors_are_those_of_hls4ml(backend: str) -> None:
    from hls4ml.backends import get_backend

    theirs = get_backend(backend)
    for inputs, outputs in SIZES:
        assert list(folded_factors(inputs, outputs)) == theirs.get_valid_reuse_factors(
            inputs, outputs
        )


@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 3000))
def test_the_nearest_is_what_hls4ml_takes(inputs: int, outputs: int, asked: int) -> None:
    from hls4ml.backends import get_backend

    ours = LegalFactors(folded_factors(inputs, outputs))
    theirs = get_backend("Vitis")
    valid = theirs.get_valid_reuse_factors(inputs, outputs)
    assert ours.values == tuple(valid)
    assert ours.nearest(asked) == theirs.get_closest_reuse_factor(valid, asked)


def test_strategy_and_backend_decide_on_what_is_legal() -> None:
    program = hit_tagger(POOLED).program
    dense = program["dense1"]
    assert isinstance(dense, Dense)
    latency = HlsSettings(reuse=3)
    assert legal(dense, latency).most == dense.weight.size
    assert reuse_of(dense, latency) == 3
    resource = HlsSettings(reuse=3, strategy=Strategy.RESOURCE)
    assert reuse_of(dense, resource) == 2  # of 2 and 4, equally near, the smaller
    quartus = HlsSettings(backend=Backend.QUARTUS, reuse=3)
    assert reuse_of(dense, quartus) == 2  # it has no other strategy
    distributed = HlsSettings(reuse=3, strategy=Strategy.DISTRIBUTED)
    assert reuse_of(dense, distributed) == 1


def test_a_convolution_multiplies_a_window() -> None:
    program = hit_tagger(POOLED).program
    conv = program["conv"]
    assert isinstance(conv, Conv)
    assert multiplication_size(conv) == (25, 8)
    assert [op.name for op in layers_with_multipliers(program)] == [
        "conv",
        "dense0",
        "dense1",
        "track_shower",
        "michel",
    ]
