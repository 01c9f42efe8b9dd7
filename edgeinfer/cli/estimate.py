# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of costs: ``estimate`` and ``devices``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edgeinfer.cli.options import (
    BatchAxis,
    BitsOf,
    Data,
    Json,
    ModeOptions,
    RecipeFile,
    axis_of_word,
    read_widths,
)
from edgeinfer.cli.targets import GENERAL, TargetOptions, choose_targets, options_of_targets
from edgeinfer.cli.terminal import answer
from edgeinfer.targets.options import ESTIMATE

if TYPE_CHECKING:
    from edgeinfer.base.devices import Device

    EstimateOptions = TargetOptions
else:
    EstimateOptions = options_of_targets(ESTIMATE)


def devices(*, json: Json = False) -> None:
    """Parts and boards with their budgets, and which targets each is for."""
    from edgeinfer.base import devices as known

    every = (*known.devices(), *known.listed_parts())
    rows = [device.as_dict() for device in every]
    lines = [_describe_estimate(device) for device in every]
    answer(rows, lines, as_json=json)


def estimate(
    model: Annotated[
        Path | None,
        Parameter(
            help="a reference model, a .keras, .h5, .onnx, int8 .tflite, or .json file beside its "
            "weights; or an hls4ml project or its hls4ml_config.yml"
        ),
    ] = None,
    /,
    *,
    options: Annotated[EstimateOptions, Parameter(name="*")] = EstimateOptions(),  # noqa: B008
    target: Annotated[
        str | None,
        Parameter(group=GENERAL, help="the target; by default the one that the device is for"),
    ] = None,
    bits: Annotated[
        int | None,
        Parameter(group=GENERAL, help="width for a model that states no formats; 16 by default"),
    ] = None,
    bits_of: BitsOf = None,
    modes: ModeOptions = ModeOptions(),  # noqa: B008  # immutable
    recipe: RecipeFile = None,
    data: Data = None,
    batch_axis: BatchAxis = "0",
    learn: Annotated[
        list[Path] | None,
        Parameter(
            negative="",
            consume_multiple=True,
            help="run folders, or projects of hls4ml, whose tools have left reports: learn from "
            "how far off the estimates of their designs were",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Estimate latency and resources in seconds, without any tool, each with its error band."""
    from edgeinfer.base.errors import UsageError
    from edgeinfer.run.estimate import estimate as estimate_model
    from edgeinfer.run.lower import asked_formats

    if learn:
        from edgeinfer.run.learn import learn_runs

        taught = learn_runs(learn)
        if model is None:
            answer(taught.document, taught.lines, as_json=json)
            return
    if model is None:
        raise UsageError("Name a model, or runs to learn from with --learn RUN...")
    name = _target_for(options) if target is None else target
    (chosen_target,) = choose_targets([name], options)
    answer_of_model = estimate_model(
        model,
        chosen_target,
        formats=asked_formats(
            [chosen_target], bits, read_widths(bits_of), modes.rounding, modes.overflow
        ),
        recipe=recipe,
        batch_axis=axis_of_word(batch_axis),
        data=data,
    )
    answer(answer_of_model.document, answer_of_model.lines, as_json=json)


def _target_for(options: TargetOptions) -> str:
    """The first target that the device is for."""
    from edgeinfer.base.devices import device
    from edgeinfer.targets.registry import first_target_on

    return first_target_on(device(options.device[0]) if options.device else None)


def _describe_estimate(device: Device) -> str:
    from edgeinfer.targets.registry import targets_on

    budget = ", ".join(f"{count:,} {kind}" for kind, count in device.budget.items())
    boards = f" ({', '.join(device.boards)})" if device.boards else ""
    targets = ", ".join(targets_on(device))
    return (
        f"{device.name:<10} {device.vendor} {device.family}, {device.part}{boards}: {budget}; "
        f"for {targets}"
    )
