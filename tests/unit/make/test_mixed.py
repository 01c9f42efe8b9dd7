# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The committed table of two widths: half of the DSP blocks, the score kept, and true."""

from __future__ import annotations

import dataclasses
import json

import pytest

from reports.make.mixed import compare, page
from reports.make.quantization import MIXED
from tests.support.places import ROOT

FOLDER = ROOT / "reports" / "reference" / "mixed"
TABLE = json.loads((FOLDER / "mixed.json").read_text())
TRAINED = ROOT / "reports" / "reference" / "quantization" / "quantization.json"
ROWS = json.loads(TRAINED.read_text())["rows"]


def test_the_page_shows_the_table() -> None:
    assert list(TABLE["rows"]) == list(MIXED)
    assert (FOLDER / "mixed.md").read_text() == page(TABLE)


@pytest.mark.parametrize("name", MIXED)
def test_half_of_the_dsp_blocks_are_left_and_the_score_is_kept(name: str) -> None:
    """Counted again from the files; the recorded simulations agreed with the engine."""
    again = compare(name, ROWS, simulated=False)
    assert again.is_halved and again.keeps_score
    assert again.after.cycles["ii_cycles"] <= again.interval_cycles
    assert min(x + w for x, w in again.after.bits.values()) == 8
    row = TABLE["rows"][name]
    assert row["after"]["samples"] > 0 and row["after"]["simulated"] == ["rtl", "csim"]
    for which in ("before", "after"):
        expected = dataclasses.asdict(getattr(again, which))
        for key in ("resources", "cycles", "loss", "bits"):
            assert row[which][key] == json.loads(json.dumps(expected[key])), key
