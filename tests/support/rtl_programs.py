# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Programs side by side in one: many designs for the price of one build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgeinfer.ir.ops import Softmax, inputs_of
from edgeinfer.ir.passes import fold_constants, rewired
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.check import offences
from edgeinfer.targets.rtl.settings import RtlSettings
from quantization.fixed import Ints
from tests.support.random_programs import random_program


def merged(programs: Sequence[Program], name: str = "many") -> Program:
    """One Program of parts that do not touch; `p3_x` is the value `x` of part 3."""
    ops, outputs = [], []
    for number, program in enumerate(programs):
        renamed = {op.name: f"p{number}_{op.name}" for op in program.ops}
        ops += [replace(rewired(op, renamed), name=renamed[op.name]) for op in program.ops]
        outputs += [
            replace(o, name=f"p{number}_{o.name}", value=renamed[o.value]) for o in program.outputs
        ]
    return Program(name, tuple(ops), tuple(outputs))


def merged_inputs(parts: Sequence[Mapping[str, Ints]]) -> dict[str, Ints]:
    """The inputs of such a Program."""
    return {f"p{i}_{name}": raw for i, part in enumerate(parts) for name, raw in part.items()}


def random_designs(seeds: Sequence[int], count: int) -> list[tuple[int, Program]]:
    """The first random Programs for which there are blocks; a softmax is what there is none for."""
    found: list[tuple[int, Program]] = []
    for seed in seeds:
        program = without_what_is_unsupported(random_program(seed))
        if program is not None:
            found.append((seed, program))
        if len(found) == count:
            break
    return found


def without_what_is_unsupported(program: Program) -> Program | None:
    """The outputs that need no softmax and do depend on an input; None if there are none."""
    folded = fold_constants(program)
    tainted: set[str] = set()
    for op in folded.ops:
        if isinstance(op, Softmax) or any(x in tainted for x in inputs_of(op)):
            tainted.add(op.name)
    refused = {offence.path for offence in offences(folded, RtlSettings())}
    kept = tuple(o for o in folded.outputs if o.value not in tainted and o.name not in refused)
    if not kept:
        return None
    ops = tuple(op for op in folded.ops if op.name not in tainted)
    return Program(program.name, ops, kept)
