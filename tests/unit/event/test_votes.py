# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Hits that point to one place propose a vertex there; hits that point about propose none."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.event.votes import MOST, REACH, check_pointing, find_places, propose_vertices
from edgeinfer.ir import ops
from edgeinfer.ir.program import HostFunction, Output, Program
from quantization.fixed import Fixed

SHAPE = (60, 90)
TYPE = Fixed(True, 12, 4)  # steps of 1/256


def pointing() -> Program:
    """A network with outputs that point."""
    inputs = tuple(ops.Input(name, TYPE, (1,)) for name in ("a", "b"))
    outputs = (Output("wire", "a", HostFunction.NONE), Output("time", "b", HostFunction.NONE))
    return Program("pointing", inputs, outputs)


def test_two_vertices_are_found_in_the_order_of_their_votes() -> None:
    rng = np.random.default_rng(1)
    votes = [np.array([20.0, 70.0]) + rng.normal(0, 1, (60, 2))]
    votes.append(np.array([45.0, 12.0]) + rng.normal(0, 1, (30, 2)))
    votes.append(rng.uniform((-20, -20), (80, 110), (20, 2)))  # some point out of the plane
    first, second = find_places(np.concatenate(votes), SHAPE)
    assert abs(first.wire - 20) < 0.5 and abs(first.pixel - 70) < 0.5
    assert abs(second.wire - 45) < 0.7 and abs(second.pixel - 12) < 0.7
    assert first.votes >= 58 and first.share == first.votes / 110


def test_scattered_votes_propose_nothing() -> None:
    everywhere = np.stack(np.meshgrid(np.arange(0, 60, 5), np.arange(0, 90, 5)), axis=-1)
    assert find_places(everywhere.reshape(-1, 2).astype(float), SHAPE) == ()
    assert find_places(np.empty((0, 2)), SHAPE) == ()


def test_the_place_is_where_most_votes_lie_within_reach() -> None:
    rng = np.random.default_rng(2)
    votes = rng.uniform(0, (7.4, 11.4), (200, 2))
    (best, *others) = find_places(votes, (8, 12))
    near = np.abs(np.rint(votes)[:, None] - np.stack(np.mgrid[:8, :12], -1).reshape(-1, 2))
    assert best.votes == (near <= REACH).all(axis=2).sum(axis=0).max()
    assert len(others) < MOST


def test_outputs_are_lengths_from_the_hit() -> None:
    hits = np.array([[10, 10], [30, 40], [50, 80]])
    away = (np.array([25, 33]) - hits) / 32.0
    raw = {"wire": np.rint(away[:, :1] * 256).astype(int), "time": np.rint(away[:, 1:] * 256)}
    raw["time"] = raw["time"].astype(int)
    (result,) = propose_vertices(pointing(), hits, raw, SHAPE, 32.0)
    assert (result.votes, result.share) == (3, 1.0)
    assert abs(result.wire - 25) < 0.1 and abs(result.pixel - 33) < 0.1


def test_a_network_that_does_not_point_is_refused() -> None:
    program = pointing()
    with pytest.raises(UsageError, match="above 0"):
        check_pointing(program, 0.0)
    other = Program("tagger", program.inputs, (Output("label", "a", HostFunction.NONE),))
    with pytest.raises(UsageError, match="no output 'wire'"):
        check_pointing(other, 32.0)
