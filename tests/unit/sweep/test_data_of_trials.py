# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A study's data travel with its trials, whatever format they are in."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from edgeinfer.base import plan
from edgeinfer.data.open import open_data
from edgeinfer.sweep.trial import files_of_data


def test_files_and_their_part_arrive_where_their_name_says(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["test/x"] = np.arange(6.0)
    folder = tmp_path / "arrays"
    folder.mkdir()
    np.save(folder / "x.npy", np.zeros((3, 2)))
    np.save(folder / "out.npy", np.zeros(3))
    for named in (f"{tmp_path}/d.h5:test", str(folder)):
        files, name = files_of_data(Path(named))
        there = tmp_path / "elsewhere"
        for place, held in files.items():
            plan.write_file(there / place, Path(str(held)).read_bytes())
        assert open_data(there / name).sha256 == open_data(named).sha256
