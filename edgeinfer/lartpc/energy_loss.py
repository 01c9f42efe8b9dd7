# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a charged particle loses in argon: the Bethe mean, and the fluctuation around it.

The fluctuation follows kappa = xi / w_max, the typical loss over the largest single one: Landau
below 0.01, Vavilov to 10, Gauss above. All three are sampled as (loss - mean) / xi, so that the
mean is exact in each regime. With explicit delta rays above a cut, `w_max` is the cut: the same
formulae then give the restricted loss.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import sici
from scipy.stats import landau

from edgeinfer.lartpc import constants as c

Floats = NDArray[np.float64]

KAPPA_LANDAU = 0.01
KAPPA_GAUSS = 10.0
_KAPPAS = np.geomspace(KAPPA_LANDAU, KAPPA_GAUSS, 25)
_BETA2S = np.linspace(0.0, 1.0, 5)
_QUANTILES = 4096


def density_effect(beta_gamma: ArrayLike) -> Floats:
    """Sternheimer's delta, the saturation of the relativistic rise."""
    x = np.log10(np.asarray(beta_gamma, float))
    rise = c.STERNHEIMER_A * np.clip(c.STERNHEIMER_X1 - x, 0.0, None) ** c.STERNHEIMER_K
    return np.where(x < c.STERNHEIMER_X0, 0.0, 2 * np.log(10) * x - c.STERNHEIMER_C + rise)


def beta2_gamma(kinetic_mev: ArrayLike, mass_mev: ArrayLike) -> tuple[Floats, Floats]:
    """Squared velocity and Lorentz factor."""
    gamma = 1.0 + np.asarray(kinetic_mev, float) / np.asarray(mass_mev, float)
    return 1.0 - 1.0 / gamma**2, gamma


def largest_transfer_mev(kinetic_mev: ArrayLike, mass_mev: ArrayLike) -> Floats:
    """Largest energy that one collision can hand to an electron."""
    beta2, gamma = beta2_gamma(kinetic_mev, mass_mev)
    ratio = c.ELECTRON_MASS_MEV / np.asarray(mass_mev, float)
    return 2 * c.ELECTRON_MASS_MEV * beta2 * gamma**2 / (1 + 2 * gamma * ratio + ratio**2)


def xi_mev(length_cm: ArrayLike, beta2: ArrayLike) -> Floats:
    """Landau's xi: the loss scale of a step."""
    thickness = c.DENSITY_G_CM3 * np.asarray(length_cm, float)
    return c.BETHE_K_MEV_CM2 / 2 * c.ARGON_Z / c.ARGON_A * thickness / np.asarray(beta2, float)


def mean_dedx(kinetic_mev: ArrayLike, mass_mev: ArrayLike) -> Floats:
    """Bethe's mean energy loss in MeV/cm for a heavy particle of unit charge."""
    beta2, gamma = beta2_gamma(kinetic_mev, mass_mev)
    beta_gamma2 = beta2 * gamma**2
    w_max = largest_transfer_mev(kinetic_mev, mass_mev)
    log = np.log(2 * c.ELECTRON_MASS_MEV * beta_gamma2 * w_max / c.MEAN_EXCITATION_MEV**2)
    return 2 * xi_mev(1.0, beta2) * (log / 2 - beta2 - density_effect(np.sqrt(beta_gamma2)) / 2)


def electron_dedx(kinetic_mev: ArrayLike) -> Floats:
    """Mean collision loss of electrons in MeV/cm (Moller scattering, same density effect)."""
    kinetic = np.asarray(kinetic_mev, float)
    beta2, gamma = beta2_gamma(kinetic, c.ELECTRON_MASS_MEV)
    tau = kinetic / c.ELECTRON_MASS_MEV
    shape = 1 - beta2 + (tau**2 / 8 - (2 * tau + 1) * np.log(2)) / gamma**2
    log = 2 * np.log(kinetic / c.MEAN_EXCITATION_MEV) + np.log1p(tau / 2)
    delta = density_effect(np.sqrt(beta2) * gamma)
    return xi_mev(1.0, beta2) * (log + shape - delta)


def delta_ray_loss_mev(xi: ArrayLike, cut_mev: float, w_max: ArrayLike, beta2: ArrayLike) -> Floats:
    """Mean energy that a step gives to delta rays above the cut; explicit ones replace it."""
    top = np.maximum(np.asarray(w_max, float), cut_mev)
    return np.asarray(xi) * (np.log(top / cut_mev) - np.asarray(beta2) * (1 - cut_mev / top))


def delta_ray_count(xi: ArrayLike, cut_mev: float, w_max: ArrayLike, beta2: ArrayLike) -> Floats:
    """Mean number of delta rays above the cut made in a step."""
    top = np.maximum(np.asarray(w_max, float), cut_mev)
    count = 1 / cut_mev - 1 / top - np.asarray(beta2) / top * np.log(top / cut_mev)
    return np.asarray(xi) * np.maximum(count, 0.0)


@lru_cache(maxsize=1)
def _vavilov_table() -> NDArray[np.float32]:
    """(loss - mean) / xi averaged in bins of equal probability, for each kappa and beta2.

    Losses in a step are a compound Poisson process, so the logarithm of their characteristic
    function is known in closed form; one FFT per table entry turns it into a density.
    """
    size, step = 1 << 15, 0.01
    t = step * np.arange(1, size // 2)
    grid = (np.arange(size) - size // 2) * (2 * np.pi / (size * step))
    edges = np.linspace(0.0, 1.0, _QUANTILES + 1)
    table = np.empty((_KAPPAS.size, _BETA2S.size, _QUANTILES), np.float32)
    for i, kappa in enumerate(_KAPPAS):
        tau = t / kappa
        sine, cosine = sici(tau)
        ein = cosine - np.euler_gamma - np.log(tau) + 1j * sine
        first = -(np.exp(1j * tau) - 1 - 1j * tau) + 1j * tau * ein
        for j, beta2 in enumerate(_BETA2S):
            spectrum = np.zeros(size, complex)
            spectrum[0] = 0.5
            spectrum[1 : size // 2] = np.exp(kappa * (first - beta2 * (ein - 1j * tau)))
            density = np.clip(np.fft.fftshift(np.fft.fft(spectrum).real), 0.0, None)
            density[density < 1e-9 * density.max()] = 0.0
            cumulative = np.concatenate([[0.0], np.cumsum(density)]) / density.sum()
            moment = np.concatenate([[0.0], np.cumsum(density * grid)]) / density.sum()
            rising = np.concatenate([[True], np.diff(cumulative) > 0])
            partial = np.interp(edges, cumulative[rising], moment[rising])
            values = np.diff(partial) * _QUANTILES
            table[i, j] = values - values.mean()
    return table


@lru_cache(maxsize=1)
def _landau_table() -> tuple[Floats, Floats, Floats]:
    """Landau quantiles against -log(1 - u), and the mean of the distribution cut off there."""
    depth = np.linspace(1e-4, 14.0, 6000)
    u = -np.expm1(-depth)
    # Where scipy has its mode at -0.429, Landau's own lambda has it at -0.223.
    value = landau.ppf(u, loc=np.log(np.pi / 2), scale=np.pi / 2)
    below = np.cumsum(np.diff(u, prepend=0.0) * value) / u
    return depth, value, below


def _landau_sample(rng: np.random.Generator, kappa: Floats, beta2: Floats) -> Floats:
    """Landau losses, cut off where the mean is the Bethe mean: the pure distribution has none."""
    depth, value, below = _landau_table()
    mean = np.euler_gamma - 1 - beta2 - np.log(kappa)
    rising = slice(int(np.argmin(below)), None)
    top = -np.expm1(-np.interp(mean, below[rising], depth[rising]))
    return np.interp(-np.log1p(-rng.random(kappa.shape) * top), depth, value) - mean


def _vavilov_sample(rng: np.random.Generator, kappa: Floats, beta2: Floats) -> Floats:
    """Vavilov losses: neighbouring grid points mixed at random, which keeps the mean exact."""
    table = _vavilov_table()
    per_decade = (_KAPPAS.size - 1) / np.log(KAPPA_GAUSS / KAPPA_LANDAU)
    i = np.log(kappa / KAPPA_LANDAU) * per_decade + rng.random(kappa.shape)
    j = beta2 * (_BETA2S.size - 1) + rng.random(kappa.shape)
    row = np.minimum(i.astype(np.intp), _KAPPAS.size - 1)
    column = np.minimum(j.astype(np.intp), _BETA2S.size - 1)
    quantiles = table[row, column, rng.integers(0, _QUANTILES, kappa.shape)]
    # Thin steps: the bulk moves with beta2 + ln(kappa); a draw from a neighbour moves too.
    aside = beta2 - _BETA2S[column] + np.log(kappa / _KAPPAS[row])
    return quantiles + np.exp(-3 * kappa) * aside


def straggle_mev(
    rng: np.random.Generator, xi: ArrayLike, w_max: ArrayLike, beta2: ArrayLike
) -> Floats:
    """Random loss minus mean loss of each step, in MeV."""
    xi, w_max, beta2 = np.broadcast_arrays(
        np.asarray(xi, float), np.asarray(w_max, float), np.asarray(beta2, float)
    )
    kappa = xi / w_max
    out = np.empty(kappa.shape)
    thin, thick = kappa < KAPPA_LANDAU, kappa > KAPPA_GAUSS
    middle = ~(thin | thick)
    if thin.any():
        out[thin] = _landau_sample(rng, kappa[thin], beta2[thin])
    if middle.any():
        out[middle] = _vavilov_sample(rng, kappa[middle], beta2[middle])
    if thick.any():
        width = np.sqrt((1 - beta2[thick] / 2) / kappa[thick])
        out[thick] = width * rng.standard_normal(int(thick.sum()))
    return out * xi
