# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sparse networks as lists of sites: the interpreter's integers, and cycles that follow sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.devices import device
from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.engine.left_out import count_lit
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.ops import Conv, Input, PairKind, Pool, PoolKind, Sites, pack_weights
from edgeinfer.ir.plain_sites import spell_sites
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.hls.csim import build, simulate
from edgeinfer.targets.hls.estimate.estimate import estimate
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.project.place import lay_out
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.sparse.ops import FinerTokens, PlaceList, TokenFrame, TokenWindows
from edgeinfer.targets.hls.sparse.rewrite import lay_program
from edgeinfer.targets.hls.target import HlsTarget
from quantization.fixed import Fixed
from tests.conformance.hls_suite import QUICK
from tests.support.sparse_programs import lit_images, neutrino_network, sparse_encoder, sparse_unet

TOKENS = HlsSettings(sparse="tokens")
# Each after others, so that nothing of a frame may be left over in the next one.
OCCUPANCIES = (0.0, 0.001, 0.01, 0.1, 0.3, 1.0, 0.0, 0.05)


def small_unet(seed: int) -> Program:
    return sparse_unet(
        seed,
        size=8,
        levels=2 + seed % 2,
        convs=1,
        channels=2,
        inputs=1 + seed % 2,
        most=None if seed % 3 == 1 else 10,
        threshold=seed % 4,
    )


def awkward_network(axes: int) -> Program:
    """A dilated window on an image that is not masked, then windows that overlap, and that look
    beyond the border, on values that may be negative."""
    builder, rng = ProgramBuilder(f"awkward{axes}"), np.random.default_rng(axes)
    image = builder.add(Input("image", Fixed(True, 6, 2), (*(11,) * axes, 2)))
    sites = builder.exact(Sites("sites", provisional(0), image, 1, 9))
    weight = pack_weights(rng.integers(-16, 16, (*(3,) * axes, 2, 3)))
    bias = pack_weights(np.array([-300, 0, 300]))
    type_, pads = Fixed(True, 5, 1), ((2, 2),) * axes
    conv = Conv("conv", provisional(8), image, weight, type_, bias, (1,) * axes, pads, (2,) * axes)
    x = builder.pair("masked", builder.exact(conv), sites, PairKind.MUL)
    outputs = [Output("at_sites", x)]
    for kind, border in ((PoolKind.MAX, 0), (PoolKind.SUM, 1)):
        pads, steps = ((border, border),) * axes, (2,) * axes
        pool = Pool(kind.value, provisional(builder.frac(x)), x, kind, (3,) * axes, steps, pads)
        outputs.append(Output(f"{kind.value}_of_windows", builder.exact(pool)))
    return builder.program(tuple(outputs))


def assert_exact(programs: Sequence[Program], settings: HlsSettings, folder: Path) -> None:
    """Every output, and every value of the Program that the project holds, at each occupancy."""
    places = []
    for number, program in enumerate(programs):
        places.append(folder / str(number))
        flat = spell_sites(program)
        namespace = f"net{number}" if len(programs) > 1 else None  # which not all backends have
        emit_project(flat, settings, namespace).write(places[-1])
    compiled = build.build_together(places, folder / "csim", QUICK)
    for number, (program, place) in enumerate(zip(programs, places, strict=True)):
        flat, raw = spell_sites(program), lit_images(program, number, OCCUPANCIES)
        taps = simulate.tappable(flat, manifest.read(place))
        actual = simulate.simulate_project(
            flat, place, raw, taps=taps, processes=1, compiled=compiled
        )
        for lit in count_lit(flat, raw):
            counted = actual[f"{lit.sites}_dropped"]
            np.testing.assert_array_equal(counted[:, 0], lit.left_out, f"{program.name} dropped")
        values = interpret(flat, raw)
        for name, expected in {**values, **results(flat, values)}.items():
            if name in actual:
                np.testing.assert_array_equal(actual[name], expected, f"{program.name} {name}")


def test_a_unet_has_no_convolution_over_pixels() -> None:
    laid = lay_program(small_unet(0), "tokens")
    assert not laid.offences
    kinds: list[type] = [type(op) for op in laid.program.ops]
    assert Conv not in kinds and TokenWindows in kinds and FinerTokens in kinds
    assert kinds.count(PlaceList) == 1 and kinds.count(TokenFrame) == 1
    for op in laid.program.ops:
        if laid.shown.get(op.name, "") is None:  # tokens and lists
            assert laid.program.shapes[op.name][-2] == 10


def test_cycles_and_products_follow_the_limit() -> None:
    part = device("xczu7ev-ffvc1156-2-e")
    cycles = [
        estimate(neutrino_network(1, most=most), TOKENS, part).timing.latency_cycles
        for most in (20, 100, 500)
    ]
    assert cycles == sorted(cycles)
    dense = estimate(neutrino_network(1), HlsSettings(), part)
    assert cycles[0] < dense.timing.latency_cycles
    metrics = {
        settings.sparse: {
            metric.name: metric
            for metric in HlsTarget().estimate(neutrino_network(1), settings)
            if metric.layer is None
        }
        for settings in (TOKENS, HlsSettings())
    }
    for name in ("latency_cycles", "energy_dynamic_nj"):
        assert metrics["tokens"][name].value < metrics["frames"][name].value


def test_what_has_no_place_in_tokens_is_refused_by_name() -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"lists hold up to 4,096. Give the model a limit"
    ):
        HlsTarget().emit(sparse_unet(1, size=80, levels=1, convs=1), TOKENS)
    program = sparse_unet(1, size=4, levels=1, convs=1)
    oneapi = HlsTarget().check(program, replace(TOKENS, backend=Backend.ONEAPI))
    assert any("no task of oneAPI counts lit pixels" in offence.reason for offence in oneapi)


def test_a_limit_has_a_port_that_counts_what_it_leaves_out() -> None:
    """As many bits as all other pixels of a frame need; without a limit there is no such port."""
    counter = ("sites_dropped", "sites", Fixed(False, 6, 6))
    for program, ports in ((small_unet(0), [counter]), (small_unet(1), [])):
        plan = lay_out(spell_sites(program), TOKENS)
        assert [(port.name, port.value) for port in plan.counters] == [p[:2] for p in ports]
        results = {layer.name: layer.result.type for layer in plan.layers}
        assert [results[port.layer] for port in plan.counters] == [p[2] for p in ports]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("sparse", ["frames", "tokens"])
def test_the_simulation_tells_how_many_lit_pixels_were_left_out(
    sparse: str, tmp_path: Path
) -> None:
    """Far more than the limit, which changes no output: those are the Program's."""
    program = sparse_unet(0, size=8, levels=1, convs=1, most=5)
    target, settings = HlsTarget(), HlsSettings(sparse=sparse)
    target.emit(program, settings).write(tmp_path)
    raw = lit_images(program, 0, (1.0, 0.05, 0.5, 0.0))
    actual = target.simulate(program, tmp_path, raw, settings)
    lit = [int((image > 0).any(axis=-1).sum()) for image in raw["image"]]
    assert actual["sites_dropped"][:, 0].tolist() == [max(count - 5, 0) for count in lit]
    expected = results(program, interpret(program, raw))
    np.testing.assert_array_equal(actual["classes"], expected["classes"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("draw", [small_unet, sparse_encoder])
@pytest.mark.parametrize("io", list(IoType))
def test_random_sparse_networks_in_tokens(io: IoType, draw, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert_exact([draw(seed) for seed in range(8)], replace(TOKENS, io=io), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_windows_that_overlap_and_values_below_zero(tmp_path: Path) -> None:
    assert_exact([awkward_network(axes) for axes in (1, 2)], TOKENS, tmp_path)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("start", range(100, 180, 20))
def test_more_random_sparse_networks_in_tokens(start: int, tmp_path: Path) -> None:
    seeds = range(start, start + 10)
    programs = [draw(seed) for draw in (small_unet, sparse_encoder) for seed in seeds]
    assert_exact(programs, TOKENS, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", [Backend.QUARTUS, Backend.CATAPULT])
def test_other_backends_in_tokens(backend: Backend, tmp_path: Path) -> None:
    assert_exact([small_unet(0)], replace(TOKENS, backend=backend), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_neutrino_network(tmp_path: Path) -> None:
    assert_exact([neutrino_network(1)], TOKENS, tmp_path)
