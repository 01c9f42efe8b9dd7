# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reports and comparisons in a real browser: they load nothing, complain of nothing, and work."""

from __future__ import annotations

import base64
import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pypdfium2
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edgeinfer.base.errors import ToolMissingError
from edgeinfer.report.compare import page as compare_page
from edgeinfer.report.draw.marks import Label
from edgeinfer.report.page.templates import svg_file
from edgeinfer.report.papers.plots import pdf_and_png
from tests.support import report_results as results
from tests.support.axe import SERIOUS, axe_script
from tests.support.browser import CHROMIUM, Page, Pipe, browser, page
from tests.support.places import ROOT
from tests.support.rendered_pages import GALLERY, PAGES, compared, event_page, write_report
from tests.support.report_results import SCRIPT

PICTURES = ROOT / "build" / "screenshots"  # kept by continuous integration
OVERLAPS = (ROOT / "tests" / "support" / "overlaps.js").read_text()
CONTRAST = (ROOT / "tests" / "support" / "contrast.js").read_text()
EVERY = {**PAGES, **GALLERY}
NARROW, WIDE = 390, (1280, 1920)
QUICK = {*PAGES} - {"report of stages that disagree", "report without a profile", "comparison"}
MOST_BYTES = 1_500_000
RENDER_SECONDS = 5.0
PDF_DOTS_A_POINT = 2.0
DRAWN = "polyline, polygon, path, rect, circle"


@pytest.fixture(scope="module")
def pipe() -> Iterator[Pipe]:
    """One browser for all of these tests."""
    try:
        with browser() as opened:
            yield opened
    except ToolMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Chromium here ({CHROMIUM.remedy}): {error}")


@pytest.fixture
def tab(pipe: Pipe) -> Iterator[Page]:
    """A tab of its own."""
    with page(pipe) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of axe-core."""
    return axe_script(tmp_path_factory)


REPORTS = {
    "good": lambda folder: write_report(folder, results.good(), results.profile()),
    "disagreeing": lambda folder: write_report(folder, results.disagreeing(), results.profile()),
    "bare": lambda folder: write_report(folder, results.good(), None),
    "hostile": lambda folder: write_report(folder, *results.hostile()),
}


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_needs_nothing_but_itself_and_can_be_read(
    name: str, dark: bool, tab: Page, tmp_path: Path
) -> None:
    result = REPORTS[name](tmp_path)
    file = tmp_path / "report.html"
    assert file.stat().st_size < MOST_BYTES
    tab.open(file, dark=dark)
    assert tab.requests == [file.resolve().as_uri()]
    assert tab.complaints == []
    found = tab.run(CONTRAST)
    assert found["tried"] > 50 and found["bad"] == []
    title = tab.run("document.title")
    assert title != "taken" and "edgeinfer report" in title
    assert tab.run("document.querySelectorAll('script').length") == 1
    assert tab.run("document.querySelectorAll('img').length") == 0
    sections = tab.run("[...document.querySelectorAll('section')].map(s => s.id)")
    assert sections == ["verdict", *(section.name for section in result.sections)]
    theme = "dark" if dark else "light"
    for section in sections if name == "good" else sections[:1]:
        tab.picture(PICTURES / name / f"{section}-{theme}.png", f"#{section}")


def test_every_plot_has_marks_where_they_belong(tab: Page, tmp_path: Path) -> None:
    result = write_report(tmp_path, results.good(), results.profile())
    tab.open(tmp_path / "report.html")
    names = [figure.name for figure in result.figures]
    assert names == [
        "accuracy", "roc", "agreement", "error-by-layer", "weights", "activations", "network",
        "budget",
    ]  # fmt: skip
    for figure in result.figures:
        assert sum(not isinstance(mark, Label) for mark in figure.marks) > 5
        inside = tab.run(
            f"(() => {{ const svg = document.querySelector('#figure-{figure.name} svg');"
            " const all = svg.getBoundingClientRect();"
            f" return [...svg.querySelectorAll('{DRAWN}, text')].map(m => {{"
            " const r = m.getBoundingClientRect();"
            " return r.left >= all.left - 2 && r.right <= all.right + 2"
            " && r.top >= all.top - 2 && r.bottom <= all.bottom + 2; }); })()"
        )
        assert len(inside) == len(figure.marks) and all(inside), figure.name
        words = [mark.text for mark in figure.marks if isinstance(mark, Label)]
        assert words and all(words)


def test_a_picture_is_also_a_file_that_stands_alone(tab: Page, tmp_path: Path) -> None:
    result = write_report(tmp_path, *results.hostile())
    for figure in result.figures:
        file = tmp_path / "report" / f"{figure.name}.svg"
        tab.complaints.clear()
        tab.requests.clear()
        tab.open(file)
        assert tab.run("document.documentElement.tagName") == "svg", figure.name  # it is XML
        assert tab.complaints == [] and tab.requests == [file.resolve().as_uri()]
        assert tab.run(f"document.querySelectorAll('{DRAWN}').length") > 2
        assert tab.run("getComputedStyle(document.querySelector('rect')).fill") == (
            "rgb(255, 255, 255)"
        )


COLUMN = (
    "[...document.querySelectorAll('#table-layers tbody tr')].map(r => r.cells[{}].textContent)"
)


def test_tables_sort_by_mouse_and_by_keyboard(tab: Page, tmp_path: Path) -> None:
    write_report(tmp_path, results.good(), results.profile())
    tab.open(tmp_path / "report.html")
    head = "#table-layers thead th:nth-child({})"
    before = tab.run(COLUMN.format(0))
    tab.run(f"document.querySelector('{head.format(4)} button').click()")
    macs = [int(text.replace(",", "") or 0) for text in tab.run(COLUMN.format(3))]
    assert macs == sorted(macs) and max(macs) == 663_552
    assert tab.run(f"document.querySelector('{head.format(4)}').ariaSort") == "ascending"
    tab.run(f"document.querySelector('{head.format(4)} button').focus()")
    tab.press("Enter", 13)
    macs = [int(text.replace(",", "") or 0) for text in tab.run(COLUMN.format(3))]
    assert macs == sorted(macs, reverse=True)
    assert tab.run(f"document.querySelector('{head.format(4)}').ariaSort") == "descending"
    assert "largest first" in tab.run("document.getElementById('said').textContent")
    tab.run(f"document.querySelector('{head.format(1)} button').click()")
    assert tab.run(COLUMN.format(0)) == sorted(before)
    assert tab.run(f"document.querySelector('{head.format(4)}').ariaSort") is None
    assert tab.complaints == []


def test_what_is_unknown_sorts_last_either_way(tab: Page, tmp_path: Path) -> None:
    write_report(tmp_path, results.good(), results.profile())
    tab.open(tmp_path / "report.html")
    column = tab.run(
        "[...document.querySelectorAll('#table-layers thead th')]"
        ".findIndex(h => h.textContent.includes('saturated'))"
    )
    for _ in range(2):
        tab.run(f"document.querySelectorAll('#table-layers thead button')[{column}].click()")
        shown = tab.run(COLUMN.format(column))
        assert shown[-1] == "–" and shown[0] != "–"


def test_the_reader_may_change_the_theme_and_print(tab: Page, tmp_path: Path) -> None:
    write_report(tmp_path, results.good(), results.profile())
    tab.open(tmp_path / "report.html")
    colour = "getComputedStyle(document.body).backgroundColor"
    assert tab.run(colour) == "rgb(255, 255, 255)"
    tab.run("document.getElementById('theme').click()")
    assert tab.run(colour) != "rgb(255, 255, 255)"
    assert tab.run(CONTRAST)["bad"] == []
    tab.call("Emulation.setEmulatedMedia", media="print")
    assert tab.run(colour) == "rgb(255, 255, 255)"
    assert tab.run("getComputedStyle(document.querySelector('.bar')).display") == "none"
    assert tab.run(CONTRAST)["bad"] == []
    assert tab.run("getComputedStyle(document.querySelector('.table')).maxHeight") == "none"
    assert len(tab.call("Page.printToPDF")["data"]) > 50_000


def test_a_screen_reader_finds_its_way(tab: Page, tmp_path: Path) -> None:
    write_report(tmp_path, results.good(), results.profile())
    tab.open(tmp_path / "report.html")
    assert tab.run("document.documentElement.lang") == "en"
    assert tab.run("document.querySelectorAll('h1').length") == 1
    unnamed = tab.run(
        "[...document.querySelectorAll('section, svg, table, button, a, nav, [role=region]')]"
        ".filter(e => !(e.ariaLabel || e.textContent.trim() || e.querySelector('title'))).length"
    )
    assert unnamed == 0
    assert tab.run("[...document.querySelectorAll('table')].every(t => t.caption.textContent)")
    assert tab.run("[...document.querySelectorAll('thead th')].every(h => h.scope === 'col')")
    assert tab.run(
        "[...document.querySelectorAll('tbody tr')].every(r => r.cells[0].scope === 'row')"
    )
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    roles = {node["role"]["value"] for node in tree if "role" in node}
    assert {"table", "columnheader", "rowheader", "image", "navigation", "main"} <= roles
    ids = tab.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    links = tab.run("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
    assert set(links) <= set(ids)


def spent_seconds() -> float:
    """Processor time of ours and of the browser's."""
    ours = psutil.Process()
    return sum(sum(each.cpu_times()[:2]) for each in (ours, *ours.children(recursive=True)))


def test_ten_thousand_layers_are_shown_in_seconds(tab: Page, tmp_path: Path) -> None:
    result, profile = results.deep(10_000)
    began = spent_seconds()
    write_report(tmp_path, result, profile)
    tab.open(tmp_path / "report.html")
    assert spent_seconds() - began < RENDER_SECONDS
    assert (tmp_path / "report.html").stat().st_size < MOST_BYTES
    rows = tab.run("document.querySelectorAll('#table-layers tbody tr').length")
    assert rows == 400
    assert "all 10,000 are in report/layers.csv" in tab.run("document.body.textContent")
    assert len((tmp_path / "report" / "layers.csv").read_text().splitlines()) == 10_001
    assert tab.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_comparison_can_be_read_and_sorted(dark: bool, tab: Page, tmp_path: Path) -> None:
    file = tmp_path / "compare.html"
    file.write_text(compare_page.html(compared(14)), encoding="utf-8")
    tab.open(file, dark=dark)
    assert tab.requests == [file.resolve().as_uri()] and tab.complaints == []
    assert tab.run(CONTRAST)["bad"] == []
    assert tab.run(f"document.querySelectorAll('figure svg :is({DRAWN})').length") > 200
    tab.run("document.querySelector('#table-runs thead th:nth-child(3) button').click()")
    shown = tab.run(
        "[...document.querySelectorAll('#table-runs tbody tr')].map(r => r.cells[2].textContent)"
    )
    assert shown == sorted(shown)
    for section in tab.run("[...document.querySelectorAll('section')].map(s => s.id)"):
        theme = "dark" if dark else "light"
        tab.picture(PICTURES / "compare" / f"{section}-{theme}.png", f"#{section}")


def test_hostile_names_are_shown_as_they_are_written(tab: Page, tmp_path: Path) -> None:
    write_report(tmp_path, *results.hostile())
    tab.open(tmp_path / "report.html")
    shown = tab.run("document.body.textContent")
    assert SCRIPT[:30] in shown and "not a number" in shown
    assert "粒子-🚀" in shown
    assert "\x1b" not in (tmp_path / "report.html").read_text()


def test_planes_of_an_event_turn_by_keys_and_buttons(tab: Page, tmp_path: Path) -> None:
    file = event_page(tmp_path)
    tab.open(file)
    shown = "[...document.querySelectorAll('figure')].findIndex(f => !f.hidden)"
    assert tab.run(shown) == 0
    tab.press("ArrowRight", 39)
    assert tab.run(shown) == 1
    tab.run("document.querySelector('.turn .on').click()")
    tab.press("ArrowRight", 39)
    assert tab.run(shown) == 0 and tab.run("document.querySelector('.where').textContent")[0] == "1"
    tab.press("ArrowLeft", 37)
    assert tab.run(shown) == 2
    visible = "[...document.querySelectorAll('figure:not([hidden]) image')]"
    assert tab.run(f"{visible}.every(i => i.getBBox().width > 0)")
    loaded = [url for url in tab.requests if not url.startswith(("file:", "data:"))]
    assert not loaded and not tab.complaints


def test_printed_pages_show_every_chart(tab: Page, tmp_path: Path) -> None:
    write_report(tmp_path, results.good(), results.profile())
    tab.open(tmp_path / "report.html")
    tab.call("Emulation.setEmulatedMedia", media="print")
    hidden = (
        f"[...document.querySelectorAll('svg.figure {DRAWN.replace(', ', ', svg.figure ')}')]"
        ".filter(e => getComputedStyle(e).display === 'none').length"
    )
    assert tab.run(hidden) == 0
    assert tab.run("getComputedStyle(document.querySelector('header.bar')).display") == "none"


@pytest.mark.parametrize("first", [-1, pytest.param(0, marks=pytest.mark.slow)])
def test_figures_for_papers_look_as_in_the_page(first: int, tab: Page, tmp_path: Path) -> None:
    result = write_report(tmp_path, results.good(), results.profile())
    for figure in result.figures[first:]:
        size = (round(figure.width), round(figure.height))
        svg = tmp_path / f"{figure.name}.svg"
        svg.write_text(svg_file(figure), encoding="utf-8")
        printed = pdf_and_png(figure)
        with pypdfium2.PdfDocument(printed["pdf"]) as document:
            (leaf,) = document
            assert leaf.get_size() == pytest.approx([0.75 * side for side in size], abs=0.75)
            pdf = leaf.render(scale=PDF_DOTS_A_POINT).to_pil()
            assert leaf.get_textpage().get_text_range().strip()  # text stays text
        pictures = {
            "svg": _shot(tab, svg, "svg", size),
            "pdf": pdf,
            "png": Image.open(io.BytesIO(printed["png"])),
        }
        page = _shot(tab, tmp_path / "report.html", f"#figure-{figure.name} svg", size)
        seen = _blur(page, size)
        for kind, picture in pictures.items():
            shown = _blur(picture, size)
            assert np.abs(shown - seen).mean() < 0.003, (figure.name, kind)
            assert np.corrcoef(shown.ravel(), seen.ravel())[0, 1] > 0.99, (figure.name, kind)


def _shot(tab: Page, file: Path, selector: str, size: tuple[int, int]) -> Image.Image:
    """An element of a page as the browser shows it, all of it where it would scroll."""
    tab.open(file, width=max(1180, size[0] + 100))
    tab.run("document.querySelectorAll('.scroll').forEach(e => { e.style.maxHeight = 'none'; })")
    shot = file.with_suffix(".shot.png")
    tab.picture(shot, selector)
    return Image.open(shot)


def _blur(picture: Image.Image, size: tuple[int, int]) -> NDArray[np.float64]:
    """A picture in which the edges of glyphs do not count, and the places of marks do."""
    small = picture.convert("RGB").resize(size).filter(ImageFilter.GaussianBlur(3))
    return np.asarray(small, dtype=np.float64) / 255.0


def test_tables_are_filtered_pictures_zoomed_and_values_told(tab: Page, tmp_path: Path) -> None:
    write_report(tmp_path, results.good(), results.profile())
    tab.open(tmp_path / "report.html")
    rows = "[...document.querySelectorAll('#table-metrics tbody tr')].filter(r => !r.hidden).length"
    before = tab.run(rows)
    tab.run(
        "(() => { const box = document.querySelector('#table-metrics').closest('.table')"
        ".previousElementSibling.querySelector('input'); box.value = 'latency';"
        " box.dispatchEvent(new Event('input')); })()"
    )
    assert 0 < tab.run(rows) < before
    assert (
        tab.run("document.getElementById('said').textContent") == f"{tab.run(rows)} rows are shown."
    )

    tab.run("document.querySelector('#figure-roc .tools button').click()")
    width = "Number(document.querySelector('dialog svg').getAttribute('width'))"
    first = tab.run(width)
    tab.run("document.querySelector('dialog .tools button').click()")
    assert tab.run("document.querySelector('dialog').open") and tab.run(width) > first
    assert tab.run("document.querySelectorAll('[id]').length") == tab.run(
        "new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
    )
    tab.run(  # the browser says later that it is closed
        "new Promise(done => { const sheet = document.querySelector('dialog');"
        "sheet.addEventListener('close', () => setTimeout(done)); sheet.close(); })"
    )
    assert tab.run("document.querySelector('dialog')") is None

    answer = (
        "(() => { const dot = document.querySelector('#figure-accuracy .dot');"
        " dot.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: 5}));"
        " return [document.querySelector('.tip').textContent, dot.textContent]; })()"
    )
    shown, title = tab.run(answer)
    assert shown == title and "AUC" in shown
    assert tab.complaints == []


@pytest.mark.parametrize(
    ("kind", "width"),
    [
        pytest.param(
            kind, width, marks=[] if width == NARROW and kind in QUICK else [pytest.mark.slow]
        )
        for kind in EVERY
        for width in (NARROW, *WIDE)
    ],
)
def test_pages_fit_every_screen(kind: str, width: int, tab: Page, tmp_path: Path) -> None:
    file = EVERY[kind](tmp_path)
    tab.open(file, width=width)
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    found = tab.run(OVERLAPS)
    assert found["texts"] > 20 and found["hidden"] == []
    # A control character is drawn as a box, which is wider than a letter.
    assert [pair for pair in found["overlaps"] if "\ufffd" not in pair] == []
    for dark in (False, True):
        tab.theme(dark=dark)
        assert tab.run(CONTRAST)["bad"] == []
    loaded = {url for url in tab.requests if not url.startswith("data:")}
    assert tab.complaints == [] and loaded == {file.resolve().as_uri()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY)
def test_printed_pages_hold_every_word_and_chart(kind: str, tab: Page, tmp_path: Path) -> None:
    tab.open(EVERY[kind](tmp_path))
    words = tab.run(
        "[...document.querySelectorAll('h1, h2, th, td, .title, svg.figure text')]"
        ".map(e => e.textContent)"
    )
    printed = base64.b64decode(tab.call("Page.printToPDF", printBackground=True)["data"])
    with pypdfium2.PdfDocument(printed) as document:
        shown = "".join("".join(leaf.get_textpage().get_text_range().split()) for leaf in document)
    # Of the hostile names, some have no glyph and others run from right to left.
    sought = [each for each in words if each.isascii() or kind != "report of hostile names"]
    lacking = [each for each in sought if "".join(each.split()) not in shown]
    assert sought and lacking == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY)
def test_axe_finds_nothing_serious(kind: str, axe: str, tab: Page, tmp_path: Path) -> None:
    file = EVERY[kind](tmp_path)
    for dark, width in itertools.product((False, True), (NARROW, *WIDE)):
        tab.open(file, dark=dark, width=width)
        tab.run(f"{axe}; 0")
        assert tab.run(SERIOUS) == [], (dark, width)
    tab.run("document.body.append(document.createElement('input')); 0")
    assert tab.run(SERIOUS)  # a field without a name


def test_downloads_are_what_is_shown(tab: Page, tmp_path: Path) -> None:
    write_report(tmp_path, results.good(), results.profile())
    tab.open(tmp_path / "report.html")
    caught = (
        "(async () => { let kept; const make = URL.createObjectURL;"
        " URL.createObjectURL = (blob) => { kept = blob; return 'data:,'; };"
        " HTMLAnchorElement.prototype.click = () => {};"
        " [...document.querySelectorAll('PLACE')].at(-1).click();"
        " URL.createObjectURL = make; return await kept.text(); })()"
    )
    svg = tab.run(caught.replace("PLACE", "#figure-roc .tools button"))
    assert svg.startswith("<svg") and "var(" not in svg and "stroke:" in svg
    tab.run(
        "document.querySelector('#table-accuracy').closest('.table').previousElementSibling"
        ".id = 'here'"
    )
    table = tab.run(caught.replace("PLACE", "#here button"))
    head, *rows = table.splitlines()
    assert head.startswith('"stage","samples","AUC"') and len(rows) > 3
    assert str(results.good().accuracy["quantized"].auc) in table
