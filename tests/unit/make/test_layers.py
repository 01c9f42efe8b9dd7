# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The committed table of layers: it has every case, and a few are run again."""

from __future__ import annotations

import pytest

from reports.make import layers
from reports.make.layer_cases import CASES

WORKS = ("read", "engine", "csim", "rtl")


def test_every_case_is_in_the_table_once() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert list(layers.read_record()) == names


def test_the_page_shows_the_table() -> None:
    assert layers.PAGE.read_text() == layers.page_of(list(layers.read_record().values()))


def test_every_layer_is_exact_in_software_and_hardware() -> None:
    for row in layers.read_record().values():
        assert [row.stages.get(stage) for stage in WORKS] == [layers.YES] * len(WORKS), row.name


@pytest.mark.slow
@pytest.mark.parametrize("name", [case.name for case in CASES][::7])
def test_a_row_is_true(name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    assert layers.run_case(case) == layers.read_record()[name]
