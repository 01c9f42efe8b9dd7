# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The simulation's arrays as samples of the reference models.

Each generator is imported when its data are asked for, so that naming a model costs nothing.
"""

from __future__ import annotations

from typing import Literal

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
