# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The estimate's constants, fitted to what Yosys finds, and its errors on designs left out.

`python -m tests.support.rtl_fit` writes `firmware/rtl/costs.toml`. Rules (how memories are chosen)
are Yosys's own and are kept; constants and bands are made anew. All designs of a Program are left
out together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import tomli_w
from scipy.optimize import lsq_linear

from edgeinfer.base import assets
from edgeinfer.targets.rtl.design.netlist import Block, Netlist
from edgeinfer.targets.rtl.estimate.blocks import parts_of
from edgeinfer.targets.rtl.estimate.dead import dead_streams
from edgeinfer.targets.rtl.estimate.fabric import (
    COSTS,
    FabricCosts,
    amounts,
    fabric_from,
    pipeline_costs,
    read_fabrics,
    work_of,
)
from edgeinfer.targets.rtl.estimate.work import BlockParts, Work, join_parts
from tests.support.rtl_resources import (
    Design,
    designs,
    digest_of,
    netlist_of,
    recorded,
    source_of,
)

FITTED = {
    "lut": tuple(work for work in Work if work is not Work.REGISTER),
    "ff": (Work.REGISTER,),
}
MOST_COST = 15.0
MOST_COSTS = {Work.FULL_ADD: 2.0}  # a LUT for the sum of three bits, and one for their carry
LEAST_COSTS = {Work.COMPARE: 1.0}  # a subtraction
SMALL = 3.0  # LUTs, below which a block's error hardly counts
WITHIN = 0.9  # of all designs lie in the band
HEAD = """# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
#
# What Yosys makes of a block's work, by family. Rules are how it chooses memories and DSP blocks;
# lut and ff are costs of each kind of work, fitted; band and block_band are what was found over
# what was estimated, on designs that the fit had not seen. Made by python -m tests.support.rtl_fit.

"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A block of a design, and what Yosys found for it."""

    design: str
    group: str
    instance: str
    made: BlockParts
    dsp: bool
    found: dict[str, float]
    merged: bool  # an unrolled pipeline


@dataclass(frozen=True, slots=True)
class Judged:
    """A design (or one block of it) and a kind: estimated by constants that have not seen it."""

    design: str
    block: str
    kind: str
    estimated: float
    found: float

    @property
    def error(self) -> float:
        """Relative."""
        return self.estimated / self.found - 1.0


@dataclass(frozen=True, slots=True)
class MadeDesign:
    """What the generator makes of a design today: the digest of its Verilog, its blocks."""

    design: Design
    digest: str
    blocks: tuple[tuple[tuple[str, ...], BlockParts, bool], ...]  # instances, their parts, `merged`


@cache
def made_designs() -> tuple[MadeDesign, ...]:
    """All designs that were synthesised, made once for all families."""
    counted, made = recorded(), []
    for design in designs():
        if design.name not in counted:
            continue
        netlist = netlist_of(design)
        dead = dead_streams(netlist)
        blocks = tuple(
            (
                tuple(f"u_{block.name}" for block in together),
                join_parts(parts_of(block, netlist, dead) for block in together),
                any(block.contents for block in together),
            )
            for together in blocks_together(netlist)
        )
        made.append(MadeDesign(design, digest_of(source_of(netlist)), blocks))
    return tuple(made)


def blocks_together(netlist: Netlist) -> list[list[Block]]:
    """Blocks whose cells can be told apart. Those that choose among the parts of a wide beat are
    named after the queue that it lies in, which is of the block before."""
    groups: dict[str, list[Block]] = {}
    for block in netlist.blocks:  # a stream's source comes before its reader
        before = next(
            (g for g in groups.values() if any(set(block.inputs) & set(b.outputs) for b in g)), None
        )
        if block.module == "ei_narrow" and before is not None:
            before.append(block)
        else:
            groups[block.name] = [block]
    return list(groups.values())


def measure_fabric(fabric: str) -> list[Seen]:
    """All blocks of all designs that were synthesised for a family, and are still the same."""
    counted, blocks = recorded(), []
    for made in made_designs():
        name, group, entry = made.design.name, made.design.group, counted[made.design.name]
        counts = entry["counts"].get(fabric)
        if counts is None or entry["digest"] != made.digest:
            continue  # the fit itself is refused where a design has changed
        for instances, parts, merged in made.blocks:
            of_blocks = [counts["blocks"].get(instance, {}) for instance in instances]
            result = {kind: sum(o.get(kind, 0.0) for o in of_blocks) for kind in counts["total"]}
            blocks.append(Seen(name, group, instances[0], parts, counts["dsp"], result, merged))
    return blocks


def changed_designs() -> list[str]:
    """Designs whose Verilog is not what was synthesised."""
    counted = recorded()
    return [
        made.design.name
        for made in made_designs()
        if counted[made.design.name]["digest"] != made.digest
    ]


def fitted(blocks: Sequence[Seen], fabric: FabricCosts) -> FabricCosts:
    """The costs that suit these blocks best; each counts by about the root of its size. Unrolled
    pipelines, which Yosys merges, have costs of their own (`tests.support.pipelines`)."""
    blocks = [block for block in blocks if not block.merged and _is_left(block, fabric)]
    costs: dict[str, dict[Work, float]] = {}
    decided = [work_of(block.made, fabric, dsp=block.dsp) for block in blocks]
    for kind, every in FITTED.items():
        kinds = [
            work
            for work in every
            if (work is not Work.LOOK_AHEAD or work in fabric.pipeline)  # no carry chains
            and any(own.get(work) for own, _ in decided)
        ]
        result = np.array([block.found[kind] for block in blocks])
        left = result - np.array([takes[kind] for _, takes in decided])
        work = np.array([[own.get(name, 0.0) for name in kinds] for own, _ in decided])
        scale = 1.0 / (SMALL + np.sqrt(np.maximum(result, 1.0)))
        most = [MOST_COSTS.get(name, MOST_COST) for name in kinds]
        least = [LEAST_COSTS.get(name, 0.0) for name in kinds]
        solved = lsq_linear(work * scale[:, None], left * scale, bounds=(least, most))
        costs[kind] = dict(zip(kinds, map(float, solved.x), strict=True))
    return replace(fabric, lut=costs["lut"], ff=costs["ff"])


def _is_left(block: Seen, fabric: FabricCosts) -> bool:
    """Whether Yosys has left most of a block. Where there are no memories made of LUTs, queues are
    flip-flops, and Programs drawn at random lose most of theirs, which would draw all others."""
    if fabric.small_words:
        return True
    work, _ = work_of(block.made, fabric, dsp=block.dsp)
    return 2 * block.found["ff"] >= work.get(Work.REGISTER, 0.0)


def judged(blocks: Sequence[Seen], fabric: FabricCosts) -> list[Judged]:
    """Every block and every design (block: empty), by costs fitted to other Programs."""
    result = []
    for group in dict.fromkeys(block.group for block in blocks):
        fit = fitted([block for block in blocks if block.group != group], fabric)
        totals: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        for block in blocks:
            if block.group != group:
                continue
            costs = pipeline_costs(fit) if block.merged else fit
            reckoned = amounts(block.made, costs, dsp=block.dsp)
            for kind in reckoned:
                pair = reckoned[kind], block.found[kind]
                result.append(Judged(block.design, block.instance, kind, *pair))
                totals[block.design, kind][0] += pair[0]
                totals[block.design, kind][1] += pair[1]
        result += [Judged(design, "", kind, *pair) for (design, kind), pair in totals.items()]
    return [one for one in result if one.found]


def band(errors: Sequence[Judged]) -> list[float]:
    """Found over estimated: the interval that holds most of them."""
    ratios = [one.found / max(one.estimated, 1.0) for one in errors]
    edge = (1.0 - WITHIN) / 2.0
    if not ratios:
        return [1.0, 1.0]
    return [round(float(np.quantile(ratios, q)), 3) for q in (edge, 1.0 - edge)]


def renewed(fabric: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A family's table with constants and bands made anew."""
    blocks = measure_fabric(fabric)
    start = fabric_from({**entry, "lut": {}, "ff": {}, "band": {}, "block_band": {}})
    fit = fitted(blocks, start)
    errors = judged(blocks, start)
    bands = {
        which: {
            kind: band([one for one in errors if one.kind == kind and bool(one.block) is by_block])
            for kind in start.kinds
        }
        for which, by_block in (("band", False), ("block_band", True))
    }
    costs = {
        name: {work.value: round(cost, 3) for work, cost in table.items() if cost > 0.001}
        for name, table in (("lut", fit.lut), ("ff", fit.ff))
    }
    return {"rules": entry["rules"], **costs, "pipeline": entry["pipeline"], **bands}


if __name__ == "__main__":
    if changed := changed_designs():
        raise SystemExit(
            f"{len(changed)} designs have changed since they were synthesised. Renew them first: "
            f"python -m tests.bench.bench_rtl_resources --renew"
        )
    made = {fabric: renewed(fabric, dict(entry)) for fabric, entry in read_fabrics().items()}
    assets.path(COSTS).write_text(HEAD + tomli_w.dumps(made))
