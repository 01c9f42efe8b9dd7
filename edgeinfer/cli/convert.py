# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``convert``: data of any format as HDF5, mixed and divided by event where asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edgeinfer.cli.options import Json, unused_path
from edgeinfer.cli.terminal import answer


def convert(
    source: Annotated[Path, Parameter(help="what --data takes: a file, file:part, or a folder")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="d.h5, or d.npy for a table of patches; by default the data's name and .h5",
        ),
    ] = None,
    shuffle: Annotated[bool, Parameter(negative="", help="mix the rows")] = False,
    seed: Annotated[int, Parameter(help="the same seed gives the same order and division")] = 0,
    events: Annotated[
        str | None,
        Parameter(
            help="LOW:HIGH, the share of the events, or of rows that name none, to take: 0:0.8 to "
            "train, 0.8:1 to judge"
        ),
    ] = None,
    standardize: Annotated[
        str | None,
        Parameter(
            help="columns to bring to mean 0 and deviation 1, with commas; '*' is all features"
        ),
    ] = None,
    standardize_as: Annotated[
        Path | None,
        Parameter(help="F.h5 that --standardize has written: the same means and deviations"),
    ] = None,
    workers: Annotated[int, Parameter(help="processes that read; 0: only this one")] = 0,
    memory_mib: Annotated[int, Parameter(help="memory that rows may take")] = 256,
    json: Json = False,
) -> None:
    """Write data of any format as HDF5 that --data reads, in bounded memory."""
    from edgeinfer.base.errors import UsageError
    from edgeinfer.data import convert as room
    from edgeinfer.data.open import open_data

    if seed < 0 or workers < 0 or memory_mib < 1:
        raise UsageError("--seed and --workers must not be below 0, --memory-mib not below 1.")
    if standardize is not None and standardize_as is not None:
        raise UsageError(
            "--standardize measures means, --standardize-as takes another file's.",
            hint="Give one.",
        )
    data = open_data(source)
    if output is None:
        output = unused_path(Path(f"{data.place.resolve().stem}.h5"))
    conversion = room.Conversion(
        shuffle,
        seed,
        workers,
        memory_mib << 20,
        None if events is None else _share(events),
        tuple(part.strip() for part in (standardize or "").split(",") if part.strip()),
        standardize_as,
    )
    rows = room.convert(data, output, conversion)
    layout = data.source.layout()
    document = {
        "source": data.name,
        "format": str(data.format),
        "rows": rows,
        "columns": {name: list(column.shape) for name, column in layout.items()},
        "output": str(output),
    }
    lines = [
        f"{data.name} ({data.format}): {rows:,} rows of {', '.join(layout)}",
        f"written   {output}",
    ]
    answer(document, lines, as_json=json)


def _share(text: str) -> tuple[float, float]:
    from edgeinfer.base.errors import UsageError

    low, _, high = text.partition(":")
    try:
        share = float(low), float(high)
    except ValueError:
        share = (1.0, 0.0)
    if not 0 <= share[0] < share[1] <= 1:
        raise UsageError(f"--events {text} is not a share of them.", hint="Write 0:0.8 or 0.8:1.")
    return share
