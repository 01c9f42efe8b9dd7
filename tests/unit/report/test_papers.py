# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Figures for papers have resolved colours and all their marks; tables and HEPData hold the
result's own numbers."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as xml
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edgeinfer.base import assets
from edgeinfer.base.errors import UsageError
from edgeinfer.base.metrics import Scores
from edgeinfer.report.draw.style import look_of, style_rules
from edgeinfer.report.page.page import Wishes, report_on
from edgeinfer.report.page.templates import svg_file
from edgeinfer.report.papers.files import latex_text, paper_files
from edgeinfer.report.papers.hepdata import hepdata_files
from edgeinfer.report.papers.plots import DOTS_AN_INCH, PIXELS_AN_INCH, pdf_and_png
from edgeinfer.report.tables import ReportTable
from tests.support import report_results as results

REPORT = report_on(results.good(), results.profile())
SHORT = replace(REPORT, sections=REPORT.sections[1:2] + REPORT.sections[:1])
COLOUR = re.compile(r"#[0-9a-fA-F]{3,6}|none")


def test_every_mark_of_an_exported_svg_has_its_own_colours() -> None:
    for figure in REPORT.figures:
        text = svg_file(figure)
        assert "var(" not in text and "<style" not in text
        drawn = [e for e in xml.fromstring(text) if not e.tag.endswith(("title", "desc"))]
        assert len(drawn) == len(figure.marks) + 1  # and the ground
        for element in drawn:
            look = dict(part.split(": ") for part in element.get("style", "").split("; "))
            assert COLOUR.fullmatch(look["fill"]) and COLOUR.fullmatch(look["stroke"])
            assert (look["fill"], look["stroke"]) != ("none", "none")


def test_looks_are_those_of_the_light_theme_by_the_cascade() -> None:
    text = assets.text("reports/assets/figure.css")
    light = dict(re.findall(r"(--[\w-]+): (#\w+);", text[: text.index("@media")]))
    assert look_of("bar", "rect")["fill"] == light["--int-soft"]
    assert look_of("bar own", "rect")["fill"] == light["--int"]
    assert look_of("dot hollow c1", "circle")["fill"] == light["--ground"]
    assert look_of("dot hollow c1", "circle")["stroke"] == light["--c1"]
    assert look_of("dot full c1", "circle")["stroke"] == light["--ground"]
    assert look_of("muted small", "text")["fill"] == light["--muted"]
    assert look_of("curve-int c2", "polyline")["fill"] == "none"
    assert not [rule for rule in style_rules() if "var(" in "".join(rule.declarations.values())]


def test_matplotlib_draws_what_is_there() -> None:
    figure = next(figure for figure in REPORT.figures if figure.name == "budget")
    result = pdf_and_png(figure)
    assert result["pdf"].startswith(b"%PDF") and result == pdf_and_png(figure)
    with Image.open(io.BytesIO(result["png"])) as picture:
        scale = DOTS_AN_INCH / PIXELS_AN_INCH
        expected = (figure.width * scale, figure.height * scale)
        assert picture.size == pytest.approx(expected, abs=2)
        colours = picture.convert("RGB").resize((300, 200)).getcolors(60_000)
    assert colours is not None and len(colours) > 8


@pytest.fixture(scope="module")
def written() -> dict[str, bytes | str]:
    """The files for a paper of a short report."""
    return dict(paper_files(SHORT).files)


def test_files_of_a_paper_are_complete(written: dict[str, bytes | str]) -> None:
    for figure in SHORT.figures:
        assert {f"{figure.name}.{ending}" for ending in ("pdf", "svg", "png")} <= set(written)
    tables = [table for section in SHORT.sections for table in section.tables]
    assert {f"tables/{table.name}.tex" for table in tables} <= set(written)


def table_named(name: str) -> ReportTable:
    tables = [table for section in REPORT.sections for table in section.tables]
    return next(table for table in tables if table.name == name)


def test_tables_hold_the_numbers_of_the_result(written: dict[str, bytes | str]) -> None:
    files = written
    rows = list(csv.reader(io.StringIO(_text(files["tables/accuracy.csv"]))))
    scores = results.good().accuracy["quantized"]
    row = next(row for row in rows if row[0] == "quantized")
    assert float(row[rows[0].index("AUC")]) == scores.auc
    tex = _text(files["tables/accuracy.tex"])
    columns = len(table_named("accuracy").columns)
    body = [line for line in tex.splitlines() if line.endswith(r"\\")]
    assert len(body) == len(table_named("accuracy").rows) + 1
    assert all(len(re.findall(r"(?<!\\)&", line)) == columns - 1 for line in body)


def _text(content: bytes | str) -> str:
    return content if isinstance(content, str) else content.decode()


@given(st.text())
def test_words_cannot_be_commands_of_latex(words: str) -> None:
    known = r"\\(textbackslash|textasciitilde|textasciicircum|textmu|dots)\{\}|\\[&%$#_{}]"
    known += r"|\$(-|\\pm|\\approx|\\times|\\infty|<|>|\\neq)\$"
    left = re.sub(known, "", latex_text(words))
    assert not set(left) & set("\\&%$#_{}~^\n\r")


def test_hepdata_holds_values_with_their_errors() -> None:
    result = results.good()
    accuracy = {"quantized": Scores(900, 0.9, 0.8, intervals={"auc": (0.88, 0.93)})}
    result = result.model_copy(update={"accuracy": accuracy})
    files = hepdata_files(result, results.profile())
    head, *tables = yaml.safe_load_all(files["submission.yaml"])
    assert result.program.digest[:16] in head["comment"]
    assert {table["data_file"] for table in tables} == set(files) - {"submission.yaml"}
    for table in tables:
        content = yaml.safe_load(files[table["data_file"]])
        (first,) = content["independent_variables"]
        for column in content["dependent_variables"]:
            assert len(column["values"]) == len(first["values"]) > 0
    area, right = yaml.safe_load(files["scores.yaml"])["dependent_variables"]
    (value,) = area["values"]
    assert value["value"] == 0.9
    assert value["errors"][0]["asymerror"]["plus"] == pytest.approx(0.03)
    assert value["errors"][0]["asymerror"]["minus"] == pytest.approx(-0.02)
    assert right["values"] == [{"value": 0.8}]  # no interval is known


def test_classes_bear_the_names_that_are_given() -> None:
    named = report_on(
        results.good(), results.profile(), Wishes(labels=(("", ("track", "em", "none")),))
    )
    assert named.profile is not None
    assert {c.label for c in named.profile.curves} == {"track", "em", "none"}
    roc = next(figure for figure in named.figures if figure.name == "roc")
    assert "track" in roc.sentence and "class 0" not in roc.sentence
    with pytest.raises(UsageError, match="3 classes, but --labels names 2"):
        report_on(results.good(), results.profile(), Wishes(labels=(("", ("a", "b")),)))
