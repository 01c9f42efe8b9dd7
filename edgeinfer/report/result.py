# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a run found out: the schema of ``result.json``, versioned."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import Metric, Scores, Task
from edgeinfer.evaluate.profile.data import Digest
from edgeinfer.ir.agreement import Agreement
from edgeinfer.report.result_versions import NEWEST, state_of_older, upgrade_document

SCHEMA_VERSION: Literal[2] = NEWEST


def _as_written(value: Any) -> Any:
    """JSON has neither NaN nor infinity: a metric's value that is none is null there, and so is an
    end of a band that has none. Older results leave out most states of a design."""
    if not isinstance(value, dict):
        return value
    document = dict(value)
    if "value" in document and document["value"] is None:
        document["value"] = math.nan
    low, high = document.get("low"), document.get("high")
    if low is None and high is not None:
        document["low"] = -math.inf
    elif high is None and low is not None:
        document["high"] = math.inf
    if document.get("state") is None:
        document["state"] = state_of_older(document)
    return document


Figure = Annotated[Metric, BeforeValidator(_as_written)]


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


SIMULATION = "simulation of "  # how samples that a reference model simulates are called


class DataPart(_Part):
    """The samples that accuracy was judged on: figures of other samples are other figures."""

    name: str
    sha256: Digest
    samples: int
    format: str | None = None  # None: simulated, or before it was recorded
    classes: Mapping[str, tuple[str, ...]] = {}  # by output, where labels came as words

    @property
    def reference(self) -> str | None:
        """The reference model whose simulation these are, if they are no file's."""
        named = self.name.startswith(SIMULATION) and self.format is None
        return self.name.removeprefix(SIMULATION) if named else None


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

    title: str | None = None  # how people write its name
    stage: str  # of its simulation
    stage_title: str | None = None
    exact: bool = True  # whether that has to equal the engine bit for bit
    pipelined: bool = True  # whether an inference may begin before the last has ended
    project: Digest | None = None  # None where it was only estimated
    settings: dict[str, Any]
    options: tuple[tuple[str, ...], ...] = ()  # of `compile`, for settings that are not the usual
    part: str | None = None
    device: str | None = None
    budget: dict[str, int] = {}


class Result(_Part):
    """The content of ``result.json``."""

    schema_version: Literal[2] = SCHEMA_VERSION
    edgeinfer: str
    model: ModelPart
    task: Task | None = None  # None where no labels were given
    device: str | None = None
    recipe: RecipePart
    program: ProgramPart
    targets: dict[str, TargetPart] = {}
    data: DataPart | None = None  # None where none were given, or before version 2 recorded them
    accuracy: dict[str, Scores] = {}
    agreement: tuple[Agreement, ...] = ()
    metrics: tuple[Figure, ...] = ()
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
    """Read ``result.json`` of this or an older version; an InputError names the file and the entry
    that does not fit."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{source} is not a result: it is not JSON ({error}).",
            hint="Run the compile command again.",
        ) from None
    try:
        return Result.model_validate(upgrade_document(document))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(
            f"{source} is not a result of this version of edgeinfer: {place}: {first['msg']}.",
            hint="Run the compile command again.",
        ) from None


def read_figures(documents: Iterable[Any]) -> tuple[Metric, ...]:
    """The figures that a run has recorded."""
    return TypeAdapter(tuple[Figure, ...]).validate_python(tuple(documents))


def json_schema() -> str:
    """The JSON Schema of ``result.json``, as ``reports/schema/result.schema.json`` has it."""
    schema = Result.model_json_schema()
    number = schema["$defs"]["Metric"]["properties"]["value"]
    number.pop("type")
    number |= {"anyOf": [{"type": "number"}, {"type": "null"}], "description": "null: not a number"}
    schema["properties"]["schema_version"]["default"] = SCHEMA_VERSION
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "result.json of edgeinfer",
    }
    return json.dumps(schema | head, indent=1, sort_keys=True) + "\n"


def input_words(result: Result) -> list[str]:
    """A run's model and samples, as another verb takes them."""
    reference = None if result.data is None else result.data.reference
    if reference is not None:
        return [reference]  # which simulates its samples
    data = [] if result.data is None else ["--data", result.data.name]
    return [f"RUN/{result.model.file}", *data]
