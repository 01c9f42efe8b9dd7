# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``fit``: in how many bits, on which target, and what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edgeinfer.cli.options import BatchAxis, Data, Json, ModelFile, axis_of_word
from edgeinfer.cli.targets import GENERAL, TargetOptions, options_of_targets
from edgeinfer.cli.terminal import answer, progress
from edgeinfer.targets.options import ESTIMATE

if TYPE_CHECKING:
    from edgeinfer.run.fit import FitTarget

    FitOptions = TargetOptions
else:
    FitOptions = options_of_targets(ESTIMATE)


def fit(
    model: ModelFile,
    /,
    *,
    data: Data = None,
    options: Annotated[FitOptions, Parameter(name="*")] = FitOptions(),  # noqa: B008
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
        _targets(target, options),
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
    answer(fit_page.document(table), lines, as_json=json)


def _widths(words: str) -> tuple[int, ...]:
    from edgeinfer.base.errors import UsageError

    parts = [part.strip() for part in words.split(",")]
    if not all(part.isdecimal() and 2 <= int(part) <= 24 for part in parts):
        raise UsageError(
            f"--bits {words}: these are no widths.", hint="Give numbers from 2 to 24: --bits 4,6,8."
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


def _targets(names: list[str] | None, options: TargetOptions) -> tuple[FitTarget, ...]:
    """The targets to try; an error for an option that is for none of them."""
    from edgeinfer.base.devices import device
    from edgeinfer.cli.targets import choose_targets
    from edgeinfer.run.fit import plan_fit_targets

    devices = {device_name: device(device_name) for device_name in options.device or []}
    targets: tuple[FitTarget, ...] = plan_fit_targets(names, devices, options.given_values())
    choose_targets([target.chosen.name for target in targets], options)
    return targets
