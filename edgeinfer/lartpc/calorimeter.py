# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Showers in two imaging calorimeters: 25x25x25 fine cells, then 5x5x60 coarse ones.

A parametrised toy in the shape of the public LCD set: gamma-function depth profiles, two-Gaussian
width, sampling noise by counting. Electrons, photons, neutral and charged pions; every shape
constant that is not tagged is [guess].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, ndtr

from edgeinfer.lartpc.drawn import EventArrays
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.seeds import Seed, generator

CLASSES = ("electron", "gamma", "pi0", "charged pion")
ELECTRON, GAMMA, PI0, PION = range(4)
ECAL_SHAPE, HCAL_SHAPE = (25, 25, 25), (5, 5, 60)
SCALE_GEV = 150.0  # [code] the public set is divided by it

_LAYER_X0 = 0.72  # radiation lengths in a layer of the first calorimeter
_HCAL_LAYER_X0 = 1.1
_CRITICAL_GEV = 0.008  # [std] of tungsten
_LAYER_LAMBDA, _HCAL_LAYER_LAMBDA = 0.04, 0.12  # interaction lengths in a layer
_PI0_GEV = 0.135  # [std]
_DISTANCE_CELLS = 300.0  # from the decay to the first layer, in cells
_CELLS_PER_TOWER = 6.0  # fine cells across a coarse one
_CHUNK = 256
_ENERGY_GEV = (10.0, 500.0)  # uniform, as in the public set
_MIX = np.full(len(CLASSES), 1 / len(CLASSES))
_ECAL_QUANTUM_GEV = 0.03  # one count: 17 % over the root of the energy
_HCAL_QUANTUM_GEV = 0.25
_HADRON_RESPONSE = 0.8  # of the part of a hadron shower that is not electromagnetic


@dataclass(frozen=True, slots=True)
class Showers(EventArrays):
    """Cells divided by 150 GeV, label one-hot (n, 4), true energy (n, 1) in GeV."""

    ecal: NDArray[np.float32]  # (n, 25, 25, 25): across, across, depth
    hcal: NDArray[np.float32]  # (n, 5, 5, 60)
    label: NDArray[np.float32]
    energy_gev: NDArray[np.float32]
    event: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Blob:
    """One shower component of each particle: its depth profile, its place and its width."""

    ecal_depth: Floats  # (n, 25) GeV
    hcal_depth: Floats  # (n, 60) GeV
    centre: Floats  # (n, 2) cells from the middle
    width: Floats  # (n,) cells, of the core


def generate_showers(seed: Seed, n: int) -> Showers:
    """n particles, each an event of its own."""
    rng = generator(seed)
    kind = rng.choice(len(CLASSES), n, p=_MIX)
    energy = rng.uniform(*_ENERGY_GEV, n)
    ecal = np.empty((n, *ECAL_SHAPE), np.float32)
    hcal = np.empty((n, *HCAL_SHAPE), np.float32)
    for begin in range(0, n, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        blobs = _blobs(rng, kind[part], energy[part])
        for cells, calorimeter, quantum in (
            (ecal, 0, _ECAL_QUANTUM_GEV),
            (hcal, 1, _HCAL_QUANTUM_GEV),
        ):
            mean = sum(_spread(blob, calorimeter) for blob in blobs)
            cells[part] = rng.poisson(mean / quantum) * (quantum / SCALE_GEV)
    label = np.eye(len(CLASSES), dtype=np.float32)[kind]
    return Showers(ecal, hcal, label, energy.astype(np.float32)[:, None], np.arange(n))


def electromagnetic_depth(
    energy_gev: Floats, begin_x0: Floats, shift: Floats, edges_x0: Floats
) -> Floats:
    """Energy in each layer: a gamma profile, its maximum ln(E/Ec) plus a shift after its begin."""
    slope = 0.5
    peak = np.maximum(np.log(np.maximum(energy_gev, 0.02) / _CRITICAL_GEV) + shift, 0.5)
    depth = np.maximum(edges_x0[None, :] - begin_x0[:, None], 0.0)
    return np.diff(gammainc(1 + slope * peak[:, None], slope * depth), axis=1) * energy_gev[:, None]


def _edges_x0() -> Floats:
    ecal = _LAYER_X0 * np.arange(ECAL_SHAPE[2] + 1)
    hcal = ecal[-1] + _HCAL_LAYER_X0 * np.arange(1, HCAL_SHAPE[2] + 1)
    return np.concatenate([ecal, hcal])


def _split(depth: Floats) -> tuple[Floats, Floats]:
    return depth[:, : ECAL_SHAPE[2]], depth[:, ECAL_SHAPE[2] :]


def _blobs(rng: np.random.Generator, kind: NDArray[np.intp], energy: Floats) -> list[_Blob]:
    """The components of each particle's shower: two photons at most, and a hadronic part."""
    n = kind.size
    middle = rng.normal(0.0, 0.6, (n, 2))
    shift = np.where(kind == ELECTRON, -0.5, 0.5) + 0.35 * rng.standard_normal(n)
    hadron, neutral = kind == PION, kind == PI0
    interaction = rng.standard_exponential(n)  # in interaction lengths
    begin_pion, edges = _depth_of_interaction(interaction)
    conversion = rng.standard_exponential((2, n)) * 9 / 7
    begin = np.where(kind == ELECTRON, 0.0, conversion[0] - 1.0).clip(0.0)
    begin = np.where(hadron, begin_pion, begin)
    em_share = np.where(hadron, rng.beta(3.0, 3.0, n), 1.0)
    share = np.where(neutral, rng.uniform(0.02, 0.98, n), 1.0)
    apart = _PI0_GEV / (energy * np.sqrt(np.clip(share * (1 - share), 1e-3, None)))
    gap = np.where(neutral, apart * _DISTANCE_CELLS, 0.0)
    azimuth = rng.uniform(0, 2 * np.pi, n)
    way = np.stack([np.cos(azimuth), np.sin(azimuth)], axis=1)
    width = np.where(hadron, 1.6, 0.75) * np.exp(0.08 * rng.standard_normal(n))
    edges_x0 = _edges_x0()
    first = electromagnetic_depth(energy * share * em_share, begin, shift, edges_x0)
    other = electromagnetic_depth(
        energy * (1 - share), (conversion[1] - 1.0).clip(0.0), shift, edges_x0
    )
    hadronic = energy * (1 - em_share) * _HADRON_RESPONSE
    after = np.maximum(edges[None, :] - interaction[:, None], 0.0)
    tail = np.diff(gammainc(1.3, after / 0.9), axis=1) * hadronic[:, None]
    # Before it interacts, a charged pion leaves a trace of minimum ionisation, 10 MeV a layer.
    tail += 0.01 * (hadron[:, None] & (edges[None, 1:] < interaction[:, None]))
    moved = gap[:, None] * way
    return [
        _Blob(*_split(first), middle + (1 - share)[:, None] * moved, width),
        _Blob(*_split(other), middle - share[:, None] * moved, width),
        _Blob(*_split(tail), middle, np.full(n, 3.0)),
    ]


def _depth_of_interaction(interaction: Floats) -> tuple[Floats, Floats]:
    """The same depth in radiation lengths, and the edges of all layers in interaction lengths."""
    ecal = _LAYER_LAMBDA * np.arange(ECAL_SHAPE[2] + 1)
    hcal = ecal[-1] + _HCAL_LAYER_LAMBDA * np.arange(1, HCAL_SHAPE[2] + 1)
    edges = np.concatenate([ecal, hcal])
    return np.interp(interaction, edges, _edges_x0()), edges


def _spread(blob: _Blob, calorimeter: int) -> Floats:
    """Mean energy (n, across, across, depth) in the cells of one calorimeter."""
    depth = (blob.ecal_depth, blob.hcal_depth)[calorimeter]
    cells = (ECAL_SHAPE[0], HCAL_SHAPE[0])[calorimeter]
    size = (1.0, _CELLS_PER_TOWER)[calorimeter]
    edges = size * (np.arange(cells + 1) - cells / 2)
    total = np.zeros((depth.shape[0], cells, cells, depth.shape[1]))
    for share, wider in ((0.85, 1.0), (0.15, 3.5)):  # a core and a halo
        scaled = edges[None, None, :] - blob.centre[:, :, None]
        across = np.diff(ndtr(scaled / (wider * blob.width)[:, None, None]), axis=2)
        plane = share * across[:, 0, :, None] * across[:, 1, None, :]
        total += plane[..., None] * depth[:, None, None, :]
    return total
