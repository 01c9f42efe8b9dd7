# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From what the steps of a run found to ``result.json``."""

from __future__ import annotations

from typing import Any

from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.version import __version__
from edgeinfer.evaluate.judge import linear_ops
from edgeinfer.ir.float32 import float32_report
from edgeinfer.ir.program import Program
from edgeinfer.report.result import Inexact, ProgramPart, RecipePart, Result, Tensor
from edgeinfer.run.folder import RunFolder
from quantization.recipe import Recipe

PROGRAM, PROGRAM_TEXT, RECIPE, RESULT = "program.npz", "program.txt", "recipe.toml", "result.json"


def assemble_result(folder: RunFolder) -> Result:
    """The result that the records of a folder's steps add up to."""
    records = folder.records
    load, lower = records["load"].facts, records["lower"].facts
    trials = [record.facts for name, record in records.items() if name not in ("load", "lower")]
    facts_of_steps = [load, lower, *trials]
    content: dict[str, Any] = {
        "edgeinfer": __version__,
        "model": load["model"],
        "recipe": lower["recipe"],
        "program": lower["program"],
        "findings": [finding for facts in facts_of_steps for finding in facts.get("findings", ())],
        "metrics": [metric for facts in facts_of_steps for metric in facts.get("metrics", ())],
        "agreement": [entry for facts in trials for entry in facts.get("agreement", ())],
        "artefacts": [
            {"path": path, "sha256": digest}
            for record in records.values()
            for path, digest in sorted(record.files.items())
        ],
        "steps": [
            {"name": record.name, "seconds": record.seconds, "cached": record.cached}
            for record in records.values()
        ],
    }
    content["targets"] = {
        facts["target"]: {
            "title": facts["title"],
            "stage": facts["stage"],
            "stage_title": facts["stage_title"],
            "exact": facts["exact"],
            "pipelined": facts["pipelined"],
            "project": facts.get("project"),
            "settings": facts["settings"],
            "options": tuple(facts.get("options", ())),  # which older folders do not hold
            **facts["place"],
        }
        for record in records.values()
        if "place" in (facts := record.facts)
    }
    devices = {part["device"] for part in content["targets"].values() if part.get("device")}
    content["device"] = ", ".join(sorted(devices)) or None
    if "evaluate" in records:
        evaluated = records["evaluate"].facts
        content |= {"task": evaluated["task"], "data": _data_part(evaluated.get("data"))}
    content["accuracy"] = {
        stage: scores
        for facts in facts_of_steps
        for stage, scores in facts.get("accuracy", {}).items()
    }
    return Result.model_validate(content)


def _data_part(facts: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without the place, which is this machine's."""
    return facts and {name: value for name, value in facts.items() if name != "path"}


def recipe_part(recipe: Recipe) -> RecipePart:
    """A recipe as the result shows it."""
    return RecipePart(
        digest=recipe.digest,
        activations={name: str(quantizer) for name, quantizer in recipe.activations},
        weights={
            name: [str(q) for q in fmt.quantizers] if fmt.per_channel else str(fmt)
            for name, fmt in recipe.weights
        },
    )


def program_part(program: Program) -> ProgramPart:
    """A Program as the result shows it."""
    return ProgramPart(
        digest=program.digest,
        ops=len(program.ops),
        parameters=program.parameters,
        macs=program.macs,
        inputs=tuple(
            Tensor(name=op.name, shape=op.shape, type=str(op.type)) for op in program.inputs
        ),
        outputs=tuple(
            Tensor(
                name=output.name,
                shape=program.shapes[output.value],
                type=str(program.type(output.value)),
            )
            for output in program.outputs
        ),
        float32_inexact=tuple(
            Inexact(
                value=entry.value,
                bound=entry.bound_value,
                bound_steps=entry.bound_steps,
                reason=entry.reason,
            )
            for entry in float32_report(program)
            if not entry.exact
        ),
    )


def float32_finding(part: ProgramPart) -> list[str]:
    """Where QKeras, computing in float32, leaves the integers it stands for."""
    if not part.float32_inexact:
        return []
    first = part.float32_inexact[0]
    more = len(part.float32_inexact) - 1
    rest = f" {more} values after it inherit that, see program.float32_inexact." if more else ""
    return [
        f"QKeras and other float32 frameworks are themselves inexact at {first.value}, by at most "
        f"{first.bound:.2g} ({first.reason}).{rest}"
    ]


def program_metrics(program: Program) -> list[Metric]:
    """The widths that are proved to suffice, layer by layer."""
    return [
        Metric("accumulator_bits", op.type.bits, "bit", Origin.PROVED, layer=op.name)
        for op in linear_ops(program)
    ]
