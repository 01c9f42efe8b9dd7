# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``detect``: two compiled networks and the host between them find particles in images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from edgeinfer.base.errors import UsageError
from edgeinfer.base.plan import write_file
from edgeinfer.cli.options import Json
from edgeinfer.cli.terminal import answer, progress

if TYPE_CHECKING:
    from edgeinfer.report.draw.marks import Figure


def detect(
    trunk: Annotated[Path, Parameter(help="run folder of a network like hgcal-detector")],
    heads: Annotated[Path, Parameter(help="run folder of a network like hgcal-heads")],
    /,
    *,
    data: Annotated[
        Path | None,
        Parameter(
            help="images.npz: the array image, and if known particles, boxes and masks; simulated "
            "images without it"
        ),
    ] = None,
    images: Annotated[int, Parameter(help="how many images to simulate")] = 64,
    seed: Annotated[int, Parameter(help="the same seed gives the same images")] = 0,
    batch: Annotated[int, Parameter(help="images at once; it changes no bit of the result")] = 16,
    threads: Annotated[
        int | None, Parameter(help="processor cores of the engine; they change no bit either")
    ] = None,
    compare_float: Annotated[
        bool, Parameter(negative="", help="judge the float networks on the same images too")
    ] = False,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="detections.npz: image, kind, margin, score, box and mask of each detection",
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        Parameter(help="p.png, p.pdf or p.svg: the first images with their boxes and masks"),
    ] = None,
    classes: Annotated[
        str, Parameter(help="names of the kinds in a picture, with commas between them")
    ] = "",
    json: Json = False,
) -> None:
    """Find particles in images: what, where, and which cells; how the work is divided, and how good
    it is where the truth is known."""
    from edgeinfer.run.detect import DetectorOrder, SimulatedImages, run_detector

    if images < 1 or seed < 0 or batch < 1:
        raise UsageError("--images and --batch must be at least 1, --seed at least 0.")
    if data is not None and (images != 64 or seed != 0):
        raise UsageError("--images and --seed are for simulated images.", hint="Leave out --data.")
    if classes and picture is None:
        raise UsageError("--classes is for --picture.")
    if picture is not None and picture.suffix not in (".png", ".pdf", ".svg"):
        raise UsageError(
            f"{picture} is no kind of picture that can be drawn.", hint="Name it p.png."
        )
    with progress() as watcher:
        order = DetectorOrder(trunk, heads, batch, threads, compare_float)
        source = SimulatedImages(seed, images) if data is None else data
        done = run_detector(order, source, watcher)
    document = done.document
    names = [name.strip() for name in classes.split(",")] if classes else done.kinds
    if len(names) != len(done.kinds):  # before anything is written
        raise UsageError(
            f"--classes names {len(names)} kinds; the network knows {len(done.kinds)}.",
            hint="Give as many names with commas between them.",
        )
    if output is not None:
        from edgeinfer.detection.results import pack_detections

        write_file(output, pack_detections(done.detections))
        document["output"] = str(output)
    if picture is not None:
        from edgeinfer.detection.picture import detections_figure

        write_file(
            picture, _render(picture, detections_figure(done.detections, done.images, names))
        )
        document["picture"] = str(picture)
    answer(document, _sentences(document), as_json=json)


def _sentences(document: Mapping[str, Any]) -> list[str]:
    from edgeinfer.detection.partition import partition_sentences
    from edgeinfer.detection.results import score_sentences

    files = [document[name] for name in ("output", "picture") if document[name]]
    return [
        f"{document['detections']:,} detections in {document['images']:,} images",
        *score_sentences(document["scores"]),
        *partition_sentences(document["partition"]),
        *(f"written   {file}" for file in files),
    ]


def _render(path: Path, figure: Figure) -> bytes:
    from edgeinfer.report.page.templates import svg_file
    from edgeinfer.report.papers.plots import pdf_and_png

    if path.suffix == ".svg":
        return svg_file(figure).encode()
    return pdf_and_png(figure)[path.suffix.removeprefix(".")]
