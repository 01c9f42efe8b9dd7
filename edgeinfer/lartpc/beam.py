# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A test beam as LArIAT's two planes see it: one particle that enters at the upstream face.

Kinds come equally often, momenta spread over the beam's range; both are [guess]. The wires of the
planes stand at 60 degrees to either side, so each particle is seen twice, and no view shows all.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import FLAG_PRIMARY_ELECTRON, FLAG_PRIMARY_MUON, Particles, emit
from edgeinfer.lartpc.drawn import EventArrays, draw_in_batches
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.events import EventSettings, deposits
from edgeinfer.lartpc.primaries import draw_log_uniform
from edgeinfer.lartpc.seeds import Seed
from edgeinfer.lartpc.views import ViewSettings, view_images

KINDS = ("electron", "muon", "pion", "proton")
_PDG = (c.ELECTRON_PDG, c.MUON.pdg, c.PION.pdg, c.PROTON.pdg)
_FLAGS = (FLAG_PRIMARY_ELECTRON, FLAG_PRIMARY_MUON, 0, 0)
_EVENTS_PER_BATCH = 96
MEV_IN_GEV = 1000.0
# Half of the upstream length is seen across wires at 60 degrees.
_VIEWS = ViewSettings(wires=128, pixels=96, depth_cm=40.0, angles_deg=(60.0, -60.0), pooled=2)
_KINETIC_MEV = (80.0, 800.0)  # log-uniform
_WIDTH_CM = 4.0  # of the beam
_SLOPE = 0.08  # spread of the direction, across over along


@dataclass(frozen=True, slots=True)
class BeamEvents(EventArrays):
    """Pictures (n, views, wires, pixels) from 0 to 1, kinds one-hot, kinetic energies in GeV."""

    x: NDArray[np.float32]
    kind: NDArray[np.float32]
    energy_gev: NDArray[np.float32]
    event: NDArray[np.int64]


def draw_beam(rng: np.random.Generator, n: int) -> tuple[Particles, NDArray[np.int64], Floats]:
    """n particles at the upstream face, their kinds, and their kinetic energies in MeV."""
    box = _VIEWS.box()
    kind = rng.integers(0, len(KINDS), n)
    kinetic = draw_log_uniform(rng, _KINETIC_MEV, n)
    middle = [(low + high) / 2 for low, high in zip(box.low_cm, box.high_cm, strict=True)]
    start = np.array([middle[0], middle[1], box.low_cm[2] + 0.5])
    start = start + _WIDTH_CM * rng.standard_normal((n, 3)) * np.array([1.0, 1.0, 0.0])
    way = np.ones((n, 3))
    way[:, :2] = _SLOPE * rng.standard_normal((n, 2))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    groups = []
    for number, (pdg, flag) in enumerate(zip(_PDG, _FLAGS, strict=True)):
        event = np.flatnonzero(kind == number).astype(np.int32)
        groups.append(emit(event, pdg, flag, kinetic[event], start[event], way[event]))
    return Particles.join(groups), kind, kinetic


def generate_beam(seed: Seed, n: int) -> BeamEvents:
    """n particles, each an event of its own."""
    x = np.empty((n, len(_VIEWS.angles_deg), *_VIEWS.shape), np.float32)
    kind, energy = np.empty(n, np.int64), np.empty((n, 1), np.float32)
    event_settings = EventSettings(_VIEWS.wires, _VIEWS.pixels, _VIEWS.depth_cm)
    for rng, here in draw_in_batches(seed, n, _EVENTS_PER_BATCH):
        count = here.stop - here.start
        particles, kinds, kinetic = draw_beam(rng, count)
        x[here] = view_images(rng, deposits(rng, particles, event_settings), count, _VIEWS)
        kind[here], energy[here, 0] = kinds, kinetic / MEV_IN_GEV
    return BeamEvents(x, np.eye(len(KINDS), dtype=np.float32)[kind], energy, np.arange(n))
