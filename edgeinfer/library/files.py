# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files: integer networks for other people's tools, what a vendor's compiler makes of a model, data
written anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from edgeinfer.api import Model, Run
from edgeinfer.base.errors import InputError
from edgeinfer.data import convert as room
from edgeinfer.data.open import open_data
from edgeinfer.export.onnx_files import OnnxFormat
from edgeinfer.library.answers import LibraryAnswer, folder_of
from edgeinfer.run.export import ExportResult
from edgeinfer.run.export import export as write_export
from edgeinfer.targets.registry import choose, known_targets
from edgeinfer.targets.target import Description


def export_onnx(
    source: Model | Run | str | Path,
    output: str | Path,
    *,
    format: Literal["qonnx", "qdq", "integer-onnx"],  # the option's name
) -> ExportResult:
    """The integer network of a run, or of a model as `compile` would make it, as an ONNX file:
    `qonnx` with Quant nodes, `qdq` with QuantizeLinear pairs, `integer-onnx` with integers only."""
    axis: int | None = 0
    if isinstance(source, Model):
        place, axis = source.path, source.batch_axis
    else:
        place = folder_of(source)
    return write_export(place, OnnxFormat(format), Path(output), axis)


def map_files(
    *files: str | Path, runtime: int | None = None, segments: int | None = None
) -> LibraryAnswer:
    """What a vendor's compiler would make of int8 files that share a chip: operators, memory, time.
    `runtime`: the version that the rules are for; `segments`: chips in a pipeline."""
    options = {"runtime": runtime, "segments": segments}
    chosen_options = {name: value for name, value in options.items() if value is not None}
    chosen_targets = [
        choose(name, entry.read_options(chosen_options)) for name, entry in known_targets().items()
    ]
    paths = tuple(map(Path, files))
    return _first_answer(
        paths, [each.target.map_files(paths, each.settings) for each in chosen_targets]
    )


def inspect_file(file: str | Path) -> LibraryAnswer:
    """What a compiled file holds: parameters, instructions, inputs and outputs."""
    path = Path(file)
    return _first_answer(
        (path,), [entry.make().inspect(path) for entry in known_targets().values()]
    )


def convert(
    source: str | Path,
    output: str | Path,
    *,
    shuffle: bool = False,
    seed: int = 0,
    events: tuple[float, float] | None = None,
    standardize: Sequence[str] = (),
    standardize_as: str | Path | None = None,
    workers: int = 0,
    memory_mib: int = 256,
) -> int:
    """Data of any format as HDF5, in bounded memory; how many rows there are. `events`: the share
    of the events to take, such as (0, 0.8); `standardize`: columns to bring to mean 0 and deviation
    1, `standardize_as`: a file whose means and deviations are taken."""
    standards_path = None if standardize_as is None else Path(standardize_as)
    conversion = room.Conversion(
        shuffle, seed, workers, memory_mib << 20, events, tuple(standardize), standards_path
    )
    return room.convert(open_data(source), Path(output), conversion)


def _first_answer(files: tuple[Path, ...], answers: list[Description | None]) -> LibraryAnswer:
    answer = next((each for each in answers if each is not None), None)
    if answer is None:
        raise InputError(
            f"No target knows files such as {', '.join(map(str, files))}.", hint="Check the path."
        )
    document: Mapping[str, Any] = answer.document
    return LibraryAnswer(document, answer.lines)
