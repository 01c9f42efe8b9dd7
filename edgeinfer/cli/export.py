# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verb ``export``: an integer network as a file for other people's tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from edgeinfer.cli.options import BatchAxis, Json, axis_of_word, unused_path
from edgeinfer.cli.terminal import answer

if TYPE_CHECKING:
    from edgeinfer.run.export import ExportResult
    from edgeinfer.serve.triton_repository import RepositoryExport


def export(
    source: Annotated[Path, Parameter(help="a run folder that compile has made, or a model")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="F.onnx; by default the source's name and the format; a folder for triton",
        ),
    ] = None,
    format: Annotated[  # the option's name
        Literal["qonnx", "qdq", "integer-onnx", "triton", "triton-python"],
        Parameter(
            help="qonnx: Quant nodes; qdq: QuantizeLinear pairs; integer-onnx: integers only; "
            "triton: the latter in a model repository, triton-python: for its Python backend"
        ),
    ],
    batch_axis: BatchAxis = "0",
    json: Json = False,
) -> None:
    """Write the integer network as ONNX, with what its numbers mean inside the file."""
    result: ExportResult | RepositoryExport
    in_repository = format in ("triton", "triton-python")
    if output is None:
        name = f"{source.resolve().stem}-{format}"
        output = unused_path(Path(name if in_repository else f"{name}.onnx"))
    if in_repository:
        from edgeinfer.serve.triton_repository import RepositoryFormat, write_repository

        axis = axis_of_word(batch_axis)
        result = write_repository(source, output, RepositoryFormat(format), axis)
    else:
        from edgeinfer.export.onnx_files import OnnxFormat
        from edgeinfer.run.export import export as exported

        result = exported(source, OnnxFormat(format), output, axis_of_word(batch_axis))
    lines = [result.sentence(), *(f"finding   {finding}" for finding in result.findings)]
    answer(result.as_dict(), lines, as_json=json)
