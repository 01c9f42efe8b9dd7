# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a run found out: the schema of ``result.json``, versioned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeinfer.cosim import Agreement
from edgeinfer.errors import InputError
from edgeinfer.metrics import Metric, Scores, Task

SCHEMA_VERSION: Literal[1] = 1

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tensor(_Part):
    """An input or an output: its name, its shape without the batch, its fixed-point type."""

    name: str
    shape: tuple[int, ...]
    type: str


class ModelPart(_Part):
    """The network as its author drew it."""

    name: str
    file: str  # inside the run folder
    sha256: Digest
    parameters: int
    layers: int


class RecipePart(_Part):
    """The number formats that were used, all of them."""

    digest: Digest
    activations: dict[str, str]
    weights: dict[str, str | list[str]]


class Inexact(_Part):
    """A value that a float32 framework does not compute exactly: by how much at most, and why."""

    value: str
    bound: float
    bound_steps: float
    reason: str


class ProgramPart(_Part):
    """The integer network."""

    digest: Digest
    ops: int
    parameters: int
    macs: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    float32_inexact: tuple[Inexact, ...] = ()


class Artefact(_Part):
    """A file of the run, its path inside the run folder."""

    path: str
    sha256: Digest


class StepPart(_Part):
    """A step of the run. `seconds` is what it took when it was last done."""

    name: str
    seconds: float
    cached: bool


class TargetPart(_Part):
    """A target that the run was compiled for: its settings, with goals turned into choices, and
    the part that its project is for with what that offers."""

    stage: str  # of its simulation
    exact: bool = True  # whether that has to equal the engine bit for bit
    project: Digest
    settings: dict[str, Any]
    part: str | None = None
    device: str | None = None
    budget: dict[str, int] = {}


class Result(_Part):
    """The content of ``result.json``."""

    schema_version: Literal[1] = SCHEMA_VERSION
    edgeinfer: str
    model: ModelPart
    task: Task | None = None  # None where no labels were given
    device: str | None = None
    recipe: RecipePart
    program: ProgramPart
    targets: dict[str, TargetPart] = {}
    accuracy: dict[str, Scores] = {}
    agreement: tuple[Agreement, ...] = ()
    metrics: tuple[Metric, ...] = ()
    findings: tuple[str, ...] = ()
    artefacts: tuple[Artefact, ...] = ()
    steps: tuple[StepPart, ...] = ()

    @property
    def disagreements(self) -> tuple[Agreement, ...]:
        """The pairs of stages that should be bit-identical and are not."""
        apart = {part.stage for part in self.targets.values() if not part.exact}
        return tuple(
            entry
            for entry in self.agreement
            if not entry.bit_identical and not apart.intersection(entry.pair)
        )

    def to_json(self) -> str:
        """The text of ``result.json``."""
        return self.model_dump_json(indent=2) + "\n"


def from_json(text: str, source: str) -> Result:
    """Read ``result.json``; an InputError names the file and the entry that does not fit."""
    try:
        return Result.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(
            f"{source} is no result of this version of edgeinfer: {place}: {first['msg']}.",
            hint="Run the compile command again.",
        ) from None
