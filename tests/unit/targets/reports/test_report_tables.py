# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Cells are numbers, nothing or errors; tables are found by their headings, columns by names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base.errors import InputError
from edgeinfer.targets.reports.cells import count, field, nanoseconds, report_text, version_of
from edgeinfer.targets.reports.tables import tables, whole_rows

HERE = Path("a.rpt")
SPANNED = """
+ Latency:
    * Summary:
    +---------+---------+----------+----------+-----+-----+---------+
    |  Latency (cycles) |  Latency (absolute) |  Interval | Pipeline|
    |   min   |   max   |    min   |    max   | min | max |   Type  |
    +---------+---------+----------+----------+-----+-----+---------+
    |      489|      490|  2.445 us|  2.450 us|  489|  489|       no|
    +---------+---------+----------+----------+-----+-----+---------+
"""


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("  1044", 1044),
        ("23 (3%)", 23),
        ("29 (~0%)", 29),
        ("788198(45.61%)", 788198),
        ("   ~0   ", 0),
        ("0.5", 0.5),
        ("1,728,000", 1728000),
        ("3.475e+03", 3475),
        ("-0.156", -0.156),
        ("-", None),
        ("?", None),
        ("NA", None),
        ("undef", None),
        ("", None),
    ],
)
def test_a_count_is_read_in_every_way_it_is_written(cell: str, value: float | None) -> None:
    assert count(cell, HERE) == value


@pytest.mark.parametrize("cell", ["1044 us", "12 34", "1,23", "0x10", "yes", "3(", "12.", "--"])
def test_what_is_no_count_is_an_error_and_never_a_guess(cell: str) -> None:
    with pytest.raises(InputError, match=r"a\.rpt.*is where a number"):
        count(cell, HERE)


@pytest.mark.parametrize(
    ("cell", "value"),
    [("5.00 ns", 5), ("4.371", 4.371), ("0.211 ms", 211_000), ("5.220 us", 5220), ("?", None)],
)
def test_a_time_is_nanoseconds(cell: str, value: float | None) -> None:
    assert nanoseconds(cell, HERE) == (None if value is None else pytest.approx(value))


@given(st.integers(0, 10**9), st.booleans(), st.integers(0, 9))
def test_separators_and_percentages_do_not_change_a_count(
    value: int, separated: bool, share: int
) -> None:
    written = f"{value:,}" if separated else str(value)
    assert count(f" {written} ({share}%) ", HERE) == value


def test_a_header_lends_its_words_to_the_columns_it_spans() -> None:
    (table,) = tables(SPANNED, HERE)
    assert table.headings == ("", "latency", "summary")
    assert table.columns == (
        "latency (cycles) min",
        "latency (cycles) max",
        "latency (absolute) min",
        "latency (absolute) max",
        "interval min",
        "interval max",
        "pipeline type",
    )
    assert whole_rows(table)[0][:3] == ("      489", "490", "2.445 us")


words = st.text("abcdefgh", min_size=1, max_size=8)


@given(
    groups=st.lists(st.tuples(words, st.lists(words, min_size=1, max_size=3)), min_size=1),
    count_of_rows=st.integers(0, 4),
    slack=st.integers(0, 6),
    indent=st.integers(0, 9),
    data=st.data(),
)
def test_any_table_is_read_as_it_was_drawn(
    groups: list[tuple[str, list[str]]],
    count_of_rows: int,
    slack: int,
    indent: int,
    data: st.DataObject,
) -> None:
    """Whatever the widths, spans and borders: names and cells come back."""
    names = [f"{above} {name}" for above, below in groups for name in below]
    rows = [[data.draw(words) for _ in names] for _ in range(count_of_rows)]
    widths = []
    for above, below in groups:  # wide enough for the cells and for what spans them
        for name in below:
            own = [len(row[len(widths)]) for row in rows]
            widths.append(max([len(name), len(above), *own]) + slack)
    border = f"+{'+'.join('-' * width for width in widths)}+"
    top, at = "|", 0
    for above, below in groups:
        spanned = sum(widths[at : at + len(below)]) + len(below) - 1
        top, at = f"{top}{above.center(spanned)}|", at + len(below)
    heads = [name for _, below in groups for name in below]
    lines = [border, top, _line(heads, widths), border]
    for row in rows:
        lines += [_line(row, widths), *([border] if data.draw(st.booleans()) else [])]
    if lines[-1] != border:
        lines.append(border)
    text = "".join(f"{' ' * indent}{line}\n" for line in ("+ Heading:", *lines))
    (table,) = tables(text, HERE)
    assert table.headings == ("", "heading", "")
    assert table.columns == tuple(names)
    assert [[cell.strip() for cell in row] for row in whole_rows(table)] == rows


def _line(cells: list[str], widths: list[int]) -> str:
    padded = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    return f"|{'|'.join(padded)}|"


def test_a_table_that_does_not_end_is_an_error() -> None:
    for cut in (-2, -70, -90):
        with pytest.raises(InputError, match="ends inside a table"):
            tables(SPANNED[:cut], HERE)


def test_a_row_with_a_cell_too_few_is_an_error() -> None:
    (table,) = tables("+---+---+\n| a | b |\n+---+---+\n| 1 |\n+---+---+\n", HERE)
    with pytest.raises(InputError, match="1 cells under 2 columns"):
        whole_rows(table)


def test_fields_are_found_behind_bullets_and_bars() -> None:
    assert field("* Version:        2020.1 (Build 2)\n", "Version") == "2020.1 (Build 2)"
    assert field("| Tool Version      : Vivado v.2021.2\n", "Tool Version") == "Vivado v.2021.2"
    assert field("nothing", "Version") is None
    assert version_of("Vivado v.2018.3.1 (lin64) Build 24") == "2018.3.1"
    assert version_of(None) is None


def test_a_report_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        report_text(tmp_path / "gone.rpt")
    empty = tmp_path / "empty.rpt"
    empty.write_text(" \n")
    with pytest.raises(InputError, match="is empty"):
        report_text(empty)
    with pytest.raises(InputError, match="cannot be read"):
        report_text(tmp_path)
