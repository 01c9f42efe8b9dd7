# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A user's own data for the architecture of a reference model: inputs, and targets as losses want
them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError
from edgeinfer.data.open import open_data
from edgeinfer.data.samples import read
from edgeinfer.graph.nodes import Shape
from edgeinfer.zoo.entry import EventSamples, ZooEntry

FAR_APART = 30.0  # ratio of deviations from which one number format costs five bits more


@dataclass(frozen=True, slots=True)
class OwnData:
    """Samples of a file, what they are called, and remarks on how they were read."""

    samples: EventSamples
    sha256: str
    classes: Mapping[str, tuple[str, ...]]
    findings: tuple[str, ...]


def read_own_data(entry: ZooEntry, path: Path, most: int | None) -> OwnData:
    """The samples of a file, at most so many, spread evenly; every row is an event of its own."""
    example = entry.data(0, 1)
    shapes = {name: values.shape[1:] for name, values in example.targets.items()}
    own_samples = read(path, {name: v.shape[1:] for name, v in example.inputs.items()}, shapes)
    missing = [head.name for head in entry.heads if head.name not in own_samples.labels]
    if missing:
        raise InputError(
            f"{path} has no labels for {', '.join(missing)}, which {entry.name} learns from.",
            hint="Name a column so, or y where there is one output; words may be classes.",
        )
    taught = own_samples if most is None else own_samples.spread(most)
    targets = {name: _targets(values, shapes[name]) for name, values in taught.labels.items()}
    inputs = {name: values.astype(np.float32) for name, values in taught.inputs.items()}
    samples = EventSamples(inputs, targets, np.arange(len(taught), dtype=np.int64))
    findings = (*own_samples.findings, *_scale_findings(path, inputs))
    return OwnData(samples, open_data(path).sha256, own_samples.classes, findings)


def _targets(labels: NDArray[np.float64], shape: Shape) -> NDArray[np.float32]:
    """One-hot rows where labels are class numbers."""
    if labels.shape[1:] != shape and shape[-1] > 1:
        numbers = labels.astype(np.int64).reshape(len(labels), *shape[:-1])
        return np.eye(shape[-1], dtype=np.float32)[numbers]
    return labels.reshape(len(labels), *shape).astype(np.float32)


def _scale_findings(path: Path, inputs: Mapping[str, NDArray[np.float32]]) -> list[str]:
    findings = []
    for name, values in inputs.items():
        if values.ndim != 2 or values.shape[1] < 2:
            continue
        deviations = values.std(axis=0, dtype=np.float64)
        deviations = deviations[deviations > 0]
        if not deviations.size or deviations.max() <= FAR_APART * deviations.min():
            continue
        ratio = deviations.max() / deviations.min()
        findings.append(
            f"The features of {name} have scales up to {ratio:,.0f} times apart, which one number "
            f"format covers only with many bits. Bring them together: edgeinfer convert {path} "
            f"-o {path.stem}.h5 --standardize '*'"
        )
    return findings
