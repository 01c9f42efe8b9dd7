# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Training: a function of (name, seed, samples, epochs) that may be interrupted anywhere.

A training that was interrupted and resumed ends at the very weights of one that was not.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.base.plan import sha256_of, stage_file, write_file
from edgeinfer.base.signals import TerminationRequest
from edgeinfer.zoo.checkpoint import Checkpoints, EpochRecord, Position, TrainingPlan
from edgeinfer.zoo.entry import ZooEntry
from edgeinfer.zoo.fit import (
    Fit,
    Stop,
    TrainingWatcher,
    best_epoch_and_halvings,
    compile_keras,
    read_saved,
    without_features,
)
from edgeinfer.zoo.own_data import read_own_data
from edgeinfer.zoo.teaching import Teaching


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a training left behind."""

    model: Path
    history: Path
    plan: TrainingPlan
    records: tuple[EpochRecord, ...]
    stopped: Stop
    findings: tuple[str, ...] = ()


class TrainingInterruption(KeyboardInterrupt):
    """Ctrl-C came; the training waits in a folder and can be resumed."""


def train(
    entry: ZooEntry,
    output: Path,
    *,
    seed: int | None = None,
    samples: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
    data: Path | None = None,
    trunk: Path | None = None,
    watcher: TrainingWatcher | None = None,
) -> TrainingResult:
    """Train a model of the zoo and write it, its history beside it; the best epoch counts. `data`:
    a user's own samples in place of simulated ones. `trunk`: the network whose features it reads,
    where that is not the reference."""
    began = time.monotonic()
    check(output, seed, samples, epochs, minutes)
    if trunk is not None:
        entry = entry.on_trunk(trunk)
    weights = None if trunk is None else sha256_of(trunk)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    checkpoints = Checkpoints.beside(output)
    own = None if data is None else read_own_data(entry, data, samples)
    count = entry.schedule.samples if samples is None else samples
    plan_asked = TrainingPlan(
        entry.name,
        0 if seed is None else seed,
        count if own is None else len(own.samples),
        entry.schedule.epochs if epochs is None else epochs,
        "" if own is None else own.sha256,
        weights,
    )
    import keras

    if resume:
        saved = checkpoints.load()
        asked_samples = samples if own is None else plan_asked.samples
        plan = _same_plan(saved.plan, entry.name, seed, asked_samples, epochs, plan_asked.data)
        if plan.trunk != weights:
            raise InputError(
                "The training to resume reads the features of other weights.",
                hint="Give the same --trunk as before, or train without --resume.",
            )
        position, best = saved.position, saved.best
        model = read_saved(saved.model)
    else:
        checkpoints.clear()
        plan, position, best = plan_asked, Position(), None
        keras.utils.set_random_seed(plan.seed)
        model = compile_keras(entry)
        checkpoints.save(plan, position, model, best)  # a place that takes no files is told now
    teaching = Teaching.of(entry, plan, None if own is None else own.samples)
    deadline = None if minutes is None else began + 60.0 * minutes
    run = Fit(entry, plan, teaching, model, position, checkpoints, best, watcher)
    with _polite_interrupts() as interruptions:
        stopped = run.go(
            lambda: deadline is not None and time.monotonic() > deadline,
            lambda: bool(interruptions),
        )
    if stopped == "interrupted":
        kept = (
            f"The training waits in {checkpoints.folder}; the same command with --resume goes on."
        )
        if interruptions[0] != signal.SIGINT:
            raise TerminationRequest(interruptions[0], kept)
        raise TrainingInterruption(kept)
    classes = {} if own is None else dict(own.classes)
    history = _write(entry, run, output, stopped, classes)
    if stopped != "minutes":
        checkpoints.clear()
    findings = () if own is None else own.findings
    return TrainingResult(output, history, plan, tuple(position.history), stopped, findings)


def _write(
    entry: ZooEntry, run: Fit, output: Path, stopped: Stop, classes: Mapping[str, Sequence[str]]
) -> Path:
    """Write the best epoch's weights without the optimizer, and the history; return its path."""
    chosen = run.model
    if run.best is not None:
        best = read_saved(run.best)
        unfinished = stopped == "minutes" and run.position.step > 0
        if not (unfinished and run.validation_loss(run.model) < min(run.losses)):
            chosen = best
    bare = entry.build()
    without_features(entry, bare).set_weights(chosen.get_weights())
    with stage_file(output) as temporary:
        bare.save(temporary)
    path = output.with_name(f"{output.stem}.history.json")
    losses = run.losses
    text = {
        **dataclasses.asdict(run.plan),
        "stopped": stopped,
        "best_epoch": best_epoch_and_halvings(losses, entry.schedule.patience)[0] + 1
        if losses
        else None,
        "unfinished_steps": run.position.step,
        **({"classes": classes} if classes else {}),
        "epochs_run": [dataclasses.asdict(record) for record in run.position.history],
    }
    write_file(path, json.dumps(text, indent=1) + "\n")
    return path


def check(
    output: Path,
    seed: int | None,
    samples: int | None,
    epochs: int | None,
    minutes: float | None,
) -> None:
    """Refuse what can be refused before Keras is imported."""
    if output.suffix != ".keras":
        raise UsageError(
            f"{output}: a model is written as .keras.", hint=f"Name it {output.stem}.keras."
        )
    if output.is_dir():
        raise UsageError(f"{output} is a folder.", hint="Name a file inside it.")
    if seed is not None and not 0 <= seed < 1 << 32:
        raise UsageError(f"--seed is {seed}, but must be from 0 to {(1 << 32) - 1}.")
    for name, value in (("--samples", samples), ("--epochs", epochs), ("--minutes", minutes)):
        if value is not None and not value > 0:
            raise UsageError(f"{name} is {value}, but must be above 0.")


def _same_plan(
    plan: TrainingPlan,
    name: str,
    seed: int | None,
    samples: int | None,
    epochs: int | None,
    data: str,
) -> TrainingPlan:
    """The plan of the training to resume; only its number of epochs may change."""
    for what, had, plan_value in (
        ("model", plan.name, name),
        ("seed", plan.seed, seed),
        ("samples", plan.samples, samples),
    ):
        if plan_value is not None and plan_value != had:
            raise InputError(
                f"The training to resume has {what} {had}, not {plan_value}.",
                hint=f"Leave --{what} out, or train without --resume.",
            )
    if plan.data != data:
        raise InputError(
            "The training to resume learns from other data.",
            hint="Give the same --data as before, or train without --resume.",
        )
    return plan if epochs is None else dataclasses.replace(plan, epochs=epochs)


@contextmanager
def _polite_interrupts() -> Iterator[list[int]]:
    """Ctrl-C and a batch system's SIGTERM wait for the end of a step; the second one does not. The
    signals that came are listed."""
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    signals: list[int] = []

    def note(number: int, _frame: object) -> None:
        if signals:
            raise KeyboardInterrupt if number == signal.SIGINT else TerminationRequest(number)
        signals.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
