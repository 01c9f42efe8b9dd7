# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What ``search --strategy training`` is asked for, and what it says."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeinfer.cli.terminal import answer, import_keras_quietly, progress
from edgeinfer.cli.verbs import axis_of_word, figures

if TYPE_CHECKING:
    from edgeinfer.precision.qat.settings import QatSettings
    from edgeinfer.targets.registry import ChosenTarget

FRONT_SHOWN = 12


def answer_training_search(
    model: Path,
    folder: Path,
    chosen: ChosenTarget,
    training: QatSettings,
    *,
    bits: int,
    cost: str | None,
    tolerance: float,
    trials: int | None,
    minutes: float | None,
    synth: int,
    data: Path | None,
    validation: Path | None,
    batch_axis: str,
    as_json: bool,
) -> None:
    """Search as asked, and say what was found."""
    from edgeinfer.run.training_search import (
        COST,
        MOST_TRIALS,
        TrainingSearchOrder,
        search_trainings,
    )
    from edgeinfer.zoo import ENTRIES, resolve

    order = TrainingSearchOrder(
        model=resolve(model),
        folder=folder,
        chosen=chosen,
        training=training,
        uniform=bits,
        cost=COST if cost is None else cost,
        tolerance=tolerance,
        trials=MOST_TRIALS if trials is None else trials,
        minutes=minutes,
        synthesised=synth,
        entry=ENTRIES.get(str(model)),
        data=data,
        validation=validation,
        batch_axis=axis_of_word(batch_axis),
    )
    import_keras_quietly("A search over trainings")
    with progress() as watcher:
        document = search_trainings(order, watcher)
    answer(json_text.dumps(document, indent=2), _training_lines(document), as_json=as_json)


def _training_lines(document: dict[str, Any]) -> list[str]:
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
    lines.append(f"judged    on unseen samples: {figures(document['judged'])}")
    lines += [f"finding   {finding}" for finding in document["findings"]]
    return [*lines, f"written   {document['output']}/front.json, front.svg, models"]


def _how(point: Mapping[str, Any]) -> str:
    """A training in words."""
    if point["way"] == "learned":
        return f"learned widths, cost {point['cost_weight']:g}"
    return (
        f"{point['weight_bits']}-bit weights, {point['tensor_bits']}-bit tensors, "
        f"{point['sparsity']:.0%} of weights zero"
    )
