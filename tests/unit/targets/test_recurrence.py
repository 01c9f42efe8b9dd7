# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Recurrences as loops of an HLS project, and where there are no loops: refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.devices import device
from edgeinfer.base.errors import UnsupportedModelError, UsageError
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.precision.search.run import SearchSettings, search
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.hls.estimate.estimate import band, estimate
from edgeinfer.targets.hls.estimate.reuse_choice import choose_reuse
from edgeinfer.targets.hls.preflight import preflight
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from tests.support.random_programs import random_inputs
from tests.support.recurrent_graphs import recurrent_graph, recurrent_program

PART = HlsSettings().part


@pytest.mark.slow
@pytest.mark.parametrize("io", list(IoType))
@pytest.mark.parametrize("kind", ["simple", "gru", "lstm"])
def test_a_sequence_is_simulated_alike(kind: str, io: IoType, tmp_path: Path) -> None:
    program = recurrent_program(kind, 20, 2, 3, stacked=io is IoType.STREAM)
    settings, target = HlsSettings(io=io), HlsTarget()
    target.emit(program, settings).write(tmp_path)
    raw = random_inputs(program, 0, 5)
    result = target.simulate(program, tmp_path, raw, settings)
    for name, expected in results(program, interpret(program, raw)).items():
        np.testing.assert_array_equal(result[name], expected)


@pytest.mark.parametrize("io", list(IoType))
def test_more_steps_are_more_cycles_of_the_same_hardware(io: IoType) -> None:
    result = [
        estimate(recurrent_program("lstm", steps, 3, 4), HlsSettings(io=io), device(PART))
        for steps in (10, 100)
    ]
    few, many = (each.figures() for each in result)
    assert few["dsp"] == many["dsp"] and few["lut"] > 0
    assert many["lut"] <= few["lut"] * (1 if io is IoType.STREAM else 1.5)
    assert 9 * few["latency_cycles"] < many["latency_cycles"] < 11 * few["latency_cycles"]
    low, high = band(result[0].family, "lut", 100.0)
    assert low == 0 and high >= 200  # no published design to hold it against: as wide as any kind


def test_layers_in_a_body_are_folded_to_fit() -> None:
    program = recurrent_program("lstm", 10, 3, 4)
    slow = choose_reuse(program, HlsSettings(), device(PART), latency_us=1000.0)
    quick = estimate(program, HlsSettings(), device(PART))
    assert {name for name, factor in slow.settings.reuse_of if factor > 1} == {
        "cell/kernel", "cell/recurrent",
    }  # fmt: skip
    assert slow.estimate.lut < quick.lut
    assert slow.estimate.timing.latency_cycles > quick.timing.latency_cycles


def test_a_large_layer_in_a_body_is_named() -> None:
    program = recurrent_program("lstm", 2, 3, 40)
    findings = preflight(program, HlsSettings(io=IoType.STREAM), device(PART))
    assert any("cell/recurrent" in each and "XFORM 203-504" in each for each in findings)


def test_a_long_sequence_is_refused_with_what_works() -> None:
    program = recurrent_program("lstm", 100, 3, 4)
    (offence,) = convert.check(program)
    assert "an int8 file has no loops" in offence.reason
    with pytest.raises(UnsupportedModelError, match="at most 2,000 are written"):
        convert.convert_program(program)


def test_a_search_names_what_it_does_not_vary(tmp_path: Path) -> None:
    graph = recurrent_graph("gru", 3, 2, 2)
    with pytest.raises(UsageError, match=r"recurrences \(cell\)"):
        search(graph, None, None, SearchSettings(trials=1), tmp_path)  # type: ignore[arg-type]
