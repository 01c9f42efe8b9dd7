# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Windows of raw waveforms, with a signal or without: what a finder of regions of interest is fed.

Charge arrives in a few pulses, passes the wire's field response and the shaping amplifier, and
lands in coloured noise, part of which all wires of a group share.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.drawn import EventArrays
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.ionisation import attenuation, electrons
from edgeinfer.lartpc.readout import diffusion_cm
from edgeinfer.lartpc.seeds import Seed, generator

TICKS = 200
Plane = Literal["induction", "collection"]

_PEAKING_US = 2.0  # [std] of the shaping amplifier
_PULSES = 3  # at most, in a window
_BLIP_DEDX = 4.0  # MeV/cm: [guess] slow electrons are dense, hence recombine more


@dataclass(frozen=True, slots=True)
class WaveformSettings:
    """What is looked for, and in how much noise."""

    plane: Plane = "induction"
    signal_share: float = 0.5
    windows_per_event: int = 16
    energy_mev: tuple[float, float] = (0.035, 2.0)  # [guess] log-uniform, blip to track
    extra_pulses: float = 0.3  # [guess] mean number beside the first
    noise_electrons: float = c.NOISE_ELECTRONS
    coherent_share: float = 0.35  # [guess] of the noise amplitude
    electrons_per_adc: float = 150.0  # [std] 14 mV/fC into 12 bits over 1.4 V
    full_scale_adc: float = 32.0  # inputs are ADC over this, clipped to [-4, 4]


@dataclass(frozen=True, slots=True)
class Waveforms(EventArrays):
    """Windows x (n, 200, 1), whether each holds a signal (n, 1), and the charge that it holds."""

    x: NDArray[np.float32]
    signal: NDArray[np.float32]
    event: NDArray[np.int64]
    charge_electrons: NDArray[np.float32]


def response(plane: Plane, ticks: int = 64) -> Floats:
    """Answer to one electron's worth of charge, its highest point being 1; it begins at tick 0."""
    time = c.TICK_US * np.arange(ticks)
    shaper = (time / _PEAKING_US) ** 4 * np.exp(4 * (1 - time / _PEAKING_US))
    match plane:
        case "collection":
            field = np.exp(-(((time - 4.0) / 1.0) ** 2) / 2)
        case "induction":
            field = -(time - 6.0) * np.exp(-(((time - 6.0) / 1.6) ** 2) / 2)
        case _:
            assert_never(plane)
    answer = np.convolve(field, shaper)[:ticks]
    return answer / np.abs(answer).max()


def noise(rng: np.random.Generator, n: int) -> Floats:
    """Windows of noise of unit spread: shaped by the amplifier, rising at low frequency."""
    frequency = np.fft.rfftfreq(
        2 * TICKS, c.TICK_US
    )  # MHz; twice the window, so that it is not periodic
    power = 1 / (1 + (frequency / 0.25) ** 4) * (1 + 0.6 / (1 + (frequency / 0.02) ** 2)) + 0.05
    power[0] = 0.0
    bins = rng.standard_normal((2, n, frequency.size))
    wave = np.fft.irfft((bins[0] + 1j * bins[1]) * np.sqrt(power), axis=1)[:, :TICKS]
    return wave * (2 * TICKS) / np.sqrt(2 * 2 * power.sum())


def generate_waveforms(seed: Seed, n: int, settings: WaveformSettings) -> Waveforms:
    """n windows, every few of them from one event, whose coherent noise they share."""
    rng = generator(seed)
    event = np.arange(n) // settings.windows_per_event
    signal = rng.random(n) < settings.signal_share
    pulses = np.minimum(1 + rng.poisson(settings.extra_pulses, n), _PULSES) * signal
    row = np.repeat(np.arange(n), pulses)
    low, high = np.log(settings.energy_mev)
    energy = np.exp(rng.uniform(low, high, row.size))
    drift = rng.uniform(0.0, c.MAX_DRIFT_CM, row.size)
    charge = electrons(energy, energy / _BLIP_DEDX) * attenuation(drift)
    # A pulse lasts as long as diffusion and the slope of a track make it.
    width_us = diffusion_cm(drift)[0] / c.DRIFT_VELOCITY_CM_US
    width_us = np.hypot(width_us, 0.4 + energy * rng.standard_exponential(row.size))
    centre = rng.uniform(10.0, TICKS - 20.0, row.size)
    offset = (np.arange(TICKS) - centre[:, None]) * (c.TICK_US / width_us[:, None])
    arrival = np.exp(-(offset**2) / 2) * (c.TICK_US / np.sqrt(2 * np.pi) / width_us)[:, None]
    current = np.zeros((n, TICKS))
    np.add.at(current, row, arrival * charge[:, None])
    answer = response(settings.plane)
    size = TICKS + answer.size
    spectrum = np.fft.rfft(current, size, axis=1) * np.fft.rfft(answer, size)
    wave = np.fft.irfft(spectrum, size, axis=1)[:, :TICKS]
    own = np.sqrt(1 - settings.coherent_share**2)
    shared = noise(rng, int(event[-1]) + 1)[event]
    wave += settings.noise_electrons * (own * noise(rng, n) + settings.coherent_share * shared)
    adc = np.round(wave / settings.electrons_per_adc)
    x = np.clip(adc / settings.full_scale_adc, -4.0, 4.0).astype(np.float32)
    total = np.bincount(row, charge, minlength=n).astype(np.float32)
    return Waveforms(x[..., None], signal.astype(np.float32)[:, None], event, total)
