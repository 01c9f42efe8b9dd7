# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What Yosys will find that a design for whole planes takes, reckoned as for other designs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from edgeinfer.base.devices import Device
from edgeinfer.base.metrics import DesignState, Metric, Origin
from edgeinfer.targets.rtl.estimate.estimate import estimate_netlist
from edgeinfer.targets.rtl.estimate.fabric import amounts, fabric_of, known_fabrics
from edgeinfer.targets.rtl.estimate.work import (
    BlockParts,
    Memory,
    Multiplier,
    WordChoice,
    Work,
    counter,
    join_parts,
    queue,
    registers,
    tree,
)
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.files import HITS, OUT_OF_ENGINE, QUEUE, hit_bits, input_port
from edgeinfer.targets.rtl.plane.geometry import MARKS
from edgeinfer.targets.rtl.plane.memories import chunk_of

TARGET = "rtl"
BAND = {"lut": (0.75, 1.3), "ff": (0.75, 1.3), "dsp": (0.95, 1.05)}
BLOCK_BAND = (0.9, 1.1)  # of block memories, of whichever size
QUEUES = 4  # places of the queues of ports, and of the hits that the walk is given


def resource_metrics_of_planes(design: PlaneDesign, part: Device) -> tuple[Metric, ...]:
    """The estimate with its bands, and as shares of the part; nothing for a family that Yosys was
    not asked about."""
    if part.fabric not in known_fabrics():
        return ()
    resources = estimate_resources(design, part)
    return tuple(_metrics(resources, part))


def estimate_resources(design: PlaneDesign, part: Device) -> dict[str, float]:
    """Amounts by kind."""
    parts = join_parts(_parts_of(design))
    own = amounts(parts, fabric_of(part.fabric), dsp=True)
    behind = estimate_netlist(design.netlist, part).total
    return {kind: own[kind] + behind[kind] for kind in own}


def _metrics(resources: dict[str, float], part: Device) -> Iterator[Metric]:
    for kind, taken in resources.items():
        amount, (low, high) = round(taken), BAND.get(kind, BLOCK_BAND)
        available = part.offers(kind)
        shares = [(f"{kind}_share", 100.0 / available, "%")] if available else []
        for name, scale, unit in [(kind, 1.0, ""), *shares]:
            value = amount * scale
            yield Metric(
                name, value, unit, Origin.ESTIMATED, low * value, high * value, target=TARGET,
                note="what Yosys will find", state=DesignState.LOGIC_SYNTHESIS,
            )  # fmt: skip


def _parts_of(design: PlaneDesign) -> Iterator[BlockParts]:
    yield _feed(design)
    yield from _stages(design)
    yield _map(design)
    yield _marks(design)
    yield _walk(design)
    yield _engine(design)


def _feed(design: PlaneDesign) -> BlockParts:
    geometry = design.geometry
    source = input_port(design)
    slots = MARKS // geometry.size.at_once
    return join_parts((
        BlockParts({Work.BLOCK: 2}), queue(source.bits, QUEUES), counter(source.beats),
        counter(geometry.line_beats), counter(geometry.lines), counter(geometry.lines_ahead),
        counter(slots), registers(source.bits + MARKS + 8),
        BlockParts({Work.EQUAL: source.bits}, choices=(WordChoice(MARKS, 1),)),
    ))  # fmt: skip


def _stages(design: PlaneDesign) -> Iterator[BlockParts]:
    geometry = design.geometry
    at_once = geometry.size.at_once
    for circuit in design.stages:
        stage = circuit.stage
        place = circuit.channels * circuit.source.bits
        lines = (stage.window[1] - 1) * stage.step[1]
        reach = (stage.window[0] - 1) * stage.step[0] + at_once
        window_bits = stage.window[1] * reach * place
        yield join_parts((BlockParts({Work.BLOCK: 1}), registers(window_bits + at_once * place)))
        if lines:
            kept = Memory(geometry.line_beats, lines * at_once * place, stages=2)
            yield join_parts((counter(geometry.line_beats), BlockParts(memories=(kept,))))
        work = {Work(kind): amount for kind, amount in circuit.pipeline.contents().items()}
        yield join_parts([BlockParts({Work.BLOCK: 1, **work})] * at_once)


def _map(design: PlaneDesign) -> BlockParts:
    geometry, engine = design.geometry, design.engine
    at_once = geometry.size.at_once
    word = engine.channels * engine.channel.bits
    words = geometry.ring_lines * geometry.line_beats
    whole, rest = divmod(words, 1 << chunk_of(design))
    sizes = [1 << chunk_of(design)] * whole + [rest] * bool(rest)
    memories = tuple(Memory(size, word, stages=2) for size in sizes for _ in range(at_once))
    return join_parts((
        BlockParts({Work.BLOCK: 1}), counter(words), counter(geometry.line_beats),
        registers((at_once + 1) * word),
        BlockParts({Work.SELECT: len(memories) * word}, memories),
    ))  # fmt: skip


def _marks(design: PlaneDesign) -> BlockParts:
    geometry = design.geometry
    wire_bits, line_bits = hit_bits(design)
    waiting = geometry.lines_ahead * geometry.mark_words
    address = math.ceil(math.log2(geometry.ring_lines * geometry.line_beats))
    return join_parts((
        BlockParts({Work.BLOCK: 2}), counter(waiting), counter(waiting),
        counter(geometry.mark_words), counter(geometry.lines), counter(geometry.lines_ahead),
        queue(wire_bits, QUEUES), queue(wire_bits + line_bits + 1, HITS),
        queue(wire_bits + line_bits + 2, 2), registers(3 * MARKS + 2 * address + 16),
        BlockParts(
            {Work.ADD: MARKS + 2 * address + wire_bits, Work.SELECT: MARKS + address},
            (Memory(waiting, MARKS, stages=1),),
        ),
    ))  # fmt: skip


def _walk(design: PlaneDesign) -> BlockParts:
    geometry, engine = design.geometry, design.engine
    address = math.ceil(math.log2(geometry.ring_lines * geometry.line_beats))
    key = (engine.passes * design.walked).bit_length()
    difference = engine.channels * engine.difference_bits
    word = engine.channels * engine.channel.bits
    out = difference + key + 2
    subtracted = difference if engine.difference_bits > engine.channel.bits else 0
    return join_parts((
        BlockParts({Work.BLOCK: 1}), counter(geometry.places[0]), counter(geometry.places[1]),
        queue(out, QUEUE), registers(4 * address + 6 * key + difference + 3 * 5 + 2 * address),
        BlockParts({
            Work.ADD: 5 * address + key, Work.SELECT: 4 * address + difference,
            Work.EQUAL: word + 4 * address, Work.SHORT_ADD: subtracted,
        }),
    ))  # fmt: skip


def _engine(design: PlaneDesign) -> BlockParts:
    engine = design.engine
    x = engine.difference_bits + (0 if engine.differs_signed else 1)
    w = engine.weights.bits + (0 if engine.weights.signed else 1)
    levels = (engine.channels - 1).bit_length()
    sums = min(x + w + levels, engine.sums.bits)
    by_dsp = engine.dsp_lanes * engine.channels
    by_adders = engine.multipliers - by_dsp
    wide = engine.pe * engine.sums.bits
    weights = Memory(
        design.walked * engine.passes, engine.multipliers * engine.weights.bits, rom=True, stages=3
    )
    starts = Memory(engine.passes, wide, rom=True, stages=1)
    register_bits = (3 + engine.pe) * engine.channels * engine.difference_bits
    multiplier = Multiplier(
        by_dsp, x, w, x + w, before=by_dsp * engine.weights.bits, after=by_dsp * (x + w)
    )
    pairs = (w + 1) // 2  # of a weight's bits, each an addition
    return join_parts((
        BlockParts({Work.BLOCK: 2}),
        *[tree(engine.channels, x + w, sums, levels, largest=False)] * engine.pe,
        counter(engine.passes), counter(engine.passes), counter(design.walked * engine.passes),
        registers(register_bits + 3 * (6 + levels) + (engine.passes + 1) * wide),
        registers(engine.multipliers * (x + w) + 2 * by_dsp * (x + w)),
        registers(by_adders * (pairs * (x + 2) + 2 * (x + w))),
        queue(wide, OUT_OF_ENGINE * engine.passes), queue(wide + 1, 2), queue(wide, 2),
        BlockParts({
            Work.ADD: wide + by_adders * (pairs * (x + 2) + (pairs - 1) * (x + w)),
            Work.SELECT: wide,
        }),
        BlockParts(memories=(weights, starts), multipliers=(multiplier,)),
    ))  # fmt: skip
