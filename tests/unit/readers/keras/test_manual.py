# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""docs/keras.md names the functions that are read, and no others."""

from __future__ import annotations

import re

from edgeinfer.readers.keras.operations import READERS
from tests.support.places import ROOT

TENSORFLOW_ONLY = {
    *("add_n", "bias_add", "shape"),
    *("asin", "acos", "atan", "asinh", "acosh", "atanh"),
}
NEUTRAL = {"identity", "stop_gradient", "convert_to_tensor", "cast"}
SPELT_AS_OPERATORS = {"get_item", "einsum", "matmul"}


def test_the_manual_lists_the_functions_that_are_read() -> None:
    text = (ROOT / "docs" / "keras.md").read_text(encoding="utf-8")
    table = text.partition("| functions of |")[2].partition("\n\n")[0]
    names = set(re.findall(r"`([a-z0-9_.]+)`", table)) - {"keras.ops"}
    known = set(READERS) - TENSORFLOW_ONLY - NEUTRAL - SPELT_AS_OPERATORS
    assert names - SPELT_AS_OPERATORS - TENSORFLOW_ONLY == known
