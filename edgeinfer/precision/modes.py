# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How activations are rounded and what becomes of those out of range, as people say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from edgeinfer.base.errors import UsageError
from quantization.fixed import Overflow, Rounding

RoundingName = Literal["nearest-even", "nearest", "down"]
OverflowName = Literal["saturate", "wrap"]
ROUNDINGS: Mapping[str, Rounding] = {
    "nearest-even": Rounding.RND_CONV,
    "nearest": Rounding.RND,
    "down": Rounding.TRN,
}
OVERFLOWS: Mapping[str, Overflow] = {"saturate": Overflow.SAT, "wrap": Overflow.WRAP}


def read_modes(
    rounding: RoundingName | None, overflow: OverflowName
) -> tuple[Rounding | None, Overflow]:
    """The modes of these names; no rounding leaves it to the target."""
    if rounding not in (None, *ROUNDINGS) or overflow not in OVERFLOWS:
        raise UsageError(
            f"Activations cannot be rounded by {rounding!r} and overflow by {overflow!r}.",
            hint=f"Choose {', '.join(ROUNDINGS)}; and {' or '.join(OVERFLOWS)}.",
        )
    return None if rounding is None else ROUNDINGS[rounding], OVERFLOWS[overflow]
