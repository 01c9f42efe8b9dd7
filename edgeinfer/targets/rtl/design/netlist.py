# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design as data: blocks of the library, the streams between them, and when each block acts.

A block acts in steps, at most one a cycle. A step may need the next beat of an input, may let go of
it, may need a place in the output's queue and may yield a beat, which can leave `latency` cycles
later. That is all there is to its timing: no step depends on the data. Those of blocks for tokens
do, and are given as the latest that they can be.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

import numpy as np

from quantization.fixed import Fixed, Ints


@dataclass(frozen=True, slots=True)
class SizedNumber:
    """A number of a stated width, in two's complement."""

    bits: int
    value: int


Parameter = int | str | SizedNumber


@dataclass(frozen=True, slots=True)
class Stream:
    """A frame's elements, row-major, `lanes` to a beat; the first lie in the lowest bits."""

    name: str
    type: Fixed
    lanes: int
    beats: int  # of one frame

    @property
    def width(self) -> int:
        """Bits of a beat."""
        return self.lanes * self.type.bits


@dataclass(frozen=True, slots=True)
class BlockStep:
    """What a block does at once. `reads` and `frees` are bits by input: needed, and let go of when
    the step's cycles are over. `reserves` a place for the next beat; `yields` that beat. `gives`:
    bits by output, those that this is about."""

    reads: int = 0
    frees: int = 0
    reserves: bool = False
    yields: bool = False
    cycles: int = 1
    gives: int = -1


PASS = BlockStep(reads=1, frees=1, reserves=True, yields=True)


OFFERED, SENT, BANKS = ".offered", ".sent", ".banks"  # what is inside a block, or outside all


@dataclass(frozen=True, slots=True)
class Actor:
    """The timing of a block, or of one of its two ends: steps that, repeated, make up a frame."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    pattern: tuple[BlockStep, ...]
    repeats: int
    latency: int
    release: int = 0  # cycles between a step's end and the input's being free

    @property
    def busy_cycles(self) -> int:
        """Cycles a frame when nothing is waited for."""
        cycles: int = sum(map(attrgetter("cycles"), self.pattern))
        return self.repeats * cycles


Pattern = tuple[tuple[BlockStep, ...], Ints]  # the different steps, and which is at each place


def distinct_steps(actor: Actor) -> Pattern:
    """The different steps of a pattern, and at each place of it which one it is. A pattern has
    many steps, but they are few objects, which Python tells apart quickly."""
    steps = {id(step): step for step in actor.pattern}
    places = {name: place for place, name in enumerate(steps)}
    order = np.fromiter(map(places.__getitem__, map(id, actor.pattern)), np.int64)
    return tuple(steps.values()), order


def steps_of(actor: Actor) -> int:
    """Steps of a frame."""
    return len(actor.pattern) * actor.repeats


@dataclass(frozen=True, slots=True)
class PortNames:
    """What a module calls the sides of its streams, and the depths of its outputs' queues."""

    inputs: tuple[str, ...] = ("s", "b")
    outputs: tuple[str, ...] = ("m", "b")
    depths: tuple[str, ...] = ("DEPTH", "DEPTH_B")


def _no_files(probes: Collection[str]) -> Mapping[str, bytes]:
    """A block without probes has no other files for them."""
    return {}


@dataclass(frozen=True, slots=True)
class Block:
    """An instance of a module. Its streams are in the order of the module's ports."""

    module: str
    name: str
    op: str  # the value for which it is there
    parameters: Mapping[str, Parameter]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    actors: tuple[Actor, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    ports: PortNames = PortNames()
    parts: frozenset[str] = frozenset()  # modules of the library inside it
    contents: Mapping[str, int] = field(default_factory=dict)  # bits of work by kind, if it is made
    watched: Callable[[Collection[str]], Mapping[str, bytes]] = _no_files  # files with probes
    counter: str = ""  # the design's port for the module's `dropped`, if it has one


@dataclass(frozen=True, slots=True)
class Probe:
    """A value in the midst of a pipeline, which a simulation may watch: a whole frame in each beat,
    `stage` cycles after the step of the block that makes it."""

    stream: Stream
    block: str
    stage: int


@dataclass(frozen=True, slots=True)
class NetlistPort:
    """Where frames come in or results go out: the name users know, and the stream behind it."""

    name: str
    stream: str


@dataclass(frozen=True, slots=True)
class BarePort:
    """A port of a module without queues."""

    name: str
    bits: int
    is_input: bool


@dataclass(frozen=True, slots=True)
class BareTop:
    """A module without queues inside a block: it takes a frame in every cycle, and its result is
    there `latency` cycles later."""

    module: str
    block: str
    latency: int
    ports: tuple[BarePort, ...]


@dataclass(frozen=True, slots=True)
class Netlist:
    """A design. `depths` are places in the queue at a stream's source; `values` says which stream
    carries which value of the Program."""

    name: str
    streams: Mapping[str, Stream]
    blocks: tuple[Block, ...]
    inputs: tuple[NetlistPort, ...]
    outputs: tuple[NetlistPort, ...]
    depths: Mapping[str, int]
    values: Mapping[str, str]
    probes: Mapping[str, Probe] = field(default_factory=dict)  # by the stream's name
    bare: BareTop | None = None  # what is to be used and measured, where that is not the whole

    def carrier(self, name: str) -> Stream:
        """The stream of a name, or the one that a probe would be."""
        return self.streams[name] if name in self.streams else self.probes[name].stream

    @property
    def actors(self) -> tuple[Actor, ...]:
        """All that acts."""
        return tuple(actor for block in self.blocks for actor in block.actors)


def share_weights(all_blocks: Sequence[Block]) -> tuple[Block, ...]:
    """The blocks of layers that have the same weights read them from one file."""
    first: dict[bytes, str] = {}
    blocks: list[Block] = []
    for block in all_blocks:
        own = block.parameters.get("WEIGHTS")
        if not isinstance(own, str):
            blocks.append(block)
            continue
        first_file = first.setdefault(block.files[own], own)
        files = {name: content for name, content in block.files.items() if name != own}
        files[first_file] = block.files[own]
        blocks.append(
            replace(block, parameters={**block.parameters, "WEIGHTS": first_file}, files=files)
        )
    return tuple(blocks)
