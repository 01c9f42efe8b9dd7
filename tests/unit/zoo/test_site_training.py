# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A network that learns at lit pixels is the network that is written, and says the same there."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.entry import EventSamples
from edgeinfer.zoo.evaluate import JudgedOutputs, values_of
from edgeinfer.zoo.fit import compile_keras
from edgeinfer.zoo.site_samples import SiteSamples
from edgeinfer.zoo.train import TrainingInterruption, train
from tests.unit.zoo.test_train import Interrupting, weights

SMALL = ENTRIES["sparse-ssnet-small"]


def planes(shares: list[float], seed: int = 3) -> EventSamples:
    """Planes of which such a share of the pixels is lit, at random."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(0.2, 4.0, (len(shares), 64, 64, 1)).astype(np.float32)
    image *= rng.random(image.shape) < np.array(shares)[:, None, None, None]
    label = np.eye(5, dtype=np.float32)[rng.integers(0, 5, image.shape[:3])] * (image > 0)
    return EventSamples({"image": image}, {"label": label}, np.arange(len(shares)))


def at_sites(samples: EventSamples) -> SiteSamples:
    frames = [(samples.inputs["image"], samples.targets["label"])]
    return SiteSamples.of(frames, SMALL.sites.levels, SMALL.sites.threshold)


@pytest.mark.parametrize(
    "name", ["sparse-ssnet-small", pytest.param("sparse-ssnet", marks=pytest.mark.slow)]
)
def test_both_forms_have_the_same_weights_in_the_same_order(name):
    entry = ENTRIES[name]
    for frame, site in zip(entry.build().weights, entry.sites.build().weights, strict=True):
        assert frame.path == site.path
        assert frame.shape == site.shape


def test_both_forms_give_the_same_at_every_lit_pixel():
    frames, sites = SMALL.build(), SMALL.sites.build()
    rng = np.random.default_rng(5)
    drawn = [rng.normal(0, 0.2, weight.shape) for weight in sites.get_weights()]
    frames.set_weights(drawn)
    sites.set_weights(drawn)
    samples = planes([0.0, 0.001, 0.03, 0.2, 1.0])
    pictures, lists = samples, at_sites(samples)
    marks_by_axis = {2: [False, True, False, True, False], 1: [True, False, False, True, True]}
    for axis, marks in marks_by_axis.items():
        mirrored = np.array(marks)
        pictures, lists = pictures.mirror(axis, mirrored), lists.mirror(axis, mirrored[lists.event])
    expected = np.asarray(frames(pictures.inputs["image"]))
    place = (lists.event[lists.plane], lists.row, lists.column)
    np.testing.assert_allclose(np.asarray(sites(lists.inputs)), expected[place], atol=2e-5)
    np.testing.assert_array_equal(pictures.targets["label"], samples.targets["label"])


def test_a_plane_taken_twice_is_there_twice():
    samples = planes([0.01, 0.0, 0.05])
    taken = at_sites(samples).take(np.array([1, 0, 1]))  # there is nothing in the second plane
    expected = at_sites(samples.take(np.array([2, 0, 2])))
    for field in ("start", "row", "column", "value", "label", "plane"):
        np.testing.assert_array_equal(getattr(taken, field), getattr(expected, field))


def test_simulated_planes_are_those_of_the_data_in_parts():
    form = SMALL.sites
    parts = SiteSamples.of(form.frames(4, 40), form.levels, form.threshold)
    whole = at_sites(SMALL.data(4, 40))
    for field in ("start", "row", "column", "value", "label"):
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field))


def test_a_training_at_sites_resumes_where_it_was(tmp_path):
    schedule = dataclasses.replace(SMALL.schedule, samples=24, epochs=2, batch=4, flips=(2, 1))
    entry = dataclasses.replace(SMALL, schedule=schedule)
    whole = train(entry, tmp_path / "whole.keras", seed=7)
    broken = tmp_path / "broken.keras"
    with pytest.raises(TrainingInterruption):
        train(entry, broken, seed=7, watcher=Interrupting(7))
    resumed = train(entry, broken, resume=True)
    assert [r.validation_loss for r in whole.records] == [
        r.validation_loss for r in resumed.records
    ]
    for a, b in zip(weights(whole.model), weights(broken), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_new_process_reads_a_training_at_sites(tmp_path):
    """As `edgeinfer train --resume` does, which has built no network before it reads one."""
    saved = tmp_path / "saved.keras"
    compile_keras(SMALL).save(saved)
    program = "import sys, pathlib; from edgeinfer.zoo.fit import read_saved; "
    program += "print(read_saved(pathlib.Path(sys.argv[1])).count_params())"
    command = [sys.executable, "-c", program, str(saved)]
    reading = subprocess.run(command, capture_output=True, text=True)
    assert reading.stdout.split() == [str(SMALL.parameters)], reading.stderr


def test_lit_pixels_judge_as_whole_planes_do():
    samples = planes([0.02, 0.0, 0.1])
    drawn = np.random.default_rng(8).random((3, 64, 64, 5))
    whole = JudgedOutputs({"label": drawn}, samples)
    pixels = whole.by_lit_pixel()
    assert values_of(SMALL, pixels) == pytest.approx(values_of(SMALL, whole))
    assert np.bincount(pixels.samples.event, minlength=3).tolist() == [
        int(np.count_nonzero(image)) for image in samples.inputs["image"]
    ]
