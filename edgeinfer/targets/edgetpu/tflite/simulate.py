# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An int8 file run by TensorFlow Lite, and how far it is from the Program.

The kernels are named. Those that people get without asking (XNNPACK's on a PC) are what a file is
made for; the reference kernels, and the chip's, may differ from these by some steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import InputError, ToolFailedError, ToolMissingError
from edgeinfer.base.quiet import quiet_stderr
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.targets.edgetpu.tflite.ports import NUMPY_TYPES, RANGES, TflitePorts
from quantization.fixed import Ints, dequantize

XNNPACK: Final = "XNNPACK"
SAMPLES_COMPARED: Final = 1000  # by kernels that are slow: to know a rate, so many do
SampleProgress = Callable[[int, int], None]
Stored = dict[str, NDArray[Any]]
Reals = NDArray[np.float64]


class Kernels(StrEnum):
    """A set of kernels, by what TensorFlow Lite calls its resolver."""

    DEFAULT = "AUTO"  # with XNNPACK, what an interpreter takes if nothing is asked of it
    REFERENCE = "BUILTIN_REF"
    BUILTIN = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"  # where XNNPACK cannot take the file


@dataclass(frozen=True, slots=True)
class Runtime:
    """Whose TensorFlow Lite runs a file, and by which kernels."""

    name: str
    version: str
    kernels: str


class Runner(Protocol):
    """A file ready to be run, by whatever runs it."""

    ports: TflitePorts
    runtime: Runtime

    def run(
        self, stored: Mapping[str, NDArray[Any]], report_progress: SampleProgress = ...
    ) -> Stored:
        """Stored outputs by name, for stored inputs by name."""
        ...


class Interpreter:
    """A file ready to be run, one sample after the other, always by the same kernels."""

    def __init__(self, data: bytes, ports: TflitePorts, kernels: Kernels = Kernels.DEFAULT) -> None:
        module, name, version = runtime_module()
        self.ports = ports
        try:
            self._interpreter = prepare(module, data, kernels)
        except (ValueError, RuntimeError) as error:
            if kernels is not Kernels.DEFAULT or XNNPACK.lower() not in str(error).lower():
                raise _refusal(name, error) from None
            kernels = Kernels.BUILTIN
            try:
                self._interpreter = prepare(module, data, kernels)
            except (ValueError, RuntimeError) as other:
                raise _refusal(name, other) from None
        kernels_name = XNNPACK if kernels is Kernels.DEFAULT else kernels.value
        self.runtime = Runtime(name, version, kernels_name)
        self._inputs = [d["index"] for d in self._interpreter.get_input_details()]
        self._outputs = [d["index"] for d in self._interpreter.get_output_details()]
        sides = ((ports.inputs, self._inputs), (ports.outputs, self._outputs))
        if any(len(ours) != len(theirs) for ours, theirs in sides):
            raise InputError("The file has other inputs or outputs than its description says.")

    def run(
        self,
        stored: Mapping[str, NDArray[Any]],
        report_progress: SampleProgress = lambda done, total: None,
    ) -> Stored:
        """Stored outputs by name, for stored inputs by name."""
        total = len(next(iter(stored.values())))
        stored_array: Stored = {
            port.name: np.empty((total, *port.file_shape), np.int64) for port in self.ports.outputs
        }
        for sample in range(total):
            for port, index in zip(self.ports.inputs, self._inputs, strict=True):
                part = stored[port.name][sample : sample + 1]
                self._interpreter.set_tensor(index, part.astype(NUMPY_TYPES[port.type]))
            self._interpreter.invoke()
            for port, index in zip(self.ports.outputs, self._outputs, strict=True):
                tensor = self._interpreter.get_tensor(index)
                stored_array[port.name][sample] = tensor.reshape(port.file_shape)
            report_progress(sample + 1, total)
        return {port.name: port.finish(stored_array[port.name]) for port in self.ports.outputs}


def prepare(module: Any, data: bytes, kernels: Kernels, *, keeps_tensors: bool = False) -> Any:
    """An interpreter with room for the file's tensors; an error of the runtime's own where there is
    a kernel that does not take them."""
    with quiet_stderr():
        prepared = module.Interpreter(
            model_content=data,
            experimental_op_resolver_type=module.OpResolverType[kernels],
            num_threads=1,
            experimental_preserve_all_tensors=keeps_tensors,
        )
        prepared.allocate_tensors()
    return prepared


def _refusal(name: str, error: Exception) -> ToolFailedError:
    return ToolFailedError(
        f"{name} cannot run the file: {_first_line(error)}.",
        hint="Operators of a compiled file run on an Edge TPU only.",
    )


def runtime_module() -> tuple[Any, str, str]:
    """LiteRT, or TensorFlow's own copy of it."""
    from importlib import import_module, metadata

    for name, package in (
        ("ai_edge_litert.interpreter", "ai-edge-litert"),
        ("tensorflow.lite.python.interpreter", "tensorflow"),
    ):
        try:
            return import_module(name), package, metadata.version(package)
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
    """An int8 file against what its outputs should be."""

    samples: int
    outputs: tuple[OutputAgreement, ...]
    decision_flips: int  # against the expected outputs on the file's levels
    decision_flips_unrounded: int  # against the expected outputs as they are
    differing: int  # samples of which some output differs
    equal: bool  # whether every number is the expected one as it is, not only on the file's levels
    max_difference: float  # from expected outputs as they are, where the levels reach them

    @property
    def max_steps(self) -> int:
        """The largest difference of any output, in its own steps."""
        return max((output.max_steps for output in self.outputs), default=0)


def stored_inputs(ports: TflitePorts, values: Mapping[str, Reals]) -> Stored:
    """Real inputs as a file stores them."""
    return {port.name: port.stored(values[port.name]) for port in ports.inputs}


def raw_inputs(ports: TflitePorts, stored: Stored) -> dict[str, Ints]:
    """Stored inputs as the raw integers of the Program that a file was made from."""
    return {
        port.name: stored[port.name].astype(np.int64) - port.zero_point for port in ports.inputs
    }


def port_values(ports: TflitePorts, stored: Stored) -> dict[str, Reals]:
    """What each output stands for by itself."""
    return {port.name: port.real(stored[port.name]) for port in ports.outputs}


def real_outputs(ports: TflitePorts, stored: Stored) -> dict[str, Reals]:
    """Stored outputs in real numbers, before what is left to the host. Where a score left twice,
    the finer number counts wherever it is not at one of its ends."""
    values = port_values(ports, stored)
    for port in ports.outputs:
        if port.fine_of:
            coarse, fine = values[port.fine_of], values.pop(port.name)
            low, high = port.real(np.asarray(RANGES[port.type]))
            outer = np.where(fine >= high, np.maximum(coarse, high), np.minimum(coarse, low))
            values[port.fine_of] = np.where((fine > low) & (fine < high), fine, outer)
    return values


def real_inputs(program: Program, raw: Mapping[str, Ints]) -> dict[str, Reals]:
    """A Program's raw inputs in real numbers."""
    return {op.name: dequantize(raw[op.name], op.type) for op in program.inputs}


def engine_outputs(program: Program, raw: Mapping[str, Ints]) -> dict[str, Reals]:
    """A Program's outputs in real numbers, before what is left to the host."""
    results = Engine(program).run(raw)
    return {o.name: dequantize(results[o.name], program.type(o.value)) for o in program.outputs}


def raw_outputs(program: Program, ports: TflitePorts, stored: Stored) -> dict[str, Ints]:
    """Stored outputs as raw integers of a Program's output types."""
    types = {output.name: program.type(output.value) for output in program.outputs}
    return {
        name: np.rint(np.ldexp(values, types[name].frac)).astype(np.int64)
        for name, values in real_outputs(ports, stored).items()
    }


def compare_outputs(
    ports: TflitePorts, actual: Stored, expected: Mapping[str, Reals]
) -> Int8Agreement:
    """Stored outputs against real ones, in steps of each output's scale."""
    samples = len(next(iter(actual.values())))
    outputs = []
    flipped = np.zeros(samples, bool)
    flipped_unrounded = np.zeros(samples, bool)
    differs = np.zeros(samples, bool)
    for port in ports.outputs:
        exact = expected.get(port.name)
        if exact is None:
            exact = expected[port.fine_of]  # the same score
        expected_steps = port.stored(exact)
        steps, counts = np.unique(actual[port.name] - expected_steps, return_counts=True)
        histogram = dict(zip(steps.tolist(), counts.tolist(), strict=True))
        outputs.append(OutputAgreement(port.name, port.scale, histogram))
        differs |= (actual[port.name] != expected_steps).reshape(samples, -1).any(axis=1)
        decided = _decide_class(port.real(actual[port.name]))
        flipped |= (
            (decided != _decide_class(port.real(expected_steps))).reshape(samples, -1).any(axis=1)
        )
        flipped_unrounded |= (decided != _decide_class(exact)).reshape(samples, -1).any(axis=1)
    flips = int(flipped.sum()), int(flipped_unrounded.sum())
    apart = _compare_unrounded(ports, actual, expected)
    return Int8Agreement(samples, tuple(outputs), *flips, int(differs.sum()), *apart)


def _compare_unrounded(
    ports: TflitePorts, actual: Stored, expected: Mapping[str, Reals]
) -> tuple[bool, float]:
    """Whether real outputs are the expected ones, and how far they are from those that the levels
    reach: scores may saturate where nothing depends on it."""
    whole = all(port.name in expected for port in ports.outputs)
    values = port_values(ports, actual) if whole else real_outputs(ports, actual)
    equal, most = True, 0.0
    for port in ports.outputs:
        if port.name not in values:  # the finer part of one that is compared
            continue
        exact = expected[port.name]
        low, high = port.real(np.asarray(RANGES[port.type]))
        within = (exact >= low) & (exact <= high)
        equal = equal and bool(np.array_equal(values[port.name], exact))
        most = max(most, float(np.abs(values[port.name] - exact)[within].max(initial=0.0)))
    return equal, most


def _decide_class(values: Reals) -> NDArray[Any]:
    """The winning class at every position; of an only value, whether it is above zero."""
    if values.ndim > 1 and values.shape[-1] > 1:
        winners: NDArray[Any] = values.argmax(axis=-1)
        return winners
    return values > 0
