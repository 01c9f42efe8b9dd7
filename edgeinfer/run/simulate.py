# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A target's simulation as a step of a run: held against the engine, and against labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.evaluate.merit import FloatReference, score_with_intervals
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir import agreement as cosim
from edgeinfer.ir.agreement import Agreement, AgreementTally, Divergence
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.run.dependencies import reads_of
from edgeinfer.run.folder import RunFolder, StepOutcome
from edgeinfer.run.projects import about, refuse_foreign_code
from edgeinfer.targets.registry import ChosenTarget
from edgeinfer.targets.target import Act, SimulationJudgement
from quantization.fixed import Ints

MOST_SAMPLES = 64  # that are simulated where no data are given
MOST_MACS = 1_000_000_000  # that a simulation does in about a minute
AT_ONCE = 4096  # samples of which values are held at once


def simulate(
    folder: RunFolder,
    program: Program,
    chosen: ChosenTarget,
    samples: Samples,
    raw: Mapping[str, Ints],
    graph: Callable[[], Graph],
    depends_on: Mapping[str, Any],
    *,
    edited: bool = False,
) -> None:
    """The target's simulation against the engine, and against labels where there are any. Unless
    what is `edited` may be run, the project must be what the Program gives."""
    place = folder.path / chosen.name
    stage, target = chosen.target.stage, chosen.target
    made_of = about(folder, chosen)

    def take_step() -> StepOutcome:
        if not edited:
            refuse_foreign_code(folder, program, chosen)
        judgement = None
        if not target.exact:
            judgement = target.judge(
                program,
                graph(),
                place,
                raw,
                chosen.settings,
                report_progress=folder.progress.advance,
            )
        if judgement is None:
            agreement, outputs, left_out = _compare_stage(program, chosen, place, raw, folder)
            hosts = {output.name: output.host for output in program.outputs}
            judgement = SimulationJudgement(
                (agreement,),
                judge.dequantize_outputs(program, outputs),
                hosts,
                target.time_simulation(program, place, chosen.settings),
                tuple(_tell_left_out(*counted) for counted in left_out.items() if counted[1]),
            )
        sentence = f"{stage}: simulated on {samples.about}."
        facts: dict[str, Any] = {
            "program": program.digest,
            "about": made_of,
            "agreement": [asdict(agreement) for agreement in judgement.agreement],
            "metrics": [asdict(metric) for metric in judgement.metrics],
            "findings": [sentence, *(f"{stage}: {finding}" for finding in judgement.findings)],
        }
        if samples.labels:
            real = judge.after_hosts(judgement.outputs, judgement.hosts)
            network = graph()
            floats = judge.float_outputs(network, samples)
            reference = FloatReference.of(network, samples, floats)
            scores = score_with_intervals(network, real, samples, reference)
            before = judge.score(network, floats, samples).figures
            facts["accuracy"] = {stage: asdict(replace(scores, floats=before))}
        return StepOutcome(facts)

    folder.step(
        stage,
        reads_of(chosen, Act.SIMULATE),
        {**depends_on, "samples": len(samples), **made_of},
        take_step,
    )


def samples_for(program: Program, available: int | None, count: int | None) -> int:
    """How many samples to simulate: as many as asked for, or what takes about a minute."""
    if count is not None:
        return count
    affordable = max(
        2,
        min(MOST_MACS // max(program.macs, 1), judge.affordable(op.shape for op in program.inputs)),
    )
    return min(affordable, MOST_SAMPLES if available is None else available)


def _compare_stage(
    program: Program, chosen: ChosenTarget, place: Path, raw: Mapping[str, Ints], folder: RunFolder
) -> tuple[Agreement, dict[str, Ints], dict[str, int]]:
    """The agreement, the outputs, and how many lit pixels each counter of the design tells."""
    target = chosen.target
    engine = Engine(program)
    comparison = AgreementTally(program, ("engine", chosen.target.stage))
    total, done = len(next(iter(raw.values()))), 0
    parts: dict[str, list[Ints]] = {output.name: [] for output in program.outputs}
    left_out: dict[str, int] = {}
    for batch in judge.batches(raw, AT_ONCE):
        before = done

        def advanced(so_far: int, _: int, before: int = before) -> None:
            folder.progress.advance(before + so_far, total)

        actual = target.simulate(program, place, batch, chosen.settings, report_progress=advanced)
        comparison.add(engine.run(batch), actual)
        for name, values in actual.items():
            if name in parts:
                parts[name].append(values)
            else:
                left_out[name] = left_out.get(name, 0) + int(values.sum())
        done += len(next(iter(batch.values())))
    outputs = {name: np.concatenate(values) for name, values in parts.items()}
    divergence = None
    if comparison.differing:
        divergence = _where_they_part(program, chosen, place, raw, engine, comparison.differing[0])
    return comparison.agreement(divergence), outputs, left_out


def _tell_left_out(port: str, count: int) -> str:
    return (
        f"the design's port {port} has counted {count:,} lit pixels beyond its limit, as many as "
        "the Program leaves out."
    )


def _where_they_part(
    program: Program,
    chosen: ChosenTarget,
    place: Path,
    raw: Mapping[str, Ints],
    engine: Engine,
    sample: int,
) -> Divergence | None:
    """The first value that differs in a sample, with what the target knows about the cause."""
    target = chosen.target
    one = {name: values[sample : sample + 1] for name, values in raw.items()}
    taps = target.tappable(program, place, chosen.settings)
    actual = target.simulate(program, place, one, chosen.settings, taps=taps)
    actual |= {output.value: actual[output.name] for output in program.outputs}
    expected = engine.run(one, taps=tuple(op.name for op in program.ops))
    divergence = cosim.first_divergence(program, expected, actual, sample)
    if divergence is None:
        return None
    suspicion = target.suspect(program, place, chosen.settings, divergence.value, expected, actual)
    if suspicion is None:
        return divergence
    return replace(divergence, got_type=suspicion.type, cause=suspicion.cause)
