# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of the reference models: ``models``, ``train``, ``data``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from edgeinfer.base.errors import UsageError
from edgeinfer.cli.options import Json, unused_path
from edgeinfer.cli.terminal import answer, import_keras_quietly, tell

if TYPE_CHECKING:
    from edgeinfer.zoo.entry import ZooEntry
    from edgeinfer.zoo.fit import Stop

Trunk = Annotated[
    Path | None,
    Parameter(help="model.keras of the network whose features it reads, not the reference"),
]
Name = Annotated[str, Parameter(help="a reference model, see edgeinfer models")]

SHOWN, SAVED = 8, 10_000  # examples of a class in a picture; samples in an archive


def models(*, json: Json = False) -> None:
    """The reference models: what each is for, how big it is, how well it does."""
    from edgeinfer.zoo import ENTRIES
    from edgeinfer.zoo.reference import describe_entry

    rows = [describe_entry(entry) for entry in ENTRIES.values()]
    lines = [line for row in rows for line in _sentences(row).splitlines()]
    lines.append("Figures are measured on simulated data; they are not a detector's.")
    answer(rows, lines, as_json=json)


def train(
    name: Name,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="model.keras, NAME.keras by default; its history is written beside it",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        Parameter(help="seed of the data, the first weights and the order; 0 by default"),
    ] = None,
    data: Annotated[
        Path | None,
        Parameter(
            help="your own samples, of any format that compile takes, in place of simulated ones"
        ),
    ] = None,
    samples: Annotated[
        int | None, Parameter(help="how many samples to simulate, or to take of --data at most")
    ] = None,
    epochs: Annotated[
        int | None, Parameter(help="how often to go through the samples, at most")
    ] = None,
    minutes: Annotated[
        float | None, Parameter(help="after this time the best model so far is written")
    ] = None,
    resume: Annotated[
        bool, Parameter(negative="", help="continue a training that was interrupted")
    ] = False,
    trunk: Trunk = None,
    json: Json = False,
) -> None:
    """Train a reference model on simulated data, or on your own. Ctrl-C keeps what is done;
    --resume goes on."""
    from edgeinfer.zoo import entry_of
    from edgeinfer.zoo.progress import watching
    from edgeinfer.zoo.train import check
    from edgeinfer.zoo.train import train as run

    entry = entry_of(name)
    if output is None:
        output = Path(f"{name}.keras") if resume else unused_path(Path(f"{name}.keras"))
    check(output, seed, samples, epochs, minutes)
    if trunk is not None:
        entry.on_trunk(trunk)  # what cannot be is said before Keras is imported
    import_keras_quietly("Training")
    with watching(name) as watcher:
        trained = run(
            entry,
            output,
            seed=seed,
            samples=samples,
            epochs=epochs,
            minutes=minutes,
            resume=resume,
            data=data,
            trunk=trunk,
            watcher=watcher,
        )
    prose = f"{trained.model}: {_end_text(trained.stopped)}; history in {trained.history.name}"
    findings = [f"finding   {finding}" for finding in trained.findings]
    answer(trained.history.read_text(encoding="utf-8"), [*findings, prose], as_json=json)


def data(
    name: Name,
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="d.npz, arrays named as inputs and outputs; NAME.npz without --preview",
        ),
    ] = None,
    preview: Annotated[
        Path | None, Parameter(help="p.png, a row of examples for each class")
    ] = None,
    count: Annotated[
        int | None,
        Parameter(name=["--count", "-n"], help="samples to save, or examples of a class to draw"),
    ] = None,
    seed: Annotated[int, Parameter(help="the same seed gives the same data")] = 0,
    trunk: Trunk = None,
) -> None:
    """Write simulated data of a reference model: an archive for --data, or a picture to look at."""
    from edgeinfer.zoo import entry_of

    entry = entry_of(name)
    if trunk is not None:
        entry = entry.on_trunk(trunk)
    if output is None and preview is None:
        output = unused_path(Path(f"{name}.npz"))
    if count is not None and count < 1:
        raise UsageError(f"-n is {count}, but must be at least 1.")
    if seed < 0:
        raise UsageError(f"--seed is {seed}, but must not be below 0.")
    if preview is not None:
        _draw(entry, _with_suffix(preview, ".png"), SHOWN if count is None else count, seed)
    if output is not None:
        _save(entry, _with_suffix(output, ".npz"), SAVED if count is None else count, seed)


def _sentences(row: dict[str, Any]) -> str:
    figures = ", ".join(f"{name} {value:.3f}" for name, value in row["metrics"].items())
    return (
        f"{row['name']}: {row['about']}\n"
        f"    {row['parameters']:,} parameters, {row['macs']:,} multiply-accumulates; "
        f"{figures or 'trained on demand'}"
    )


def _end_text(stopped: Stop) -> str:
    match stopped:
        case "epochs":
            return "all epochs done"
        case "patience":
            return "nothing improved any more"
        case "minutes":
            return "the time is up, --resume goes on"
        case "interrupted":
            return "interrupted, --resume goes on"


def _draw(entry: ZooEntry, path: Path, count: int, seed: int) -> None:
    from edgeinfer.base.plan import write_file
    from edgeinfer.zoo.pictures import preview

    picture = preview(entry, seed, count)
    write_file(path, picture.image)
    tell(f"{path}: rows from the top: {', '.join(picture.rows)}")


def _save(entry: ZooEntry, path: Path, count: int, seed: int) -> None:
    import numpy as np

    from edgeinfer.base.plan import stage_file
    from edgeinfer.zoo.entry import LOCATED

    samples = entry.data(seed, count)
    judged_heads = {head.name for head in entry.heads if head.loss not in LOCATED}
    targets = {name: values for name, values in samples.targets.items() if name in judged_heads}
    arrays = {**samples.inputs, **targets}
    with stage_file(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]  # no array is allow_pickle
    shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
    tell(f"{path}: {shapes}")


def _with_suffix(path: Path, suffix: str) -> Path:
    if path.suffix != suffix:
        hint = f"Name it {path.stem}{suffix}."
        raise UsageError(f"{path}: this is written as {suffix}.", hint=hint)
    return path
