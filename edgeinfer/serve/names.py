# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What models, inputs and outputs are called outside: as the Program calls them, or as a file says.

```toml
[hit_tagger]                    # as the Program is called
name = "cnn_emtrkmichel_1"      # as clients ask for it
inputs = {x = "main_input"}
outputs = {michel = "michel_netout/Sigmoid"}
```
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from edgeinfer.base.errors import InputError, did_you_mean
from edgeinfer.data.open import existing
from edgeinfer.ir.program import Program


@dataclass(frozen=True, slots=True)
class ModelNames:
    """A model's name outside, and the names of inputs and outputs that are others there."""

    name: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


class NamesPart(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = None
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}


NAMES_FILE = TypeAdapter(dict[str, NamesPart])


def read_names(path: Path | None) -> Mapping[str, NamesPart]:
    """The file's tables by the Programs' names."""
    if path is None:
        return {}
    try:
        document = tomllib.loads(existing(path).read_text(encoding="utf-8"))
        return NAMES_FILE.validate_python(document)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        wrong = {
            "model_type": "is no table",
            "dict_type": "is no table",
            "string_type": "is no text",
            "extra_forbidden": "is not an entry that is known",
        }.get(first["type"], f"is wrong ({first['msg']})")
        raise InputError(
            f"{path}: {where} {wrong}.",
            hint="A model's table has name, inputs and outputs; docs/serving.md shows one.",
        ) from None


def names_of(program: Program, file: Mapping[str, NamesPart], path: Path | None) -> ModelNames:
    """A Program's names outside; a name that it does not have, or two that are one, is an error."""
    part = file.get(program.name, NamesPart())
    sides = {
        "inputs": ([op.name for op in program.inputs], part.inputs),
        "outputs": ([output.name for output in program.outputs], part.outputs),
    }
    for side, (own, names_given) in sides.items():
        for name in names_given:
            if name not in own:
                raise InputError(
                    f"{path}: {program.name} has no {side[:-1]} {name!r}.",
                    hint=did_you_mean(name, own) or f"Its {side} are {', '.join(own)}.",
                )
        outside = [names_given.get(name, name) for name in own]
        if len({*outside}) != len(outside) or "" in outside:
            raise InputError(
                f"{path}: two {side} of {program.name} have one name, or one has none."
            )
    name = program.name if part.name is None else part.name
    if not name:
        raise InputError(f"{program.name or path}: the model has no name that a client could say.")
    return ModelNames(name, part.inputs, part.outputs)


def refuse_unread(file: Mapping[str, NamesPart], programs: set[str], path: Path | None) -> None:
    """An error where a table of the file is about no Program that is served."""
    for name in file:
        if name not in programs:
            raise InputError(
                f"{path}: no run that is served has a Program called {name!r}.",
                hint=did_you_mean(name, programs) or f"They are called {', '.join(programs)}.",
            )
