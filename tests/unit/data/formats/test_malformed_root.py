# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Malformed ROOT dumps are refused, or left out plane by plane."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cramjam
import numpy as np
import pytest

from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.plane_patches import Plane
from edgeinfer.data.formats.protodune_root import PARTS, PlaneDump, stem_of
from edgeinfer.data.formats.root_blocks import check_blocks
from tests.support.experiment_files import histogram_of, write_planes


def write_parts(
    path: Path, subject: Plane, change: Callable[[str, str, object], tuple[str, object] | None]
) -> None:
    """A dump in which `change` may rename, replace or drop (None) each histogram."""
    import uproot

    with uproot.recreate(path) as file:
        for part in PARTS:
            name = f"datadump/{stem_of(subject.key)}_{part}"
            changed = change(part, name, histogram_of(part, getattr(subject, part), subject))
            if changed is not None:
                file[changed[0]] = changed[1]


def read_all(source: PlaneDump) -> int:
    shards = source.shards()
    return sum(len(b["patch"]) for shard in shards for b in source.read(shard))


def one_dropped(part: str, name: str, histogram: object) -> tuple[str, object] | None:
    return None if part == "deposit" else (name, histogram)


def elsewhere(part: str, name: str, histogram: object) -> tuple[str, object]:
    return name.replace("datadump", "datadmp"), histogram


def misnamed(part: str, name: str, histogram: object) -> tuple[str, object]:
    return name.replace("_view_", "_plane_"), histogram


@pytest.mark.parametrize(
    ("change", "key", "words", "hint"),
    [
        (one_dropped, "_deposit", "not found", "Did you mean"),
        (elsewhere, "datadump", "not found", "Did you mean 'datadmp'"),
        (misnamed, "_plane_2", "not the name of a plane", "raw_event_E_run_R"),
    ],
    ids=["histogram missing", "directory misspelt", "plane misnamed"],
)
def test_keys(tmp_path: Path, plane, change, key: str, words: str, hint: str) -> None:
    path = tmp_path / "dump.root"
    write_parts(path, plane(), change)
    with pytest.raises(DataFileError) as caught:
        read_all(PlaneDump((str(path),)))
    assert caught.value.path == str(path)
    assert key in caught.value.key
    assert words in caught.value.problem
    assert hint in caught.value.hint


def test_a_histogram_of_another_class(tmp_path: Path, plane) -> None:
    subject = plane()

    def swap(part: str, name: str, histogram: object) -> tuple[str, object]:
        return name, histogram_of("pdg", subject.pdg, subject) if part == "raw" else histogram

    write_parts(tmp_path / "d.root", subject, swap)
    with pytest.raises(DataFileError, match="_raw' is a TH2I, a TH2F is expected"):
        read_all(PlaneDump((str(tmp_path / "d.root"),)))


def test_a_deposit_of_another_size(tmp_path: Path, plane) -> None:
    subject = plane()

    def shrink(part: str, name: str, histogram: object) -> tuple[str, object]:
        small = histogram_of(part, subject.deposit[:-1], subject)
        return name, small if part == "deposit" else histogram

    write_parts(tmp_path / "d.root", subject, shrink)
    with pytest.raises(DataFileError, match=r"_deposit' covers \(\(100, 169\)"):
        read_all(PlaneDump((str(tmp_path / "d.root"),)))


def test_an_axis_that_counts_no_wires(tmp_path: Path, plane) -> None:
    write_planes(tmp_path / "d.root", [replace(plane(), first_wire=0.5)])
    with pytest.raises(DataFileError, match=r"its x axis runs from 0\.5"):
        read_all(PlaneDump((str(tmp_path / "d.root"),)))


def test_nan(tmp_path: Path, plane) -> None:
    raw = plane().raw.copy()
    raw[17, 3] = np.nan
    write_planes(tmp_path / "d.root", [replace(plane(), raw=raw)])
    with pytest.raises(DataFileError, match="_raw': row 17 holds NaN"):
        read_all(PlaneDump((str(tmp_path / "d.root"),)))


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9])
def test_truncation_anywhere_is_an_error_that_names_the_file(
    tmp_path: Path, plane, part: float
) -> None:
    path = tmp_path / "d.root"
    write_planes(path, [plane(event=event) for event in range(4)])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(DataFileError, match=r"d\.root"):
        read_all(PlaneDump((str(path),)))


def test_a_text_file_called_root(tmp_path: Path) -> None:
    (tmp_path / "d.root").write_text("not at all" * 100)
    with pytest.raises(DataFileError, match="not a readable ROOT file"):
        read_all(PlaneDump((str(tmp_path / "d.root"),)))


def block(algorithm: bytes, data: bytes, claimed: int) -> bytes:
    sizes = len(data).to_bytes(3, "little") + claimed.to_bytes(3, "little")
    return algorithm + b"\x08" + sizes + data


@pytest.mark.parametrize(
    ("algorithm", "compress"),
    [
        (b"ZL", zlib.compress),
        (b"XZ", lzma.compress),
        (b"ZS", lambda d: bytes(cramjam.zstd.compress(d))),
    ],
    ids=["zlib", "xz", "zstd"],
)
def test_compressed_blocks_hold_what_they_claim(algorithm: bytes, compress: Callable) -> None:
    sound = block(algorithm, compress(bytes(5000)), 5000)
    check_blocks(sound * 2, 10_000, "f", "k")
    with pytest.raises(DataFileError, match="does not hold its 5000 bytes"):
        check_blocks(block(algorithm, compress(bytes(50_000_000)), 5000), 5000, "f", "k")
    with pytest.raises(DataFileError, match="its blocks hold 5000 bytes, its key claims 9000"):
        check_blocks(sound, 9000, "f", "k")
    with pytest.raises(DataFileError, match="truncated"):
        check_blocks(sound[:-1], 5000, "f", "k")
    with pytest.raises(DataFileError, match="does not hold"):
        check_blocks(block(b"??", bytes(10), 5000), 5000, "f", "k")


def test_an_object_of_gigabytes_is_refused_unread() -> None:
    with pytest.raises(DataFileError, match="more than"):
        check_blocks(b"", 2**40, "f", "k")
