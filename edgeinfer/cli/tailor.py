# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``tailor``: from a file of samples to hardware with learned widths, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edgeinfer.cli.options import Json, Verbose
from edgeinfer.cli.terminal import import_keras_quietly, progress
from edgeinfer.cli.verbs import conclude
from edgeinfer.cli.workers import telling_what_is_kept
from edgeinfer.precision.learned.front import Bounds, read_bounds
from edgeinfer.precision.learned.settings import LearnedSettings
from edgeinfer.precision.qat.settings import QatSettings

KEPT = "What was finished is kept: the same command goes on after it."


def tailor(
    name: Annotated[str, Parameter(help="a reference model's name, whose architecture is taken")],
    /,
    *,
    data: Annotated[
        Path,
        Parameter(help="samples with labels, in any format that compile takes, such as ARFF"),
    ],
    output: Annotated[
        Path | None,
        Parameter(name=["--output", "-o"], help="a run folder, by default runs/NAME-tailored"),
    ] = None,
    standardize: Annotated[
        str,
        Parameter(
            help="columns to bring to mean 0 and deviation 1, with commas; '*' is all features"
        ),
    ] = "",
    float_epochs: Annotated[
        int | None, Parameter(help="epochs of the float network at most; the model's by default")
    ] = None,
    learned: Annotated[LearnedSettings | None, Parameter(name="*")] = None,
    training: Annotated[QatSettings | None, Parameter(name="*")] = None,
    at_most: Annotated[
        list[str] | None,
        Parameter(negative="", help="choose a network with lut=2000 or fewer"),
    ] = None,
    at_least: Annotated[
        list[str] | None, Parameter(negative="", help="choose the cheapest with auc=0.93")
    ] = None,
    device: Annotated[
        str | None, Parameter(help="the part whose hardware counts; xcvu9p by default")
    ] = None,
    stages: Annotated[int | None, Parameter(help="pipeline stages at most")] = None,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Train a reference model on your samples, learn a width for each of its numbers, compile the
    network that is chosen as a pipeline, and judge it on a fifth of the samples, which taught
    nothing. What a folder holds finished is not done again."""
    from edgeinfer.run.tailoring import TailorOrder, tailor_model
    from edgeinfer.targets.registry import choose_unrolled

    folder = Path("runs", f"{name}-tailored") if output is None else output
    order = TailorOrder(
        name,
        data,
        folder,
        tuple(word.strip() for word in standardize.split(",") if word.strip()),
        float_epochs,
        learned or LearnedSettings(),
        training or QatSettings(),
        Bounds(read_bounds("--at-most", at_most or ()), read_bounds("--at-least", at_least or ())),
        device,
        choose_unrolled(device, stages),
    )
    import_keras_quietly("Learning widths")
    with telling_what_is_kept(KEPT), progress() as watcher:
        result = tailor_model(order, watcher)
    conclude(result, folder, as_json=json, verbose=verbose)
