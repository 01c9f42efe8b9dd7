# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reports and comparisons in a real browser: they load nothing, complain of nothing, and work."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edgeinfer.base.errors import ToolMissingError
from edgeinfer.base.plan import BuildPlan
from edgeinfer.evaluate.profile.data import Profile
from edgeinfer.event.page import render_pictures
from edgeinfer.event.picture import PlanePanels, TagScheme
from edgeinfer.report.compare import page as compare_page
from edgeinfer.report.compare.comparison import compare_runs
from edgeinfer.report.compare.runs import label_runs
from edgeinfer.report.draw.marks import Label
from edgeinfer.report.page.page import Report, Wishes, report_on, write_report_files
from edgeinfer.report.page.templates import svg_file
from edgeinfer.report.papers.plots import pdf_and_png
from edgeinfer.report.result import SCHEMA_VERSION, Result
from tests.support import report_results as results
from tests.support.browser import CHROMIUM, Page, Pipe, browser, page
from tests.support.places import ROOT
from tests.support.report_results import SCRIPT

PICTURES = ROOT / "build" / "screenshots"  # kept by continuous integration
CONTRAST = (ROOT / "tests" / "support" / "contrast.js").read_text()
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


def report(result: Result, profile: Profile | None) -> tuple[Report, BuildPlan]:
    made = report_on(result, profile, Wishes(latency_us=20.0, reason="There is no Program."))
    return made, write_report_files(made)


PAGES = {
    "good": lambda: report(results.good(), results.profile()),
    "disagreeing": lambda: report(results.disagreeing(), results.profile()),
    "bare": lambda: report(results.good(), None),
    "hostile": lambda: report(*results.hostile()),
}


def comparison(count: int) -> str:
    runs = label_runs([(name, result, SCHEMA_VERSION) for name, result in results.sweep(count)])
    return compare_page.html(compare_runs(runs))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_needs_nothing_but_itself_and_can_be_read(
    name: str, dark: bool, tab: Page, tmp_path: Path
) -> None:
    made, plan = PAGES[name]()
    plan.write(tmp_path)
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
    assert sections == ["verdict", *(section.name for section in made.sections)]
    theme = "dark" if dark else "light"
    for section in sections if name == "good" else sections[:1]:
        tab.picture(PICTURES / name / f"{section}-{theme}.png", f"#{section}")


def test_every_plot_has_marks_where_they_belong(tab: Page, tmp_path: Path) -> None:
    made, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
    tab.open(tmp_path / "report.html")
    names = [figure.name for figure in made.figures]
    assert names == [
        "accuracy", "roc", "agreement", "error-by-layer", "weights", "activations", "network",
        "budget",
    ]  # fmt: skip
    for figure in made.figures:
        assert figure.data_marks > 5
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
    made, plan = report(*results.hostile())
    plan.write(tmp_path)
    for figure in made.figures:
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
    _, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
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
    _, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
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
    _, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
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
    _, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
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


def test_a_narrow_window_does_not_scroll_sideways(tab: Page, tmp_path: Path) -> None:
    _, plan = report(*results.hostile())
    plan.write(tmp_path)
    tab.open(tmp_path / "report.html", width=390)
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    tab.picture(PICTURES / "hostile" / "narrow.png")


def test_ten_thousand_layers_are_shown_in_seconds(tab: Page, tmp_path: Path) -> None:
    result, profile = results.deep(10_000)
    began = time.perf_counter()
    _, plan = report(result, profile)
    plan.write(tmp_path)
    tab.open(tmp_path / "report.html")
    took = time.perf_counter() - began
    assert took < RENDER_SECONDS
    assert (tmp_path / "report.html").stat().st_size < MOST_BYTES
    rows = tab.run("document.querySelectorAll('#table-layers tbody tr').length")
    assert rows == 400
    assert "all 10,000 are in report/layers.csv" in tab.run("document.body.textContent")
    assert len((tmp_path / "report" / "layers.csv").read_text().splitlines()) == 10_001
    assert tab.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_comparison_can_be_read_and_sorted(dark: bool, tab: Page, tmp_path: Path) -> None:
    file = tmp_path / "compare.html"
    file.write_text(comparison(14), encoding="utf-8")
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
    _, plan = report(*results.hostile())
    plan.write(tmp_path)
    tab.open(tmp_path / "report.html")
    shown = tab.run("document.body.textContent")
    assert SCRIPT[:30] in shown and "not a number" in shown
    assert "粒子-🚀" in shown
    assert "\x1b" not in plan.files["report.html"].decode()


def test_planes_of_an_event_turn_by_keys_and_buttons(tab: Page, tmp_path: Path) -> None:
    scheme = TagScheme("label", ("track", "shower"), None)
    image = np.zeros((50, 40, 3), np.uint8)
    planes = [
        PlanePanels(f"plane {n}", 40, 50, image, image, {"track": n, "shower": 0}, n)
        for n in range(3)
    ]
    figures = {"hits": 1, "occupancy": 0.1, "seconds": 1.0}
    document = {"model": "m", "program": "p", "planes": [{"name": "p", **figures}] * 3}
    file = tmp_path / "event.html"
    file.write_bytes(render_pictures(file, document, planes, scheme)[file])
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
    _, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
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
    made, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
    for figure in made.figures[first:]:
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
    _, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
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

    told = (
        "(() => { const dot = document.querySelector('#figure-accuracy .dot');"
        " dot.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: 5}));"
        " return [document.querySelector('.tip').textContent, dot.textContent]; })()"
    )
    shown, title = tab.run(told)
    assert shown == title and "AUC" in shown
    assert tab.complaints == []


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_pages_fit_every_screen(width: int, tab: Page, tmp_path: Path) -> None:
    _, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
    tab.open(tmp_path / "report.html", width=width)
    assert tab.run("document.documentElement.scrollWidth") == width
    assert tab.complaints == []


def test_downloads_are_what_is_shown(tab: Page, tmp_path: Path) -> None:
    _, plan = report(results.good(), results.profile())
    plan.write(tmp_path)
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
