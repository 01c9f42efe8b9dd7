# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Particles in a calorimeter's side view look like what they are."""

from __future__ import annotations

from functools import cache

import numpy as np

from edgeinfer.lartpc.calorimeter_images import (
    ELECTROMAGNETIC,
    HADRONIC,
    MIP,
    SIDE,
    CalorimeterImages,
    bounds_of,
    generate_images,
)


@cache
def drawn() -> CalorimeterImages:
    return generate_images(3, 128)


def sizes(kind: int) -> tuple[np.ndarray, np.ndarray]:
    box = drawn().box[drawn().kind == kind]
    return box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]


def test_masks_are_signals_inside_their_boxes() -> None:
    images = drawn()
    assert not (images.mask & (images.x == 0)[:, None]).any()
    inner = bounds_of(images.mask)[images.kind > 0]
    box = images.box[images.kind > 0]
    assert (inner[:, :2] >= box[:, :2]).all() and (inner[:, 2:] <= box[:, 2:]).all()
    assert not images.box[images.kind == 0].any()
    assert not images.mask[images.kind == 0].any()
    assert images.x.min() == 0 and images.x.max() <= 1


def test_hadrons_are_wider_and_mips_thinner_than_electrons() -> None:
    cells = {
        kind: np.median(drawn().mask[drawn().kind == kind].sum(axis=(1, 2)))
        for kind in (ELECTROMAGNETIC, HADRONIC, MIP)
    }
    assert cells[MIP] < cells[ELECTROMAGNETIC] < cells[HADRONIC]
    assert np.median(sizes(HADRONIC)[0]) > np.median(sizes(ELECTROMAGNETIC)[0])
    # 5 to 60 GeV in layers of 0.7 X0: a maximum at 6 to 9 X0 and a tail of as much again and more.
    assert 20 <= np.median(sizes(ELECTROMAGNETIC)[1]) <= 40


def test_a_mip_leaves_one_mip_a_layer() -> None:
    images = drawn()
    signals = np.exp2(10 * images.x) - 1
    alone = np.flatnonzero((images.kind == MIP).any(axis=1) & ((images.kind > 0).sum(axis=1) == 1))
    assert alone.size
    for image in alone:
        mask = images.mask[image].any(axis=0)
        layers = mask.any(axis=0).sum()
        assert 0.7 <= (signals[image] * mask).sum() / layers <= 1.5


def test_images_do_not_depend_on_how_many_are_drawn() -> None:
    few, many = generate_images(3, 5), drawn()
    np.testing.assert_array_equal(few.x, many.x[:5])
    np.testing.assert_array_equal(few.box, many.box[:5])
    assert (generate_images(4, 5).x != few.x).any()


def test_bounds_are_the_smallest_box() -> None:
    mask = np.zeros((2, SIDE, SIDE), bool)
    mask[0, 3:7, 10:12] = True
    assert bounds_of(mask).tolist() == [[3, 10, 7, 12], [0, 0, 0, 0]]
