# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A tagger at many places of one picture: patch by patch, or with what patches share; or a network
that labels every pixel, frame by frame.

The first two yield the same integers. Everything is compiled once and may be used by several
threads.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.event.frames import (
    FrameLayout,
    Run,
    divide_hits,
    label_hits,
    labels_pixels,
    lay_frames,
    limited_masks,
)
from edgeinfer.event.places import SharedPart, build_shared_part, empty_row, fill_places
from edgeinfer.event.prefix import Cut, Obstacle, cut_program
from edgeinfer.event.units import UnitPlane, Units, add_up, build_units, spread_units
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.program import Program
from quantization.fixed import Ints

CHUNK = 2048  # patches whose sums stay in the caches while the weights stream past
CHUNK_VALUES = 1 << 25  # of places that are copied side by side for whole patches


class Way(StrEnum):
    """How the patches of a plane are evaluated; the integers are the same."""

    AUTO = "auto"  # the footprint where the network allows it
    PATCHES = "patches"
    FOOTPRINT = "footprint"


@dataclass(frozen=True, slots=True)
class PatchOutputs:
    """Raw outputs for each patch, and the multiply-accumulates spent on them."""

    outputs: dict[str, Ints]
    macs: int  # of frames, as if they were computed everywhere
    left_out: NDArray[np.bool_] | None = None  # of frames: hits beyond the limit of lit pixels
    frames: int = 0  # that were evaluated


@dataclass(frozen=True, slots=True)
class Tagger:
    """A network, ready to be evaluated at many places of a picture."""

    program: Program
    shared: SharedPart | None  # None: patch by patch
    units: Units | None  # None: the places of each patch go to `tail` one by one
    tail: Engine
    frames: FrameLayout | None = None  # of a network that labels pixels
    run_frames: Run | None = None

    @property
    def chunk(self) -> int:
        """Patches to evaluate at once."""
        if self.units is not None:
            return CHUNK
        height, width, channels = self.tail.program.inputs[0].shape  # of a patch, or of a frame
        return max(1, min(CHUNK, CHUNK_VALUES // (height * width * channels)))


def choose_cut(
    program: Program, way: Way, margin: int | None = None
) -> Cut | Obstacle | FrameLayout:
    """How the network is cut, or why it is not, or the frames of one that labels every pixel; what
    does not exist is refused."""
    if labels_pixels(program):
        if way is not Way.AUTO:
            raise UsageError(
                f"{program.name} labels every pixel of a frame, and so looks at no patches.",
                hint="Leave out --way.",
            )
        return lay_frames(program, margin)
    if margin is not None:
        raise UsageError(
            f"{program.name} looks at patches, which have no margins.", hint="Leave out --margin."
        )
    if way is Way.PATCHES:
        return Obstacle("it was asked for")
    cut = cut_program(program)
    if way is Way.FOOTPRINT and isinstance(cut, Obstacle):
        raise UsageError(
            f"The patches of {program.name} share nothing: {cut.reason}.",
            hint="Use --way patches.",
        )
    return cut


def build_tagger(program: Program, cut: Cut | Obstacle | FrameLayout) -> Tagger:
    """Compile everything, once."""
    if isinstance(cut, FrameLayout):
        engine = Engine(program, threads=1)
        return Tagger(program, None, None, engine, cut, functools.partial(_run_frames, engine))
    if isinstance(cut, Obstacle):
        return Tagger(program, None, None, Engine(program, threads=1))
    shared = build_shared_part(cut)
    if cut.first is None:
        return Tagger(program, shared, None, Engine(cut.tail, threads=1))
    units = build_units(cut, cut.first, empty_row(shared))
    return Tagger(program, shared, units, Engine(cut.tail, threads=1, batch=CHUNK))


def build_plain(program: Program, cut: Cut | Obstacle | FrameLayout, tagger: Tagger) -> Tagger:
    """One that takes no shortcut: patch by patch, or frames that are computed everywhere."""
    if isinstance(cut, FrameLayout):
        return replace(tagger, run_frames=functools.partial(interpret, program))
    return build_tagger(program, Obstacle("for the check"))


def _run_frames(engine: Engine, inputs: Mapping[str, Ints]) -> dict[str, Ints]:
    """Outputs and the masks that have a limit, by their names in the Program."""
    program = engine.program
    outputs = engine.run(inputs)
    values = {output.value: outputs[output.name] for output in program.outputs}
    masks = limited_masks(program)
    if masks:
        tapped = engine.run(inputs, taps=masks)
        values |= {mask: tapped[mask] for mask in masks}
    return values


@dataclass(frozen=True, slots=True)
class PreparedPicture:
    """A picture, and what patches share of it."""

    picture: Ints
    table: NDArray[np.integer] | None
    row_of: NDArray[np.int32] | None
    plane: UnitPlane | None
    macs: int


def prepare_picture(tagger: Tagger, picture: Ints) -> PreparedPicture:
    """The shared part, once for the whole picture (rows, columns, channels) of raw integers."""
    if tagger.shared is None:
        return PreparedPicture(picture, None, None, None, 0)
    field = fill_places(tagger.shared, picture)
    plane = None if tagger.units is None else spread_units(tagger.units, field)
    return PreparedPicture(picture, field.table, field.row_of, plane, field.macs)


def tag_chunk(tagger: Tagger, prepared: PreparedPicture, corners: NDArray[np.intp]) -> PatchOutputs:
    """Outputs for patches whose upper left corners are given; the picture holds them wholly. Of a
    network that labels pixels, outputs at these pixels."""
    tail = tagger.tail
    if tagger.frames is not None and tagger.run_frames is not None:
        labelled = label_hits(
            tagger.program, tagger.frames, prepared.picture, corners, tagger.run_frames
        )
        macs = labelled.frames * tagger.program.macs
        return PatchOutputs(labelled.outputs, macs, labelled.left_out, labelled.frames)
    source = tail.program.inputs[0]
    spent = len(corners) * tail.program.macs
    if tagger.units is not None and prepared.plane is not None:
        sums, macs = add_up(tagger.units, prepared.plane, corners)
        patches = sums.reshape(-1, *source.shape)
        return PatchOutputs(tail.run({source.name: patches}), spent + macs)
    if tagger.shared is not None and prepared.table is not None and prepared.row_of is not None:
        cut = tagger.shared.cut
        rows = patches_of(prepared.row_of, corners, cut.places, cut.step)
        table_rows = prepared.table.take(rows, axis=0)
    else:
        table_rows = patches_of(prepared.picture, corners, source.shape[:2])
    return PatchOutputs(tail.run({source.name: table_rows}), spent)


def chunks_of(tagger: Tagger, corners: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """The corners in parts of about the same size, so that processors end together; one that is
    empty where there is none."""
    if tagger.frames is not None:
        yield from divide_hits(tagger.frames, corners, tagger.chunk)
        return
    yield from np.array_split(corners, max(-(-len(corners) // tagger.chunk), 1))


def join_outputs(prepared_macs: int, parts: list[PatchOutputs]) -> PatchOutputs:
    """The parts one after the other."""
    names = parts[0].outputs
    outputs = {name: np.concatenate([part.outputs[name] for part in parts]) for name in names}
    macs, frames = (sum(each) for each in zip(*((p.macs, p.frames) for p in parts), strict=True))
    flags = [part.left_out for part in parts if part.left_out is not None]
    left_out = np.concatenate(flags) if flags else None
    return PatchOutputs(outputs, prepared_macs + macs, left_out, frames)


def tag_corners(tagger: Tagger, picture: Ints, corners: NDArray[np.intp]) -> PatchOutputs:
    """Outputs for patches whose upper left corners are given, on one processor."""
    prepared = prepare_picture(tagger, picture)
    parts = [tag_chunk(tagger, prepared, here) for here in chunks_of(tagger, corners)]
    return join_outputs(prepared.macs, parts)


def patches_of(
    picture: NDArray[np.integer],
    corners: NDArray[np.intp],
    patch: tuple[int, ...],
    step: tuple[int, int] = (1, 1),
) -> NDArray[np.integer]:
    """The patches (n, height, width, ...) whose upper left corners are given, pixels `step` apart;
    the picture must hold them wholly."""
    rows, columns = (np.arange(n) * apart for n, apart in zip(patch, step, strict=True))
    y = corners[:, 0, None, None] + rows[None, :, None]
    x = corners[:, 1, None, None] + columns[None, None, :]
    return np.asarray(picture[y, x])
