# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A detector of two runs, on images of a file or simulated ones: what is found, and its figures."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.errors import UsageError
from edgeinfer.detection.detector import (
    BATCH,
    Detections,
    Detector,
    Stopwatch,
    build_detector,
    detect,
)
from edgeinfer.detection.networks import (
    FloatNetwork,
    IntegerNetwork,
    float_network,
    integer_network,
)
from edgeinfer.detection.partition import divide_detector
from edgeinfer.detection.results import DetectorImages, judge_detections, name_kinds, read_images
from edgeinfer.detection.scores import SURE, Truth
from edgeinfer.report.timings import TimingBand, timings_of
from edgeinfer.run.folder import Progress, open_run
from edgeinfer.run.lower import read_recipe
from edgeinfer.run.result import RECIPE
from edgeinfer.run.stored import stored_result
from edgeinfer.run.trial import recall_model, stored_program
from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.entry import stage_seed

SIMULATED = "hgcal-detector"


@dataclass(frozen=True, slots=True)
class SimulatedImages:
    """Images of the reference model's simulation that no training has seen."""

    seed: int
    count: int


@dataclass(frozen=True, slots=True)
class DetectorOrder:
    """Two runs, and how they are to be run."""

    trunk: Path
    heads: Path
    batch: int = BATCH
    threads: int | None = None
    compare_float: bool = False


@dataclass(frozen=True, slots=True)
class FinishedDetection:
    """What was found in which images, what the kinds are called, and the figures."""

    detections: Detections
    images: DetectorImages
    kinds: tuple[str, ...]
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _OpenedRun:
    """A run as a detector needs it."""

    network: IntegerNetwork
    float_twin: FloatNetwork | None
    timings: tuple[TimingBand, ...]


def run_detector(
    order: DetectorOrder, source: Path | SimulatedImages | DetectorImages, watcher: Progress
) -> FinishedDetection:
    """Look at the images with the integers of two runs, and judge what is found where the truth is
    known."""
    trunk = _open(order.trunk, order, order.batch, watcher)
    heads = _open(order.heads, order, None, watcher)
    detector = build_detector(trunk.network, heads.network)
    detector_images = _images(source, trunk.network)
    _start(detector, detector_images)
    watch = Stopwatch()
    watcher.start("detect")
    began = time.perf_counter()
    detections = detect(detector, detector_images.images, batch=order.batch, watch=watch)
    watcher.finish("detect", time.perf_counter() - began, cached=False)
    scores = {"integers": judge_detections(detections, detector_images)}
    if trunk.float_twin is not None and heads.float_twin is not None:
        floats = build_detector(trunk.float_twin, heads.float_twin)
        again = detect(floats, detector_images.images, batch=order.batch)
        scores = {"float": judge_detections(again, detector_images), **scores}
    images = len(detector_images.images)
    parts = divide_detector(
        trunk.network, heads.network, watch.seconds, images, (trunk.timings, heads.timings)
    )
    document = {
        "networks": [trunk.network.program.summary, heads.network.program.summary],
        "images": images,
        "detections": int(((detections.kind > 0) & (detections.score >= SURE)).sum()),
        "scores": scores,
        "threads": trunk.network.engine.threads,
        "batch": order.batch,
        "partition": [asdict(part) for part in parts],
        "output": None,
        "picture": None,
    }
    kinds = detector.heads.output_shapes["kind"][-1] - 1
    own = ENTRIES[SIMULATED].heads[0].labels[1:]
    return FinishedDetection(detections, detector_images, name_kinds(own, kinds), document)


def _start(detector: Detector, images: DetectorImages) -> None:
    """What happens once, such as to fill caches, is not counted."""
    detect(detector, images.images[:1])


def _open(path: Path, order: DetectorOrder, batch: int | None, watcher: Progress) -> _OpenedRun:
    with open_run(path, watcher, new=False) as folder:
        program = stored_program(folder)
        recipe = read_recipe(folder.path / RECIPE)
        twin = None
        if order.compare_float:
            if not folder.recall_step("load"):
                raise UsageError(
                    f"{path} does not hold its model any more.", hint="Compile it again."
                )
            model = recall_model(folder, folder.records["load"].facts)
            twin = float_network(model.loaded.graph, threads=order.threads)
    timings = timings_of(stored_result(path))
    return _OpenedRun(
        integer_network(program, recipe, threads=order.threads, batch=batch), twin, timings
    )


def _images(
    source: Path | SimulatedImages | DetectorImages, trunk: IntegerNetwork
) -> DetectorImages:
    match source:
        case Path():
            return read_images(source, trunk.input_name, trunk.input_shape, trunk.output_shapes)
        case DetectorImages(images):
            if images.shape[1:] != trunk.input_shape or not np.isfinite(images).all():
                raise UsageError(
                    f"{trunk.name} reads images of {trunk.input_shape}; these are "
                    f"{images.shape[1:]}, or hold NaN or infinity."
                )
            return source
        case SimulatedImages(seed, count):
            samples = ENTRIES[SIMULATED].data(stage_seed(seed, "fresh"), count)
            image = next(iter(samples.inputs.values()))
            if image.shape[1:] != trunk.input_shape:
                raise UsageError(
                    f"{trunk.name} reads {trunk.input_shape}, but images of {image.shape[1:]} are "
                    f"simulated.",
                    hint="Give images of your own with --data.",
                )
            beside = samples.beside
            kind, box = (beside[name].astype(np.int64) for name in ("particles", "boxes"))
            return DetectorImages(image, Truth(kind, box), beside["masks"] > 0)
