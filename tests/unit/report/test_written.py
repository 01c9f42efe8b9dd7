# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reports in other forms than a page: no name in a result breaks out of any of them."""

from __future__ import annotations

import io
import json
import sys
import xml.etree.ElementTree as xml
from collections.abc import Sequence

import pytest

from edgeinfer.cli.terminal import style_line
from edgeinfer.report.gates.junit import Case, cases_of, junit
from edgeinfer.report.page import text
from edgeinfer.report.page.page import Wishes, commands_of, report_on, write_report_files
from edgeinfer.report.result import DataPart
from tests.support import report_results as results

HOSTILE = report_on(*results.hostile(), Wishes())
GOOD = report_on(results.good(), results.profile(), Wishes(latency_us=20.0))


class Terminal(io.StringIO):
    """A stream that someone looks at."""

    def isatty(self) -> bool:
        return True


def in_colours(monkeypatch: pytest.MonkeyPatch, lines: Sequence[tuple[str | None, str]]) -> str:
    """What a terminal with colours is sent."""
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", Terminal())
        return style_line(lines, sys.stdout)


def test_a_terminal_shows_the_verdict_of_the_page_in_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = in_colours(monkeypatch, text.lines_of(GOOD))
    assert "\x1b[32m" in shown and "\x1b[33m" in shown
    assert GOOD.verdict.line in shown
    lines = shown.splitlines()
    assert lines[0] == "hit-tagger-pooled" and len(lines) == len(text.lines_of(GOOD))


def test_no_name_drives_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driving = [("bad", "[red]\x1b[2J\x07[/red]")]
    for lines in (text.lines_of(HOSTILE), driving):
        shown = in_colours(monkeypatch, lines)
        for colour in ("\x1b[32m", "\x1b[33m", "\x1b[1;31m", "\x1b[0m"):
            shown = shown.replace(colour, "")
        assert "\x1b" not in shown and "\x07" not in shown and "\x00" not in shown
    assert "[red]" in in_colours(monkeypatch, driving)


def test_without_a_terminal_there_are_no_colours() -> None:
    assert "\x1b" not in style_line(text.lines_of(GOOD), sys.stdout)
    assert style_line([("good", "a"), (None, "b")], sys.stdout) == "a\nb"


def test_the_document_is_json_and_tells_the_answers() -> None:
    document = json.loads(json.dumps(text.document(GOOD), allow_nan=False))
    assert document["state"] == "unsure" and document["verdict"] == GOOD.verdict.line
    assert {name: each["state"] for name, each in document["answers"].items()} == {
        "agrees": "good", "fits": "good", "fast": "unsure", "lost": "good",
    }  # fmt: skip
    assert all(point["text"] for point in document["findings"])


def test_markdown_has_the_verdict_and_the_tables_and_no_html() -> None:
    shown = text.markdown(GOOD)
    assert shown.startswith("## hit-tagger-pooled\n")
    assert f"**{text.plain(GOOD.verdict.line)}**" in shown
    for caption in ("Scores against the labels", "Resources on", "Latency, and an event"):
        assert f"### {caption}" in shown
    tables = [line for line in shown.splitlines() if line.startswith("|")]
    widths = {line.replace("\\|", "").count("|") for line in tables[:5]}
    assert len(tables) > 20 and len(widths) == 1
    hostile = text.markdown(HOSTILE)
    assert "<script" not in hostile and "<img" not in hostile and "\x1b" not in hostile


def test_junit_is_xml_whatever_the_names() -> None:
    suite = xml.fromstring(junit(results.SCRIPT, cases_of(HOSTILE.result)))[0]
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) > 0
    good = xml.fromstring(junit("good", cases_of(GOOD.result)))[0]
    assert good.attrib["failures"] == "0"
    names = [case.attrib["name"] for case in good]
    assert (
        "engine = csim" in names
        and "hls lut fits" in names
        and "edgetpu cached_bytes fits" in names
    )
    bad = xml.fromstring(junit("bad", cases_of(results.disagreeing())))[0]
    failed = [case.attrib["name"] for case in bad if case.find("failure") is not None]
    assert failed == ["engine = csim", "hls dsp fits"]
    odd = xml.fromstring(junit("x", [Case("g", "\x00\ud800\x1b", failure="]]>&<")]))
    assert odd[0][0][0].attrib["message"] == "]]>&<"


def test_every_file_of_a_report_has_a_name_of_ours() -> None:
    for name in write_report_files(HOSTILE).files:
        assert name.replace("/", "").replace(".", "").replace("-", "").replace("_", "").isalnum()


def test_a_run_can_be_done_again_from_what_the_page_says() -> None:
    compile_, compare = commands_of(results.good())
    assert compile_ == (
        "edgeinfer compile RUN/model/hit-tagger-pooled.keras --recipe RUN/recipe.toml "
        "--target hls --target rtl --target edgetpu --device xczu7ev --device coral "
        "--data patches.npz -o AGAIN"
    )
    on_board = {"options": ((), ("--board", "ulx3s"), ("--unroll", "full")), "device": "lfe5u-85f"}
    rtl = results.good().targets["rtl"].model_copy(update=on_board)
    one, _ = commands_of(results.good().model_copy(update={"targets": {"rtl": rtl}}))
    assert one.endswith(" --target rtl --board ulx3s --unroll full --data patches.npz -o AGAIN")
    assert compare == "edgeinfer compare RUN AGAIN"
    hostile, _ = commands_of(results.hostile()[0])
    assert "--data '</script>" in hostile  # quoted for a shell
    drawn = DataPart(name="simulation of jet-tagger", sha256="0" * 64, samples=1000)
    simulated, _ = commands_of(results.good().model_copy(update={"data": drawn}))
    assert simulated.startswith(
        "edgeinfer compile jet-tagger --recipe RUN/recipe.toml --target hls"
    )
    assert "--data" not in simulated
