# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which variables a layer of HGQ2 has, in the order in which its files hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError
from quantization.fixed import Overflow, Rounding

PACKAGE = "hgq>"
ATTENTION = "QMultiHeadAttention"
KINDS = {"kbi": ("b", "i"), "kif": ("i", "f")}  # what is trained of a quantizer, in stored order
MAPPER = "DefaultBitwidthMapper"
EACH_INPUT = "iq/quantizers/quantizer"  # where a layer with several inputs keeps theirs


@dataclass(frozen=True, slots=True)
class QuantizerOptions:
    """A quantizer as the architecture describes it; its widths are among the weights."""

    kind: str
    rounding: Rounding
    overflow: Overflow
    rounds_only: bool  # HGQ2 leaves such weights as large as they are

    @property
    def variables(self) -> tuple[str, ...]:
        """Its stored variables in their order: first what is trained."""
        if self.overflow is not Overflow.WRAP:
            return (*KINDS[self.kind], "k")
        trained = next(name for name in KINDS[self.kind] if name != "i")
        return (trained, "k", "i", "decay")


def parse_quantizer(entry: Any) -> QuantizerOptions | None:
    """A serialised QuantizerConfig; None for one that changes nothing."""
    fields = Fields(entry)
    fields = Fields(fields.get("config", entry))
    kind = fields.text("q_type")
    if kind == "dummy":
        return None
    if kind not in KINDS:
        raise UnsupportedLayerError(
            f"it has a quantizer of the type {kind!r}; fixed-point ones (kbi, kif) are read"
        )
    for name in ("scaler", "affine"):
        if fields.get(name) is not None:
            raise UnsupportedLayerError(f"its quantizer has the option {name}, which is not read")
    mapper = fields.get("bw_mapper")
    if mapper is not None and Fields(mapper).get("class_name") != MAPPER:
        raise UnsupportedLayerError("its quantizer spreads widths by code that is not in the file")
    rounding = fields.text("round_mode").upper().removeprefix("S_")  # random in training only
    try:
        modes = Rounding(rounding), Overflow(fields.text("overflow_mode").upper())
    except ValueError as error:
        raise UnsupportedLayerError(f"its quantizer: {error}") from None
    of_weights = fields.flag("is_weight", False) and fields.flag("trainable", True)
    plain = kind == "kif" or modes[0] is Rounding.RND
    return QuantizerOptions(kind, *modes, of_weights and modes[1] is Overflow.WRAP and plain)


def entries_of(layer: LayerConfig) -> dict[str, Any]:
    """Every quantizer of a layer: its place among the weights, and its entry."""
    fields = layer.fields
    name = layer.kind.rpartition(">")[2]
    if name == "Quantizer":
        return {"": fields.get("config")}
    if name == "QSoftmax":
        places = {"inv_table/iq": "inv_iq_conf", "inv_table/oq": "inv_oq_conf"}
        places |= {"exp_table/iq": "exp_iq_conf", "exp_table/oq": "exp_oq_conf"}
    else:
        places = {"kq": "kq_conf", "bq": "bq_conf"}
    places |= {"iq": "iq_conf", "oq": "oq_conf"}
    entries = {place: fields.get(key) for place, key in places.items()}
    each = fields.get("iq_confs")
    if isinstance(each, list):
        entries |= {
            EACH_INPUT + (f"_{number}" if number else ""): entry
            for number, entry in enumerate(each)
        }
    for side in ("oq",) if name == ATTENTION else ("iq", "oq"):
        switch = fields.get(f"enable_{side}")
        if switch is False:
            entries = {
                place: entry for place, entry in entries.items() if place.split("/")[0] != side
            }
        elif switch and entries.get(side) is None and not (side == "iq" and each):
            raise UnsupportedLayerError(f"its architecture does not describe its quantizer {side}")
    return {place: entry for place, entry in entries.items() if entry is not None}


def variables_of(layer: LayerConfig) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The groups in which a layer's quantizers keep their variables, with the variables' names."""
    variables: list[tuple[str, tuple[str, ...]]] = []
    for place, entry in entries_of(layer).items():
        options = parse_quantizer(entry)
        if options is not None:
            group = f"{place}/quantizer".removeprefix("/")
            variables.append((group, tuple(f"{group}/{name}" for name in options.variables)))
    return tuple(variables)


NORM = ("moving_mean", "moving_variance")


def own_variables(layer: LayerConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a layer owns beside its quantizers: trained, and tracked. HGQ2 counts its bits."""
    fields = layer.fields
    count = ("beta0", "ebops") if fields.flag("enable_ebops", False) else ()
    bias = ("bias",) if fields.get("bias_axes", fields.get("use_bias")) else ()
    match layer.kind.removeprefix(PACKAGE):
        case "QDense" | "QConv1D" | "QConv2D" | "QConv3D" | "QEinsumDense":
            return ("kernel", *bias), count
        case "QBatchNormDense" | "QEinsumDenseBatchnorm":
            gamma = ("gamma",) if fields.flag("scale", True) else ()
            return ("kernel", *bias, *gamma), (*count, *NORM)
        case "QBatchNormalization":
            gamma = ("gamma",) if fields.flag("scale", True) else ()
            beta = ("beta",) if fields.flag("center", True) else ()
            return (*gamma, *beta), (*NORM, *count)
        case "QAffinedUnaryFunctionLUT":
            return ("scale", "bias"), count
        case _:  # others own the counts at most
            return (), count


def layers_inside(layer: LayerConfig) -> dict[str, LayerConfig]:
    """The layers that an attention of HGQ2 is made of, by their places in the file."""
    if layer.kind != PACKAGE + ATTENTION:
        return {}
    fields = layer.fields
    fused = {"qkv": ("query", "value"), "kv": ("value",)}.get(fields.text("fuse", "none"), ())
    inner_layers: dict[str, LayerConfig] = {}
    for part in ("query", "key", "value", "output"):
        ends, letters = ("abe", "e") if part == "output" else ("abde", "de")
        biased = fields.flag("use_bias", True) and part != "key"
        config = {
            "equation": f"{'abcd' if part == 'output' else 'abc'},cde->{ends}",
            "bias_axes": letters if biased else None,
            "enable_ebops": fields.get("enable_ebops"),
            **{f"{place}_conf": fields.get(f"qkvo_{place}_conf") for place in ("iq", "kq", "oq")},
            "bq_conf": fields.get("qkvo_bq_conf") if biased else None,
        }
        if part in fused or (part != "output" and not fields.flag("enable_iq", True)):
            config["iq_conf"] = None  # some read what the key's quantizer makes
        if part == "output" and not fields.flag("enable_oq", False):
            config["oq_conf"] = None
        inner_layers[f"{part}_dense"] = _inner(layer, part, "QEinsumDense", config)
    config = {
        f"{place}_conf": fields.get(f"softmax_{place}_conf")
        for place in ("exp_iq", "exp_oq", "inv_iq", "inv_oq", "oq")
    }
    stable = fields.flag("stable_softmax", True)
    config["exp_iq_conf"] = config["exp_iq_conf"] if stable else None
    size = fields.integer("key_dim")
    if size < 1:
        raise UnsupportedLayerError(f"its key_dim is {size}")
    config |= {"axes": [-1], "stable": stable, "input_scaler": 1.0 / math.sqrt(size)}
    config["enable_ebops"] = fields.get("enable_ebops")
    return inner_layers | {"_softmax": _inner(layer, "softmax", "QSoftmax", config)}


def _inner(layer: LayerConfig, name: str, kind: str, config: dict[str, Any]) -> LayerConfig:
    entry = {"class_name": f"{PACKAGE}{kind}", "config": config}
    return LayerConfig(f"{PACKAGE}{kind}", name, f"{layer.path}/{name}", entry)
