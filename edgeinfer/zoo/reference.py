# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Trained weights that ship with the package, and the record of how they came about."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import InputError
from edgeinfer.base.plan import write_files
from edgeinfer.graph.nodes import Graph
from edgeinfer.zoo import REFERENCES, entry_of, reference_path, shipped_file
from edgeinfer.zoo.entry import EventSamples, Outputs, ZooEntry
from edgeinfer.zoo.evaluate import BootstrapInterval, JudgedOutputs

MAX_BYTES = 1 << 20  # of committed weights


@dataclass(frozen=True, slots=True)
class ReferenceRecord:
    """What made a reference, and how well it does on simulated events it has not seen."""

    name: str
    command: str
    seed: int
    samples: int
    epochs_run: int
    best_epoch: int
    stopped: str
    parameters: int
    macs: int
    sha256: str
    test_samples: int
    test_events: int
    metrics: Mapping[str, BootstrapInterval]
    versions: Mapping[str, str]
    note: str = "Measured on simulated data; this is not a detector's performance."

    def to_json(self) -> str:
        """The record as it is committed."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @staticmethod
    def from_json(text: str, source: Path) -> ReferenceRecord:
        """Read a committed record."""
        try:
            document = json.loads(text)
            metrics = {
                name: BootstrapInterval(**value) for name, value in document.pop("metrics").items()
            }
            return ReferenceRecord(metrics=metrics, **document)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{source} is not a record of a reference model: {error}.",
                hint="Install edgeinfer again.",
            ) from None


def record_of(entry: ZooEntry, folder: Path = REFERENCES) -> ReferenceRecord | None:
    """The record beside the weights; None for a model that is trained on demand."""
    if entry.reference is None:
        return None
    path = shipped_file(folder / f"{entry.name}.json")
    return ReferenceRecord.from_json(path.read_text(encoding="utf-8"), path)


def load_reference(name: str) -> Graph:
    """The float network of a committed reference, read without TensorFlow."""
    return load_graph(reference_path(entry_of(name)), name)


def load_graph(path: Path, name: str) -> Graph:
    """A trained model's float network."""
    from edgeinfer.readers import load

    return load(path, name=name).graph


def outputs_of(entry: ZooEntry, graph: Graph, samples: EventSamples) -> Outputs:
    """What a float network says of the samples, by head."""
    from edgeinfer.ir.engine.float_engine import FloatEngine

    outputs = FloatEngine(graph).run(dict(samples.inputs))
    return {head.name: outputs[head.name] for head in entry.heads}


def judge_network(entry: ZooEntry, graph: Graph, samples: EventSamples) -> JudgedOutputs:
    """A float network's outputs beside the samples."""
    return JudgedOutputs(outputs_of(entry, graph, samples), samples)


def commit(
    entry: ZooEntry, model: Path, record: ReferenceRecord, folder: Path = REFERENCES
) -> None:
    """Put a trained model and its record where the package looks for them."""
    if model.stat().st_size > MAX_BYTES:
        raise InputError(
            f"{model}: {model.stat().st_size:,} bytes are more than the {MAX_BYTES:,} that a "
            f"committed reference may have.",
            hint="Leave it to be trained on demand.",
        )
    write_files(
        {
            folder / f"{entry.name}.keras": model.read_bytes(),
            folder / f"{entry.name}.json": record.to_json().encode(),
        }
    )


def describe_entry(entry: ZooEntry) -> dict[str, Any]:
    """A reference model as `models --json` lists it."""
    record = record_of(entry)
    metrics = {} if record is None else record.metrics
    return {
        "name": entry.name,
        "about": entry.about,
        "task": entry.task.value,
        "parameters": entry.parameters,
        "macs": entry.macs,
        "metrics": {name: interval.value for name, interval in metrics.items()},
        "intervals": {name: [interval.low, interval.high] for name, interval in metrics.items()},
        "trained": record is not None,
    }
