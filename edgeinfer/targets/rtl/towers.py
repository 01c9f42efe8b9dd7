# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whether the calls of a tower are one piece of hardware, through which they go one after another,
or each has its own: as the settings say, or as the memories hold the weights."""

from __future__ import annotations

import functools

from edgeinfer.base.errors import UsageError
from edgeinfer.ir.bases import Accumulates, parameters_of
from edgeinfer.ir.program import Program
from edgeinfer.ir.towers import join_towers
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.design.parts import budget_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.unrolled.straight import is_unrolled


@functools.lru_cache(maxsize=1)
def with_towers(program: Program, settings: RtlSettings) -> Program:
    """The prepared Program with its towers as the settings want them; kept, because everything that
    is known of a design is known by its Program."""
    match settings.towers:
        case "apart":
            return program
        case "once":
            joined = join_towers(program)
            if joined is program:
                raise _without_towers(program)
            return joined
        case "auto":
            is_joined = not (
                settings.sparse == "tokens" or is_unrolled(program, settings)
            ) and not _fits(program, settings)
            return join_towers(program) if is_joined else program


def _fits(program: Program, settings: RtlSettings) -> bool:
    """Whether the memories hold the weights of every call."""
    most = budget_of(settings).memory_bits
    return most is None or sum(layer.weight_bits for layer in layers_of(program)) <= most


def _without_towers(program: Program) -> UsageError:
    """Why nothing of a Program can be made once."""
    seen: set[int] = set()
    for op in program.ops:
        weights = id(parameters_of(op)[0]) if isinstance(op, Accumulates) else None
        if weights in seen:
            return UsageError(
                f"{program.name}: %{op.name} has the weights of another layer, but not its "
                f"formats, or one of the two waits for the other, so they cannot be one tower.",
                hint="Quantize the float model again, which gives the calls of a tower equal "
                "formats, or leave out --towers once.",
            )
        if weights is not None:
            seen.add(weights)
    return UsageError(
        f"{program.name} has no layers that are called more than once with the same weights, so it "
        f"has no towers.",
        hint="Leave out --towers once.",
    )
