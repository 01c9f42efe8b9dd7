# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The numbers of liquid argon and of its readout, each with its origin.

Origin tags: [std] textbook or Particle Data Group value, [paper] published measurement, [code]
public experiment code, [guess] our engineering estimate, to be read as nothing more.
"""

from dataclasses import dataclass
from typing import Final

# --- matter ---------------------------------------------------------------------------------------
TEMPERATURE_K: Final = 87.0  # [std] near the boiling point
DENSITY_G_CM3: Final = 1.928 - 0.00615 * TEMPERATURE_K  # [paper] 1.393 at 87 K
ARGON_Z: Final = 18  # [std]
ARGON_A: Final = 39.948  # [std]
MEAN_EXCITATION_MEV: Final = 188e-6  # [std]
RADIATION_LENGTH_CM: Final = 14.0  # [std]
BETHE_K_MEV_CM2: Final = 0.307075  # [std] 4 pi N_A r_e^2 m_e c^2, per mole

STERNHEIMER_A: Final = 0.1956  # [std] this and the four below: density effect of liquid argon
STERNHEIMER_K: Final = 3.0
STERNHEIMER_X0: Final = 0.2
STERNHEIMER_X1: Final = 3.0
STERNHEIMER_C: Final = 5.2146

# --- charge ---------------------------------------------------------------------------------------
W_ION_MEV: Final = 23.6e-6  # [std] energy per electron-ion pair
FIELD_KV_CM: Final = 0.5  # [std] nominal drift field
BOX_ALPHA: Final = 0.930  # [paper]
BOX_BETA: Final = 0.212  # [paper] (kV/cm)(g/cm2)/MeV

# --- drift and readout ----------------------------------------------------------------------------
DRIFT_VELOCITY_CM_US: Final = 0.1606  # [paper] at 0.5 kV/cm
LIFETIME_US: Final = 3000.0  # [paper] a typical purity
DIFFUSION_LONG_CM2_S: Final = 6.2  # [paper]
DIFFUSION_TRANS_CM2_S: Final = 16.3  # [paper]
WIRE_PITCH_CM: Final = 0.479  # [paper]
TICK_US: Final = 0.5  # [paper]
TICKS_PER_PIXEL: Final = 6  # [code]
PIXEL_US: Final = TICK_US * TICKS_PER_PIXEL
PIXEL_CM: Final = PIXEL_US * DRIFT_VELOCITY_CM_US  # one wire pitch, near enough: pixels are square
MAX_DRIFT_CM: Final = 360.0  # [paper]
ELECTRONS_PER_ADC: Final = (
    200.0  # [guess] of the deconvolved signal, per tick: a MIP then peaks near 20
)
SHAPING_SIGMA_US: Final = 1.1  # [guess] width of the filter applied in deconvolution
NOISE_ELECTRONS: Final = 600.0  # [paper] 550-650 e- equivalent noise charge
COHERENT_GROUP_WIRES: Final = 32  # [code] wires that share a regulator, hence noise
DEPOSIT_FLOOR_GEV: Final = 2e-5  # [code] truth below it is dropped

# --- decays and interactions ----------------------------------------------------------------------
ELECTRON_MASS_MEV: Final = 0.51099895  # [std]
MICHEL_ENDPOINT_MEV: Final = 52.8  # [std] largest electron energy in muon decay
MUON_LIFETIME_US: Final = 2.197  # [std]
MUON_CAPTURE_FRACTION: Final = (
    0.36  # [guess] mu- are 45 % of cosmics, and 3 in 4 of those are captured
)
PION_TO_MUON_MEV: Final = 4.12  # [std] muon kinetic energy from pi+ at rest
KAON_TO_MUON_MEV: Final = 152.5  # [std] muon kinetic energy from K+ at rest
PI0_MASS_MEV: Final = 134.98  # [std]


@dataclass(frozen=True, slots=True)
class Species:
    """A heavy charged particle: its mass, and its mean free path against nuclear interaction."""

    name: str
    pdg: int
    mass_mev: float
    interaction_cm: float


MUON: Final = Species("mu", 13, 105.658, float("inf"))  # [std]
PION: Final = Species("pi", 211, 139.570, 100.0)  # [std] mass; [guess] about a metre
KAON: Final = Species("K", 321, 493.677, 120.0)  # [std] mass; [guess] K+ interact a little less
PROTON: Final = Species("p", 2212, 938.272, 85.0)  # [std] mass; [guess]
HEAVY: Final = (MUON, PION, KAON, PROTON)
ELECTRON_PDG: Final = 11
PHOTON_PDG: Final = 22
