# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Electrons and photons, branch by branch: bremsstrahlung, pairs, Compton islands, Michels.

All electrons of a batch take a step together; photons jump to their next interaction at once.
Neglected: the charge of the positron (annihilation), the Landau-Pomeranchuk effect, nuclear
reactions of photons.
"""

from functools import lru_cache

import numpy as np

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import FLAG_MICHEL, Deposits, DetectorVolume, Ints, Particles
from edgeinfer.lartpc.energy_loss import Floats, beta2_gamma, electron_dedx, straggle_mev, xi_mev
from edgeinfer.lartpc.scattering import scatter, step_rad, turn

# Share of the high-energy pair cross-section reached at an energy in MeV: [guess], drawn through
# tabulated values.
_PAIR_ENERGY_MEV = (1.022, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1e3, 1e4)
_PAIR_SHARE = (0.0, 0.035, 0.095, 0.21, 0.40, 0.55, 0.70, 0.79, 0.95, 0.99)
_THOMSON_CM2 = 0.6652e-24
_ELECTRONS_CM3 = 6.02214e23 * c.DENSITY_G_CM3 * c.ARGON_Z / c.ARGON_A
_STEP_CM = 0.3
_ELECTRON_FLOOR_MEV = 0.3  # [guess] its range, 0.6 mm, is well inside a pixel
_PHOTON_FLOOR_MEV = 0.1  # [guess] the photoelectric effect takes over
_BREMS_FLOOR_MEV = 0.5  # [guess] softer photons are counted as local loss


def compton_per_cm(energy_mev: Floats) -> Floats:
    """Klein-Nishina interactions per cm."""
    k = energy_mev / c.ELECTRON_MASS_MEV
    log = np.log1p(2 * k)
    first = (1 + k) / k**2 * (2 * (1 + k) / (1 + 2 * k) - log / k)
    total = first + log / (2 * k) - (1 + 3 * k) / (1 + 2 * k) ** 2
    return 0.75 * _THOMSON_CM2 * _ELECTRONS_CM3 * total


def pair_per_cm(energy_mev: Floats) -> Floats:
    """Pair conversions per cm: 7/9 per radiation length at high energy."""
    share = np.interp(np.log(energy_mev), np.log(_PAIR_ENERGY_MEV), _PAIR_SHARE)
    return 7 / 9 / c.RADIATION_LENGTH_CM * share


@lru_cache(maxsize=1)
def _electron_table() -> tuple[Floats, Floats]:
    energy = np.geomspace(0.01, 1e5, 2000)
    return np.log(energy), electron_dedx(energy)


def brems_per_cm(energy_mev: Floats) -> Floats:
    """Photons above the floor that an electron radiates per cm."""
    soft = np.minimum(_BREMS_FLOOR_MEV / energy_mev, 1.0)
    count = -4 / 3 * np.log(soft) - 4 / 3 * (1 - soft) + (1 - soft**2) / 2
    return count / c.RADIATION_LENGTH_CM


def brems_fraction(rng: np.random.Generator, energy_mev: Floats) -> Floats:
    """Share of the electron's energy in each photon, from (4/3 - 4/3 y + y^2)/y above the floor."""
    soft = np.minimum(_BREMS_FLOOR_MEV / energy_mev, 1.0)
    share = np.empty_like(energy_mev)
    todo = np.arange(energy_mev.size)
    while todo.size:
        y = soft[todo] ** rng.random(todo.size)
        share[todo] = y
        todo = todo[rng.random(todo.size) * 4 / 3 > 4 / 3 - 4 / 3 * y + y * y]
    return share


def compton_share(rng: np.random.Generator, energy_mev: Floats) -> Floats:
    """Scattered over incoming photon energy, Klein-Nishina, by rejection."""
    share = np.empty_like(energy_mev)
    todo = np.arange(energy_mev.size)
    while todo.size:
        k = energy_mev[todo] / c.ELECTRON_MASS_MEV
        lowest = 1 / (1 + 2 * k)
        log, flat = -np.log(lowest), (1 - lowest**2) / 2
        pick_log = rng.random(todo.size) < log / (log + flat)
        u = rng.random(todo.size)
        y = np.where(pick_log, lowest**u, np.sqrt(lowest**2 + (1 - lowest**2) * u))
        cosine = 1 - (1 / y - 1) / k
        accepted = 1 - y * (1 - cosine**2) / (1 + y * y)
        share[todo] = y
        todo = todo[rng.random(todo.size) > accepted]
    return share


def michel_energy_mev(rng: np.random.Generator, n: int) -> Floats:
    """Total energies of electrons from muon decay: x^2 (3 - 2x) up to the endpoint."""
    # The distribution function 2x^3 - x^4 has no simple inverse: a table of it is read backwards.
    x = np.linspace(0.0, 1.0, 2001)
    return c.MICHEL_ENDPOINT_MEV * np.interp(rng.random(n), 2 * x**3 - x**4, x)


def shower(rng: np.random.Generator, start: Particles, box: DetectorVolume) -> Deposits:
    """Everything that electrons and photons leave in the box, they and all their descendants."""
    done: list[Deposits] = []
    light = start.pdg == c.PHOTON_PDG
    electrons, photons = start[~light], start[light]
    while len(electrons) or len(photons):
        if len(photons):
            photons, born, left = _interact(rng, photons, box)
            electrons = Particles.join([electrons, born])
            done.append(left)
        if len(electrons):
            electrons, born, left = _step(rng, electrons, box)
            photons = Particles.join([photons, born])
            done.append(left)
    return Deposits.join([_nothing(), *done])


def _nothing() -> Deposits:
    empty = np.empty(0, np.int32)
    return Deposits(
        empty, empty, empty, np.empty(0), np.empty(0), np.empty((0, 3)), np.empty((0, 3))
    )


def _electrons(like: Particles, kinetic: Floats, position: Floats, direction: Floats) -> Particles:
    kind = np.full(len(like), c.ELECTRON_PDG, np.int32)
    return Particles(like.event, kind, like.flags, kinetic, position, direction)


def _photons(like: Particles, energy: Floats, position: Floats, direction: Floats) -> Particles:
    kind = np.full(len(like), c.PHOTON_PDG, np.int32)
    # The Michel mark is the electron's own: islands far away that its photons make do not bear it.
    flags = like.flags & ~np.int32(FLAG_MICHEL)
    return Particles(like.event, kind, flags, energy, position, direction)


def _local(like: Particles, energy: Floats, position: Floats) -> Deposits:
    """Energy left on the spot by an electron too slow to be followed, over about its own range."""
    pdg: Ints = np.full(len(like), c.ELECTRON_PDG, np.int32)
    path = np.maximum(0.2 * energy, 0.01)
    return Deposits(like.event, pdg, like.flags, energy, path, position, position)


def _step(
    rng: np.random.Generator, now: Particles, box: DetectorVolume
) -> tuple[Particles, Particles, Deposits]:
    """One step of every electron: those that go on, photons radiated, energy left."""
    energy = now.kinetic_mev
    log_energy, loss = _electron_table()
    dedx = np.interp(np.log(energy), log_energy, loss)
    path = np.minimum(_STEP_CM, energy / dedx)
    beta2, _ = beta2_gamma(energy, c.ELECTRON_MASS_MEV)
    fluctuation = straggle_mev(rng, xi_mev(path, beta2), energy / 2, beta2)
    soft = np.minimum(_BREMS_FLOOR_MEV, energy) * 4 / 3 / c.RADIATION_LENGTH_CM
    loss_mev = np.clip((dedx + soft) * path + fluctuation, 0.2 * dedx * path, energy)
    end = now.position_cm + now.direction * path[:, None]
    left = energy - loss_mev
    slow = left < _ELECTRON_FLOOR_MEV
    loss_mev, left = np.where(slow, energy, loss_mev), np.where(slow, 0.0, left)
    pdg = np.full(len(now), c.ELECTRON_PDG, np.int32)
    deposits = Deposits(now.event, pdg, now.flags, loss_mev, path, now.position_cm, end)

    chance = brems_per_cm(np.maximum(left, 1e-3)) * path
    radiates = rng.random(len(now)) < chance
    parent = now[radiates]
    share = brems_fraction(rng, left[radiates])
    opening = c.ELECTRON_MASS_MEV / (left[radiates] + c.ELECTRON_MASS_MEV)
    azimuth = rng.uniform(0, 2 * np.pi, len(parent))
    heading = turn(parent.direction, opening, azimuth)
    born = _photons(parent, share * left[radiates], end[radiates], heading)
    left[radiates] *= 1 - share

    stays = (left > _ELECTRON_FLOOR_MEV) & box.contains(end, margin_cm=5.0)
    going = now[stays]
    width = step_rad(path[stays], left[stays], c.ELECTRON_MASS_MEV)
    heading = scatter(rng, going.direction, width)
    return _electrons(going, left[stays], end[stays], heading), born, deposits[loss_mev > 0]


def _interact(
    rng: np.random.Generator, now: Particles, box: DetectorVolume
) -> tuple[Particles, Particles, Deposits]:
    """The next interaction of every photon: scattered photons, new electrons, energy left."""
    compton, pair = compton_per_cm(now.kinetic_mev), pair_per_cm(now.kinetic_mev)
    path = rng.standard_exponential(len(now)) / (compton + pair)
    position = now.position_cm + now.direction * path[:, None]
    inside = box.contains(position, margin_cm=20.0)
    now, position = now[inside], position[inside]
    converts = rng.random(len(now)) < (pair / (compton + pair))[inside]
    energy = now.kinetic_mev
    faint = energy < _PHOTON_FLOOR_MEV

    pairs = now[converts & ~faint]
    at = position[converts & ~faint]
    available = pairs.kinetic_mev - 2 * c.ELECTRON_MASS_MEV
    first = available * rng.random(len(pairs))
    azimuth = rng.uniform(0, 2 * np.pi, len(pairs))
    opening = np.minimum(c.ELECTRON_MASS_MEV / pairs.kinetic_mev, 0.5)
    one = turn(pairs.direction, opening, azimuth)
    other = turn(pairs.direction, opening, azimuth + np.pi)

    hits = ~converts & ~faint
    scattered = now[hits]
    share = compton_share(rng, scattered.kinetic_mev)
    k = scattered.kinetic_mev / c.ELECTRON_MASS_MEV
    cosine = np.clip(1 - (1 / share - 1) / k, -1, 1)
    azimuth = rng.uniform(0, 2 * np.pi, len(scattered))
    kick = scattered.kinetic_mev * (1 - share)
    recoil = np.arctan2(1.0, (1 + k) * np.sqrt((1 - cosine) / (1 + cosine + 1e-12)))
    on = _photons(
        scattered,
        scattered.kinetic_mev * share,
        position[hits],
        turn(scattered.direction, np.arccos(cosine), azimuth),
    )
    struck = turn(scattered.direction, recoil, azimuth + np.pi)
    born = Particles.join(
        [
            _electrons(pairs, first, at, one),
            _electrons(pairs, available - first, at, other),
            _electrons(scattered, kick, position[hits], struck),
        ]
    )
    quick = born.kinetic_mev > _ELECTRON_FLOOR_MEV
    absorbed = [_local(now[faint], energy[faint], position[faint])]
    absorbed.append(_local(born[~quick], born.kinetic_mev[~quick], born.position_cm[~quick]))
    return on, born[quick], Deposits.join(absorbed)
