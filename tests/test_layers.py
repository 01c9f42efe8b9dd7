# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The house's order: a room imports from its own floor and from those below, never from above."""

from __future__ import annotations

import ast
import functools
import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from tests.support.places import ROOT

HEADER = "# SPDX-License-Identifier: Apache-2.0\n# SPDX-FileCopyrightText: The edgeinfer authors\n"
LONGEST_MODULE = 500
OURS = {"edgeinfer", "quantization", "reports"}

# What a room may import beside itself: `docs/how-it-works.md` draws the same table.
NUMBERS = {"base", "graph", "quantization"}
PROGRAMS = {*NUMBERS, "ir"}
MAY_IMPORT: dict[str, set[str]] = {
    "base": set(),
    "quantization": set(),
    "graph": {"base"},
    "readers": NUMBERS,
    "data": NUMBERS,
    "ir": NUMBERS,
    "lartpc": {"base", "data", "quantization"},
    "export": PROGRAMS,
    "evaluate": {*PROGRAMS, "data"},
    "targets": {*PROGRAMS, "data", "event"},
    "event": {"base", "data", "evaluate", "ir", "lartpc", "quantization", "report", "workers"},
    "precision": {*PROGRAMS, "data", "evaluate", "export", "report"},
    "detection": {*PROGRAMS, "data", "evaluate", "report"},
    "zoo": {"base", "data", "detection", "graph", "ir", "lartpc", "readers"},
    "report": {"base", "evaluate", "ir", "quantization"},
    "workers": {"base"},
}
BELOW_RUN = {*MAY_IMPORT} - {"event", "lartpc", "workers"}
MAY_IMPORT["run"] = BELOW_RUN
MAY_IMPORT["sweep"] = {*BELOW_RUN, "run", "workers"}
MAY_IMPORT["serve"] = {*BELOW_RUN, "run"}
MAY_IMPORT["api"] = {*BELOW_RUN, "event", "run", "serve", "workers"}
MAY_IMPORT["library"] = {*MAY_IMPORT["api"], "api", "sweep"}
MAY_IMPORT["cli"] = {*MAY_IMPORT["library"], "library"}
MAY_IMPORT["make"] = {*BELOW_RUN, "lartpc", "run", "api"}  # reports/make
TOP = {"__init__", "__main__", "api"}  # the only modules in edgeinfer/ itself
ONLY_STANDARD_LIBRARY = {"errors", "tools", "plan", "assets", "fenced", "names", "csv_text"}

MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("edgeinfer", "quantization", "reports/make")
    for path in (ROOT / package).rglob("*.py")
)


def module_of(path: Path) -> str:
    """``edgeinfer/ir/__init__.py`` -> ``edgeinfer.ir``."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


NAMES = {module_of(path): path for path in MODULES}


def room_of(module: str) -> str:
    """``edgeinfer.ir.ops`` -> ``ir``; ``quantization.fixed`` -> ``quantization``."""
    parts = module.split(".")
    if parts[0] == "quantization":
        return parts[0]
    return parts[1] if len(parts) > 1 else "__init__"


@functools.cache
def imported(path: Path, *, lazy: bool = True) -> set[str]:
    """Full names of the modules that a module imports, at its top or inside functions."""
    result: set[str] = set()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazy else _at_the_top(tree):
        match node:
            case ast.Import(names=names):
                result.update(alias.name for alias in names)
            case ast.ImportFrom(module=str() as module, level=0, names=names):
                inside = {f"{module}.{alias.name}" for alias in names}
                result |= inside & set(NAMES)
                if not inside <= set(NAMES):
                    result.add(module)
            case ast.ImportFrom():
                result.add("relative import")
    return result


def _at_the_top(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node


def ours(path: Path) -> set[str]:
    """The modules of this project that a module imports."""
    return {name for name in imported(path) if name.split(".")[0] in OURS}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_obey_the_table(path: Path) -> None:
    module = module_of(path)
    room = room_of(module)
    if module in ("edgeinfer", "edgeinfer.__main__", "reports.make"):
        return  # the front door and its bell
    assert room in MAY_IMPORT, f"{module}: say in this test what the room {room!r} may import"
    wrong = {name for name in ours(path) if room_of(name) not in {room, *MAY_IMPORT[room]}}
    assert not wrong, f"{module} (room {room!r}) may not import {', '.join(sorted(wrong))}"
    assert "relative import" not in imported(path), f"{module}: imports are absolute"


def test_boards_and_hls_stand_on_no_design_in_rtl() -> None:
    for name, path in NAMES.items():
        if name.startswith("edgeinfer.targets.boards"):
            above = ("edgeinfer.targets.rtl", "edgeinfer.targets.hls", "edgeinfer.targets.edgetpu")
            assert not [found for found in ours(path) if found.startswith(above)], name
        if name.startswith("edgeinfer.targets.hls"):
            assert not [found for found in ours(path) if "targets.rtl" in found], name


def test_edgeinfer_itself_holds_three_modules() -> None:
    assert {path.stem for path in (ROOT / "edgeinfer").glob("*.py")} == TOP


def packages_of(name: str) -> list[str]:
    """``edgeinfer.ir.engine`` -> ``[edgeinfer, edgeinfer.ir]``: they are imported before it."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def test_no_imports_run_in_a_circle_lazy_ones_included() -> None:
    graph = {name: ours(path) & set(NAMES) - {name} for name, path in NAMES.items()}
    circles = [part for part in strongly_connected(graph) if len(part) > 1]
    assert not circles, circles


def strongly_connected(graph: dict[str, set[str]]) -> list[set[str]]:
    """Tarjan's components: modules that import each other, however far around."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    results: list[set[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            results.append(set(stack[at:]))
            del stack[at:]

    for name in graph:
        if name not in index:
            visit(name)
    return results


def test_every_module_is_reached_by_someone_who_is_no_test() -> None:
    """From the command line, the library, an entry point, or what makes the references."""
    left = {"edgeinfer", "edgeinfer.__main__", "edgeinfer.api", "edgeinfer.cli.app"}
    left |= {name for name in NAMES if name.startswith("reports.make")}
    reached: set[str] = set()
    while left:
        name = left.pop()
        reached.add(name)
        also = ours(NAMES[name]) | named_in_text(NAMES[name]) | set(packages_of(name))
        left |= (also & set(NAMES)) - reached
    assert not set(NAMES) - reached


def named_in_text(path: Path) -> set[str]:
    """Modules that are named in a string, to be imported only when they are needed."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    }
    return {text.partition(":")[0] for text in strings} & set(NAMES)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_says_what_it_means_and_stays_short(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text.startswith(HEADER)
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= LONGEST_MODULE


def outside(path: Path) -> set[str]:
    """Top-level names of other people's libraries that a module imports."""
    names = {name.split(".")[0] for name in imported(path)}
    return names - set(sys.stdlib_module_names) - OURS - {"__future__"}


def test_the_ground_floor_needs_no_library() -> None:
    for room in ONLY_STANDARD_LIBRARY:
        assert outside(Path("edgeinfer/base") / f"{room}.py") == set()


def test_numbers_need_only_numpy() -> None:
    also = {
        "recipe.py": {"tomli_w"},
        "search_thorough.py": {"optuna"},
        "qat.py": {"keras", "qkeras"},
    }
    for path in (ROOT / "quantization").glob("*.py"):
        assert outside(path.relative_to(ROOT)) <= {"numpy"} | also.get(path.name, set()), path.name


def test_every_imported_library_is_declared_and_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {_canonical(_name(line)) for line in project["dependencies"]}
    declared |= {  # an extra's libraries are imported by the part that the extra is for
        _canonical(_name(line))
        for extra, lines in project["optional-dependencies"].items()
        if extra not in ("dev", "docs")
        for line in lines
    }
    owners = metadata.packages_distributions()
    undeclared = {
        f"{path} imports {name}"
        for path in MODULES
        for name in outside(path)
        if not {_canonical(dist) for dist in owners.get(name, [])} & declared
    }
    assert not undeclared
    pinned = {line.split("==")[0] for line in constraints()}
    dev = {_canonical(_name(line)) for line in project["optional-dependencies"]["dev"]}
    assert declared | (dev - {project["name"]}) <= pinned


def constraints() -> list[str]:
    """The lines of constraints.txt."""
    return (ROOT / "constraints.txt").read_text().split()


def test_constraints_are_versions_and_nothing_else() -> None:
    lines = constraints()
    assert len({line.split("==")[0] for line in lines}) == len(lines)
    for line in lines:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.+]*", line), line


def test_pip_takes_every_constraint_on_this_python() -> None:
    """uv installs releases that are closed to this Python by an upper end; pip does not."""
    lines = constraints()
    for each in metadata.distributions():
        requires = each.metadata.get("Requires-Python")
        if requires and f"{_canonical(each.name)}=={each.version}" in lines:
            assert SpecifierSet(requires).contains(platform.python_version()), each.name


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
