# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A detector's networks as the host sees them: real inputs or integers in, integers out.

A Program yields its own integers. A float network's outputs are rounded to a fine grid, so that the
host's part is the same for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgeinfer.base.errors import UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.detection.align import MOST_BITS
from edgeinfer.detection.boxes import Integers
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.host import host_functions
from edgeinfer.ir.program import Program
from quantization.fixed import Fixed
from quantization.recipe import Recipe

FLOAT_TYPE = Fixed(
    True, MOST_BITS, MOST_BITS - 14
)  # to which outputs of float networks are rounded


@dataclass(frozen=True, slots=True)
class RawOutput:
    """An output's integers, before any softmax or sigmoid, and how many of their bits are behind
    the point."""

    values: Integers
    frac: int


class Network(Protocol):
    """Something with one input that yields integers."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def input_name(self) -> str:
        """What its input is called."""
        ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of a sample."""
        ...

    @property
    def input_type(self) -> Fixed:
        """The type of the integers that it reads."""
        ...

    @property
    def output_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each output."""
        ...

    def run(self, values: NDArray[np.floating]) -> dict[str, RawOutput]:
        """The outputs for real inputs."""
        ...

    def run_raw(self, raw: Integers) -> dict[str, RawOutput]:
        """The outputs for integers of the input's type."""
        ...


@dataclass(frozen=True)
class IntegerNetwork:
    """A Program in the engine."""

    program: Program
    recipe: Recipe
    engine: Engine = field(repr=False)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.program.name

    @property
    def input_name(self) -> str:
        """What its input is called."""
        return self.program.inputs[0].name

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of a sample."""
        return self.program.inputs[0].shape

    @property
    def input_type(self) -> Fixed:
        """The type of the integers that it reads."""
        return self.program.inputs[0].type

    @property
    def output_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each output."""
        return {out.name: self.program.shapes[out.value] for out in self.program.outputs}

    def run(self, values: NDArray[np.floating]) -> dict[str, RawOutput]:
        """The outputs for real inputs, brought to the input's type as the recipe rounds."""
        samples = Samples({self.input_name: values}, "given")
        return self.run_raw(raw_inputs(self.program, self.recipe, samples)[self.input_name])

    def run_raw(self, raw: Integers) -> dict[str, RawOutput]:
        """The outputs for integers of the input's type."""
        outputs = self.engine.run({self.input_name: raw})
        fracs = {out.name: self.program.type(out.value).frac for out in self.program.outputs}
        return {
            name: RawOutput(outputs[name] << max(0, -frac), max(0, frac))
            for name, frac in fracs.items()
        }


@dataclass(frozen=True)
class FloatNetwork:
    """A float network; its outputs are rounded to a fine grid."""

    graph: Graph
    engine: FloatEngine = field(repr=False)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.graph.name

    @property
    def input_name(self) -> str:
        """What its input is called."""
        return self.graph.inputs[0].name

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of a sample."""
        return self.graph.inputs[0].shape

    @property
    def input_type(self) -> Fixed:
        """The grid of what it is given as integers."""
        return FLOAT_TYPE

    @property
    def output_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each output."""
        return {name: self.graph.shapes[name] for name in self.graph.outputs}

    def run(self, values: NDArray[np.floating]) -> dict[str, RawOutput]:
        """The outputs for real inputs, before what is left to the host."""
        tensors = {name: name for name in self.graph.outputs}
        tensors |= {name: tensor for name, (tensor, _) in host_functions(self.graph).items()}
        outputs = self.engine.run({self.input_name: values}, taps=sorted(set(tensors.values())))
        top = FLOAT_TYPE.raw_max
        scale = 2.0**FLOAT_TYPE.frac
        return {
            name: RawOutput(
                np.clip(np.rint(outputs[tensor] * scale), -top, top).astype(np.int64),
                FLOAT_TYPE.frac,
            )
            for name, tensor in tensors.items()
        }

    def run_raw(self, raw: Integers) -> dict[str, RawOutput]:
        """The outputs for integers of the grid."""
        return self.run((raw * 2.0**-FLOAT_TYPE.frac).astype(np.float32))


def integer_network(
    program: Program, recipe: Recipe, *, threads: int | None = None, batch: int | None = None
) -> IntegerNetwork:
    """A Program, compiled for the engine."""
    if len(program.inputs) != 1:
        raise UsageError(
            f"{program.name} has {len(program.inputs)} inputs; a detector's networks have one."
        )
    for out in program.outputs:
        if max(program.type(out.value).bits, program.type(out.value).integer) > MOST_BITS:
            raise UsageError(
                f"{program.name}: the output {out.name} has {program.type(out.value)}, but the "
                f"detector's host works with at most {MOST_BITS} bits.",
                hint="Compile it with fewer bits, such as --bits 8.",
            )
    return IntegerNetwork(program, recipe, Engine(program, threads=threads, batch=batch))


def float_network(graph: Graph, *, threads: int | None = None) -> FloatNetwork:
    """A float network, compiled for ONNX Runtime."""
    return FloatNetwork(graph, FloatEngine(graph, threads=threads))


def check_network(network: Network, outputs: Sequence[str], remedy: str) -> None:
    """Refuse a network that lacks an output that the host reads."""
    missing = [name for name in outputs if name not in network.output_shapes]
    if missing:
        raise UsageError(
            f"{network.name} has no output {missing[0]!r}, so it is not this part of a detector.",
            hint=remedy,
        )
