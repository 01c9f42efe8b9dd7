# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""About how many cycles frames take in a stream, from their lit pixels and without a simulator.

All blocks work at once, on one frame after another, so a frame takes as long as the block that has
the most to do for it. That is counted from the block's own steps: those of each site of its level,
which are the same for all of them (`fewer.py`), and those of the frame. A block that keeps tokens
takes and gives at the same time. What is not seen is that blocks wait for each other where the
sites of a frame come in bursts and queues are short, so it is rather too few.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.folding import Folding
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.sparse.fewer import (
    COARSEN,
    FRAME,
    FRONT,
    TOKEN_MAKERS,
    OwnedSteps,
    owned_steps,
    owned_streams,
)
from edgeinfer.targets.rtl.sparse.rewrite import LIT, in_fewer_tokens
from quantization.fixed import Ints

BAND = (0.95, 1.3)  # of what Verilator counts over what is reckoned for planes: 0.98 to 1.24 so far
INTERVAL_BAND = (0.6, 1.6)  # and for the mean of some of them


def reckon_intervals(program: Program, prepared: Program, folding: Folding, frames: Ints) -> Ints:
    """About the cycles that each of these frames takes in a stream of them."""
    # Of each level one site, for its steps stand for those of the others.
    netlist = build_netlist(in_fewer_tokens(prepared, 1).program, folding)
    counts = count_sites(program, netlist, frames)
    works = [_work(owned, counts, beside) for beside, owned in _steps_of_blocks(netlist)]
    busiest: Ints = np.max(np.broadcast_arrays(*works, np.zeros(len(frames), np.int64)), axis=0)
    return busiest


def count_sites(program: Program, netlist: Netlist, frames: Ints) -> dict[str, Ints]:
    """How many sites each level of a design has in each frame."""
    fronts = [block for block in netlist.blocks if block.module == FRONT]
    masks = [block.op.removesuffix(LIT) for block in fronts]
    values = Engine(program).run({program.inputs[0].name: frames}, taps=masks)
    level_of = {name: owned.level.name for name, owned in owned_streams(netlist).items()}
    lit: dict[str, NDArray[np.bool_]] = {
        level_of[block.outputs[0]]: values[mask][..., 0] != 0
        for block, mask in zip(fronts, masks, strict=True)
    }
    for block in netlist.blocks:
        if block.module in (COARSEN, "ei_site_pool"):
            fine = lit[level_of[block.inputs[-1]]]
            tile = (int(str(block.parameters[key])) for key in ("TILE_H", "TILE_W"))
            lit[level_of[block.outputs[0]]] = _tiles_with_sites(fine, *tile)
    return {name: mask.sum(axis=(1, 2)) for name, mask in lit.items()}


def _tiles_with_sites(lit: NDArray[np.bool_], high: int, wide: int) -> NDArray[np.bool_]:
    frames, rows, columns = len(lit), lit.shape[1] // high, lit.shape[2] // wide
    whole = lit[:, : rows * high, : columns * wide].reshape(frames, rows, high, columns, wide)
    return np.asarray(whole.any(axis=(2, 4)))


def _steps_of_blocks(netlist: Netlist) -> list[tuple[bool, OwnedSteps]]:
    """The steps of each actor, and whether it takes and gives at the same time."""
    owned = owned_steps(netlist)
    return [
        (block.module in (FRONT, *TOKEN_MAKERS), owned[f"{block.name}.{number}"])
        for block in netlist.blocks
        for number in range(len(block.actors))
    ]


def _work(owned: OwnedSteps, counts: Mapping[str, Ints], gives_beside: bool) -> Ints:
    """The cycles that an actor is busy with each frame."""
    _, _, _, yields, cycles, _ = owned.steps
    sides = (yields == 0, yields != 0) if gives_beside else (yields >= 0,)
    works = []
    for side in sides:
        work = np.int64(cycles[side & (owned.sites == FRAME)].sum())
        for level, name in enumerate(owned.names):
            of_site = side & (owned.sites != FRAME) & (owned.levels == level)
            work = work + cycles[of_site].sum() * counts[name]
        works.append(work)
    busy: Ints = np.max(np.broadcast_arrays(*works), axis=0)
    return busy
