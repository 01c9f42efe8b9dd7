# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How a track ends, and what is reconstructed at its end: daughter tracks, showers, grandchildren.

All multiplicities and efficiencies are [guess]: reconstruction loses daughters, breaks tracks, and
finds things that are not there, and these numbers say how often here.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.energy_loss import Floats

Ints = NDArray[np.intp]
MUON, PION, PROTON = 0, 1, 2

_BROKEN_CHANCE = 0.30  # a track leaves the volume, or the reconstruction loses it before its end
_LEFT_WHEN_BROKEN_CM = (1.0, 100.0)
_LEFT_AT_INTERACTION_CM = (3.0, 80.0)
_MICHEL_FOUND = 0.6
_MICHEL_AS_TRACK = 0.15
_FAKE_TRACKS, _FAKE_SHOWERS = 0.15, 0.20  # delta rays, cosmics, split hits


class End(IntEnum):
    """How a particle ends."""

    STOPS = 0
    INTERACTS = 1


@dataclass(frozen=True, slots=True)
class Fate:
    """The end of each track, and how much range was left where its picture ends."""

    end: Ints
    broken: NDArray[np.bool_]
    unseen_cm: Floats


@dataclass(frozen=True, slots=True)
class Tallies:
    """What was found at the end of each track."""

    tracks: Ints
    showers: Ints
    grandchildren: Ints


def _log_uniform(rng: np.random.Generator, span: tuple[float, float], n: int) -> Floats:
    return np.exp(rng.uniform(np.log(span[0]), np.log(span[1]), n))


def fates(rng: np.random.Generator, kind: Ints, length_cm: Floats) -> Fate:
    """Draw how tracks of these lengths end."""
    n = kind.size
    free_path = np.array([c.MUON.interaction_cm, c.PION.interaction_cm, c.PROTON.interaction_cm])
    # Protons that stop after so long a way are those that were spared: half the naive chance.
    chance = -np.expm1(-length_cm / free_path[kind]) * np.where(kind == PROTON, 0.5, 1.0)
    interacts = rng.random(n) < chance
    broken = ~interacts & (rng.random(n) < _BROKEN_CHANCE)
    left = np.where(interacts, _log_uniform(rng, _LEFT_AT_INTERACTION_CM, n), 0.0)
    left = np.where(broken, _log_uniform(rng, _LEFT_WHEN_BROKEN_CM, n), left)
    return Fate(np.where(interacts, End.INTERACTS, End.STOPS), broken, left)


def daughters(rng: np.random.Generator, kind: Ints, fate: Fate) -> Tallies:
    """Count what is found: Michel electrons, products of nuclear interactions, and fakes."""
    n = kind.size
    tracks, showers = rng.poisson(_FAKE_TRACKS, n), rng.poisson(_FAKE_SHOWERS, n)
    grandchildren = rng.poisson(0.05, n)
    stops = fate.end == End.STOPS
    positive = rng.random(n) < 0.5
    decays = np.where(kind == MUON, rng.random(n) > c.MUON_CAPTURE_FRACTION, positive)
    michel = stops & ~fate.broken & decays & (kind != PROTON)
    chance = rng.random(n)
    showers += michel & (chance < _MICHEL_FOUND)
    tracks += michel & (chance > 1 - _MICHEL_AS_TRACK)
    # A pi+ decays through a muon too short to see; now and then it is seen, and the electron is its
    # child.
    chain = michel & (kind == PION) & (rng.random(n) < 0.08)
    grandchildren += chain
    captured = stops & ~fate.broken & (kind == PION) & ~positive
    tracks += captured * rng.poisson(0.4, n)
    # Of those that broke inside the volume, the rest is a track of its own.
    tracks += fate.broken & (rng.random(n) < 0.4)
    hadronic = fate.end == End.INTERACTS
    products = hadronic * rng.poisson(np.where(kind == PION, 0.9, 0.6), n)
    tracks += products
    showers += hadronic * rng.poisson(np.where(kind == PION, 0.35, 0.1), n)
    grandchildren += rng.binomial(products, 0.35)
    return Tallies(tracks, showers, grandchildren)
