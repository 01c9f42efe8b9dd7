# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What is kept of a network's tensors while samples stream through it: one pass over the network
for a batch, however many tensors there are, and memory that does not grow with the samples.

Of each tensor the ends of its range are exact, with the samples in which they lie. Of its values so
many are kept as a percentile or an error needs: all of them where they are few, else some of each
sample, drawn.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.precision.ptq.rows import SPARSE
from quantization.calibrate import finite
from quantization.fixed import FormatError

Samples = Mapping[str, NDArray[Any]]

MOST_KEPT = 1 << 17  # values of a tensor
AT_ONCE = 256  # samples of which all tensors are looked at together
ELEMENTS_AT_ONCE = 1 << 26  # of all tensors over these
DRAW_SEED = 23
LARGEST_VALUE = 1e30  # a float32 network squares some of them


class TensorSketch:
    """What is known of one tensor so far, of so many samples in all."""

    __slots__ = ("_drawn", "_ends_apart", "_parts", "alive", "ends", "rows", "total")

    def __init__(self, name: str, total: int) -> None:
        self.total = total
        self.rows = 0
        self.ends = ((np.inf, 0), (-np.inf, 0))  # the least and the largest value, and their rows
        self.alive: NDArray[np.bool_] | None = None  # channels that were ever other than zero
        self._ends_apart = False  # not all values were kept, so the ends need not be among them
        self._parts: list[NDArray[np.float32]] = []
        self._drawn = np.random.default_rng([DRAW_SEED, zlib.crc32(name.encode())])

    def add(self, values: NDArray[np.float32], *, keep: bool) -> None:
        """The tensor in the next samples."""
        flat = values.reshape(len(values), -1)
        low, high = flat.min(axis=1), flat.max(axis=1)
        least = (float(low.min()), self.rows + int(low.argmin()))
        largest = (float(high.max()), self.rows + int(high.argmax()))
        self.ends = (
            min(self.ends[0], least, key=lambda end: end[0]),
            max(self.ends[1], largest, key=lambda end: end[0]),
        )
        if values.ndim > 1 and (self.alive is None or not self.alive.all()):
            alive = np.asarray(values.reshape(-1, values.shape[-1]).any(axis=0))
            self.alive = alive if self.alive is None else self.alive | alive
        if keep:
            self._keep(flat)
        self.rows += len(values)

    def _keep(self, flat: NDArray[np.float32]) -> None:
        each = MOST_KEPT // self.total
        if each >= flat.shape[1]:
            self._parts.append(flat.ravel().copy())
            return
        self._ends_apart = True
        step = -(-self.total // MOST_KEPT)  # above 1 where there are more samples than that
        for row in range(-self.rows % step, len(flat), step):
            self._parts.append(self._some_of(flat[row], max(each, 1)))

    def _some_of(self, values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """Values drawn from all; of a nearly empty image from those that are not zero, for zero is
        on every grid."""
        lit = values != 0.0  # counted before they are listed: a list of most values takes long
        if 0 < np.count_nonzero(lit) < SPARSE * values.size:
            values = values[lit]
            if values.size <= count:
                return values
        return values[self._drawn.integers(0, values.size, count)]

    @property
    def low(self) -> float:
        """The least value of all."""
        return self.ends[0][0]

    @property
    def high(self) -> float:
        """The largest value of all."""
        return self.ends[1][0]

    @property
    def values(self) -> NDArray[np.float32]:
        """What was kept; both ends of the range are always among it."""
        ends = np.array([self.low, self.high], np.float32)
        return np.concatenate([*self._parts, ends] if self._ends_apart else self._parts or [ends])


def sketch_tensors(
    graph: g.Graph, tensors: Collection[str], samples: Samples, kept: Collection[str] = ()
) -> dict[str, TensorSketch]:
    """Every sample through the network once, a batch at a time; values are kept of some tensors.

    They are looked at in the graph's order, so that the first that leaves float32 is the one named.
    """
    engine = FloatEngine(graph)
    count = len(next(iter(samples.values())))
    sketches = {name: TensorSketch(name, count) for name in graph.shapes if name in tensors}
    for part in batches_of(graph, tensors, samples):
        outputs = engine.run(part, tuple(tensors))
        for name, sketch in sketches.items():
            if not np.isfinite(outputs[name]).all():
                raise InputError(
                    f"{graph.name}: the values of {name!r} leave float32 on the calibration set.",
                    hint="Its weights or its inputs are too large; scale them, or give a recipe.",
                )
            sketch.add(outputs[name], keep=name in kept)
        del part, outputs  # before the next are made
    return sketches


def sketch_values(name: str, values: NDArray[np.float32]) -> TensorSketch:
    """A tensor that is at hand in all samples, without its values."""
    sketch = TensorSketch(name, len(values))
    sketch.add(values, keep=False)
    return sketch


def batches_of(
    graph: g.Graph, tensors: Collection[str], samples: Samples
) -> Iterator[dict[str, NDArray[Any]]]:
    """The samples, checked, as many at a time as these tensors can be held of."""
    elements = sum(int(np.prod(graph.shapes[name], dtype=int)) for name in tensors)
    at_once = max(1, min(AT_ONCE, ELEMENTS_AT_ONCE // max(elements, 1)))
    for start in range(0, len(next(iter(samples.values()))), at_once):
        yield {
            name: check_values(name, values[start : start + at_once])
            for name, values in samples.items()
        }


def extreme_rows(sketches: Mapping[str, TensorSketch]) -> NDArray[np.intp]:
    """The samples in which a tensor takes its least or its largest value of all."""
    rows = [row for sketch in sketches.values() for _, row in sketch.ends]
    return np.unique(rows).astype(np.intp)


def check_values(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """The values as floats, in single precision where that holds them all."""
    try:
        narrow = np.can_cast(values.dtype, np.float32)
        reals = finite(values, np.float32 if narrow else np.float64)
    except FormatError as error:
        raise InputError(f"The data of {name!r}: {error}") from None
    if np.abs(reals).max(initial=0.0) > LARGEST_VALUE:
        raise InputError(
            f"The data of {name!r} reach {np.abs(reals).max():.3g}, too large for float32.",
            hint="Scale the input, or remove those samples.",
        )
    return reals
