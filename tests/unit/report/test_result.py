# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""``result.json`` is read as it was written, or refused with the entry that does not fit."""

from __future__ import annotations

import json

import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import DesignState, Metric, Origin, Scores, Task
from edgeinfer.ir.agreement import Agreement, Divergence
from edgeinfer.report.result import ModelPart, ProgramPart, RecipePart, Result, Tensor, from_json

DIGEST = "0" * 64


def result() -> Result:
    """One of every part."""
    return Result(
        edgeinfer="0.1.0",
        model=ModelPart(name="m", file="model/m.h5", sha256=DIGEST, parameters=3, layers=1),
        task=Task.CLASSIFICATION,
        recipe=RecipePart(digest=DIGEST, activations={"x": "fixed<4,2>"}, weights={"a": ["b"]}),
        program=ProgramPart(
            digest=DIGEST,
            ops=2,
            parameters=3,
            macs=3,
            inputs=(Tensor(name="x", shape=(3,), type="fixed<4,2>"),),
            outputs=(),
        ),
        accuracy={"float": Scores(9, 0.9, 0.8, heads={"pid": Scores(9, None, 0.5)})},
        agreement=(
            Agreement(
                ("engine", "csim"), 9, False, 0.5, 1, Divergence("y", "Conv", 2, (0,), 3, 4, "t")
            ),
        ),
        metrics=(
            Metric(
                "lut",
                10.0,
                "LUT",
                Origin.ESTIMATED,
                low=5.0,
                high=20.0,
                state=DesignState.C_SYNTHESIS,
            ),
        ),
    )


def test_it_is_read_as_it_was_written() -> None:
    assert from_json(result().to_json(), "result.json") == result()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 99}, "schema_version"),
        ({"colour": "red"}, "colour"),
        ({"model": None}, "model"),
        ({"metrics": [{"name": "lut", "value": 1, "unit": "", "origin": "guessed"}]}, "origin"),
        ({"metrics": [{"name": "lut", "value": 1, "unit": "", "origin": "estimated"}]}, "band"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, object], words: str) -> None:
    text = json.dumps(json.loads(result().to_json()) | change)
    with pytest.raises(InputError, match=words) as caught:
        from_json(text, "RUN/result.json")
    assert "RUN/result.json" in str(caught.value)


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(InputError, match=r"result\.json"):
        from_json("{", "result.json")
