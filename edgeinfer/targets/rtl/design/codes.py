# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Numbers that stand for modes in the Verilog's parameters: places in these lists."""

from __future__ import annotations

from edgeinfer.ir.ops import PairKind
from quantization.fixed import Overflow, Rounding

ROUNDINGS = (
    Rounding.TRN, Rounding.TRN_ZERO, Rounding.RND, Rounding.RND_ZERO, Rounding.RND_INF,
    Rounding.RND_MIN_INF, Rounding.RND_CONV,
)  # fmt: skip
OVERFLOWS = (Overflow.WRAP, Overflow.SAT, Overflow.SAT_ZERO, Overflow.SAT_SYM)
PAIRS = (PairKind.ADD, PairKind.SUB, PairKind.MUL, PairKind.MAX, PairKind.MIN)
