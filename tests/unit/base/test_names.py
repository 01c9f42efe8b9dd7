# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Names from models, wherever they are written: in code, in tables, on a terminal."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base import assets, code
from edgeinfer.base.csv_text import as_csv, cell
from edgeinfer.base.names import (
    LONGEST_NAME,
    CodeText,
    CommentText,
    Identifier,
    Operand,
    OwnText,
    QuotedText,
    Variable,
    identifier,
    printable,
    remark,
)
from edgeinfer.cli.terminal import answer, tell
from tests.support.hostile_names import BREAKS, payloads

NAMES = payloads()


@pytest.mark.parametrize("kind", [Identifier, Variable, QuotedText, Operand, CommentText])
def test_no_kind_of_text_in_code_holds_what_ends_it(kind: type[CodeText]) -> None:
    assert kind("a1") == "a1"
    for bad in ("\n", "\r", '"', "`", "\\", "$(x)", "*/", "//", ";\n", "{", "#{", "\u2028", "\x85"):
        with pytest.raises(ValueError, match="is no"):
            kind(f"a{bad}")
    with pytest.raises(ValueError, match="is no"):
        CodeText("a")


@given(st.text(max_size=300) | st.sampled_from(NAMES))
def test_every_name_is_an_identifier_and_a_remark(name: str) -> None:
    plain = identifier(name)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", plain) and len(plain) <= LONGEST_NAME
    assert "__" not in plain and not plain.endswith("_")
    assert not set('\\\n\r*/`"$#\u2028') & set(remark(name)) and remark(name).isprintable()


def test_names_that_are_fit_stay_as_they_are() -> None:
    assert identifier("conv2d_3") == "conv2d_3" and identifier("dense/kernel:0") == "dense_kernel_0"
    assert identifier("3d") == "v_3d" and identifier("") == "v" and identifier("tap_0") == "v_tap_0"
    assert identifier("a" * 70) != identifier("a" * 71)


def templates() -> list[str]:
    root = assets.path("firmware")
    return sorted(f"firmware/{path.relative_to(root)}" for path in root.rglob("*.j2"))


def test_a_template_for_code_refuses_raw_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "text", lambda name: "a {{ x }} b{% if y %} {{ y.z }}{% endif %}")
    assert code.fill_template("one", {"x": 3, "y": {"z": Identifier("n")}}) == "a 3 b n"
    for raw in ("n", "n\n", None, True, ["n"], b"n"):
        with pytest.raises(TypeError, match="raw text"):
            code.fill_template("one", {"x": raw, "y": None})
    with pytest.raises(TypeError, match="raw text"):
        code.fill_template("one", {"x": 1, "y": {"z": "n"}})


@pytest.mark.parametrize("template", templates())
def test_templates_mark_only_their_own_words_as_own(template: str) -> None:
    """`own` lets text through: it may only stand behind words of the template itself."""
    for written in re.findall(r"\{\{(.*?)\}\}", assets.text(template), re.DOTALL):
        for marked in re.findall(r"(\S+)\s*\|\s*own", written):
            ours = ("widened(part)", "logic()", "commands[fabric]")  # macros, and a table
            assert marked.endswith(('"', '")', *ours))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"), ("\t=1", "'\ufffd=1"), ("a\nb", "a\ufffdb"),
        (" =1", "' =1"), ("\uff1d1", "'\uff1d1"),
        ("-3.2", "-3.2"), ("+5", "+5"), ("-1e-7", "-1e-7"), ("-inf", "-inf"), (-3.2, -3.2),
        ("a-b", "a-b"), ("", ""), (None, None), ("conv", "conv"), ("-", "'-"),
    ],
)  # fmt: skip
def test_a_cell_is_never_a_formula_and_a_number_stays_one(value: object, shown: object) -> None:
    assert cell(value) == shown


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5))
def test_a_table_of_names_has_as_many_rows_and_cells(names: list[str]) -> None:
    results = list(csv.reader(io.StringIO(as_csv([["head", *names], [1.5, *names]]), newline="")))
    assert [len(row) for row in results] == [len(names) + 1] * 2
    assert not any(entry.startswith(("=", "+", "@")) for row in results for entry in row[1:])


@pytest.mark.parametrize("line", BREAKS, ids=repr)
def test_a_name_forges_no_line_on_a_terminal(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"net{line}agreement engine = rtl: bit-identical, 9 samples\x1b[2K"
    answer("{}", [f"{name}: 3 ops", ("bad", f"agreement {name}: DIFFERENT")], as_json=False)
    tell(f"trial {name}")
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 2 and len(output.err.splitlines()) == 1
    assert not any(row.startswith("agreement engine") for row in output.out.splitlines())
    assert "\x1b" not in output.out + output.err
    assert printable(name).isprintable()


def test_own_text_is_whatever_we_write() -> None:
    assert OwnText("a\nb") == "a\nb"
