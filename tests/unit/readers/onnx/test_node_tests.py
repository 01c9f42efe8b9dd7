# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""ONNX's own tests of its operators: each is read and right, or refused by name with the reason."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.onnx_node_tests import folders, readable, verdict_on

# How many tests of onnx 1.20 end how. "inputs": as they are, every weight an input of the network.
# "constants": all but the first input stored in the file, as exporters store weights.
PINNED = {
    False: {"right": 110, "refused": 1509, "not tried": 34},
    True: {"right": 183, "refused": 1436, "not tried": 34},
}


@pytest.mark.slow
@pytest.mark.parametrize("constants", [False, True], ids=["inputs", "constants"])
def test_every_operator_is_right_or_refused_by_name(tmp_path: Path, constants: bool) -> None:
    verdicts = {path.name: verdict_on(path, tmp_path, constants=constants) for path in folders()}
    bad = {n: v.said for n, v in verdicts.items() if v.kind in ("wrong", "crashed")}
    assert not bad
    for name, verdict in verdicts.items():
        if verdict.kind == "refused":
            assert "model.onnx" in verdict.said and len(verdict.said) > 40, (name, verdict.said)
    right = sorted(name for name, verdict in verdicts.items() if verdict.kind == "right")
    assert right == readable(constants)
    assert Counter(verdict.kind for verdict in verdicts.values()) == PINNED[constants]


def test_some_operators_of_each_kind(tmp_path: Path) -> None:
    """What the long test does, on every fortieth."""
    for path in folders()[::40]:
        for constants in (False, True):
            verdict = verdict_on(path, tmp_path, constants=constants)
            assert verdict.kind not in ("wrong", "crashed"), (path.name, verdict.said)
            assert (verdict.kind == "right") == (path.name in readable(constants)), path.name
