# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The frames of whole planes through a design in tokens, one after another: the integers that the
verb event gives the hits, and the cycles that follow from the stream."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from edgeinfer.base.errors import DisagreementError, ProgramError, UsageError
from edgeinfer.base.metrics import Origin
from edgeinfer.base.site_figures import RECKONED, STREAMED
from edgeinfer.event.event import PlaneSettings, tag_planes
from edgeinfer.event.frames import lay_frames, place_hits
from edgeinfer.event.planes import simulate_planes
from edgeinfer.event.tagger import Way, build_tagger, choose_cut
from edgeinfer.ir.engine.left_out import count_lit
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import Conv, Dense, Pool, Sites
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.choose import design_cycles, design_netlist, made_program
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.plane.counts import EVENT_PIXELS, counts_in, figures_at_clock
from edgeinfer.targets.rtl.plane.figures import SEED
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from edgeinfer.targets.rtl.sparse.pace import count_sites, reckon_intervals
from edgeinfer.targets.rtl.sparse.planes import (
    PLANES,
    draw_planes,
    frame_ends,
    simulate_stream,
)
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.rtl_designs import needs_verilator
from tests.support.sparse_programs import neutrino_network, sparse_unet

SIZE = (40, 45)
SETTINGS = RtlSettings(sparse="tokens", event=SIZE, clock_mhz=50.0)


def labeller() -> Program:
    return sparse_unet(5, size=16, levels=2, convs=1, channels=2, most=30)


@needs_verilator
def test_frames_of_planes_stream_through_and_label_the_hits(tmp_path: Path) -> None:
    program, target = labeller(), RtlTarget()
    target.emit(program, SETTINGS).write(tmp_path)
    prepared = prepare_program(program, sites=True)
    _, netlist = design_netlist(prepared, SETTINGS)
    latency = design_cycles(prepared, SETTINGS).latency
    stream = draw_planes(program, SIZE)
    assert stream.hits > 100 and len(stream.frames) >= 10
    trace = simulate_stream(program, prepared, netlist, tmp_path, stream, latency)
    # The design drops what the Program leaves out, and the frames pass that much.
    (lit,) = count_lit(program, {"image": stream.frames})
    assert trace.dropped["sites_lit_dropped"] == lit.left_out.sum() > 0

    planes = list(simulate_planes(SEED, PLANES, *SIZE))
    tagger = build_tagger(program, choose_cut(program, Way.AUTO))
    first = 0
    for tags in tag_planes(tagger, planes, PlaneSettings()):
        placed = place_hits(lay_frames(program, None), tags.hits)
        labels = trace.outputs["classes"][(first + placed.frame_of, *placed.inside.T)]
        np.testing.assert_array_equal(labels, tags.tagged.outputs["classes"])
        first += len(placed.frames)
    assert first == len(stream.frames)

    # No frame takes longer than a lone one, and together they take as long as the stream.
    metrics = target.time_simulation(program, tmp_path, SETTINGS)
    figures = {(m.name, m.layer): m for m in metrics}
    counts = counts_in(tmp_path)
    assert counts is not None and counts.hits == stream.hits
    share = EVENT_PIXELS / (PLANES * SIZE[0] * SIZE[1])
    event = figures["event_cycles", None]
    assert event.value == pytest.approx(counts.cycles * share)
    assert event.origin is Origin.SIMULATED
    seconds = figures["event_seconds_at_asked_clock", None].value
    assert seconds == pytest.approx(event.value / 50e6)
    ends = frame_ends(trace)
    assert ends[0] + 1 >= trace.latency() and np.diff(ends).max() <= latency
    streamed = [m for m in metrics if m.name == STREAMED]
    frames = [int(m.note.split("mean of ")[1].split()[0]) for m in streamed if m.note]
    assert sum(frames) == len(stream.frames) - 1
    total = sum(m.value * n for m, n in zip(streamed, frames, strict=True))
    assert total == pytest.approx(ends[-1] - ends[0])
    # What is reckoned without a simulator has those in its bands, over the same frames.
    reckoned = {(m.name, m.layer): m for m in target.estimate(program, SETTINGS)}
    for name, layer in (("event_cycles", None), *((STREAMED, m.layer) for m in streamed)):
        guess = reckoned[RECKONED if layer else name, layer]
        assert guess.origin is Origin.ESTIMATED and guess.low and guess.high
        assert guess.low <= figures[name, layer].value <= guess.high
    routed = figures_at_clock(tmp_path, {"interval_cycles": 10, "latency_cycles": 20}, 25.0)
    assert ("event_seconds", pytest.approx(event.value / 25e6), "s") in routed

    with (
        mock.patch("edgeinfer.targets.rtl.sparse.planes.Engine.run", return_value={
            "classes": trace.outputs["classes"] + 1}),
        pytest.raises(DisagreementError, match="frames of simulated planes differ"),
    ):  # fmt: skip
        simulate_stream(program, prepared, netlist, tmp_path, stream, latency)


def test_sites_of_coarser_levels_are_counted_in_each_frame() -> None:
    """As many as the pixels of the masks, which the Program makes for itself."""
    program = labeller()
    prepared = prepare_program(program, sites=True)
    _, netlist = design_netlist(prepared, SETTINGS)
    frames = draw_planes(program, SIZE).frames
    masks = [op.name for op in program.ops if isinstance(op, Sites | Pool) and "sites" in op.name]
    values = interpret(program, {"image": frames})
    counted = count_sites(program, netlist, frames).values()
    assert len(masks) == len(counted) == 2
    for mask, counts in zip(masks, counted, strict=True):
        np.testing.assert_array_equal(counts, values[mask].sum(axis=(1, 2, 3)))


@pytest.mark.parametrize("lit", [0, 1, 30, 256])
def test_a_frame_takes_as_long_as_the_block_with_the_most_to_do(lit: int) -> None:
    """A multiplier for each layer: a site takes a cycle for each of its weights. A beat of the
    frame takes a cycle, too."""
    program = labeller()
    prepared = prepare_program(program, sites=True)
    folds = tuple((layer.op, Fold()) for layer in layers_of(made_program(prepared, SETTINGS)))
    settings = replace(SETTINGS, folds=folds)
    folding, _ = design_netlist(prepared, settings)
    frames = np.zeros((1, 16, 16, 1), np.int64)
    frames.reshape(-1)[:lit] = program.inputs[0].type.raw_max
    (cycles,) = reckon_intervals(program, prepared, folding, frames)
    values = interpret(program, {"image": frames})
    sites = {
        program.shapes[op.name][0]: int(values[op.name].sum())
        for op in program.ops
        if isinstance(op, Sites | Pool) and "sites" in op.name
    }
    layers = [op for op in program.ops if isinstance(op, Conv | Dense)]
    works = [op.weight.size * sites[program.shapes[op.name][0]] for op in layers]
    assert sites[16] == min(lit, 30)
    assert cycles == max(256, *works)


def test_what_has_no_use_for_frames_of_planes_is_refused() -> None:
    with pytest.raises(ProgramError, match="does not label the pixels"):
        RtlTarget().emit(neutrino_network(1), SETTINGS)
    with pytest.raises(ProgramError, match="Add --sparse tokens"):
        RtlTarget().emit(labeller(), RtlSettings(event=SIZE))
    with pytest.raises(UsageError, match="frames of the plane come in"):
        RtlSettings(sparse="tokens", event=SIZE, hit_threshold=3)
    with pytest.raises(UsageError, match="frames of the plane come in"):
        RtlSettings(sparse="tokens", event=SIZE, wires_at_once=2)
