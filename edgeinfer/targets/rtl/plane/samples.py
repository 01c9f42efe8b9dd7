# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Patches, each with a label, through a design for whole planes: tiles of planes, a hit in each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import DisagreementError
from edgeinfer.targets.rtl.plane.design import PlaneDesign
from edgeinfer.targets.rtl.plane.simulate import run_planes
from edgeinfer.targets.rtl.tools.simulate import Conditions
from quantization.fixed import Ints


def run_samples(
    design: PlaneDesign, folder: Path, patches: Ints, conditions: Conditions
) -> dict[str, Ints]:
    """The outputs of patches (samples, rows, columns, 1). They lie side by side in planes, and the
    centre of each is marked as a hit: it sees its own patch and nothing else."""
    corners = list(tile_corners(design))
    planes = [
        _lay_tiles(design, patches[start : start + len(corners)], corners)
        for start in range(0, len(patches), len(corners))
    ]
    found = run_planes(design, folder, planes, conditions)
    height, width = design.cut.patch
    place_of = {
        (number // len(corners), corner[0] + height // 2, corner[1] + width // 2): number
        for number in range(len(patches))
        for corner in [corners[number % len(corners)]]
    }
    # With a threshold, other pixels of a patch may be hits, too.
    hits = zip(found.plane.tolist(), found.wire.tolist(), found.pixel.tolist(), strict=True)
    row_of = {place_of[hit]: row for row, hit in enumerate(hits) if hit in place_of}
    if lost := len(patches) - len(row_of):
        raise DisagreementError(
            f"{design.name}: {lost} of {len(patches)} hits never came out of the simulated design.",
            hint="Please report this, with the model.",
        )
    rows = [row_of[number] for number in range(len(patches))]
    return {name: values[rows] for name, values in found.outputs.items()}


def tile_corners(design: PlaneDesign) -> Iterator[tuple[int, int]]:
    """Where patches lie in a plane, without overlap."""
    (height, width), size = design.cut.patch, design.geometry.size
    for top in range(0, size.wires - height + 1, height):
        for left in range(0, size.pixels - width + 1, width):
            yield top, left


def _lay_tiles(
    design: PlaneDesign, patches: Ints, corners: list[tuple[int, int]]
) -> tuple[Ints, NDArray[np.bool_]]:
    (height, width), size = design.cut.patch, design.geometry.size
    raw: Ints = np.zeros((size.wires, size.pixels), np.int64)
    hits = np.zeros(raw.shape, np.bool_)
    for patch, (top, left) in zip(patches, corners, strict=False):
        raw[top : top + height, left : left + width] = patch[:, :, 0]
        hits[top + height // 2, left + width // 2] = True
    return raw, hits
