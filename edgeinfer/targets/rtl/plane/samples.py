# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Patches, each with a label, through a design for whole planes: tiles of planes, a hit in each."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.targets.boards.tiles import PatchTiles
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.simulate import run_planes
from edgeinfer.targets.rtl.tools.simulate import Conditions
from quantization.fixed import Ints


def tiles_of(design: PlaneDesign) -> PatchTiles:
    """The design's patches in its planes."""
    size = design.geometry.size
    return PatchTiles(design.cut.patch, (size.wires, size.pixels))


def run_samples(
    design: PlaneDesign, folder: Path, patches: Ints, conditions: Conditions
) -> dict[str, Ints]:
    """The outputs of patches (samples, rows, columns, 1), by simulated planes."""
    tiles = tiles_of(design)
    run = run_planes(design, folder, list(tiles.lay_planes(patches)), conditions)
    who = f"{design.name}, simulated"
    rows = tiles.find_rows(len(patches), run.plane, run.wire, run.pixel, who)
    return {name: values[rows] for name, values in run.outputs.items()}
