# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Rules of the house that imports do not show: what a match leaves out, where targets are named,
and how small a module may be."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.test_layers import MODULES, NAMES, named_in_text, ours


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def catch_alls(tree: ast.AST) -> Iterator[ast.match_case]:
    """The cases that take whatever is left: `case _` and `case name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.match_case) and node.guard is None:
            pattern = node.pattern
            if isinstance(pattern, ast.MatchAs) and pattern.pattern is None:
                yield node


def ends_in_an_error(case: ast.match_case) -> bool:
    """Whether a case raises, or is one that the type checker proves to be impossible."""
    last = case.body[-1]
    called = last.value if isinstance(last, ast.Expr) else None
    return isinstance(last, ast.Raise) or (
        isinstance(called, ast.Call) and ast.unparse(called.func) == "assert_never"
    )


def cases_without_a_reason(text: str) -> list[int]:
    """Lines of the cases that take whatever is left and do not say why that is right."""
    lines = text.split("\n")
    return [
        case.pattern.lineno
        for case in catch_alls(ast.parse(text))
        if not ends_in_an_error(case)
        and "  # " not in lines[case.pattern.lineno - 1]
        and not lines[case.pattern.lineno].lstrip().startswith("# ")
    ]


def test_a_case_without_a_reason_is_found() -> None:
    head = "match op:\n    case 1:\n        pass\n"
    assert cases_without_a_reason(head + "    case _:\n        pass\n") == [4]
    assert cases_without_a_reason(head + "    case other:\n        print(other)\n") == [4]
    assert not cases_without_a_reason(head + "    case _:  # only 1 is counted\n        pass\n")
    assert not cases_without_a_reason(head + "    case _:\n        # only 1 counts\n        pass\n")
    assert not cases_without_a_reason(head + "    case _:\n        assert_never(op)\n")
    assert not cases_without_a_reason(head + "    case _:\n        raise ValueError(op)\n")


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_case_for_the_rest_is_an_error_or_gives_its_reason(path: Path) -> None:
    assert not cases_without_a_reason(text_of(path)), (
        "end the match in assert_never, or say beside `case _` why it is right for a new op"
    )


TARGETS = {path.parent.name for path in (ROOT / "edgeinfer/targets").glob("*/target.py")}


def docstrings_and_helps(tree: ast.AST) -> Iterator[ast.AST]:
    """Text for people: docstrings, and the help texts of options."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        if isinstance(node, ast.keyword) and node.arg == "help":
            yield from ast.walk(node.value)


def targets_named_in(text: str) -> set[str]:
    """Targets whose name is a whole string of the code."""
    tree = ast.parse(text)
    for_people = {id(node) for node in docstrings_and_helps(tree)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in TARGETS and id(node) not in for_people
    }


def test_a_named_target_is_found() -> None:
    assert sorted(TARGETS) == ["edgetpu", "ethosu", "hls", "rtl", "tflitemicro"]
    assert targets_named_in("if name == 'hls':\n    pass") == {"hls"}
    assert not targets_named_in('"""hls"""\nParameter(help="rtl")\nx = "hls and rtl"')


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_targets_name_a_target(path: Path) -> None:
    if path.is_relative_to("edgeinfer") and not path.is_relative_to("edgeinfer/targets"):
        assert not targets_named_in(text_of(path)), "ask the target instead of its name"


SHORTEST_MODULE = 60
ALONE = {  # modules that are shorter and have one importer, and why they stay
    "edgeinfer.data.formats.lariat_h5": "every experiment's format has a module",
    "edgeinfer.export.onnx_integer": "every format of ONNX has a module, imported when asked for",
    "edgeinfer.export.qkeras_functions": "`qkeras_layers` is long enough without it",
    "edgeinfer.precision.qat.sparsity": "which weights go is decided without Keras",
    "edgeinfer.run.toggles": "which bits change is counted apart from what is estimated of them",
    "edgeinfer.serve.triton_model": "Triton's own Python imports it, and nothing beside it",
    "edgeinfer.targets.edgetpu.tflite.flex": "FlexBuffers are a file format of their own",
    "edgeinfer.targets.hls.project.libero": "what is mended of hls4ml, apart from what is added",
    "edgeinfer.zoo.losses": "imports Keras, which only training may need",
    "reports.make.guard": "how easy a task is, judged apart from the pages that say so",
}


def importers() -> dict[str, set[str]]:
    """The modules that import each module; one that is named in a string is a module's as well."""
    result: defaultdict[str, set[str]] = defaultdict(set)
    for name, path in NAMES.items():
        for other in (ours(path) | named_in_text(path)) - {name}:
            result[other].add(name)
    return result


def test_a_short_module_has_two_importers() -> None:
    by = importers()
    called_by_name = set().union(*(named_in_text(path) for path in NAMES.values()))
    alone = {
        name
        for name, path in NAMES.items()
        if path.name not in ("__init__.py", "__main__.py")
        and text_of(path).count("\n") < SHORTEST_MODULE
        and len(by[name]) < 2
        and name not in called_by_name
    }
    assert alone == set(ALONE), "merge it into the module that imports it, or give a reason here"
