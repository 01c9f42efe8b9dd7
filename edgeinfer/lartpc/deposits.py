# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The two nouns of the simulation: particles yet to be followed, and energy left behind.

Space is in cm: x along the drift (zero at the wires), y along the wires (unseen by the plane), z
across the wires. Both nouns are structures of arrays over all particles of all events of a batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc.drawn import EventArrays
from edgeinfer.lartpc.energy_loss import Floats

FLAG_DELTA = 1
FLAG_MICHEL = 2
FLAG_PRIMARY_ELECTRON = 4
FLAG_PRIMARY_MUON = 8

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class DetectorVolume:
    """The volume in which deposits count; particles are followed a little beyond it."""

    low_cm: tuple[float, float, float]
    high_cm: tuple[float, float, float]

    def contains(self, position_cm: Floats, margin_cm: float = 0.0) -> NDArray[np.bool_]:
        """Which positions (..., 3) lie inside, the margin included."""
        low, high = np.array(self.low_cm) - margin_cm, np.array(self.high_cm) + margin_cm
        return np.all((position_cm > low) & (position_cm < high), axis=-1)


class AlignedArrays(EventArrays):
    """Arrays of the same length, of which the same entries are taken or joined."""

    __slots__: tuple[str, ...] = ()

    def __getitem__(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Self:
        return type(self)(*(getattr(self, name)[which] for name in self.__slots__))

    @classmethod
    def join(cls, parts: Iterable[Self]) -> Self:
        """All of several groups, of which there must be one at least."""
        groups = list(parts)
        groups = [group for group in groups if len(group)] or groups[:1]
        return cls(*(np.concatenate([getattr(g, n) for g in groups]) for n in cls.__slots__))


@dataclass(frozen=True, slots=True)
class Particles(AlignedArrays):
    """Where each particle starts, with what energy, whither."""

    event: Ints
    pdg: Ints
    flags: Ints
    kinetic_mev: Floats
    position_cm: Floats
    direction: Floats


@dataclass(frozen=True, slots=True)
class Deposits(AlignedArrays):
    """Straight segments with the energy lost on them."""

    event: Ints
    pdg: Ints
    flags: Ints
    energy_mev: Floats
    path_cm: Floats
    start_cm: Floats
    end_cm: Floats


def emit(
    event: Ints,
    pdg: int,
    flags: Ints | int,
    kinetic_mev: Floats,
    position_cm: Floats,
    direction: Floats,
) -> Particles:
    """Particles of one kind, from arrays that are already aligned."""
    kind = np.full(event.size, pdg, np.int32)
    marks = np.broadcast_to(np.asarray(flags, np.int32), event.shape)
    return Particles(event.astype(np.int32), kind, marks, kinetic_mev, position_cm, direction)
