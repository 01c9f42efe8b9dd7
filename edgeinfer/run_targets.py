# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Targets in a run: which there are, their projects in the run folder, and their simulations.

Another package adds a target of its own by an entry point in the group `edgeinfer.targets` that
yields a `TargetEntry`; docs/hls.md shows how, and which tests it should pass.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer import cosim, evaluate, plan
from edgeinfer.cosim import Agreement, Comparison, Divergence
from edgeinfer.errors import Offence, UnsupportedModelError, UsageError, did_you_mean
from edgeinfer.graph import Graph
from edgeinfer.ir.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.run import Outcome, RunFolder
from edgeinfer.samples import Samples
from edgeinfer.targets.protocol import Explains, Particular, Target
from quantization.fixed import Ints

GROUP = "edgeinfer.targets"
MOST_SAMPLES = 64  # that are simulated where no data are given
MOST_MACS = 1_000_000_000  # that a simulation does in about a minute
AT_ONCE = 4096  # samples of which values are held at once


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """How a target is found: its class, the class of its settings, and its simulation's stage."""

    target: str  # "package.module:Class"
    settings: str
    stage: str

    def make(self) -> Target[Any]:
        """The target itself."""
        made: Target[Any] = _found(self.target)()
        return made

    def settings_from(self, options: Mapping[str, Any]) -> Any:
        """Settings of the target's kind; what is not given is as the target has it."""
        return _found(self.settings)(**options)


TARGETS = {
    "hls": TargetEntry(
        "edgeinfer.targets.hls.target:HlsTarget",
        "edgeinfer.targets.hls.settings:HlsSettings",
        "csim",
    ),
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A target with its settings, for one run."""

    name: str
    entry: TargetEntry
    settings: Any

    @property
    def simulated(self) -> bool:
        """Whether its project can be simulated here."""
        target = self.entry.make()
        return target.simulates(self.settings) if isinstance(target, Particular) else True


@functools.cache
def known() -> dict[str, TargetEntry]:
    """All targets by name: ours, and those that other packages bring."""
    brought = {point.name: point for point in metadata.entry_points(group=GROUP)}
    found = {name: point.load() for name, point in brought.items() if name not in TARGETS}
    return {**TARGETS, **found}


def choose(name: str, options: Mapping[str, Any]) -> Chosen:
    """A target by name."""
    entries = known()
    if name not in entries:
        raise UsageError(
            f"There is no target {name!r}.",
            hint=did_you_mean(name, entries) or f"The targets are none, {', '.join(entries)}.",
        )
    return Chosen(name, entries[name], entries[name].settings_from(options))


def remembered(folder: RunFolder, program: str) -> list[Chosen]:
    """The targets that a run was compiled for. A project that someone has edited since counts: it
    is what will be simulated, and a finding says so."""
    found = []
    for name, entry in known().items():
        record = folder.recorded(name)
        if record is None or record.facts.get("program") != program:
            continue
        changed = changed_files(folder, record.files)
        facts = dict(record.facts)
        if changed:
            facts["findings"] = [
                *facts["findings"],
                f"{name}: {_listed(changed)} not as emitted; what is there was simulated.",
            ]
        folder.records[name] = replace(record, cached=True, facts=facts)
        found.append(Chosen(name, entry, restored(entry, record.facts["settings"])))
    return found


def restored(entry: TargetEntry, told: Mapping[str, Any]) -> Any:
    """Settings from what a record says of them."""
    settings = _found(entry.settings)
    read: Callable[[Mapping[str, Any]], Any] | None = getattr(settings, "from_record", None)
    return read(told) if read is not None else settings(**told)


def changed_files(folder: RunFolder, files: Mapping[str, str]) -> list[str]:
    """Files of a record that are gone or other than they were left."""
    paths = {name: folder.path / name for name in files}
    return [
        name
        for name, path in paths.items()
        if not path.is_file() or plan.sha256_of(path) != files[name]
    ]


def refused(program: Program, chosen: Chosen) -> None:
    """An error that lists every op that the target has no equal for."""
    offences: tuple[Offence, ...] = chosen.entry.make().check(program, chosen.settings)
    if offences:
        raise UnsupportedModelError(
            f"{program.name} for the target {chosen.name}",
            offences,
            hint="Change what is listed, or choose other settings or another target.",
        )


def emit(folder: RunFolder, stored: Callable[[], Program], digest: str, chosen: Chosen) -> None:
    """The target's project, in a folder of its own below the run's."""

    def made() -> Outcome:
        program = stored()
        refused(program, chosen)
        project = chosen.entry.make().emit(program, chosen.settings)
        facts = {
            "program": digest,
            "settings": asdict(chosen.settings),
            "project": project.digest,
            "findings": [f"{chosen.name}: {said}" for said in project.findings],
        }
        return Outcome(facts, {f"{chosen.name}/{path}": c for path, c in project.files.items()})

    depends_on = {"program": digest, "settings": asdict(chosen.settings)}
    folder.step(chosen.name, depends_on, made)


def simulate(
    folder: RunFolder,
    program: Program,
    chosen: Chosen,
    samples: Samples,
    raw: Mapping[str, Ints],
    graph: Callable[[], Graph],
    depends_on: Mapping[str, Any],
) -> None:
    """The target's simulation against the engine, and against labels where there are any."""
    place = folder.path / chosen.name

    def made() -> Outcome:
        agreement, outputs = _held_against(program, chosen, place, raw, folder)
        facts: dict[str, Any] = {
            "program": program.digest,
            "agreement": [asdict(agreement)],
            "findings": [
                f"{chosen.entry.stage}: simulated on {agreement.samples} samples: {samples.origin}."
            ],
        }
        if samples.labels:
            real = evaluate.real_outputs(program, outputs)
            facts["accuracy"] = {chosen.entry.stage: asdict(evaluate.score(graph(), real, samples))}
        return Outcome(facts)

    told = {
        **depends_on,
        "samples": len(samples),
        "settings": asdict(chosen.settings),
        "project": content_of(place),
    }
    folder.step(chosen.entry.stage, told, made)


def samples_for(program: Program, available: int | None, count: int | None) -> int:
    """How many samples to simulate: as many as asked for, or what takes about a minute."""
    if count is not None:
        return count
    affordable = max(2, MOST_MACS // max(program.macs, 1))
    return min(affordable, MOST_SAMPLES if available is None else available)


def content_of(place: Path) -> str:
    """The content hash of a project as it lies on the disk, without what was compiled from it."""
    state = hashlib.sha256()
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        inside = path.relative_to(place)
        if inside.parts[0] not in COMPILED:
            state.update(f"{inside.as_posix()} {plan.sha256_of(path)} ".encode())
    return state.hexdigest()


COMPILED = ("csim",)  # folders of a project that hold what is made anew


def _held_against(
    program: Program, chosen: Chosen, place: Path, raw: Mapping[str, Ints], folder: RunFolder
) -> tuple[Agreement, dict[str, Ints]]:
    target = chosen.entry.make()
    engine = Engine(program)
    comparison = Comparison(program, ("engine", chosen.entry.stage))
    total, done = len(next(iter(raw.values()))), 0
    parts: dict[str, list[Ints]] = {output.name: [] for output in program.outputs}
    for batch in evaluate.batches(raw, AT_ONCE):
        before = done

        def advanced(so_far: int, _: int, before: int = before) -> None:
            folder.progress.advanced(before + so_far, total)

        got = target.simulate(program, place, batch, chosen.settings, advanced=advanced)
        comparison.add(engine.run(batch), got)
        for name, values in parts.items():
            values.append(got[name])
        done += len(next(iter(batch.values())))
    outputs = {name: np.concatenate(values) for name, values in parts.items()}
    parted = None
    if comparison.differing:
        parted = _where_they_part(program, chosen, place, raw, engine, comparison.differing[0])
    return comparison.agreement(parted), outputs


def _where_they_part(
    program: Program,
    chosen: Chosen,
    place: Path,
    raw: Mapping[str, Ints],
    engine: Engine,
    sample: int,
) -> Divergence | None:
    """The first value that differs in a sample, with what the target knows about the cause."""
    target = chosen.entry.make()
    one = {name: values[sample : sample + 1] for name, values in raw.items()}
    taps: tuple[str, ...] = ()
    if isinstance(target, Explains):
        taps = target.tappable(program, place, chosen.settings)
    got = target.simulate(program, place, one, chosen.settings, taps=taps)
    got |= {output.value: got[output.name] for output in program.outputs}
    expected = engine.run(one, taps=tuple(op.name for op in program.ops))
    parted = cosim.first_divergence(program, expected, got, sample)
    if parted is None or not isinstance(target, Explains):
        return parted
    suspicion = target.suspect(program, place, chosen.settings, parted.value, expected, got)
    return replace(parted, got_type=suspicion.type, cause=suspicion.cause)


def _listed(changed: list[str]) -> str:
    shown = ", ".join(changed[:3])
    more = f" and {len(changed) - 3} more are" if len(changed) > 3 else ""
    verb = " is" if len(changed) == 1 else "" if more else " are"
    return f"{shown}{more}{verb}"


def _found(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
