# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a file of samples to hardware: a reference model is trained on them, its widths are learned,
and the network that is chosen is compiled and judged on samples that taught nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeinfer.base import plan
from edgeinfer.base.errors import UsageError
from edgeinfer.data.convert import Conversion, convert
from edgeinfer.data.open import open_data
from edgeinfer.precision.learned.front import Bounds
from edgeinfer.precision.learned.settings import LearnedSettings
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.report.result import Result
from edgeinfer.run.data import SampledModel
from edgeinfer.run.folder import Progress, open_run, watch_step
from edgeinfer.run.learned import CHOSEN, LearnedOrder, learn_widths
from edgeinfer.run.samples import DataFile
from edgeinfer.run.steps import compile_model
from edgeinfer.targets.registry import ChosenTarget
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.train import train

TEACHING = 0.8  # of the events or rows; the others judge
PARTS = {"teach.h5": (0.0, TEACHING), "judge.h5": (TEACHING, 1.0)}
JOURNAL = "finished.json"


@dataclass(frozen=True, slots=True)
class TailorOrder:
    """Which architecture on which samples, how it learns, what is wanted, and what it is for."""

    name: str
    data: Path
    folder: Path
    standardize: tuple[str, ...]
    epochs: int | None  # of the float network
    settings: LearnedSettings
    training: QatSettings
    bounds: Bounds
    device: str | None  # whose hardware counts
    targets: tuple[ChosenTarget, ...]

    @property
    def run(self) -> Path:
        """The folder of the compiled network."""
        return self.folder / "run"


def tailor_model(order: TailorOrder, progress: Progress) -> Result:
    """All steps; what a folder holds finished, for the same order, is not done again."""
    if order.folder.is_file():
        raise UsageError(f"{order.folder} is a file.", hint="Name a folder with -o.")
    entry = entry_of(order.name)  # an unknown name is said first
    source = open_data(order.data)
    order.folder.mkdir(parents=True, exist_ok=True)
    teach, judge = (order.folder / name for name in PARTS)
    network, front = order.folder / "float.keras", order.folder / "front"
    made_from: dict[str, Any] = {
        "data": plan.sha256_of(source.place) if source.place.is_file() else str(source.place),
        "standardize": order.standardize,
        "seed": order.training.seed,
    }
    work = _Work(order.folder, progress)

    def divide() -> None:
        for path, share in zip((teach, judge), PARTS.values(), strict=True):
            conversion = Conversion(shuffle=True, seed=order.training.seed, events=share)
            first = path == teach or not order.standardize
            standards = {"standardize": order.standardize} if first else {"standards_of": teach}
            convert(source, path, replace(conversion, **standards))

    def fit() -> None:
        train(entry, network, seed=order.training.seed, data=teach,
              epochs=order.epochs)  # fmt: skip

    def learn() -> None:
        samples = SampledModel(network, None, teach)
        learn_widths(
            LearnedOrder(
                samples, front, order.settings, order.training, order.bounds, device=order.device
            ),
            progress,
        )

    work.do("divide", made_from, divide)
    made_from |= {"model": order.name, "epochs": order.epochs}
    work.do("train-float", made_from, fit)
    settings = (order.settings, order.training, order.bounds)
    made_from |= {"learn": [asdict(each) for each in settings], "device": order.device}
    work.do("learn", made_from, learn)
    with open_run(order.run, progress, new=True) as run_folder:
        return compile_model(
            run_folder, front / CHOSEN, recipe_path=None, data=DataFile(judge), formats=None,
            targets=order.targets,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Work:
    """Steps whose results are files of a folder, and a journal of what they were made from."""

    folder: Path
    progress: Progress

    def do(self, step: str, made_from: dict[str, Any], action: Callable[[], None]) -> None:
        """The step, unless it was finished for the same order."""
        stated = json.loads(json.dumps(made_from, default=str))
        path = self.folder / JOURNAL
        finished = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if finished.get(step) == stated:
            return
        with watch_step(self.progress, step):
            action()
        finished[step] = stated
        plan.write_file(path, json.dumps(finished, indent=1) + "\n")
