# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pictures like those of neutrinos: what leaves a nucleus at one vertex, most of it forwards.

A charged current makes a muon or an electron, a neutral current neither; nucleons and pions come
with both. All multiplicities and spectra are [guess]: they show a network every topology, and are
no generator's. Names follow DUNE's network, whose outputs tell the flavour and count particles.
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
from edgeinfer.lartpc.drawn import EventArrays, draw_in_batches
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.events import EventSettings, deposits
from edgeinfer.lartpc.primaries import draw_log_uniform, pi0_photons
from edgeinfer.lartpc.scattering import isotropic
from edgeinfer.lartpc.seeds import Seed
from edgeinfer.lartpc.views import ViewSettings, view_images

FLAVOURS = ("nu_mu", "nu_e", "neutral current")
NU_MU, NU_E, NEUTRAL = range(3)
MANY = 2  # the last class of a count: so many, or more
_EVENTS_PER_BATCH = 48
_MEAN_COUNTS = {"protons": 0.9, "pions": 0.45, "pi0s": 0.25}
_MORE_HADRONS = 1.5  # a neutral current is seen by its hadrons alone: so many times more
# Kinetic energies, log-uniform.
_MUON_MEV, _ELECTRON_MEV = (80.0, 900.0), (150.0, 2000.0)
_PROTON_MEV, _PION_MEV, _PI0_MEV = (30.0, 350.0), (40.0, 450.0), (80.0, 900.0)
_FORWARDS = 1.2  # a direction is the beam's so many times, and one drawn evenly


@dataclass(frozen=True, slots=True)
class Interactions(EventArrays):
    """Pictures (n, views, wires, pixels) from 0 to 1, classes one-hot, and vertices as (drift,
    along the upright wires, across them) in cm."""

    x: NDArray[np.float32]
    flavour: NDArray[np.float32]
    protons: NDArray[np.float32]
    pions: NDArray[np.float32]
    vertex_cm: NDArray[np.float32]
    event: NDArray[np.int64]


def _heading(rng: np.random.Generator, n: int) -> Floats:
    """Directions, more of them along the beam, which crosses the upright wires."""
    way = isotropic(rng, n) + np.array([0.0, 0.0, _FORWARDS])
    heading: Floats = way / np.linalg.norm(way, axis=1, keepdims=True)
    return heading


def _vertices(rng: np.random.Generator, n: int, box: DetectorVolume) -> Floats:
    """Points that leave room for what flies forwards."""
    low, high = np.array(box.low_cm), np.array(box.high_cm)
    share = rng.uniform((0.2, 0.3, 0.12), (0.8, 0.7, 0.5), (n, 3))
    return low + (high - low) * share


def draw_interactions(
    rng: np.random.Generator, n: int, box: DetectorVolume
) -> tuple[Particles, Floats, dict[str, NDArray[np.int64]]]:
    """What leaves n vertices, where these are, and the classes of each: one flavour as often as
    another."""
    flavour = rng.integers(0, len(FLAVOURS), n)
    vertex = _vertices(rng, n, box)
    groups: list[Particles] = []
    for kind, pdg, flag, span in (
        (NU_MU, c.MUON.pdg, FLAG_PRIMARY_MUON, _MUON_MEV),
        (NU_E, c.ELECTRON_PDG, FLAG_PRIMARY_ELECTRON, _ELECTRON_MEV),
    ):
        event = np.flatnonzero(flavour == kind).astype(np.int32)
        kinetic = draw_log_uniform(rng, span, event.size)
        heading = _heading(rng, event.size)
        groups.append(emit(event, pdg, flag, kinetic, vertex[event], heading))
    more = np.where(flavour == NEUTRAL, _MORE_HADRONS, 1.0)
    counts = {name: rng.poisson(mean * more) for name, mean in _MEAN_COUNTS.items()}
    unseen = (flavour == NEUTRAL) & (sum(counts.values()) == 0)
    counts["protons"] = counts["protons"] + unseen
    for name, pdg, span in (
        ("protons", c.PROTON.pdg, _PROTON_MEV),
        ("pions", c.PION.pdg, _PION_MEV),
    ):
        event = np.repeat(np.arange(n, dtype=np.int32), counts[name])
        kinetic = draw_log_uniform(rng, span, event.size)
        heading = _heading(rng, event.size)
        groups.append(emit(event, pdg, 0, kinetic, vertex[event], heading))
    event = np.repeat(np.arange(n, dtype=np.int32), counts["pi0s"])
    kinetic = draw_log_uniform(rng, _PI0_MEV, event.size)
    groups.append(pi0_photons(rng, event, kinetic, vertex[event]))
    classes = {name: np.minimum(counts[name], MANY) for name in ("protons", "pions")}
    return Particles.join(groups), vertex, {"flavour": flavour, **classes}


def generate_interactions(seed: Seed, n: int, views: ViewSettings) -> Interactions:
    """n interactions, each an event of its own."""
    x = np.empty((n, len(views.angles_deg), *views.shape), np.float32)
    vertex = np.empty((n, 3), np.float32)
    counts = {name: np.empty(n, np.int64) for name in ("flavour", "protons", "pions")}
    event_settings = EventSettings(views.wires, views.pixels, views.depth_cm)
    for rng, here in draw_in_batches(seed, n, _EVENTS_PER_BATCH):
        count = here.stop - here.start
        particles, at, classes = draw_interactions(rng, count, views.box())
        x[here] = view_images(rng, deposits(rng, particles, event_settings), count, views)
        vertex[here] = at
        for name, values in classes.items():
            counts[name][here] = values
    one_hot = {name: np.eye(3, dtype=np.float32)[values] for name, values in counts.items()}
    return Interactions(x, **one_hot, vertex_cm=vertex, event=np.arange(n))
