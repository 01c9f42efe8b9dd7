# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What may stand for a seed: the same one always gives the same arrays."""

from collections.abc import Iterator

import numpy as np

Seed = int | np.random.SeedSequence | np.random.Generator


def generator(seed: Seed) -> np.random.Generator:
    """A generator from a seed, or the one given."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(sequence(seed))


def sequence(seed: Seed) -> np.random.SeedSequence:
    """A fresh seed sequence; a generator is advanced to make one."""
    match seed:
        case np.random.SeedSequence():
            return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
        case np.random.Generator():
            return np.random.SeedSequence(int(seed.integers(1 << 62)))
        case _:  # an integer
            return np.random.SeedSequence(seed)


def batches(seed: Seed) -> Iterator[np.random.Generator]:
    """Independent generators without end, one for each batch of events."""
    root = sequence(seed)
    while True:
        yield np.random.default_rng(root.spawn(1)[0])
