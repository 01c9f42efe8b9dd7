# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``event``: a compiled tagger at every hit of whole wire planes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from edgeinfer.base.errors import UsageError
from edgeinfer.base.plan import write_file, write_files
from edgeinfer.cli.event_files import FilesRequest, refuse_idle, tag_files
from edgeinfer.cli.options import Json
from edgeinfer.cli.terminal import answer, progress
from edgeinfer.cli.workers import NO_SCHEDULER, Jobs, SchedulerOptions

if TYPE_CHECKING:
    from edgeinfer.event.event import PlaneSettings, PlaneTags
    from edgeinfer.event.frames import FrameLayout
    from edgeinfer.event.picture import PlanePanels
    from edgeinfer.event.planes import WirePlane
    from edgeinfer.event.prefix import Cut, Obstacle
    from edgeinfer.event.results import PlaneRow
    from edgeinfer.ir.program import Program
    from edgeinfer.run.folder import Progress


def event(
    run: Annotated[Path, Parameter(help="a run folder of a tagger that compile has made")],
    /,
    *files: Annotated[
        Path,
        Parameter(help="files of planes, and folders of such files: tags of each in the folder -o"),
    ],
    planes: Annotated[int, Parameter(help="how many planes to simulate")] = 1,
    seed: Annotated[int, Parameter(help="the same seed gives the same planes")] = 0,
    data: Annotated[
        Path | None,
        Parameter(
            name=["--data", "--dump"],
            help="planes of a ProtoDUNE dump (.root), or an array (planes, wires, pixels), instead",
        ),
    ] = None,
    threshold_adc: Annotated[
        float, Parameter(help="smaller signals are set to zero; the rest are the hits")
    ] = 4.0,
    scaling: Annotated[
        Literal["unit", "tenth", "sixteenth"] | None,
        Parameter(
            help="unit: ADC 0..30 to 0..1; tenth: ADC -50..150 to -5..15; sixteenth: ADC 0..256 to "
            "0..16. By default unit, and sixteenth for a network that labels pixels"
        ),
    ] = None,
    way: Annotated[
        Literal["auto", "patches", "footprint"],
        Parameter(help="patch by patch, or what charge touches; the integers are the same"),
    ] = "auto",
    check: Annotated[
        int, Parameter(help="hits of each plane that are also evaluated one by one")
    ] = 32,
    margin: Annotated[
        int | None,
        Parameter(
            help="of a network that labels pixels: pixels that its frames reach beyond the hits "
            "that they label, on each side; an eighth of a frame's side by default"
        ),
    ] = None,
    vertices: Annotated[
        float | None,
        Parameter(
            help="propose vertices, by the outputs wire and time of a network like vertex-finder: "
            "how many pixels one of these stands for (32 there)"
        ),
    ] = None,
    wrapped_wires: Annotated[
        int, Parameter(help="wires of each simulated plane that return on its other face")
    ] = 0,
    wires: Annotated[
        Path | None,
        Parameter(help="map.npy: the channel of each wire, where --data holds channels"),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="tags.npz: plane, wire, pixel, and each output; with files, a folder of such",
        ),
    ] = None,
    jobs: Jobs = None,
    scheduler: SchedulerOptions = NO_SCHEDULER,
    picture: Annotated[
        Path | None,
        Parameter(
            help="event.html: a page with every plane and its hits by class; event.png, "
            "event.pdf or event.svg: a picture of each plane"
        ),
    ] = None,
    classes: Annotated[
        str, Parameter(help="names of the classes in a picture, with commas: track,shower,none")
    ] = "",
    json: Json = False,
) -> None:
    """Apply a tagger at every hit; exit code 5 if the shortcut changes an integer."""
    from edgeinfer.event import planes as event_planes
    from edgeinfer.event.event import PlaneSettings, patch_of
    from edgeinfer.event.page import MOST_PLANES, picture_kind, render_pictures
    from edgeinfer.event.picture import choose_scheme, draw_panels
    from edgeinfer.event.prefix import Obstacle
    from edgeinfer.event.production import FileReading
    from edgeinfer.event.results import (
        describe_event,
        keep_tags,
        list_sentences,
        member_names,
        pack_tags,
    )
    from edgeinfer.event.tagger import Way, choose_cut
    from edgeinfer.event.votes import check_pointing, propose_vertices
    from edgeinfer.event.wires import read_wires
    from edgeinfer.run.folder import open_run
    from edgeinfer.run.trial import stored_program

    if seed < 0 or check < 0:
        raise UsageError("--seed and --check must not be below 0.")
    if wires is not None and data is None and not files:
        raise UsageError("--wires needs --data.", hint="Simulated planes take --wrapped-wires.")
    if wrapped_wires and data is not None:
        raise UsageError("--wrapped-wires is for simulated planes.", hint="Give --wires map.npy.")
    if classes and picture is None:
        raise UsageError("--classes is for --picture.")
    settings = PlaneSettings(threshold_adc, scaling, margin)
    of_files = {"--jobs": jobs is not None, "--scheduler": scheduler != NO_SCHEDULER}
    of_planes = {
        "--planes": planes != 1, "--seed": seed != 0, "--data": data is not None,
        "--picture": picture is not None, "--classes": bool(classes),
        "--wrapped-wires": wrapped_wires != 0, "--vertices": vertices is not None,
    }  # fmt: skip
    idle = of_planes if files else of_files
    refuse_idle([name for name, simulated_planes in idle.items() if simulated_planes], bool(files))
    if files:
        if output is None:
            raise UsageError("The tags of files need a folder.", hint="Give -o DIR.")
        reading = FileReading(settings, Way(way), check, wires)
        tag_files(FilesRequest(run, files, output, reading, jobs, scheduler), json=json)
        return
    with progress() as watcher, open_run(run, watcher, new=False) as folder:
        program = stored_program(folder)
        patch_of(program)
        if vertices is not None:
            check_pointing(program, vertices)
        cut = choose_cut(program, Way(way), margin)
        pictures = None
        if picture is not None:
            picture_kind(picture)  # a name that is no picture's is said at once
            names = [name.strip() for name in classes.split(",")] if classes else []
            pictures = choose_scheme(program, names)
        if data is None:
            simulated_planes = event_planes.simulate_planes(
                seed, planes, wrapped_wires=wrapped_wires
            )
        else:
            simulated_planes = event_planes.of_data(
                data, None if wires is None else read_wires(wires)
            )
        rows: list[PlaneRow] = []
        panels: list[PlanePanels] = []
        tagged = _Event(program, cut, settings, check, watcher)
        for tags, checks in tagged.tag(simulated_planes):
            places = None
            if vertices is not None:
                outputs, shape = tags.tagged.outputs, tags.plane.adc.shape
                places = propose_vertices(program, tags.hits, outputs, shape, vertices)
            rows.append(keep_tags(tags, checks, places))
            if pictures is not None and len(panels) < MOST_PLANES:
                panels.append(draw_panels(program, pictures, tags))
    if not rows:
        raise UsageError(f"{data} holds no planes.", hint="Give a dump with planes in it.")
    document = describe_event(
        program,
        rows,
        {
            "way": _way(cut),
            "reason": cut.reason if isinstance(cut, Obstacle) else None,
            "products": tagged.products,
        },
    )
    if output is not None:
        write_file(output, pack_tags(program, rows))
        document |= {"output": str(output), "members": member_names(program)}
    if picture is not None and pictures is not None:
        drawn = render_pictures(picture, document, panels, pictures)
        write_files(drawn)
        document["pictures"] = [str(path) for path in drawn]
    answer(document, list_sentences(document), as_json=json)


def _way(cut: Cut | Obstacle | FrameLayout) -> str:
    from edgeinfer.event.frames import FrameLayout
    from edgeinfer.event.prefix import Obstacle

    if isinstance(cut, FrameLayout):
        return "frames"
    return "patches" if isinstance(cut, Obstacle) else "footprint"


@dataclass(slots=True)
class _Event:
    """An event in the making: what tags it, and what its hits are held against."""

    program: Program
    cut: Cut | Obstacle | FrameLayout
    settings: PlaneSettings
    check: int
    watcher: Progress
    products: str | None = None

    def tag(self, planes: Iterable[WirePlane]) -> Iterator[tuple[PlaneTags, int]]:
        """The tags of each plane, and how many of its hits were also evaluated one by one."""
        from edgeinfer.event.checked import build_checked, check_planes, tag_checked

        checked_planes = check_planes(self.program, self.cut, planes, self.settings)
        first = next(checked_planes, None)  # what is wrong with it is said before anything is built
        if first is None:
            return
        self.watcher.start("build")
        start = time.perf_counter()
        checked = build_checked(self.program, self.cut, self.check)
        units = checked.tagger.units
        self.products = None if units is None else units.products.value
        self.watcher.finish("build", time.perf_counter() - start, cached=False)
        every = itertools.chain([first], checked_planes)
        for tags, checks in tag_checked(checked, every, self.settings, watcher=self.watcher):
            self.watcher.finish(tags.plane.name, tags.seconds, cached=False)
            yield tags, checks
