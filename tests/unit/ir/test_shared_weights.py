# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A layer that is called twice has one set of weights: in the Program, its file, and the RTL."""

from __future__ import annotations

import io
import zipfile
from functools import cache

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.ir import store
from edgeinfer.ir.largest_part import largest_part
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Dense
from edgeinfer.ir.program import Program
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget


@cache
def siamese() -> Program:
    """Two inputs through the same layer, and a layer that reads both results."""
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(6, 4)), rng.normal(size=4)
    graph = g.Graph(
        "siamese",
        (
            g.InputNode("a", (6,)),
            g.InputNode("b", (6,)),
            g.DenseNode("seen", "tower", "a", kernel, bias),
            g.DenseNode("seen_call2", "tower", "b", kernel, bias),
            g.ConcatNode("both", ("seen", "seen_call2"), -1),
            g.DenseNode("y", "head", "both", rng.normal(size=(8, 3)), None),
        ),
        ("y",),
    )
    data = {name: rng.normal(size=(50, 6)) for name in ("a", "b")}
    chosen = quantize(graph, data, PtqSettings(8))
    return lower(chosen.graph, chosen.recipe).program


def test_the_program_holds_them_once() -> None:
    program = siamese()
    first, second, head = (op for op in program.ops if isinstance(op, Dense))
    assert first.weight is second.weight
    extra = 0 if first.bias is second.bias else 4  # inputs of other formats have other biases
    assert program.parameters == 6 * 4 + 4 + extra + head.weight.size + head.bias.size


def test_so_does_its_file() -> None:
    program = siamese()
    content = store.save(program)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        weights = [name for name in archive.namelist() if name.endswith(".weight.npy")]
    assert len(weights) == 2
    read = store.load(content)
    assert read.digest == program.digest
    assert read.parameters == program.parameters
    assert store.save(read) == content


def test_so_does_the_rtl_design() -> None:
    files = RtlTarget().emit(siamese(), RtlSettings()).files
    assert len([name for name in files if name.endswith("_weights.mem")]) == 2


def test_what_a_chip_would_hold_counts_them_once() -> None:
    program = siamese()
    whole = largest_part(program, 8 * (6 * 4 + 8 * 3))
    assert (whole.layers, whole.macs_share) == (3, 1.0)
    part = largest_part(program, 8 * 6 * 4)
    assert (part.layers, part.of_layers, part.weight_bits) == (2, 3, 192)
    assert "first 2 of 3 layers" in str(part)
    assert "Not even the first" in str(largest_part(program, 1))
