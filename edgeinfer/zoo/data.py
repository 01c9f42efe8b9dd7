# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The simulation's arrays as samples of the reference models.

Each generator is imported when its data are asked for, so that naming a model costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgeinfer.zoo.entry import EventSamples


def tagger_samples(seed: int, n: int, scaling: Literal["tenth", "unit"] = "unit") -> EventSamples:
    """Patches around hits, [track, em, none] and michel; ADC scaled as `lartpc.patches` does."""
    from edgeinfer.lartpc.patches import PatchSettings, generate_patches

    patches = generate_patches(seed, n, PatchSettings(scaling=scaling))
    return EventSamples(
        {"image": patches.x}, {"label": patches.label, "michel": patches.michel}, patches.event
    )


def track_samples(seed: int, n: int) -> EventSamples:
    """The last 100 points of tracks and their seven scalars: mu, pi, p."""
    from edgeinfer.lartpc.profiles import ProfileSettings, generate_profiles

    profiles = generate_profiles(seed, n, ProfileSettings())
    return EventSamples(
        {"profile": profiles.profile, "scalars": profiles.scalars},
        {"particle": profiles.label},
        profiles.event,
    )


def waveform_samples(seed: int, n: int) -> EventSamples:
    """Windows of raw waveforms, with a signal or without."""
    from edgeinfer.lartpc.waveforms import WaveformSettings, generate_waveforms

    waveforms = generate_waveforms(seed, n, WaveformSettings())
    return EventSamples({"waveform": waveforms.x}, {"signal": waveforms.signal}, waveforms.event)


def jet_samples(seed: int, n: int) -> EventSamples:
    """Sixteen features of jets of five kinds."""
    from edgeinfer.lartpc.jets import JetSettings, generate_jets

    jets = generate_jets(seed, n, JetSettings())
    return EventSamples({"features": jets.x}, {"jet": jets.label}, jets.event)


def constituent_samples(seed: int, n: int) -> EventSamples:
    """The 16 hardest particles of jets of five kinds."""
    from edgeinfer.lartpc.constituents import generate_constituents

    constituents = generate_constituents(seed, n)
    return EventSamples(
        {"particles": constituents.x}, {"jet": constituents.label}, constituents.event
    )


def graph_samples(seed: int, n: int) -> EventSamples:
    """Hits, the pairs of them that edges join, and whether there is a track."""
    from edgeinfer.lartpc.hit_graphs import generate_graphs

    graphs = generate_graphs(seed, n)
    inputs = {"hits": graphs.hits, "senders": graphs.senders, "receivers": graphs.receivers}
    return EventSamples(inputs, {"track": graphs.track}, graphs.event)


def trigger_samples(seed: int, n: int) -> EventSamples:
    """Features of jets as a trigger sees them: gluons, quarks, and one in twenty that is none. The
    features are what is to be reproduced; which are new is for the judge alone."""
    from edgeinfer.lartpc.jets import CLASSES, JetSettings, generate_jets

    jets = generate_jets(seed, 4 * n, JetSettings(jets_per_event=1))
    new = ~np.isin(jets.label.argmax(axis=1), [CLASSES.index(c) for c in ("gluon", "quark")])
    old, others = np.flatnonzero(~new), np.flatnonzero(new)[: n // 20]
    rows = np.sort(np.concatenate([old[: n - len(others)], others]))
    targets = {"features_again": jets.x[rows], "score": new[rows, None].astype(np.float32)}
    return EventSamples({"features": jets.x[rows]}, targets, np.arange(len(rows)))


def interaction_samples(seed: int, n: int) -> EventSamples:
    """Interactions as three planes see them: flavour, and how many protons and charged pions."""
    from edgeinfer.lartpc.interactions import generate_interactions
    from edgeinfer.lartpc.views import ViewSettings

    interactions = generate_interactions(seed, n, ViewSettings())
    inputs = {
        f"view{view}": interactions.x[:, view, :, :, None]
        for view in range(interactions.x.shape[1])
    }
    targets = {
        "flavour": interactions.flavour,
        "protons": interactions.protons,
        "pions": interactions.pions,
    }
    return EventSamples(inputs, targets, interactions.event)


def vertex_samples(seed: int, n: int) -> EventSamples:
    """Pieces of a collection plane, and where in each the vertex lies: from the middle, over the
    farthest."""
    from edgeinfer.lartpc.vertices import generate_vertices

    vertices = generate_vertices(seed, n)
    targets = {"wire": vertices.offset[:, :1], "time": vertices.offset[:, 1:]}
    return EventSamples({"plane": vertices.x[..., None]}, targets, vertices.event)


def beam_samples(seed: int, n: int) -> EventSamples:
    """Particles of a test beam as two planes see them: kind and kinetic energy."""
    from edgeinfer.lartpc.beam import generate_beam

    beam = generate_beam(seed, n)
    inputs = {f"plane{view}": beam.x[:, view, :, :, None] for view in range(beam.x.shape[1])}
    targets = {"particle": beam.kind, "energy": beam.energy_gev}
    return EventSamples(inputs, targets, beam.event)


def calorimeter_kinds(seed: int, n: int) -> EventSamples:
    """Showers in two calorimeters, and what made them."""
    from edgeinfer.lartpc.calorimeter import generate_showers

    showers = generate_showers(seed, n)
    return EventSamples(
        {"ecal": showers.ecal, "hcal": showers.hcal}, {"particle": showers.label}, showers.event
    )


def calorimeter_energies(seed: int, n: int) -> EventSamples:
    """Showers in two calorimeters, and their energy over 150 GeV, as the cells are scaled."""
    from edgeinfer.lartpc.calorimeter import SCALE_GEV, generate_showers

    showers = generate_showers(seed, n)
    energy = showers.energy_gev / SCALE_GEV
    return EventSamples(
        {"ecal": showers.ecal, "hcal": showers.hcal}, {"energy": energy}, showers.event
    )


def segment_samples(seed: int, n: int, side: int) -> EventSamples:
    """Planes of this side, ADC over 16 and zero where nothing is lit; a label for each pixel."""
    from edgeinfer.lartpc.segments import generate_segments

    segments = generate_segments(seed, n, side)
    return EventSamples({"image": segments.x}, {"label": segments.label}, segments.event)


def segment_frames(
    seed: int, n: int, side: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The same planes in parts, which need not fit into memory together."""
    from edgeinfer.lartpc.segments import segment_batches

    for part in segment_batches(seed, n, side):
        yield part.x, part.label


def detector_images(seed: int, n: int) -> EventSamples:
    """Images of a calorimeter that several particles hit, and where these are."""
    from edgeinfer.zoo.detector_data import image_samples

    return image_samples(seed, n)


def detector_crops(seed: int, n: int, trunk: Path | None = None) -> EventSamples:
    """Crops of the features of such images; those of the reference if no other network is given."""
    from edgeinfer.zoo.detector_data import TRUNK, crop_samples

    return crop_samples(seed, n, trunk or TRUNK)
