# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Our layers inside hls4ml: one class whose functions lie in `firmware/hls/nnet_exact.h`."""

from __future__ import annotations

import functools
import math
from typing import Any

from hls4ml.backends import get_backend
from hls4ml.backends.oneapi.oneapi_template import StreamFunctionCallTemplate, TaskSequenceTemplate
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.layers import Attribute, register_layer
from hls4ml.model.layers import Layer as Node
from hls4ml.model.types import NamedType

from edgeinfer.base import assets
from edgeinfer.base.code import fill_template
from edgeinfer.base.names import Identifier, Operand, OwnText, Variable
from edgeinfer.targets.hls.project.layout import KIND
from edgeinfer.targets.hls.settings import Backend
from quantization.fixed import dequantize

HEADERS = "firmware/hls"
SOURCES = {  # what the functions need to know about a backend's numbers and streams
    Backend.VITIS: ("ap/nnet_exact_types.h",),
    Backend.VIVADO: ("ap/nnet_exact_types.h",),
    Backend.QUARTUS: ("ac/nnet_exact_types.h", "quartus/nnet_exact_stream.h"),
    Backend.CATAPULT: ("ac/nnet_exact_types.h", "catapult/nnet_exact_stream.h"),
    Backend.ONEAPI: ("ac/nnet_exact_types.h", "oneapi/nnet_exact_stream.h"),
    Backend.LIBERO: ("libero/nnet_exact_types.h",),
}
WHOLE = (  # functions that see a tensor at once
    *("gather", "pick", "sum_pool", "max_pool", "softmax", "append", "prepend"),
)


class Exact(Node):  # type: ignore[misc]  # hls4ml has no types
    """A layer that is one function of ours, with its constants, weights and types."""

    _expected_attributes = [  # noqa: RUF012  # as hls4ml wants it
        Attribute("function", value_type=str),
        Attribute("shape", value_type=list),
        Attribute("numbers", value_type=dict),
        Attribute("stored", value_type=tuple),
        Attribute("types", value_type=dict),
    ]

    def initialize(self) -> None:
        """The result, the weights and the types."""
        precision = self.model.config.backend.convert_precision_string
        self.add_output_variable(self.get_attr("shape"))
        for array in self.get_attr("stored"):
            self.add_weights_variable(
                name=array.name,
                var_name=array.name + "{index}",
                type_name=array.name + "{index}_t",
                precision=precision(str(array.type)),
                data=dequantize(array.raw.reshape(-1), array.type),
            )
        for name, type_ in self.get_attr("types").items():
            named = NamedType(f"{name}{self.index}_t", precision(str(type_)))
            self.set_attr(f"{name}_t", named)


class ExactConfig(LayerConfigTemplate):  # type: ignore[misc]
    """The constants and types as a struct."""

    def __init__(self) -> None:
        super().__init__(Exact)

    def format(self, node: Any) -> str:
        """The struct's text."""
        sizes = {
            "n_in": math.prod(node.get_input_variable(node.inputs[0]).shape),
            "n_out": math.prod(node.get_output_variable().shape),
        }
        return fill_template(
            f"{HEADERS}/exact_config.h.j2",
            {
                "index": node.index,
                "constants": {
                    Identifier(name): number
                    for name, number in (sizes | node.get_attr("numbers")).items()
                },
                "types": {
                    Identifier(f"{name}_t"): Operand(node.types[f"{name}_t"].name)
                    for name in node.get_attr("types")
                },
            },
        )


class ExactCall(FunctionCallTemplate):  # type: ignore[misc]
    """The function's call."""

    def __init__(self) -> None:
        super().__init__(Exact, include_header=["nnet_utils/nnet_exact.h"])

    def format(self, node: Any) -> str:
        """The call's text."""
        arrays = node.model.config.get_config_value("Backend") == str(Backend.ONEAPI)
        return _fill(f"{HEADERS}/exact_call.h.j2", node, arrays=arrays)


class ExactTask(TaskSequenceTemplate):  # type: ignore[misc]
    """The function as a task of oneAPI, between pipes."""

    def __init__(self) -> None:
        super().__init__(Exact)

    def format(self, node: Any) -> str:
        """The task's declaration."""
        return _fill(f"{HEADERS}/oneapi/exact_task.h.j2", node)


class ExactStart(StreamFunctionCallTemplate):  # type: ignore[misc]
    """The start of the task."""

    def __init__(self) -> None:
        super().__init__(Exact)

    def format(self, node: Any) -> str:
        """The call's text."""
        return _fill(f"{HEADERS}/oneapi/exact_start.h.j2", node)


def _fill(template: str, node: Any, *, arrays: bool = False) -> str:
    """A template with a layer's names; `arrays` are objects in place of pointers."""
    function = node.get_attr("function")
    weights = [node.get_weights(array.name) for array in node.get_attr("stored")]
    known = {
        "index": node.index,
        "name": Identifier(node.name),
        "function": Identifier(function),
        "family": Identifier("whole" if function in WHOLE else "each"),
        "inputs": [_variable(node.get_input_variable(name), arrays) for name in node.inputs],
        "output": _variable(node.get_output_variable(), arrays),
        "weights": [_variable(weight, arrays) for weight in weights],
    }
    return fill_template(template, known).strip()


def _variable(variable: Any, array: bool) -> dict[str, Any]:
    """What the templates ask of one of hls4ml's variables."""
    type_name, pipe = variable.type.name, getattr(variable, "pipe_name", None)
    return {
        "name": OwnText(f"{variable.name}.data()") if array else Variable(variable.name),
        "type": {"name": Operand(f"{type_name}::value_type" if array else type_name)},
        "pipe": pipe and Identifier(pipe),
    }


@functools.cache
def register_layers(backend: Backend) -> None:
    """Tell hls4ml of our layers, once for each backend."""
    owner = get_backend(str(backend))
    register_layer_once()
    owner.register_template(ExactConfig)
    owner.register_template(ExactCall)
    if backend is Backend.ONEAPI:
        owner.register_template(ExactTask)
        owner.register_template(ExactStart)
    for source in ("nnet_exact.h", *SOURCES[backend]):
        owner.register_source(assets.path(f"{HEADERS}/{source}"))


@functools.cache
def register_layer_once() -> None:
    """One class for all backends."""
    register_layer(KIND, Exact)
