# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whole planes through a design: each hit has the integers of its own patch, whatever waits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import DisagreementError, EdgeInferError, UsageError
from edgeinfer.base.metrics import Origin
from edgeinfer.event.planes import simulate_planes
from edgeinfer.event.prefix import Cut, cut_program
from edgeinfer.graph import nodes as g
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.targets.energy import arithmetic_nj
from edgeinfer.targets.rtl.emit.emit import HDL, MANIFEST
from edgeinfer.targets.rtl.plane.check import plane_design, plane_offences
from edgeinfer.targets.rtl.plane.counts import (
    COUNTS,
    EVENT_PIXELS,
    PlaneCounts,
    figures_at_clock,
    keep_counts,
)
from edgeinfer.targets.rtl.plane.figures import arithmetic_joules
from edgeinfer.targets.rtl.plane.files import plane_top_file, top_of
from edgeinfer.targets.rtl.settings import Budget, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.simulate import IDEAL, Conditions
from quantization.fixed import Quantizer
from quantization.recipe import Recipe, WeightFormat
from tests.bench.bench_event import tagger_graph
from tests.support.patch_networks import CHARGES, random_plane, random_tagger
from tests.support.plane_designs import (
    assert_hits_agree,
    check_hits_in,
    emitted_design,
    raw_plane,
)
from tests.support.rtl_designs import needs_verilator
from tests.unit.targets.rtl.test_library import lint

STALLS = Conditions(gaps=0.3, reset_after=700)
SHAPE = (26, 33)
# A part with few DSP blocks, and an engine that is waited for.
SMALL = RtlSettings(event=SHAPE, part="lfe5u-25f", budget=Budget(multipliers=12))


def small_tagger(pads: int = 0, pooled: bool = True) -> Program:
    """Patches of 9 x 10: a convolution, maybe a pool, dense layers. Empty places are not 0."""
    rng = np.random.default_rng(5)
    around = ((pads, pads), (pads, pads))
    rows, columns = 7 + 2 * pads, 8 + 2 * pads
    nodes: list[g.Node] = [
        g.InputNode("x", (9, 10, 1)),
        g.ConvNode(
            "c", "c", "x", rng.normal(size=(3, 3, 1, 3)), rng.normal(size=3), (1, 1), around, (1, 1)
        ),
        g.ActivationNode("r", "c", g.Function.RELU),
    ]
    last = "r"
    if pooled:
        nodes.append(g.PoolNode("p", "r", g.PoolNodeKind.MAX, (2, 2), (2, 2), ((0, 0), (0, 0))))
        last, rows, columns = "p", rows // 2, columns // 2
    flat = rows * columns * 3
    nodes += [
        g.ReshapeNode("flat", last, (flat,)),
        g.DenseNode("d", "d", "flat", rng.normal(size=(flat, 6)) / 2, rng.normal(size=6)),
        g.ActivationNode("s", "d", g.Function.RELU),
        g.DenseNode("h", "h", "s", rng.normal(size=(6, 3)), rng.normal(size=3)),
    ]
    graph = g.Graph("small", tuple(nodes), ("h",))
    activations = {
        name: Quantizer.parse(form)
        for name, form in {"x": "ufixed<8,0>", "r": "ufixed<6,2>", "s": "ufixed<8,5>"}.items()
    }
    keys = [key for key, _ in graph.weights() if key.endswith("kernel")]
    recipe = Recipe.of(
        activations, {key: WeightFormat.of(Quantizer.parse("fixed<6,2>")) for key in keys}
    )
    return lower(graph, recipe).program


@needs_verilator
def test_every_pixel_is_a_hit_and_none_is_lost_whatever_waits(tmp_path: Path) -> None:
    program = small_tagger()
    everything = np.ones(SHAPE, np.bool_)
    planes = [
        raw_plane(program, random_plane(1, "sparse"), everything),
        raw_plane(program, random_plane(2, "everywhere")),
        raw_plane(program, random_plane(3, "nowhere")),
        raw_plane(program, random_plane(4, "border")),
    ]
    result = assert_hits_agree(program, SMALL, planes, STALLS, tmp_path)
    assert len(result.ends) == len(planes)
    assert lint(tmp_path / HDL, top_of(plane_design(program, SMALL))) == ""


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("seed", range(10))
def test_random_networks_and_planes_agree(tmp_path: Path, seed: int, at_once: int) -> None:
    program = random_tagger(seed)
    settings = RtlSettings(event=SHAPE, wires_at_once=at_once)
    if RtlTarget().check(program, settings):
        assert not isinstance(cut := cut_program(program), Cut) or cut.first is None
        return
    planes = [raw_plane(program, random_plane(seed + n, c)) for n, c in enumerate(CHARGES)]
    assert_hits_agree(program, settings, planes, STALLS, tmp_path)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("at_once", [2, 4])
def test_several_wires_come_at_once(tmp_path: Path, at_once: int) -> None:
    program = tagger_graph(0, 8, 4, (32, 16))
    settings = RtlSettings(event=(64, 100), wires_at_once=at_once)
    planes = [raw_plane(program, plane.adc) for plane in simulate_planes(3, 2, 64, 100)]
    assert_hits_agree(program, settings, planes, STALLS, tmp_path)


@needs_verilator
@pytest.mark.slow
def test_sixteen_planes_of_the_pooled_tagger(tmp_path: Path) -> None:
    program = tagger_graph(0, 8, 4, (32, 16))
    settings = RtlSettings(event=(480, 1000))
    planes = [raw_plane(program, plane.adc) for plane in simulate_planes(1, 16)]
    free = assert_hits_agree(program, settings, planes, IDEAL, tmp_path)
    assert free.ends[-1] >= 16 * plane_design(program, settings).geometry.beats
    assert_hits_agree(program, settings, planes, Conditions(gaps=0.3), tmp_path)


@needs_verilator
def test_patches_are_tagged_and_cycles_are_near_what_was_reckoned(tmp_path: Path) -> None:
    program, target = small_tagger(), RtlTarget()
    emitted_design(program, SMALL, tmp_path)
    assert_patches_agree(program, SMALL, tmp_path)
    counted = {metric.name: metric for metric in target.time_simulation(program, tmp_path, SMALL)}
    for metric in target.estimate(program, SMALL):
        if metric.origin is Origin.ESTIMATED and metric.name in counted:
            assert metric.low is not None and metric.high is not None
            assert metric.low <= counted[metric.name].value <= metric.high, metric.name
    waited = counted["latency_us_at_asked_clock"].value * SMALL.clock_mhz
    geometry = plane_design(program, SMALL).geometry
    assert waited > (geometry.lines_needed - 1) * geometry.line_beats
    (tmp_path / plane_top_file(plane_design(program, SMALL))).write_text("// another")
    with pytest.raises(UsageError, match="does not hold the design"):
        target.time_simulation(program, tmp_path, SMALL)


FAULTS = (
    ("ei_plane_feed", "room  <= ahead != MOST;", "room  <= 1'b1;"),  # overwrites what is needed
    ("ei_plane_feed", "line_inside ? hits", "1'b1 ? hits"),
    ("ei_plane_window", "held[(p+r*ROW_STEP)*BITS+:BITS]", "held[p*BITS+:BITS]"),
    ("ei_plane_map", "line_written <= at_end;", "line_written <= valid;"),
    ("ei_plane_marks", "wire_base + lowest),", "lowest),"),
    ("ei_plane_marks", "DRAIN: if (!walking && !hit_valid)", "DRAIN: if (1'b1)"),
    ("ei_plane_walk", "place >= 0 &&", "1'b1 &&"),
    ("ei_plane_walk", "opened <= !last[5];", "opened <= 1'b0;"),
    ("ei_plane_walk", "localparam IN_FLIGHT = 8;", "localparam IN_FLIGHT = 0;"),
    ("ei_plane_dense", ".take(step && held_last)", ".take(1'b0)"),
)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize(("block", "right", "wrong"), FAULTS)
def test_a_fault_in_a_block_is_noticed(tmp_path: Path, block: str, right: str, wrong: str) -> None:
    program = small_tagger()
    design = emitted_design(program, SMALL, tmp_path)
    path = tmp_path / HDL / f"{block}.v"
    text = path.read_text()
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong))
    charges = ("everywhere", "border", "clusters")
    planes = [raw_plane(program, random_plane(n, charge)) for n, charge in enumerate(charges)]
    with pytest.raises((AssertionError, DisagreementError)):
        check_hits_in(design, program, planes, STALLS, tmp_path)


@needs_verilator
@pytest.mark.slow
def test_pixels_over_a_threshold_are_hits(tmp_path: Path) -> None:
    program = small_tagger(pooled=False)
    settings = RtlSettings(event=SHAPE, hit_threshold=40)
    planes = [raw_plane(program, random_plane(n, "clusters")) for n in range(3)]
    marked = [replace(each, hits=(each.raw >= 40) | (each.raw == 7)) for each in planes]
    assert_hits_agree(program, settings, marked, STALLS, tmp_path)
    assert_patches_agree(program, settings, tmp_path)


def assert_patches_agree(program: Program, settings: RtlSettings, folder: Path) -> None:
    """Patches side by side in planes have the outputs that the interpreter gives."""
    patches = np.random.default_rng(0).integers(0, 255, (17, 9, 10, 1), endpoint=True)
    actual = RtlTarget().simulate(program, folder, {"x": patches}, settings)
    expected = results(program, interpret(program, {"x": patches}))
    assert np.array_equal(actual["h"], expected["h"])


def test_a_clock_makes_seconds_of_the_cycles_of_that_design_only(tmp_path: Path) -> None:
    described = {"plane": {}}
    (tmp_path / MANIFEST).write_text("a design")
    assert figures_at_clock(tmp_path, described, 100.0) == [("fmax_mhz", 100.0, "MHz")]
    (tmp_path / COUNTS).parent.mkdir()
    planes = PlaneCounts(
        planes=8, pixels=8 * 480_000, hits=14_000, cycles=5_000_000, latency=12_000
    )
    keep_counts(tmp_path, planes)
    found = {name: value for name, value, _ in figures_at_clock(tmp_path, described, 100.0)}
    assert found["event_seconds"] == pytest.approx(32 / 8 * 5_000_000 / 100e6)
    assert found["hits_per_second"] == pytest.approx(14_000 / 0.05)
    assert found["latency_us"] == pytest.approx(120.0)
    (tmp_path / MANIFEST).write_text("another design")
    assert len(figures_at_clock(tmp_path, described, 100.0)) == 1


def refusals(program: Program, settings: RtlSettings) -> str:
    """What stands in the way, as one text."""
    return " ".join(offence.reason for offence in plane_offences(program, settings))


def test_what_cannot_be_streamed_is_named_with_its_numbers() -> None:
    padded, plain = small_tagger(pads=1), small_tagger()
    assert "share nothing: %c pads" in refusals(padded, SMALL)
    assert "smaller than a patch of 9 x 10" in refusals(plain, RtlSettings(event=(8, 100)))
    assert "26 wires do not come 4 at a time" in refusals(
        plain, RtlSettings(event=SHAPE, wires_at_once=4)
    )
    everything = refusals(plain, RtlSettings(event=SHAPE, hit_threshold=0))
    assert f"all {26 * 33} of a plane" in everything
    assert "ends at 255" in refusals(plain, RtlSettings(event=SHAPE, hit_threshold=256))
    wide = refusals(plain, RtlSettings(event=(200_000, 33)))
    assert "block memories of 18 kbit, and lfe5u-85f has 208; " in wide
    few = RtlSettings(event=SHAPE, budget=Budget(multipliers=3))
    assert "needs 5 multipliers at least" in refusals(plain, few)
    fast = RtlSettings(event=SHAPE, throughput=50e6)
    assert "cannot take 50,000,000 hits a second" in refusals(plain, fast)


def test_a_rate_and_a_budget_choose_how_much_is_computed_at_once() -> None:
    program = small_tagger()
    assert plane_design(program, RtlSettings(event=SHAPE)).engine.pe == 6
    assert plane_design(program, SMALL).engine.pe == 3
    slow = RtlSettings(event=SHAPE, throughput=100e6 / 72)  # 12 places, six outputs
    assert plane_design(program, slow).engine.pe == 1
    assert plane_design(program, RtlSettings(event=SHAPE, throughput=100e6 / 71)).engine.pe == 2


def test_settings_of_planes_go_together() -> None:
    for wrong in (
        lambda: RtlSettings(hit_threshold=3),
        lambda: RtlSettings(event=SHAPE, wires_at_once=3),
        lambda: RtlSettings(event=SHAPE, unroll="full"),
        lambda: RtlSettings(event=SHAPE, latency_us=1.0),
    ):
        with pytest.raises(UsageError):
            wrong()
    assert "edgeinfer.event" in RtlTarget().reads_for(SMALL).code
    assert not RtlTarget().reads_for(RtlSettings()).code
    with pytest.raises(EdgeInferError, match="the RTL target has no equivalent"):
        RtlTarget().emit(small_tagger(pads=1), SMALL)


def test_an_events_arithmetic_is_the_shared_part_and_that_of_its_hits() -> None:
    design = plane_design(small_tagger(), SMALL)
    without = arithmetic_joules(design, 0.0, 1.0)
    assert without == pytest.approx(
        EVENT_PIXELS * sum(arithmetic_nj(stage.program) for stage in design.stages) * 1e-9
    )
    once, twice = (arithmetic_joules(design, hits, 1.0) - without for hits in (1e4, 2e4))
    assert twice == pytest.approx(2 * once) and once > 0
    dark = arithmetic_joules(design, 1e4, 0.0) - without
    assert dark == pytest.approx(1e4 * arithmetic_nj(design.rest) * 1e-9) and dark < once


def test_an_event_has_an_energy_with_a_band_and_with_power_at_rest_where_that_is_known() -> None:
    for part, names in (("lfe5u-25f", set()), ("xc7z020", {"energy_event_j", "power_static_w"})):
        result = RtlTarget().estimate(small_tagger(), replace(SMALL, part=part))
        energies = {m.name: m for m in result if m.name.startswith(("energy", "power"))}
        assert set(energies) == {"energy_event_dynamic_j"} | names
        assert all((m.low or 0) < m.value < (m.high or 0) for m in energies.values())
