# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files of the reader's own that commands of the documents begin with, small and drawn here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from edgeinfer.data.formats.patches_npy import write_patch_table
from tests.support.jets import jet_table, write_arff


def write_patches(path: str | Path, rows: int) -> None:
    """A table of patches whose first pixel is the row's number; ten rows are an event."""
    patch = np.zeros((rows, 8, 8, 1), np.float32)
    patch[:, 0, 0, 0] = np.arange(rows)
    numbers = {"evt": np.arange(rows) // 10, "run": np.ones(rows), "subrun": np.ones(rows)}
    kind = np.eye(3, dtype=np.uint8)[np.arange(rows) % 3]
    labels = {"labels": kind, "michel": np.zeros((rows, 1), np.uint8)}
    write_patch_table(path, {"patch": patch, **labels, **numbers})


def write_reader_files(page: str) -> None:
    """What a page's commands read, in the working folder. `runs/demo` holds a small model."""
    match page:
        case "data.md":
            write_arff(Path("jets.arff"), *jet_table(600, seed=2))
            write_patches("hits.npy", 200)
        case "microcontrollers.md":
            shutil.copy("runs/demo/small.keras", "net.keras")
            shutil.copy("runs/demo/small.npz", "d.npz")
        case _:
            raise ValueError(page)
