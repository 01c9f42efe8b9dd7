# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What tells one set of samples from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer import zoo
from edgeinfer.run.samples import Simulation, digest_of
from edgeinfer.zoo.detector_data import TRUNK


def test_crops_are_others_where_the_trunk_has_other_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("hgcal-detector", "hgcal-heads")
    before = [digest_of(Simulation(name)) for name in names]
    assert zoo.reference_path(zoo.ENTRIES["hgcal-detector"]) == TRUNK
    (tmp_path / TRUNK.name).write_bytes(TRUNK.read_bytes() + b"\0")
    monkeypatch.setattr(zoo, "REFERENCES", tmp_path)
    images, crops = [digest_of(Simulation(name)) for name in names]
    assert images == before[0]
    assert crops != before[1]
