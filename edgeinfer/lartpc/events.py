# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An event: the picture of one wire plane, with the truth of each pixel beside it.

Labels follow the public training data: truth below 2e-5 GeV is dropped; |pdg| 11 is
electromagnetic, all else track; the Michel mark comes on top of electromagnetic; a pixel's pdg is
that of its largest deposit.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import FLAG_MICHEL, Deposits, DetectorVolume, Particles
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.primaries import PrimarySettings, primaries
from edgeinfer.lartpc.readout import charge_image, noise_image
from edgeinfer.lartpc.seeds import Seed, generator
from edgeinfer.lartpc.showers import shower
from edgeinfer.lartpc.tracks import TrackSettings, follow

LABEL_TRACK, LABEL_EM, LABEL_NONE = 0, 1, 2
_GENERATIONS = 5  # of hadrons from hadrons; what is born later is too slow to matter
_CODE_BITS = 12


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Size of the plane, and what happens in it."""

    wires: int = 256
    pixels: int = 256
    depth_cm: float = 200.0
    primaries: PrimarySettings = field(default_factory=PrimarySettings)
    tracks: TrackSettings = field(default_factory=TrackSettings)

    def box(self) -> DetectorVolume:
        """The volume that the plane sees."""
        half = self.depth_cm / 2
        across = self.wires * c.WIRE_PITCH_CM
        return DetectorVolume((0.0, -half, 0.0), (self.pixels * c.PIXEL_CM, half, across))


@dataclass(frozen=True, slots=True)
class Planes:
    """Pictures (events, wires, pixels) and their truth; `pdg` is packed as in the public dumps."""

    event: NDArray[np.int64]
    adc: NDArray[np.float32]
    deposit_gev: NDArray[np.float32]
    pdg: NDArray[np.int32]


def deposits(rng: np.random.Generator, start: Particles, settings: EventSettings) -> Deposits:
    """Follow hadrons generation by generation, then all electrons and photons together."""
    box = settings.box()
    parts: list[Deposits] = []
    light: list[Particles] = []
    heavy = start
    for _ in range(_GENERATIONS):
        gentle = (heavy.pdg == c.PHOTON_PDG) | (heavy.pdg == c.ELECTRON_PDG)
        light.append(heavy[gentle])
        heavy = heavy[~gentle]
        if not len(heavy):
            break
        left, heavy = follow(rng, heavy, box, settings.tracks)
        parts.append(left)
    parts.append(shower(rng, Particles.join(light), box))
    everything = Deposits.join(parts)
    return everything[box.contains((everything.start_cm + everything.end_cm) / 2)]


def truth_images(
    deposits_made: Deposits, shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Energy in GeV in each pixel, and the packed pdg of the largest deposit in it."""
    _, wires, pixels = shape
    middle = (deposits_made.start_cm + deposits_made.end_cm) / 2
    wire = np.clip((middle[:, 2] / c.WIRE_PITCH_CM).astype(np.intp), 0, wires - 1)
    time = np.clip((middle[:, 0] / c.PIXEL_CM).astype(np.intp), 0, pixels - 1)
    place = (deposits_made.event.astype(np.intp) * wires + wire) * pixels + time
    size = int(np.prod(shape))
    energy = np.bincount(place, deposits_made.energy_mev * 1e-3, minlength=size).astype(np.float32)
    energy[energy < c.DEPOSIT_FLOOR_GEV] = 0.0
    order = np.argsort(deposits_made.energy_mev, kind="stable")
    pdg = np.zeros(size, np.int32)
    # Of repeated places the last assignment stays: the largest deposit.
    pdg[place[order]] = (np.abs(deposits_made.pdg) | deposits_made.flags << _CODE_BITS)[order]
    pdg[energy == 0.0] = 0
    return energy.reshape(shape), pdg.reshape(shape)


def simulate(seed: Seed, n: int, settings: EventSettings, first_event: int = 0) -> Planes:
    """n events, each with its own vertex, cosmics and distance from the wires."""
    rng = generator(seed)
    shape = (n, settings.wires, settings.pixels)
    deposits_made = deposits(rng, primaries(rng, n, settings.box(), settings.primaries), settings)
    deepest = max(c.MAX_DRIFT_CM - settings.pixels * c.PIXEL_CM, 0.0)
    offset: Floats = rng.uniform(0.0, deepest, n)
    adc = charge_image(deposits_made, offset, settings.wires, settings.pixels)
    adc += noise_image(rng, shape)
    energy, pdg = truth_images(deposits_made, shape)
    return Planes(np.arange(first_event, first_event + n), adc, energy, pdg)


def labels(planes: Planes) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Class of each pixel (track, em, none) and whether it is Michel."""
    # Most pixels are empty: only the others are looked at.
    place = np.flatnonzero(planes.deposit_gev)
    packed = planes.pdg.ravel()[place]
    pdg, flags = unpack_pdg(packed)
    electron = pdg == c.ELECTRON_PDG
    label = np.full(planes.pdg.shape, LABEL_NONE, np.int8)
    label.ravel()[place] = np.where(electron, LABEL_EM, LABEL_TRACK)
    michel = np.zeros(planes.pdg.shape, bool)
    michel.ravel()[place] = electron & (flags & FLAG_MICHEL != 0)
    return label, michel


def unpack_pdg(packed: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """|pdg| and the flags that are packed with it."""
    return packed & np.int32((1 << _CODE_BITS) - 1), packed >> _CODE_BITS
