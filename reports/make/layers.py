# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The table of layers that work: each is run through every stage, and what happened is written.

``python -m reports.make.layers`` regenerates ``docs/layers.md``, and ``layers.json`` in
``reports/reference``, in about an hour; names after it do so for these layers alone, and
``--files`` for what ONNX and TensorFlow Lite files hold alone, in about ten minutes, and
``--stage tflite`` for the Edge TPU's column alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer import api
from edgeinfer.base.errors import EdgeInferError
from edgeinfer.base.plan import write_file
from edgeinfer.base.scratch import scratch_folder
from reports.make.layer_cases import CASES, LayerCase
from reports.make.layer_files import (
    BITS,
    SAMPLES,
    YES,
    int8_file,
    reason_of,
    run_onnx_case,
    run_tflite_case,
)
from reports.make.onnx_cases import ONNX_CASES

ROOT = Path(__file__).parents[2]
PAGE, RECORD = ROOT / "docs" / "layers.md", ROOT / "reports" / "reference" / "layers.json"
STAGES = {"csim": "hls", "rtl": "rtl", "tflite": "edgetpu"}
TITLES = {
    "read": "Keras in",
    "onnx": "ONNX in",
    "int8": "TFLite in",
    "engine": "engine",
    "csim": "HLS C-simulation",
    "rtl": "RTL simulation",
    "tflite": "Edge TPU",
}
CLOSE, NONE = "close", "-"
RECURRENT = "Recurrent layers"  # at which the converter may end the whole process
CRASH = "TensorFlow's calibrator ends the converter's process by a fault of memory"


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What a layer's stages did: 'yes', or the reason why not."""

    name: str
    group: str
    onnx: str
    stages: dict[str, str]


def run_case(case: LayerCase) -> LayerRow:
    """Write a model of the layer, read it, and compile it for every target."""
    row = LayerRow(case.name, case.group, case.onnx, {})
    for stage in STAGES:
        row = run_stage(case, row, stage)
    return run_files(case, row)


def run_stage(case: LayerCase, row: LayerRow, stage: str) -> LayerRow:
    """The row with what one stage does now."""
    stages = {name: text for name, text in row.stages.items() if name != stage}
    with scratch_folder("layers") as folder:
        path = folder / "net.keras"
        _keras_model(case).save(path)
        np.savez(folder / "data.npz", x=_samples(case))
        _run_target(path, folder, STAGES[stage], stage, stages)
    order = dict.fromkeys((*row.stages, *stages))
    return replace(row, stages={name: stages[name] for name in order if name in stages})


def run_files(case: LayerCase, row: LayerRow) -> LayerRow:
    """The row with what became of the layer in an ONNX file and in an int8 file."""
    with scratch_folder("layers") as folder:
        nodes = ONNX_CASES.get(case.name)
        onnx = NONE if nodes is None else run_onnx_case(nodes, folder)
        content = _convert_apart(case) if case.group == RECURRENT else _convert(case)
        int8 = (
            run_tflite_case(content, _samples(case), folder)
            if isinstance(content, bytes)
            else content
        )
    return replace(row, onnx=case.onnx, stages={**row.stages, "onnx": onnx, "int8": int8})


def _convert(case: LayerCase) -> bytes | str:
    return int8_file(_keras_model(case), _samples(case))


def _convert_apart(case: LayerCase) -> bytes | str:
    """The same in a process of its own, which the converter may end."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_convert_by_name, case.name).result()
        except BrokenProcessPool:
            return CRASH


def _convert_by_name(name: str) -> bytes | str:
    return _convert(next(case for case in CASES if case.name == name))


def _keras_model(case: LayerCase) -> Any:
    import keras

    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    inputs = keras.Input(case.shape, batch_size=1, name="x")  # as stateful layers ask for
    return keras.Model(inputs, case.make(inputs))


def _samples(case: LayerCase) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 1, (SAMPLES, *case.shape)).astype("f4")


def _run_target(path: Path, folder: Path, target: str, stage: str, stages: dict[str, str]) -> None:
    try:
        model = api.quantize(api.load(path, folder / "data.npz"), bits=BITS)
    except EdgeInferError as error:
        stages["read"] = reason_of(error)
        return
    stages["read"] = YES
    try:
        run = api.compile(model, folder / target, targets=(target,))
    except EdgeInferError as error:
        stages[stage] = reason_of(error)
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


def page_of(rows: Sequence[LayerRow]) -> str:
    """The table as Markdown; reasons stand below it."""
    notes: list[str] = []

    def cell(text: str) -> str:
        if text in (YES, CLOSE, NONE):
            return text
        if text not in notes:
            notes.append(text)
        return f"no ({notes.index(text) + 1})"

    lines = [
        "# Which layers work",
        "",
        "Made by `python -m reports.make.layers`, which runs everything that it states.",
        "",
        f"*Keras in*: the layer is saved by Keras, read, quantized to {BITS} bits and run through "
        f"every stage on {SAMPLES} samples. *yes* for a stage means that it gave the integers of "
        "the stage before it, bit for bit. The Edge TPU's file computes in int8 in its own way: "
        "*yes* means that it gave the integers of its own int8 program, and *close* that it was "
        "off by steps of its output.",
        "",
        "*ONNX in*: a file of the nodes in the second column. *yes* means that it is read, gives "
        f"ONNX Runtime's numbers, and gives in {BITS} bits the same integers in interpreter and "
        "engine. *TFLite in*: the int8 file that TensorFlow's converter makes of the Keras layer. "
        "*yes* means that it is read, gives the integers of TensorFlow Lite's reference kernels, "
        "and the same in interpreter and engine. For both, HLS and RTL take what was read: they "
        "refuse nothing of it. Their simulations ran on what came from Keras only. A dash: there "
        "is no such operator, or this has not been run for the layer yet. LiteRT 2.3's reference "
        "kernel makes no sums of an int8 `SUM`, and there is none for `ELU`, `CEIL` and `ROUND`; a "
        "file that has one of these is held against its plain kernels. Keras's `argmax` looks at "
        "the signs of zeros by `BitwiseAnd`, which TensorFlow Lite lacks; the loop of a recurrent "
        "layer ends TensorFlow's calibrator by a fault of memory, as was seen of `LSTM`.",
    ]
    for group in dict.fromkeys(row.group for row in rows):
        lines += ["", f"## {group}", ""]
        lines += ["| Keras | ONNX | " + " | ".join(TITLES.values()) + " |"]
        lines += ["|---|---|" + "---|" * len(TITLES)]
        for row in rows:
            if row.group == group:
                cells = [cell(row.stages.get(stage, NONE)) for stage in TITLES]
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
    parser.add_argument("--files", action="store_true", help="ONNX and TensorFlow Lite files only")
    parser.add_argument("--stage", choices=STAGES, help="this stage only")
    arguments = parser.parse_args()
    record = read_record()
    for case in CASES:
        if not arguments.names or case.name in arguments.names:
            old = record.get(case.name)
            if old is not None and arguments.stage:
                record[case.name] = run_stage(case, old, arguments.stage)
            elif old is not None and arguments.files:
                record[case.name] = run_files(case, old)
            else:
                record[case.name] = run_case(case)
            sys.stderr.write(f"{case.name}: {record[case.name].stages}\n")
            write_record([record[each.name] for each in CASES if each.name in record])


if __name__ == "__main__":
    main()
