# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Of more rows than fit, some are held, spread evenly over the whole, whatever comes when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.data import samples
from edgeinfer.data.formats.shards import Columns, ColumnSpec, Layout, Shard
from edgeinfer.data.stream.thin import thinned_rows


@dataclass(frozen=True)
class Numbered:
    """Rows that hold their own numbers, in shards of given sizes, which may be kept secret."""

    sizes: tuple[int, ...]
    known: bool

    def layout(self) -> Layout:
        """A number and something wide that nobody wants."""
        number = np.dtype(np.int64)
        return {"number": ColumnSpec((), number), "other": ColumnSpec((3,), number)}

    def shards(self) -> tuple[Shard, ...]:
        """One for each size."""
        ends = np.cumsum(self.sizes).tolist()
        return tuple(
            Shard("d", str(size), end - size, size if self.known else 0, "d", 8 * size)
            for size, end in zip(self.sizes, ends, strict=True)
        )

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The numbers of one shard."""
        rows = np.arange(shard.first, shard.first + int(shard.key))
        if len(rows):
            yield {"number": rows, "other": np.zeros((len(rows), 3), np.int64)}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 120), st.booleans())
def test_rows_are_spread_over_the_whole(sizes: list[int], most: int, known: bool) -> None:
    total = sum(sizes)
    rows = thinned_rows(Numbered(tuple(sizes), known), ("number",), 8 * most)
    result = rows.columns["number"]
    assert rows.total == total and set(rows.columns) == {"number"}
    assert 1 <= len(result) <= most
    assert np.all(np.diff(result) > 0)
    if total <= most:
        assert result.tolist() == list(range(total))
        return
    assert len(result) >= most // 2
    gaps = np.diff(result)
    if len(gaps):
        assert gaps.max() <= (gaps.min() + 1 if known else gaps.min())
        assert total - 1 - result[-1] <= (0 if known else gaps.max())


def test_a_file_too_large_is_read_from_end_to_end(tmp_path: Path) -> None:
    x = np.repeat(np.arange(1000, dtype=np.float32), 4).reshape(1000, 4)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(1000) % 3)
    result = samples.read(tmp_path / "d.npz", {"in": (4,)}, {"out": (3,)}, most_bytes=24 * 100)
    taken = result.inputs["in"][:, 0]
    assert len(result) == 100 and (taken[0], taken[-1]) == (0, 999)
    assert result.inputs["in"].dtype == np.float32
    assert result.labels["out"].tolist() == (taken % 3).tolist()
    assert any("100 of its 1,000 samples were read" in finding for finding in result.findings)


@pytest.mark.parametrize(
    "name", ["d.npz", "d.npy", "d.h5", pytest.param("d.csv", marks=pytest.mark.slow)]
)
def test_reading_takes_no_more_than_what_is_held(tmp_path: Path, name: str) -> None:
    """32 MB of rows of which 1 MB is kept."""
    import tracemalloc

    import h5py

    x = np.ones((8000, 500), np.float64)
    place = tmp_path / name
    match place.suffix:
        case ".npz":
            np.savez_compressed(place, x=x)
        case ".npy":
            np.save(place, x)
        case ".h5":
            with h5py.File(place, "w") as file:
                file.create_dataset("x", data=x, chunks=(100, 500), compression="gzip")
        case _:
            place.write_text(("1,2,3,4\n") * 250_000)
    shape = (4,) if name == "d.csv" else (500,)
    samples.read(place, {"in": shape}, {"out": (3,)}, most_bytes=1 << 20)  # libraries are loaded
    tracemalloc.start()
    try:
        samples.read(place, {"in": shape}, {"out": (3,)}, most_bytes=1 << 20)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 24 << 20
