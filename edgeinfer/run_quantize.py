# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Choose number formats for a model from data, judge them, and write them down."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgeinfer import evaluate, plan
from edgeinfer.errors import UsageError
from edgeinfer.ir.lower import Lowered
from edgeinfer.load import Loaded, load
from edgeinfer.ptq import PtqSettings
from edgeinfer.ptq import quantize as choose
from edgeinfer.run import Progress, watched
from edgeinfer.run_defaults import drawn_for
from edgeinfer.run_result import recipe_part
from edgeinfer.run_steps import lowered_with, read_recipe, read_samples
from edgeinfer.samples import Samples
from quantization.recipe import Recipe

WRITTEN = {".toml": "a recipe", ".keras": "a QKeras model"}


def quantize_model(
    path: Path,
    settings: PtqSettings,
    *,
    recipe_path: Path | None,
    data: Path | None,
    output: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Formats for every tensor of a model, the given recipe's on top; what was written and how
    well it does, ready for JSON."""
    if output.suffix not in WRITTEN:
        known = " or ".join(f"*{suffix} ({what})" for suffix, what in WRITTEN.items())
        raise UsageError(
            f"{output}: the suffix says what to write, and {output.suffix!r} is not known.",
            hint=f"Name it {known}.",
        )
    with watched(progress, "load"):
        loaded = load(path)
        given = Recipe() if recipe_path is None else read_recipe(recipe_path)
        tried = drawn_for(loaded, given) if data is None else read_samples(data, loaded.graph)
    with watched(progress, "quantize"):
        if output.suffix == ".toml":  # a recipe holds formats, and no weights but the author's
            settings = replace(settings, adapt=False, equalize=False)
        chosen = choose(loaded.graph, tried.inputs, settings)
        unformatted = replace(loaded, graph=chosen.graph, recipe=Recipe())
        lowered = lowered_with(unformatted, chosen.recipe.updated(given), recipe_path)
    with watched(progress, "evaluate"):
        judged = _judged(loaded, lowered, tried)
    with watched(progress, "write"):
        _write(output, unformatted, lowered)
    findings = [f"Ranges were drawn from {tried.origin}.", *loaded.findings, *chosen.findings]
    if loaded.recipe != Recipe():
        findings.append(f"The formats that {path.name} states were replaced.")
    return {
        "model": {
            "name": loaded.graph.name,
            "file": str(path),
            "parameters": loaded.graph.parameters,
            "layers": len(loaded.graph.nodes) - len(loaded.graph.inputs),
        },
        "recipe": recipe_part(lowered.recipe).model_dump(mode="json"),
        "metrics": judged,
        "findings": findings + evaluate.saturation(lowered.program, tried),
        "output": str(output),
    }


def _judged(loaded: Loaded, lowered: Lowered, tried: Samples) -> dict[str, dict[str, Any]]:
    """Scores of the float and of the integer network; the latter's distance from the former."""
    raw = evaluate.raw_inputs(lowered.program, lowered.recipe, tried)
    wanted = evaluate.float_outputs(loaded.graph, tried)
    got = evaluate.quantized_outputs(lowered.program, raw)
    fidelity = evaluate.fidelity(loaded.graph, wanted, got)
    judged: dict[str, dict[str, Any]] = {"float": {}, "quantized": {}}
    if tried.labels:
        judged["float"] = asdict(evaluate.score(loaded.graph, wanted, tried))
        judged["quantized"] = asdict(evaluate.score(loaded.graph, got, tried))
    judged["quantized"] |= {metric.name: metric.value for metric in fidelity}
    return judged


def _write(output: Path, loaded: Loaded, lowered: Lowered) -> None:
    if output.suffix == ".toml":
        plan.write_file(output, lowered.recipe.to_toml())
        return
    from edgeinfer.export import qkeras as export_qkeras

    with plan.staged(output) as temporary:
        export_qkeras.write(loaded.graph, lowered.recipe, temporary)
