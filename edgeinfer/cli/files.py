# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs about files of a target's own kind: ``inspect`` and ``map``. Every target is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edgeinfer.cli.options import Json
from edgeinfer.cli.terminal import answer

if TYPE_CHECKING:
    from edgeinfer.targets.target import Description


def inspect(
    file: Annotated[Path, Parameter(help="a compiled file, such as F_edgetpu.tflite")],
    /,
    *,
    json: Json = False,
) -> None:
    """What a compiled file holds: parameters, instructions, inputs and outputs."""
    from edgeinfer.targets.registry import known_targets

    _answer(file, [entry.make().inspect(file) for entry in known_targets().values()], json=json)


def map_(
    file: Annotated[Path, Parameter(help="an int8 model, F.tflite")],
    /,
    *more: Annotated[Path, Parameter(help="models that share the chip with it, in this order")],
    runtime: Annotated[
        int | None, Parameter(help="runtime version that the rules are for; the newest by default")
    ] = None,
    segments: Annotated[
        int | None, Parameter(help="cut the model for so many chips in a pipeline")
    ] = None,
    time_host: Annotated[
        bool | None,
        Parameter(negative="", help="measure on this computer what stays on the host, by LiteRT"),
    ] = None,
    json: Json = False,
) -> None:
    """What a vendor's compiler would make of a file: operators, memory, time. No tool runs but, if
    asked for, LiteRT."""
    from edgeinfer.targets.registry import choose, known_targets

    options = {"runtime": runtime, "segments": segments, "time_host": time_host}
    chosen_options = {name: value for name, value in options.items() if value is not None}
    chosen_targets = [
        choose(name, entry.read_options(chosen_options)) for name, entry in known_targets().items()
    ]
    files = (file, *more)
    _answer(
        file, [each.target.map_files(files, each.settings) for each in chosen_targets], json=json
    )


def _answer(file: Path, answers: list[Description | None], *, json: bool) -> None:
    from edgeinfer.base.errors import InputError

    reply = next((each for each in answers if each is not None), None)
    if reply is None:
        raise InputError(f"No target knows files such as {file}.", hint="Check the path.")
    answer(reply.document, reply.lines, as_json=json)
