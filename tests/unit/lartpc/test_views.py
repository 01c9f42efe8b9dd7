# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Several planes look at one event; interactions, beam particles and vertices are where it says."""

import numpy as np
import pytest

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.beam import draw_beam, generate_beam
from edgeinfer.lartpc.interactions import (
    FLAVOURS,
    draw_interactions,
    generate_interactions,
)
from edgeinfer.lartpc.vertices import FARTHEST, SIDE, cut_pieces, generate_vertices
from edgeinfer.lartpc.views import ViewSettings, across_wires, average_squares

RAW = ViewSettings(angles_deg=(0.0,), pooled=1)


def test_a_plane_sees_a_turned_event() -> None:
    box = ViewSettings().box()
    points = np.random.default_rng(1).uniform(-50, 50, (20, 3))
    np.testing.assert_allclose(across_wires(points, 0.0, box), points)
    turned = across_wires(points, 35.7, box)
    np.testing.assert_array_equal(turned[:, 0], points[:, 0])  # all planes share the drift
    apart = np.linalg.norm(points[1:] - points[:-1], axis=1)
    np.testing.assert_allclose(np.linalg.norm(turned[1:] - turned[:-1], axis=1), apart)
    middle = np.array([[0.0, 0.0, (box.low_cm[2] + box.high_cm[2]) / 2]])
    np.testing.assert_allclose(across_wires(middle, 35.7, box), middle)


def test_squares_are_averaged() -> None:
    pictures = np.arange(2 * 4 * 6, dtype=np.float32).reshape(2, 4, 6)
    result = average_squares(pictures, 2)
    assert result.shape == (2, 2, 3)
    assert result[1, 1, 2] == pictures[1, 2:, 4:].mean()


@pytest.mark.parametrize(
    ("generate", "first"),
    [
        (lambda seed: generate_interactions(seed, 6, ViewSettings()), "x"),
        (lambda seed: generate_beam(seed, 6), "x"),
        (lambda seed: generate_vertices(seed, 6), "x"),
    ],
    ids=["interactions", "beam", "vertices"],
)
def test_a_seed_gives_the_same_events(generate, first) -> None:  # type: ignore[no-untyped-def]
    one, again, other = (generate(seed) for seed in (1, 1, 2))
    for name in one.__slots__:
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert not np.array_equal(getattr(one, first), getattr(other, first))
    assert getattr(one, first).min() >= 0
    assert getattr(one, first).max() <= 1


def test_only_a_charged_current_makes_a_lepton() -> None:
    particles, vertex, classes = draw_interactions(
        np.random.default_rng(3), 400, ViewSettings().box()
    )
    for number, pdg in ((0, c.MUON.pdg), (1, c.ELECTRON_PDG)):
        result = np.bincount(particles.event[particles.pdg == pdg], minlength=400)
        np.testing.assert_array_equal(result, classes["flavour"] == number)
    protons = np.bincount(particles.event[particles.pdg == c.PROTON.pdg], minlength=400)
    np.testing.assert_array_equal(np.minimum(protons, 2), classes["protons"])
    assert np.bincount(particles.event, minlength=400).min() > 0  # nothing is unseen
    np.testing.assert_array_equal(particles.position_cm, vertex[particles.event])
    assert np.bincount(classes["flavour"]).min() > 100 > 400 / len(FLAVOURS) / 2


def test_charge_begins_at_the_vertex() -> None:
    result = generate_interactions(5, 12, RAW)
    muons = np.flatnonzero(result.flavour[:, 0])
    wire = np.rint(result.vertex_cm[:, 2] / c.WIRE_PITCH_CM).astype(int)
    time = np.rint(result.vertex_cm[:, 0] / c.PIXEL_CM).astype(int)
    for row in muons:
        near = result.x[row, 0, wire[row] - 4 : wire[row] + 5, time[row] - 4 : time[row] + 5]
        assert near.max() > 0.3  # far above the noise


def test_a_piece_has_its_vertex_where_it_says() -> None:
    result = generate_vertices(7, 24)
    assert np.abs(result.offset).max() <= 1.05
    place = np.rint(SIDE / 2 + result.offset * FARTHEST).astype(int)
    bright = [
        result.x[row, max(w - 4, 0) : w + 5, max(t - 4, 0) : t + 5].max()
        for row, (w, t) in enumerate(place)
    ]
    assert np.mean(np.array(bright) > 0.3) > 0.9


def test_the_beam_enters_at_the_upstream_face() -> None:
    particles, kind, kinetic = draw_beam(np.random.default_rng(1), 300)
    assert np.ptp(particles.position_cm[:, 2]) == 0
    assert particles.direction[:, 2].min() > 0.9
    order = np.argsort(particles.event)
    np.testing.assert_allclose(particles.kinetic_mev[order], kinetic)
    assert set(np.abs(particles.pdg[order][kind == 3])) == {c.PROTON.pdg}


def test_a_piece_around_a_vertex_at_the_planes_edge_is_empty_beyond_it() -> None:
    wires, times = 240, 200
    planes = np.zeros((400, wires, times), np.float32)
    rng = np.random.default_rng(5)
    wire, time = rng.choice([0, wires - 1], 400), rng.choice([0, times - 1], 400)
    planes[np.arange(400), wire, time] = 1
    vertex_cm = np.stack([time * c.PIXEL_CM, 0 * time, wire * c.WIRE_PITCH_CM], axis=1)
    pieces, offset = cut_pieces(rng, planes, vertex_cm.astype(np.float32))
    assert pieces.shape == (400, SIDE, SIDE)
    where = np.rint(offset * FARTHEST).astype(int) + SIDE // 2
    assert pieces[np.arange(400), where[:, 0], where[:, 1]].tolist() == [1] * 400
