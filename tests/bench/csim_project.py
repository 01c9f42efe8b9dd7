# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A hit tagger's Program as an hls4ml project, to race its C-simulation.

Only what the two benchmark networks are made of is translated; the HLS target is the way to
compile anything else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.ir.ops import Conv, Dense, Input, Pool, PoolKind, Requant, Reshape
from edgeinfer.ir.program import Program
from quantization.fixed import Fixed, Ints, Quantizer, dequantize, quantize

PART = "xcu250-figd2104-2L-e"
Layer = dict[str, Any]


class CSim:
    """hls4ml's compiled C-simulation of one Program with one input."""

    def __init__(self, program: Program, folder: Path) -> None:
        from hls4ml.backends import get_backend
        from hls4ml.model.graph import ModelGraph

        self.program = program
        layers = [layer for op in program.ops for layer in _layers(op, program)]
        precision = {layer["name"]: layer.pop("precision") for layer in layers}
        config = get_backend("Vitis").create_initial_config(
            part=PART, clock_period=5, io_type="io_stream"
        )
        config |= {
            "OutputDir": str(folder),
            "ProjectName": program.name,
            "Backend": "Vitis",
            "IOType": "io_stream",
            "HLSConfig": {
                "Model": {"Precision": "fixed<16,6>", "ReuseFactor": 1, "Strategy": "Latency"},
                "LayerName": {
                    layer["name"]: {
                        "Precision": precision[layer["name"]],
                        "Strategy": "Resource",
                        "ReuseFactor": layer.get("n_in", 1),
                    }
                    for layer in layers
                },
            },
        }
        inputs = [op.name for op in program.inputs]
        outputs = [output.value for output in program.outputs]
        self._model = ModelGraph.from_layer_list(config, layers, inputs, outputs)
        self._model.compile()

    def run(self, raw: Ints) -> dict[str, Ints]:
        """Raw results by output name."""
        values: NDArray[np.float64] = dequantize(raw, self.program.inputs[0].type)
        found = self._model.predict(np.ascontiguousarray(values))
        results: dict[str, Ints] = {}
        for output, reals in zip(self.program.outputs, found, strict=True):
            type_ = self.program.type(output.value)
            whole = quantize(reals, Quantizer(type_))
            shape = (len(raw), *self.program.shapes[output.value])
            results[output.name] = whole.reshape(shape)
        return results


def _layers(op: Any, program: Program) -> list[Layer]:
    """The layers that an op becomes: one."""
    shape = program.shapes[op.name]
    common: Layer = {"name": op.name, "precision": {"result": str(op.type)}}
    if not isinstance(op, Input):
        common["inputs"] = [op.x]
    match op:
        case Input():
            return [common | {"class_name": "InputLayer", "input_shape": list(shape)}]
        case Conv():
            height, width, channels = program.shapes[op.x]
            return [
                common
                | _weights(op, program)
                | _plain_window("filt", op.weight.shape[:2], op.strides, (height, width), shape)
                | {"class_name": "Conv2D", "n_chan": channels, "n_filt": shape[-1]}
            ]
        case Dense():
            sizes = {"n_in": op.weight.shape[0], "n_out": op.weight.shape[1]}
            return [common | _weights(op, program) | sizes | {"class_name": "Dense"}]
        case Requant() if not op.type.signed:
            quantizer = Quantizer(op.type, op.rounding, op.overflow)
            common["precision"] = {"result": str(quantizer)}
            size = int(np.prod(shape))
            return [common | {"class_name": "Activation", "activation": "relu", "n_in": size}]
        case Pool(kind=PoolKind.MAX):
            window = _plain_window("pool", op.window, op.strides, program.shapes[op.x], shape)
            return [
                common
                | window
                | {"class_name": "MaxPooling2D", "pool_op": "Max", "n_filt": shape[-1]}
            ]
        case Reshape():
            return [common | {"class_name": "Reshape", "target_shape": list(shape)}]
        case _:
            raise TypeError(f"{type(op).__name__} is in no benchmark network")


def _weights(op: Conv | Dense, program: Program) -> Layer:
    bias_type = Fixed(True, op.type.bits, op.type.integer)
    return {
        "weight_data": dequantize(op.weight, op.weight_type),
        "bias_data": dequantize(op.bias, bias_type),
        "use_bias": True,
        "precision": {
            "weight": str(op.weight_type),
            "bias": str(bias_type),
            "accum": str(op.type),
            "result": str(op.type),
        },
    }


def _plain_window(
    what: str,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    size: tuple[int, ...],
    out: tuple[int, ...],
) -> Layer:
    return {
        "data_format": "channels_last",
        "padding": "valid",
        "in_height": size[0],
        "in_width": size[1],
        "out_height": out[0],
        "out_width": out[1],
        f"{what}_height": window[0],
        f"{what}_width": window[1],
        "stride_height": strides[0],
        "stride_width": strides[1],
        **{f"pad_{side}": 0 for side in ("top", "bottom", "left", "right")},
    }
