# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""LCD calorimeter showers in HDF5: `ECAL` (N, 25, 25, 25), `HCAL` (N, 5, 5, 60) and `target`.

`target` is (N, k) or (N, 1, k); what its k numbers mean is up to the sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgeinfer.data.formats.h5_guard import RowsDue, checked_dataset, open_h5
from edgeinfer.data.formats.h5_rows import h5_shards, read_h5_shard
from edgeinfer.data.formats.scalings import scale_calorimeter
from edgeinfer.data.formats.shards import Columns, ColumnSpec, Layout, Shard

ECAL_SHAPE = (25, 25, 25)
HCAL_SHAPE = (5, 5, 60)


@dataclass(frozen=True, slots=True)
class LcdFiles:
    """Showers of one or several files, one group a file (samples come one particle a file)."""

    paths: tuple[str, ...]
    target_length: int = 5

    def layout(self) -> Layout:
        """ECAL and HCAL cells divided by 150, and the target as written."""
        return {
            "ecal": ColumnSpec(ECAL_SHAPE, np.dtype(np.float32)),
            "hcal": ColumnSpec(HCAL_SHAPE, np.dtype(np.float32)),
            "target": ColumnSpec((self.target_length,), np.dtype(np.float32)),
        }

    def shards(self) -> tuple[Shard, ...]:
        """Whole chunks of each sound file."""
        return h5_shards(self.paths, self._due(), self.layout())

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The showers of one shard, scaled."""
        for columns in read_h5_shard(shard, self._due()):
            target = columns["target"].reshape(-1, self.target_length)
            yield {
                "ecal": scale_calorimeter(columns["ECAL"]),
                "hcal": scale_calorimeter(columns["HCAL"]),
                "target": target.astype(np.float32),
            }

    def _due(self) -> tuple[RowsDue, ...]:
        target = () if self.target_length == 1 else (self.target_length,)
        return (
            RowsDue("ECAL", ECAL_SHAPE),
            RowsDue("HCAL", HCAL_SHAPE),
            RowsDue("target", target, may_add_axes=True),
        )


def target_length_of(path: str) -> int:
    """How many numbers the target of a shower has in a file."""
    with open_h5(path) as file:
        dataset = checked_dataset(file, RowsDue("target", None))
        return max(1, math.prod(dataset.shape[1:]))
