# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A training on disk: model and optimizer after some step, and all that decides the steps to come.

The model's file is written first and the state that names it second, so that a machine that dies in
between leaves the state before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgeinfer.base.errors import InputError
from edgeinfer.base.plan import stage_file, sweep_partial, write_file

if TYPE_CHECKING:
    import keras

VERSION = 1
_STATE = "state.json"
_OURS = ("epoch-*-step-*.keras", "best-*.keras")


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a training is a function of."""

    name: str
    seed: int
    samples: int
    epochs: int
    data: str = ""  # the digest of a user's file; empty where data are simulated
    trunk: str | None = None  # digest of the network whose features are read; None: the reference


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of the history."""

    epoch: int
    loss: float
    validation_loss: float
    learning_rate: float
    seconds: float


@dataclass(slots=True)
class Position:
    """How far a training has come: whole epochs, steps of the one begun, and their summed loss."""

    history: list[EpochRecord] = field(default_factory=list)
    step: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0  # spent on the epoch begun


@dataclass(frozen=True, slots=True)
class SavedTraining:
    """What a folder of a training holds."""

    plan: TrainingPlan
    position: Position
    model: Path
    best: Path | None


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The folder in which a training waits to be resumed."""

    folder: Path

    @staticmethod
    def beside(output: Path) -> Checkpoints:
        """The folder that belongs to a model to be."""
        return Checkpoints(output.with_name(f"{output.stem}.training"))

    def clear(self) -> None:
        """Forget the training; files that are not ours stay."""
        if not self.folder.is_dir():
            return
        sweep_partial(self.folder)
        (self.folder / _STATE).unlink(missing_ok=True)
        for pattern in _OURS:
            for path in self.folder.glob(pattern):
                path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def save_best(self, model: keras.Model, epoch: int) -> Path:
        """Keep the weights of the best epoch so far."""
        path = self.folder / f"best-{epoch:05d}.keras"
        _save(model, path)
        return path

    def save(
        self, plan: TrainingPlan, position: Position, model: keras.Model, best: Path | None
    ) -> None:
        """Keep model, optimizer and position; files that no state names any more go."""
        path = self.folder / f"epoch-{len(position.history):05d}-step-{position.step:06d}.keras"
        _save(model, path)
        state = {
            "version": VERSION,
            "plan": dataclasses.asdict(plan),
            "position": dataclasses.asdict(position),
            "model": path.name,
            "best": best.name if best else None,
        }
        write_file(self.folder / _STATE, json.dumps(state, indent=1) + "\n")
        sweep_partial(self.folder)
        for pattern in _OURS:
            for old in self.folder.glob(pattern):
                if old != path and old != best:
                    old.unlink()

    def load(self) -> SavedTraining:
        """The state that the folder holds."""
        path = self.folder / _STATE
        if not path.exists():
            raise InputError(
                f"There is no training to resume: {path} is not there.",
                hint="Train without --resume.",
            )
        try:
            state = json.loads(path.read_text())
            if state["version"] != VERSION:
                raise ValueError(f"version {state['version']} is not {VERSION}")
            records = [EpochRecord(**record) for record in state["position"].pop("history")]
            position = Position(history=records, **state["position"])
            best = self.folder / state["best"] if state["best"] else None
            saved = SavedTraining(
                TrainingPlan(**state["plan"]), position, self.folder / state["model"], best
            )
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path} is not the state of a training: {error}.",
                hint=f"Remove {self.folder} and train again.",
            ) from None
        missing = [p for p in (saved.model, saved.best) if p is not None and not p.exists()]
        if missing:
            raise InputError(
                f"{path} names {missing[0].name}, which is not there.",
                hint=f"Remove {self.folder} and train again.",
            )
        return saved


def _save(model: keras.Model, path: Path) -> None:
    with stage_file(path) as temporary:
        model.save(temporary)
