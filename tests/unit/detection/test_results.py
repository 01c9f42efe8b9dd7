# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What is read for a detector, what is kept of its answer, and how it is drawn and divided."""

from __future__ import annotations

import io

import numpy as np
import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.data.samples import read
from edgeinfer.detection.detector import Detections
from edgeinfer.detection.picture import detections_figure
from edgeinfer.detection.results import (
    DetectorImages,
    list_detections,
    pack_detections,
    read_images,
)
from edgeinfer.detection.scores import Truth

SHAPE = (8, 8, 1)
OUTPUTS = {"place": (4, 4, 3)}


def answer() -> Detections:
    """Of two images, one with a detection that is sure and one that is not."""
    kind = np.zeros((2, 16), np.int64)
    margin = np.zeros((2, 16), np.int64)
    kind[1, :2], margin[1, :2] = (2, 1), (12, -4)
    box = np.zeros((2, 16, 4), np.int64)
    box[1, 0] = (16, 24, 64, 128)
    mask = np.zeros((2, 16, 8, 8), bool)
    mask[1, 0, 2:4, 2:8] = True
    return Detections(kind, margin, box, mask, 2)


def images() -> DetectorImages:
    truth = Truth(np.array([[0], [2]]), np.array([[[0, 0, 0, 0]], [[1, 1, 4, 8]]]))
    masks = np.zeros((2, 1, 8, 8), bool)
    masks[1, 0, 2:4, 1:8] = True
    return DetectorImages(np.ones((2, *SHAPE), np.float32), truth, masks)


def test_a_row_is_a_detection_with_its_box_in_cells():
    rows = list_detections(answer())
    assert rows["image"].tolist() == [1, 1]
    assert rows["kind"].tolist() == [2, 1]
    assert rows["box"][0].tolist() == [1.0, 1.5, 4.0, 8.0]
    np.testing.assert_allclose(rows["score"], 1 / (1 + np.exp([-3.0, 1.0])))
    packed = np.load(io.BytesIO(pack_detections(answer())))
    assert all((packed[name] == values).all() for name, values in rows.items())


def test_a_picture_shows_truth_and_what_is_sure():
    figure = detections_figure(answer(), images(), ("electron", "hadron"))
    labels = [mark.text for mark in figure.marks if mark.mark == "label"]
    assert labels[:2] == ["electron", "hadron"]
    assert labels[2:] == [
        "image 0, truth: 0 particles", "found, by score: none",
        "image 1, truth: 1 particle", "found, by score: 0.95",
    ]  # fmt: skip
    assert figure.sentence.startswith("1 detection ")


def test_images_are_read_with_their_truth(tmp_path):
    inputs = images()
    path = tmp_path / "d.npz"
    assert inputs.truth is not None and inputs.masks is not None
    whole = {
        "image": inputs.images, "particles": inputs.truth.kind, "boxes": inputs.truth.box,
        "masks": inputs.masks,
    }  # fmt: skip
    np.savez(path, **whole)
    again = read_images(path, "image", SHAPE, OUTPUTS)
    assert again.truth is not None and again.masks is not None
    np.testing.assert_array_equal(again.truth.box, inputs.truth.box)
    np.testing.assert_array_equal(again.masks, inputs.masks)
    np.savez(path, x=inputs.images[..., 0])
    assert read_images(path, "image", SHAPE, OUTPUTS).truth is None
    for name, wrong, problem in (
        ("image", inputs.images[:, :4], "the network reads numbers of"),
        ("image", np.full_like(inputs.images, np.nan), "NaN"),
        ("boxes", inputs.truth.box[..., :3], "do not fit each other"),
    ):
        np.savez(path, **{**whole, name: wrong})
        with pytest.raises(InputError, match=problem):
            read_images(path, "image", SHAPE, OUTPUTS)


def test_detect_and_compile_take_the_same_files(tmp_path):
    given = images()
    path = tmp_path / "d.npz"
    assert given.truth is not None and given.masks is not None
    place = np.zeros((2, 4, 4), np.int64)
    taken = {
        "image": given.images, "place": place, "particles": given.truth.kind,
        "boxes": given.truth.box, "masks": given.masks,
    }  # fmt: skip
    np.savez(path, **taken)
    assert read_images(path, "image", SHAPE, OUTPUTS).truth is not None
    samples = read(path, {"image": SHAPE}, OUTPUTS)
    assert list(samples.labels) == ["place"]
    assert any("particles, boxes, masks are left out" in said for said in samples.findings)
    for refused in ({**taken, "picture": given.images}, {"picture": given.images}):
        np.savez(path, **refused)
        for reading in (
            lambda: read_images(path, "image", SHAPE, OUTPUTS),
            lambda: read(path, {"image": SHAPE}, OUTPUTS),
        ):
            with pytest.raises(InputError, match="holds 'picture', which is neither an input"):
                reading()
