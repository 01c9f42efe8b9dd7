# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How an event begins: a vertex with its particles, and cosmic muons on top.

All multiplicities and spectra here are [guess]: a mix that shows a tagger every kind of picture,
not a beam.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import (
    FLAG_PRIMARY_ELECTRON,
    FLAG_PRIMARY_MUON,
    DetectorVolume,
    Particles,
    emit,
)
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.ranges import range_cm
from edgeinfer.lartpc.scattering import isotropic

_COSMIC_START_CM = 80.0  # before a point in the plane, outside it as a rule


@dataclass(frozen=True, slots=True)
class PrimarySettings:
    """Mean numbers per event, and kinetic energy ranges in MeV (log-uniform)."""

    shared_vertex: float = 0.1  # share of particles that start where others of the event do
    muons: float = 0.2
    pions: float = 0.25
    kaons: float = 0.05
    protons: float = 0.3
    electrons: float = 0.22
    pi0s: float = 0.25
    cosmics: float = 0.7
    stopping_muons: float = 0.8
    muon_mev: tuple[float, float] = (30.0, 600.0)
    pion_mev: tuple[float, float] = (30.0, 500.0)
    kaon_mev: tuple[float, float] = (50.0, 400.0)
    proton_mev: tuple[float, float] = (20.0, 400.0)
    electron_mev: tuple[float, float] = (300.0, 3000.0)
    pi0_mev: tuple[float, float] = (200.0, 2500.0)
    cosmic_mev: tuple[float, float] = (500.0, 2e4)
    stopping_mev: tuple[float, float] = (60.0, 400.0)


def draw_log_uniform(rng: np.random.Generator, span: tuple[float, float], n: int) -> Floats:
    """Energies in MeV, of which each doubling holds as many as the next."""
    return np.exp(rng.uniform(np.log(span[0]), np.log(span[1]), n))


def _downward(rng: np.random.Generator, n: int) -> Floats:
    """Cosmic directions: cos^2 of the zenith angle, y being up."""
    cosine = rng.random(n) ** (1 / 3)
    azimuth = rng.uniform(0, 2 * np.pi, n)
    across = np.sqrt(1 - cosine**2)
    return np.stack([across * np.cos(azimuth), -cosine, across * np.sin(azimuth)], axis=1)


def _inside(rng: np.random.Generator, n: int, box: DetectorVolume, depth: float) -> Floats:
    """Points in the box, kept away from its walls by a share of its size."""
    low, high = np.array(box.low_cm), np.array(box.high_cm)
    return low + (high - low) * rng.uniform(depth, 1 - depth, (n, 3))


def pi0_photons(
    rng: np.random.Generator, event: NDArray[np.int32], kinetic: Floats, at: Floats
) -> Particles:
    """Two photons per pi0: isotropic at rest, then boosted."""
    n = event.size
    way = isotropic(rng, n)
    gamma = 1 + kinetic / c.PI0_MASS_MEV
    beta = np.sqrt(1 - 1 / gamma**2)
    rest = isotropic(rng, n)
    both = []
    for sign in (1.0, -1.0):
        along = sign * np.einsum("ij,ij->i", rest, way)
        energy = c.PI0_MASS_MEV / 2 * gamma * (1 + beta * along)
        shift = gamma * (along + beta) - along
        heading = sign * rest + shift[:, None] * way
        heading /= np.linalg.norm(heading, axis=1, keepdims=True)
        both.append(emit(event, c.PHOTON_PDG, FLAG_PRIMARY_ELECTRON, energy, at, heading))
    return Particles.join(both)


def primaries(
    rng: np.random.Generator, n_events: int, box: DetectorVolume, settings: PrimarySettings
) -> Particles:
    """All particles with which the events begin."""
    vertex = _inside(rng, n_events, box, 0.2)
    groups: list[Particles] = []

    def origin(event: NDArray[np.int32]) -> Floats:
        shared = rng.random((event.size, 1)) < settings.shared_vertex
        return np.where(shared, vertex[event], _inside(rng, event.size, box, 0.1))

    def events(mean: float) -> NDArray[np.int32]:
        return np.repeat(np.arange(n_events, dtype=np.int32), rng.poisson(mean, n_events))

    for mean, span, pdg, flag in (
        (settings.muons, settings.muon_mev, c.MUON.pdg, FLAG_PRIMARY_MUON),
        (settings.pions, settings.pion_mev, c.PION.pdg, 0),
        (settings.kaons, settings.kaon_mev, c.KAON.pdg, 0),
        (settings.protons, settings.proton_mev, c.PROTON.pdg, 0),
        (settings.electrons, settings.electron_mev, c.ELECTRON_PDG, FLAG_PRIMARY_ELECTRON),
    ):
        event = events(mean)
        kinetic = draw_log_uniform(rng, span, event.size)
        group = emit(event, pdg, flag, kinetic, origin(event), isotropic(rng, event.size))
        if pdg == c.PION.pdg:
            group.pdg[:] *= np.where(rng.random(event.size) < 0.5, 1, -1).astype(np.int32)
        groups.append(group)
    event = events(settings.pi0s)
    kinetic = draw_log_uniform(rng, settings.pi0_mev, event.size)
    groups.append(pi0_photons(rng, event, kinetic, origin(event)))
    for mean, span, stops in (
        (settings.cosmics, settings.cosmic_mev, False),
        (settings.stopping_muons, settings.stopping_mev, True),
    ):
        event = events(mean)
        kinetic = draw_log_uniform(rng, span, event.size)
        way = _downward(rng, event.size)
        point = _inside(rng, event.size, box, 0.1 if stops else 0.0)
        back = range_cm(c.MUON, kinetic) if stops else np.full(event.size, _COSMIC_START_CM)
        start = point - way * back[:, None]
        groups.append(emit(event, c.MUON.pdg, FLAG_PRIMARY_MUON, kinetic, start, way))
    return Particles.join(groups)
