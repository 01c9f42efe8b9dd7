# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From energy to electrons that reach the wires: recombination, capture by impurities."""

from typing import Literal, assert_never

import numpy as np
from numpy.typing import ArrayLike

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.energy_loss import Floats

Recombination = Literal["birks", "box"]


def birks_survival(dedx_mev_cm: ArrayLike, field_kv_cm: float = c.FIELD_KV_CM) -> Floats:
    """Share of electrons that escape recombination, Birks's law."""
    dedx = np.asarray(dedx_mev_cm, float)
    return c.BIRKS_A / (1 + c.BIRKS_K * dedx / (c.DENSITY_G_CM3 * field_kv_cm))


def box_survival(dedx_mev_cm: ArrayLike, field_kv_cm: float = c.FIELD_KV_CM) -> Floats:
    """Share of electrons that escape recombination, modified box model (from about 1 MeV/cm up)."""
    s = np.maximum(np.asarray(dedx_mev_cm, float), 1.0)
    beta_s = c.BOX_BETA / (c.DENSITY_G_CM3 * field_kv_cm) * s
    return np.log(c.BOX_ALPHA + beta_s) / beta_s


def box_dedx(electrons_per_cm: ArrayLike, field_kv_cm: float = c.FIELD_KV_CM) -> Floats:
    """dE/dx in MeV/cm that a charge density means: the modified box model turned round."""
    beta = c.BOX_BETA / (c.DENSITY_G_CM3 * field_kv_cm)
    exponent = np.minimum(beta * c.W_ION_MEV * np.asarray(electrons_per_cm, float), 12.0)
    return (np.exp(exponent) - c.BOX_ALPHA) / beta


def survival(
    model: Recombination, dedx_mev_cm: ArrayLike, field_kv_cm: float = c.FIELD_KV_CM
) -> Floats:
    """Share of electrons that escape recombination, by the model asked for."""
    match model:
        case "birks":
            return birks_survival(dedx_mev_cm, field_kv_cm)
        case "box":
            return box_survival(dedx_mev_cm, field_kv_cm)
        case _:
            assert_never(model)


def attenuation(drift_cm: ArrayLike, lifetime_us: float = c.LIFETIME_US) -> Floats:
    """Share of electrons that survive the drift."""
    return np.exp(-np.asarray(drift_cm, float) / (c.DRIFT_VELOCITY_CM_US * lifetime_us))


def electrons(
    energy_mev: ArrayLike,
    path_cm: ArrayLike,
    model: Recombination = "box",
    field_kv_cm: float = c.FIELD_KV_CM,
) -> Floats:
    """Electrons that leave the ionised column."""
    energy = np.asarray(energy_mev, float)
    return energy / c.W_ION_MEV * survival(model, energy / np.asarray(path_cm, float), field_kv_cm)
