# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tools on a run's projects: started where that is asked for, their reports read wherever they
lie, whoever started them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from edgeinfer.base.errors import UsageError
from edgeinfer.base.fenced import inside
from edgeinfer.ir.program import Program
from edgeinfer.run.dependencies import reads_of
from edgeinfer.run.folder import RunFolder, StepOutcome
from edgeinfer.run.projects import about, refuse_foreign_code
from edgeinfer.targets.registry import ChosenTarget, choose, known_targets
from edgeinfer.targets.target import Act, ToolStep
from quantization.fixed import Ints

MINUTES = 240.0  # for all tools of a target, where nothing else is said


@dataclass(frozen=True, slots=True)
class ToolOrder:
    """Which steps tools are to do, and how long they may take for each target. Tools that take
    seconds and are here need not be asked for."""

    steps: tuple[ToolStep, ...] = ()
    minutes: float = MINUTES

    def __post_init__(self) -> None:
        if self.minutes <= 0:
            raise UsageError(f"No tool can finish in {self.minutes:g} minutes.")

    def of(self, chosen: ChosenTarget) -> tuple[ToolStep, ...]:
        """The steps that a target's projects can be taken through."""
        target = chosen.target
        asked_steps = {*self.steps, *target.unasked_steps(chosen.settings)}
        return tuple(step for step in target.tool_steps(chosen.settings) if step in asked_steps)

    def check_steps(self, targets: Sequence[ChosenTarget]) -> None:
        """An error where a step is asked for that no target has."""
        for step in self.steps:
            if not any(step in self.of(chosen) for chosen in targets):
                names = ", ".join(chosen.name for chosen in targets) or "none"
                raise UsageError(
                    f"--{step} does nothing for the target {names}.",
                    hint=_who_has(step),
                )


def _who_has(step: ToolStep) -> str:
    having = [name for name in known_targets() if step in _steps_of(choose(name, {}))]
    return f"Targets with --{step}: {', '.join(having) or 'none'}."


def _steps_of(chosen: ChosenTarget) -> tuple[ToolStep, ...]:
    return chosen.target.tool_steps(chosen.settings)


def step_of(chosen: ChosenTarget) -> str:
    """The step in which tools work on a target's project."""
    return f"{chosen.name}-tools"


def synthesise(
    folder: RunFolder,
    program: Program,
    chosen: ChosenTarget,
    order: ToolOrder,
    raw: Mapping[str, Ints],
) -> None:
    """The target's project through the tools; what they leave is read by `reports`."""
    target, steps = chosen.target, order.of(chosen)
    if not steps:
        return
    place, name = folder.path / chosen.name, step_of(chosen)
    made_of = about(folder, chosen)

    def take_step() -> StepOutcome:
        refuse_foreign_code(folder, program, chosen, may_be_edited=False)
        done = target.synthesise(
            program, place, chosen.settings, steps,
            seconds=order.minutes * 60, raw=raw, report=folder.progress.say,
        )  # fmt: skip
        facts = {
            "about": made_of,
            "findings": [f"{chosen.name}: {line}" for line in done.lines],
            "metrics": [asdict(metric) for metric in done.metrics],
            "bitstream": done.bitstream and str(done.bitstream.relative_to(place)),
        }
        return StepOutcome(facts)

    before = folder.read_record(name)
    bitstream = before and before.facts.get("bitstream")
    is_gone = bool(bitstream) and not inside(place, str(bitstream)).is_file()
    bare = target.leaves_reports and not target.reports(place, chosen.settings)
    if before and (is_gone or bare):
        folder.forget(name)  # someone has removed what the tools left
    folder.step(name, reads_of(chosen, Act.TOOLS), {"steps": steps, **made_of}, take_step)


def reports(folder: RunFolder, chosen: ChosenTarget) -> None:
    """Whatever reports of tools are in the target's folder, read anew each time."""
    metrics = chosen.target.reports(folder.path / chosen.name, chosen.settings)
    if metrics:
        folder.note_facts(
            f"{chosen.name}-reports", {"metrics": [asdict(metric) for metric in metrics]}
        )
