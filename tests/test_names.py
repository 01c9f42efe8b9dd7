# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Names: verbs for functions, nouns for classes, and one meaning for each class name."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict

from tests.support.places import ROOT

# Participles whose form does not give them away.
IRREGULAR = frozenset(
    [
        "asked",
        "begun",
        "bound",
        "broken",
        "brought",
        "built",
        "chosen",
        "dealt",
        "done",
        "drawn",
        "fed",
        "found",
        "given",
        "gone",
        "grown",
        "held",
        "kept",
        "known",
        "laid",
        "led",
        "left",
        "lent",
        "lost",
        "made",
        "meant",
        "met",
        "paid",
        "proven",
        "ran",
        "read_back",
        "reproved",
        "rewritten",
        "said",
        "sat",
        "seen",
        "sent",
        "shown",
        "shrunk",
        "sold",
        "sought",
        "spent",
        "spoken",
        "spun",
        "stuck",
        "swept",
        "taken",
        "taught",
        "thought",
        "told",
        "torn",
        "understood",
        "won",
        "worn",
        "woven",
        "written",
        "overridden",
    ]
)
PARTICLES = frozenset(
    [
        "abroad",
        "after",
        "again",
        "along",
        "apart",
        "around",
        "as",
        "asked",
        "at",
        "away",
        "back",
        "before",
        "beside",
        "by",
        "down",
        "first",
        "for",
        "from",
        "in",
        "into",
        "last",
        "of",
        "on",
        "out",
        "over",
        "straight",
        "to",
        "together",
        "told",
        "up",
        "with",
    ]
)
NO_PARTICIPLES = frozenset(["embed", "feed", "need", "seed", "shed", "speed", "spread"])
# Names that users of the library know, or that stand in the schema of a file.
KEPT = frozenset(
    {
        ("edgeinfer.api", "Quantized"),
        ("edgeinfer.evaluate.profile.data", "Clipped"),
        ("edgeinfer.evaluate.profile.data", "Lost"),
        ("quantization.fixed", "Fixed"),
        ("quantization.search", "LimitReached"),
    }
)

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@functools.cache
def definitions() -> list[tuple[str, Definition]]:
    """Every function and class at the top of a module of the package."""
    results: list[tuple[str, Definition]] = []
    for room in ("edgeinfer", "quantization", "reports/make"):
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            module = ".".join(parts).removesuffix(".__init__")
            tree = ast.parse(path.read_text(encoding="utf-8"))
            results += [(module, node) for node in tree.body if isinstance(node, Definition)]
    return results


def is_participle(word: str) -> bool:
    """Whether a word is a participle or a past tense."""
    return word in IRREGULAR or (word.endswith("ed") and word not in NO_PARTICIPLES)


def is_bare(words: list[str]) -> bool:
    """Whether a name says only what has been done, not what it is or does."""
    return is_participle(words[0]) and all(
        word in PARTICLES or is_participle(word) for word in words[1:]
    )


def words_of(node: Definition) -> list[str]:
    """A function's name by its words; of a class's name the last word alone, which is its noun."""
    name = node.name.strip("_")
    if not isinstance(node, ast.ClassDef):
        return name.split("_")
    start = max((at for at, letter in enumerate(name) if letter.isupper()), default=0)
    return [name[start:].lower()]


def test_no_class_name_stands_for_two_things() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for module, node in definitions():
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            places[node.name].append(module)
    twice = [f"{name}: {', '.join(some)}" for name, some in sorted(places.items()) if some[1:]]
    assert not twice, "\n".join(["These names stand for several classes:", *twice])


def test_functions_are_verbs_and_classes_are_nouns() -> None:
    bare = [
        f"{module}.{node.name} (line {node.lineno})"
        for module, node in definitions()
        if (module, node.name) not in KEPT and is_bare(words_of(node))
    ]
    assert not bare, "\n".join(["These names are bare participles:", *bare])


def test_every_exception_is_needed() -> None:
    there = {(module, node.name) for module, node in definitions()}
    assert there >= KEPT, f"gone, so take them off the list: {sorted(KEPT - there)}"
