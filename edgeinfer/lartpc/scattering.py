# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Multiple scattering after Highland, and the walk of directions that it makes."""

import numpy as np
from numpy.typing import ArrayLike

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.energy_loss import Floats


def momentum_beta_mev(kinetic_mev: ArrayLike, mass_mev: ArrayLike) -> Floats:
    """Momentum times velocity, in MeV."""
    kinetic = np.asarray(kinetic_mev, float)
    mass = np.asarray(mass_mev, float)
    return kinetic * (kinetic + 2 * mass) / (kinetic + mass)


def step_rad(length_cm: ArrayLike, kinetic_mev: ArrayLike, mass_mev: ArrayLike) -> Floats:
    """Width of the projected angle over one step of a longer walk.

    Highland's logarithm is taken at one radiation length, where it vanishes: only then do the
    squares of many short steps add up to the formula's width over the lengths in a picture.
    """
    depth = np.asarray(length_cm, float) / c.RADIATION_LENGTH_CM
    return 13.6 / momentum_beta_mev(kinetic_mev, mass_mev) * np.sqrt(depth)


def turn(direction: Floats, polar_rad: Floats, azimuth_rad: Floats) -> Floats:
    """Unit vectors (n, 3) turned by a polar angle, about a given azimuth around themselves."""
    u, v, w = direction[:, 0], direction[:, 1], direction[:, 2]
    sine, cosine = np.sin(polar_rad), np.cos(polar_rad)
    a, b = sine * np.cos(azimuth_rad), sine * np.sin(azimuth_rad)
    across = np.hypot(u, v)
    # Along the axis the azimuth has no zero of its own: any will do.
    axis = across < 1e-9
    across = np.where(axis, 1.0, across)
    u, v = np.where(axis, 1.0, u), np.where(axis, 0.0, v)
    out = np.empty_like(direction)
    out[:, 0] = direction[:, 0] * cosine + (a * u * w - b * v) / across
    out[:, 1] = direction[:, 1] * cosine + (a * v * w + b * u) / across
    out[:, 2] = w * cosine - a * np.where(axis, 0.0, across)
    return out / np.sqrt(np.einsum("ij,ij->i", out, out))[:, None]


def scatter(rng: np.random.Generator, direction: Floats, width_rad: Floats) -> Floats:
    """Directions after one Gaussian scatter of the given projected width."""
    polar = np.minimum(width_rad * np.sqrt(2 * rng.standard_exponential(width_rad.shape)), np.pi)
    return turn(direction, polar, rng.uniform(0, 2 * np.pi, width_rad.shape))


def walk(rng: np.random.Generator, direction: Floats, width_rad: Floats) -> Floats:
    """Directions (n, steps, 3); each step ends with a scatter of `width_rad` (n, steps)."""
    out = np.empty((*width_rad.shape, 3))
    polar = np.minimum(width_rad * np.sqrt(2 * rng.standard_exponential(width_rad.shape)), np.pi)
    azimuth = rng.uniform(0, 2 * np.pi, width_rad.shape)
    for step in range(width_rad.shape[1]):
        out[:, step] = direction
        direction = turn(direction, polar[:, step], azimuth[:, step])
    return out


def isotropic(rng: np.random.Generator, n: int) -> Floats:
    """n unit vectors, all directions alike."""
    w = rng.uniform(-1, 1, n)
    azimuth = rng.uniform(0, 2 * np.pi, n)
    across = np.sqrt(1 - w * w)
    return np.stack([across * np.cos(azimuth), across * np.sin(azimuth), w], axis=1)
