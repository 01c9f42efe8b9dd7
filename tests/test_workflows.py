# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What GitHub runs: the workflows are well formed, and what they name is there."""

from __future__ import annotations

import os
import re
import subprocess
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.documents import make_targets
from tests.support.places import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TRIGGERS = True  # the key `on`, as YAML 1.1 reads it
EXPRESSION = re.compile(r"\$\{\{\s*([^}]+?)\s*\}\}")
BUILT = {"build/junit.xml": ".ci/run", "build/site": "mkdocs.yml", "dist": ""}


def jobs(path: Path) -> dict[str, Any]:
    """A workflow's jobs."""
    document = yaml.safe_load(path.read_text())
    assert document[TRIGGERS], f"{path.name} says when it runs"
    result: dict[str, Any] = document["jobs"]
    return result


def variants(job: dict[str, Any]) -> list[dict[str, str]]:
    """What a job's matrix makes of it: one for each combination."""
    matrix: dict[str, list[str]] = job.get("strategy", {}).get("matrix", {})
    return [
        dict(zip(matrix, map(str, values), strict=True)) for values in product(*matrix.values())
    ]


def filled(text: str, variant: dict[str, str]) -> str:
    """The same with the values of the matrix, each of which must be there."""
    return EXPRESSION.sub(
        lambda found: (
            variant[found[1].removeprefix("matrix.")] if found[1].startswith("matrix.") else "x"
        ),
        text,
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_what_is_there(path: Path) -> None:
    every = jobs(path)
    for job in every.values():
        needed = job.get("needs", [])
        assert {needed} if isinstance(needed, str) else {*needed} <= {*every}
        own = {step.get("id") for step in job["steps"]}
        assert {*re.findall(r"steps\.(\w+)\.", str(job))} <= own
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), step
            if "uses" in step:
                assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step["uses"]), step
            if built := step.get("with", {}).get("path"):
                maker = BUILT[built]
                assert not maker or built in (ROOT / maker).read_text(), step
            for variant in variants(job):
                _check_line(filled(step.get("run", ""), variant))


def _check_line(line: str) -> None:
    subprocess.run(["bash", "-n", "-c", line], check=True)
    assert {*re.findall(r"\bmake (\w+)", line)} <= make_targets(), line
    for program in re.findall(r"^\.\S+", line):
        assert os.access(ROOT / program, os.X_OK), line
    for name in re.findall(r'run_path\("([^"]+)"', line):
        assert (ROOT / name).is_file(), line


def test_what_continuous_integration_calls_is_there() -> None:
    text = (ROOT / ".ci/run").read_text()
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
    assert {*re.findall(r"^make (\w+)", text, re.MULTILINE)} <= make_targets()


def test_the_long_tests_run_somewhere() -> None:
    (job,) = jobs(ROOT / ".github/workflows/slow.yml").values()
    assert {*job["strategy"]["matrix"]["what"]} == {"slow", "fuzz", "bench"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name
)
def test_a_form_for_issues_can_be_shown(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.name != "config.yml":
        assert form["name"] and form["description"]
        kinds = {part["type"] for part in form["body"]}
        assert kinds <= {"textarea", "input", "dropdown", "checkboxes", "markdown"}
        assert all(part["attributes"]["label"] for part in form["body"])
