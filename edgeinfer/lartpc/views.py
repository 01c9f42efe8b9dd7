# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""One event as several wire planes see it: the wires of each stand at an angle of their own.

All planes share the drift. Pictures are made coarser by the mean over squares of pixels, which is
what a network of many views can bear; ADC over 30 then become inputs from 0 to 1.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.data.formats.scalings import PatchScaling, scale_patches
from edgeinfer.lartpc import constants as c
from edgeinfer.lartpc.deposits import Deposits, DetectorVolume
from edgeinfer.lartpc.energy_loss import Floats
from edgeinfer.lartpc.readout import charge_image, noise_image


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """How many wires and pixels a plane has, at which angles wires stand, and what is averaged."""

    wires: int = 256
    pixels: int = 256
    depth_cm: float = 120.0
    angles_deg: tuple[float, ...] = (35.7, -35.7, 0.0)  # [std] two induction planes, a collection
    pooled: int = 4  # pixels along each side of a square that is averaged

    def box(self) -> DetectorVolume:
        """The volume that the plane of upright wires sees."""
        half = self.depth_cm / 2
        across = self.wires * c.WIRE_PITCH_CM
        return DetectorVolume((0.0, -half, 0.0), (self.pixels * c.PIXEL_CM, half, across))

    @property
    def shape(self) -> tuple[int, int]:
        """Wires and pixels of a picture."""
        return self.wires // self.pooled, self.pixels // self.pooled


def across_wires(points_cm: Floats, angle_deg: float, box: DetectorVolume) -> Floats:
    """Points (n, 3) turned about the drift, so that the plane's wires run along the second axis."""
    angle, middle = np.deg2rad(angle_deg), (box.low_cm[2] + box.high_cm[2]) / 2
    y, z = points_cm[:, 1], points_cm[:, 2] - middle
    turned = np.cos(angle) * z + np.sin(angle) * y + middle
    aside = np.cos(angle) * y - np.sin(angle) * z
    return np.stack([points_cm[:, 0], aside, turned], axis=1)


def view_images(
    rng: np.random.Generator, deposits: Deposits, events: int, settings: ViewSettings
) -> NDArray[np.float32]:
    """Pictures (events, views, wires, pixels), each with noise of its own, as network inputs."""
    box = settings.box()
    deepest = max(c.MAX_DRIFT_CM - settings.pixels * c.PIXEL_CM, 0.0)
    offset: Floats = rng.uniform(0.0, deepest, events)
    size = (events, settings.wires, settings.pixels)
    views = []
    for angle in settings.angles_deg:
        ends = (across_wires(end, angle, box) for end in (deposits.start_cm, deposits.end_cm))
        start, end = ends
        turned_deposits = replace(deposits, start_cm=start, end_cm=end)
        adc = charge_image(turned_deposits, offset, settings.wires, settings.pixels)
        adc += noise_image(rng, size)
        views.append(average_squares(adc, settings.pooled))
    return scale_patches(np.stack(views, axis=1), PatchScaling.UNIT)


def average_squares(pictures: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Pictures (n, wires, pixels), each square of pixels averaged."""
    count, wires, pixels = pictures.shape
    squares = pictures.reshape(count, wires // side, side, pixels // side, side)
    return squares.mean(axis=(2, 4), dtype=np.float32)
