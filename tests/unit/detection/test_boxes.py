# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Boxes in integers: what they mean in real numbers, and that equal ones keep their order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeinfer.detection.boxes import (
    PROPOSALS,
    UNIT,
    LeastShare,
    decode_places,
    grow_windows,
    margins_of,
    overlap,
    propose,
    refine_boxes,
    round_shift,
    suppress,
)

SIDE = 64


def box_lists(count: int):
    end = st.integers(0, SIDE * UNIT - 1)
    return st.lists(
        st.tuples(end, end, st.integers(1, 600), st.integers(1, 600)),
        min_size=count,
        max_size=count,
    ).map(lambda rows: np.array([(y, x, y + h, x + w) for y, x, h, w in rows], np.int64))


@given(st.lists(st.integers(-(1 << 40), 1 << 40), min_size=1), st.integers(-8, 20))
def test_shifts_round_halves_up(values, bits):
    exact = [Fraction(value) / Fraction(2) ** bits + Fraction(1, 2) for value in values]
    expected = [each.numerator // each.denominator for each in exact]
    assert round_shift(np.array(values), bits).tolist() == expected


def test_the_first_of_equal_kinds_is_taken_and_is_ahead_by_nothing():
    kind, margin = margins_of(np.array([[0, 5, 5, 1], [9, 2, 3, 1]]))
    assert kind.tolist() == [1, 2]
    assert margin.tolist() == [0, -6]


def test_edges_are_counted_from_the_middle_of_a_place():
    edges = np.zeros((1, 16, 16, 4), np.int64)
    edges[0, 3, 5] = (1 << 4, 2 << 4, 1 << 3, 1 << 4)  # 1, 2, 0.5 and 1 of 16 cells
    box = decode_places(edges, 4, SIDE)[0, 3 * 16 + 5] / UNIT
    assert box.tolist() == [0.0, 0.0, 14 + 8, 22 + 16]  # clipped at the image's corner
    assert (decode_places(edges, 4, SIDE)[0, 0] / UNIT).tolist() == [2.0, 2.0, 3.0, 3.0]


def test_a_refined_box_may_be_its_window_again():
    window = np.array([[160, 64, 480, 512]])
    halves = np.full((1, 4), 1 << 5)
    np.testing.assert_array_equal(refine_boxes(window, halves, 6, SIDE), window)
    outside = refine_boxes(grow_windows(np.array([[0, 0, 1024, 1024]])), halves, 6, SIDE)
    assert outside.tolist() == [[0, 0, 1024, 1024]]


@given(box_lists(3), box_lists(4), st.integers(1, 9))
def test_overlap_is_that_of_fractions(one, other, tenths):
    least = LeastShare(tenths, 10)
    result = overlap(one, other, least)
    for i, a in enumerate(one.tolist()):
        for j, b in enumerate(other.tolist()):
            height = max(0, min(a[2], b[2]) - max(a[0], b[0]))
            width = max(0, min(a[3], b[3]) - max(a[1], b[1]))
            both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width
            assert result[i, j] == (Fraction(height * width, both) > Fraction(tenths, 10))


@given(box_lists(8))
def test_what_stays_overlaps_nothing_better_that_stays(boxes):
    stays = suppress(boxes[None], overlap(boxes, boxes, LeastShare(1, 3))[None])[0]
    same = overlap(boxes, boxes, LeastShare(1, 3))
    for number in range(8):
        assert stays[number] == (not any(same[j, number] and stays[j] for j in range(number)))


@settings(max_examples=20)
@given(st.integers(0, 1 << 30))
def test_images_are_proposed_for_one_by_one(seed):
    rng = np.random.default_rng(seed)
    logits = rng.integers(-3, 3, (5, 16, 16, 4))  # many are equal
    edges = rng.integers(0, 40, (5, 16, 16, 4))
    together = propose(logits, edges, 4, SIDE)
    assert together.shape == (5, PROPOSALS, 4)
    for number in range(5):
        alone = propose(logits[[number]], edges[[number]], 4, SIDE)
        np.testing.assert_array_equal(together[[number]], alone)
    assert (together[..., 2:] - together[..., :2] >= UNIT).all()
