# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whole planes in which every lit pixel has one of five labels, as sparse networks are taught.

HIP: heavily ionizing (protons, kaons); MIP: minimally ionizing (muons, pions); shower; delta ray;
Michel electron. Pixels below the threshold are set to zero, as after zero suppression. Charge that
diffused into a pixel without truth has the label of the largest deposit near it; a lit pixel with
none near it is noise, and set to zero too, as a filter would.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.formats.scalings import scale_segments
from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import FLAG_DELTA, FLAG_MICHEL
from edgeinfer.lartpc.drawn import draw_in_batches
from edgeinfer.lartpc.events import EventSettings, simulate, unpack_pdg
from edgeinfer.lartpc.seeds import Seed

LABELS = ("hip", "mip", "shower", "delta", "michel")
HIP, MIP, SHOWER, DELTA, MICHEL = range(len(LABELS))
UNLABELLED = -1
DIFFUSION_PIXELS = 2  # how far from a deposit its charge is found
_HEAVY = (c.PROTON.pdg, c.KAON.pdg)
LIT_ADC = 4.0  # [guess] 7 times the noise
_EVENTS_PER_BATCH = 32


@dataclass(frozen=True, slots=True)
class Segments:
    """Pictures x (n, side, side, 1), and for each pixel its label one-hot, or zeros for none."""

    x: NDArray[np.float32]
    label: NDArray[np.float32]
    event: NDArray[np.int64]


def generate_segments(seed: Seed, n: int, side: int) -> Segments:
    """n planes of side x side pixels, each of an event of its own."""
    x = np.zeros((n, side, side, 1), np.float32)
    label = np.zeros((n, side, side, len(LABELS)), np.float32)
    for part in segment_batches(seed, n, side):
        x[part.event], label[part.event] = part.x, part.label
    return Segments(x, label, np.arange(n))


def segment_batches(seed: Seed, n: int, side: int) -> Iterator[Segments]:
    """The same planes, in parts."""
    for rng, here in draw_in_batches(seed, n, _EVENTS_PER_BATCH):
        count = here.stop - here.start
        planes = simulate(rng, count, EventSettings(wires=side, pixels=side), here.start)
        kind = label_pixels(planes.pdg)
        kind[planes.deposit_gev == 0.0] = UNLABELLED
        kind = spread_labels(kind, planes.deposit_gev)
        lit = (planes.adc > LIT_ADC) & (kind != UNLABELLED)
        adc = np.where(lit, planes.adc, 0.0).astype(np.float32)
        label = np.zeros((count, side, side, len(LABELS)), np.float32)
        event, row, column = np.nonzero(lit)
        label[event, row, column, kind[event, row, column]] = 1.0
        scaled = scale_segments(adc[..., None])
        yield Segments(scaled, label, np.arange(here.start, here.stop))


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


def spread_labels(kind: NDArray[np.int8], energy: NDArray[np.float32]) -> NDArray[np.int8]:
    """Labels of pixels without one: that of the largest deposit near them, if there is any."""
    reach = DIFFUSION_PIXELS
    labels, best = kind.copy(), np.zeros_like(energy)
    _, rows, columns = kind.shape
    around = ((0, 0), (reach, reach), (reach, reach))
    kinds, energies = np.pad(kind, around), np.pad(energy, around)
    for down, right in np.ndindex(2 * reach + 1, 2 * reach + 1):
        near = np.s_[:, down : down + rows, right : right + columns]
        larger = (kind == UNLABELLED) & (energies[near] > best)
        labels[larger] = kinds[near][larger]
        best[larger] = energies[near][larger]
    return labels
