# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tracks as the particle identification network sees them: a dE/dx profile and seven scalars.

The end of each track is simulated pitch by pitch, the charge is blurred and calibrated back to
dE/dx with errors that the tracks of an event share. Then it is prepared and normalised as the
public code does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.formats.scalings import scale_dedx, scale_track_scalars
from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.daughters import Tallies, daughters, fates
from edgeinfer.lartpc.drawn import EventArrays
from edgeinfer.lartpc.energy_loss import (
    Floats,
    beta2_gamma,
    largest_transfer_mev,
    straggle_mev,
    xi_mev,
)
from edgeinfer.lartpc.ionisation import box_dedx, electrons
from edgeinfer.lartpc.ranges import energies_before_stop, kinetic_mev
from edgeinfer.lartpc.scattering import step_rad
from edgeinfer.lartpc.seeds import Seed, generator

POINTS = 100
LEAST_POINTS = 50
LARGEST_JUMP = 500.0  # [code] a reading this far from the one before is no dE/dx
WINDOW = slice(POINTS - 32, POINTS - 16)  # [code] the 16 points n-32 .. n-17
PADDING_SEED = 1  # fixed, so that a track is padded alike whenever it is read
CLASSES = (c.MUON, c.PION, c.PROTON)

Ints = NDArray[np.intp]
Single = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """The mix of tracks, and how badly they are measured."""

    mix: tuple[float, float, float] = (1.0, 1.0, 1.0)  # muons, pions, protons
    tracks_per_event: int = 3
    length_cm: tuple[float, float] = (28.0, 200.0)  # [guess] log-uniform
    pitch_cm: tuple[float, float] = (0.48, 0.9)  # [guess] a wire pitch over the cosine
    delta_cut_mev: float = 4.0  # [guess] longer delta rays are reconstructed on their own
    charge_noise_electrons: float = 1500.0  # [guess] of a hit's integral
    charge_spread: float = 0.05  # [guess] relative, hit by hit
    calibration_spread: float = 0.02  # [guess] relative, shared by an event
    overlap_chance: float = 0.02  # [guess] a hit that holds another particle's charge too
    missed_end_cm: float = 0.4  # [guess] mean length lost at the end of a track
    direction_noise_rad: float = 0.02  # [guess] of a trajectory point's direction, typically
    direction_noise_spread: float = 0.5  # [guess] logarithmic, from track to track
    elastic_cm: float = 150.0  # [guess] between kinks of hadrons
    elastic_rad: float = 0.06  # [guess] size of those kinks


@dataclass(frozen=True, slots=True)
class Profiles(EventArrays):
    """Network inputs, and the physical values behind them; the last point is the stop."""

    profile: Single  # (n, 100, 1), normalised
    scalars: Single  # (n, 7), normalised
    label: Single  # (n, 3) one-hot: mu, pi, p
    event: NDArray[np.int64]
    dedx_mev_cm: Single  # (n, 100), padded
    raw_scalars: Single  # (n, 7)
    hits: NDArray[np.int32]
    pdg: NDArray[np.int32]
    momentum_gev: Single


def generate_profiles(seed: Seed, n: int, settings: ProfileSettings) -> Profiles:
    """n tracks, every few of them from one event."""
    rng = generator(seed)
    weights = np.array(settings.mix) / sum(settings.mix)
    kind = rng.choice(len(CLASSES), n, p=weights)
    event = np.arange(n) // settings.tracks_per_event
    pitch = rng.uniform(*settings.pitch_cm, n)
    low, high = np.log(settings.length_cm)
    length = np.exp(rng.uniform(low, high, n))
    hits = np.maximum((length / pitch).astype(np.intp), LEAST_POINTS)
    fate = fates(rng, kind, hits * pitch)
    left = fate.unseen_cm + settings.missed_end_cm * rng.standard_exponential(n)
    energy = _energies(kind, left, pitch)
    dedx = _measure_dedx(rng, kind, energy, pitch, event, settings)
    hits_seen = np.minimum(hits, POINTS)
    dedx, mean, sigma = prepare(dedx, hits_seen)
    deflection = _deflection(rng, kind, energy, pitch, hits_seen, settings)
    tallies: Tallies = daughters(rng, kind, fate)
    raw = np.stack(
        [tallies.tracks, tallies.showers, tallies.grandchildren, mean, sigma, *deflection], axis=1
    ).astype(np.float32)
    momentum = _momentum_gev(kind, left + hits * pitch)
    return Profiles(
        scale_dedx(dedx)[..., None],
        scale_track_scalars(raw),
        np.eye(len(CLASSES), dtype=np.float32)[kind],
        event,
        dedx.astype(np.float32),
        raw,
        hits.astype(np.int32),
        np.array([species.pdg for species in CLASSES], np.int32)[kind],
        momentum,
    )


def prepare(dedx_mev_cm: Floats, hits: Ints) -> tuple[Floats, Floats, Floats]:
    """Profiles (n, 100), of which the last `hits` points are measured, cleaned and padded.

    Also the mean and the spread of the 16 points of the window, which are scalars of the track.
    """
    clean = np.clip(dedx_mev_cm, 1e-3, 1e3)
    jumps = np.zeros(clean.shape, bool)
    jumps[:, 1:-1] = np.abs(np.diff(clean, axis=1))[:, :-1] > LARGEST_JUMP
    row, column = np.nonzero(jumps)
    clean[row, column] = (clean[row, column - 1] + clean[row, column + 1]) / 2
    mean, sigma = clean[:, WINDOW].mean(axis=1), clean[:, WINDOW].std(axis=1)
    short = np.flatnonzero(hits < POINTS)
    normal = np.random.default_rng(PADDING_SEED).standard_normal(2 * POINTS)
    draws = mean[short, None] + sigma[short, None] * normal
    # The positive draws come first, in their own order; half of 200 are positive whatever the
    # spread.
    order = np.argsort(draws <= 0, axis=1, kind="stable")[:, :POINTS]
    padding = np.maximum(np.take_along_axis(draws, order, axis=1), 1e-3)
    missing = np.arange(POINTS) < POINTS - hits[short, None]
    clean[short] = np.where(missing, padding, clean[short])
    return clean, mean, sigma


def _energies(kind: Ints, left_cm: Floats, pitch_cm: Floats) -> Floats:
    """Kinetic energies (n, 101) at the borders of the last 100 pitches."""
    energy = np.empty((kind.size, POINTS + 1))
    for index, species in enumerate(CLASSES):
        mine = kind == index
        energy[mine] = energies_before_stop(species, left_cm[mine], pitch_cm[mine], POINTS)
    return energy


def _momentum_gev(kind: Ints, range_cm: Floats) -> Single:
    mass = np.array([species.mass_mev for species in CLASSES])[kind]
    energy = np.empty(kind.shape)
    for index, species in enumerate(CLASSES):
        energy[kind == index] = kinetic_mev(species, range_cm[kind == index])
    return (np.sqrt(energy * (energy + 2 * mass)) * 1e-3).astype(np.float32)


def _measure_dedx(
    rng: np.random.Generator,
    kind: Ints,
    energy_mev: Floats,
    pitch_cm: Floats,
    event: NDArray[np.int64],
    settings: ProfileSettings,
) -> Floats:
    """dE/dx in MeV/cm as reconstructed: straggling, charge errors, recombination undone."""
    mass = np.array([species.mass_mev for species in CLASSES])[kind][:, None]
    loss = -np.diff(energy_mev, axis=1)
    middle = np.maximum(energy_mev[:, 1:] + loss / 2, 0.05)
    beta2, _ = beta2_gamma(middle, mass)
    xi = xi_mev(pitch_cm[:, None], beta2)
    w_max = largest_transfer_mev(middle, mass)
    top = np.minimum(w_max, settings.delta_cut_mev)
    loss_mev = loss + straggle_mev(rng, xi, top, beta2 * top / w_max)
    loss_mev = np.maximum(loss_mev, 0.2 * loss)
    shape = loss_mev.shape
    charge = electrons(loss_mev, pitch_cm[:, None])
    scale = 1 + settings.calibration_spread * rng.standard_normal(int(event[-1]) + 1)
    charge *= scale[event][:, None] * (1 + settings.charge_spread * rng.standard_normal(shape))
    charge += settings.charge_noise_electrons * rng.standard_normal(shape)
    overlapped = rng.random(shape) < settings.overlap_chance
    charge[overlapped] *= 1 + rng.standard_exponential(int(overlapped.sum()))
    return box_dedx(charge / pitch_cm[:, None])


def _deflection(
    rng: np.random.Generator,
    kind: Ints,
    energy_mev: Floats,
    pitch_cm: Floats,
    hits_seen: Ints,
    settings: ProfileSettings,
) -> tuple[Floats, Floats]:
    """Mean and spread of the angle between neighbouring trajectory points, in rad."""
    mass = np.array([species.mass_mev for species in CLASSES])[kind][:, None]
    middle = np.maximum((energy_mev[:, 1:] + energy_mev[:, :-1]) / 2, 1.0)
    spread = np.exp(settings.direction_noise_spread * rng.standard_normal(kind.size))
    noise = settings.direction_noise_rad * spread[:, None]
    width = np.hypot(step_rad(pitch_cm[:, None], middle, mass), noise)
    angle = width * np.sqrt(2 * rng.standard_exponential(width.shape))
    hadron = (kind != CLASSES.index(c.MUON))[:, None]
    kinks = hadron & (rng.random(width.shape) < pitch_cm[:, None] / settings.elastic_cm)
    angle[kinks] += settings.elastic_rad * rng.standard_exponential(int(kinks.sum()))
    measured = np.arange(POINTS) >= POINTS - hits_seen[:, None]
    mean = np.einsum("ij,ij->i", angle, measured) / hits_seen
    variance = np.einsum("ij,ij->i", (angle - mean[:, None]) ** 2, measured) / hits_seen
    return mean, np.sqrt(variance)
