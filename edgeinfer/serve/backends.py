# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What computes behind the door: the exact engine, a target's simulation, or a board."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.base.fenced import refuse_links
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.onnx_builder import available_threads
from edgeinfer.ir.program import Program
from edgeinfer.run import projects
from edgeinfer.run.folder import Progress, RunFolder, open_run
from edgeinfer.run.lower import read_recipe
from edgeinfer.run.result import RECIPE
from edgeinfer.run.trial import stored_program
from edgeinfer.targets.registry import ChosenTarget
from quantization.fixed import Ints
from quantization.recipe import Recipe

ENGINE, BOARD = "engine", "board"
# Raw inputs to raw outputs. They fit the Program: the server has checked shapes and ranges.
Runner = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, Ints]]


@dataclass(frozen=True, slots=True)
class Instance:
    """What computes a batch: several threads, each a part of it, or all of them together where
    there are fewer samples than threads. Several batches may be computed at the same time."""

    run_part: Runner  # by several threads at the same time
    run_few: Runner
    threads: int = 1
    samples_at_once: int | None = None  # that are quickest; None: as many as there are


@dataclass(frozen=True, slots=True)
class RunnableProgram:
    """A Program, the formats of its inputs, and what computes it."""

    program: Program
    recipe: Recipe
    instance: Instance


@contextlib.contextmanager
def open_backend(run: Path, name: str, instances: int) -> Iterator[RunnableProgram]:
    """What computes a run's Program. The engine only reads the folder; anything else works in it,
    and keeps other processes out for as long."""
    if name == ENGINE:
        refuse_links(run)
        folder = RunFolder(run, Progress())
        program, recipe = stored_program(folder), read_recipe(run / RECIPE)
        threads = max(1, available_threads() // instances)
        single = Engine(program, threads=1)
        together = Engine(program, threads=threads) if threads > 1 else single
        runners = single.run_fitting, together.run_fitting  # the server has checked what they read
        instance = Instance(*runners, threads, single.batch)
        yield RunnableProgram(program, recipe, instance)
        return
    if instances != 1:
        raise UsageError(
            f"{name} computes one batch at a time, not {instances}.", hint="Leave --instances out."
        )
    with open_run(run, Progress(), new=False) as folder:
        program, recipe = stored_program(folder), read_recipe(run / RECIPE)
        run_target = _target_runner(folder, program, name)
        yield RunnableProgram(program, recipe, Instance(run_target, run_target))


def _target_runner(folder: RunFolder, program: Program, name: str) -> Runner:
    kind, _, port = name.partition(":")
    recalled = projects.recall_targets(folder, program.digest)
    if kind == BOARD:
        for chosen in recalled:
            if chosen.target.has_board(chosen.settings):
                projects.refuse_foreign_code(folder, program, chosen)
                return _board_runner(folder.path / chosen.name, chosen, port or None)
        raise UsageError(
            f"{folder.path} holds no design for a board.",
            hint="Compile the model with --target rtl --board ulx3s.",
        )
    for chosen in recalled:
        if name in (chosen.name, chosen.target.stage) and chosen.is_simulated:
            projects.refuse_foreign_code(folder, program, chosen)
            return _simulation_runner(folder.path / chosen.name, program, chosen)
    there = [chosen.target.stage for chosen in recalled if chosen.is_simulated]
    raise UsageError(
        f"{folder.path} holds nothing that {name!r} could compute with.",
        hint=f"It can be served by {', '.join([ENGINE, *there])}; compile adds targets.",
    )


def _simulation_runner(place: Path, program: Program, chosen: ChosenTarget) -> Runner:
    def run(raw: Mapping[str, NDArray[Any]]) -> Mapping[str, Ints]:
        wide = {name: values.astype("int64") for name, values in raw.items()}
        values = chosen.target.simulate(program, place, wide, chosen.settings)
        return {output.name: values[output.name] for output in program.outputs}

    return run


def _board_runner(place: Path, chosen: ChosenTarget, port: str | None) -> Runner:
    def run(raw: Mapping[str, NDArray[Any]]) -> Mapping[str, Ints]:
        wide = {name: values.astype("int64") for name, values in raw.items()}
        reply = chosen.target.ask_board(
            place, wide, chosen.settings, port=port, simulated=port is None
        )
        return reply.outputs

    return run
