# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A run's design on its board, or the board simulated from pin to pin, held against the engine."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.base.errors import UsageError
from edgeinfer.evaluate import judge
from edgeinfer.ir.agreement import Agreement, AgreementTally
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.run import projects
from edgeinfer.run.folder import RunFolder, watch_step
from edgeinfer.run.samples import DataFile, Simulation
from edgeinfer.run.trial import ProgramTrial, recall_model
from edgeinfer.targets.registry import ChosenTarget


def board_agreement(
    folder: RunFolder, *, data: Path | None, count: int, port: str | None
) -> Agreement:
    """What a board answers to some samples, against the engine's integers."""
    if count < 1:
        raise UsageError(f"{count} samples cannot be sent.", hint="Ask for 1 or more.")
    for step in ("load", "lower"):
        if not folder.recall_step(step):
            raise UsageError(f"{folder.path} holds no finished compilation.")
    load = folder.records["load"].facts
    reference = load.get("reference")
    source = DataFile(data) if data is not None else reference and Simulation(reference)
    trial = ProgramTrial(folder, recall_model(folder, load), source or None, count, ())
    chosen = _with_board(folder, trial.digest)
    samples = trial.samples.part(0, count)
    raw = judge.raw_inputs(trial.program, trial.recipe, samples)
    with watch_step(folder.progress, "board"):
        got = chosen.target.ask_board(folder.path / chosen.name, raw, chosen.settings, port)
    comparison = AgreementTally(trial.program, ("engine", "board"))
    comparison.add(Engine(trial.program).run(raw), got)
    return comparison.agreement()


def _with_board(folder: RunFolder, program: str) -> ChosenTarget:
    for chosen in projects.recall_targets(folder, program):
        if chosen.target.has_board(chosen.settings):
            return chosen
    raise UsageError(
        f"{folder.path} holds no design for a board.",
        hint="Compile the model with --target rtl --board ulx3s.",
    )
