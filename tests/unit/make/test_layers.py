# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The committed table of layers: it has every case, and a few are run again."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.make import layers
from reports.make.layer_cases import CASES
from reports.make.layer_files import YES, run_onnx_case
from reports.make.onnx_cases import ONNX_CASES

WORKS = ("read", "engine", "csim", "rtl")


def test_every_case_is_in_the_table_once() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert list(layers.read_record()) == names


def test_the_page_shows_the_table() -> None:
    assert layers.PAGE.read_text() == layers.page_of(list(layers.read_record().values()))


def test_every_layer_is_exact_in_software_and_hardware() -> None:
    for row in layers.read_record().values():
        assert [row.stages.get(stage) for stage in WORKS] == [YES] * len(WORKS), row.name


def test_every_row_says_what_becomes_of_each_kind_of_file() -> None:
    for row in layers.read_record().values():
        assert (row.stages["onnx"] == layers.NONE) == (row.name not in ONNX_CASES), row.name
        assert row.stages["onnx"] in (YES, layers.NONE), row.name


@pytest.mark.parametrize("name", [*ONNX_CASES][::25])
def test_nodes_of_onnx_do_as_the_table_says(name: str, tmp_path: Path) -> None:
    row = layers.read_record()[name]
    assert run_onnx_case(ONNX_CASES[name], tmp_path) == row.stages["onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in CASES][::7])
def test_a_row_is_true(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    row, recorded = layers.run_case(case), layers.read_record()[name]
    assert {stage: row.stages[stage] for stage in recorded.stages} == recorded.stages
