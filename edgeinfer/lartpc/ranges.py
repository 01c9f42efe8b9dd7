# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Range and energy: how far a particle still goes, and what it loses on the way to its stop."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import cumulative_trapezoid

from edgeinfer.lartpc.constants import Species
from edgeinfer.lartpc.energy_loss import Floats, mean_dedx

_LOWEST_MEV = (
    0.3  # below it Bethe's formula fails; the last tenth of a millimetre is taken as linear
)
_HIGHEST_MEV = 1e5


@lru_cache(maxsize=8)
def range_table(species: Species) -> tuple[Floats, Floats]:
    """Kinetic energy in MeV and the range in cm that belongs to it, both rising from zero."""
    energy = np.geomspace(_LOWEST_MEV, _HIGHEST_MEV, 1500)
    loss = mean_dedx(energy, species.mass_mev)
    loss = np.maximum.accumulate(loss[::-1])[::-1] if loss[0] < loss[1] else loss
    first = energy[0] / loss[0]
    reach = first + cumulative_trapezoid(1 / loss, energy, initial=0.0)
    return np.concatenate([[0.0], energy]), np.concatenate([[0.0], reach])


def range_cm(species: Species, kinetic_mev: ArrayLike) -> Floats:
    """Mean path to the stop, in cm."""
    energy, reach = range_table(species)
    return np.interp(kinetic_mev, energy, reach)


def kinetic_mev(species: Species, residual_range_cm: ArrayLike) -> Floats:
    """Kinetic energy that is left where `residual_range_cm` is left."""
    energy, reach = range_table(species)
    return np.interp(residual_range_cm, reach, energy)


def dedx_at_residual_range(species: Species, residual_range_cm: ArrayLike) -> Floats:
    """Mean dE/dx in MeV/cm at a distance from the stop."""
    return mean_dedx(kinetic_mev(species, residual_range_cm), species.mass_mev)


def mean_profile(species: Species, pitch_cm: ArrayLike, points: int) -> tuple[Floats, Floats]:
    """Residual range in cm and mean energy in MeV of each pitch, backwards from the stop.

    The last axis runs from the oldest pitch to the one in which the particle stops.
    """
    pitch = np.asarray(pitch_cm, float)[..., None]
    far = pitch * np.arange(points, 0, -1)
    near = far - pitch
    return (far + near) / 2, kinetic_mev(species, far) - kinetic_mev(species, near)
