# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From energy to electrons that reach the wires: recombination, capture by impurities."""

import numpy as np
from numpy.typing import ArrayLike

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.energy_loss import Floats

_BOX_PER_DEDX = c.BOX_BETA / (c.DENSITY_G_CM3 * c.FIELD_KV_CM)


def box_survival(dedx_mev_cm: ArrayLike) -> Floats:
    """Share of electrons that escape recombination, modified box model (from about 1 MeV/cm up)."""
    s = np.maximum(np.asarray(dedx_mev_cm, float), 1.0)
    beta_s = _BOX_PER_DEDX * s
    return np.log(c.BOX_ALPHA + beta_s) / beta_s


def box_dedx(electrons_per_cm: ArrayLike) -> Floats:
    """dE/dx in MeV/cm that a charge density means: the modified box model turned round."""
    exponent = np.minimum(_BOX_PER_DEDX * c.W_ION_MEV * np.asarray(electrons_per_cm, float), 12.0)
    return (np.exp(exponent) - c.BOX_ALPHA) / _BOX_PER_DEDX


def attenuation(drift_cm: ArrayLike) -> Floats:
    """Share of electrons that survive the drift."""
    return np.exp(-np.asarray(drift_cm, float) / (c.DRIFT_VELOCITY_CM_US * c.LIFETIME_US))


def electrons(energy_mev: ArrayLike, path_cm: ArrayLike) -> Floats:
    """Electrons that leave the ionised column."""
    energy = np.asarray(energy_mev, float)
    return energy / c.W_ION_MEV * box_survival(energy / np.asarray(path_cm, float))
