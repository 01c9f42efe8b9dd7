# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small files of every format, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.data.formats.cvn import SHAPE as CVN_SHAPE
from edgeinfer.data.formats.cvn import EventInfo, PixelMap
from edgeinfer.data.formats.plane_patches import MICHEL_FLAG, Plane, PlaneKey
from edgeinfer.data.formats.shards import Columns
from edgeinfer.data.formats.track_pid_text import Track
from tests.support.experiment_files import pack_pdg, write_patch_table


def make_patches(
    rows: int, shape: tuple[int, int] = (8, 8), *, first: int = 0, seed: int = 0
) -> Columns:
    """Patches whose first pixel is the row number, so that a row is known wherever it turns up."""
    rng = np.random.default_rng(seed)
    patch = rng.normal(0, 10, (rows, *shape, 1)).astype(np.float32)
    patch[:, 0, 0, 0] = np.arange(first, first + rows)
    kind = rng.integers(3, size=rows)
    em = kind == 1
    return {
        "patch": patch,
        "labels": np.eye(3, dtype=np.uint8)[kind],
        "michel": (em & (rng.random(rows) < 0.3)).astype(np.uint8)[:, np.newaxis],
        "run": np.full(rows, 5, dtype=np.uint32),
        "subrun": np.full(rows, 1, dtype=np.uint32),
        "evt": (np.arange(first, first + rows) // 10).astype(np.uint32),
        "tpc": np.zeros(rows, dtype=np.uint8),
        "plane": np.full(rows, 2, dtype=np.uint8),
        "wire": rng.integers(480, size=rows).astype(np.uint16),
        "tck": rng.integers(1000, size=rows).astype(np.uint16),
    }


@pytest.fixture
def patches() -> Callable[..., Columns]:
    """`make_patches`."""
    return make_patches


@pytest.fixture
def tables(tmp_path: Path) -> Callable[..., tuple[str, ...]]:
    """Writes structured tables of consecutive row numbers; returns their paths."""

    def make(rows_each: list[int], shape: tuple[int, int] = (8, 8)) -> tuple[str, ...]:
        paths, first = [], 0
        for index, rows in enumerate(rows_each):
            path = tmp_path / f"table{index}.npy"
            write_patch_table(path, make_patches(rows, shape, first=first, seed=index))
            paths.append(str(path))
            first += rows
        return tuple(paths)

    return make


def make_plane(wires: int = 70, drifts: int = 90, *, event: int = 1, seed: int = 0) -> Plane:
    """A plane with a track along the diagonal, a shower blob and a Michel end."""
    rng = np.random.default_rng(seed)
    deposit = np.zeros((wires, drifts), dtype=np.float32)
    code = np.zeros((wires, drifts), dtype=np.int32)
    flags = np.zeros((wires, drifts), dtype=np.int32)
    for i in range(10, 60):
        deposit[i, i + 5], code[i, i + 5] = 1e-3, 13
    deposit[30:34, 60:66], code[30:34, 60:66] = 5e-4, 11
    deposit[60:63, 66:69], code[60:63, 66:69] = 5e-4, 11
    flags[60:63, 66:69] = MICHEL_FLAG
    deposit[5, 5], code[5, 5] = 1e-5, 13
    vertex = np.where(code == 13, 0x8001, 0)
    raw = (deposit * 5e4 + rng.normal(0, 1, deposit.shape)).astype(np.float32)
    key = PlaneKey(event, 7, 2, 4, 2)
    return Plane(key, raw, deposit, pack_pdg(code, flags, vertex), first_wire=100, first_drift=300)


@pytest.fixture
def plane() -> Callable[..., Plane]:
    """`make_plane`."""
    return make_plane


@pytest.fixture
def track() -> Callable[..., Track]:
    """Makes a track; the momentum tells which one."""

    def make(number: int = 0, pdg: int = -13) -> Track:
        dedx = np.linspace(2, 12, 100).astype(np.float32)
        scalars = np.array([1, 0, 2, 2.4, 0.3, 0.01, 0.05], dtype=np.float32)
        return Track(dedx, scalars, pdg, 240, 0.5 + number, 0.98)

    return make


@pytest.fixture
def pixel_map() -> Callable[..., PixelMap]:
    """Makes a CVN event."""

    def make(pdg: int = -14, seed: int = 0) -> PixelMap:
        rng = np.random.default_rng(seed)
        views = (rng.random(CVN_SHAPE) < 0.01).astype(np.uint8) * 200
        return PixelMap(views, EventInfo(1, 2.5, 1.5, pdg, 1, 0, 2, 3))

    return make
