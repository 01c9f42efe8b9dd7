# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which figures of two runs may be compared, and why not where they may not."""

from __future__ import annotations

from edgeinfer.report.result import Result


def same_network(first: Result, second: Result) -> bool:
    """Whether two runs decide the same: as many inputs and outputs of the same names and shapes.
    Their weights, formats and layers may differ, for that is what is compared."""
    return _ports(first) == _ports(second) and _tasks_agree(first, second)


def _ports(result: Result) -> tuple[object, ...]:
    program = result.program
    return tuple(
        tuple((tensor.name, tensor.shape) for tensor in ports)
        for ports in (program.inputs, program.outputs)
    )


def _tasks_agree(first: Result, second: Result) -> bool:
    return first.task is None or second.task is None or first.task == second.task


def device_of(result: Result, target: str) -> str | None:
    """The device that a target's design is for."""
    part = result.targets.get(target)
    return result.device if part is None else part.device


def same_samples(first: Result, second: Result, stage: str) -> str:
    """Why two runs' scores of a stage cannot be compared; empty where, as far as is known, both are
    of the same samples."""
    mine, theirs = first.accuracy.get(stage), second.accuracy.get(stage)
    if mine is None or theirs is None:
        return "not judged in both"
    if mine.samples != theirs.samples:
        return f"not comparable: judged on {mine.samples:,} samples, and on {theirs.samples:,}"
    if first.data and second.data and first.data.sha256 != second.data.sha256:
        return f"not comparable: judged on {first.data.name} and on other data"
    return ""
