# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Weights trained under widths, from Python: widths that are stated, or learned or searched, of
whose networks one is chosen by what it scores and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeinfer.api import Data, Model, Run
from edgeinfer.base.errors import UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.base.names import printable
from edgeinfer.library.answers import data_path, reference_entry
from edgeinfer.precision.learned.front import Bounds
from edgeinfer.precision.learned.settings import CostKind, LearnedSettings, Start
from edgeinfer.precision.lookup.settings import LookupSettings, TableKind
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.readers import load as load_file
from edgeinfer.run.data import SampledModel
from edgeinfer.run.in_memory import data_file
from edgeinfer.run.learned import CHOSEN, LearnedOrder, learn_widths
from edgeinfer.run.notebook import notebook_progress
from edgeinfer.run.quantize import (
    CalibrationName,
    QuantizeOrder,
    plan_formats,
    quantize_model,
)
from edgeinfer.run.search_options import (
    SearchStrategyName,
    Unrolling,
    choose_strategy,
    order_search,
    refuse_idle_options,
    search_target,
)
from edgeinfer.run.tailoring import TailorOrder, tailor_model
from edgeinfer.targets.registry import choose_unrolled


@dataclass(frozen=True)
class WidthSearch:
    """What a search found: `document` is what `search --json` prints."""

    model: Model
    document: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        trials = len(self.document["front"]) + len(self.document["others"])
        name = self.document["chosen"]
        searched = printable(self.model.graph.name)
        return f"<search of {searched}: {trials} tried, {name or 'none'} chosen>"

    @property
    def front(self) -> list[dict[str, Any]]:
        """The recipes or trainings that no other beats, with score and costs."""
        return list(self.document["front"])

    @property
    def best_model(self) -> Model | None:
        """The network that was chosen; None where none is within the budget."""
        name = self.document["chosen"]
        if name is None:
            return None
        path = Path(self.document["output"]) / "models" / f"{name}.keras"
        return Model(path, load_file(path).graph, self.model.source)


def fine_tune(
    model: Model,
    output: str | Path,
    bits: int = 8,
    *,
    input_bits: int | None = None,
    bits_of: Mapping[str, int] | None = None,
    calibration: CalibrationName = "outputs",
    percentile: float | None = None,
    per_channel: bool = False,
    recipe: str | Path | None = None,
    training: QatSettings | None = None,
    device: str | None = None,
    validation: Data = None,
) -> Model:
    """Train the weights under formats of `bits` bits (`bits_of`: others, by patterns of names) into
    the QKeras file `output`. `calibration`: how formats are placed before, by the error of the
    `outputs` or by ranges (`minmax`, `percentile`, `mse`); those of the file `recipe` stay as they
    are. `training`: how long, and what is pruned, such as
    `QatSettings(epochs=4, prune_multipliers=0.5)`, whose multipliers are those of a folded design
    on `device`. Needs the extra `[train]`."""
    require_extra("train", "Training")
    settings = training or QatSettings()
    order = QuantizeOrder(
        sampled_model(model, validation),
        Path(output),
        plan_formats(
            bits,
            input_bits=input_bits,
            bits_of=tuple((bits_of or {}).items()),
            calibration=calibration,
            percentile=percentile,
            per_channel=per_channel,
        ),
        settings,
        None if recipe is None else Path(recipe),
        seed=settings.seed,
        device=device,
    )
    quantize_model(order, notebook_progress())
    return Model(order.output, load_file(order.output).graph, model.source)


def learn(
    model: Model,
    folder: str | Path,
    *,
    cost: CostKind = "adders",
    start: Start | None = None,
    device: str | None = None,
    teachers: Sequence[str | Path] = (),
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    points: int = LearnedSettings().points,
    neurons: int | None = None,
    tables: TableKind | None = None,
    fan_in: int | None = None,
    code_bits: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
) -> Model:
    """Train widths, or with `neurons` or `tables` a network of tables, of `edges` whose entries are
    added up or of `neurons` with `fan_in` inputs of `code_bits` each: a folder with a front of
    networks, and the best within `at_most` (`{"lut": 2000}`), or cheapest with `at_least`.
    `cost`: what the hardware pays for: `adders` of an unrolled design, multipliers and memory of a
    `folded` one, `bytes` of an int8 chip; `device`: whose hardware that is. `start`: from `random`
    weights or the network's (`float`), by default random for adders alone. `teachers`: files of
    larger networks, whose mean answers teach in place of the network's. Needs `[train]`."""
    require_extra("train", "Learning widths")
    lookup = None
    if any(choice is not None for choice in (neurons, tables, fan_in, code_bits)):
        lookup = LookupSettings(tables or "edges", neurons, fan_in, code_bits)
    order = LearnedOrder(
        sampled_model(model),
        Path(folder),
        LearnedSettings(points, cost=cost, start=start),
        QatSettings(epochs=epochs, seed=seed),
        Bounds(at_most or {}, at_least or {}),
        lookup=lookup,
        device=device,
        teachers=tuple(map(Path, teachers)),
    )
    learn_widths(order, notebook_progress())
    chosen = Path(folder) / CHOSEN
    return Model(chosen, load_file(chosen).graph, model.source)


def tailor(
    name: str,
    data: str | Path,
    folder: str | Path,
    *,
    standardize: Sequence[str] = (),
    float_epochs: int | None = None,
    points: int = LearnedSettings().points,
    epochs: int | None = None,
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    device: str | None = None,
    stages: int | None = None,
    seed: int = 0,
) -> Run:
    """From a file of samples to small hardware: a reference model's architecture is trained on four
    fifths of them, its widths are learned, the network that is chosen is compiled as a pipeline and
    judged on the rest. `standardize`: patterns of columns, such as `["*"]`. What the folder holds
    finished is not done again. Needs `[train]`."""
    require_extra("train", "Learning widths")
    order = TailorOrder(
        name,
        Path(data),
        Path(folder),
        tuple(standardize),
        float_epochs,
        LearnedSettings(points),
        QatSettings(epochs=epochs, seed=seed),
        Bounds(at_most or {}, at_least or {}),
        device,
        choose_unrolled(device, stages),
    )
    return Run(order.folder, tailor_model(order, notebook_progress()))


def search(
    model: Model,
    folder: str | Path,
    *,
    budget: float | None = None,
    bits: int = 6,
    cost: str | None = None,
    target: str | None = None,
    device: str | None = None,
    unroll: Unrolling | None = None,
    strategy: SearchStrategyName | None = None,
    synth: int = 0,
    training: QatSettings | None = None,
    tolerance: float = 0.01,
    trials: int | None = None,
    minutes: float | None = 20.0,
    per_channel: bool = False,
    seed: int = 0,
    validation: Data = None,
) -> WidthSearch:
    """Search a width for every tensor and kernel; or, by the strategy `training`, which is the
    default with `unroll="full"`, trainings for a target: widths, shares of zeros, learned widths.
    `budget`: the most that a recipe may cost, as a share of the cost of `bits` throughout; `cost`:
    what is saved, also a figure that `target` estimates (by default `ebops`, of trainings `lut`);
    `synth`: trainings of the front to synthesise; `training`: how weights are trained for each
    recipe, where they are. Needs the extra `[train]`; a folder that is named again goes on."""
    require_extra("train", "A search, which writes its models as .keras,")
    chosen_target = search_target(target, device, unroll)
    name = choose_strategy(strategy, unroll)
    own, others = {"budget": budget, "per_channel": per_channel}, {"synth": synth}
    refuse_idle_options(own if name == "training" else others, name)
    run = order_search(
        sampled_model(model, validation),
        Path(folder),
        name,
        chosen_target,
        _with_seed(training, seed) if name == "training" else training,
        seed=seed,
        bits=bits,
        budget=budget,
        cost=cost,
        tolerance=tolerance,
        trials=trials,
        minutes=minutes,
        per_channel=per_channel,
        synth=synth,
    )
    return WidthSearch(model, run(notebook_progress()))


def sampled_model(model: Model, validation: Data = None) -> SampledModel:
    """The model, with its own samples and those that judge alone."""
    data = data_path(model)
    return SampledModel(
        model.path, reference_entry(model), data, data_file(validation), model.batch_axis
    )


def _with_seed(training: QatSettings | None, seed: int) -> QatSettings:
    """How each network is trained, with the seed of the search."""
    settings = training or QatSettings()
    if settings.minutes is not None or settings.seed not in (0, seed):
        raise UsageError(
            "Seed and minutes are those of the whole search, not of one training.",
            hint="Give them to search() itself, not in training=QatSettings(...).",
        )
    return replace(settings, seed=seed)
