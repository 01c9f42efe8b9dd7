# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The table of layers that work: each is run through every stage, and what happened is written.

``python -m reports.make.layers`` regenerates ``docs/layers.md``, and ``layers.json`` in
``reports/reference``, in about half an hour; names after it do so for these layers alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer import api
from edgeinfer.base.errors import EdgeInferError, UnsupportedModelError
from edgeinfer.base.plan import write_file
from edgeinfer.base.scratch import scratch_folder
from reports.make.layer_cases import CASES, LayerCase

ROOT = Path(__file__).parents[2]
PAGE, RECORD = ROOT / "docs" / "layers.md", ROOT / "reports" / "reference" / "layers.json"
BITS = 8
SAMPLES = 40
STAGES = {"csim": "hls", "rtl": "rtl", "tflite": "edgetpu"}
TITLES = {
    "read": "read",
    "engine": "engine",
    "csim": "HLS C-simulation",
    "rtl": "RTL simulation",
    "tflite": "Edge TPU",
}
YES, CLOSE = "yes", "close"


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What a layer's stages did: 'yes', or the reason why not."""

    name: str
    group: str
    onnx: str
    stages: dict[str, str]


def run_case(case: LayerCase) -> LayerRow:
    """Write a model of the layer, read it, and compile it for every target."""
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    inputs = keras.Input(case.shape, batch_size=1, name="x")  # as stateful layers ask for
    stages: dict[str, str] = {}
    with scratch_folder("layers") as folder:
        path = folder / "net.keras"
        keras.Model(inputs, case.make(inputs)).save(path)
        rng = np.random.default_rng(3)
        np.savez(folder / "data.npz", x=rng.normal(0, 1, (SAMPLES, *case.shape)).astype("f4"))
        for stage, target in STAGES.items():
            _run_target(path, folder, target, stage, stages)
    return LayerRow(case.name, case.group, case.onnx, stages)


def _run_target(path: Path, folder: Path, target: str, stage: str, stages: dict[str, str]) -> None:
    try:
        model = api.quantize(api.load(path, folder / "data.npz"), bits=BITS)
    except EdgeInferError as error:
        stages["read"] = _reason(error)
        return
    stages["read"] = YES
    try:
        run = api.compile(model, folder / target, targets=(target,))
    except EdgeInferError as error:
        stages[stage] = _reason(error)
        return
    for entry in run.result.agreement:
        same = YES if entry.bit_identical else CLOSE if stage == "tflite" else "it differs"
        match entry.pair:
            case (_, "engine"):
                stages["engine"] = YES if entry.bit_identical else "it differs"
            case ("engine", "tflite"):  # unless it has an int8 program of its own
                stages.setdefault(stage, same)
            case _:  # this stage against the one before it
                stages[stage] = same


def _reason(error: EdgeInferError) -> str:
    if isinstance(error, UnsupportedModelError):
        return "; ".join(dict.fromkeys(offence.reason for offence in error.offences))
    return str(error).splitlines()[0]


def page_of(rows: Sequence[LayerRow]) -> str:
    """The table as Markdown; reasons stand below it."""
    notes: list[str] = []

    def cell(text: str) -> str:
        if text in (YES, CLOSE, "-"):
            return text
        if text not in notes:
            notes.append(text)
        return f"no ({notes.index(text) + 1})"

    lines = [
        "# Which layers work",
        "",
        "Made by `python -m reports.make.layers`: each layer is saved by Keras, read, quantized to "
        f"{BITS} bits and run through every stage on {SAMPLES} samples. *yes* means that the stage "
        "gave the integers of the stage before it, bit for bit. The Edge TPU's file computes in "
        "int8 in its own way: *yes* means that it gave the integers of its own int8 program, and "
        "*close* that it was off by steps of its output.",
    ]
    for group in dict.fromkeys(row.group for row in rows):
        lines += ["", f"## {group}", ""]
        lines += ["| Keras | ONNX | " + " | ".join(TITLES.values()) + " |"]
        lines += ["|---|---|" + "---|" * len(TITLES)]
        for row in rows:
            if row.group == group:
                cells = [cell(row.stages.get(stage, "-")) for stage in TITLES]
                lines.append(f"| `{row.name}` | {row.onnx} | " + " | ".join(cells) + " |")
    if notes:
        lines += ["", "## Why not", ""]
        lines += [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    return "\n".join(lines) + "\n"


def read_record() -> dict[str, LayerRow]:
    """The rows of the last run, by name."""
    if not RECORD.is_file():
        return {}
    return {item["name"]: LayerRow(**item) for item in json.loads(RECORD.read_text())}


def write_record(rows: Sequence[LayerRow]) -> None:
    """The rows as JSON, and the page."""
    content: list[dict[str, Any]] = [
        {"name": row.name, "group": row.group, "onnx": row.onnx, "stages": row.stages}
        for row in rows
    ]
    write_file(RECORD, json.dumps(content, indent=1) + "\n")
    write_file(PAGE, page_of(rows))


def main() -> None:
    """Run the layers, and renew the page after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="run these only; the others stay as they were")
    names = parser.parse_args().names
    record = read_record()
    for case in CASES:
        if not names or case.name in names:
            record[case.name] = run_case(case)
            sys.stderr.write(f"{case.name}: {record[case.name].stages}\n")
            write_record([record[each.name] for each in CASES if each.name in record])


if __name__ == "__main__":
    main()
