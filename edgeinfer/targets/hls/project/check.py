# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What of a Program has no exact equal in an HLS project, said before anything is made."""

from __future__ import annotations

from edgeinfer.base.errors import Offence, UnsupportedModelError
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.project.place import lay_out
from edgeinfer.targets.hls.project.spec import Plan
from edgeinfer.targets.hls.settings import HlsSettings


def offences(program: Program, settings: HlsSettings) -> tuple[Offence, ...]:
    """Every op for which the project would have no equal."""
    return lay_out(program, settings).offences


def refuse(program: Program, plan: Plan) -> None:
    """An error that lists them all."""
    if plan.offences:
        raise UnsupportedModelError(
            f"{program.name} as an HLS project",
            plan.offences,
            hint="Change what is listed, or choose another target.",
        )
