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
    return np.interp(np.asarray(kinetic_mev, float), energy, reach)


def kinetic_mev(species: Species, residual_range_cm: ArrayLike) -> Floats:
    """Kinetic energy that is left where `residual_range_cm` is left."""
    energy, reach = range_table(species)
    return np.interp(np.asarray(residual_range_cm, float), reach, energy)


def energies_before_stop(
    species: Species, left_cm: ArrayLike, pitch_cm: ArrayLike, points: int
) -> Floats:
    """Kinetic energies in MeV at the borders of the last pitches, backwards from the stop.

    The last axis has one border more than points and ends where `left_cm` is still to go;
    neighbours differ by the mean energy left on a pitch.
    """
    left, pitch = np.asarray(left_cm, float), np.asarray(pitch_cm, float)
    residual = left[..., None] + pitch[..., None] * np.arange(points, -1, -1)
    return kinetic_mev(species, residual)
