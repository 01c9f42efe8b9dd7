# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a file of samples to hardware: a reference model is trained on them, its widths are learned,
and the network that is chosen is compiled and judged on samples that taught nothing."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import UsageError
from edgeinfer.data.convert import Conversion, convert
from edgeinfer.data.open import open_data
from edgeinfer.precision.learned.front import Bounds
from edgeinfer.precision.learned.settings import LearnedSettings
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.report.result import Result
from edgeinfer.run.data import SampledModel
from edgeinfer.run.dependencies import DIVIDE, LEARN, TRAIN
from edgeinfer.run.folder import Progress, StepOutcome, open_run
from edgeinfer.run.learned import CHOSEN, LearnedOrder, learn_widths
from edgeinfer.run.samples import DataFile
from edgeinfer.run.steps import compile_model
from edgeinfer.targets.registry import ChosenTarget
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.train import train

TEACHING = 0.8  # of the events or rows; the others judge
TEACH, JUDGE, NETWORK, FRONT = "teach.h5", "judge.h5", "float.keras", "front"


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
    target: ChosenTarget

    def __post_init__(self) -> None:
        if self.settings.cost != "adders":
            raise UsageError(
                f"The network is compiled as a pipeline of adders, so --cost {self.settings.cost} "
                f"would save what it does not have.",
                hint="Leave out --cost, or go step by step: train, quantize --method learned, "
                "compile.",
            )

    @property
    def learning(self) -> LearnedOrder:
        """What learns its widths in the folder."""
        source = SampledModel(self.folder / NETWORK, None, self.folder / TEACH)
        front = self.folder / FRONT
        return LearnedOrder(
            source, front, self.settings, self.training, self.bounds, device=self.device
        )


def tailor_model(order: TailorOrder, progress: Progress) -> Result:
    """All steps, in one run folder: what was finished for the same order is not done again."""
    entry, learning = entry_of(order.name), order.learning  # a wrong order is an error at once
    source = open_data(order.data)
    seed = order.training.seed

    def divide() -> StepOutcome:
        teach, judge = folder.path / TEACH, folder.path / JUDGE
        first = Conversion(
            shuffle=True, seed=seed, events=(0.0, TEACHING), standardize=order.standardize
        )
        standards = teach if order.standardize else None
        second = replace(first, events=(TEACHING, 1.0), standardize=(), standards_of=standards)
        rows = convert(source, teach, first), convert(source, judge, second)
        finding = (
            f"Of {source.name}, {rows[0]:,} rows teach and {rows[1]:,} others judge the network."
        )
        return StepOutcome({"findings": [finding]}, {TEACH: teach, JUDGE: judge})

    def fit() -> StepOutcome:
        path = folder.path / NETWORK
        made = train(entry, path, seed=seed, data=folder.path / TEACH, epochs=order.epochs)
        files = {NETWORK: path, made.history.name: made.history}
        return StepOutcome({"findings": list(made.findings)}, files)

    def learn() -> StepOutcome:
        shutil.rmtree(learning.folder, ignore_errors=True)  # which may hold more networks
        document = learn_widths(learning, progress)
        made = [path for path in learning.folder.rglob("*") if path.is_file()]
        files = {str(path.relative_to(folder.path)): path for path in made}
        news = [finding for finding in document["findings"] if finding not in trained["findings"]]
        return StepOutcome({"findings": news}, files)

    with open_run(order.folder, progress, new=True) as folder:
        depends_on: dict[str, Any] = {
            "data": source.sha256, "standardize": order.standardize, "seed": seed
        }  # fmt: skip
        folder.step("divide", DIVIDE, depends_on, divide)
        depends_on |= {"model": order.name, "epochs": order.epochs}
        trained = folder.step("train", TRAIN, depends_on, fit)
        depends_on |= {
            "settings": asdict(order.settings),
            "training": asdict(order.training),
            "bounds": asdict(order.bounds),
            "device": order.device,
        }
        folder.step("learn", LEARN, depends_on, learn)
        return compile_model(
            folder, learning.folder / CHOSEN, recipe_path=None,
            data=DataFile(folder.path / JUDGE), targets=[order.target],
        )  # fmt: skip
