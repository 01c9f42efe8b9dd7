# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Hostile names of models, layers, inputs and classes on pages, in pictures and in tables."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from edgeinfer.cli.terminal import style_line
from edgeinfer.evaluate.profile.data import Profile
from edgeinfer.ir.show import show
from edgeinfer.report.compare import page as compare_page
from edgeinfer.report.compare.comparison import compare_runs
from edgeinfer.report.compare.runs import label_runs
from edgeinfer.report.gates.junit import cases_of, junit
from edgeinfer.report.page import text
from edgeinfer.report.page.page import Wishes, report_on, write_report_files
from edgeinfer.report.result import Result
from edgeinfer.targets.registry import directions
from tests.support import report_results
from tests.support.hostile_names import hostile_program, payloads

NAMES = payloads()
RENAMED = ("hit-tagger-pooled", "patch", "conv1", "conv2", "relu1", "logits", "kind", "class 0")


class Tags(HTMLParser):
    """The elements of a page and their attributes, and what scripts and styles hold."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.code: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] += 1
        self.attributes |= {f"{tag} {name}" for name, _ in attrs}
        self.inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.code.append(data)


def renamed(answer: Any, name: str | None) -> Any:
    """The same document under other names."""
    if isinstance(answer, dict):
        return {key: renamed(value, name) for key, value in answer.items()}
    if isinstance(answer, list):
        return [renamed(item, name) for item in answer]
    if isinstance(answer, str) and answer in RENAMED and name is not None:
        return f"{name}{RENAMED.index(answer)}"
    return answer


def documents(name: str | None) -> tuple[Result, Profile]:
    result = json.loads(report_results.good().to_json())
    profile = json.loads(report_results.profile().to_json())
    return (
        Result.model_validate(renamed(result, name)),
        Profile.model_validate(renamed(profile, name)),
    )


def files_of(name: str | None) -> dict[str, str]:
    """Everything that is written of a run, and of a comparison."""
    result, profile = documents(name)
    made = report_on(result, profile, Wishes())
    results = {
        path: content.decode("utf-8") for path, content in write_report_files(made).files.items()
    }
    runs = [("one", result, 2), (f"{name or 'two'}", result, 2)]
    comparison = compare_runs(label_runs(runs), directions())
    return results | {
        "report.md": text.markdown(made),
        "compare.html": compare_page.html(comparison),
        "compare.md": compare_page.markdown(comparison),
        "compare.csv": compare_page.csv_text(comparison),
        "junit.xml": junit(result.model.name, cases_of(result)),
        "terminal": style_line(text.lines_of(made), io.StringIO()),
    }


@pytest.fixture(scope="module")
def quiet() -> dict[str, str]:
    return files_of(None)


def hold(name: str, quiet: dict[str, str]) -> None:
    """The same elements, rows, lines and cells as under quiet names."""
    result = files_of(name)
    assert len(result) == len(quiet), name[:200]
    for path, content in result.items():
        where = (path, name[:200])
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", content), where
        if path.endswith(".html"):
            here, there = Tags(), Tags()
            here.feed(content)
            there.feed(quiet[path])
            assert set(here.found) <= set(there.found) | {"title"}, where
            assert here.attributes <= there.attributes | {"td title", "th title", "tspan x"}, where
            assert here.code == there.code, where
        elif path.endswith((".svg", ".xml")):
            ElementTree.fromstring(content)
        elif path.endswith(".md"):
            rows, expected = content.splitlines(), quiet[path].splitlines()
            assert len(rows) == len(expected), where
            bars = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
            assert bars == [len(re.findall(r"(?<!\\)\|", row)) for row in expected], where
            assert not re.search(r"(?<!\\)[<`]", re.sub(r"`[0-9a-f]+`", "", content)), where
        elif path.endswith(".csv"):
            rows_found = list(csv.reader(io.StringIO(content, newline="")))
            if path in quiet:
                assert len(rows_found) == len(list(csv.reader(io.StringIO(quiet[path])))), where
            assert len({len(row) for row in rows_found}) == 1, where
            for cell in (cell for row in rows_found for cell in row):
                assert not cell.startswith(("=", "@", "\t", "\r")), (where, cell)
                assert not cell.startswith(("+", "-")) or re.fullmatch(r"[+-][\d.e+-]+", cell)
        elif path == "terminal":
            assert len(content.splitlines()) == len(quiet[path].splitlines()), where


@pytest.mark.parametrize("name", NAMES[::16], ids=lambda name: repr(name)[:30])
def test_what_is_written_has_the_same_parts_whatever_the_names(
    name: str, quiet: dict[str, str]
) -> None:
    hold(name, quiet)


@pytest.mark.fuzz
def test_what_is_written_has_the_same_parts_under_two_hundred_names(quiet: dict[str, str]) -> None:
    for name in NAMES:
        hold(name, quiet)


def test_a_program_as_text_has_a_line_for_each_value() -> None:
    lines = len(show(hostile_program("", plain=True)).splitlines())
    for name in NAMES:
        assert len(show(hostile_program(name)).splitlines()) == lines, name[:200]
