# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The published schemas are those of the code; what older versions wrote is read."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.base import assets
from edgeinfer.base.errors import InputError
from edgeinfer.evaluate.profile import data
from edgeinfer.report.result import SCHEMA_VERSION, from_json, json_schema
from edgeinfer.report.result_versions import STEPS, version_of
from tests.support import report_results as results

HERE = Path(__file__).parent


def test_the_committed_schemas_are_those_of_the_code() -> None:
    committed = assets.path("reports/schema")
    assert (committed / "result.schema.json").read_text() == json_schema(), (
        "write it anew with: python -m reports.make.results --schemas"
    )
    assert (committed / "report_data.schema.json").read_text() == data.json_schema()


def test_the_schema_admits_what_is_written_and_names_every_part() -> None:
    schema = json.loads(json_schema())
    document = json.loads(results.good().to_json())
    assert set(document) == set(schema["properties"])
    assert obeys(document, schema, schema)
    assert obeys(json.loads(results.hostile()[0].to_json()), schema, schema)
    assert not obeys(document | {"colour": "red"}, schema, schema)
    assert not obeys(document | {"metrics": [{"name": "lut"}]}, schema, schema)
    inside = json.loads(data.json_schema())
    assert obeys(json.loads(results.profile().to_json()), inside, inside)


def obeys(answer: Any, schema: Any, root: Any) -> bool:
    """As much of JSON Schema as these schemas use."""
    if "$ref" in schema:
        return obeys(answer, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return any(obeys(answer, each, root) for each in schema["anyOf"])
    if "const" in schema and answer != schema["const"]:
        return False
    if "enum" in schema and answer not in schema["enum"]:
        return False
    match schema.get("type"):
        case "object":
            if not isinstance(answer, dict) or set(schema.get("required", [])) - set(answer):
                return False
            known = schema.get("properties", {})
            more = schema.get("additionalProperties", True)
            return all(
                obeys(value, known[name], root)
                if name in known
                else more is not False and (more is True or obeys(value, more, root))
                for name, value in answer.items()
            )
        case "array":
            items = schema.get("items", {})
            return isinstance(answer, list) and all(obeys(each, items, root) for each in answer)
        case "string":
            return isinstance(answer, str)
        case "integer":
            return isinstance(answer, int) and not isinstance(answer, bool)
        case "number":
            return isinstance(answer, int | float) and not isinstance(answer, bool)
        case "boolean":
            return isinstance(answer, bool)
        case "null":
            return answer is None
    return True


def test_a_result_of_version_1_is_read() -> None:
    text = (HERE / "result_v1.json").read_text()
    assert version_of(text) == 1
    result = from_json(text, "result_v1.json")
    assert result.schema_version == SCHEMA_VERSION and result.data is None
    assert result.accuracy["csim"].samples == 4000
    assert all(entry.bit_identical for entry in result.agreement)
    assert from_json(result.to_json(), "again") == result


def test_every_older_version_has_a_step_and_a_committed_file() -> None:
    assert set(STEPS) == set(range(1, SCHEMA_VERSION))
    for version in STEPS:
        assert version_of((HERE / f"result_v{version}.json").read_text()) == version


@pytest.mark.parametrize("version", [0, -1, 3, 99, "1", None, [1], True])
def test_a_version_that_nobody_wrote_is_refused(version: object) -> None:
    document = json.loads(results.good().to_json()) | {"schema_version": version}
    with pytest.raises(InputError, match="schema_version"):
        from_json(json.dumps(document), "r.json")


@pytest.mark.parametrize("text", ["", "[]", "3", '"x"', "null", "[" * 100_000, "{\x00}"])
def test_what_is_no_result_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"r\.json"):
        from_json(text, "r.json")
    with pytest.raises(InputError, match=r"r\.json"):
        data.from_json(text, "r.json")


def test_a_metric_that_is_no_number_survives_being_written() -> None:
    base = results.good()
    odd = (replace(base.metrics[0], value=math.nan), replace(base.metrics[1], value=math.inf))
    text = base.model_copy(update={"metrics": odd}).to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert all(math.isnan(metric.value) for metric in from_json(text, "r.json").metrics)


def test_a_profile_is_read_as_it_was_written() -> None:
    result = results.profile()
    assert data.from_json(result.to_json(), "report_data.json") == result
