# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Ionisation and readout: recombination, lifetime, diffusion, charge conserved, noise as stated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc import ionisation
from edgeinfer.lartpc.deposits import Deposits
from edgeinfer.lartpc.readout import (
    COHERENT_NOISE_ADC,
    PIXEL_NOISE_ADC,
    charge_image,
    diffusion_cm,
    noise_image,
    smear,
)

MIP = 2.12  # MeV/cm


def test_recombination_of_a_minimum_ionising_track() -> None:
    assert ionisation.box_survival(MIP) == pytest.approx(0.703, abs=0.004)


def test_dense_tracks_recombine_more() -> None:
    result = ionisation.box_survival([2.0, 5.0, 15.0, 30.0])
    assert (np.diff(result) < 0).all()


def test_a_mip_leaves_30300_electrons_on_a_wire() -> None:
    result = ionisation.electrons(MIP * c.WIRE_PITCH_CM, c.WIRE_PITCH_CM)
    assert result == pytest.approx(30_300, rel=0.01)


@given(st.floats(1.0, 60.0))
def test_the_box_model_can_be_turned_round(dedx: float) -> None:
    per_cm = ionisation.electrons(dedx, 1.0)
    assert ionisation.box_dedx(per_cm) == pytest.approx(dedx, rel=1e-9)


def test_a_lifetime_of_drift_leaves_one_in_e() -> None:
    drift = c.DRIFT_VELOCITY_CM_US * c.LIFETIME_US
    assert ionisation.attenuation(drift) == pytest.approx(np.exp(-1))


def test_diffusion_after_the_whole_drift() -> None:
    along, across = diffusion_cm(c.MAX_DRIFT_CM)
    assert along == pytest.approx(0.1667, rel=0.01)
    assert across == pytest.approx(0.2704, rel=0.01)


@given(st.floats(10.0, 20.0), st.floats(-0.7, 0.7), st.floats(0.4, 0.55))
def test_smearing_keeps_charge_and_place(low: float, span: float, width: float) -> None:
    first, share = smear(np.array([low]), np.array([low + span]), np.array([width]))
    assert share.sum() == pytest.approx(1.0)
    assert share.min() >= -1e-12
    centre = ((first[:, None] + np.arange(5) + 0.5) * share).sum()
    assert centre == pytest.approx(low + span / 2, abs=0.03)


def one_deposit(energy_mev: float, drift_cm: float) -> Deposits:
    zero = np.zeros(1, np.int32)
    place = np.array([[10.0, 0.0, 10.0]])
    at = place - [10.0 - drift_cm, 0, 0]
    return Deposits(
        zero, zero, zero, np.array([energy_mev]), np.array([energy_mev / MIP]), at, at + 0.1
    )


def test_the_picture_holds_the_charge_that_arrives() -> None:
    image = charge_image(one_deposit(1.0, 10.0), np.zeros(1), 64, 64)
    arrived = ionisation.electrons(1.0, 1.0 / MIP) * ionisation.attenuation(10.05)
    expected = arrived / c.TICKS_PER_PIXEL / c.ELECTRONS_PER_ADC
    assert image.sum() == pytest.approx(float(expected), rel=1e-5)


def test_charge_from_afar_is_wider_and_less() -> None:
    near = charge_image(one_deposit(1.0, 10.0), np.zeros(1), 64, 64)
    far = charge_image(one_deposit(1.0, 10.0), np.full(1, 300.0), 64, 64)
    assert far.max() / far.sum() < near.max() / near.sum()
    assert far.sum() == pytest.approx(near.sum() * ionisation.attenuation(300.0), rel=1e-5)


def test_noise_is_shared_within_a_group_of_wires_only() -> None:
    noise = noise_image(np.random.default_rng(7), (20, 64, 400))
    total = np.hypot(PIXEL_NOISE_ADC, COHERENT_NOISE_ADC)
    assert noise.std() == pytest.approx(total, rel=0.01)
    within = np.mean(noise[:, 3] * noise[:, 28]) / total**2
    between = np.mean(noise[:, 3] * noise[:, 40]) / total**2
    assert within == pytest.approx((COHERENT_NOISE_ADC / total) ** 2, abs=0.03)
    assert between == pytest.approx(0.0, abs=0.03)
