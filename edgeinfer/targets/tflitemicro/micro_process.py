# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""TensorFlow Lite Micro in a process of its own: it ends the process where it cannot go on.

Called with ``MODEL INPUTS OUTPUTS``: runs a file on stored inputs, arrays ``0``, ``1``, ... of a
NumPy archive, writes its outputs the same way, and prints what it allocates. It imports nothing of
this package, so that any Python with `tflite_micro` and NumPy can run it.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

FIRST_ARENA, LARGEST_ARENA = 1 << 18, 1 << 30  # bytes that are tried for tensors
VERSION: Final = "version"


def main(arguments: list[str]) -> int:
    """What goes wrong is one line on stderr."""
    try:
        from importlib import metadata

        sys.stdout.write(f"tflite-micro {metadata.version('tflite-micro')}\n")
        sys.stdout.flush()
        match arguments:
            case [flag] if flag == VERSION:
                return 0
            case [model, inputs, outputs]:
                run(Path(model), Path(inputs), Path(outputs))
            case _:
                raise ValueError("this is called by edgeinfer only")
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        first = str(error).partition("\n")[0]
        sys.stderr.write(f"error: {type(error).__name__}: {first}\n")
        return 1
    return 0


def run(model: Path, inputs: Path, outputs: Path) -> None:
    """Run every sample of the inputs."""
    with np.load(inputs) as archive:
        entering = [archive[str(number)] for number in range(len(archive.files))]
    interpreter = _interpreter(model)
    results: list[list[Any]] = []
    for sample in range(len(entering[0])):
        for number, values in enumerate(entering):
            interpreter.set_input(values[sample : sample + 1], number)
        interpreter.invoke()
        results.append(_outputs(interpreter))
    columns = enumerate(zip(*results, strict=True))
    arrays: dict[str, Any] = {str(number): np.concatenate(rows) for number, rows in columns}
    np.savez(outputs, **arrays)
    interpreter.print_allocations()


def _interpreter(model: Path) -> Any:
    """With an arena that is large enough."""
    runtime = importlib.import_module("tflite_micro").runtime  # the extra `micro` brings it
    size = max(FIRST_ARENA, 2 * model.stat().st_size)
    while True:
        try:
            return runtime.Interpreter.from_file(str(model), arena_size=size)
        except RuntimeError:
            if size >= LARGEST_ARENA:
                raise
            size *= 4


def _outputs(interpreter: Any) -> list[Any]:
    """All outputs; there is no count of them to ask for."""
    outputs: list[Any] = []
    while True:
        try:
            outputs.append(np.array(interpreter.get_output(len(outputs))))
        except (IndexError, ValueError, RuntimeError):
            return outputs


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
