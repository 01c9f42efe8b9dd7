# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A search as it is asked for, from a shell or from Python: its strategy, its target, options that
belong to another strategy, and the order that comes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from edgeinfer.base import devices
from edgeinfer.base.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from edgeinfer.precision.qat.settings import QatSettings
    from edgeinfer.run.data import SampledModel
    from edgeinfer.run.folder import Progress
    from edgeinfer.targets.registry import ChosenTarget

SearchStrategyName = Literal["greedy", "thorough", "training"]
Unrolling = Literal["auto", "full", "never"]


def choose_strategy(
    strategy: SearchStrategyName | None, unroll: Unrolling | None
) -> SearchStrategyName:
    """The strategy asked for. Else, designs fully in parallel gain most from trainings, as each
    weight that becomes zero makes them smaller; for others widths are searched step by step."""
    known = get_args(SearchStrategyName)
    if strategy is not None and strategy not in known:
        raise UsageError(
            f"There is no search strategy {strategy!r}.",
            hint=did_you_mean(strategy, known) or f"Choose one of {', '.join(known)}.",
        )
    if strategy is not None:
        return strategy
    return "training" if unroll == "full" else "greedy"


def search_target(
    name: str | None, device_name: str | None, unroll: Unrolling | None
) -> ChosenTarget | None:
    """The target whose estimates count, on a device, unrolled or not; None where none is named."""
    from edgeinfer.targets.registry import choose_for

    if name is None:
        settings = {"device": device_name, "unroll": unroll}
        idle = [key for key, value in settings.items() if value is not None]
        if idle:
            raise UsageError(
                f"The setting {idle[0]!r} is one of a target, and none is named.",
                hint="Name the target, too, such as --target rtl.",
            )
        return None
    device_settings = {} if device_name is None else {device_name: devices.device(device_name)}
    return choose_for(name, device_settings, {} if unroll is None else {"unroll": unroll})


def refuse_idle_options(options: Mapping[str, object], strategy: str) -> None:
    """An error for options that are those of another strategy."""
    idle = [name for name, value in options.items() if value not in (None, False)]
    if idle:
        raise UsageError(
            f"The search strategy {strategy} does nothing with {', '.join(idle)}.",
            hint="Leave that out, or choose another strategy.",
        )


def order_search(
    source: SampledModel,
    folder: Path,
    strategy: SearchStrategyName,
    chosen: ChosenTarget | None,
    training: QatSettings | None,
    *,
    seed: int,
    bits: int,
    budget: float | None,
    cost: str | None,
    tolerance: float,
    trials: int | None,
    minutes: float | None,
    per_channel: bool,
    synth: int,
) -> Callable[[Progress], dict[str, Any]]:
    """The search asked for, ready to run. training: how each network is trained; None: it is not,
    which a search over trainings does not take."""
    from edgeinfer.precision.search.run import SearchSettings, SearchStrategy
    from edgeinfer.run.learned_costs import estimate_figures
    from edgeinfer.run.search import SearchOrder, search_model, search_widths

    if strategy == "training":
        from edgeinfer.run.training_search import (
            COST,
            MOST_TRIALS,
            TrainingSearchOrder,
            search_trainings,
        )

        if chosen is None:
            raise UsageError(
                "A search over trainings is for a target, whose estimates it looks at.",
                hint="Name a target, such as --target rtl --unroll full.",
            )
        assert training is not None, "a search over trainings trains"
        trainings = TrainingSearchOrder(
            source, folder, chosen, training, bits, COST if cost is None else cost, tolerance,
            MOST_TRIALS if trials is None else trials, minutes, synth,
        )  # fmt: skip
        return partial(search_trainings, trainings)
    if budget is not None and not 0.0 < budget <= 1.0:
        raise UsageError(f"--budget is {budget:g}, but must be above 0 and at most 1.")
    settings = SearchSettings(
        widths=search_widths(bits),
        strategy=SearchStrategy(strategy),
        cost="ebops" if cost is None else cost,
        budget_share=budget or 0.0,
        budget_bits=bits,
        tolerance=tolerance,
        trials=trials,
        minutes=minutes,
        seed=seed,
        per_channel=per_channel,
    )
    order = SearchOrder(source, folder, settings, training)
    estimate = None if chosen is None else partial(estimate_figures, chosen)
    return partial(search_model, order, estimate=estimate)
