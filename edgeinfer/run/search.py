# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search for bit widths as a user orders it: samples, training, a folder of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.costs import Estimate
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.search.objective import objective_on
from edgeinfer.precision.search.report import document, name_of, report
from edgeinfer.precision.search.run import SearchResult, SearchSettings, search
from edgeinfer.run.data import SampledModel, SampleSplit
from edgeinfer.run.folder import Progress, watch_step
from edgeinfer.run.quantize import write
from quantization.recipe import Recipe
from quantization.search import Trial

REPAIR_EPOCHS = 3  # of a training inside a search, of which there are many
REPAIR_SAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class SearchOrder:
    """What is searched, on which samples, how, and the folder of the results."""

    source: SampledModel
    folder: Path
    search: SearchSettings
    training: QatSettings | None = None  # None: weights are adapted, not trained

    def __post_init__(self) -> None:
        refuse_file(self.folder)
        if self.training is not None and self.training.removes_filters:
            raise UsageError(
                "A search keeps the network's shape, so it does not prune filters.",
                hint="Prune with edgeinfer quantize --method qat first, then search that model.",
            )


def refuse_file(folder: Path) -> None:
    """An error for a place that is no folder, or is named like a file."""
    if folder.suffix in (".toml", ".keras") or folder.is_file():
        raise UsageError(f"{folder}: a search fills a folder.", hint="Name a folder with -o.")


def search_model(
    order: SearchOrder, progress: Progress, estimate: Estimate | None = None
) -> dict[str, Any]:
    """Search as ordered; the front and what was chosen from it, ready for JSON."""
    with watch_step(progress, "load"):
        loaded = order.source.load()
        graph = loaded.graph
    with watch_step(progress, "data"):
        samples = order.source.deal_samples(loaded, seed=order.search.seed)
    train = _train(order, graph, samples) if order.training is not None else None
    with watch_step(progress, "search"):
        result = search(
            graph,
            samples.teach.part(0, 4096),
            samples.choose,
            order.search,
            order.folder,
            train=train,
            estimate=estimate,
            report_progress=progress.advance,
        )
    chosen = _choose_trial(result, order)
    with watch_step(progress, "evaluate"):
        judgement = _judge_choice(result, chosen, order, samples.judge)
    answer = document(result) | {
        "findings": [
            *samples.findings,
            *samples.teach.findings,
            f"Formats were drawn from {samples.teach.origin}.",
        ],
        "chosen": None if chosen is None else name_of(chosen),
        "judged": judgement,
        "output": str(order.folder),
    }
    with watch_step(progress, "write"):
        report(result).write(order.folder)
        answer["findings"] += _write_models(result, order.folder)
    return answer


def search_widths(uniform: int) -> tuple[int, ...]:
    """The widths to choose from, beside that which the search is compared with."""
    return tuple(sorted({*range(2, 9), uniform}))


def _train(
    order: SearchOrder, graph: g.Graph, samples: SampleSplit
) -> Callable[[g.Graph, Recipe], g.Graph]:
    from edgeinfer.precision.qat.fine_tune import Tutor

    assert order.training is not None
    few = samples.teach.part(0, REPAIR_SAMPLES)
    settings = replace(order.training, minutes=None)
    tutor = Tutor.of(fold_batch_norms(graph), few, samples.choose, settings)

    def train(network: g.Graph, recipe: Recipe) -> g.Graph:
        return tutor.train(network, recipe).graph

    return train


def _choose_trial(result: SearchResult, order: SearchOrder) -> Trial | None:
    """The best within the budget; without one, the cheapest as good as uniform widths."""
    uniform, share = result.uniform.get(order.search.budget_bits), order.search.budget_share
    if uniform is None:
        return None
    if share:
        return result.best(share * uniform.outcome.costs[result.settings.cost])
    return result.cheapest(uniform.outcome.score)


def _judge_choice(
    result: SearchResult, chosen: Trial | None, order: SearchOrder, samples: Samples
) -> dict[str, float]:
    """What was chosen, once more, on samples that the search has not seen: among many recipes that
    were tried the best one's score is partly luck."""
    objective = objective_on(result.objective.graph, samples)
    scores = {"float": objective.exact_score}
    bits = order.search.budget_bits
    named = {"chosen": chosen, f"uniform_{bits}": result.uniform.get(bits)}
    for name, trial in named.items():
        if trial is not None:
            lowered = result.network.ready(trial.recipe, trial.outcome.weights).lowered
            scores[name] = objective.of_program(lowered.program, lowered.recipe)
    return scores


def _write_models(result: SearchResult, folder: Path) -> list[str]:
    """The weights that go with each recipe of the front, as QKeras models; a remark where QKeras
    has no equal for them."""
    for trial in result.front:
        ready = result.network.ready(trial.recipe, trial.outcome.weights)
        path = folder / "models" / f"{name_of(trial)}.keras"
        try:
            if not path.exists():
                write(path, ready.graph, ready.recipe)
        except InputError as error:
            return [f"No models were written, only recipes: {error.message}"]
    return []
