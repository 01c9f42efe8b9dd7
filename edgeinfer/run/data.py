# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which samples teach, which choose, and which judge: no sample does two of these where there are
enough for three."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.readers import LoadedModel, load
from edgeinfer.run.defaults import draw_samples_for
from edgeinfer.run.samples import read_samples
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.entry import ZooEntry, stage_seed
from quantization.recipe import Recipe

TEACHING, CHOOSING, JUDGING = 20_000, 6_000, 10_000  # simulated samples
MOST_VALUES = 120_000_000  # of all inputs and labels together, which are held as float64
SHARES = (0.8, 0.1, 0.1)
FEWEST = 20  # samples of a part, below which a set is not divided
TEACH_SEED, CHOOSE_SEED, JUDGE_SEED = 41, 42, 43


@dataclass(frozen=True, slots=True)
class SampleSplit:
    """Three sets of samples, and remarks on them."""

    teach: Samples
    choose: Samples
    judge: Samples
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SampledModel:
    """A model's file, and where its samples come from."""

    path: Path
    entry: ZooEntry | None = None  # of a reference model, whose data can be simulated
    data: Path | None = None
    validation: Path | None = None
    batch_axis: int | None = 0  # of an ONNX file; None: no axis counts samples

    def load(self) -> LoadedModel:
        """The model as it is read."""
        return load(self.path, batch_axis=self.batch_axis)

    def deal_samples(
        self, loaded: LoadedModel, *, seed: int, divide: bool = True, recipe: Recipe | None = None
    ) -> SampleSplit:
        """Samples for the model: a file's, a reference model's simulated ones, or values drawn from
        the input's type. With `divide`, a file is shared out among the three uses, in order, so
        that neighbours stay together; without, all of it serves for all of them."""
        if self.data is None and self.validation is not None:
            raise UsageError(
                "--validation-data is used to judge what was trained with --data.",
                hint="Give --data too.",
            )
        if self.data is None and self.entry is not None:
            return _simulate_samples(self.entry, seed)
        if self.data is None:
            if divide:
                raise UsageError(
                    f"{loaded.graph.name}: there is nothing to learn from.",
                    hint="Give samples with --data d.npz; labels help, but are not needed.",
                )
            drawn = draw_samples_for(loaded, recipe or Recipe())
            return SampleSplit(drawn, drawn, drawn)
        whole = read_samples(self.data, loaded.graph)
        judge = None if self.validation is None else read_samples(self.validation, loaded.graph)
        if not divide:
            return SampleSplit(whole, judge or whole, judge or whole)
        return share_samples(whole, judge)


def share_samples(whole: Samples, judge: Samples | None = None) -> SampleSplit:
    """Samples in order: most teach, some choose, and some judge unless others do."""
    shares = SHARES if judge is None else (SHARES[0] + SHARES[2], SHARES[1])
    ends = np.rint(np.cumsum(shares) * len(whole)).astype(int)
    parts = [whole.part(start, end) for start, end in zip((0, *ends), ends, strict=False)]
    if min(map(len, parts)) < FEWEST:
        finding = (
            f"{len(whole)} samples are too few to be shared out: the same ones teach, choose and "
            f"judge, so the figures flatter."
        )
        return SampleSplit(whole, whole, judge or whole, (finding,))
    return SampleSplit(parts[0], parts[1], judge or parts[2])


def _simulate_samples(entry: ZooEntry, seed: int) -> SampleSplit:
    few = entry.data(stage_seed(seed, "fresh"), 1)
    arrays = (*few.inputs.values(), *few.targets.values())
    values = sum(int(np.prod(array.shape[1:], dtype=int)) for array in arrays)
    room = min(1.0, MOST_VALUES / (values * (TEACHING + CHOOSING + JUDGING)))
    if room * CHOOSING < FEWEST:
        raise InputError(
            f"{entry.name} has {values:,} inputs and labels, too many to draw samples of.",
            hint="Give a file with --data.",
        )
    parts = []
    for stage, count in ((TEACH_SEED, TEACHING), (CHOOSE_SEED, CHOOSING), (JUDGE_SEED, JUDGING)):
        drawn, _ = simulate_samples(entry, stage_seed(stage + 3 * seed, "fresh"), int(room * count))
        parts.append(drawn)
    finding = (
        f"No data given: {', '.join(str(len(part)) for part in parts)} samples were simulated."
    )
    return SampleSplit(parts[0], parts[1], parts[2], (finding,))
