# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What every target must hold: a base class to subclass, also for targets of other packages.

    class TestMine(TargetSuite):
        target = MyTarget()
        settings = MySettings()

Programs that the target refuses are left out, but a target has to take its `least` of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.ir.interpret import Values, interpret, results
from edgeinfer.ir.ops import Input, inputs_of
from edgeinfer.ir.passes import drop_dead, fold_constants
from edgeinfer.ir.program import Program
from edgeinfer.targets.target import Target
from quantization.fixed import Ints
from tests.support.random_programs import random_inputs, random_program

SAMPLES = 5


def tidied(program: Program) -> Program:
    """The Program without what no output needs, inputs included."""
    live = drop_dead(fold_constants(program))
    read = {x for op in live.ops for x in inputs_of(op)} | {o.value for o in live.outputs}
    kept = drop_dead(program)
    ops = tuple(op for op in kept.ops if op.name in read or not isinstance(op, Input))
    return replace(kept, ops=ops)


class TargetSuite:
    """Equality with the interpreter, over random Programs; the same files every time; all offences
    at once."""

    target: ClassVar[Target[Any]]
    settings: ClassVar[Any]
    seeds: ClassVar[Sequence[int]] = range(10)
    max_ops: ClassVar[int] = 6
    draw: ClassVar[Callable[..., Program]] = staticmethod(random_program)
    least: ClassVar[float] = 0.5  # of the Programs that are not refused

    def programs(self) -> dict[int, Program]:
        """The Programs that the target takes, by seed."""
        found = {}
        for seed in self.seeds:
            program = tidied(self.draw(seed, max_ops=self.max_ops))
            if program.inputs and not self.target.check(program, self.settings):
                found[seed] = program
        return found

    def simulated(
        self, programs: Mapping[int, Program], inputs: Mapping[int, Values], folder: Path
    ) -> dict[int, dict[str, Ints]]:
        """Outputs by seed and name. A target that compiles may do so for all Programs at once."""
        found = {}
        for seed, program in programs.items():
            place = folder / str(seed)
            self.target.emit(program, self.settings).write(place)
            found[seed] = self.target.simulate(program, place, inputs[seed], self.settings)
        return found

    def test_random_programs_are_equal_to_the_interpreter(self, tmp_path: Path) -> None:
        programs = self.programs()
        assert len(programs) >= self.least * len(self.seeds)
        inputs = {seed: random_inputs(p, seed, SAMPLES) for seed, p in programs.items()}
        result = self.simulated(programs, inputs, tmp_path)
        differing = []
        for seed, program in programs.items():
            values = interpret(program, inputs[seed])
            expected = results(program, values) | values
            differing += [
                f"seed {seed}: {name}"
                for name, actual in result[seed].items()
                if not np.array_equal(actual, expected[name])
            ]
        assert differing == []

    def test_the_same_program_gives_the_same_files(self) -> None:
        program = next(iter(self.programs().values()))
        first = self.target.emit(program, self.settings)
        second = self.target.emit(program, self.settings)
        assert first.digest == second.digest and first.files

    def test_what_is_refused_is_refused_whole(self) -> None:
        for seed in self.seeds:
            program = self.draw(seed, max_ops=self.max_ops)
            offences = self.target.check(program, self.settings)
            if offences:
                with pytest.raises(UnsupportedModelError) as caught:
                    self.target.emit(program, self.settings)
                assert caught.value.offences == offences
