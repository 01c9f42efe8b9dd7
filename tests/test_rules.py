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
