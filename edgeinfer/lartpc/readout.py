# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From deposits to what wires show: drift, diffusion, pitch, shaping, mean of 6 ticks, noise.

The picture is the deconvolved signal of a collection plane, in ADC per tick, one pixel per wire and
6 ticks.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import Deposits
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.ionisation import attenuation, electrons

_REACH = 2  # pixels on either side of a deposit that its charge may touch
_SHAPING_TICKS = c.SHAPING_SIGMA_US / c.TICK_US
# Equivalent noise charge is the impulse whose peak equals the noise; six correlated ticks average
# to 0.8 of one.
PIXEL_NOISE_ADC = (
    0.8 * c.NOISE_ELECTRONS / (np.sqrt(2 * np.pi) * _SHAPING_TICKS) / c.ELECTRONS_PER_ADC
)
COHERENT_NOISE_ADC = 0.25  # [guess] what is left after the usual subtraction


def diffusion_cm(drift_cm: ArrayLike) -> tuple[Floats, Floats]:
    """Width of a point of charge after the drift: along it, and across it."""
    seconds = np.maximum(np.asarray(drift_cm, float), 0.0) / c.DRIFT_VELOCITY_CM_US * 1e-6
    along = np.sqrt(2 * c.DIFFUSION_LONG_CM2_S * seconds)
    return along, np.sqrt(2 * c.DIFFUSION_TRANS_CM2_S * seconds)


def _integral(x: Floats) -> Floats:
    """The integral of the normal distribution function from minus infinity."""
    return x * ndtr(x) + np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def smear(low: Floats, high: Floats, width: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Shares of a uniform segment, blurred by a Gaussian, in the pixels around it (unit: pixel).

    Returns the first pixel touched, and the shares (n, 5), which sum to one.
    """
    low, high = np.minimum(low, high), np.maximum(low, high)
    span = np.maximum(high - low, 0.02)
    centre = (low + high) / 2
    first = np.floor(centre).astype(np.intp) - _REACH
    edges = first[:, None] + np.arange(2 * _REACH + 2) - centre[:, None]
    half, sigma = (span / 2)[:, None], np.maximum(width, 0.02)[:, None]
    below = _integral((edges + half) / sigma) - _integral((edges - half) / sigma)
    share = np.diff(below, axis=1)
    return first, share / share.sum(axis=1, keepdims=True)


def charge_image(
    deposits: Deposits, drift_offset_cm: Floats, wires: int, pixels: int
) -> NDArray[np.float32]:
    """Noiseless pictures (events, wires, pixels) in ADC; windows begin at `drift_offset_cm`."""
    shape = (drift_offset_cm.size, wires, pixels)
    middle = (deposits.start_cm + deposits.end_cm) / 2
    drift = np.maximum(middle[:, 0] + drift_offset_cm[deposits.event], 0.0)
    charge = electrons(deposits.energy_mev, deposits.path_cm) * attenuation(drift)
    along, across = diffusion_cm(drift)
    shaping_cm = c.SHAPING_SIGMA_US * c.DRIFT_VELOCITY_CM_US
    time_width = np.hypot(along, shaping_cm) / c.PIXEL_CM
    begin, end = deposits.start_cm, deposits.end_cm
    wire, wire_share = smear(
        begin[:, 2] / c.WIRE_PITCH_CM, end[:, 2] / c.WIRE_PITCH_CM, across / c.WIRE_PITCH_CM
    )
    time, time_share = smear(begin[:, 0] / c.PIXEL_CM, end[:, 0] / c.PIXEL_CM, time_width)
    reach = np.arange(2 * _REACH + 1)
    # Deposits whose charge would cross the border are dropped: borders lie outside what is looked
    # at.
    whole = (wire >= 0) & (wire < wires - 2 * _REACH) & (time >= 0) & (time < pixels - 2 * _REACH)
    wire, time, event = wire[whole], time[whole], deposits.event[whole].astype(np.intp)
    corner = (event * wires + wire) * pixels + time
    place = corner[:, None, None] + reach[:, None] * pixels + reach
    scaled = charge[whole] / (c.TICKS_PER_PIXEL * c.ELECTRONS_PER_ADC)
    amount = (scaled[:, None] * wire_share[whole])[:, :, None] * time_share[whole][:, None, :]
    image = np.bincount(place.ravel(), amount.ravel(), minlength=int(np.prod(shape)))
    return image.astype(np.float32).reshape(shape)


def noise_image(rng: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """White noise on each pixel, and noise shared by the 32 wires of a group."""
    events, wires, pixels = shape
    groups = -(-wires // c.COHERENT_GROUP_WIRES)
    shared = rng.standard_normal((events, groups, pixels), np.float32)
    shared *= np.float32(COHERENT_NOISE_ADC)
    image = rng.standard_normal(shape, np.float32)
    image *= np.float32(PIXEL_NOISE_ADC)
    image += np.repeat(shared, c.COHERENT_GROUP_WIRES, axis=1)[:, :wires]
    return image
