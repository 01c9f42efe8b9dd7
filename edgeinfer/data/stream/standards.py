# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Features brought to mean 0 and deviation 1, by what is measured of all rows of a source.

An input has one number format, so features whose scales are far apart need many bits together;
after this they need few. What was measured stays with the data, for other data of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.data.columns import LABELS
from edgeinfer.data.formats.shards import Columns, ColumnSpec, Layout, Shard, ShardSource
from edgeinfer.data.stream.batches import BatchStream, StreamSettings
from edgeinfer.data.stream.split import EVENT_COLUMNS

NO_FEATURES = frozenset(("y", *LABELS, *EVENT_COLUMNS))  # columns of these names are no features
MOST_ELEMENTS = 1_024  # that each have a mean of their own; what is larger has one for all


@dataclass(frozen=True, slots=True)
class FeatureStandard:
    """What is subtracted from a column, and by what it is divided: of each element, or of all."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StandardizedSource:
    """The rows of a source, some columns standardised."""

    source: ShardSource
    standards: Mapping[str, FeatureStandard]

    def layout(self) -> Layout:
        """Whole numbers become float32."""
        return {
            name: replace(column, dtype=_float_type(column)) if name in self.standards else column
            for name, column in self.source.layout().items()
        }

    def shards(self) -> tuple[Shard, ...]:
        """Those of the source."""
        return self.source.shards()

    def read(self, shard: Shard) -> Iterator[Columns]:
        """The rows, standardised."""
        layout = self.layout()
        for block in self.source.read(shard):
            yield {
                name: self._scale(name, values, layout[name].dtype)
                for name, values in block.items()
            }

    def _scale(self, name: str, values: NDArray[Any], dtype: np.dtype) -> NDArray[Any]:
        standard = self.standards.get(name)
        if standard is None:
            return values
        return ((values - standard.mean) / standard.deviation).astype(dtype)


def choose_features(layout: Layout, patterns: Sequence[str]) -> tuple[str, ...]:
    """The columns that patterns name. A pattern with * takes no labels and no numbers of events."""
    features: list[str] = []
    for pattern in patterns:
        if "*" not in pattern:
            _check_feature(layout, pattern)
            features.append(pattern)
            continue
        features += [
            name
            for name, column in layout.items()
            if fnmatchcase(name, pattern) and _is_feature(name, column)
        ]
    if not features:
        raise UsageError(
            f"No column of features is called {', '.join(patterns)}.",
            hint=f"There are {', '.join(layout)}.",
        )
    return tuple(dict.fromkeys(features))


def _check_feature(layout: Layout, name: str) -> None:
    if name not in layout:
        hint = did_you_mean(name, layout) or f"There are {', '.join(layout)}."
        raise UsageError(f"There is no column {name!r}.", hint=hint)
    if layout[name].classes or layout[name].dtype.kind not in "fiub":
        raise UsageError(f"The column {name!r} holds no numbers.", hint="Leave it out.")


def _is_feature(name: str, column: ColumnSpec) -> bool:
    numbers = column.dtype.kind in "fiub" and not column.classes
    return numbers and name.lower() not in NO_FEATURES


def _float_type(column: ColumnSpec) -> np.dtype:
    return column.dtype if column.dtype.kind == "f" else np.dtype(np.float32)


def measure_standards(
    source: ShardSource, names: Sequence[str], settings: StreamSettings
) -> dict[str, FeatureStandard]:
    """Mean and deviation over all rows, in one pass; what never changes is divided by one."""
    layout = source.layout()
    count = dict.fromkeys(names, 0)
    mean = {name: np.zeros(_statistic_shape(layout[name])) for name in names}
    spread = {name: np.zeros(_statistic_shape(layout[name])) for name in names}
    for block in BatchStream(source, settings).epoch():
        for name in names:
            values = block[name].astype(np.float64)
            if values.shape[1:] != mean[name].shape:
                values = values.reshape(-1)
            # the parts' means and sums of squares, added as Chan, Golub and LeVeque do
            new = len(values)
            total = count[name] + new
            step = values.mean(axis=0) - mean[name]
            part = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
            spread[name] += part + step**2 * (count[name] * new / total)
            mean[name] += step * (new / total)
            count[name] = total
    standards = {}
    for name in names:
        deviation = np.sqrt(spread[name] / count[name])
        flat = deviation <= 1e-12 * np.maximum(np.abs(mean[name]), 1e-300)
        standards[name] = FeatureStandard(mean[name], np.where(flat, 1.0, deviation))
    return standards


def _statistic_shape(column: ColumnSpec) -> tuple[int, ...]:
    shape = column.shape
    return shape if len(shape) <= 1 and int(np.prod(shape)) <= MOST_ELEMENTS else ()
