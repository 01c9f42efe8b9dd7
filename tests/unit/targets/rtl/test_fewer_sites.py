# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""That no frame with fewer sites is later is shown for a design, or the design is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edgeinfer.base.errors import DisagreementError
from edgeinfer.targets.rtl.choose import design_netlist, made_program
from edgeinfer.targets.rtl.design.netlist import SENT, Netlist
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.design.schedule import Schedule
from edgeinfer.targets.rtl.design.timing import simulate_frames
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.sparse.fewer import check_fewer_sites, owned_steps, owned_streams
from tests.support.rtl_designs import random_folds
from tests.support.sampling import sample_cases
from tests.support.sparse_programs import sparse_encoder, token_unet


def token_design(seed: int) -> Netlist:
    """A small design in tokens, with random folds; every fourth goes back up."""
    network = token_unet(seed) if seed % 4 == 2 else sparse_encoder(seed)
    program = prepare_program(network, sites=True)
    made = made_program(program, RtlSettings(sparse="tokens"))
    settings = RtlSettings(sparse="tokens", folds=random_folds(made, seed))
    return design_netlist(program, settings)[1]


def with_fewer(netlist: Netlist, rng: np.random.Generator) -> Netlist:
    """The design's steps in a frame with fewer sites at each level, as many as come up."""
    owned = owned_streams(netlist)
    levels = {stream.level.name: stream.level.count for stream in owned.values()}
    counts = {name: int(rng.integers(0, count + 1)) for name, count in levels.items()}
    steps = owned_steps(netlist)
    streams = {
        name: replace(
            stream,
            beats=stream.beats
            - owned[name].beats_of_site
            * (owned[name].level.count - counts[owned[name].level.name]),
        )
        if name in owned
        else stream
        for name, stream in netlist.streams.items()
    }
    blocks = []
    for block in netlist.blocks:
        actors = []
        for number, actor in enumerate(block.actors):
            kept = np.flatnonzero(steps[f"{block.name}.{number}"].mask_steps(counts))
            whole = actor.pattern * actor.repeats
            actors.append(replace(actor, pattern=tuple(whole[at] for at in kept), repeats=1))
        blocks.append(replace(block, actors=tuple(actors)))
    return replace(netlist, blocks=tuple(blocks), streams=streams)


def end_cycle(netlist: Netlist) -> int:
    """When the last beat of a frame leaves; the first is offered at once."""
    times = simulate_frames(netlist, netlist.depths, 1)
    return max(times.freed[f"{port.stream}{SENT}"][-1] for port in netlist.outputs)


@pytest.mark.parametrize("seed", sample_cases(range(60), 30))
def test_frames_with_fewer_sites_are_no_later(seed: int) -> None:
    """Any numbers of sites at the levels, also such as no image has."""
    netlist, rng = token_design(seed), np.random.default_rng(seed)
    check_fewer_sites(netlist, owned_steps(netlist), netlist)
    most = end_cycle(netlist)
    for _ in range(4):
        assert end_cycle(with_fewer(netlist, rng)) <= most


def changed(netlist: Netlist, module: str, place: int, **fields: object) -> Netlist:
    """The design with a block of this kind of which one step is another."""
    number = next(i for i, block in enumerate(netlist.blocks) if block.module == module)
    block = netlist.blocks[number]
    (actor,) = block.actors
    steps = list(actor.pattern)
    steps[place] = replace(steps[place], **fields)  # type: ignore[arg-type]
    slow = replace(block, actors=(replace(actor, pattern=tuple(steps)),))
    return replace(netlist, blocks=(*netlist.blocks[:number], slow, *netlist.blocks[number + 1 :]))


def test_a_block_that_is_faster_for_more_sites_is_noticed() -> None:
    netlist = token_design(3)
    with pytest.raises(DisagreementError, match="treats one site unlike another"):
        other = changed(netlist, "ei_site_window", 0, cycles=7)
        check_fewer_sites(other, owned_steps(other), netlist)
    with pytest.raises(DisagreementError, match="other steps for fewer sites"):
        other = changed(netlist, "ei_site_window", -1, cycles=7)
        check_fewer_sites(netlist, owned_steps(netlist), other)


def test_a_step_of_two_sites_is_noticed() -> None:
    """One that takes a site and lets the windows' next place go."""
    netlist = changed(token_design(3), "ei_site_window", 0, frees=0b111)
    with pytest.raises(DisagreementError, match="several sites at once"):
        check_fewer_sites(netlist, owned_steps(netlist), netlist)


def test_what_waits_beside_the_way_down_needs_room_for_a_frame() -> None:
    """With the queues that the design has it gets through; with short ones behind forks it waits
    for ever: what is kept for the way back up has no place to wait."""
    netlist = token_design(2)
    assert any(block.module == "ei_site_up" for block in netlist.blocks)
    end_cycle(netlist)
    forked = [name for b in netlist.blocks if b.module == "ei_fork" for name in b.outputs]
    short = {**netlist.depths, **dict.fromkeys(forked, 4)}
    with pytest.raises(DisagreementError, match="wait for ever"):
        end_cycle(replace(netlist, depths=short))


def test_machine_code_finds_the_times_of_designs_in_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their blocks read up to three streams, and wait for beats without letting go of them."""
    monkeypatch.setattr("edgeinfer.targets.rtl.design.schedule.LEAST_STEPPED", 0)
    netlist = token_design(0)
    for each in (netlist, with_fewer(netlist, np.random.default_rng(0))):
        schedule = Schedule(each)
        assert schedule.is_stepped(2)
        times, plain = schedule.times(each.depths, 2), simulate_frames(each, each.depths, 2)
        assert all(np.array_equal(times.freed[name], plain.freed[name]) for name in plain.freed)
        assert all(np.array_equal(times.there[name], plain.there[name]) for name in plain.there)
