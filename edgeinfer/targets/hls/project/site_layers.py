# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sites, and what is done at them alone, as layers of ours: `firmware/hls/nnet_sites.h`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, assert_never, cast

import numpy as np

from edgeinfer.base.names import free_name
from edgeinfer.ir import ops
from edgeinfer.ir.ops import Op, Shape
from edgeinfer.targets.hls.project.exact_layers import store_integers
from edgeinfer.targets.hls.project.layout import SITE_BLOCK
from edgeinfer.targets.hls.project.spec import ProjectOutput, StoredIntegers, exactly
from edgeinfer.targets.hls.sparse import ops as s
from quantization.fixed import Fixed

if TYPE_CHECKING:
    from edgeinfer.targets.hls.project.layout import ProjectLayout


def place_sites(layout: ProjectLayout, op: ops.Sites) -> None:
    """The first lit pixels of an image."""
    _place_front(layout, op, "first", layout.program.shapes[op.name], op.type)


def place_counter(layout: ProjectLayout, op: ops.Sites) -> ProjectOutput:
    """What counts the lit pixels of a frame that a limit leaves out, for a port of its own."""
    pixels = math.prod(layout.program.shapes[op.x][:-1])
    assert op.most is not None
    bits = max((pixels - op.most).bit_length(), 2)
    part = "_dropped"
    layer = _place_front(layout, op, "dropped", (1,), Fixed(False, bits, bits), part)
    taken = {output.name for output in layout.program.outputs}
    return ProjectOutput(free_name(f"{op.name}{part}", taken), op.name, layer)


def _place_front(
    layout: ProjectLayout, op: ops.Sites, function: str, shape: Shape, result: Fixed, part: str = ""
) -> str:
    """A block that looks for lit pixels. A threshold below the type of what it reads makes every
    pixel lit, and one above it none, as its largest number does."""
    image, type_ = layout.program.shapes[op.x], layout.program.type(op.x)
    pixels = math.prod(image[:-1])
    threshold = min(max(op.threshold, type_.raw_min), type_.raw_max)
    limits = store_integers("limits", np.array([threshold]), type_.frac, signed=type_.signed)
    return layout.exact(
        op, function, (layout.of_value[op.x],), shape, exactly(result),
        constants={
            "pixels": pixels,
            "channels": image[-1],
            "most": min(op.most or pixels, pixels),
            "always": int(op.threshold < type_.raw_min),
        },
        stored=(limits,), part=part, kind=SITE_BLOCK,
    )  # fmt: skip


def place_step(layout: ProjectLayout, op: s.SiteStep) -> None:
    """What a project in tokens does beside the ops of a Program."""
    match op:
        case s.PlaceList():
            _place(layout, op, "list", (op.x,), _extent(op.extent))
        case s.CoarserList():
            constants = {"sites": op.fine.sites} | _coarser(op.taps, op.coarse)
            _place(layout, op, "coarsen", (op.x,), constants)
        case s.TokenWindows():
            constants = _extent(op.extent) | _taps(op.taps, op.others_extent)
            _place(layout, op, "window", (op.x, op.places, *op.others), constants, op.extent)
        case s.TokenPool():
            constants = {"sites": op.extent.sites, "adds": int(op.adds)}
            constants |= _coarser(op.taps, op.others_extent)
            reads = (op.x, op.places, op.others)
            _place(layout, op, "pool", reads, constants, op.others_extent)
        case s.FinerTokens():
            factors = {"factor_height": op.factors[0], "factor_width": op.factors[1]}
            constants = _extent(op.extent) | factors | {"out_sites": op.others_extent.sites}
            reads = (op.x, op.places, op.others)
            _place(layout, op, "fine", reads, constants, op.extent, op.fill)
        case s.FrameWindows():
            image = {"height": op.image[0], "width": op.image[1]}
            constants = image | _taps(op.taps, op.extent)
            _place(layout, op, "look", (op.x, op.places), constants, fill=op.fill)
        case s.TokenFrame():
            _place(layout, op, "spread", (op.x, op.places), _extent(op.extent), op.extent)
        case s.ListCopy():
            x, shape = layout.of_value[op.x], layout.program.shapes[op.name]
            layout.exact(cast("Op", op), "requant", (x,), shape, exactly(op.type))
        case _:
            assert_never(op)


def _place(
    layout: ProjectLayout,
    op: s.SiteStep,
    function: str,
    reads: tuple[str, ...],
    constants: dict[str, int],
    memory: s.SiteExtent | None = None,
    fill: int | None = None,
) -> None:
    """A block with the channels of what it reads, a memory's rows and what fills up its words."""
    stored: tuple[StoredIntegers, ...] = ()
    if fill is not None:
        stored = (store_integers("fill", np.array([fill]), op.type.frac),)
    layout.exact(
        cast("Op", op),
        function,
        tuple(layout.of_value[x] for x in reads),
        layout.program.shapes[op.name],
        exactly(op.type),
        constants=constants | {"channels": layout.program.shapes[reads[0]][-1]},
        stored=stored,
        types={} if memory is None else {"row": memory.row_type},
        kind=SITE_BLOCK,
    )


def _extent(extent: s.SiteExtent) -> dict[str, int]:
    return {"height": extent.height, "width": extent.width, "sites": extent.sites}


def _taps(taps: s.SiteTaps, results: s.SiteExtent) -> dict[str, int]:
    """The constants of a window, and how many of them there are."""
    names = ("window", "stride", "step", "pad")
    pairs = zip(names, (taps.window, taps.strides, taps.dilation, taps.first_pads), strict=True)
    constants = {"out_sites": results.sites}
    for name, (down, across) in pairs:
        sides = ("top", "left") if name == "pad" else ("height", "width")
        constants |= {f"{name}_{sides[0]}": down, f"{name}_{sides[1]}": across}
    return constants


def _coarser(taps: s.SiteTaps, coarse: s.SiteExtent) -> dict[str, int]:
    """The same where each pixel looks for the windows that see it."""
    down, across = taps.overlapping
    overlapping = {"windows_down": down, "windows_across": across}
    image = {"out_height": coarse.height, "out_width": coarse.width}
    return image | overlapping | _taps(taps, coarse)
