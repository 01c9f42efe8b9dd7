# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A plane in frames, for networks that label every pixel of an image, as sparse ones do.

Frames have the network's size and lie side by side, but for margins in which they overlap: each
hit takes its labels from the one frame in whose inner part it lies, so that it sees at least a
margin of the plane around it. A frame without a hit in its inner part is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.ir.ops import Sites
from edgeinfer.ir.program import Program
from quantization.fixed import Ints

PLANE_AXES = 2  # of an image, without its channels
MARGIN_SHARE = 8  # of a frame's side, one in so many pixels is a margin where nobody says more

Places = NDArray[np.intp]
Run = Callable[[Mapping[str, Ints]], dict[str, Ints]]


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """Frames of so many rows and columns, and the margin on each of their sides."""

    size: tuple[int, int]
    margin: tuple[int, int]

    @property
    def step(self) -> tuple[int, int]:
        """How far frames lie apart: the size of their inner parts."""
        (rows, columns), (across, along) = self.size, self.margin
        return rows - 2 * across, columns - 2 * along

    def counts(self, plane: tuple[int, ...]) -> tuple[int, int]:
        """Frames that cover a plane, along both of its axes."""
        rows, columns = (-(-side // step) for side, step in zip(plane, self.step, strict=True))
        return rows, columns


@dataclass(frozen=True, slots=True)
class FrameHits:
    """The frames that have hits, and where these lie in them."""

    frames: Places  # (row, column) of each frame
    frame_of: Places  # for each hit, the number of its frame in `frames`
    inside: Places  # for each hit, its (row, column) in its frame


@dataclass(frozen=True, slots=True)
class LabelledHits:
    """The raw outputs at hits, and how they came about."""

    outputs: dict[str, Ints]
    left_out: NDArray[np.bool_]  # their frames have more lit pixels than the network keeps
    frames: int  # that were evaluated


def labels_pixels(program: Program) -> bool:
    """Whether every output has a row and a column for each pixel of the only input."""
    if len(program.inputs) != 1 or len(program.inputs[0].shape) != PLANE_AXES + 1:
        return False
    size = program.inputs[0].shape[:PLANE_AXES]
    shapes = [program.shapes[output.value] for output in program.outputs]
    return all(len(shape) == PLANE_AXES + 1 and shape[:PLANE_AXES] == size for shape in shapes)


def hit_shape(program: Program, value: str) -> tuple[int, ...]:
    """The shape of an output at one hit: of a network that labels pixels, its channels."""
    shape = program.shapes[value]
    return shape[PLANE_AXES:] if labels_pixels(program) else shape


def lay_frames(program: Program, margin: int | None) -> FrameLayout:
    """The frames of a network that labels pixels."""
    rows, columns = program.inputs[0].shape[:PLANE_AXES]
    usual = (rows // MARGIN_SHARE, columns // MARGIN_SHARE)
    layout = FrameLayout((rows, columns), usual if margin is None else (margin, margin))
    if min(layout.margin) < 0 or min(layout.step) < 1:
        raise UsageError(
            f"Frames of {rows} x {columns} pixels with margins of {margin} have no inner part.",
            hint=f"Give a margin from 0 to {(min(rows, columns) - 1) // 2}.",
        )
    return layout


def place_hits(layout: FrameLayout, hits: Places) -> FrameHits:
    """The frame of each hit, as (wire, pixel) of its plane."""
    step, margin = np.array(layout.step), np.array(layout.margin)
    frames, frame_of = np.unique(hits // step, axis=0, return_inverse=True)
    return FrameHits(frames, frame_of.reshape(-1), hits % step + margin)


def busiest_hits(layout: FrameLayout, hits: Places) -> Places:
    """The numbers of the hits that lie in the frame with the most of them."""
    frame_of = place_hits(layout, hits).frame_of
    return np.flatnonzero(frame_of == np.argmax(np.bincount(frame_of)))


def divide_hits(layout: FrameLayout, hits: Places, frames_at_once: int) -> Iterator[Places]:
    """The hits in parts that have their frames to themselves, in the order in which they are; one
    that is empty where there are none. Hits come wire by wire, so a part is some rows of frames."""
    rows = hits[:, 0] // layout.step[0]
    begins = [0]
    for row in np.unique(rows):
        first, last = np.searchsorted(rows, row), np.searchsorted(rows, row, side="right")
        if len(place_hits(layout, hits[begins[-1] : last]).frames) > frames_at_once:
            begins.append(int(first))
    yield from np.split(hits, sorted(set(begins) - {0}))


def cut_frames(layout: FrameLayout, picture: Ints, frames: Places) -> Ints:
    """Frames of a plane's raw integers (wires, pixels, 1); beyond its edges there is no charge."""
    (rows, columns), (across, along) = layout.size, layout.margin
    around = ((across, rows), (along, columns), (0, 0))
    padded = np.pad(picture, around)
    corners = frames * layout.step
    return np.stack([padded[y : y + rows, x : x + columns] for y, x in corners])


def label_hits(
    program: Program, layout: FrameLayout, picture: Ints, hits: Places, run: Run
) -> LabelledHits:
    """The raw outputs at each hit. `run` gives values by their names in the Program."""
    placed = place_hits(layout, hits)
    left_out = np.zeros(len(hits), np.bool_)
    if not len(hits):
        shapes = {output.name: hit_shape(program, output.value) for output in program.outputs}
        outputs = {name: np.zeros((0, *shape), np.int64) for name, shape in shapes.items()}
        return LabelledHits(outputs, left_out, 0)
    frames = cut_frames(layout, picture, placed.frames)
    values = run({program.inputs[0].name: frames})
    at = (placed.frame_of, *placed.inside.T)
    for mask in limited_masks(program):
        left_out |= values[mask][at].max(axis=-1) == 0
    outputs = {output.name: values[output.value][at] for output in program.outputs}
    return LabelledHits(outputs, left_out, len(frames))


def limited_masks(program: Program) -> tuple[str, ...]:
    """The masks that keep a limited number of lit pixels of a frame."""
    size = program.inputs[0].shape[:PLANE_AXES]
    return tuple(
        op.name
        for op in program.ops
        if isinstance(op, Sites) and op.most is not None and program.shapes[op.name][:-1] == size
    )
