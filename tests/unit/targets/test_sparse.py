# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sparse networks on the targets: the interpreter's integers, or a refusal by name."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.engine.left_out import count_lit
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.ops import Conv, Scale, inputs_of, pack_weights
from edgeinfer.ir.passes import rewire_op
from edgeinfer.ir.plain_sites import spell_sites
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Fixed
from tests.support.rtl_designs import assert_agrees, assert_cycles, make_design, needs_verilator
from tests.support.sampling import sample_cases
from tests.support.sparse_programs import lit_images, sparse_unet

OCCUPANCIES = (0.0, 0.02, 0.3, 1.0)


@needs_verilator
@pytest.mark.parametrize("seed", sample_cases(range(20), 20))
def test_random_sparse_networks_in_verilog(seed: int, tmp_path: Path) -> None:
    """Every value and output, with gaps, back-pressure and a reset; every cycle as counted."""
    program = sparse_unet(
        seed,
        size=8,
        levels=2,
        convs=1,
        channels=2,
        inputs=1 + seed % 2,
        most=None if seed % 3 == 1 else 10,
        threshold=seed % 4,
    )
    design = make_design(program, RtlSettings(), tmp_path)
    raw = lit_images(design.program, seed, OCCUPANCIES)
    ideal = assert_agrees(design, raw)
    assert_cycles(design, ideal)
    left_out = [lit.left_out.sum() for lit in count_lit(design.program, raw)]
    assert list(ideal.dropped.values()) == left_out
    gathered = {block.op for block in design.netlist.blocks if block.module == "ei_gather"}
    assert not any(name.startswith("masked") for name in gathered)  # a mask costs no frame


@pytest.mark.slow
@pytest.mark.parametrize("most", [None, 10])
@pytest.mark.parametrize("io", list(IoType))
def test_sparse_networks_in_c(io: IoType, most: int | None, tmp_path: Path) -> None:
    program = sparse_unet(4, size=8, levels=2, convs=1, channels=2, most=most, plain=True)
    settings, target = HlsSettings(io=io), HlsTarget()
    target.emit(program, settings).write(tmp_path)
    raw = lit_images(program, 4, OCCUPANCIES)
    result = target.simulate(program, tmp_path, raw, settings)
    for name, expected in results(program, interpret(program, raw)).items():
        np.testing.assert_array_equal(result[name], expected)


def test_a_limit_is_refused_by_targets_that_count_no_pixels() -> None:
    program = sparse_unet(1, most=12)
    (offence,) = convert.check(program)
    assert offence.kind == "Sites" and "first 12 lit pixels" in offence.reason
    assert "an int8 file does not count pixels" in offence.reason
    others = HlsTarget().check(program, HlsSettings(backend=Backend.ONEAPI))
    assert any("no task of oneAPI counts lit pixels" in each.reason for each in others)


def with_numbers_by_pixel(program: Program) -> Program:
    """The same with the first result of a convolution times 1 or 2, by pixel and channel."""
    builder, renamed = ProgramBuilder(program.name), dict[str, str]()
    for op in program.ops:
        name = builder.add(rewire_op(op, {x: renamed.get(x, x) for x in inputs_of(op)}))
        if isinstance(op, Conv) and not renamed:
            shape = builder.shapes[name]
            factor = pack_weights(1 + np.arange(math.prod(shape)).reshape(shape) % 2)
            none, type_ = pack_weights(np.zeros((1,), np.int64)), Fixed(False, 2, 2)
            scale = Scale("uneven", provisional(builder.frac(name)), name, factor, type_, none)
            renamed[name] = builder.exact(scale)
    return builder.program(program.outputs)


def test_numbers_that_differ_by_pixel_are_why_there_are_no_tokens() -> None:
    """Formats for each element, as HGQ2 trains them, are such numbers. HLS computes such a layer
    everywhere, which RTL does not, as long as there is another one to gain by."""
    alone, beside = (
        with_numbers_by_pixel(sparse_unet(1, size=4, levels=1, convs=convs, plain=True))
        for convs in (1, 2)
    )
    refused = [
        *HlsTarget().check(alone, HlsSettings(sparse="tokens")),
        *RtlTarget().check(alone, RtlSettings(sparse="tokens")),
        *RtlTarget().check(beside, RtlSettings(sparse="tokens")),
    ]
    assert len(refused) >= 3
    assert all("%uneven has other numbers from pixel to pixel" in each.reason for each in refused)
    assert not HlsTarget().check(beside, HlsSettings(sparse="tokens"))


def test_a_sparse_network_is_evaluated_in_frames_and_not_at_hits() -> None:
    program, target = sparse_unet(1, size=4, levels=1), RtlTarget()
    (refused,) = target.check(program, RtlSettings(event=(64, 64)))
    assert "Add --sparse tokens" in refused.reason
    assert target.check(program, RtlSettings(event=(64, 64), sparse="tokens")) == ()


def test_an_unrolled_network_does_not_count_pixels() -> None:
    program = sparse_unet(1, size=4, levels=1, convs=1, most=3)
    result = RtlTarget().check(program, RtlSettings(unroll="full"))
    assert any("fold the network instead" in each.reason for each in result)


def test_all_lit_pixels_need_no_op_of_their_own() -> None:
    program = sparse_unet(1, most=None)
    assert "Sites" not in {type(op).__name__ for op in spell_sites(program).ops}
