# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How marks look outside a page: the rules of figure.css, with the light theme's colours in place
of variables, which few programs but browsers understand."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgeinfer.base import assets

STYLE = "reports/assets/figure.css"
INHERITED = {"fill": "#000", "stroke": "none", "stroke-width": "1"}


@dataclass(frozen=True, slots=True)
class StyleRule:
    """What a compound selector such as `text.muted` gives."""

    element: str  # empty: any
    classes: frozenset[str]
    weight: tuple[int, int, int]  # classes, elements, place in the file
    declarations: Mapping[str, str]


@functools.cache
def style_rules() -> tuple[StyleRule, ...]:
    """The rules of figure.css, the weakest first."""
    text = re.sub(r"/\*.*?\*/", "", assets.text(STYLE), flags=re.DOTALL)
    text = re.sub(r"@media[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", text)
    blocks = re.findall(r"([^{}]+)\{([^{}]*)\}", text)
    colours: dict[str, str] = {}
    rules = []
    for place, (selectors, body) in enumerate(blocks):
        declarations = {
            name.strip(): value.strip()
            for name, _, value in (part.partition(":") for part in body.split(";"))
            if value.strip()
        }
        if selectors.strip() == ":root":
            colours = declarations
        if ":root" in selectors:
            continue
        resolved = {
            name: _without_variables(value, colours) for name, value in declarations.items()
        }
        for selector in selectors.split(","):
            rules.append(_rule(selector.strip(), resolved, place))
    return tuple(sorted(rules, key=lambda rule: rule.weight))


def _rule(selector: str, declarations: Mapping[str, str], place: int) -> StyleRule:
    last = selector.split()[-1]
    element, *classes = last.split(".")
    counted = selector.count(".")
    elements = sum(not part.startswith(".") for part in selector.split())
    return StyleRule(element, frozenset(classes), (counted, elements, place), declarations)


def _without_variables(value: str, colours: Mapping[str, str]) -> str:
    return re.sub(r"var\((--[\w-]+)\)", lambda match: colours[match[1]], value)


@functools.cache
def look_of(kind: str, element: str) -> Mapping[str, str]:
    """Every property of a mark: its kind as figure.css has it, drawn as an SVG element."""
    classes = frozenset(kind.split())
    look = dict(INHERITED)
    for rule in style_rules():
        if rule.element in ("", element) and rule.classes <= classes:
            look |= rule.declarations
    return {name: value for name, value in look.items() if name != "font"}


def style_attribute(kind: str, element: str) -> str:
    """The same as the attribute `style` of an SVG element."""
    return "; ".join(f"{name}: {value}" for name, value in look_of(kind, element).items())
