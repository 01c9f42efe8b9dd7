# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the HLS flow would stumble over is said beforehand, with numbers and a remedy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.base.devices import device
from edgeinfer.ir.ops import Softmax
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.ir.verify import verify
from edgeinfer.targets.hls.preflight import estimate_remarks, pooled_alternative, preflight
from edgeinfer.targets.hls.settings import Arithmetic, Backend, HlsSettings, IoType, Strategy
from tests.support.hit_tagger_programs import FAITHFUL, POOLED, hit_tagger
from tests.support.published_designs import program_of, published

PART, LARGE = device("xczu7ev"), device("xcu250")


@pytest.fixture(scope="module")
def faithful() -> Program:
    return hit_tagger(FAITHFUL).program


@pytest.fixture(scope="module")
def jets() -> Program:
    return program_of(next(row for row in published() if row.id == "jet-zcu104-2025"))


def test_a_design_that_fits_has_no_findings(jets: Program) -> None:
    assert preflight(jets, HlsSettings(), LARGE) == ()


def test_an_estimate_says_which_release_it_does_not_know() -> None:
    pooled = hit_tagger(POOLED).program
    (findings,) = estimate_remarks(pooled, HlsSettings())
    assert "three from 2024 on" in findings
    assert estimate_remarks(pooled, HlsSettings(tool_version="2024.1")) == ()
    assert estimate_remarks(pooled, HlsSettings(Backend.VIVADO)) == ()


def test_an_estimate_says_what_hls4ml_would_compute_besides(jets: Program) -> None:
    left = replace(jets, outputs=(replace(jets.outputs[0], host=HostFunction.SOFTMAX),))
    (findings,) = estimate_remarks(left, HlsSettings(arithmetic=Arithmetic.HLS4ML))
    assert "softmax is left to the host" in findings
    assert estimate_remarks(left, HlsSettings()) == ()


def test_the_unroll_limit_is_told_before_synthesis(faithful: Program) -> None:
    parallel = HlsSettings(io=IoType.PARALLEL)
    result = preflight(faithful, parallel, LARGE)
    assert any("dense0: 11,894,784 multiplications" in said and "4,096" in said for said in result)
    assert any(said.startswith("dense1: 4,096 multiplications") for said in result)  # 128 x 32
    stream = preflight(faithful, HlsSettings(), LARGE)
    assert not any("XFORM" in said for said in stream)


def test_an_illegal_reuse_factor_comes_with_the_legal_ones_and_their_cost(jets: Program) -> None:
    settings = HlsSettings(strategy=Strategy.RESOURCE, reuse=3)
    results = [
        finding for finding in preflight(jets, settings, LARGE) if "no reuse factor 3" in finding
    ]
    assert len(results) == 4
    assert "16 x 64 multiplications" in results[0]
    assert "would silently take 2" in results[0]
    assert "2: about" in results[0] and "4: about" in results[0] and "DSP" in results[0]
    assert not preflight(jets, HlsSettings(reuse=3), LARGE)  # the latency strategy takes any


def test_a_budget_that_is_exceeded_comes_with_a_way_out(jets: Program) -> None:
    result = preflight(jets, HlsSettings(), PART)
    assert len(result) == 1
    assert "does not fit xczu7ev" in result[0]
    assert "DSP of 1,728" in result[0]
    assert "estimated to fit" in result[0] and "reuse factors of" in result[0]


def test_the_faithful_tagger_does_not_fit_and_no_folding_helps(faithful: Program) -> None:
    result = preflight(faithful, HlsSettings(strategy=Strategy.RESOURCE, reuse=96), PART)
    said = next(said for said in result if "does not fit xczu7ev" in said)
    assert "11,900,420 weights" in said
    assert "71.4 Mbit" in said and "39.8 Mbit" in said
    assert "of 624" in said


def test_a_large_dense_layer_is_set_beside_a_pooled_one(faithful: Program) -> None:
    results = [
        finding for finding in preflight(faithful, HlsSettings(), PART) if "flattened" in finding
    ]
    assert len(results) == 1
    assert "11,894,784 of the network's 11,900,420 parameters" in results[0]
    assert "749,060 parameters" in results[0]
    pooled = hit_tagger(POOLED).program
    assert not any("flattened" in finding for finding in preflight(pooled, HlsSettings(), PART))


def test_the_alternative_is_a_lawful_program(faithful: Program) -> None:
    flat = next(op for op in faithful.ops if type(op).__name__ == "Reshape")
    dense = next(op for op in faithful.ops if op.name == "dense0")
    pooled = pooled_alternative(faithful, flat, dense)  # type: ignore[arg-type]
    assert pooled is not None
    assert pooled.shapes["dense0"] == faithful.shapes["dense0"]
    assert pooled.macs < faithful.macs / 2
    assert pooled.parameters == 749_060
    assert len(pooled.ops) == len(faithful.ops) + 1
    verify(replace(pooled, name="pooled"))


def test_softmax_tables_that_end_too_early_are_found(jets: Program) -> None:
    whole = next(op for op in jets.ops if isinstance(op, Softmax))
    short = replace(whole, exp=whole.exp[: max(whole.exp.size // 4096, 2)])
    result = preflight(jets.replace_op(short), HlsSettings(), LARGE)
    assert any("exponentials ends at differences of" in said for said in result)
    few = replace(whole, inverse=np.ascontiguousarray(whole.inverse[:8]))
    result = preflight(jets.replace_op(few), HlsSettings(), LARGE)
    assert any("table of 8 inverses" in said for said in result)


def test_deep_fifos_are_named_where_they_take_much_of_the_block_ram(faithful: Program) -> None:
    [finding] = [
        finding
        for finding in preflight(faithful, HlsSettings(), device("xc7z020"))
        if "FIFO" in finding
    ]
    assert "50% of what xc7z020 holds" in finding
    assert "co-simulation" in finding
    assert not any("FIFO" in finding for finding in preflight(faithful, HlsSettings(), PART))
