# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The part that touches a device, a process of its own, for the vendor's library may crash it.

``list LIBRARY`` prints the library's version and devices as JSON. ``run LIBRARY MODEL INPUTS
OUTPUTS REPEATS`` runs a compiled file on stored inputs and writes its outputs and times as a NumPy
archive.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.targets.edgetpu.run_file import open_model

TYPES = {0: "pci", 1: "usb"}
WARMING = 5  # runs before any is timed: the first one loads the parameters


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("path", ctypes.c_char_p)]  # ctypes' way


def list_devices(library: str) -> dict[str, Any]:
    """Version and devices, through the library's plain C functions."""
    runtime = ctypes.CDLL(library)
    runtime.edgetpu_version.restype = ctypes.c_char_p
    runtime.edgetpu_list_devices.restype = ctypes.POINTER(_Device)
    runtime.edgetpu_list_devices.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
    runtime.edgetpu_free_devices.argtypes = [ctypes.POINTER(_Device)]
    count = ctypes.c_size_t(0)
    devices = runtime.edgetpu_list_devices(ctypes.byref(count))
    devices_listed = [
        {"type": TYPES.get(devices[i].type, "other"), "path": (devices[i].path or b"").decode()}
        for i in range(count.value)
    ]
    if devices:
        runtime.edgetpu_free_devices(devices)
    return {"version": (runtime.edgetpu_version() or b"").decode(), "devices": devices_listed}


def run(library: str, model: Path, inputs: Path, outputs: Path, repeats: int) -> None:
    """Run a compiled file; inputs and outputs are arrays ``0``, ``1``, ... in the file's order."""
    network = open_model(model, library)
    with np.load(inputs) as archive:
        stored = [archive[str(i)] for i in range(len(archive.files))]
    samples = len(stored[0])
    seconds: list[float] = []
    rows: list[list[Any]] = []
    for turn in range(max(samples, repeats + WARMING)):
        sample = turn % samples
        entering = [values[sample : sample + 1] for values in stored]
        start = time.perf_counter()
        left = network.run(entering)
        seconds.append(time.perf_counter() - start)
        if turn < samples:
            rows.append(left)
    columns = zip(*rows, strict=True)
    arrays: dict[str, Any] = {str(i): np.stack(network) for i, network in enumerate(columns)}
    np.savez(outputs, **arrays, seconds=np.asarray(seconds[WARMING:]))


def main(arguments: list[str]) -> int:
    """Called by `device`; what goes wrong is one line on stderr."""
    try:
        match arguments:
            case ["list", library]:
                sys.stdout.write(json.dumps(list_devices(library)) + "\n")
            case ["run", library, model, inputs, outputs, repeats]:
                run(library, Path(model), Path(inputs), Path(outputs), int(repeats))
            case _:
                raise ValueError("this is called by edgeinfer only")
    except (OSError, ValueError, RuntimeError, AttributeError, ImportError) as error:
        first = str(error).partition("\n")[0]
        sys.stderr.write(f"error: {type(error).__name__}: {first}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
