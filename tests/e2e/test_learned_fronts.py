# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The recipes of the smallest jet taggers, trained anew, reach what the documentation states."""

from __future__ import annotations

import pytest

from tests.bench import bench_learned


@pytest.mark.slow
@pytest.mark.timeout(7200)  # trained twice in minutes on idle cores, and synthesised many times
@pytest.mark.parametrize("kind", ["widths", "tables"])
def test_the_jets_recipes_reach_every_goal(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("keras", reason="training needs the extra [train]")
    options = ["--seeds", "0", "--stages", "6,10"] + ["--lookup"] * (kind == "tables")
    assert bench_learned.main(options) == 0, capsys.readouterr().out
