# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The shipped models as int8 files: LiteRT's default kernels beside the file's own Program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.ports import TflitePorts
from edgeinfer.zoo import ENTRIES, entry_of
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.entry import stage_seed
from quantization.fixed import Ints, Overflow, Quantizer, Rounding
from quantization.fixed import quantize as quantize_values

CALIBRATING, SAMPLES, SEED = 1_000, 10_000, 28
BLOCK = 500  # samples in memory at once: a detector's outputs are large
# A step of a recurrence or an attention multiplies two sums, a sparse network's sums need more
# bits, a graph's numbering has 1,024 entries: no int8 file equals these Programs.
WITHOUT_FORM = ("jet-recurrent", "jet-transformer", "sparse-ssnet-small", "track-graph")
NAMES = tuple(e.name for e in ENTRIES.values() if e.reference and e.name not in WITHOUT_FORM)


@dataclass(frozen=True, slots=True)
class Compared:
    """What became of the samples."""

    samples: int
    differing: int  # some output is another than the file's own Program gives
    flipped: int | None  # some class or lone score's sign, at any position, is another than the
    # engine's; None where a network decides nothing


def compare_reference(name: str, graph: Graph, samples: int = SAMPLES) -> Compared:
    """Calibrate on samples, and compare on others that nothing was made with."""
    entry, calibrating = entry_of(name), min(CALIBRATING, samples)
    drawn, _ = simulate_samples(entry, stage_seed(SEED, "fresh"), calibrating + samples)
    ranges = drawn.part(0, calibrating).inputs
    found = quantize(graph, ranges, PtqSettings(8))
    program = lower(found.graph, found.recipe.with_ties(Rounding.RND)).program
    converted = convert.convert_program(program, raw_of(program, ranges))
    assert converted.program is not None
    interpreter = simulate.Interpreter(converted.data, converted.ports)
    assert interpreter.runtime.kernels == simulate.XNNPACK
    classes = {head.name for head in entry.heads if head.loss.endswith("crossentropy")}
    judged = tuple(  # not quantities, edges of a box, features
        port
        for port in converted.ports.outputs
        if (port.fine_of or port.name) in classes or port.host is not HostFunction.NONE
    )
    differing = flipped = 0
    for start in range(calibrating, len(drawn), BLOCK):
        raw = raw_of(program, drawn.part(start, min(start + BLOCK, len(drawn))).inputs)
        stored = simulate.stored_inputs(converted.ports, simulate.real_inputs(program, raw))
        actual = interpreter.run(stored)
        own = simulate.engine_outputs(
            converted.program, simulate.raw_inputs(converted.ports, stored)
        )
        differing += simulate.compare_outputs(converted.ports, actual, own).differing
        engine = simulate.engine_outputs(program, raw)
        compared = simulate.compare_outputs(TflitePorts((), judged), actual, engine)
        flipped += compared.decision_flips_unrounded
    return Compared(samples, differing, flipped if judged else None)


def raw_of(program: Program, reals: Mapping[str, np.ndarray]) -> dict[str, Ints]:
    """Samples as the Program's raw inputs, rounded as `ports.json` says."""
    return {
        op.name: quantize_values(reals[op.name], Quantizer(op.type, Rounding.RND, Overflow.SAT))
        for op in program.inputs
    }
