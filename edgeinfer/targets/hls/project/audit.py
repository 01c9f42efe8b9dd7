# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What hls4ml made of our layers, compared with what it was asked for.

Its passes rename, merge, insert and retype layers. Each of ours must still be there under its name,
with the formats that were asked for; what passes inserted may only hand values on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeinfer.base.errors import EdgeInferError
from edgeinfer.targets.hls.project.native_layers import PADDING, RESHAPE
from edgeinfer.targets.hls.project.spec import Plan, ProjectLayer
from edgeinfer.targets.hls.settings import HlsSettings, Strategy
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding

if TYPE_CHECKING:
    from hls4ml.model.graph import ModelGraph

MAXIMUM = "MaxPooling"
HANDING_ON = ("Clone", "Repack")  # what passes may insert
IN_ADDERS = ("weight", "bias")  # formats that a layer of distributed arithmetic has no more


@dataclass(frozen=True, slots=True)
class TakenStrategy:
    """What hls4ml settled on for a layer that multiplies."""

    layer: str
    op: str
    strategy: str
    reuse: int
    asked_reuse: int


def audit_project(
    plan: Plan, model: ModelGraph, settings: HlsSettings
) -> tuple[TakenStrategy, ...]:
    """Compare; the strategies and reuse factors that were taken. A difference is a bug."""
    nodes = {node.name: node for node in model.get_layers()}
    layers_by_name = {layer.name: layer for layer in plan.layers}
    for name, node in nodes.items():
        if name not in layers_by_name and node.class_name not in HANDING_ON:
            raise EdgeInferError(f"hls4ml put a layer {name} ({node.class_name}) into the project.")
    strategies: list[TakenStrategy] = []
    for layer in plan.layers:
        node = nodes.get(layer.name) or nodes.get(f"repack_{layer.name}")
        if node is None:
            raise EdgeInferError(f"hls4ml took the layer {layer.name} out of the project.")
        _check_formats(layer, node)
        if layer.body is not None:
            strategies += audit_project(layer.body, node.get_attr("body"), settings)
        if layer.multiplies:
            reuse_asked = settings.reuse_for(layer.op)
            reuse = int(node.get_attr("reuse_factor"))
            strategies.append(
                TakenStrategy(layer.name, layer.op, node.get_attr("strategy"), reuse, reuse_asked)
            )
    return tuple(strategies)


def _check_formats(layer: ProjectLayer, node: Any) -> None:
    formats_asked: dict[str, Quantizer | Fixed] = {"result": layer.result, **layer.formats}
    if layer.kind.startswith((RESHAPE, PADDING)):  # hands on the format that it gets
        formats_asked = {}
    formats_asked |= {array.name: array.type for array in layer.attributes.get("stored", ())}
    formats_asked |= layer.attributes.get("types", {})
    formats = found_formats(node)
    if node.get_attr("strategy") == Strategy.DISTRIBUTED:
        in_adders = node.get_attr("da_codegen") is not None  # the weights are in its adders
        formats_asked = {
            name: f for name, f in formats_asked.items() if not in_adders or name not in IN_ADDERS
        }
    for name, format_ in formats_asked.items():
        if (
            name == "accum"
            and layer.kind.startswith(MAXIMUM)
            and _holds(formats.get(name), format_)
        ):
            continue
        if formats.get(name) != _plain(format_):
            raise EdgeInferError(
                f"hls4ml gave {layer.name} the {name} format {formats.get(name)}, not "
                f"{_plain(format_)}."
            )


def _holds(actual: Quantizer | None, planned: Quantizer | Fixed) -> bool:
    """Whether a type carries a maximum unchanged, which no arithmetic has touched."""
    if actual is None or not isinstance(planned, Fixed):
        return False
    type_ = actual.type
    fine = type_.frac >= planned.frac and type_.signed >= planned.signed
    return fine and type_.max >= planned.max and type_.min <= planned.min


def found_formats(node: Any) -> Mapping[str, Quantizer | None]:
    """A node's formats by hls4ml's names for them."""
    formats = {}
    for name, type_ in node.types.items():
        formats[name.removesuffix("_t")] = _quantizer(type_.precision)
    formats["result"] = _quantizer(node.get_output_variable().type.precision)
    return formats


def _quantizer(precision: Any) -> Quantizer | None:
    try:
        type_ = Fixed(bool(precision.signed), int(precision.width), int(precision.integer))
    except AttributeError:
        return None
    rounding = getattr(precision.rounding_mode, "name", None) or "TRN"
    overflow = getattr(precision.saturation_mode, "name", None) or "WRAP"
    return Quantizer(type_, Rounding(rounding), Overflow(overflow))


def _plain(format_: Quantizer | Fixed) -> Quantizer:
    if isinstance(format_, Quantizer):
        return format_
    return Quantizer(format_, Rounding.TRN, Overflow.WRAP)
