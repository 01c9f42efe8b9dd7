# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What of a Program has no exact equal in an HLS project, said before anything is made."""

from __future__ import annotations

from edgeinfer.base.errors import Offence, UnsupportedModelError
from edgeinfer.ir.plain_sites import limited_sites, spell_sites
from edgeinfer.ir.program import Program
from edgeinfer.ir.unroll import count_unrolled, recurrences_of, unroll_recurrences
from edgeinfer.targets.hls.project.place import lay_out
from edgeinfer.targets.hls.project.spec import Plan
from edgeinfer.targets.hls.settings import HlsSettings

MOST_LAYERS = 600  # that steps of recurrences may become


def offences(program: Program, settings: HlsSettings) -> tuple[Offence, ...]:
    """Every op for which the project would have no equal."""
    return lay_out(program, settings).offences


def in_steps(program: Program) -> Program:
    """The Program as a project has it: hls4ml has no loops around layers, so the steps of a
    recurrence are layers one after the other."""
    return unroll_recurrences(spell_sites(program), chained=True)


def without_layers(program: Program) -> tuple[Offence, ...]:
    """What of a Program no layers can be written for, whatever their settings."""
    return (*limited_sites(program, "a layer of hls4ml"), *_too_long(program))


def _too_long(program: Program) -> tuple[Offence, ...]:
    """Recurrences of more steps than a project can have layers for."""
    count = count_unrolled(program)
    if not recurrences_of(program) or count <= MOST_LAYERS:
        return ()
    reason = (
        f"hls4ml has no loops around layers, so a recurrence becomes the layers of all its steps; "
        f"these would be {count:,}, and at most {MOST_LAYERS} are written. Shorten the sequence, "
        f"or take the rtl target, which has the layers of one step only"
    )
    return tuple(Offence(name, "Scan", reason) for name in recurrences_of(program))


def refuse_early(program: Program) -> None:
    """An error for what no layers can be written for."""
    if found := without_layers(program):
        raise UnsupportedModelError(f"{program.name} as an HLS project", found)


def refuse(program: Program, plan: Plan) -> None:
    """An error that lists them all."""
    if plan.offences:
        raise UnsupportedModelError(
            f"{program.name} as an HLS project",
            plan.offences,
            hint="Change what is listed, or choose another target.",
        )
