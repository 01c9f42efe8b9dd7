# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whole planes in which every lit pixel has one of five labels, as sparse networks are taught.

HIP: heavily ionizing (protons, kaons); MIP: minimally ionizing (muons, pions); shower; delta ray;
Michel electron. Pixels below the threshold are set to zero, as after zero suppression. A lit pixel
without truth (diffused charge, noise) has no label.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import FLAG_DELTA, FLAG_MICHEL
from edgeinfer.lartpc.events import EventSettings, simulate, unpack_pdg
from edgeinfer.lartpc.seeds import Seed, batches

LABELS = ("hip", "mip", "shower", "delta", "michel")
HIP, MIP, SHOWER, DELTA, MICHEL = range(len(LABELS))
UNLABELLED = -1
_HEAVY = (c.PROTON.pdg, c.KAON.pdg)


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """Size of a picture, what counts as lit, and how ADC become inputs."""

    side: int = 64
    lit_adc: float = 4.0  # [guess] 7 times the noise
    scale_adc: float = 64.0  # what an input of 1 stands for
    most_adc: float = 256.0  # what is above is cut
    events_per_batch: int = 32


@dataclass(frozen=True, slots=True)
class Segments:
    """Pictures x (n, side, side, 1), and for each pixel its label one-hot, or zeros for none."""

    x: NDArray[np.float32]
    label: NDArray[np.float32]
    event: NDArray[np.int64]


def generate_segments(seed: Seed, n: int, settings: SegmentSettings) -> Segments:
    """n planes, each of an event of its own."""
    side = settings.side
    x = np.zeros((n, side, side, 1), np.float32)
    label = np.zeros((n, side, side, len(LABELS)), np.float32)
    done = 0
    for rng in batches(seed):
        if done >= n:
            break
        count = min(settings.events_per_batch, n - done)
        planes = simulate(rng, count, EventSettings(wires=side, pixels=side), done)
        here = slice(done, done + count)
        lit = planes.adc > settings.lit_adc
        x[here, ..., 0] = np.where(lit, np.minimum(planes.adc, settings.most_adc), 0.0)
        kind = label_pixels(planes.pdg)
        kind[(planes.deposit_gev == 0.0) | ~lit] = UNLABELLED
        event, row, column = np.nonzero(kind != UNLABELLED)
        label[done + event, row, column, kind[event, row, column]] = 1.0
        done += count
    return Segments(x / np.float32(settings.scale_adc), label, np.arange(n))


def label_pixels(packed: NDArray[np.int32]) -> NDArray[np.int8]:
    """The label of what left most in each pixel; of an empty one, it means nothing."""
    pdg, flags = unpack_pdg(packed)
    kind = np.full(packed.shape, MIP, np.int8)
    kind[np.isin(pdg, _HEAVY)] = HIP
    electron = pdg == c.ELECTRON_PDG
    kind[electron] = SHOWER
    kind[electron & (flags & FLAG_DELTA != 0)] = DELTA
    kind[electron & (flags & FLAG_MICHEL != 0)] = MICHEL
    return kind
