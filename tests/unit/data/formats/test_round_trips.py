# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What is written in a format is what is read back, and what other software reads."""

from __future__ import annotations

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgeinfer.data.formats.cvn import PixelMaps, read_pixel_map
from edgeinfer.data.formats.lariat_h5 import LariatFiles
from edgeinfer.data.formats.lcd_h5 import LcdFiles
from edgeinfer.data.formats.patches_npy import PatchTable, PlainPatches, write_table
from edgeinfer.data.formats.protodune_root import PlaneDump, list_planes, read_plane
from edgeinfer.data.formats.scalings import PatchScaling, scale_dedx, scale_lariat
from edgeinfer.data.formats.shards import Columns, ShardSource
from edgeinfer.data.formats.track_pid_text import TrackFiles, read_track
from tests.support.experiment_files import (
    find_files,
    write_lariat,
    write_lcd,
    write_patch_table,
    write_pixel_map,
    write_plain_patches,
    write_planes,
    write_track,
)


def read_all(source: ShardSource) -> Columns:
    """All rows of a source, its blocks checked against its layout."""
    blocks = [b for shard in source.shards() for b in source.read(shard)]
    for block in blocks:
        assert list(block) == list(source.layout())
        for name, column in source.layout().items():
            assert block[name].shape[1:] == column.shape
            assert block[name].dtype == column.dtype
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def test_patch_table(tmp_path: Path, patches) -> None:
    written = patches(500, (48, 48))
    write_patch_table(tmp_path / "p.npy", written)
    table = np.load(tmp_path / "p.npy", max_header_size=100_000)
    assert table.dtype.names[:12] == (
        *("run", "subrun", "evt", "tpc", "plane", "wire", "tck"),
        *("y0", "y1", "y2", "y3", "x0"),
    )
    assert table.dtype.names[-1] == "x2303"
    np.testing.assert_array_equal(table["x49"], written["patch"][:, 1, 1, 0])
    np.testing.assert_array_equal(table["y3"], written["labels"][:, 2])
    read = read_all(PatchTable((str(tmp_path / "p.npy"),), scaling=PatchScaling.RAW))
    for name, values in written.items():
        np.testing.assert_array_equal(read[name], values)


def test_a_table_is_written_in_blocks_and_appears_when_complete(tmp_path: Path, patches) -> None:
    path = tmp_path / "p.npy"
    with write_table(path, (8, 8)) as writer:
        for first in range(0, 3000, 1000):
            writer.write(patches(1000, first=first))
            assert not path.exists()
    read = read_all(PatchTable((str(path),), (8, 8), PatchScaling.RAW))
    np.testing.assert_array_equal(read["patch"][:, 0, 0, 0], np.arange(3000))


def test_an_interrupted_table_leaves_nothing_behind(tmp_path: Path, patches) -> None:
    with pytest.raises(KeyboardInterrupt), write_table(tmp_path / "p.npy", (8, 8)) as writer:
        writer.write(patches(10))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int16])
def test_plain_patches(tmp_path: Path, patches, dtype: type) -> None:
    written = patches(40)
    written["patch"] = np.round(written["patch"]).astype(dtype)
    pair = (str(tmp_path / "x.npy"), str(tmp_path / "y.npy"))
    write_plain_patches(*pair, written)
    read = read_all(PlainPatches((pair,), (8, 8), PatchScaling.RAW))
    for name in ("patch", "labels", "michel"):
        np.testing.assert_array_equal(read[name], written[name])


def test_planes_of_a_root_dump(tmp_path: Path, plane) -> None:
    path = tmp_path / "dump.root"
    written = [plane(event=event, seed=event) for event in (3, 4)]
    write_planes(path, written)
    assert list_planes(path) == tuple(subject.key for subject in written)
    for subject in written:
        read = read_plane(path, subject.key)
        assert (read.first_wire, read.first_drift) == (100, 300)
        assert read.pdg.dtype == np.int32
        for part in ("raw", "deposit", "pdg"):
            np.testing.assert_array_equal(getattr(read, part), getattr(subject, part))


def test_patches_of_a_root_dump(tmp_path: Path, plane) -> None:
    path = tmp_path / "dump.root"
    write_planes(path, [plane(event=event) for event in (3, 4)])
    read = read_all(PlaneDump((str(path),), edge="zero", none_fraction=0.0))
    assert set(read["evt"].tolist()) == {3, 4}
    assert read["labels"].sum(axis=0).tolist() == [100, 66, 0]
    assert read["michel"].sum() == 18


def test_the_histograms_are_what_root_calls_them(tmp_path: Path, plane) -> None:
    import uproot

    write_planes(tmp_path / "dump.root", [plane(event=3)])
    with uproot.open(tmp_path / "dump.root") as file:
        names = file.classnames(cycle=False)
    stem = "datadump/raw_event_3_run_7_subrun_2_tpc_4_view_2"
    kinds = {names[f"{stem}_{part}"] for part in ("raw", "deposit")}
    assert (kinds, names[f"{stem}_pdg"]) == ({"TH2F"}, "TH2I")


def test_track_files(tmp_path: Path, track) -> None:
    codes = (13, -211, 2212, 321)
    for number, pdg in enumerate(codes):
        write_track(tmp_path / f"track{number}.dat", track(number, pdg))
    lines = (tmp_path / "track0.dat").read_text().splitlines()
    assert lines[100] == "End of dE/dx"
    assert len(lines) == 112
    read = read_all(TrackFiles(find_files(tmp_path, "*.dat")))
    assert read["labels"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    np.testing.assert_allclose(read["momentum_gev"], [0.5, 1.5, 2.5, 3.5])
    np.testing.assert_array_equal(read["profile"][0, :, 0], scale_dedx(track().dedx_mev_cm))


def test_a_track_with_the_scores_of_its_writer(tmp_path: Path, track) -> None:
    path = tmp_path / "track.dat"
    write_track(path, track())
    path.write_text(path.read_text() + "0.7\n0.2\n0.1\n")
    assert read_track(path).scores == (0.7, 0.2, 0.1)


def test_pixel_maps(tmp_path: Path, pixel_map) -> None:
    for number, pdg in enumerate((1, 12, -14, 16)):
        write_pixel_map(tmp_path / f"event{number}.gz", pixel_map(pdg, number))
    read = read_all(PixelMaps(find_files(tmp_path, "*.gz")))
    assert read["labels"].tolist() == np.eye(4, dtype=int).tolist()
    np.testing.assert_array_equal(read["views"][2, :, :, 1], pixel_map(-14, 2).views[1])
    np.testing.assert_array_equal(read["view1"][2, :, :, 0], pixel_map(-14, 2).views[1])
    assert read["flavour"].tolist() == [3, 1, 0, 2]
    infos = [pixel_map(pdg, number).info for number, pdg in enumerate((1, 12, -14, 16))]
    assert read["pions"].tolist() == [min(info.charged_pions, 3) for info in infos]
    assert read_pixel_map(tmp_path / "event3.gz").info == pixel_map(16, 3).info


def test_a_pixel_map_in_true_gzip(tmp_path: Path, pixel_map) -> None:
    event = pixel_map()
    write_pixel_map(tmp_path / "e.gz", event)
    (tmp_path / "e.gz").write_bytes(gzip.compress(event.views.tobytes()))
    np.testing.assert_array_equal(read_pixel_map(tmp_path / "e.gz").views, event.views)


def test_lariat_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 30, (3, 2, 240, 4096)).astype(np.int16)
    write_lariat(tmp_path / "l.h5", images, np.array([0.2, 0.4, 0.6]))
    read = read_all(LariatFiles((str(tmp_path / "l.h5"),)))
    np.testing.assert_array_equal(read["images"], scale_lariat(images))
    np.testing.assert_allclose(read["energy_gev"], [[0.2], [0.4], [0.6]], rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (7, 25, 25, 25)},
        {"chunks": (7, 25, 10, 25), "compression": "gzip"},
        {"chunks": (16, 25, 25, 25), "compression": "gzip", "shuffle": True, "fletcher32": True},
    ],
    ids=["contiguous", "chunked", "gzip", "gzip-shuffle-checksum"],
)
def test_lcd_showers_however_they_are_stored(tmp_path: Path, options: dict) -> None:
    rng = np.random.default_rng(0)
    ecal, hcal = rng.random((50, 25, 25, 25)), rng.random((50, 5, 5, 60))
    target = rng.random((50, 1, 5))
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file.create_dataset("ECAL", data=ecal, **options)
        file.create_dataset("HCAL", data=hcal)
        file.create_dataset("target", data=target)
    read = read_all(LcdFiles((str(tmp_path / "s.h5"),)))
    np.testing.assert_allclose(read["ecal"], ecal / 150, rtol=1e-6)
    np.testing.assert_allclose(read["hcal"], hcal / 150, rtol=1e-6)
    np.testing.assert_allclose(read["target"], target[:, 0], rtol=1e-6)


def test_lcd_shards_never_split_a_chunk(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = [rng.random((50, 25, 25, 25)), rng.random((50, 5, 5, 60)), rng.random((50, 5))]
    write_lcd(tmp_path / "s.h5", *values)
    shards = LcdFiles((str(tmp_path / "s.h5"),)).shards()
    assert len(shards) > 1
    assert all(shard.first % 16 == 0 for shard in shards)
