# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An int8 file run by TensorFlow Lite's reference kernels, and how far it is from the Program.

The kernels are named: other ones (XNNPACK's, the chip's) differ from these by some steps of the
outputs, so that equality can be asked of one set of kernels only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgeinfer.errors import InputError, ToolFailedError, ToolMissingError
from edgeinfer.ir.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.ports import Port, Ports
from quantization.fixed import Ints, dequantize

RESOLVER: Final = "BUILTIN_REF"
Advanced = Callable[[int, int], None]
Stored = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Whose TensorFlow Lite runs a file."""

    name: str
    version: str


class Interpreter:
    """A file ready to be run, one sample after the other, always by the same kernels."""

    def __init__(self, data: bytes, ports: Ports) -> None:
        module, self.runtime = _module()
        self.ports = ports
        try:
            self._interpreter = module.Interpreter(
                model_content=data,
                experimental_op_resolver_type=module.OpResolverType[RESOLVER],
                num_threads=1,
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ToolFailedError(
                f"{self.runtime.name} cannot run the file: {_first_line(error)}.",
                hint="Operators of a compiled file run on an Edge TPU only.",
            ) from None
        self._inputs = [d["index"] for d in self._interpreter.get_input_details()]
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]
        sides = ((ports.inputs, self._inputs), (ports.outputs, self._outputs))
        if any(len(known) != len(held) for known, held in sides):
            raise InputError("The file has other inputs or outputs than its description says.")

    def run(
        self,
        stored: Mapping[str, NDArray[Any]],
        advanced: Advanced = lambda done, total: None,
    ) -> Stored:
        """Stored outputs by name, for stored inputs by name."""
        total = len(next(iter(stored.values())))
        found: Stored = {
            port.name: np.empty((total, *port.shape), np.int64) for port in self.ports.outputs
        }
        for sample in range(total):
            for port, index in zip(self.ports.inputs, self._inputs, strict=True):
                part = stored[port.name][sample : sample + 1]
                self._interpreter.set_tensor(index, part.astype(_dtype(port)))
            self._interpreter.invoke()
            for port, index in zip(self.ports.outputs, self._outputs, strict=True):
                held = self._interpreter.get_tensor(index)
                found[port.name][sample] = held.reshape(port.shape)
            advanced(sample + 1, total)
        return found


def _dtype(port: Port) -> str:
    return "int8" if port.type == "INT8" else "uint8"


def _module() -> tuple[Any, Runtime]:
    """LiteRT, or TensorFlow's own copy of it."""
    from importlib import import_module, metadata

    for name, package in (
        ("ai_edge_litert.interpreter", "ai-edge-litert"),
        ("tensorflow.lite.python.interpreter", "tensorflow"),
    ):
        try:
            return import_module(name), Runtime(package, metadata.version(package))
        except ImportError:
            continue
    raise ToolMissingError(
        "Neither ai-edge-litert nor TensorFlow is installed, so no int8 model can be run.",
        hint="Get it with: pip install ai-edge-litert",
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300].rstrip(".")


@dataclass(frozen=True, slots=True)
class OutputAgreement:
    """One output: how many numbers differ by how many steps of the output's scale."""

    name: str
    step: float
    histogram: dict[int, int]  # got minus expected, in steps: how often

    @property
    def max_steps(self) -> int:
        """The largest difference."""
        return max((abs(steps) for steps in self.histogram), default=0)


@dataclass(frozen=True, slots=True)
class Int8Agreement:
    """An int8 file against the Program that it was made from."""

    samples: int
    outputs: tuple[OutputAgreement, ...]
    decision_flips: int  # against the Program rounded to the outputs' levels
    decision_flips_unrounded: int  # against the Program itself

    @property
    def max_steps(self) -> int:
        """The largest difference of any output, in its own steps."""
        return max((output.max_steps for output in self.outputs), default=0)

    @property
    def flips(self) -> float:
        """Share of the samples that are decided otherwise than by the Program's outputs as they
        leave, on their levels."""
        return self.decision_flips / max(self.samples, 1)


def stored_inputs(program: Program, ports: Ports, raw: Mapping[str, Ints]) -> Stored:
    """A Program's raw inputs as a file stores them."""
    types = {op.name: op.type for op in program.inputs}
    return {
        port.name: port.stored(dequantize(raw[port.name], types[port.name]))
        for port in ports.inputs
    }


def raw_outputs(program: Program, ports: Ports, stored: Stored) -> dict[str, Ints]:
    """Stored outputs as raw integers of the Program's output types."""
    types = {output.name: program.type(output.value) for output in program.outputs}
    found: dict[str, Ints] = {}
    for port in ports.outputs:
        steps = port.real(stored[port.name])
        found[port.name] = np.rint(np.ldexp(steps, types[port.name].frac)).astype(np.int64)
    return found


def compared(
    program: Program,
    interpreter: Interpreter,
    raw: Mapping[str, Ints],
    advanced: Advanced = lambda done, total: None,
) -> Int8Agreement:
    """Run both on the same samples."""
    from_engine = Engine(program).run(raw)
    ports = interpreter.ports
    got = interpreter.run(stored_inputs(program, ports, raw), advanced)
    samples = len(next(iter(raw.values())))
    types = {output.name: program.type(output.value) for output in program.outputs}
    outputs = []
    flipped = np.zeros(samples, bool)
    flipped_unrounded = np.zeros(samples, bool)
    for port in ports.outputs:
        exact = dequantize(from_engine[port.name], types[port.name])
        wanted = port.stored(exact)
        steps, counts = np.unique(got[port.name] - wanted, return_counts=True)
        histogram = dict(zip(steps.tolist(), counts.tolist(), strict=True))
        outputs.append(OutputAgreement(port.name, port.scale, histogram))
        decided = _decided(port.real(got[port.name]))
        flipped |= (decided != _decided(port.real(wanted))).reshape(samples, -1).any(axis=1)
        flipped_unrounded |= (decided != _decided(exact)).reshape(samples, -1).any(axis=1)
    return Int8Agreement(samples, tuple(outputs), int(flipped.sum()), int(flipped_unrounded.sum()))


def _decided(values: NDArray[np.float64]) -> NDArray[Any]:
    """The winning class at every position; of an only value, whether it is above zero."""
    if values.ndim > 1 and values.shape[-1] > 1:
        winners: NDArray[Any] = values.argmax(axis=-1)
        return winners
    return values > 0
