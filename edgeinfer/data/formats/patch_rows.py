# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a row of a hit-tagger data set is, whichever file it comes from: patch, labels, identity."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeinfer.data.formats.guard import DataFileError
from edgeinfer.data.formats.shards import ColumnSpec, Layout

ID_FIELDS: dict[str, np.dtype] = {
    "run": np.dtype("<u4"),
    "subrun": np.dtype("<u4"),
    "evt": np.dtype("<u4"),
    "tpc": np.dtype("u1"),
    "plane": np.dtype("u1"),
    "wire": np.dtype("<u2"),
    "tck": np.dtype("<u2"),
}
"""The identity of a patch: its event, its plane, and its central wire and downsampled tick."""

LABEL_FIELDS = ("y0", "y1", "y2", "y3")
"""track, em, michel, none."""

DEFAULT_SHAPE = (48, 48)


def patch_layout(shape: tuple[int, int], *, ids: bool) -> Layout:
    """The columns of a patch source: the patch, its labels and, where known, its identity."""
    columns = {
        "patch": ColumnSpec((*shape, 1), np.dtype(np.float32)),
        "labels": ColumnSpec((3,), np.dtype(np.uint8)),
        "michel": ColumnSpec((1,), np.dtype(np.uint8)),
    }
    return columns | (
        {name: ColumnSpec((), dtype) for name, dtype in ID_FIELDS.items()} if ids else {}
    )


def split_labels(y: np.ndarray, path: str | Path, first_row: int) -> tuple[np.ndarray, np.ndarray]:
    """(track, em, michel, none) to ([track, em, none], [michel]), refusing what cannot be true."""
    y = np.asarray(y)
    valid = np.isin(y, (0, 1)).all(axis=1)
    one_hot = y[:, 0].astype(int) + y[:, 1] + y[:, 3] == 1
    wrong = np.flatnonzero(~(valid & one_hot & (y[:, 2] <= y[:, 1])))
    if len(wrong):
        row = int(wrong[0])
        problem = f"row {first_row + row} has the labels {y[row].tolist()}"
        hint = "One of track, em, none must be 1, and michel only with em."
        raise DataFileError(path, "y0..y3", problem, hint=hint)
    return y[:, [0, 1, 3]].astype(np.uint8), y[:, [2]].astype(np.uint8)


def join_labels(labels: np.ndarray, michel: np.ndarray) -> np.ndarray:
    """([track, em, none], michel) to the (track, em, michel, none) of the files."""
    track, em, none = (labels[:, i] for i in range(3))
    return np.stack([track, em, michel.reshape(-1), none], axis=1).astype(np.uint8)
