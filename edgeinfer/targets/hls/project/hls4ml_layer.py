# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Our layers inside hls4ml: classes whose functions lie in `firmware/hls/nnet_exact.h` and
`nnet_sites.h`, and a loop around the layers of a recurrence's body."""

from __future__ import annotations

import functools
import math
from typing import Any

from hls4ml.backends import get_backend
from hls4ml.backends.oneapi.oneapi_template import StreamFunctionCallTemplate, TaskSequenceTemplate
from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.graph import ModelGraph
from hls4ml.model.layers import Attribute, register_layer
from hls4ml.model.layers import Layer as Node
from hls4ml.model.types import NamedType

from edgeinfer.base import assets
from edgeinfer.base.code import fill_template
from edgeinfer.base.names import Identifier, Operand, OwnText, Variable
from edgeinfer.targets.hls.project.layout import KIND, LOOP, SITE_BLOCK
from edgeinfer.targets.hls.settings import Backend, IoType
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
        store_arrays(self)
        for name, type_ in self.get_attr("types").items():
            named = NamedType(f"{name}{self.index}_t", precision(str(type_)))
            self.set_attr(f"{name}_t", named)


class SiteBlock(Exact):
    """A layer that reads lists of sites, or makes one."""


def store_arrays(node: Any) -> None:
    """The arrays of a layer of ours as hls4ml's weights."""
    precision = node.model.config.backend.convert_precision_string
    for array in node.get_attr("stored"):
        node.add_weights_variable(
            name=array.name,
            var_name=array.name + "{index}",
            type_name=array.name + "{index}_t",
            precision=precision(str(array.type)),
            data=dequantize(array.raw.reshape(-1), array.type),
        )


class ExactConfig(LayerConfigTemplate):  # type: ignore[misc]
    """The constants and types as a struct."""

    def __init__(self) -> None:
        super().__init__([Exact, SiteBlock])

    def format(self, node: Any) -> str:
        """The struct's text."""
        sizes = {
            "n_in": math.prod(node.get_input_variable(node.inputs[0]).shape),
            "n_out": math.prod(node.get_output_variable().shape),
        }
        constants = sizes | node.get_attr("numbers")
        return fill_template(
            f"{HEADERS}/exact_config.h.j2",
            {
                "index": node.index,
                "constants": {Identifier(name): number for name, number in constants.items()},
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
        return fill_call(f"{HEADERS}/exact_call.h.j2", node, arrays=arrays)


class SiteCall(FunctionCallTemplate):  # type: ignore[misc]
    """The call of a block for sites."""

    def __init__(self) -> None:
        super().__init__(SiteBlock, include_header=["nnet_utils/nnet_sites.h"])

    def format(self, node: Any) -> str:
        """The call's text."""
        return fill_call(f"{HEADERS}/site_call.h.j2", node)


class ExactTask(TaskSequenceTemplate):  # type: ignore[misc]
    """The function as a task of oneAPI, between pipes."""

    def __init__(self) -> None:
        super().__init__(Exact)

    def format(self, node: Any) -> str:
        """The task's declaration."""
        return fill_call(f"{HEADERS}/oneapi/exact_task.h.j2", node)


class ExactStart(StreamFunctionCallTemplate):  # type: ignore[misc]
    """The start of the task."""

    def __init__(self) -> None:
        super().__init__(Exact)

    def format(self, node: Any) -> str:
        """The call's text."""
        return fill_call(f"{HEADERS}/oneapi/exact_start.h.j2", node)


def fill_call(template: str, node: Any, *, arrays: bool = False) -> str:
    """A template with a layer's names; `arrays` are objects in place of pointers."""
    function = node.get_attr("function")
    weights = [node.get_weights(array.name) for array in node.get_attr("stored")]
    template_values = {
        "index": node.index,
        "name": Identifier(node.name),
        "function": Identifier(function),
        "family": Identifier("whole" if function in WHOLE else "each"),
        "inputs": [_variable(node.get_input_variable(name), arrays) for name in node.inputs],
        "output": _variable(node.get_output_variable(), arrays),
        "weights": [_variable(weight, arrays) for weight in weights],
    }
    return fill_template(template, template_values).strip()


class LoopedBody(Node):  # type: ignore[misc]
    """The layers of another graph, which is in arrays, once for every entry of the sequences."""

    _expected_attributes = [  # noqa: RUF012  # as hls4ml wants it
        Attribute("shape", value_type=list),
        Attribute("stored", value_type=tuple),
        Attribute("steps"),
        Attribute("sequences"),
        Attribute("starts", value_type=tuple),
        Attribute("stacked", value_type=bool),
        Attribute("body", value_type=ModelGraph),
    ]

    def initialize(self) -> None:
        """The result, and the states of the first step."""
        self.add_output_variable(self.get_attr("shape"))
        store_arrays(self)

    def adopt_body(self) -> None:
        """Have hls4ml's writer write the body's weights, types and headers with this layer's."""
        headers = set(self.get_attr("include_header"))
        for node in self.get_attr("body").get_layers():
            headers.update(node.get_attr("include_header", ()))
            attributes = (*node.get_weights(), *node.types.values())
            for entry in attributes:
                self.set_attr(f"{node.name}_{entry.name}", entry)
            for name, code in node.code.items():
                self.set_attr(f"{node.name}_{name}", code)
        self.set_attr("include_header", sorted(headers))


class LoopConfig(LayerConfigTemplate):  # type: ignore[misc]
    """The body's configurations and the loop itself, as a function."""

    def __init__(self) -> None:
        super().__init__(LoopedBody)

    def format(self, node: Any) -> str:
        """The function's text."""
        body, config = node.get_attr("body"), node.model.config
        inputs, left = body.get_input_variables(), body.get_output_variables()
        left = left[: len(left) // 2]  # which has each of them twice
        ports = [*inputs, *left]
        count = node.get_attr("sequences")
        sources = iter([node.get_input_variable(name) for name in node.inputs])
        layers = [(variable, next(sources)) for variable in inputs[:count]]
        states = []
        for variable, start in zip(inputs[count:], node.get_attr("starts"), strict=True):
            layer = next(sources) if start == "layer" else None
            stored = node.get_weights(start).name if start not in ("layer", "zeros") else None
            states.append((variable, layer, stored))
        nodes = list(body.get_layers())
        port_ids = {id(variable) for variable in ports}
        inner = [v for each in nodes for v in each.get_variables() if id(v) not in port_ids]
        return fill_template(
            f"{HEADERS}/loop_config.h.j2",
            {
                "index": node.index,
                "streams": config.get_config_value("IOType") == IoType.STREAM,
                "steps": node.get_attr("steps"),
                "stacked": int(node.get_attr("stacked")),
                "weights": [Identifier(weight.name) for weight in body.get_weight_variables()],
                "stored": [Identifier(weight.name) for weight in node.get_weights()],
                "configs": [
                    OwnText(text) for each in nodes if (text := each.get_attr("config_cpp"))
                ],
                "calls": [
                    OwnText(text) for each in nodes if (text := each.get_attr("function_cpp"))
                ],
                "variables": [
                    {
                        "definition": OwnText(text),
                        "name": Variable(variable.name),
                        "own": bool(variable.pragma),  # and not another name for its input
                    }
                    for variable in inner
                    if (text := variable.definition_cpp()) is not None
                ],
                "given": [_port(variable) for variable in inputs],
                "left": [_port(variable) for variable in left],
                "sequences": [_port(layer) for _, layer in layers],
                "states": [
                    {
                        **_port(variable),
                        "layer": None if layer is None else _port(layer),
                        "stored": None if stored is None else Identifier(stored),
                    }
                    for variable, layer, stored in states
                ],
                "output": _port(node.get_output_variable()),
            },
        )


class LoopCall(FunctionCallTemplate):  # type: ignore[misc]
    """The loop's call."""

    def __init__(self) -> None:
        super().__init__(LoopedBody, include_header=["nnet_utils/nnet_exact.h"])

    def format(self, node: Any) -> str:
        """The call's text."""
        inputs = [node.get_input_variable(name) for name in node.inputs]
        return fill_template(
            f"{HEADERS}/loop_call.h.j2",
            {
                "index": node.index,
                "inputs": [_variable(variable) for variable in inputs],
                "output": _variable(node.get_output_variable()),
            },
        ).strip()


def _port(variable: Any) -> dict[str, Any]:
    """What the loop's template asks of a tensor; Quartus has a graph's ends in a struct."""
    return {
        **_variable(variable),
        "member": Identifier(variable.name.rpartition(".")[2]),
        "holder": Identifier(holder) if (holder := variable.name.rpartition(".")[0]) else None,
        "size": math.prod(variable.shape),
    }


def _variable(variable: Any, array: bool = False) -> dict[str, Any]:
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
    register_classes()
    templates = [ExactConfig, ExactCall, SiteCall, LoopConfig, LoopCall]
    if backend is Backend.ONEAPI:
        templates += [ExactTask, ExactStart]
    for template in templates:
        owner.register_template(template)
    for source in ("nnet_exact.h", "nnet_sites.h", *SOURCES[backend]):
        owner.register_source(assets.path(f"{HEADERS}/{source}"))


@functools.cache
def register_classes() -> None:
    """The same classes for all backends."""
    register_layer(KIND, Exact)
    register_layer(SITE_BLOCK, SiteBlock)
    register_layer(LOOP, LoopedBody)
