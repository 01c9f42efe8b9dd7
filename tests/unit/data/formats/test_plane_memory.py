# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reading many planes does not pile them up in memory."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

from edgeinfer.data.formats.protodune_root import list_planes, read_plane
from tests.support.experiment_files import write_planes


def test_planes_do_not_wait_for_the_garbage_collector(tmp_path: Path, plane) -> None:
    path = tmp_path / "d.root"
    write_planes(path, [plane(400, 500, event=event) for event in range(8)])
    keys = list_planes(path)
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
