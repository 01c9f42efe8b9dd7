# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Labels and patches of a plane mean what the detector's truth says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.data.formats.plane_patches import (
    Plane,
    PlaneKey,
    cut_patches,
    label_pixels,
    none_candidates,
    patch_blocks,
    patch_centres,
    unpack_pdg,
    window_counts,
)
from edgeinfer.data.formats.scalings import PatchScaling
from tests.support.experiment_files import pack_pdg


@given(st.integers(-0xFFF, 0xFFF), st.integers(0, 15), st.integers(0, 0xFFFF))
def test_the_pdg_word_comes_back_apart(code: int, flags: int, vertex: int) -> None:
    word = pack_pdg(*(np.array([v]) for v in (code, flags, vertex)))
    assert word.dtype == np.int32
    assert [int(part[0]) for part in unpack_pdg(word)] == [abs(code), flags, vertex]


def test_a_pixel_is_em_track_or_nothing() -> None:
    deposit = np.array([[1e-3, 1e-3, 1.9e-5, 2e-5, 1e-3, 1e-3]], dtype=np.float32)
    code = np.array([[13, -11, 11, 2212, 11, 13]])
    flags = np.array([[0, 0, 2, 0, 2, 2]])
    pdg = pack_pdg(code, flags, np.full((1, 6), 0xABCD))
    truth = label_pixels(Plane(PlaneKey(1, 1, 1, 0, 2), deposit, deposit, pdg))
    assert truth.track.tolist() == [[True, False, False, True, False, True]]
    assert truth.em.tolist() == [[False, True, False, False, True, False]]
    assert truth.michel.tolist() == [[False, False, False, False, True, False]]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5))
def test_window_counts_equal_a_plain_count(seed: int, before: int, after: int) -> None:
    mask = np.random.default_rng(seed).random((9, 7)) < 0.4
    counts = window_counts(mask, (before, before), (after, after))
    for i, j in np.ndindex(mask.shape):
        rows = slice(max(0, i - before), i + after)
        assert counts[i, j] == mask[rows, max(0, j - before) : j + after].sum()


def test_none_pixels_are_two_away_from_signal_with_enough_of_it_in_the_patch(plane) -> None:
    truth = label_pixels(plane())
    signal = truth.track | truth.em
    allowed = none_candidates(truth, (48, 48))
    assert allowed.any()
    for i, j in np.argwhere(allowed)[::97]:
        assert not signal[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3].any()
        assert signal[max(0, i - 24) : i + 24, max(0, j - 24) : j + 24].sum() > 6


def test_a_patch_has_its_pixel_in_the_middle_and_zeros_beyond_the_plane(plane) -> None:
    image = plane().raw
    cut = cut_patches(image, np.array([0, 35, 69]), np.array([0, 45, 89]), (48, 48))
    assert cut[:, 24, 24].tolist() == [image[0, 0], image[35, 45], image[69, 89]]
    np.testing.assert_array_equal(cut[1], image[11:59, 21:69])
    assert not cut[0, :24].any()
    assert not cut[2, 25:].any()


def test_patches_over_the_edge_are_left_out_or_filled(plane) -> None:
    subject = plane()
    wires, drifts, _, _ = patch_centres(subject, (48, 48), "skip", 0.0, 0)
    assert wires.min() >= 24
    assert wires.max() <= 70 - 24
    assert drifts.max() <= 90 - 24
    every, _, labels, michel = patch_centres(subject, (48, 48), "zero", 0.0, 0)
    assert labels.sum(axis=0).tolist() == [50, 24 + 9, 0]
    assert michel.sum() == 9
    assert len(every) == 50 + 24 + 9


def test_the_none_sample_has_its_fraction_and_repeats_with_its_seed(plane) -> None:
    subject = plane()
    allowed = none_candidates(label_pixels(subject), (48, 48)).sum()
    draws = [patch_centres(subject, (48, 48), "zero", 0.5, seed)[2] for seed in (1, 1, 2)]
    counts = [int(labels[:, 2].sum()) for labels in draws]
    assert counts[0] == counts[1] != counts[2]
    assert abs(counts[0] - allowed / 2) < 5 * np.sqrt(allowed / 4)


def test_blocks_carry_the_identity_of_the_pixel(plane) -> None:
    subject = plane()
    blocks = list(patch_blocks(subject, (48, 48), PatchScaling.SIGNED, "zero", 0.01, 3))
    joined = {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}
    centre = subject.raw[joined["wire"] - 100, joined["tck"] - 300]
    np.testing.assert_allclose(joined["patch"][:, 24, 24, 0], np.clip(centre, -50, 150) / 10)
    assert set(joined["evt"]) == {1}
    assert (joined["labels"].sum(axis=1) == 1).all()
    assert not joined["michel"][joined["labels"][:, 1] == 0].any()
