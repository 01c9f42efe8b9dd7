# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Ranges of values, where the bounds of what is read come in several shapes."""

from __future__ import annotations

import numpy as np

from edgeinfer.ir.bounds import bounds_of
from edgeinfer.ir.ops import Concat, Dense, Input, pack_weights
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed


def test_a_concat_joins_bounds_for_all_elements_with_bounds_for_each_channel() -> None:
    x = Input("x", Fixed(True, 4, 4), (3, 2))
    weight = pack_weights(np.array([[1, 0], [0, 2]]))
    zero = pack_weights(np.zeros(2, np.int64))
    y = Dense("y", Fixed(True, 5, 5), "x", weight, Fixed(False, 2, 2), zero)
    joined = Concat("z", Fixed(True, 5, 5), ("x", "y"), axis=0)
    program = Program("p", (x, y, joined), (Output("z", "z"),))
    result = bounds_of(program)["z"]
    assert result.low.tolist() == [-8, -16]
    assert result.high.tolist() == [7, 14]
