# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Every reference model, in one explicit table."""

from __future__ import annotations

from typing import Final

from edgeinfer.metrics import Task
from edgeinfer.zoo import builders, data
from edgeinfer.zoo.entry import Head, Measure, Schedule, ZooEntry
from edgeinfer.zoo.measures import head_accuracy, head_auc, pair_auc

TRACK, EM, NONE = 0, 1, 2
_TAGGER_HEADS = (
    Head("label", ("track", "em", "none"), "categorical_crossentropy", weight=0.1),
    Head("michel", ("michel",), "mean_squared_error", weight=1.0),
)
_TAGGER_MEASURES = (
    Measure("label_auc", "", head_auc("label")),
    Measure("label_accuracy", "", head_accuracy("label")),
    Measure("track_em_auc", "", pair_auc("label", TRACK, EM), (0.95, 0.985), alarm_above=0.995),
    Measure("michel_auc", "", head_auc("michel"), (0.95, 0.99), alarm_above=0.995),
)

_ENTRIES = (
    ZooEntry(
        name="hit-tagger",
        about="track, shower or empty, and Michel, of a 48x48 patch (ProtoDUNE's tagger)",
        task=Task.CLASSIFICATION,
        parameters=11_900_420,
        macs=14_223_712,
        build=builders.hit_tagger,
        data=data.tagger_samples,
        heads=_TAGGER_HEADS,
        schedule=Schedule(
            "sgd", 0.01, batch=256, epochs=30, samples=40_000, patience=6, flips=True
        ),
        measures=_TAGGER_MEASURES,
        reference=None,
    ),
    ZooEntry(
        name="hit-tagger-pooled",
        about="the hit tagger made small: 8 filters, pooled by 4",
        task=Task.CLASSIFICATION,
        parameters=31_812,
        macs=418_464,
        build=builders.hit_tagger_pooled,
        data=data.tagger_samples,
        heads=_TAGGER_HEADS,
        schedule=Schedule(
            "sgd", 0.01, batch=256, epochs=30, samples=40_000, patience=6, flips=True
        ),
        measures=_TAGGER_MEASURES,
        reference="hit-tagger-pooled.keras",
    ),
)

ENTRIES: Final[dict[str, ZooEntry]] = {entry.name: entry for entry in _ENTRIES}
