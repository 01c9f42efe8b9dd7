# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From what detectors record to what networks are fed: the public scalings of each data set."""

from __future__ import annotations

from enum import Enum
from typing import assert_never

import numpy as np
from numpy.typing import ArrayLike

SEGMENT_SCALE, SEGMENT_MOST = 16.0, 256.0
"""ADC that an input of 1 stands for (a little more than a thin track leaves), and where they are
cut, in planes whose pixels are labelled."""
CALORIMETER_SCALE = 150.0
"""LCD calorimeter energies are divided by this."""


class PatchScaling(Enum):
    """How deconvolved ADC values enter the hit tagger."""

    RAW = "raw"
    SIGNED = "signed"
    """Clipped to [-50, 150], then to [-5, 15]."""
    UNIT = "unit"
    """Clipped to [0, 30], then to [0, 1]; natural for unsigned 8 bit."""


def scale_patches(adc: ArrayLike, scaling: PatchScaling) -> np.ndarray:
    """Deconvolved ADC values to network inputs, float32."""
    values = np.asarray(adc, dtype=np.float32)
    match scaling:
        case PatchScaling.RAW:
            return values
        case PatchScaling.SIGNED:
            return np.clip(values, -50.0, 150.0) / np.float32(10.0)
        case PatchScaling.UNIT:
            return np.clip(values, 0.0, 30.0) / np.float32(30.0)
        case _:
            assert_never(scaling)


def scale_segments(adc: ArrayLike) -> np.ndarray:
    """Deconvolved ADC values of planes whose pixels are labelled: [0, 256] to [0, 16], float32."""
    values = np.asarray(adc, dtype=np.float32)
    return np.clip(values, 0.0, SEGMENT_MOST) / np.float32(SEGMENT_SCALE)


def scale_lariat(adc: ArrayLike) -> np.ndarray:
    """LArIAT images: tanh(sgn(x) ln(|x| + 1) / 2), float32 in (-1, 1)."""
    values = np.asarray(adc, dtype=np.float32)
    # tanh(ln(a)/2) = (a - 1)/(a + 1), so with a = |x| + 1 no transcendental function is needed.
    return values / (np.abs(values) + np.float32(2.0))


def scale_calorimeter(energy: ArrayLike) -> np.ndarray:
    """LCD calorimeter cells: energy / 150, float32."""
    return np.asarray(energy, dtype=np.float32) / np.float32(CALORIMETER_SCALE)


def scale_dedx(dedx_mev_cm: ArrayLike) -> np.ndarray:
    """dE/dx (MeV/cm) to [-1, 1]: min(ln(2x) + 1, 5) / 2.5 - 1, after a floor of 1e-3, float32."""
    values = np.maximum(np.asarray(dedx_mev_cm, dtype=np.float32), np.float32(1e-3))
    return (np.minimum(np.log(2 * values) + 1, 5.0) / 2.5 - 1).astype(np.float32)


_SCALAR_CAPS = np.array([5.0, 5.0, 5.0, np.nan, 3.0, 0.05, 0.3], dtype=np.float32)


def scale_track_scalars(scalars: ArrayLike) -> np.ndarray:
    """The 7 track scalars, in file order, to at most 1: min(x, cap) / (cap / 2) - 1, float32.

    The fourth, the mean dE/dx, is scaled as dE/dx is.
    """
    values = np.asarray(scalars, dtype=np.float32)
    scaled = np.minimum(values, _SCALAR_CAPS) / (_SCALAR_CAPS / 2) - 1
    scaled[..., 3] = scale_dedx(values[..., 3])
    return scaled
