# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The whole detector: the same bits for threads, batches and orders, and as good as its floats."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.detection.detector import Detections, build_detector, cut_crops, detect
from edgeinfer.detection.networks import FLOAT_TYPE, float_network, integer_network
from edgeinfer.detection.results import DetectorImages, judge_detections
from edgeinfer.detection.scores import Truth
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.lartpc.calorimeter_images import SIDE, generate_images
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.precision.ptq.choose import quantize
from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.reference import load_reference
from quantization.recipe import Recipe

NAMES = ("hgcal-detector", "hgcal-heads")


@cache
def programs() -> tuple[tuple[Graph, Program, Recipe], ...]:
    """Both networks in 8 bits."""
    result = []
    for name in NAMES:
        graph = load_reference(name)
        shown = ENTRIES[name].data(1, 64).inputs
        chosen = quantize(graph, shown, PtqSettings(8, adapt=False))
        result.append((graph, lower(chosen.graph, chosen.recipe).program, chosen.recipe))
    return tuple(result)


def find(images: np.ndarray, threads: int, batch: int) -> Detections:
    networks = [
        integer_network(program, recipe, threads=threads, batch=batch)
        for _, program, recipe in programs()
    ]
    return detect(build_detector(*networks), images, batch=batch)


@cache
def given() -> DetectorImages:
    result = generate_images(5, 20)
    return DetectorImages(result.x[..., None], Truth(result.kind, result.box), result.mask)


@cache
def found() -> Detections:
    return find(given().images, 1, 16)


def assert_same(one: Detections, other: Detections) -> None:
    for field in fields(Detections):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize(("threads", "batch"), [(2, 16), (1, 1), (2, 1)])
def test_threads_and_batches_change_no_bit(threads: int, batch: int) -> None:
    assert_same(found(), find(given().images, threads, batch))


def test_the_order_of_images_changes_no_bit() -> None:
    order = np.random.default_rng(0).permutation(len(given().images))
    moved = find(given().images[order], 1, 16)
    expected = {name: getattr(found(), name)[order] for name in ("kind", "margin", "box", "mask")}
    assert_same(moved, replace(found(), **expected))


def test_detections_are_of_the_image_and_masks_of_its_signals() -> None:
    image, place = np.nonzero(found().kind)
    boxes = found().box[image, place] / 16
    assert len(image) > 20
    assert boxes.min() >= 0 and boxes.max() <= SIDE
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()
    lit = given().images[..., 0] > 0
    assert not (found().mask[image, place] & ~lit[image]).any()
    margins = np.where(found().kind > 0, found().margin, np.iinfo(np.int64).min)
    for row in margins:
        kept = row[row > np.iinfo(np.int64).min]
        assert (np.diff(kept) <= 0).all()  # the surest first


def test_integers_find_what_the_floats_find() -> None:
    floats = build_detector(*(float_network(graph, threads=1) for graph, _, _ in programs()))
    again = judge_detections(detect(floats, given().images), given())
    scores = judge_detections(found(), given())
    assert again["boxes"]["map50"] > 0.5
    assert abs(scores["boxes"]["map50"] - again["boxes"]["map50"]) < 0.1  # of 60 particles
    assert set(scores) == {"boxes", "masks"}


def test_crops_are_of_the_type_that_the_heads_read() -> None:
    (_, program, recipe), (_, heads, _) = programs()
    into = heads.inputs[0].type
    crops = cut_crops(integer_network(program, recipe, threads=1), given().images[:2], into)
    assert crops.values.shape == (2, 16, *heads.inputs[0].shape)
    assert crops.values.min() >= into.raw_min and crops.values.max() <= into.raw_max
    floats = cut_crops(float_network(programs()[0][0], threads=1), given().images[:2], FLOAT_TYPE)
    np.testing.assert_allclose(
        crops.values[:, 0].mean() * into.lsb, floats.values[:, 0].mean() * FLOAT_TYPE.lsb, rtol=0.2
    )


def test_networks_that_are_no_detector_are_refused() -> None:
    (_, program, recipe), (_, heads, heads_recipe) = programs()
    trunk, other = integer_network(program, recipe), integer_network(heads, heads_recipe)
    with pytest.raises(UsageError, match="hgcal-heads has no output 'place'"):
        build_detector(other, trunk)
    values = {out.name: out.value for out in program.outputs}
    outputs = tuple(
        replace(out, value=values["cell"]) if out.name == "features" else out
        for out in program.outputs
    )
    fewer = integer_network(replace(program, outputs=outputs), recipe)
    with pytest.raises(UsageError, match=r"features has the shape \(32, 32, 4\)"):
        build_detector(fewer, other)
    with pytest.raises(UsageError, match="no images"):
        detect(build_detector(trunk, other), given().images[:0])
