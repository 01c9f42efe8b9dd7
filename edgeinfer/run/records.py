# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Records of finished steps, as they lie in a run folder: anyone may have written them."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from edgeinfer.base.errors import InputError
from edgeinfer.base.fenced import stays_inside

if TYPE_CHECKING:
    from pydantic import BaseModel

DIGEST = r"^[0-9a-f]{64}$"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A finished step: what it depended on, what it made (path -> sha256), what it found."""

    name: str
    key: str
    seconds: float
    files: Mapping[str, str]
    facts: Mapping[str, Any]
    cached: bool = False


def read_record(path: Path, name: str) -> StepRecord | None:
    """A step's record, or None where there is none that can be read; an error for one that lists
    files outside its folder, or facts that no such step finds."""
    try:
        record = StepRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    wrong = _wrong(record, name)
    if wrong:
        raise InputError(
            f"{path} is not a record of the step {name!r}: {wrong}.",
            hint="Do not use this folder: compile the model into a new one.",
        )
    return record


def _wrong(record: StepRecord, name: str) -> str:
    """What keeps a record from being one that a step has left."""
    fields = (record.name, record.key, record.cached)
    if not all(map(isinstance, fields, (str, str, bool))) or record.name != name:
        return "it is of another step"
    seconds: Any = record.seconds
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return "its time is not a number"
    if not math.isfinite(seconds):
        return "its time is not a number"
    files: Any = record.files
    if not isinstance(files, dict) or not all(isinstance(d, str) for d in files.values()):
        return "its files are not a table of digests"
    outside = next((path for path in files if not stays_inside(path)), None)
    if outside is not None:
        return f"it lists {outside[:200]!r}, which lies outside of the run folder"
    return _wrong_facts(record.facts, name)


def _wrong_facts(facts: Any, name: str) -> str:
    from pydantic import ValidationError

    try:
        kinds = _kinds()
        kinds.get(name.partition("-")[0], kinds[""]).model_validate(facts)
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            return "its facts are nested too deep"
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'facts'}: {first['msg']}"
    return ""


@functools.cache
def _kinds() -> dict[str, type[BaseModel]]:
    """What steps find, as far as others rely on it."""
    from pydantic import BaseModel, Field, field_validator

    from edgeinfer.base.metrics import Metric, Scores
    from edgeinfer.ir.agreement import Agreement
    from edgeinfer.report.result import ModelPart, ProgramPart, RecipePart
    from edgeinfer.zoo import is_name

    class Facts(BaseModel):
        findings: list[str] = []
        metrics: list[Metric] = []
        agreement: list[Agreement] = []
        accuracy: dict[str, Scores] = {}
        program: Any = None
        about: Any = None

    class Load(Facts):
        model: ModelPart
        reference: str | None = None
        batch_axis: Annotated[int, Field(ge=0, le=64, strict=True)] | None = 0

        @field_validator("reference")
        @classmethod
        def check_name(cls, name: str | None) -> str | None:
            if name is not None and not is_name(name):
                raise ValueError("there is no reference model of this name")
            return name

    class Lower(Facts):
        recipe: RecipePart
        program: ProgramPart

    class Data(BaseModel):
        name: str
        sha256: str
        samples: int
        path: str | None = None

    class Evaluate(Facts):
        task: str | None
        data: Data | None = None

    class Emit(Facts):
        target: str
        program: str = Field(pattern=DIGEST)
        project: str = Field(pattern=DIGEST)
        stage: str
        exact: bool
        settings: dict[str, Any]
        place: dict[str, Any]
        findings: list[str]

    return {"": Facts, "emit": Emit, "load": Load, "lower": Lower, "evaluate": Evaluate}
