# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The schema of ``report_data.json``: what a report shows and ``result.json`` does not hold."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeinfer.base.errors import InputError

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


PROFILE_VERSION: Literal[1] = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Uncertain(_Part):
    """A figure with the ends of its 95 % interval, over samples like those it was judged on."""

    value: float
    low: float
    high: float


class StageScore(_Part):
    """A stage's scores with intervals; None where labels cannot say."""

    stage: str
    auc: Uncertain | None = None
    accuracy: Uncertain | None = None


class Lost(_Part):
    """What quantization costs, float minus quantized on the same samples: a paired interval."""

    auc: Uncertain | None = None
    accuracy: Uncertain | None = None


class Curve(_Part):
    """A receiver operating characteristic, thinned: background kept against signal kept."""

    stage: str
    output: str
    label: str  # of the class that is told from the rest
    auc: float
    background: tuple[float, ...]
    signal: tuple[float, ...]


class Histogram(_Part):
    """Counts over powers of two: of `counts[i]` values the size is above 2^(first+i) and at most
    its double; `zeros` are zero. So what a format with steps of 2^-f rounds to zero lies in bins
    below 2^(-f-1), and -2^k lies in the same bin as 2^k less a step."""

    first: int
    counts: tuple[int, ...]
    zeros: int
    low: float
    high: float


class Distribution(_Part):
    """Floats and integers of a tensor over powers of two, and the format that the integers have."""

    name: str
    kind: Literal["weight", "activation"]
    format: str
    bits: int
    lsb: float
    least: float  # what the format holds
    most: float
    floats: Histogram | None  # None where no float tensor goes by this name
    integers: Histogram


class Clipped(_Part):
    """Values that a requantisation brought back into its type's range."""

    values: int
    below: int
    above: int
    wraps: bool  # instead of ending at the range's ends
    rectifies: bool  # below zero is a ReLU's work, not the format's


class Layer(_Part):
    """One value of the Program: what makes it, its range proved and seen, its distance to the float
    tensor."""

    name: str
    op: str
    reads: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    parameters: int
    format: str
    weight_format: str | None = None
    proved_low: float
    proved_high: float
    observed_low: float | None = None
    observed_high: float | None = None
    observed_bits: int | None = None  # that the seen values would have needed
    clipped: Clipped | None = None
    float_rms: float | None = None  # of the float tensor of this name
    error_rms: float | None = None  # of the difference to it
    rounding_rms: float | None = None  # of what this requantisation alone does


class Profile(_Part):
    """The content of ``report_data.json``."""

    profile_version: Literal[1] = PROFILE_VERSION
    program: Digest
    samples: int  # for curves and scores
    tapped: int  # of them, that were looked at inside
    origin: str  # of the samples
    scores: tuple[StageScore, ...] = ()
    lost: Lost = Lost()
    curves: tuple[Curve, ...] = ()
    layers: tuple[Layer, ...] = ()
    distributions: tuple[Distribution, ...] = ()

    def to_json(self) -> str:
        """The text of ``report_data.json``."""
        return self.model_dump_json(indent=1) + "\n"


def from_json(text: str, source: str) -> Profile:
    """Read ``report_data.json``; an InputError names the file and the entry that does not fit."""
    try:
        return Profile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(
            f"{source} holds no data of a report of this version: {place}: {first['msg']}.",
            hint="Run edgeinfer report again.",
        ) from None


def json_schema() -> str:
    """The JSON Schema of ``report_data.json``, as ``reports/schema`` has it."""
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "report_data.json of edgeinfer",
    }
    return json.dumps(Profile.model_json_schema() | head, indent=1, sort_keys=True) + "\n"
