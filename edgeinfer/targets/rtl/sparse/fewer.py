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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgeinfer.base.errors import DisagreementError
from edgeinfer.targets.rtl.design.netlist import Actor, Block, BlockStep, Netlist

FRONT, COARSEN = "ei_sites", "ei_site_coarsen"
# What reads lists and makes tokens.
TOKEN_MAKERS = ("ei_site_pool", "ei_site_window", "ei_site_up", "ei_site_spread")


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

    def owner(self, beat: int) -> SiteOwner | None:
        """The site that a beat belongs to; None for the frame."""
        site = beat // self.beats_of_site
        return SiteOwner(self.level.name, site) if site < self.level.count else None


@dataclass(frozen=True, slots=True)
class SiteOwner:
    """A site by its level and its number there."""

    level: str
    number: int


OwnedStep = tuple[SiteOwner | None, BlockStep]


def check_fewer_sites(netlist: Netlist, fewer: Netlist) -> None:
    """That no frame is later than `netlist` says, and none with at most the sites of `fewer` is
    later than that says; both have the same queues. DisagreementError where it cannot be shown."""
    larger, smaller = owned_steps(netlist), owned_steps(fewer)
    counts = {owned.level.name: owned.level.count for owned in owned_streams(fewer).values()}
    for name, steps in larger.items():
        kept = [(at, step) for at, step in steps if at is None or at.number < counts[at.level]]
        if kept != smaller.get(name):
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


def owned_steps(netlist: Netlist) -> dict[str, list[OwnedStep]]:
    """The steps of a frame by actor, each with the site that it belongs to."""
    streams = owned_streams(netlist)
    steps: dict[str, list[OwnedStep]] = {}
    for block in netlist.blocks:
        for number, actor in enumerate(block.actors):
            name = f"{block.name}.{number}"
            owned = list(_own_steps(netlist, name, actor, streams))
            _check_alike(netlist, name, owned)
            steps[name] = owned
    return steps


def _own_steps(
    netlist: Netlist, name: str, actor: Actor, streams: Mapping[str, OwnedStream]
) -> Iterator[OwnedStep]:
    """A step that moves no beat belongs to the site of the next one that does."""
    taken, given = [0] * len(actor.inputs), [0] * len(actor.outputs)

    def owner(stream: str, beat: int) -> SiteOwner | None:
        return streams[stream].owner(beat) if stream in streams else None

    waiting: list[BlockStep] = []
    needed: set[SiteOwner | None] = set()
    for step in actor.pattern * actor.repeats:
        waiting.append(step)
        moved: set[SiteOwner | None] = set()
        for bit, stream in enumerate(actor.inputs):
            if step.reads >> bit & 1:
                needed.add(owner(stream, taken[bit]))
            if step.frees >> bit & 1:
                moved.add(owner(stream, taken[bit]))
                taken[bit] += 1
        for bit, stream in enumerate(actor.outputs):
            if step.yields and step.gives >> bit & 1:
                moved.add(owner(stream, given[bit]))
                given[bit] += 1
        if moved:
            if len(moved) > 1 or not needed <= {None, *moved}:
                raise _not_shown(netlist, name, "moves or needs beats of several sites at once")
            (site,) = moved
            yield from ((site, each) for each in waiting)
            waiting, needed = [], set()
    yield from ((None, each) for each in waiting)


def _check_alike(netlist: Netlist, name: str, steps: list[OwnedStep]) -> None:
    """All sites of a level have the same steps."""
    of_site: dict[SiteOwner, list[BlockStep]] = {}
    for site, step in steps:
        if site is not None:
            of_site.setdefault(site, []).append(step)
    first: dict[str, list[BlockStep]] = {}
    for site, own in of_site.items():
        if first.setdefault(site.level, own) != own:
            raise _not_shown(netlist, name, "treats one site unlike another")


def _not_shown(netlist: Netlist, actor: str, reason: str) -> DisagreementError:
    return DisagreementError(
        f"{netlist.name}: that frames with fewer sites are no later cannot be shown: {actor} "
        f"{reason}.",
        hint="Please report this, with the model.",
    )
