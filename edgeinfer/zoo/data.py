# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The simulation's arrays as samples of the reference models.

Each generator is imported when its data are asked for, so that naming a model costs nothing.
"""

from __future__ import annotations

from edgeinfer.zoo.entry import Samples


def tagger_samples(seed: int, n: int) -> Samples:
    """Patches around hits, [track, em, none] and michel."""
    from edgeinfer.lartpc.patches import PatchSettings, generate_patches

    found = generate_patches(seed, n, PatchSettings())
    return Samples({"image": found.x}, {"label": found.label, "michel": found.michel}, found.event)
