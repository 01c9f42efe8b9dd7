# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The house's order: a room imports from its own floor and from those below, never from above."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEADER = "# SPDX-License-Identifier: Apache-2.0\n# SPDX-FileCopyrightText: The edgeinfer authors\n"
LONGEST_MODULE = 500

BELOW = ("quantization",)
FLOORS: tuple[tuple[str, ...], ...] = (
    ("__init__", "errors", "tools", "plan", "assets", "metrics"),
    (
        "graph",
        "load",
        "functions",
        "fold",
        "complete",
        "onnx_builder",
        "float_functions",
        "model_files",
        "samples",
    ),
    ("ir", "float_engine", "ptq", "vendor"),
    (
        "targets",
        "cosim",
        "devices",
        "costs",
        "footprint",
        "export",
    ),
    (
        "result",
        "profile",
        "report",
        "evaluate",
        "event",
    ),
    ("run", "sweep", "search", "qat", "doctor"),
    ("api", "cli", "__main__"),
)
SIDE_ROOMS = {  # beside the floors: what they may import, and the lowest floor that may import them
    "lartpc": ({"errors", "plan", "metrics", "tools"}, 4),
    "zoo": ({"lartpc", *FLOORS[0], *FLOORS[1], *FLOORS[2]}, 5),
}
ONLY_STANDARD_LIBRARY = {"errors", "tools", "plan", "assets"}

MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("edgeinfer", "quantization")
    for path in (ROOT / package).rglob("*.py")
)


def room_of(module: str) -> str:
    """``edgeinfer.ir.ops`` -> ``ir``; ``quantization.fixed`` -> ``quantization``."""
    parts = module.split(".")
    if parts[0] != "edgeinfer":
        return parts[0]
    return parts[1] if len(parts) > 1 else "__init__"


def floor_of(room: str) -> int | None:
    """The floor's number; None for side rooms. ``run_steps`` belongs to ``run``."""
    exact = next((i for i, rooms in enumerate(FLOORS) if room in rooms), None)
    if exact is None and "_" in room.strip("_"):
        return floor_of(room.rpartition("_")[0])
    return exact


def imported(path: Path) -> set[str]:
    """Full names of the modules that a module imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found.update(alias.name for alias in names)
            case ast.ImportFrom(module="edgeinfer", names=names):
                found.update(_inside(alias.name) for alias in names)
            case ast.ImportFrom(module=str() as module, level=0):
                found.add(module)
            case ast.ImportFrom():
                found.add("relative import")
    return found


def _inside(name: str) -> str:
    is_module = (ROOT / "edgeinfer" / name).is_dir() or (ROOT / "edgeinfer" / f"{name}.py").exists()
    return f"edgeinfer.{name}" if is_module else "edgeinfer"


def allowed(room: str, other: str) -> bool:
    """Whether one room may import another."""
    if room == other or other in BELOW:
        return True
    if room in SIDE_ROOMS:
        return other in SIDE_ROOMS[room][0]
    floor = floor_of(room)
    assert floor is not None
    if other in SIDE_ROOMS:
        return floor >= SIDE_ROOMS[other][1]
    below = floor_of(other)
    return below is not None and below <= floor


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_obey_the_table(path: Path) -> None:
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    room = room_of(module)
    ours = {name for name in imported(path) if name.split(".")[0] in ("edgeinfer", *BELOW)}
    if room == "quantization":
        assert not {name for name in ours if name.startswith("edgeinfer")}
        return
    known = room in SIDE_ROOMS or floor_of(room) is not None
    assert known, f"{module}: say in this test which floor the room {room!r} is on"
    wrong = {name for name in ours if not allowed(room, room_of(name))}
    assert not wrong, f"{module} (room {room!r}) may not import {', '.join(sorted(wrong))}"
    assert "relative import" not in imported(path), f"{module}: imports are absolute"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_says_what_it_means_and_stays_short(path: Path) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert text.startswith(HEADER)
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= LONGEST_MODULE


def outside(path: Path) -> set[str]:
    """Top-level names of other people's libraries that a module imports."""
    names = {name.split(".")[0] for name in imported(path)}
    return names - set(sys.stdlib_module_names) - {"edgeinfer", "quantization", "__future__"}


def test_the_ground_floor_needs_no_library() -> None:
    for room in ONLY_STANDARD_LIBRARY:
        assert outside(Path("edgeinfer") / f"{room}.py") == set()


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
        if extra != "dev"
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
    assert declared | dev <= pinned


def constraints() -> list[str]:
    """The lines of constraints.txt."""
    return (ROOT / "constraints.txt").read_text().split()


def test_constraints_are_versions_and_nothing_else() -> None:
    lines = constraints()
    assert len({line.split("==")[0] for line in lines}) == len(lines)
    for line in lines:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*==[0-9][0-9a-z.+]*", line), line


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
