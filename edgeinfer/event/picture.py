# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A plane as physicists draw it: its signals, and beside them every hit in the colour of its class.

Wires run to the right and time runs up. A hit has the colours of the classes mixed by their
scores. A plane with more wires or pixels than a picture has points shows, in each point, the
largest signal and the hit that belongs to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.base.png import Image, image_address
from edgeinfer.evaluate.judge import apply_host_functions, real_outputs, sigmoid
from edgeinfer.event.event import PlaneTags
from edgeinfer.event.frames import hit_shape
from edgeinfer.ir.program import HostFunction, Program
from edgeinfer.report import words
from edgeinfer.report.draw.marks import Box, Figure, Label, Mark, Raster
from edgeinfer.report.draw.scales import AxisScale, axes

Shares = NDArray[np.float64]

MOST_WIDE, MOST_HIGH = 480, 1000  # points of a panel
KEY_WIDE = 488  # room for the keys above a panel
LARGEST_ADC = 30.0  # at the bright end of the scale
GAMMA = 0.7  # below 1, faint signals are brighter
SHADES = 60
GROUND = (10, 14, 24)
ADC_COLOURS = ((10, 14, 24), (58, 18, 107), (150, 38, 104), (223, 84, 59), (252, 168, 31),
               (252, 250, 170))  # fmt: skip  # dark to bright, also where colours are not seen
CLASS_COLOURS = ((76, 201, 240), (255, 170, 51), (126, 137, 155), (150, 210, 110), (190, 150, 250),
                 (240, 225, 100), (130, 180, 170), (220, 140, 120))  # fmt: skip
MICHEL_COLOUR = (255, 64, 160)
TAGGER_CLASSES = ("track", "shower", "none")
MICHEL = "michel"
LIKELY = 0.5  # a Michel score from which a hit is counted as one


@dataclass(frozen=True, slots=True)
class TagScheme:
    """Which outputs say what a hit is, and what the classes are called."""

    output: str  # one channel for each class
    classes: tuple[str, ...]
    michel: str | None  # the output with the Michel score


def choose_scheme(program: Program, classes: Sequence[str]) -> TagScheme:
    """The output with a channel for each class, and the one that is named after Michel."""
    channels = {output.name: hit_shape(program, output.value) for output in program.outputs}
    several = [name for name, shape in channels.items() if len(shape) == 1 and shape[0] > 1]
    single = [name for name, shape in channels.items() if shape == (1,) and MICHEL in name.lower()]
    if len(several) != 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in channels.items())
        raise UsageError(
            f"A picture needs one output with a channel for each class; {program.name} has "
            f"{len(several) or 'none'}: {listed}."
        )
    count = channels[several[0]][0]
    if count > len(CLASS_COLOURS):
        raise UsageError(f"A picture tells {len(CLASS_COLOURS)} classes apart, not {count}.")
    if classes and len(classes) != count:
        raise UsageError(
            f"--classes names {len(classes)} classes; {several[0]} has {count} channels.",
            hint=f"Give {count} names with commas between them.",
        )
    known = TAGGER_CLASSES if single else ()  # ProtoDUNE's taggers are known by their Michel score
    named = tuple(classes) or known
    if len(named) != count:
        named = tuple(f"class {number}" for number in range(count))
    return TagScheme(several[0], named, single[0] if single else None)


def score_hits(program: Program, scheme: TagScheme, tags: PlaneTags) -> tuple[Shares, Shares]:
    """Shares of the classes at each hit (hits, classes), and the Michel scores (hits,)."""
    real = real_outputs(program, tags.tagged.outputs)
    shares = real[scheme.output].astype(np.float64)
    hosts = {output.name: output.host for output in program.outputs}
    if hosts[scheme.output] is not HostFunction.SOFTMAX and not _add_up_to_one(shares):
        shares = apply_host_functions(shares, HostFunction.SOFTMAX)
    if scheme.michel is None:
        return shares, np.zeros(len(shares))
    michel = real[scheme.michel].reshape(-1).astype(np.float64)
    if hosts[scheme.michel] is not HostFunction.SIGMOID and not _are_shares(michel):
        michel = sigmoid(michel)
    return shares, np.clip(michel, 0.0, 1.0)


def _are_shares(values: Shares) -> bool:
    return bool(((values >= 0) & (values <= 1)).all())


def _add_up_to_one(shares: Shares) -> bool:
    return _are_shares(shares) and bool((np.abs(shares.sum(axis=1) - 1) < 0.1).all())


@dataclass(frozen=True, slots=True)
class PlanePanels:
    """The two rasters of a plane, and what the hits are."""

    name: str
    wires: int
    pixels: int
    adc: Image
    tags: Image
    counts: Mapping[str, int]  # hits by their likeliest class; Michel hits are counted as well
    hits: int


def draw_panels(program: Program, scheme: TagScheme, tags: PlaneTags) -> PlanePanels:
    """Both panels, time running up."""
    adc = tags.plane.adc
    shares, michel = score_hits(program, scheme, tags)
    palette = np.array(CLASS_COLOURS[: len(scheme.classes)], np.float64)
    colours = shares @ palette
    colours += michel[:, None] * (np.array(MICHEL_COLOUR) - colours)
    wires, pixels = adc.shape
    across, up = -(-wires // MOST_WIDE), -(-pixels // MOST_HIGH)
    largest = np.maximum.reduceat(adc, np.arange(0, wires, across), axis=0)
    largest = np.maximum.reduceat(largest, np.arange(0, pixels, up), axis=1)
    tagged = np.empty((*largest.shape, 3))
    tagged[:] = GROUND
    order = np.argsort(adc[tuple(tags.hits.T)], kind="stable")
    # Of repeated points the last assignment stays: the largest signal.
    points = tags.hits[order] // (across, up)
    tagged[points[:, 0], points[:, 1]] = colours[order]
    best = shares.argmax(axis=1) if len(shares) else np.zeros(0, np.intp)
    counts = {
        name: int(np.count_nonzero(best == number)) for number, name in enumerate(scheme.classes)
    }
    if scheme.michel is not None:
        counts["Michel"] = int(np.count_nonzero(michel >= LIKELY))
    panel = _shade(largest)
    return PlanePanels(
        tags.plane.name, wires, pixels, _upright(panel), _upright(tagged), counts, len(tags.hits)
    )


def _shade(adc: NDArray[np.floating]) -> NDArray[np.float64]:
    """Signals in the colours of the scale; noise stays dark. Few shades make a small file."""
    share = np.rint(np.clip(adc / LARGEST_ADC, 0.0, 1.0) ** GAMMA * SHADES) / SHADES
    ends, place = np.arange(len(ADC_COLOURS)), share * (len(ADC_COLOURS) - 1)
    channels = [np.interp(place, ends, [colour[i] for colour in ADC_COLOURS]) for i in range(3)]
    return np.stack(channels, axis=-1)


def _upright(image: NDArray[np.float64]) -> Image:
    """(wires, pixels, colours) with wires to the right and time up."""
    turned = np.ascontiguousarray(image.transpose(1, 0, 2)[::-1])
    return np.rint(turned).astype(np.uint8)


def plane_figure(panels: PlanePanels, scheme: TagScheme, number: int) -> Figure:
    """The panels side by side with their axes and keys."""
    rows, columns, _ = panels.adc.shape
    scale = max(1, min(MOST_WIDE // columns, MOST_HIGH // 2 // rows))
    wide, high = columns * scale, rows * scale
    least = max(wide, KEY_WIDE)
    top, left, gap = 64.0, 56.0, 56.0
    marks: list[Mark] = []
    for place, image, title in (
        (left, panels.adc, "Signal"),
        (left + least + gap, panels.tags, ""),
    ):
        across = AxisScale(0, panels.wires, place, place + wide)
        up = AxisScale(0, panels.pixels, top + high, top)
        marks += axes(across, up, "wire", "time (pixels)" if title else "")
        about = title or "Classes of the hits"
        marks.append(Raster(place, top, wide, high, image_address(image), about))
    marks += _adc_key(left, top - 34)
    marks += _class_key(left + least + gap, top - 34, scheme, panels)
    listed = ", ".join(f"{panels.counts[name]:,} {name}" for name in scheme.classes)
    if scheme.michel is not None:
        listed += f"; {panels.counts['Michel']:,} have a Michel score of {LIKELY:g} or more"
    return Figure(
        f"plane-{number}",
        words.short(panels.name, 80),
        f"{panels.hits:,} hits by their likeliest class: {listed}. {panels.wires:,} wires across, "
        f"{panels.pixels:,} pixels of time up.",
        left + 2 * least + gap + 16,
        top + high + 56,
        tuple(marks),
    )


def _adc_key(x: float, y: float) -> list[Mark]:
    """The scale of signals, dark to bright."""
    steps, wide = 120, 180.0
    ramp = np.rint(_shade(np.linspace(0, LARGEST_ADC, steps))[None]).astype(np.uint8)
    marks: list[Mark] = [Raster(x, y, wide, 10, image_address(ramp), "Scale of the signal")]
    for adc in (0.0, LARGEST_ADC / 3, LARGEST_ADC):
        more = "+ ADC" if adc == LARGEST_ADC else ""
        at = x + wide * adc / LARGEST_ADC
        marks.append(Label(at, y - 5, f"{adc:g}{more}", "muted", "start" if not adc else "middle"))
    return marks


def _class_key(x: float, y: float, scheme: TagScheme, panels: PlanePanels) -> list[Mark]:
    """What the colours stand for, and how many hits there are of each."""
    colours = dict(zip(scheme.classes, CLASS_COLOURS, strict=False)) | {"Michel": MICHEL_COLOUR}
    marks: list[Mark] = []
    for number, (name, count) in enumerate(panels.counts.items()):
        at, down = x + KEY_WIDE / 4 * (number % 4), y - 18 * (number // 4)
        square = np.array(colours[name], np.uint8)[None, None]
        marks.append(Box(at - 1, down - 1, 12, 12, "edge"))
        marks.append(Raster(at, down, 10, 10, image_address(square), name))
        marks.append(Label(at + 16, down + 9, f"{words.short(name, 10)} {count:,}", "muted"))
    return marks
