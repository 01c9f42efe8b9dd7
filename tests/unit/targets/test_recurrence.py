# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Recurrences where there are no loops: their steps one after the other, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError, UsageError
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.precision.search.run import SearchSettings, search
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from tests.support.random_programs import random_inputs
from tests.support.recurrent_graphs import recurrent_graph, recurrent_program


@pytest.mark.slow
@pytest.mark.parametrize("io", list(IoType))
@pytest.mark.parametrize("kind", ["simple", "gru", "lstm"])
def test_a_short_sequence_is_simulated_alike(kind: str, io: IoType, tmp_path: Path) -> None:
    program = recurrent_program(kind, 3, 2, 3, stacked=io is IoType.STREAM)
    settings, target = HlsSettings(io=io), HlsTarget()
    target.emit(program, settings).write(tmp_path)
    raw = random_inputs(program, 0, 5)
    found = target.simulate(program, tmp_path, raw, settings)
    for name, wanted in results(program, interpret(program, raw)).items():
        np.testing.assert_array_equal(found[name], wanted)


def test_a_long_sequence_is_refused_with_what_works() -> None:
    program = recurrent_program("lstm", 100, 3, 4)
    (offence,) = HlsTarget().check(program, HlsSettings())
    assert offence.path == "cell"
    assert "at most 600" in offence.reason
    assert "rtl target" in offence.reason
    (offence,) = convert.check(program)
    assert "an int8 file has no loops" in offence.reason
    with pytest.raises(UnsupportedModelError, match="at most 2,000 are written"):
        convert.convert_program(program)


def test_a_search_names_what_it_does_not_vary(tmp_path: Path) -> None:
    graph = recurrent_graph("gru", 3, 2, 2)
    with pytest.raises(UsageError, match=r"recurrences \(cell\)"):
        search(graph, None, None, SearchSettings(trials=1), tmp_path)  # type: ignore[arg-type]
