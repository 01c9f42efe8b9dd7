# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``fit``: in how many bits, on which target, and what that costs."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from edgeinfer.cli.targets import GENERAL, TargetOptions, options_of_targets
from edgeinfer.cli.terminal import answer, progress
from edgeinfer.cli.verbs import BatchAxis, Data, Json, ModelFile, axis_of_word
from edgeinfer.targets.options import ESTIMATE

if TYPE_CHECKING:
    from edgeinfer.base.devices import Device
    from edgeinfer.run.fit import FitTarget

    FitOptions = TargetOptions
else:
    FitOptions = options_of_targets(ESTIMATE)

FILL = "fit"  # the option of targets that can fold a design until it fits
GOALS = ("latency_us", "throughput", "reuse")  # options that say how it is to be folded


def fit(
    model: ModelFile,
    /,
    *,
    data: Data = None,
    target: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            group=GENERAL,
            help="only these targets; by default all that the devices are for, and those that "
            "have a device of their own",
        ),
    ] = None,
    bits: Annotated[str, Parameter(help="the widths to try, with commas")] = "4,5,6,7,8,10,12,16",
    search: Annotated[
        Path | None, Parameter(help="a folder of edgeinfer search, whose recipes are tried as well")
    ] = None,
    loss: Annotated[
        float | None,
        Parameter(
            help="the loss against the float network that will do; 0.01 by default, of an error a "
            "tenth"
        ),
    ] = None,
    batch_axis: BatchAxis = "0",
    html: Annotated[Path | None, Parameter(help="also write a page with pictures")] = None,
    options: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),  # noqa: B008
    json: Json = False,
) -> None:
    """Which width on which target: accuracy, latency and resources side by side, the recommended
    row, and the command that builds it. No tool runs and nothing is trained."""
    from edgeinfer.base.plan import write_file
    from edgeinfer.report.fitting import fit_page
    from edgeinfer.report.fitting.fit_table import FitLimits
    from edgeinfer.run.fit import FitOrder, fit_model
    from edgeinfer.run.folder import watch_step

    order = FitOrder(
        model,
        data,
        tuple(_targets(target, options)),
        _widths(bits),
        search,
        FitLimits(loss, options.given_values().get("latency_us")),
        axis_of_word(batch_axis),
    )
    with progress() as watcher, watch_step(watcher, "fit"):
        table = fit_model(order, watcher)
    lines = fit_page.lines(table)
    if html is not None:
        write_file(html, fit_page.html(table))
        lines.append((None, f"written   {html}"))
    answer(json_text.dumps(fit_page.document(table), indent=2), lines, as_json=json)


def _widths(words: str) -> tuple[int, ...]:
    from edgeinfer.base.errors import UsageError

    parts = [part.strip() for part in words.split(",")]
    if not all(part.isdecimal() and 2 <= int(part) <= 24 for part in parts):
        raise UsageError(
            f"--bits {words}: these are no widths.", hint="Give numbers from 2 to 24: --bits 4,6,8."
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


def _targets(names: list[str] | None, options: TargetOptions) -> list[FitTarget]:
    """The targets to try, on the devices that were named; an error where one is for none."""
    from edgeinfer.base.devices import device
    from edgeinfer.base.errors import UsageError
    from edgeinfer.cli.targets import choose_targets

    devices = {asked: device(asked) for asked in options.device or []}
    wanted = names or _targets_for(devices)
    if not wanted:
        raise UsageError(
            f"No target makes anything for {', '.join(devices)}.",
            hint="edgeinfer devices lists the parts, and which targets each is for.",
        )
    choose_targets(wanted, options)  # refuses what is for none of them
    return [_fit_target(name, devices, options) for name in wanted]


def _targets_for(devices: dict[str, Device]) -> list[str]:
    """All targets without a device; with some, those that they are for, and those that go onto
    one known device only."""
    from edgeinfer.base import devices as known
    from edgeinfer.targets.registry import known_targets

    found = []
    for name, entry in known_targets().items():
        fitting = [part for part in known.devices() if entry.on_device(part, part.name) is not None]
        named = any(entry.on_device(part, asked) is not None for asked, part in devices.items())
        if named or not devices or len(fitting) == 1:
            found.append(name)
    return found


def _fit_target(name: str, devices: dict[str, Device], options: TargetOptions) -> FitTarget:
    """A target with its settings, folded until it fits where nothing else was asked for."""
    from edgeinfer.run.fit import FitTarget
    from edgeinfer.targets.registry import choose_for, entry_of

    entry = entry_of(name)
    given = {k: v for k, v in options.given_values().items() if k in entry.options}
    if FILL in entry.options and not set(given) & {FILL, *GOALS}:
        given[FILL] = True
    chosen = choose_for(name, devices, entry.read_options(given))
    mine = [asked for asked, part in devices.items() if entry.on_device(part, asked) is not None]
    place = chosen.target.place_of(chosen.settings)
    shown = "" if place is None else place.device.name if place.device else place.part
    words = [word for asked in mine[:1] for word in ("--device", asked)]
    for option, value in given.items():
        words += _option_words(option, value)
    return FitTarget(chosen, mine[0] if mine else shown, tuple(words))


def _option_words(option: str, value: Any) -> list[str]:
    flag = f"--{option.replace('_', '-')}"
    match value:
        case True:
            return [flag]
        case False:
            return [f"--no-{flag[2:]}"]
        case list():
            return [word for each in value for word in (flag, str(each))]
        case _:  # a number or a word
            return [flag, f"{value:g}" if isinstance(value, float) else str(value)]
