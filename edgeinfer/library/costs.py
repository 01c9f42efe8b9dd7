# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a model costs before any tool runs, what this machine has, and what limits a run keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeinfer.api import Model, Run
from edgeinfer.base import devices as room
from edgeinfer.base.health import Check
from edgeinfer.library.answers import LibraryAnswer, data_path, folder_of
from edgeinfer.library.health import run_checks
from edgeinfer.precision.modes import OverflowName, RoundingName
from edgeinfer.report.gates.check import GateResult
from edgeinfer.run.estimate import estimate as estimate_model
from edgeinfer.run.learn import learn_runs
from edgeinfer.run.lower import asked_formats
from edgeinfer.run.samples import Simulation
from edgeinfer.run.stored import checked_run
from edgeinfer.targets.registry import choose_for, first_target_on


def estimate(
    model: Model,
    device: str | None = None,
    *,
    target: str | None = None,
    bits: int | None = None,
    bits_of: Mapping[str, int] | None = None,
    rounding: RoundingName | None = None,
    overflow: OverflowName = "saturate",
    recipe: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> LibraryAnswer:
    """Latency and resources on a device, each with its error band, in seconds and without any tool.
    `target`: by default the one that the device is for; `options`: its settings. Formats of a model
    that states none are asked for as in `quantize`."""
    devices_by_name = {} if device is None else {device: room.device(device)}
    name = target or first_target_on(devices_by_name.get(device or ""))
    path = Path(model.source.reference) if isinstance(model.source, Simulation) else model.path
    chosen = choose_for(name, devices_by_name, options or {})
    groups = tuple((bits_of or {}).items())
    answer = estimate_model(
        path,
        chosen,
        formats=asked_formats([chosen], bits, groups, rounding, overflow),
        recipe=None if recipe is None else Path(recipe),
        batch_axis=model.batch_axis,
        data=data_path(model),
    )
    return LibraryAnswer(answer.document, answer.lines)


def teach_estimates(*runs: Run | str | Path) -> LibraryAnswer:
    """Learn from runs, or folders of hls4ml's projects, whose tools have left reports how far off
    the estimates of their designs were. The same as `estimate --learn`."""
    answer = learn_runs([folder_of(run) for run in runs])
    return LibraryAnswer(answer.document, answer.lines)


def devices() -> list[dict[str, Any]]:
    """Parts and boards with their budgets, a row each."""
    return [device.as_dict() for device in (*room.devices(), *room.listed_parts())]


def doctor() -> list[Check]:
    """What this machine can do, what is missing, and the command that mends it."""
    return run_checks()


def check(
    run: Run | str | Path,
    gates: str | Path | None = None,
    *,
    baseline: Run | str | Path | None = None,
) -> list[GateResult]:
    """A run held against a file of limits, an earlier run, or both; `held` says of each limit
    whether it was kept."""
    before = None if baseline is None else folder_of(baseline)
    return checked_run(folder_of(run), None if gates is None else Path(gates), before)
