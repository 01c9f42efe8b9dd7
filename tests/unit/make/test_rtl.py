# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The committed figures of the unrolled jet tagger: what can be had without a tool is so today."""

from __future__ import annotations

import json

import pytest

from edgeinfer.ir.complete import complete_recipe
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from edgeinfer.targets.rtl.target import RtlTarget
from reports.make import rtl as reference
from tests.support.places import ROOT


@pytest.fixture
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_committed_cycles_and_additions_are_today_s(in_the_checkout: None) -> None:
    document = json.loads((reference.FOLDER / f"{reference.NAME}.json").read_text())
    loaded = load(reference.MODEL)
    program = lower(loaded.graph, complete_recipe(loaded.graph, loaded.recipe).recipe).program
    for metric in RtlTarget().estimate(program, reference.SETTINGS):
        if metric.layer is None and metric.name in reference.COUNTED:
            assert document["figures"][metric.name] == metric.value, metric.name
    assert document["figures"]["ii_cycles"] == 1 and document["figures"]["dsp"] == 0
    assert document["samples"] >= 200


def test_the_table_is_what_the_record_says(in_the_checkout: None) -> None:
    document = json.loads((reference.FOLDER / f"{reference.NAME}.json").read_text())
    result = reference.UnrolledResult(document["yosys"], document["samples"], document["figures"])
    others = reference.list_published_results()
    text = (reference.FOLDER / f"{reference.NAME}.md").read_text()
    assert reference.table(result, others) == text
    assert json.loads(reference.record(result, others)) == document
    (quantized,) = [row for row in others if row["id"] == "jet-Q6"]
    assert quantized["lut"] == "39782"  # Coelho et al., the same network in 6 bits
