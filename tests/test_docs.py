# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Every command that the documents show exists and runs; every link leads somewhere."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from cyclopts import App, MissingArgumentError

import edgeinfer
from edgeinfer.cli.app import build_app, main
from tests.support.documents import (
    PAGES,
    commands,
    inline_commands,
    make_targets,
    python_blocks,
    shown_commands,
)
from tests.support.places import ROOT

LONG = (
    "CONTRIBUTING.md",
    "detection.md",
    "event.md",
    "tutorial-physicist.md",
    "studies.md",
    "rtl.md",
    "hls.md",
)
IMPORTS_ONLY = {"extending.md", "rtl.md", "unrolled.md"}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a checkout, with the small model that the pages begin with."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "docs").symlink_to(ROOT / "docs")
    script = ROOT / "docs" / "examples" / "small_model.py"
    subprocess.run(
        [sys.executable, script, "runs/demo"], cwd=folder, check=True, capture_output=True
    )
    return folder


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow) if page.name in LONG else page
        for page in PAGES
        if commands(page)
    ],
    ids=lambda page: page.name,
)
def test_commands_run(
    page: Path, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(workplace, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    for command in commands(page):
        match shlex.split(command):
            case ["make", *wanted]:
                assert set(wanted) <= make_targets(), command
            case ["python", script, *_]:
                assert script == "docs/examples/small_model.py" and Path(script).is_file(), command
            case ["edgeinfer", *tokens]:
                assert main(tokens) == 0, command
            case _:
                pytest.fail(f"{page.name}: this test cannot run {command!r}")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if shown_commands(page)], ids=lambda p: p.name
)
def test_commands_in_other_blocks_are_spelled_right(page: Path) -> None:
    """tests/e2e/test_shown_commands.py runs them."""
    app = build_app()
    for command in shown_commands(page):
        _spelled_right(app, command)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if inline_commands(page) and page.name != "CHANGELOG.md"],
    ids=lambda p: p.name,
)
def test_commands_in_sentences_are_spelled_right(page: Path) -> None:
    """As far as they go: a sentence may leave out what a verb needs."""
    app = build_app()
    for command in inline_commands(page):
        if " VERB" not in command:
            with contextlib.suppress(MissingArgumentError):
                _spelled_right(app, command)


def _spelled_right(app: App, command: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    match shlex.split(command, comments=True):
        case ["edgeinfer", *tokens]:
            app.parse_args(tokens, exit_on_error=False, print_error=False)
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), command
        case ["make", target] if target.islower():
            assert target in make_targets(), command
        case ["pip", "install", what] if "[" in what:
            assert what.partition("[")[2].rstrip("]") in project["optional-dependencies"], command
        case [tool, *_]:
            assert tool not in ("edgeinfer", "tests"), command


@pytest.mark.parametrize(
    "page", [page for page in PAGES if python_blocks(page)], ids=lambda p: p.name
)
def test_python_is_spelled_right(page: Path) -> None:
    for block in python_blocks(page):
        code = compile(block, page.name, "exec")
        if page.name in IMPORTS_ONLY:
            exec(code, {})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/api.md"])
def test_the_library_does_what_the_pages_show(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec("\n".join(python_blocks(ROOT / name)), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_opens_with_the_two_commands() -> None:
    assert commands(ROOT / "README.md")[:2] == ["make demo", "make test"]


def test_exit_codes_are_documented_as_they_are() -> None:
    from edgeinfer.base import errors
    from edgeinfer.cli import app

    family = [errors.GateError, errors.UsageError, errors.ToolMissingError]
    family += [errors.ToolFailedError, errors.DisagreementError]
    ended = app.SIGNALLED + signal.SIGTERM
    codes = {0, app.BUG, app.INTERRUPTED, ended, *(kind.exit_code for kind in family)}
    shown = re.findall(r"^\| (\d+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {int(code) for code in shown} == codes


def test_the_library_page_names_every_public_function_and_class() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for name in edgeinfer.__all__:
        parameters = inspect.signature(getattr(edgeinfer, name)).parameters
        assert f"`{name}({', '.join(map(_shown, parameters.values()))})`".replace(
            "(*, ", "("
        ) in page.replace(", *, ", ", "), name
    for name in (
        "Model",
        "Quantized",
        "Run",
        "Comparison",
        "LibraryAnswer",
        "StudyResult",
        "WidthSearch",
    ):
        assert f"`{name}`" in page


def _shown(parameter: inspect.Parameter) -> str:
    star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    if parameter.default is parameter.empty:
        return f"{star}{parameter.name}"
    return f"{parameter.name}={repr(parameter.default).replace(chr(39), chr(34))}"


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == edgeinfer.__version__ and cited["license"] == "Apache-2.0"


def test_the_site_has_every_page() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    listed = {page for part in site["nav"] for page in ([part] if isinstance(part, str) else
              next(iter(part.values())))}  # fmt: skip
    assert listed == {path.name for path in (ROOT / "docs").glob("*.md")}
