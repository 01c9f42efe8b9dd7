# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A real Edge TPU: found without TensorFlow Lite, and run in a process of its own.

The vendor's library was built for TensorFlow 2.5 and ends newer runtimes with a segmentation fault;
that then ends the probing process and is told, no more.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.base.tools import FoundTool, Tool
from edgeinfer.targets.edgetpu.tflite.ports import NUMPY_TYPES, TflitePort, TflitePorts
from quantization.fixed import Ints

LIBRARY_VARIABLE: Final = "EDGEINFER_LIBEDGETPU"
LIBRARY: Final = "libedgetpu.so.1"
DIRECT: Final = "libredgetpu"  # talks to a stick without the vendor's library
PROBE: Final = "edgeinfer.targets.edgetpu.chip.device_probe"
PROBE_SECONDS: Final = 30.0
USB_IDS: Final = {("1a6e", "089a"), ("18d1", "9302")}  # before and after its firmware is loaded
REPEATS: Final = 200
PYTHON: Final = Tool(
    "the Edge TPU probe",
    "EDGEINFER_PYTHON",
    "looks for Edge TPUs in a process of its own",
    "pip install ai-edge-litert, and Coral's libedgetpu",
)


@dataclass(frozen=True, slots=True)
class EdgeTpuDevice:
    """One Edge TPU."""

    type: str  # pci or usb
    path: str


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What is there; `problem` says why nothing can be run."""

    library_version: str
    devices: tuple[EdgeTpuDevice, ...]
    nodes: tuple[str, ...]  # what the system shows, with or without the library
    problem: str = ""


def library() -> str:
    """The vendor's library: by the override variable, else wherever the system finds it."""
    return os.environ.get(LIBRARY_VARIABLE, "") or LIBRARY


def nodes(root: Path = Path("/")) -> tuple[str, ...]:
    """Device files of PCIe modules, and USB devices by their ids."""
    devices = [str(path) for path in sorted(root.glob("dev/apex_*"))]
    for path in sorted(root.glob("sys/bus/usb/devices/*/idVendor")):
        try:
            vendor = path.read_text(encoding="ascii").strip()
            product = path.with_name("idProduct").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if (vendor, product) in USB_IDS:
            devices.append(f"usb {path.parent.name} {vendor}:{product}")
    return tuple(devices)


def probe_devices(root: Path = Path("/")) -> ProbeResult:
    """Look for devices; nothing is raised, for there mostly is none."""
    nodes_seen = nodes(root)
    try:
        answer = _probe("list", library())
        document = json.loads(answer.output.splitlines()[-1])
        devices = tuple(EdgeTpuDevice(str(d["type"]), str(d["path"])) for d in document["devices"])
        problem = "" if devices else "the library finds no Edge TPU"
        return ProbeResult(str(document["version"]), devices, nodes_seen, problem)
    except ToolFailedError as error:
        sticks = tuple(EdgeTpuDevice("usb", node) for node in nodes_seen if node.startswith("usb"))
        if sticks and importlib.util.find_spec(DIRECT) is not None:
            return ProbeResult(DIRECT, sticks, nodes_seen)
        return ProbeResult(
            "", (), nodes_seen, error.message.partition(": error: ")[2] or error.message
        )
    except (ValueError, KeyError, IndexError, TypeError):
        return ProbeResult("", (), nodes_seen, "the library gave no answer that can be read")


def _probe(*arguments: str | Path, seconds: float = PROBE_SECONDS) -> tools.ToolRun:
    """Run the probing process."""
    python = FoundTool(PYTHON, Path(sys.executable), "")
    return tools.run(python, ["-m", PROBE, *arguments], seconds=seconds)


def _reshape_output(values: NDArray[Any], port: TflitePort) -> Ints:
    """An output of all samples in its own shape, without padding, what the host adds done."""
    count = math.prod(port.file_shape)
    return port.finish(values.reshape(len(values), -1)[:, :count])


@dataclass(frozen=True, slots=True, eq=False)
class DeviceRun:
    """Stored outputs by name, and the time of each inference."""

    outputs: dict[str, NDArray[Any]]
    seconds: NDArray[np.float64]

    def metric(self, version: str) -> Metric:
        """The median time, between the 5th and the 95th percentile."""
        micros = self.seconds * 1e6
        low, middle, high = (float(np.quantile(micros, q)) for q in (0.05, 0.5, 0.95))
        return Metric(
            "latency_device",
            middle,
            "us",
            Origin.MEASURED,
            low=low,
            high=high,
            tool="libedgetpu",
            version=version,
            target="edgetpu",
        )


def run(
    model: Path,
    ports: TflitePorts,
    stored: Mapping[str, NDArray[Any]],
    *,
    repeats: int = REPEATS,
    seconds: float = 300.0,
) -> DeviceRun:
    """Run a compiled file on a device; an error where there is none, or where it fails."""
    there = probe_devices()
    if not there.devices:
        raise ToolMissingError(
            f"There is no Edge TPU to run on: {there.problem}.",
            hint=f"Attach one, install Coral's libedgetpu, or set {LIBRARY_VARIABLE} to it.",
        )
    with scratch_folder("device") as scratch:
        inputs, outputs = Path(scratch, "inputs.npz"), Path(scratch, "outputs.npz")
        arrays = {
            str(i): stored[port.name].astype(NUMPY_TYPES[port.type])
            for i, port in enumerate(ports.inputs)
        }
        np.savez(inputs, **arrays)  # type: ignore[arg-type]  # NumPy's stub forbids the splat
        _probe("run", library(), model, inputs, outputs, str(repeats), seconds=seconds)
        with np.load(outputs) as archive:
            outputs_by_port = {
                port.name: _reshape_output(archive[str(i)], port)
                for i, port in enumerate(ports.outputs)
            }
            return DeviceRun(outputs_by_port, archive["seconds"])
