# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A run's design on its board, real or simulated from pin to pin: built, loaded, and held against
the engine. What a real board has measured goes into the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.base.fenced import inside
from edgeinfer.base.metrics import Metric, Origin, StatedOrigin
from edgeinfer.data.samples import Samples, draw_samples
from edgeinfer.evaluate import judge
from edgeinfer.evaluate.judge import Floats
from edgeinfer.evaluate.merit import score_with_intervals
from edgeinfer.ir.agreement import Agreement, AgreementTally
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.report.result import read_figures
from edgeinfer.run import projects, steps
from edgeinfer.run import tools as run_tools
from edgeinfer.run.dependencies import reads_of
from edgeinfer.run.emit import emit
from edgeinfer.run.folder import RunFolder, StepOutcome, watch_step
from edgeinfer.run.tools import ToolOrder
from edgeinfer.run.trial import ProgramTrial, recall_trial
from edgeinfer.targets.registry import ChosenTarget
from edgeinfer.targets.target import FRAME_CYCLES, Act, BoardReply, ToolStep

MOST_SAMPLES = 1_000_000
LEAST_MINUTES = 1.0  # for another pass, so that a tool says that time is up
SIMULATED_SAMPLES = 4  # unless more are asked for: each bit on the line takes cycles
TEST_SAMPLES, SIMULATED_TEST_SAMPLES = 1_000, 20


@dataclass(frozen=True, slots=True)
class BoardPort:
    """How a board is reached: at a port, at the only one that fits, or simulated."""

    name: str | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class BoardTrial:
    """What a board, real or simulated, made of samples."""

    agreement: Agreement
    scores: Mapping[str, Floats]  # by output, the host's share included
    metrics: tuple[Metric, ...]
    where: str


@dataclass(frozen=True, slots=True)
class BoardBuild:
    """A bitstream, if there is one, the figures of what is in it, and what there is to say."""

    bitstream: Path | None
    metrics: tuple[Metric, ...]
    findings: tuple[str, ...]


def build_board(folder: RunFolder, minutes: float, *, retune: bool = False) -> BoardBuild:
    """The bitstream of a run's design, with the figures of what is delivered in the result; an
    error where there can be none. `retune`: once more, for the clock that was reached; what was
    there comes back where that makes no bitstream."""
    trial, targets, chosen = _recall_board(folder, None, None)
    ends = time.monotonic() + 60 * minutes
    built = _build(trial, targets, chosen, minutes)
    tuned = chosen.target.retune(chosen.settings, built.metrics) if retune else None
    if tuned is not None:
        again, others = _emit_anew(trial, targets, chosen, tuned)
        left = max((ends - time.monotonic()) / 60, LEAST_MINUTES)
        try:
            faster = _build(trial, others, again, left)
        except ToolFailedError:
            if built.bitstream is None:
                raise
            faster = BoardBuild(None, (), ())
        if faster.bitstream is None and built.bitstream is not None:
            first, others = _emit_anew(trial, others, again, chosen.settings)
            built = _build(trial, others, first, minutes)  # which the tools' cache knows
        else:
            built = faster
    if built.bitstream is None:
        raise ToolFailedError(" ".join(built.findings))
    return built


def _build(
    trial: ProgramTrial, targets: list[ChosenTarget], chosen: ChosenTarget, minutes: float
) -> BoardBuild:
    folder = trial.folder
    _, raw = steps.samples_of_trial(trial, chosen)
    steps.recall_trials(trial, targets)
    order = ToolOrder((ToolStep.ROUTE,), minutes)
    run_tools.synthesise(folder, trial.program, chosen, order, raw)
    steps.write_result(folder, targets)
    facts = folder.records[run_tools.step_of(chosen)].facts
    bitstream_name = facts["bitstream"]
    return BoardBuild(
        inside(folder.path / chosen.name, bitstream_name) if bitstream_name else None,
        tuple(metric for metric in read_figures(facts["metrics"]) if metric.layer is None),
        tuple(facts["findings"]),
    )


def _emit_anew(
    trial: ProgramTrial, targets: list[ChosenTarget], chosen: ChosenTarget, settings: Any
) -> tuple[ChosenTarget, list[ChosenTarget]]:
    """A target's project with other settings in the place of what is there, and tried again."""
    emission = emit(trial, replace(chosen, settings=settings))
    others = [emission if other.name == emission.name else other for other in targets]
    steps.exercise(trial, (emission.target.stage,), others)
    return emission, others


def load_board(folder: RunFolder) -> str:
    """Put the bitstream of a run onto its board."""
    _, _, chosen = _recall_board(folder, None, None)
    with watch_step(folder.progress, "load"):
        return chosen.target.load_board(
            folder.path / chosen.name, chosen.settings, folder.progress.say
        )


def sample_count(count: int | None, *, drawn: bool, simulated: bool) -> int | None:
    """How many samples to send where nobody says: None for all that there are."""
    if count is not None:
        return count
    if drawn:
        return SIMULATED_TEST_SAMPLES if simulated else TEST_SAMPLES
    return SIMULATED_SAMPLES if simulated else None


def run_board(
    folder: RunFolder, *, data: Path | None, count: int | None, port: BoardPort, drawn: bool = False
) -> BoardTrial:
    """What a board answers to samples, against the engine's integers: the run's own, or `drawn`
    from all that the inputs can hold. What a real board has done is added to the result; a
    simulated one leaves the run as it is."""
    if count is not None and not 1 <= count <= MOST_SAMPLES:
        raise UsageError(f"{count} samples cannot be sent.", hint=f"Ask for 1 to {MOST_SAMPLES:,}.")
    trial, targets, chosen = _recall_board(folder, data, count)
    if drawn:
        inputs = {op.name: (op.shape, op.type) for op in trial.program.inputs}
        samples = draw_samples(inputs, trial.tried)
    else:
        samples = trial.samples.part(0, len(trial.samples) if count is None else count)
    return _try_board(trial, targets, chosen, samples, port)


def _try_board(
    trial: ProgramTrial,
    targets: list[ChosenTarget],
    chosen: ChosenTarget,
    samples: Samples,
    port: BoardPort,
) -> BoardTrial:
    folder, program = trial.folder, trial.program
    projects.refuse_foreign_code(folder, program, chosen, may_be_edited=False)
    raw = judge.raw_inputs(program, trial.recipe, samples)
    with watch_step(folder.progress, "board"):
        reply = chosen.target.ask_board(
            folder.path / chosen.name, raw, chosen.settings, port=port.name,
            simulated=port.simulated, report_progress=folder.progress.advance,
        )  # fmt: skip
    comparison = AgreementTally(program, ("engine", "board"))
    comparison.add(Engine(program).run(raw), reply.outputs)
    scores = judge.real_outputs(program, reply.outputs)
    trial_of_board = BoardTrial(
        comparison.agreement(), scores, _metrics(reply, chosen, len(samples), port), reply.where
    )
    if not port.simulated:
        _keep(trial, targets, chosen, samples, trial_of_board)
    return trial_of_board


def _metrics(
    reply: BoardReply, chosen: ChosenTarget, samples: int, port: BoardPort
) -> tuple[Metric, ...]:
    """Latency as the board counted it, in cycles and at its clock, if it has counted; the rate over
    its line only of a real one."""
    origin: StatedOrigin = Origin.SIMULATED if port.simulated else Origin.MEASURED
    figures = []
    if len(reply.cycles):
        cycles = float(np.median(reply.cycles))
        figures.append((reply.counted, cycles, "cycles"))
        if reply.counted == FRAME_CYCLES:
            figures.append(("latency_us", cycles / reply.clock_mhz, "us"))
    if not port.simulated:
        figures.append(("board_throughput", samples / reply.seconds, "frames/s"))
    return tuple(
        Metric(name, value, unit, origin, target=chosen.name, note=f"on {reply.where}")
        for name, value, unit in figures
    )


def _keep(
    trial: ProgramTrial,
    targets: list[ChosenTarget],
    chosen: ChosenTarget,
    samples: Samples,
    board_trial: BoardTrial,
) -> None:
    """The measurement into the run's records and its result."""
    folder, step = trial.folder, steps.board_step(chosen)
    made_of = projects.about(folder, chosen)
    facts: dict[str, Any] = {
        "program": trial.digest,
        "about": made_of,
        "agreement": [asdict(board_trial.agreement)],
        "metrics": [asdict(metric) for metric in board_trial.metrics],
        "findings": [
            f"board: {len(samples)} samples ({samples.origin}) were computed on "
            f"{board_trial.where}."
        ],
    }
    if samples.labels:
        graph = trial.model.loaded.graph
        facts["accuracy"] = {
            "board": asdict(score_with_intervals(graph, board_trial.scores, samples))
        }
    steps.recall_trials(trial, targets)
    folder.forget(step)  # a board is measured anew each time
    folder.step(step, reads_of(chosen, Act.TOOLS), made_of, lambda: StepOutcome(facts))
    steps.write_result(folder, targets)


def _recall_board(
    folder: RunFolder, data: Path | None, count: int | None
) -> tuple[ProgramTrial, list[ChosenTarget], ChosenTarget]:
    """The Program of a run with its samples, its targets, and the one that is on a board."""
    for step in ("load", "lower"):
        if not folder.recall_step(step):
            raise UsageError(f"{folder.path} holds no finished compilation.")
    trial = recall_trial(folder, data, count, ())
    targets = projects.recall_targets(folder, trial.digest)
    for chosen in targets:
        if chosen.target.has_board(chosen.settings):
            return trial, targets, chosen
    raise UsageError(
        f"{folder.path} holds no design for a board.",
        hint="Compile the model with --target rtl --board ulx3s; edgeinfer board list names all.",
    )
