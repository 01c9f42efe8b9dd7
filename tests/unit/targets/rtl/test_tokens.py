# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sparse networks as streams of tokens: the interpreter's integers for any number of sites, never
later than is counted; and what has no place in such a design, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import DisagreementError, ProgramError, UsageError
from edgeinfer.base.site_figures import BOUND, SEEN
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.engine.left_out import count_lit
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.ops import Conv, Dense, Input, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.choose import design_netlist, made_program
from edgeinfer.targets.rtl.design.cycles import count_cycles
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.design.netlist import SizedNumber, steps_of
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from edgeinfer.targets.rtl.sparse.figures import bounds_by_sites, draw_frame
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.simulate import IDEAL, run
from quantization.fixed import Fixed, Ints
from tests.support.rtl_designs import needs_verilator, random_folds
from tests.support.rtl_faults import FAULTS
from tests.support.rtl_library import Fault
from tests.support.sampling import sample_cases
from tests.support.sparse_programs import (
    depthwise_network,
    grouped_network,
    lit_images,
    neutrino_network,
    sites_of_another,
    sparse_encoder,
    sparse_unet,
    token_unet,
)

OCCUPANCIES = (0.3, 0.0, 0.01, 1.0, 0.1, 1.0, 0.0, 0.04, 0.5, 0.02)
TOKENS = RtlSettings(sparse="tokens")
SITE_FAULTS = [fault for fault in FAULTS if fault.file.startswith("ei_site")]


def folded_tokens(program: Program, seed: int) -> RtlSettings:
    """Settings with random folds of the layers that a design in tokens has."""
    made = made_program(prepare_program(program, sites=True), TOKENS)
    return RtlSettings(sparse="tokens", folds=random_folds(made, seed))


def assert_exact(program: Program, seed: int, folder: Path) -> None:
    """With gaps, back-pressure and a reset; and what the design says it has left out."""
    assert_exact_as(program, folded_tokens(program, seed), seed, folder)


def assert_exact_as(program: Program, settings: RtlSettings, seed: int, folder: Path) -> None:
    target = RtlTarget()
    target.emit(program, settings).write(folder)
    raw = lit_images(program, seed, OCCUPANCIES)
    found = target.simulate(program, folder, raw, settings)
    for name, wanted in results(program, interpret(program, raw)).items():
        np.testing.assert_array_equal(found[name], wanted, err_msg=name)
    for lit in count_lit(program, raw):
        assert found["sites_lit_dropped"] == lit.left_out.sum()


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_sparse_networks_in_tokens(seed: int, tmp_path: Path) -> None:
    assert_exact(sparse_encoder(seed), seed, tmp_path)


@needs_verilator
@pytest.mark.parametrize("seed", sample_cases(range(6, 36), 30))
def test_random_sparse_unets_in_tokens(seed: int, tmp_path: Path) -> None:
    """The way back up: tokens of coarser sites as those of the finer ones, beside what was kept.
    The first of them has every block for tokens."""
    assert_exact(token_unet(seed), seed, tmp_path)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("network", [sparse_encoder, token_unet, grouped_network])
@pytest.mark.parametrize("seed", [8, 11])
def test_no_frame_is_later_than_is_counted(
    network: Callable[[int], Program], seed: int, tmp_path: Path
) -> None:
    """All sites at the beginning, at the end, in one column, in one row, and drawn."""
    program = prepare_program(network(seed), sites=True)
    settings = folded_tokens(program, seed)
    RtlTarget().emit(program, settings).write(tmp_path)
    _, netlist = design_netlist(program, settings)
    counted = count_cycles(netlist).latency
    (image,) = program.inputs
    places = np.arange(np.prod(image.shape[:2])).reshape(image.shape[:2])
    drawn = np.random.default_rng(seed).permutation(places.ravel())
    for some in (places.ravel(), places.ravel()[::-1], places.T.ravel(), places[-1], drawn):
        for count in (1, len(some) // 2, len(some)):
            raw: Ints = np.zeros((1, *image.shape), np.int64)
            raw.reshape(-1, image.shape[-1])[some[:count]] = image.type.raw_max
            trace = run(netlist, program, tmp_path, {"image": raw}, IDEAL, (), counted)
            assert trace.latency() <= counted
            wanted = results(program, interpret(program, {"image": raw}))
            for name, value in wanted.items():
                np.testing.assert_array_equal(trace.outputs[name], value)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("fault", SITE_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_noticed_by_a_network_in_tokens(fault: Fault, tmp_path: Path) -> None:
    """Of several networks, some have the block in the mode in which it is faulty."""
    target = RtlTarget()
    with pytest.raises((AssertionError, DisagreementError)):
        for network, seed in product((sparse_encoder, token_unet), range(12)):
            folder = tmp_path / f"{network.__name__}{seed}"
            program = network(seed)
            settings = folded_tokens(program, seed)
            target.emit(program, settings).write(folder)
            if not (folder / HDL / fault.file).is_file():
                continue
            fault.put_in(folder / HDL)
            raw = lit_images(program, seed, OCCUPANCIES)
            found = target.simulate(program, folder, raw, settings)
            for name, wanted in results(program, interpret(program, raw)).items():
                np.testing.assert_array_equal(found[name], wanted, err_msg=name)


def grouped_as(*folds: Fold) -> tuple[Program, RtlSettings]:
    """A network with channels in groups, its layers folded like this."""
    program = prepare_program(grouped_network(3), sites=True)
    names = [layer.op for layer in layers_of(made_program(program, TOKENS))]
    folds_of_layers = tuple(zip(names, folds, strict=True))
    return program, RtlSettings(sparse="tokens", folds=folds_of_layers)


# All groups at once, some of them, one after the other, a part of one; and layers computed whole.
ALL_GROUPS = (Fold(4, 1), Fold(8, 3), Fold(4, 4), Fold(4, 12), Fold(4, 1))
SOME_GROUPS = (Fold(2, 3), Fold(4, 9), Fold(2, 2), Fold(2, 18), Fold(2, 2))
ONE_GROUP = (Fold(), Fold(), Fold(), Fold(), Fold())
WHOLE = (Fold(1, 9), Fold(8, 9), Fold(2, 1), Fold(1, 3), Fold(4, 4))


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("folds", [ALL_GROUPS, SOME_GROUPS, ONE_GROUP, WHOLE])
def test_channels_in_groups_are_exact_in_tokens(folds: tuple[Fold, ...], tmp_path: Path) -> None:
    program, settings = grouped_as(*folds)
    assert_exact_as(program, settings, 1, tmp_path)
    bounds = [
        metric.value for metric in bounds_by_sites(program, *design_netlist(program, settings))
    ]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("folds", [ALL_GROUPS, SOME_GROUPS])
def test_there_are_no_weights_between_groups_in_tokens(folds: tuple[Fold, ...]) -> None:
    program, settings = grouped_as(*folds)
    folding, netlist = design_netlist(program, settings)
    macs = [block for block in netlist.blocks if block.module == "ei_mac"]
    sizes = ("PE", "SIMD", "ROUNDS", "SF", "NF")
    held = [math.prod(int(str(block.parameters[key])) for key in sizes) for block in macs]
    assert held == [op.weight.size for op in program.ops if isinstance(op, Conv)]
    assert folding.multipliers() == sum(fold.pe * fold.simd for fold in folds)


@pytest.mark.slow
def test_a_goal_is_reached_without_counting_what_has_too_many_steps() -> None:
    """With one multiplier the channels would be read in nine million steps; that took minutes."""
    program = prepare_program(depthwise_network(64, 256), sites=True)
    _, netlist = design_netlist(program, RtlSettings(sparse="tokens", latency_us=1e6))
    steps = max(steps_of(actor) for actor in netlist.actors)
    assert 1 << 20 < steps <= 1 << 22


def test_neutrino_images_take_fewer_cycles_the_fewer_sites_they_have() -> None:
    """SparsePixels' network, unfolded: a part of the cycles of its image's 4,096 pixels."""
    program = prepare_program(neutrino_network(1), sites=True)
    made = made_program(program, TOKENS)
    names = [layer.op for layer in layers_of(made)]
    folds = (Fold(1, 49), Fold(1, 49), Fold(4, 49), Fold(12, 4), Fold(1, 12))
    settings = RtlSettings(sparse="tokens", folds=tuple(zip(names, folds, strict=True)))
    bounds = [m.value for m in RtlTarget().estimate(program, settings) if m.name == BOUND]
    assert bounds == sorted(bounds) and bounds[0] < 0.7 * bounds[-1]
    assert bounds[-1] < 600 < 4096


@needs_verilator
@pytest.mark.slow
def test_neutrino_images_are_classified_exactly(tmp_path: Path) -> None:
    program, target = neutrino_network(2), RtlTarget()
    assert_exact(program, 2, tmp_path)
    settings = folded_tokens(program, 2)
    counted = {m.layer: m.value for m in target.estimate(program, settings) if m.name == BOUND}
    for metric in target.time_simulation(program, tmp_path, settings):
        assert metric.name == SEEN and metric.value <= counted[metric.layer]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (sites_of_another(), "%everywhere at lit pixels alone"),
        (sparse_unet(1, size=128, most=None, levels=1), "up to 16,384 sites"),
    ],
)
def test_what_has_no_tokens_is_refused_by_name(program: Program, said: str) -> None:
    target = RtlTarget()
    with pytest.raises(ProgramError, match=said) as error:
        target.emit(program, TOKENS)
    assert "frames hold" in error.value.hint
    assert target.check(program, RtlSettings()) == ()  # frames are the nearest thing


def test_a_mask_that_is_read_as_a_number_is_refused() -> None:
    program = sparse_encoder(1)
    program = replace(program, outputs=(*program.outputs, Output("lit", "sites")))
    (offence,) = RtlTarget().check(program, TOKENS)
    assert offence.path == "lit" and "list of places" in offence.reason


@pytest.mark.parametrize(("threshold", "held"), [(1000, 31), (31, 31), (-7, -7), (-900, -33)])
def test_a_threshold_beyond_the_type_stays_beyond_it(threshold: int, held: int) -> None:
    program = prepare_program(sparse_unet(1, levels=1, size=8, threshold=threshold), sites=True)
    _, netlist = design_netlist(program, TOKENS)
    (front,) = (block for block in netlist.blocks if block.module == "ei_sites")
    assert front.parameters["THRESHOLD"] == SizedNumber(7, held)


def test_a_dense_network_has_no_tokens() -> None:
    builder = ProgramBuilder("dense")
    x = builder.add(Input("x", Fixed(True, 6, 2), (4,)))
    weight = pack_weights(np.ones((4, 2), np.int64))
    bias = pack_weights(np.zeros(2, np.int64))
    y = builder.exact(Dense("y", provisional(4), x, weight, Fixed(False, 1, 1), bias))
    (offence,) = RtlTarget().check(builder.program((Output("y", y),)), TOKENS)
    assert "nothing is sparse" in offence.reason


def test_tokens_are_not_unrolled() -> None:
    with pytest.raises(UsageError, match="one by one"):
        RtlSettings(sparse="tokens", unroll="full")
    assert draw_frame(neutrino_network(1), 5)["image"].sum() == 5 * 255
