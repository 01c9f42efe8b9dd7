# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The int8 file of each shipped model on LiteRT's default kernels equals its own Program."""

from __future__ import annotations

import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.zoo.reference import load_reference
from tests.support.int8_references import NAMES, SAMPLES, WITHOUT_FORM, compare_reference

FEW = 20


@pytest.mark.parametrize("name", ("anomaly-trigger", "jet-tagger", "vertex-finder"))
def test_some_files_equal_their_program_on_a_few_samples(name: str) -> None:
    assert compare_reference(name, load_reference(name), FEW).differing == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_file_equals_its_program_on_many_samples(name: str) -> None:
    """On x86-64; the bench tells the decisions that differ from the engine's, too."""
    result = compare_reference(name, load_reference(name))
    assert (result.samples, result.differing) == (SAMPLES, 0)


@pytest.mark.parametrize("name", ("jet-recurrent", "track-graph"))
def test_the_others_have_no_int8_equal(name: str) -> None:
    assert name in WITHOUT_FORM
    with pytest.raises(UnsupportedModelError, match=r"must be stored|an int8 index"):
        compare_reference(name, load_reference(name), FEW)
