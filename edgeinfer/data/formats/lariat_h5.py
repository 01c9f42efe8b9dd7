# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""LArIAT images in HDF5: `images` (N, 2, 240, 4096), two wire planes, and `Energy` (N,) in GeV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeinfer.data.formats.h5_guard import RowsDue
from edgeinfer.data.formats.h5_rows import h5_shards, read_h5_shard
from edgeinfer.data.formats.scalings import scale_lariat
from edgeinfer.data.formats.shards import Columns, ColumnSpec, Layout, Shard

SHAPE = (2, 240, 4096)
"""Planes, wires, ticks."""

_DUE = (RowsDue("images", SHAPE), RowsDue("Energy", (), may_add_axes=True))


@dataclass(frozen=True, slots=True)
class LariatFiles:
    """Events of one or several files, one group a file."""

    paths: tuple[str, ...]

    def layout(self) -> Layout:
        """Images (2, 240, 4096) scaled to (-1, 1), and the energy in GeV."""
        return {
            "images": ColumnSpec(SHAPE, np.dtype(np.float32)),
            "energy_gev": ColumnSpec((1,), np.dtype(np.float32)),
        }

    def shards(self) -> tuple[Shard, ...]:
        """Whole chunks of each sound file."""
        return h5_shards(self.paths, _DUE, self.layout())

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The events of one shard, scaled."""
        for columns in read_h5_shard(shard, _DUE):
            energy = columns["Energy"].reshape(-1, 1).astype(np.float32)
            yield {"images": scale_lariat(columns["images"]), "energy_gev": energy}
