# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A toy of jet substructure: 16 features, 5 kinds of jet, like the field's common benchmark.

Nothing here is simulated physics. A kind of jet sets the typical mass, number of prongs and amount
of radiation; the features are blurred functions of those three hidden numbers. Use it to exercise
networks, never to quote physics.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc.drawn import EventArrays
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.seeds import Seed, generator

CLASSES = ("gluon", "quark", "W", "Z", "top")
FEATURES = (
    "zlogz",
    "c1_b0",
    "c1_b1",
    "c1_b2",
    "c2_b1",
    "c2_b2",
    "d2_b1",
    "d2_b2",
    "d2_a1_b1",
    "d2_a1_b2",
    "m2_b1",
    "m2_b2",
    "n2_b1",
    "n2_b2",
    "mass",
    "multiplicity",
)
# For each class: mass in GeV, prongs, mean multiplicity, relative spread of the mass. All [guess].
_MASS = np.array([95.0, 70.0, 80.4, 91.2, 172.8])
_SPREAD = np.array([0.55, 0.60, 0.07, 0.07, 0.30])
_PRONGS = np.array([1.0, 1.0, 2.0, 2.0, 3.0])
_MULTIPLICITY = np.array([62.0, 38.0, 44.0, 45.0, 66.0])


@dataclass(frozen=True, slots=True)
class JetSettings:
    """How far the features are blurred."""

    blur: float = 0.35
    jets_per_event: int = 2


@dataclass(frozen=True, slots=True)
class Jets(EventArrays):
    """Features x (n, 16) of about unit spread, label one-hot (n, 5)."""

    x: NDArray[np.float32]
    label: NDArray[np.float32]
    event: NDArray[np.int64]


def generate_jets(seed: Seed, n: int, settings: JetSettings) -> Jets:
    """n jets, two to an event."""
    rng = generator(seed)
    kind = rng.integers(0, len(CLASSES), n)
    mass = _MASS[kind] * np.exp(_SPREAD[kind] * rng.standard_normal(n))
    # Now and then grooming loses a prong, or radiation looks like one.
    prongs = np.clip(_PRONGS[kind] + rng.choice([-1, 0, 1], n, p=[0.20, 0.65, 0.15]), 1, 4)
    radiation = rng.gamma(8.0, _MULTIPLICITY[kind] / 8.0)
    x = _features(mass, prongs, radiation)
    x += settings.blur * rng.standard_normal(x.shape)
    label = np.eye(len(CLASSES), dtype=np.float32)[kind]
    return Jets(x.astype(np.float32), label, np.arange(n) // settings.jets_per_event)


def _features(mass: Floats, prongs: Floats, radiation: Floats) -> Floats:
    """The 16 features without blur, in the order of their names."""
    m = np.log(mass / 90.0) / 0.4
    r = np.log(radiation / 48.0) / 0.4
    p = prongs - 1.8
    narrow = np.tanh(m)
    columns = (
        -r + 0.3 * p,
        r + 0.2 * m,
        m + 0.3 * r,
        narrow + 0.2 * r,
        -p + 0.4 * r,
        -p + 0.3 * narrow,
        -p - 0.5 * narrow,
        -1.2 * p * (1 + 0.2 * narrow),
        -p + 0.3 * r * narrow,
        -0.8 * p + 0.2 * r,
        0.5 * r - 0.6 * p,
        0.6 * m - 0.5 * p,
        -p + 0.2 * r**2 - 0.2,
        np.tanh(-1.5 * p + 0.3 * m),
        2.0 * m,
        1.5 * r,
    )
    return np.stack(columns, axis=1)
