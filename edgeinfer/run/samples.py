# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where the samples of a run come from: a file, or a reference model's simulation."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from edgeinfer.base.reads import Reads
from edgeinfer.data import samples
from edgeinfer.data.open import open_data
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.streams import follow_states
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.host import host_functions
from edgeinfer.zoo import ENTRIES, reference_path
from edgeinfer.zoo.drawn import simulate_samples
from edgeinfer.zoo.entry import ZooEntry, stage_seed

SIMULATED = 1_000  # samples of a reference model that is given no data
SEED = 44  # of those, which no training, choosing or judging sees
SIMULATING = Reads(  # what decides which samples are simulated
    code=(
        "edgeinfer.data.formats.scalings",
        "edgeinfer.detection",
        "edgeinfer.lartpc",
        "edgeinfer.zoo",
    ),
    libraries=("numpy",),
)
RUNNING_TRUNK = Reads(  # what decides, beside its weights, which features a network yields
    code=("edgeinfer.graph", "edgeinfer.ir", "edgeinfer.readers"), libraries=("h5py", "onnxruntime")
)


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file or a folder, as a user named it: `d.npz`, `d.h5:images`."""

    path: Path


@dataclass(frozen=True, slots=True)
class Simulation:
    """The simulated data of a reference model."""

    reference: str


Source = DataFile | Simulation


def digest_of(source: Source | None) -> str | None:
    """What a step on these samples depends on."""
    match source:
        case None:
            return None
        case DataFile(path):
            return open_data(path).sha256
        case Simulation(reference):
            return f"{reference} {SEED} {SIMULATED} {_digest_of_simulation(ENTRIES[reference])}"
        case _:
            assert_never(source)


def _digest_of_simulation(entry: ZooEntry) -> str:
    """Of the code, and of the trunk's weights where samples are features that it yields."""
    if entry.trunk is None:
        return SIMULATING.digest
    weights = reference_path(ENTRIES[entry.trunk]).read_bytes()
    return f"{(SIMULATING | RUNNING_TRUNK).digest} {hashlib.sha256(weights).hexdigest()}"


def describe_samples(source: Source | None, judged_samples: Samples) -> dict[str, Any] | None:
    """The samples as a result names them, and where a report finds them again."""
    count = len(judged_samples)
    match source:
        case None:
            return None
        case DataFile(path):
            data = open_data(path)
            return {
                "name": data.name,
                "format": str(data.format),
                "path": str(path.absolute()),
                "sha256": data.sha256,
                "samples": count,
                "classes": {name: list(words) for name, words in judged_samples.classes.items()},
            }
        case Simulation(reference):
            digest = hashlib.sha256(str(digest_of(source)).encode()).hexdigest()
            return {"name": f"simulation of {reference}", "sha256": digest, "samples": count}
        case _:
            assert_never(source)


def samples_of(source: Source, graph: Graph) -> Samples:
    """The samples themselves, checked against the network."""
    match source:
        case DataFile(path):
            return read_samples(path, graph)
        case Simulation(reference):
            drawn, _ = simulate_samples(ENTRIES[reference], stage_seed(SEED, "fresh"), SIMULATED)
            return drawn
        case _:
            assert_never(source)


def read_samples(path: Path, graph: Graph) -> Samples:
    """Data for a network's inputs, and labels for its outputs if there are any."""
    states = graph.states
    inputs = {node.name: node.shape for node in graph.inputs if node.name not in states}
    outputs = {name: graph.shapes[name] for name in graph.outputs if name not in states.values()}
    layers = {name: tensor for name, (tensor, _) in host_functions(graph).items()}
    return follow_states(graph, samples.read(path, inputs, outputs, layers=layers))
