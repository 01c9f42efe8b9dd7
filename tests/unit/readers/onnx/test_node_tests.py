# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""ONNX's own tests of its operators: each is read and right, or refused by name with the reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.onnx_node_tests import RUNS, folders, readable, verdict_on

# How many tests of onnx 1.20 end how, run by run.
PINNED = {
    "inputs": {"right": 361, "refused": 1253, "not tried": 39},
    "constants": {"right": 563, "refused": 1051, "not tried": 39},
    "inputs/none": {"right": 612, "refused": 1002, "not tried": 39},
    "constants/none": {"right": 975, "refused": 639, "not tried": 39},
}


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
def test_every_operator_is_right_or_refused_by_name(tmp_path: Path, run: str) -> None:
    verdicts = {path.name: verdict_on(path, tmp_path, run) for path in folders()}
    bad = {n: v.said for n, v in verdicts.items() if v.kind in ("wrong", "crashed")}
    assert not bad
    for name, verdict in verdicts.items():
        if verdict.kind == "refused":
            assert "model.onnx" in verdict.said and len(verdict.said) > 40, (name, verdict.said)
    right = sorted(name for name, verdict in verdicts.items() if verdict.kind == "right")
    assert right == readable(run)
    assert Counter(verdict.kind for verdict in verdicts.values()) == PINNED[run]


@pytest.mark.parametrize("run", RUNS)
def test_some_operators_of_each_kind(tmp_path: Path, run: str) -> None:
    """What the long test does, on every fortieth."""
    for path in folders()[::40]:
        verdict = verdict_on(path, tmp_path, run)
        assert verdict.kind not in ("wrong", "crashed"), (path.name, verdict.said)
        assert (verdict.kind == "right") == (path.name in readable(run)), path.name
