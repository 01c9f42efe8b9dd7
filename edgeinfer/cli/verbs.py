# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs, thin: options to library calls, results to words."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from edgeinfer.cli.options import (
    BatchAxis,
    BitsOf,
    Data,
    Json,
    ModelFile,
    ModeOptions,
    RecipeFile,
    Run,
    Verbose,
    axis_of_word,
    read_widths,
)
from edgeinfer.cli.targets import (
    GENERAL,
    TargetOptions,
    ToolOptions,
    choose_targets,
    describe_targets,
    options_of_targets,
)
from edgeinfer.cli.terminal import Line, answer, progress
from edgeinfer.targets.options import COMPILE

if TYPE_CHECKING:
    from edgeinfer.base.metrics import Metric
    from edgeinfer.ir.agreement import Agreement
    from edgeinfer.report.result import Result

    CompileOptions = TargetOptions
else:
    CompileOptions = options_of_targets(COMPILE)


def doctor(*, json: Json = False) -> None:
    """What this machine can do, what is missing, and how to get it."""
    from edgeinfer.base.errors import ToolMissingError
    from edgeinfer.base.health import Severity
    from edgeinfer.library.health import format_checks, run_checks

    checks = run_checks()
    document = {"checks": [check.as_dict() for check in checks]}
    answer(document, format_checks(checks), as_json=json)
    missing = [check.name for check in checks if check.state is Severity.PROBLEM]
    if missing:
        raise ToolMissingError(f"There are problems with: {', '.join(missing)}.", hint="See above.")


def compile_(
    model: ModelFile,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="the run folder; runs/ and the model's name"),
    ] = None,
    target: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            group=GENERAL,
            help=f"{describe_targets()}; none: the Program only; may be repeated",
        ),
    ] = None,
    bits: Annotated[
        int | None, Parameter(help="width for a model that states no formats; 16 by default")
    ] = None,
    bits_of: BitsOf = None,
    modes: ModeOptions = ModeOptions(),  # noqa: B008  # immutable
    data: Data = None,
    options: Annotated[CompileOptions, Parameter(name="*")] = CompileOptions(),  # noqa: B008
    recipe: RecipeFile = None,
    batch_axis: BatchAxis = "0",
    tools: ToolOptions = ToolOptions(),  # noqa: B008  # immutable
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Bring a model to its integer Program and to targets, and try it; what is as before is not
    done again."""
    from edgeinfer.readers.files import files_of
    from edgeinfer.run.folder import open_run
    from edgeinfer.run.lower import asked_formats
    from edgeinfer.run.samples import DataFile, Simulation
    from edgeinfer.run.steps import compile_model
    from edgeinfer.zoo import is_name, resolve

    targets = choose_targets(target or [], options)
    order = tools.order(targets, options)
    axis = axis_of_word(batch_axis)
    formats = asked_formats(targets, bits, read_widths(bits_of), modes.rounding, modes.overflow)
    path = resolve(model)
    files_of(path)  # what is no model at all leaves no run folder behind
    output = Path("runs", model.stem) if output is None else output
    simulation = Simulation(str(model)) if is_name(model) else None
    source = DataFile(data) if data is not None else simulation
    with progress() as watcher, open_run(output, watcher, new=True) as folder:
        result = compile_model(
            folder, path, recipe_path=recipe, data=source, formats=formats,
            targets=targets, tools=order, batch_axis=axis,
        )  # fmt: skip
    conclude(result, output, as_json=json, verbose=verbose)


def simulate(
    run: Run,
    /,
    *,
    stage: Annotated[
        str,
        Parameter(
            help="engine (against the interpreter), interpret (the same, and observed widths), "
            "csim, rtl, tflite (a target's project against the engine); several with commas"
        ),
    ] = "engine",
    samples: Annotated[
        int | None,
        Parameter(help="how many samples to try; by default what takes seconds, at most 64"),
    ] = None,
    data: Data = None,
    edited: Annotated[
        bool,
        Parameter(
            negative="", help="also run code in the run folder that someone has changed since"
        ),
    ] = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Try a run's Program again; exit code 5 if two stages do not agree bit for bit."""
    from edgeinfer.run.folder import open_run
    from edgeinfer.run.steps import simulate_run

    stages = _stages(stage)
    with progress() as watcher, open_run(run, watcher, new=False) as folder:
        result = simulate_run(folder, data=data, count=samples, stages=stages, edited=edited)
    conclude(result, run, as_json=json, verbose=verbose)


def explain(run: Run, /, *, json: Json = False) -> None:
    """Show the first value in which two stages of a run differ, and why, or that none differs."""
    from edgeinfer.run.projects import EDITED
    from edgeinfer.run.stored import stored_result

    result = stored_result(run)
    findings = [entry for entry in result.findings if EDITED in entry]
    document = {
        "agreement": result.model_dump(mode="json")["agreement"],
        "findings": findings,
    }
    lines = [line for entry in result.agreement for line in _explanation_lines(entry)]
    lines += [f"finding   {finding}" for finding in findings]
    answer(document, lines, as_json=json)


def _explanation_lines(entry: Agreement) -> list[str]:
    from edgeinfer.report.words import count_noun

    first, second = entry.pair
    if entry.bit_identical:
        samples = count_noun(entry.samples, "sample")
        return [f"{first} = {second}: every output bit-identical in {samples}"]
    lines = [
        f"{first} and {second} differ: {entry.decision_flips} of {entry.samples} samples decide "
        f"otherwise, outputs differ by at most {entry.max_abs_diff:g}"
    ]
    parted = entry.first_divergence
    if parted is None:
        return [*lines, "no value inside tells where; outputs alone differ"]
    place = ", ".join(map(str, parted.index))
    lines += [
        f"first     %{parted.value} ({parted.op}), sample {parted.sample}, element [{place}]",
        f"{first:<9} {parted.expected} as {parted.type}",
        f"{second:<9} {parted.got} as {parted.got_type or parted.type}",
    ]
    return [*lines, f"cause     {parted.cause}"] if parted.cause else lines


def _stages(text: str) -> tuple[str, ...]:
    from edgeinfer.base.errors import UsageError, did_you_mean
    from edgeinfer.evaluate.judge import Stage
    from edgeinfer.targets.registry import stages

    names = [part.strip() for part in text.split(",")]
    stage_names = list(dict.fromkeys([*map(str, Stage), *stages().values()]))
    for name in names:
        if name not in stage_names:
            raise UsageError(
                f"There is no stage {name!r}.",
                hint=did_you_mean(name, stage_names) or f"The stages are {', '.join(stage_names)}.",
            )
    return tuple(stage for stage in stage_names if stage in names)


def conclude(result: Result, folder: Path, *, as_json: bool, verbose: bool) -> None:
    """Show a result; an error where stages that must agree do not."""
    from edgeinfer.base.errors import DisagreementError
    from edgeinfer.report.verdict import verdict_on

    program = result.program
    head = (
        f"{result.model.name}: {program.ops} ops, {program.parameters:,} parameters, "
        f"{program.macs:,} multiply-accumulates a sample"
    )
    details: list[Line] = [*_details(result)] if verbose or as_json else [*_brief(result, folder)]
    lines = [head, *details, *verdict_on(result).closing, f"written   {folder / 'result.json'}"]
    answer(result.to_json(), lines, as_json=as_json)
    for entry in result.disagreements:
        raise DisagreementError(
            f"{folder}: {' and '.join(entry.pair)} do not agree; the first difference is at "
            f"{entry.first_divergence or 'an output'}.",
            hint=f"See: edgeinfer explain {folder}",
        )


def _brief(result: Result, folder: Path) -> list[str]:
    """What is not as it must be, and where the rest is told."""
    lines = [_agreement_text(entry, must=True) for entry in result.disagreements]
    if result.findings:
        count = len(result.findings)
        lines.append(
            f"findings  {count}: see them with -v, or edgeinfer report {shlex.quote(str(folder))}"
        )
    return lines


def _details(result: Result) -> list[str]:
    program = result.program
    lines = [
        f"program   {program.digest[:16]}",
        *(f"input     {t.name} {t.type} {_shape(t.shape)}" for t in program.inputs),
        *(f"output    {t.name} {t.type} {_shape(t.shape)}" for t in program.outputs),
    ]
    for entry in result.agreement:
        lines.append(_agreement_text(entry, must=entry in result.disagreements))
    for stage, scores in result.accuracy.items():
        score_values = {
            "auc": scores.auc,
            "accuracy": scores.accuracy,
            "rms error": scores.rms_error,
        }
        lines.append(f"{stage:<9} {figures(score_values)}, {scores.samples:,} samples")
    lines += [_figure(metric) for metric in result.metrics if metric.target and not metric.layer]
    return [*lines, *(f"finding   {finding}" for finding in result.findings)]


def _agreement_text(entry: Agreement, *, must: bool) -> str:
    """A pair of stages; one that may differ is told by how much it does."""
    pair = " = ".join(entry.pair)
    if entry.bit_identical or must:
        verdict = "bit-identical" if entry.bit_identical else "DIFFERENT"
        return f"agreement {pair}: {verdict}, {entry.samples} samples"
    return (
        f"agreement {' ~ '.join(entry.pair)}: {entry.decision_flips} of {entry.samples} samples "
        f"decide otherwise, outputs differ by at most {entry.max_abs_diff:.3g}"
    )


def _figure(metric: Metric) -> str:
    """A target's figure, with where it comes from."""
    band = ""
    if metric.low is not None and metric.high is not None and metric.low != metric.high:
        band = f", {metric.low:,.6g} to {metric.high:,.6g}"
    tool = " ".join(word for word in (metric.tool, metric.version) if word)
    return (
        f"{metric.target:<9} {metric.name:<15} {metric.value:>12,.6g} {metric.unit:<7} "
        f"{metric.origin}{band}{f' ({tool})' if tool and tool != 'edgeinfer' else ''}"
    )


def figures(metrics: dict[str, Any]) -> str:
    """Named numbers on one line."""
    texts = [f"{name} {value:.6g}" for name, value in metrics.items() if isinstance(value, float)]
    return ", ".join(texts) or "no labels to judge by"


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
