# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which variables a layer of SparsePixels has, in the order in which its files hold them."""

from __future__ import annotations

from edgeinfer.readers.keras import hgq_variables
from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.hgq_variables import parse_quantizer

PACKAGE = "sparsepixels>"
CONV, BIAS = "conv/", "_bq/"  # what a sparse convolution holds inside

Group = tuple[str, tuple[str, ...]]  # a layer inside, and the names of its variables


def own_variables(layer: LayerConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a layer owns itself: trained, and tracked."""
    fields = layer.fields
    match layer.kind.removeprefix(PACKAGE):
        case "InputReduce":
            trained = [
                name
                for name, option in (("threshold", "learn_threshold"), ("n_frac", "learn_n"))
                if fields.flag(option, True)
            ]
            tracked = ("masked_intensity",) if fields.number("beta_maskedE", 1.0) > 0 else ()
            return tuple(trained), tracked
        case "QConv2DSparse":
            return (("sparse_bias",) if fields.flag("use_bias", True) else ()), ()
        case _:  # the others hold nothing
            return (), ()


def groups_of(layer: LayerConfig) -> tuple[Group, ...]:
    """The layers inside a sparse convolution: HGQ2's own, and the quantizer of the bias."""
    if layer.kind != f"{PACKAGE}QConv2DSparse":
        return ()
    inner = conv_layer(layer)
    trained, tracked = hgq_variables.own_variables(inner)
    groups: list[Group] = [(CONV[:-1], tuple(f"{CONV}{name}" for name in (*trained, *tracked)))]
    for place, names in hgq_variables.variables_of(inner):
        groups.append((f"{CONV}{place}", tuple(f"{CONV}{name}" for name in names)))
    if layer.fields.flag("use_bias", True):
        for place, names in hgq_variables.variables_of(bias_layer(layer)):
            groups.append((f"_{place}", tuple(f"_{name}" for name in names)))
    return tuple(groups)


def conv_layer(layer: LayerConfig) -> LayerConfig:
    """HGQ2's convolution inside, which has neither bias nor function."""
    config = layer.fields.get("conv_config")
    if not isinstance(config, dict):
        raise UnsupportedLayerError("it does not describe its convolution")
    kind = f"{hgq_variables.PACKAGE}QConv2D"
    entry = {"class_name": kind, "config": config | {"use_bias": False}}
    return LayerConfig(kind, layer.name, f"{layer.path}/conv", entry)


def bias_layer(layer: LayerConfig) -> LayerConfig:
    """What holds the quantizer of the bias, as a layer of HGQ2 would."""
    quantizer = layer.fields.get("bq_conf")
    if parse_quantizer(quantizer) is None:
        raise UnsupportedLayerError("its bias has a quantizer that changes nothing")
    entry = {"config": {"bq_conf": quantizer}}
    return LayerConfig(f"{hgq_variables.PACKAGE}QConv2D", layer.name, layer.path, entry)
