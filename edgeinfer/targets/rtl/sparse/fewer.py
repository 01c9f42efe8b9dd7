# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Why a frame with fewer sites is never later than one with more, checked for each design.

Each step of a block belongs to one site, whose beats it takes or gives, or to the frame as a whole.
The check is that every step does so, that it needs no beats of other sites, and that the steps of
all sites of a level are the same. Then a frame with fewer sites has the steps of one with more
without those of some sites, and every beat that a step waits for is one that the larger frame's
step waits for too, or comes before it. In the timing model a step's time is the largest of the
times that it waits for, plus constants. So, step by step, none is later in the smaller frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import DisagreementError
from edgeinfer.targets.rtl.design.netlist import Actor, Block, Netlist, distinct_steps
from quantization.fixed import Ints

FRONT, COARSEN = "ei_sites", "ei_site_coarsen"
FRAME = -1  # the owner of what belongs to no site
# What reads lists and makes tokens.
TOKEN_MAKERS = (
    "ei_site_pool",
    "ei_site_window",
    "ei_site_around",
    "ei_site_up",
    "ei_site_spread",
)


@dataclass(frozen=True, slots=True)
class SiteLevel:
    """Sites that streams have in common, and how many these are at most."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class OwnedStream:
    """A stream with so many beats for each site of a level; what follows them is the frame's."""

    level: SiteLevel
    beats_of_site: int

    def owners(self, beats: Ints) -> Ints:
        """The number of the site that each beat belongs to; FRAME for the frame."""
        sites = beats // self.beats_of_site
        return np.where(sites < self.level.count, sites, FRAME)


@dataclass(frozen=True, slots=True, eq=False)
class OwnedSteps:
    """The steps of an actor in a frame: the level and the site that each belongs to, FRAME if it is
    the frame's, and what it does."""

    levels: Ints  # places in `names`
    sites: Ints
    steps: Ints  # as `_columns_of` has them
    names: tuple[str, ...]

    def mask_steps(self, counts: Mapping[str, int]) -> NDArray[np.bool_]:
        """Which of the steps a frame has whose levels have so many sites."""
        most = np.array([counts[name] for name in self.names] or [0])
        mask: NDArray[np.bool_] = (self.sites == FRAME) | (self.sites < most[self.levels])
        return mask


def check_fewer_sites(netlist: Netlist, larger: Mapping[str, OwnedSteps], fewer: Netlist) -> None:
    """That no frame is later than `netlist` says, and none with at most the sites of `fewer` is
    later than that says; both have the same queues. DisagreementError where it cannot be shown.

    larger: the steps of `netlist`, which take long to own and serve many numbers of sites
    """
    smaller = owned_steps(fewer)
    counts = {owned.level.name: owned.level.count for owned in owned_streams(fewer).values()}
    for name, owned in larger.items():
        mask, other = owned.mask_steps(counts), smaller.get(name)
        if other is None or not (
            np.array_equal(owned.sites[mask], other.sites)
            and np.array_equal(owned.levels[mask], other.levels)
            and np.array_equal(owned.steps[:, mask], other.steps)
        ):
            raise _not_shown(netlist, name, "does other steps for fewer sites")


def owned_streams(netlist: Netlist) -> dict[str, OwnedStream]:
    """The streams whose beats belong to sites."""
    levels: dict[str, SiteLevel] = {}
    lists: set[str] = set()
    for block in netlist.blocks:
        made = [name for actor in block.actors for name in actor.outputs] + list(block.outputs)
        level = _level_of(block, levels)
        if level is not None:
            levels.update(dict.fromkeys(made, level))
        if block.module == FRONT:
            lists.add(block.outputs[1])
        elif block.module == COARSEN or not lists.isdisjoint(block.inputs):
            lists.update(() if block.module in TOKEN_MAKERS else made)
    counted = _beats(netlist)
    return {
        name: OwnedStream(level, 1 if name in lists else counted[name] // level.count)
        for name, level in levels.items()
    }


def _level_of(block: Block, levels: Mapping[str, SiteLevel]) -> SiteLevel | None:
    """The level of what a block makes."""
    numbers = block.parameters
    match block.module:
        case "ei_sites":
            return SiteLevel(block.name, int(str(numbers["MOST"])))
        case "ei_site_coarsen" | "ei_site_pool":
            fine = levels[block.inputs[-1]]
            sizes = [int(str(numbers[key])) for key in ("HEIGHT", "TILE_H", "WIDTH", "TILE_W")]
            tiles = (sizes[0] // sizes[1]) * (sizes[2] // sizes[3])
            return SiteLevel(f"{fine.name}/{sizes[1]}x{sizes[3]}", min(fine.count, tiles))
        case "ei_site_window" | "ei_site_up":
            return levels[block.inputs[2]]
        case "ei_site_around":
            return levels[block.inputs[1]]
        case "ei_site_spread":
            return None
        case _:  # every other block makes something of each pixel, and knows no sites
            return next((levels[name] for name in block.inputs if name in levels), None)


def _beats(netlist: Netlist) -> dict[str, int]:
    """How many beats of a frame each stream has, those inside blocks too."""
    beats: dict[str, int] = {}
    for actor in netlist.actors:
        for bit, name in enumerate(actor.outputs):
            steps = [s for s in actor.pattern if s.yields and s.gives >> bit & 1]
            beats[name] = len(steps) * actor.repeats
    return beats


def owned_steps(netlist: Netlist) -> dict[str, OwnedSteps]:
    """The steps of a frame by actor, each with the site that it belongs to."""
    streams = owned_streams(netlist)
    names = tuple(sorted({owned.level.name for owned in streams.values()}))
    steps: dict[str, OwnedSteps] = {}
    for block in netlist.blocks:
        for number, actor in enumerate(block.actors):
            name = f"{block.name}.{number}"
            steps[name] = _own_steps(netlist, name, actor, streams, names)
            _check_alike(netlist, name, steps[name])
    return steps


def _columns_of(actor: Actor) -> Ints:
    """All steps of an actor in a frame, a column each: what it reads and frees, whether it
    reserves and yields, its cycles, and what it gives."""
    steps, order = distinct_steps(actor)
    rows = [(s.reads, s.frees, s.reserves, s.yields, s.cycles, s.gives) for s in steps]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 6).T
    return columns[:, np.tile(order, actor.repeats)]


def _own_steps(
    netlist: Netlist,
    name: str,
    actor: Actor,
    streams: Mapping[str, OwnedStream],
    names: tuple[str, ...],
) -> OwnedSteps:
    """A step that moves no beat belongs to the site of the next one that does."""
    columns = _columns_of(actor)
    reads, frees, _, yields, _, gives = columns
    count = columns.shape[1]
    # A site by its level and its number there, as one number; the frame; nothing that is moved.
    span = 1 + max((owned.level.count for owned in streams.values()), default=0)
    nothing = FRAME - 1

    def owners(stream: str, moves: Ints) -> Ints:
        beats = np.cumsum(moves) - moves
        if stream not in streams:
            return np.full(count, FRAME)
        sites = streams[stream].owners(beats)
        return np.where(
            sites == FRAME, FRAME, sites + span * names.index(streams[stream].level.name)
        )

    taken = [owners(stream, frees >> bit & 1) for bit, stream in enumerate(actor.inputs)]
    given = [
        owners(stream, yields * (gives >> bit & 1)) for bit, stream in enumerate(actor.outputs)
    ]
    moved = [np.where(frees >> bit & 1, own, nothing) for bit, own in enumerate(taken)]
    moved += [np.where(yields * (gives >> bit & 1), own, nothing) for bit, own in enumerate(given)]
    own = np.max(moved, axis=0, initial=nothing)
    next_moving = np.where(own == nothing, count, np.arange(count))
    next_moving = np.minimum.accumulate(next_moving[::-1])[::-1]
    several = any(np.any((each != nothing) & (each != own)) for each in moved)
    own = np.append(own, FRAME)[next_moving]
    waits = next_moving < count  # what follows the last beat belongs to no site
    for bit, needed in enumerate(taken):
        reading = (reads >> bit & 1).astype(bool) & waits & (needed != FRAME)
        several |= bool(np.any(reading & (needed != own)))
    if several:
        raise _not_shown(netlist, name, "moves or needs beats of several sites at once")
    of_frame = own == FRAME
    levels, sites = np.where(of_frame, 0, own // span), np.where(of_frame, FRAME, own % span)
    return OwnedSteps(levels, sites, columns, names)


def _check_alike(netlist: Netlist, name: str, owned: OwnedSteps) -> None:
    """All sites of a level have the same steps."""
    for level in range(len(owned.names)):
        own = np.flatnonzero((owned.levels == level) & (owned.sites != FRAME))
        if not len(own):
            continue
        sites = owned.sites[own]
        if np.any(sites[1:] < sites[:-1]):
            own = own[np.argsort(sites, kind="stable")]
        counts = np.bincount(sites)
        counts = counts[counts > 0]
        steps = owned.steps[:, own]
        if np.any(counts != counts[0]) or np.any(
            steps.reshape(len(steps), len(counts), -1) != steps[:, None, : counts[0]]
        ):
            raise _not_shown(netlist, name, "treats one site unlike another")


def _not_shown(netlist: Netlist, actor: str, reason: str) -> DisagreementError:
    return DisagreementError(
        f"{netlist.name}: that frames with fewer sites are no later cannot be shown: {actor} "
        f"{reason}.",
        hint="Please report this, with the model.",
    )
