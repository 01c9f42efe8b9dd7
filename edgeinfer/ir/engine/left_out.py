# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Lit pixels that a Program leaves out, because a frame has more of them than a mask keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgeinfer.base.errors import DisagreementError
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.ops import Sites
from edgeinfer.ir.program import Program
from quantization.fixed import Ints


@dataclass(frozen=True, slots=True, eq=False)
class LitPixels:
    """How many lit pixels each sample has for a mask, and how many of them stay at most."""

    sites: str
    most: int
    counts: Ints

    @property
    def left_out(self) -> Ints:
        """How many do not stay, by sample."""
        return np.maximum(self.counts - self.most, 0)


def count_lit(program: Program, raw: Mapping[str, Ints]) -> tuple[LitPixels, ...]:
    """The lit pixels of samples, for each mask with a limit."""
    limited = [op for op in program.ops if isinstance(op, Sites) and op.most is not None]
    if not limited:
        return ()
    values = Engine(program).run(raw, taps=tuple(dict.fromkeys(op.x for op in limited)))
    lit_pixels = []
    for op in limited:
        assert op.most is not None
        lit = np.asarray(values[op.x].max(axis=-1) > op.threshold)
        counts = lit.reshape(len(lit), -1).sum(axis=1)
        lit_pixels.append(LitPixels(op.name, op.most, counts))
    return tuple(lit_pixels)


def check_left_out(program: Program, raw: Mapping[str, Ints], counted: Mapping[str, int]) -> None:
    """What a design counted of all samples, by mask, against the Program."""
    if not counted:
        return
    expected = {lit.sites: int(lit.left_out.sum()) for lit in count_lit(program, raw)}
    for sites, count in counted.items():
        if count != expected.get(sites, 0):
            raise DisagreementError(
                f"{program.name}: the design counted {count:,} lit pixels beyond the limit of "
                f"%{sites}, and there were {expected.get(sites, 0):,}.",
                hint="Please report this, with the model.",
            )
