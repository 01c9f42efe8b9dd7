# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What ``search`` says of its front: of recipes, or of trainings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeinfer.cli.verbs import figures

FRONT_SHOWN = 12


def search_lines(document: dict[str, Any]) -> list[str]:
    """Recipes, from the cheapest to the best."""
    cost, score = document["cost"], document["float_score"]
    lines = [
        f"{document['model']}: {document['objective']} {score:.6g} as floats, "
        f"{len(document['front']) + len(document['others'])} recipes tried"
    ]
    for row in document["uniform"]:
        lines.append(
            f"{row['bits']} bits    loses {score - row['score']:.5f} at {row['costs'][cost]:,.0f}"
        )
    front = document["front"]
    step = max(1, len(front) // FRONT_SHOWN)
    for row in front[::step]:
        mark = "*" if row["recipe"] == document["chosen"] else " "
        lines.append(
            f"front   {mark} loses {score - row['score']:.5f} at {row['costs'][cost]:,.0f}: "
            f"{row['recipe']}"
        )
    if document["chosen"] is None:
        lines.append("chosen    none: nothing within the budget was found")
    else:
        lines.append(f"chosen    models/{document['chosen']}.keras")
    return [*lines, *closing_lines(document, "/front.json, front.svg, recipes")]


def closing_lines(document: dict[str, Any], files: str) -> list[str]:
    """What all that make a front say in the end."""
    return [
        f"judged    on unseen samples: {figures(document['judged'])}",
        *(f"finding   {finding}" for finding in document["findings"]),
        f"written   {document['output']}{files}",
    ]


def training_lines(document: dict[str, Any]) -> list[str]:
    """Trainings, and the designs that were synthesised."""
    score, cost = document["objective"], document["cost"]
    count = len(document["front"]) + len(document["others"])
    lines = [f"{document['model']}: {score} {document['float_score']:.6g} as floats, {count} tried"]
    for row in document["front"][:FRONT_SHOWN]:
        mark = "*" if row["name"] == document["chosen"] else " "
        lines.append(
            f"front   {mark} {score} {row['score']:.6g} at {cost} {row['costs'][cost]:,.0f}: "
            f"{_how(row['point'])}: {row['name']}"
        )
    for row in document["synthesised"]:
        made = ", ".join(f"{name} {value:,.6g}" for name, value in row["figures"].items())
        exact = "exact" if row["exact"] else "NOT exact"
        lines.append(f"synth     {row['name']} {exact}: {made}")
    lines.append(f"chosen    models/{document['chosen']}.keras")
    return [*lines, *closing_lines(document, "/front.json, front.svg, models")]


def _how(point: Mapping[str, Any]) -> str:
    """A training in words."""
    if point["way"] == "learned":
        return f"learned widths, cost {point['cost_weight']:g}"
    return (
        f"{point['weight_bits']}-bit weights, {point['tensor_bits']}-bit tensors, "
        f"{point['sparsity']:.0%} of weights zero"
    )
