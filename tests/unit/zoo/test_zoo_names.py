# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A model argument is a zoo name or a path."""

from __future__ import annotations

import pytest

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.zoo import ENTRIES, entry_of, is_name, resolve

NAMES = (
    "hit-tagger",
    "hit-tagger-pooled",
    "sparse-ssnet",
    "sparse-ssnet-small",
    "track-pid",
    "roi-finder",
    "jet-tagger",
    "jet-transformer",
    "jet-recurrent",
    "track-graph",
    "anomaly-trigger",
    "cvn-small",
    "lariat-siamese",
    "vertex-finder",
    "hgcal-detector",
    "hgcal-heads",
    "calo-classifier",
    "energy-regression",
)
ON_DEMAND = ("hit-tagger", "sparse-ssnet")


def test_the_zoo_has_its_models():
    assert tuple(ENTRIES) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ON_DEMAND])
def test_a_name_stands_for_the_weights_that_ship(name):
    assert is_name(name)
    path = resolve(name)
    assert path.name == f"{name}.keras"
    assert path.stat().st_size < 1_000_000


def test_the_faithful_tagger_is_trained_on_demand():
    with pytest.raises(UsageError, match="edgeinfer train hit-tagger -o"):
        resolve("hit-tagger")


def test_a_path_stays_a_path(tmp_path):
    assert resolve(tmp_path / "m.keras") == tmp_path / "m.keras"
    assert resolve("some/model.onnx").name == "model.onnx"


def test_a_slip_of_the_pen_is_understood():
    with pytest.raises(InputError, match="'hit-tagger-pooled'"):
        resolve("hit-tager-pooled")
    with pytest.raises(UsageError, match="'jet-tagger'"):
        entry_of("jet-taggr")
