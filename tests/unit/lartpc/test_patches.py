# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Planes and patches: the labels' rules, what lies at the centre, seeds, events."""

from dataclasses import fields

import numpy as np
import pytest

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import FLAG_MICHEL, Deposits
from edgeinfer.lartpc.events import (
    LABEL_EM,
    LABEL_NONE,
    LABEL_TRACK,
    EventSettings,
    Planes,
    labels,
    simulate,
    truth_images,
)
from edgeinfer.lartpc.patches import (
    BUSY_PIXELS,
    QUIET_PIXELS,
    SIDE,
    Patches,
    PatchSettings,
    cut,
    generate_patches,
    none_pixels,
    scale,
)
from edgeinfer.lartpc.primaries import PrimarySettings
from edgeinfer.lartpc.split import split_by_event

SETTINGS = PatchSettings(events_per_batch=24)


@pytest.fixture(scope="module")
def patches() -> Patches:
    return generate_patches(5, 1500, SETTINGS)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_arrays(patches: Patches) -> None:
    again, other = generate_patches(5, 1500, SETTINGS), generate_patches(6, 1500, SETTINGS)
    for name in Patches.__slots__:
        assert np.array_equal(getattr(patches, name), getattr(again, name)), name
    assert not np.array_equal(patches.x, other.x)
    sequence = np.random.SeedSequence(5)
    assert np.array_equal(generate_patches(sequence, 100, SETTINGS).x, patches.x[:100])
    assert np.array_equal(generate_patches(sequence, 100, SETTINGS).x, patches.x[:100])


def test_settings_without_particles_are_refused_not_tried_for_ever() -> None:
    nothing = PrimarySettings(
        **{f.name: 0.0 for f in fields(PrimarySettings) if not f.name.endswith("_mev")}
    )
    settings = PatchSettings(events_per_batch=2, events=EventSettings(primaries=nothing))
    with pytest.raises(ValueError, match="without a single patch"):
        generate_patches(1, 10, settings)


def test_shapes_classes_and_mix(patches: Patches) -> None:
    assert patches.x.shape == (1500, SIDE, SIDE, 1)
    assert patches.x.dtype == np.float32
    assert patches.x.min() >= 0 and patches.x.max() <= 1
    assert (patches.label.sum(axis=1) == 1).all()
    assert patches.label.mean(axis=0) == pytest.approx([0.45, 0.33, 0.22], abs=0.04)
    assert patches.michel.mean() == pytest.approx(0.15, abs=0.03)
    assert (patches.label[patches.michel[:, 0] > 0, LABEL_EM] == 1).all()


def test_the_centre_is_a_hit_or_empty_as_labelled(patches: Patches) -> None:
    centre = patches.x[:, SIDE // 2, SIDE // 2, 0] * 30
    none = patches.label[:, LABEL_NONE] == 1
    assert centre[~none].min() > SETTINGS.hit_adc - 1e-4
    assert np.quantile(centre[none], 0.95) < SETTINGS.hit_adc


def test_splits_keep_events_together(patches: Patches) -> None:
    parts = split_by_event(patches.event, (0.6, 0.2, 0.2), 3)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(patches)))
    events = [set(patches.event[part]) for part in parts]
    assert not events[0] & events[1] and not events[0] & events[2] and not events[1] & events[2]
    assert len(events[0]) == pytest.approx(0.6 * len(set(patches.event)), abs=1)
    again = split_by_event(patches.event, (0.6, 0.2, 0.2), 3)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


@pytest.mark.parametrize("fractions", [(), (0.5, 0.4), (1.5, -0.5)])
def test_fractions_must_make_a_whole(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        split_by_event(np.arange(10), fractions, 0)


def test_the_two_public_scalings() -> None:
    adc = np.array([-80.0, -50.0, 0.0, 15.0, 30.0, 200.0], np.float32)
    assert scale(adc, "tenth") == pytest.approx([-5, -5, 0, 1.5, 3, 15])
    assert scale(adc, "unit") == pytest.approx([0, 0, 0, 0.5, 1, 1])


def deposit_at(pixels: list[tuple[float, int, int]]) -> Planes:
    """One plane of 8x8 with (MeV, pdg, marks), all in the pixel [4, 4]."""
    n = len(pixels)
    energy, pdg, marks = zip(*pixels, strict=True)
    place = np.tile([4.5 * c.PIXEL_CM, 0.0, 4.5 * c.WIRE_PITCH_CM], (n, 1))
    event = np.zeros(n, np.int32)
    code, flags = np.array(pdg, np.int32), np.array(marks, np.int32)
    result = Deposits(event, code, flags, np.array(energy), np.ones(n), place, place)
    gev, packed = truth_images(result, (1, 8, 8))
    return Planes(np.zeros(1, np.int64), np.zeros((1, 8, 8), np.float32), gev, packed)


@pytest.mark.parametrize(
    ("pixels", "label", "michel"),
    [
        ([(0.5, -13, 0)], LABEL_TRACK, False),
        ([(0.5, 11, 0)], LABEL_EM, False),
        ([(0.5, -11, FLAG_MICHEL)], LABEL_EM, True),
        ([(0.5, 2212, 0), (0.7, 11, 0)], LABEL_EM, False),
        ([(0.7, 2212, 0), (0.5, 11, FLAG_MICHEL)], LABEL_TRACK, False),
        ([(0.019, 11, FLAG_MICHEL)], LABEL_NONE, False),
        ([(0.011, 13, 0), (0.012, 11, 0)], LABEL_EM, False),
    ],
)
def test_labels_follow_the_largest_deposit(
    pixels: list[tuple[float, int, int]], label: int, michel: bool
) -> None:
    result, marked = labels(deposit_at(pixels))
    assert result[0, 4, 4] == label
    assert marked[0, 4, 4] == michel
    assert np.count_nonzero(result != LABEL_NONE) == (label != LABEL_NONE)


def test_none_pixels_are_quiet_in_a_busy_patch() -> None:
    rng = np.random.default_rng(9)
    signal = rng.random((4, 100, 100)) < 0.003
    results = list(zip(*none_pixels(rng, signal, 4000), strict=True))
    assert len(results) > 100
    half, near = SIDE // 2, QUIET_PIXELS
    for row, wire, pixel in results:
        around = signal[row, wire - near : wire + near + 1, pixel - near : pixel + near + 1]
        patch = signal[row, wire - half : wire + half, pixel - half : pixel + half]
        assert not around.any()
        assert patch.sum() > BUSY_PIXELS


def test_patches_are_cut_where_they_say() -> None:
    adc = np.arange(2 * 60 * 60, dtype=np.float32).reshape(2, 60, 60)
    result = cut(adc, np.array([1]), np.array([30]), np.array([26]))
    assert np.array_equal(result[0], adc[1, 6:54, 2:50])
    assert result[0, 24, 24] == adc[1, 30, 26]


def test_events_look_like_a_detector_s() -> None:
    planes = simulate(11, 24, EventSettings())
    label, michel = labels(planes)
    occupancy = np.mean(planes.adc > 4.0)
    assert 0.003 < occupancy < 0.03
    # A minimum ionising pixel peaks near 20 ADC; the middle of all track hits is somewhat above.
    hits = planes.adc[(label == LABEL_TRACK) & (planes.adc > 4.0)]
    assert 15 < np.median(hits) < 35
    assert michel.sum() > 20
    quiet = planes.adc[:, :24, :24][planes.deposit_gev[:, :24, :24] == 0]
    assert abs(np.median(quiet)) < 0.05
