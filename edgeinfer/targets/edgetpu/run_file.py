# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Run an int8 file on real numbers, on this processor or on an Edge TPU.

    python run.py INPUTS.npz OUTPUTS.npz [--device] [--library libedgetpu.so.1]

Stands beside `model.tflite` and `ports.json`. INPUTS.npz holds one array for each input, by its
name, samples first. They are stored as `ports.json` says: floor(value / scale + 0.5) + zero point,
limited to the type. OUTPUTS.npz gets the scores by name (a probability where `ports.json` names a
host function), and `NAME.stored`, the integers as the file gives them; where `ports.json` holds a
layer for the host, what it makes of them. How long the samples took is said at the end. `--device`
runs `model_edgetpu.tflite` by the vendor's library, or by libredgetpu where that is not here. It
needs NumPy, and LiteRT or libredgetpu; not edgeinfer.

On a Raspberry Pi with a 64-bit system and a stick, which we had not; run.py is then started by
~/edgetpu/bin/python:

    sudo apt install ./libedgetpu1-std_VERSION.deb
    python3 -m venv ~/edgetpu
    ~/edgetpu/bin/pip install numpy ai-edge-litert

The first file is one for your system from https://github.com/feranick/libedgetpu/releases. Google's
own package was built for TensorFlow 2.5, and ends newer runtimes with a segmentation fault.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

TYPES = {
    "INT8": (np.int8, -128, 127),
    "UINT8": (np.uint8, 0, 255),
    "INT16": (np.int16, -32768, 32767),
}
RUNTIMES = (
    "ai_edge_litert.interpreter",
    "tflite_runtime.interpreter",
    "tensorflow.lite.python.interpreter",
)
SIGN_BIT = 0x80  # the chip's bytes are unsigned
LIBRARY = "libedgetpu.so.1"


class FileModel(Protocol):
    """A file that can be run."""

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of one sample, in the file's order."""
        ...


class LiteRtModel:
    """By LiteRT, through a delegate where there is one."""

    def __init__(self, path: Path, library: str | None) -> None:
        module = litert()
        delegates = [] if library is None else [_delegate(module, library)]
        options = {"model_content": path.read_bytes(), "experimental_delegates": delegates}
        try:
            self._held = _prepare(module, options)
        except (ValueError, RuntimeError) as error:
            if delegates or "xnnpack" not in str(error).lower():
                raise
            types = module.OpResolverType  # XNNPACK cannot take the file; LiteRT's own kernels can
            plain = {"experimental_op_resolver_type": types.BUILTIN_WITHOUT_DEFAULT_DELEGATES}
            self._held = _prepare(module, options | plain)
        self._enter = [d["index"] for d in self._held.get_input_details()]
        self._leave = [d["index"] for d in self._held.get_output_details()]

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of one sample, in the file's order."""
        for index, values in zip(self._enter, inputs, strict=True):
            self._held.set_tensor(index, values)
        self._held.invoke()
        return [self._held.get_tensor(index)[0].copy() for index in self._leave]


def _prepare(module: Any, options: Mapping[str, Any]) -> Any:
    interpreter = module.Interpreter(**options)
    interpreter.allocate_tensors()
    return interpreter


class DirectModel:
    """By libredgetpu, which talks to a stick over USB itself. The whole file must be mapped."""

    def __init__(self, path: Path) -> None:
        self._held = importlib.import_module("libredgetpu").SimpleInvoker(str(path))
        self._held.__enter__()  # the stick is held as long as this process lives

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of one sample, flat, perhaps with padding: a network of int8 numbers has such
        outputs too."""
        sent = b"".join(_flip_sign(values).tobytes() for values in inputs)
        parts = [np.frombuffer(part, np.uint8) for part in self._held.invoke_raw_outputs(sent)]
        signed = np.asarray(inputs[0]).dtype == np.int8
        return [(part ^ SIGN_BIT).view(np.int8) if signed else part for part in parts]


class TimedModel:
    """A file that can be run, and the seconds that each sample took."""

    def __init__(self, model: FileModel) -> None:
        self._model = model
        self.seconds: list[float] = []

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of one sample, in the file's order."""
        began = time.perf_counter()
        outputs = self._model.run(inputs)
        self.seconds.append(time.perf_counter() - began)
        return outputs

    def describe_times(self) -> str:
        """The first sample on a chip takes longer: the weights go there, too."""
        total, middle = sum(self.seconds), float(np.median(self.seconds))
        return (
            f"{len(self.seconds):,} samples in {total:.3f} s: {len(self.seconds) / total:,.0f} a "
            f"second; one takes {middle * 1e3:.3f} ms (median), the first took "
            f"{self.seconds[0] * 1e3:.3f} ms; storing inputs and reading scores not counted"
        )


def litert() -> Any:
    """Whichever of LiteRT's packages is here."""
    for name in RUNTIMES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise OSError("LiteRT is not installed: pip install ai-edge-litert")


def open_model(path: Path, library: str | None) -> FileModel:
    """A file on this processor, or on a chip by a library; without that library by libredgetpu."""
    if library is None:
        return LiteRtModel(path, None)
    try:
        return LiteRtModel(path, library)
    except (OSError, ValueError) as error:
        try:
            return DirectModel(path)
        except ImportError:
            raise error from None


def _delegate(module: Any, library: str) -> Any:
    ctypes.CDLL(library)  # where it is missing, LiteRT would print a traceback beside the error
    load = getattr(module, "load_delegate", None) or module.experimental.load_delegate
    return load(library, {})


def _flip_sign(values: Any) -> Any:
    flat = np.ascontiguousarray(values)
    return flat.view(np.uint8) ^ SIGN_BIT if flat.dtype == np.int8 else flat


def store(port: Mapping[str, Any], values: Any) -> Any:
    """Real values as the file takes them: the nearest level, ties upwards."""
    dtype, low, high = TYPES[port["type"]]
    steps = np.floor(np.asarray(values, np.float64) / port["scale"] + 0.5) + port["zero_point"]
    return np.clip(steps, low, high).astype(dtype).reshape(-1, *port["shape"])


def read_level(port: Mapping[str, Any], level: Any) -> Any:
    """What stored numbers stand for."""
    return (np.asarray(level, np.float64) - port["zero_point"]) * port["scale"]


def _reshape_output(port: Mapping[str, Any], values: Any) -> Any:
    """An output in its own shape, without padding; the host's layer done, if it has one."""
    layer = port.get("layer")
    shape = (layer or port)["shape"]
    flat = np.asarray(values).reshape(-1)[: int(np.prod(shape, dtype=int))]
    return flat.reshape(shape) if layer is None else compute_layer(layer, flat.reshape(shape))


def ready_layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    """A layer as `ports.json` holds it, its constants as arrays."""
    constants = {key: np.asarray(layer[key], np.int64) for key in ("weights", "biases")}
    return {**layer, **constants}


def compute_layer(layer: Mapping[str, Any], values: Any) -> Any:
    """A dense layer in integers, ties upwards, limited to 16 bits."""
    raw = values.astype(np.int64) - layer["zero_point"]
    total = (raw @ layer["weights"] << layer["up"]) + layer["biases"]
    dtype, low, high = TYPES["INT16"]
    rounded = (total + (1 << layer["down"] >> 1)) >> layer["down"]
    return np.clip(rounded, low, high).astype(dtype)


def scores_of(ports: Sequence[Mapping[str, Any]], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Real scores by name: the finer of two outputs where it is not at an end, and what is left to
    the host done."""
    levels = {port["name"]: read_level(port, stored[port["name"]]) for port in ports}
    for port in ports:
        if port["fine_of"]:
            coarse, fine = levels[port["fine_of"]], levels.pop(port["name"])
            low, high = (read_level(port, end) for end in TYPES[port["type"]][1:])
            outer = np.where(fine >= high, np.maximum(coarse, high), np.minimum(coarse, low))
            levels[port["fine_of"]] = np.where((fine > low) & (fine < high), fine, outer)
    hosts = {port["name"]: port["host"] for port in ports}
    return {name: _finish(values, hosts[name]) for name, values in levels.items()}


def _finish(values: Any, host: str) -> Any:
    if host == "sigmoid":
        return np.exp(-np.logaddexp(0.0, -values))
    if host == "softmax":
        grown = np.exp(values - values.max(axis=-1, keepdims=True))
        return grown / grown.sum(axis=-1, keepdims=True)
    return values


def run(model: FileModel, ports: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Every sample: scores by name, and stored integers as `NAME.stored`."""
    entering = [store(port, inputs[port["name"]]) for port in ports["inputs"]]
    leaving = [
        {**port, "layer": ready_layer(port["layer"])} if port.get("layer") else port
        for port in ports["outputs"]
    ]
    rows = []
    for sample in range(len(entering[0])):
        left = model.run([values[sample : sample + 1] for values in entering])
        rows.append([_reshape_output(p, values) for p, values in zip(leaving, left, strict=True)])
    stored = {
        port["name"]: np.stack([row[number] for row in rows])
        for number, port in enumerate(ports["outputs"])
    }
    kept = {f"{name}.stored": values for name, values in stored.items()}
    return scores_of(ports["outputs"], stored) | kept


def main(arguments: Sequence[str]) -> int:
    """What goes wrong is one line on stderr."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description="Run the int8 file beside this script.")
    parser.add_argument("inputs", type=Path, help="an .npz of real inputs by name")
    parser.add_argument("outputs", type=Path, help="the .npz to write")
    parser.add_argument("--device", action="store_true", help="on an Edge TPU")
    parser.add_argument("--library", default=LIBRARY, help="the vendor's library")
    options = parser.parse_args(arguments)
    name = "model_edgetpu.tflite" if options.device else "model.tflite"
    try:
        ports = json.loads((here / "ports.json").read_text(encoding="utf-8"))
        library = options.library if options.device else None
        model = TimedModel(open_model(here / name, library))
        with np.load(options.inputs) as archive:
            results = run(model, ports, {port["name"]: archive[port["name"]] for port in
                                       ports["inputs"]})  # fmt: skip
        np.savez(options.outputs, **results)
        sys.stdout.write(f"{model.describe_times()}\n")
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        sys.stderr.write(f"error: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
