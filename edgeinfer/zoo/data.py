# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The simulation's arrays as samples of the reference models.

Each generator is imported when its data are asked for, so that naming a model costs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from edgeinfer.zoo.entry import EventSamples


def tagger_samples(seed: int, n: int, scaling: Literal["tenth", "unit"] = "unit") -> EventSamples:
    """Patches around hits, [track, em, none] and michel; ADC scaled as `lartpc.patches` does."""
    from edgeinfer.lartpc.patches import PatchSettings, generate_patches

    found = generate_patches(seed, n, PatchSettings(scaling=scaling))
    return EventSamples(
        {"image": found.x}, {"label": found.label, "michel": found.michel}, found.event
    )


def track_samples(seed: int, n: int) -> EventSamples:
    """The last 100 points of tracks and their seven scalars: mu, pi, p."""
    from edgeinfer.lartpc.profiles import ProfileSettings, generate_profiles

    found = generate_profiles(seed, n, ProfileSettings())
    return EventSamples(
        {"profile": found.profile, "scalars": found.scalars}, {"particle": found.label}, found.event
    )


def waveform_samples(seed: int, n: int) -> EventSamples:
    """Windows of raw waveforms, with a signal or without."""
    from edgeinfer.lartpc.waveforms import WaveformSettings, generate_waveforms

    found = generate_waveforms(seed, n, WaveformSettings())
    return EventSamples({"waveform": found.x}, {"signal": found.signal}, found.event)


def jet_samples(seed: int, n: int) -> EventSamples:
    """Sixteen features of jets of five kinds."""
    from edgeinfer.lartpc.jets import JetSettings, generate_jets

    found = generate_jets(seed, n, JetSettings())
    return EventSamples({"features": found.x}, {"jet": found.label}, found.event)


def constituent_samples(seed: int, n: int) -> EventSamples:
    """The 16 hardest particles of jets of five kinds."""
    from edgeinfer.lartpc.constituents import ConstituentSettings, generate_constituents

    found = generate_constituents(seed, n, ConstituentSettings())
    return EventSamples({"particles": found.x}, {"jet": found.label}, found.event)


def graph_samples(seed: int, n: int) -> EventSamples:
    """Hits, the pairs of them that edges join, and whether there is a track."""
    from edgeinfer.lartpc.hit_graphs import GraphSettings, generate_graphs

    found = generate_graphs(seed, n, GraphSettings())
    inputs = {"hits": found.hits, "senders": found.senders, "receivers": found.receivers}
    return EventSamples(inputs, {"track": found.track}, found.event)


def trigger_samples(seed: int, n: int) -> EventSamples:
    """Features of jets as a trigger sees them: gluons, quarks, and one in twenty that is none. The
    features are what is to be reproduced; which are new is for the judge alone."""
    from edgeinfer.lartpc.jets import CLASSES, JetSettings, generate_jets

    found = generate_jets(seed, 4 * n, JetSettings(jets_per_event=1))
    new = ~np.isin(found.label.argmax(axis=1), [CLASSES.index(c) for c in ("gluon", "quark")])
    known, others = np.flatnonzero(~new), np.flatnonzero(new)[: n // 20]
    rows = np.sort(np.concatenate([known[: n - len(others)], others]))
    targets = {"features_again": found.x[rows], "score": new[rows, None].astype(np.float32)}
    return EventSamples({"features": found.x[rows]}, targets, np.arange(len(rows)))


def interaction_samples(seed: int, n: int) -> EventSamples:
    """Interactions as three planes see them: flavour, and how many protons and charged pions."""
    from edgeinfer.lartpc.interactions import InteractionSettings, generate_interactions

    found = generate_interactions(seed, n, InteractionSettings())
    inputs = {f"view{view}": found.x[:, view, :, :, None] for view in range(found.x.shape[1])}
    targets = {"flavour": found.flavour, "protons": found.protons, "pions": found.pions}
    return EventSamples(inputs, targets, found.event)


def vertex_samples(seed: int, n: int) -> EventSamples:
    """Pieces of a collection plane, and where in each the vertex lies: from the middle, over the
    farthest."""
    from edgeinfer.lartpc.vertices import generate_vertices

    found = generate_vertices(seed, n)
    targets = {"wire": found.offset[:, :1], "time": found.offset[:, 1:]}
    return EventSamples({"plane": found.x[..., None]}, targets, found.event)


def beam_samples(seed: int, n: int) -> EventSamples:
    """Particles of a test beam as two planes see them: kind and kinetic energy."""
    from edgeinfer.lartpc.beam import BeamSettings, generate_beam

    found = generate_beam(seed, n, BeamSettings())
    inputs = {f"plane{view}": found.x[:, view, :, :, None] for view in range(found.x.shape[1])}
    targets = {"particle": found.kind, "energy": found.energy_gev}
    return EventSamples(inputs, targets, found.event)


def calorimeter_kinds(seed: int, n: int) -> EventSamples:
    """Showers in two calorimeters, and what made them."""
    from edgeinfer.lartpc.calorimeter import CalorimeterSettings, generate_showers

    found = generate_showers(seed, n, CalorimeterSettings())
    return EventSamples(
        {"ecal": found.ecal, "hcal": found.hcal}, {"particle": found.label}, found.event
    )


def calorimeter_energies(seed: int, n: int) -> EventSamples:
    """Showers in two calorimeters, and their energy over 150 GeV, as the cells are scaled."""
    from edgeinfer.lartpc.calorimeter import SCALE_GEV, CalorimeterSettings, generate_showers

    found = generate_showers(seed, n, CalorimeterSettings())
    energy = found.energy_gev / SCALE_GEV
    return EventSamples({"ecal": found.ecal, "hcal": found.hcal}, {"energy": energy}, found.event)


def segment_samples(seed: int, n: int, side: int) -> EventSamples:
    """Planes of this side, ADC over 16 and zero where nothing is lit; a label for each pixel."""
    from edgeinfer.lartpc.segments import SegmentSettings, generate_segments

    found = generate_segments(seed, n, SegmentSettings(side))
    return EventSamples({"image": found.x}, {"label": found.label}, found.event)


def detector_images(seed: int, n: int) -> EventSamples:
    """Images of a calorimeter that several particles hit, and where these are."""
    from edgeinfer.zoo.detector_data import image_samples

    return image_samples(seed, n)


def detector_crops(seed: int, n: int, trunk: Path | None = None) -> EventSamples:
    """Crops of the features of such images; those of the reference if no other network is given."""
    from edgeinfer.zoo.detector_data import TRUNK, crop_samples

    return crop_samples(seed, n, trunk or TRUNK)
