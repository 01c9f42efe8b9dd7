# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Heavy charged particles from birth to stop: straggling, scattering, delta rays, kinks, decays.

Every particle is laid out in equal steps along its mean range, all steps of all particles at once;
only the directions are walked step by step. Delta rays above the cut are handed out as electrons
and their mean loss is taken off the track (restricted loss), so that no energy is counted twice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import (
    FLAG_DELTA,
    FLAG_MICHEL,
    Deposits,
    DetectorVolume,
    Particles,
    emit,
)
from edgeinfer.lartpc.energy_loss import (
    Floats,
    beta2_gamma,
    delta_ray_count,
    delta_ray_loss_mev,
    largest_transfer_mev,
    straggle_mev,
    xi_mev,
)
from edgeinfer.lartpc.ranges import kinetic_mev, range_cm
from edgeinfer.lartpc.scattering import isotropic, step_rad, turn, walk
from edgeinfer.lartpc.showers import michel_energy_mev


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """How finely tracks are followed, and what may befall them."""

    step_cm: float = 0.3
    longest_cm: float = 180.0
    delta_cut_mev: float = 4.0  # [guess] a delta ray of this energy reaches about four pixels
    range_straggling: float = 0.015  # [guess] relative spread of the range
    proton_multiplicity: float = 1.2  # [guess] protons seen from one nuclear interaction
    pion_survival: float = 0.5  # [guess] pions that come out again, the rest being absorbed


@dataclass(frozen=True, slots=True)
class TrackSteps:
    """Particles laid out in steps: all arrays are (particles, steps)."""

    mass_mev: Floats
    path_cm: Floats
    before_mev: Floats
    loss_mev: Floats
    stops: NDArray[np.bool_]  # (particles,): comes to rest
    interacts: NDArray[np.bool_]  # (particles,): meets a nucleus first
    last: NDArray[np.intp]  # (particles,): index of the last step


def species_index(pdg: NDArray[np.int32]) -> NDArray[np.intp]:
    """Place in `constants.HEAVY` of each particle."""
    codes = np.array([kind.pdg for kind in c.HEAVY])
    return np.argmax(np.abs(pdg)[:, None] == codes, axis=1)


def lay_out(rng: np.random.Generator, particles: Particles, settings: TrackSettings) -> TrackSteps:
    """Mean losses of every particle, step by step, up to its stop, interaction or longest path."""
    kind = species_index(particles.pdg)
    mass = np.array([k.mass_mev for k in c.HEAVY])[kind]
    free_path = np.array([k.interaction_cm for k in c.HEAVY])[kind]
    reach = np.empty(len(particles))
    for i, species in enumerate(c.HEAVY):
        reach[kind == i] = range_cm(species, particles.kinetic_mev[kind == i])
    reach *= 1 + settings.range_straggling * np.clip(rng.standard_normal(reach.shape), -3, 3)
    meets = rng.standard_exponential(reach.shape) * free_path
    end = np.minimum(np.minimum(reach, meets), settings.longest_cm)
    count = int(np.ceil(end.max() / settings.step_cm)) + 1
    marks = np.minimum(settings.step_cm * np.arange(count + 1), end[:, None])
    energy = np.empty(marks.shape)
    for i, species in enumerate(c.HEAVY):
        mine = kind == i
        energy[mine] = kinetic_mev(species, reach[mine, None] - marks[mine])
    path = np.diff(marks, axis=1)
    last = np.maximum(np.argmax(marks >= end[:, None], axis=1) - 1, 0)
    loss = -np.diff(energy, axis=1)
    return TrackSteps(mass[:, None], path, energy[:, :-1], loss, end >= reach, end >= meets, last)


def follow(
    rng: np.random.Generator, particles: Particles, box: DetectorVolume, settings: TrackSettings
) -> tuple[Deposits, Particles]:
    """Deposits of heavy particles in the box, and the particles that they set free."""
    steps = lay_out(rng, particles, settings)
    used = steps.path_cm > 0
    middle = np.maximum(steps.before_mev - steps.loss_mev / 2, 0.05)
    safe_path = np.where(used, steps.path_cm, 1e-6)
    width = np.where(used, step_rad(safe_path, middle, steps.mass_mev), 0.0)
    heading = walk(rng, particles.direction, width)
    hop = heading * steps.path_cm[..., None]
    end = particles.position_cm[:, None] + np.cumsum(hop, axis=1)
    begin = end - hop
    # Only what happens near the box is worth the random numbers.
    row, column = np.nonzero(used & box.contains((begin + end) / 2, margin_cm=10.0))
    at = (row, column)
    mass = steps.mass_mev[row, 0]
    beta2, _ = beta2_gamma(middle[at], mass)
    xi = xi_mev(steps.path_cm[at], beta2)
    w_max = largest_transfer_mev(middle[at], mass)
    cut = settings.delta_cut_mev
    top = np.minimum(w_max, cut)
    restricted = steps.loss_mev[at] - delta_ray_loss_mev(xi, cut, w_max, beta2)
    # Above the cut the spectrum is handed out; below it, beta2 scales with the share of w_max that
    # is left.
    loss_mev = restricted + straggle_mev(rng, xi, top, beta2 * top / w_max)
    loss_mev = np.maximum(loss_mev, 0.2 * restricted)
    deposits = Deposits(
        particles.event[row],
        particles.pdg[row],
        particles.flags[row],
        loss_mev,
        steps.path_cm[at],
        begin[at],
        end[at],
    )
    struck = rng.random(row.size) < delta_ray_count(xi, cut, w_max, beta2)
    i, j = row[struck], column[struck]
    deltas = _delta_rays(
        rng, particles.event[i], begin[i, j], heading[i, j], w_max[struck], beta2[struck], cut
    )
    rows = np.arange(len(particles))
    final = end[rows, steps.last]
    ways = heading[rows, steps.last]
    decays = _rest(rng, particles, final, steps.stops)
    rest = np.maximum((steps.before_mev - steps.loss_mev)[rows, steps.last], 0.0)
    kinks = _interactions(rng, particles, final, ways, rest, steps.interacts, settings)
    fresh = Particles.join([deltas, decays, kinks])
    return deposits, fresh[box.contains(fresh.position_cm, margin_cm=20.0)]


def _delta_rays(
    rng: np.random.Generator,
    event: NDArray[np.int32],
    position: Floats,
    direction: Floats,
    w_max: Floats,
    beta2: Floats,
    cut_mev: float,
) -> Particles:
    """Electrons knocked on above the cut: 1/T^2 with the spin-0 factor, at two-body angles."""
    kinetic = np.empty(event.size)
    todo = np.arange(event.size)
    while todo.size:
        top = w_max[todo]
        kinetic[todo] = 1 / (1 / cut_mev - rng.random(todo.size) * (1 / cut_mev - 1 / top))
        todo = todo[rng.random(todo.size) < beta2[todo] * kinetic[todo] / top]
    mass = c.ELECTRON_MASS_MEV
    cosine = np.sqrt(kinetic * (w_max + 2 * mass) / (w_max * (kinetic + 2 * mass)))
    azimuth = rng.uniform(0, 2 * np.pi, event.size)
    heading = turn(direction, np.arccos(np.minimum(cosine, 1.0)), azimuth)
    return emit(event, c.ELECTRON_PDG, FLAG_DELTA, kinetic, position, heading)


def _rest(
    rng: np.random.Generator, particles: Particles, final: Floats, stops: NDArray[np.bool_]
) -> Particles:
    """What comes of particles at rest: Michels, muons from pi+ and K+, protons from pi-."""
    n = len(particles)
    pdg = particles.pdg
    draw = rng.random(n)
    muon = stops & (np.abs(pdg) == c.MUON.pdg) & (draw > c.MUON_CAPTURE_FRACTION)
    late = final.copy()
    late[:, 0] += c.MUON_LIFETIME_US * c.DRIFT_VELOCITY_CM_US * rng.standard_exponential(n)
    heading = isotropic(rng, n)
    kinetic = np.maximum(michel_energy_mev(rng, n) - c.ELECTRON_MASS_MEV, 0.01)
    event = particles.event
    pion = stops & (pdg == c.PION.pdg)
    kaon = stops & (pdg == c.KAON.pdg)
    captured = stops & (pdg == -c.PION.pdg)
    stub = rng.uniform(10.0, 60.0, n)  # [guess] protons from a captured pi-
    groups = (
        (muon, c.ELECTRON_PDG, FLAG_MICHEL, kinetic, late),
        (pion, -c.MUON.pdg, 0, np.full(n, c.PION_TO_MUON_MEV), final),
        (kaon, -c.MUON.pdg, 0, np.full(n, c.KAON_TO_MUON_MEV), final),
        (captured, c.PROTON.pdg, 0, stub, final),
    )
    return Particles.join(
        emit(event[m], code, flags, energy[m], place[m], heading[m])
        for m, code, flags, energy, place in groups
    )


def _interactions(
    rng: np.random.Generator,
    particles: Particles,
    final: Floats,
    direction: Floats,
    kinetic: Floats,
    here: NDArray[np.bool_],
    settings: TrackSettings,
) -> Particles:
    """Nuclear interactions: the hadron comes out slower at an angle or not at all; protons."""
    hadron = here & (np.abs(particles.pdg) != c.MUON.pdg) & (kinetic > 15.0)
    n = int(hadron.sum())
    event, pdg, energy = particles.event[hadron], particles.pdg[hadron], kinetic[hadron]
    place, way = final[hadron], direction[hadron]
    survives = (np.abs(pdg) != c.PION.pdg) | (rng.random(n) < settings.pion_survival)
    share = np.where(survives, rng.uniform(0.3, 0.95, n), 0.0)  # [guess]
    angle = np.abs(rng.normal(0.0, 0.6, n))  # [guess] a kink that the eye sees
    out = turn(way, angle, rng.uniform(0, 2 * np.pi, n))
    scattered = Particles(event, pdg, particles.flags[hadron], share * energy, place, out)[
        survives & (share * energy > 5.0)
    ]
    protons = rng.poisson(settings.proton_multiplicity, n)
    which = np.repeat(np.arange(n), protons)
    spare = (1 - share[which]) * energy[which] / (protons[which] + 1)
    stubs = emit(
        event[which],
        c.PROTON.pdg,
        0,
        np.clip(spare * rng.uniform(0.3, 1.2, which.size), 5.0, 300.0),
        place[which],
        isotropic(rng, which.size),
    )
    return Particles.join([scattered, stubs])
