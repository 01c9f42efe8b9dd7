# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A path alone is enough to find the right reader; reading many planes does not pile them up."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgeinfer.data.formats.cvn import PixelMaps, write_pixel_map
from edgeinfer.data.formats.guard import DataFileError, refuse
from edgeinfer.data.formats.lariat_h5 import LariatFiles
from edgeinfer.data.formats.lcd_h5 import LcdFiles
from edgeinfer.data.formats.open_source import open_source
from edgeinfer.data.formats.patches_npy import (
    PatchTable,
    PlainPatches,
    write_patch_table,
    write_plain_patches,
)
from edgeinfer.data.formats.protodune_root import PlaneDump, list_planes, read_plane, write_planes
from edgeinfer.data.formats.track_pid_text import TrackFiles, write_track


def test_every_format_is_known_by_its_path(
    tmp_path: Path, patches, plane, track, pixel_map
) -> None:
    for name in ("plain", "tracks", "maps", "dumps"):
        (tmp_path / name).mkdir()
    write_patch_table(tmp_path / "table.npy", patches(5, (48, 48)))
    write_plain_patches(tmp_path / "plain/x.npy", tmp_path / "plain/y.npy", patches(5, (48, 48)))
    write_track(tmp_path / "tracks/t.dat", track())
    write_pixel_map(tmp_path / "maps/e.gz", pixel_map())
    write_planes(tmp_path / "dumps/a.root", [plane()])
    for name, key in (("lariat.h5", "images"), ("lcd.hdf5", "ECAL")):
        with h5py.File(tmp_path / name, "w") as file:
            file[key] = np.zeros(3)
    found = {
        name: type(open_source(tmp_path / name))
        for name in ("table.npy", "plain", "tracks", "maps", "dumps", "lariat.h5", "lcd.hdf5")
    }
    assert found == {
        "table.npy": PatchTable,
        "plain": PlainPatches,
        "tracks": TrackFiles,
        "maps": PixelMaps,
        "dumps": PlaneDump,
        "lariat.h5": LariatFiles,
        "lcd.hdf5": LcdFiles,
    }
    for name in ("table.npy", "plain", "tracks", "maps", "dumps"):
        source = open_source(tmp_path / name)
        assert source.shards(refuse)


def test_what_is_not_known_says_what_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["spam"] = 1
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("a.csv", "structured .npy"),
        ("other.h5", "holds spam"),
        ("empty", "no files"),
        ("absent.root", "no such file"),
    ):
        with pytest.raises(DataFileError) as caught:
            open_source(tmp_path / name)
        assert words in str(caught.value)
        assert name in str(caught.value)


def test_planes_do_not_wait_for_the_garbage_collector(tmp_path: Path, plane) -> None:
    path = tmp_path / "d.root"
    write_planes(path, [plane(400, 500, event=event) for event in range(8)])
    keys = list_planes(path, refuse)
    read_plane(path, keys[0])
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for key in keys:
            read_plane(path, key)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < 400 * 500 * 12
