# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Projects that hls4ml has made for someone else, and its configuration files: which network, which
number formats, which settings. Nothing in them is executed.

A configuration says `auto` where hls4ml chooses; what it chose stands in the project's C++.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgeinfer.base.devices import part_of
from edgeinfer.base.errors import InputError
from edgeinfer.graph.nodes import Graph, InputNode, Node, weights_of
from edgeinfer.targets.hls.settings import Arithmetic, Backend, HlsSettings, IoType, Strategy
from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe, WeightFormat

T = TypeVar("T")
CONFIG = "hls4ml_config.yml"
SUFFIXES = (".yml", ".yaml")
MOST_BYTES = 4 << 20  # of a configuration, or of a file of types
MODELS = ("keras_model.keras", "keras_model.h5", "model.onnx")
MODEL_KEYS = ("KerasModel", "KerasJson", "OnnxModel")
EXACT = ".exact"  # ends the name of a value before it is rounded
WIDEST = 32  # bits of a result that is taken for one that keeps everything
CALL = re.compile(r"nnet::\w+<([^;]*)>\(.*//\s*(\w+)\s*$", re.MULTILINE)
TYPEDEF = re.compile(r"typedef\s+(ap_\w+<[^;]*>)\s+(\w+);")
ARRAY = re.compile(r"typedef\s+nnet::array<(ap_\w+<[^>]*>)[^;]*>\s+(\w+);")


@dataclass(frozen=True, slots=True)
class HlsSource:
    """What a configuration or a project says."""

    model: Path  # the network's file
    settings: HlsSettings
    formats: Mapping[str, Mapping[str, str]]  # by layer: of weight, bias, result, accum
    default: str  # the format of whatever has none

    def recipe(self, graph: Graph) -> Recipe:
        """The formats by the names of a graph. What keeps every bit has no entry."""
        activations, weights = {}, {}
        for node in graph.nodes:
            formats = self.formats.get(node.name, {})
            result = self._result(node, formats)
            if result is not None:
                activations[node.name] = result
            for key in weights_of(node):
                kind = "bias" if key.endswith(("/bias", "/shift")) else "weight"
                quantizer = _quantizer(formats.get(kind), node.name) or _quantizer(
                    self.default, node.name
                )
                if quantizer is not None:
                    plain = Quantizer(quantizer.type, Rounding.RND, Overflow.SAT)
                    weights[key] = WeightFormat.of(plain)
        return Recipe.of(activations, weights)

    def _result(self, node: Node, formats: Mapping[str, str]) -> Quantizer | None:
        quantizer = _quantizer(formats.get("result"), node.name)
        if quantizer is None and isinstance(node, InputNode):
            quantizer = _quantizer(self.default, node.name)
        return None if quantizer is None or quantizer.type.bits >= WIDEST else quantizer


def read_source(path: Path, settings: HlsSettings) -> HlsSource | None:
    """What a configuration file, or the folder of a project, says; None where it is neither.

    settings: what the user has asked for; the project decides on all that was left as it is.
    """
    config = path / CONFIG if path.is_dir() else path
    if not config.is_file() or config.suffix not in SUFFIXES:
        return None
    document = _document(config)
    layers = _layers(document)
    formats = {name: _formats(entry) for name, entry in layers.items()}
    chosen = _chosen_types(config.parent / "firmware")
    for name, own in chosen.items():
        formats[name] = {**formats.get(name, {}), **own}
    model = _mapping(document, "HLSConfig", config).get("Model") or {}
    default = model.get("Precision", "")
    if isinstance(default, Mapping):
        default = default.get("default", "")
    sums = {
        name: quantizer.type.bits
        for name, element_formats in formats.items()
        if (quantizer := _quantizer(element_formats.get("accum"), name)) is not None
    }
    stated = _settings(document, model, layers, settings)
    return HlsSource(
        _network(document, config),
        replace(stated, sum_bits_of=_by_op(sums)),
        formats,
        str(default),
    )


def _document(config: Path) -> dict[str, Any]:
    import yaml

    # Tags of hls4ml stand for the text behind them; nothing is built from them.
    loader_type: Any = type("Loader", (yaml.SafeLoader,), {})
    loader_type.add_multi_constructor(
        "!", lambda loader, suffix, node: getattr(node, "value", None)
    )
    if config.stat().st_size > MOST_BYTES:
        raise InputError(f"{config} is too large to be a configuration of hls4ml.")
    try:
        document = yaml.load(config.read_text(encoding="utf-8"), loader_type)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{config} is not YAML: {str(error).splitlines()[0]}.") from None
    if not isinstance(document, dict) or "HLSConfig" not in document:
        raise InputError(
            f"{config} is no configuration of hls4ml: it has no HLSConfig.",
            hint="Give the hls4ml_config.yml that hls4ml writes into its project.",
        )
    return document


def _mapping(document: Mapping[str, Any], key: str, config: Path) -> Mapping[str, Any]:
    entry = document.get(key) or {}
    if not isinstance(entry, Mapping):
        raise InputError(f"{config}: {key} is no table.")
    return entry


def _layers(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    hls = document["HLSConfig"]
    named = hls.get("LayerName") if isinstance(hls, Mapping) else None
    if not isinstance(named, Mapping):
        return {}
    return {str(name): entry for name, entry in named.items() if isinstance(entry, Mapping)}


def _formats(entry: Mapping[str, Any]) -> dict[str, str]:
    precision = entry.get("Precision", {})
    if isinstance(precision, str):
        return {"result": precision, "weight": precision, "bias": precision}
    if not isinstance(precision, Mapping):
        return {}
    return {str(kind): str(text) for kind, text in precision.items()}


def _chosen_types(firmware: Path) -> dict[str, dict[str, str]]:
    """By layer, the types in a project's C++."""
    sources = [firmware / "defines.h", *sorted(firmware.glob("*.cpp"))]
    readable = [p for p in sources if p.is_file() and p.stat().st_size <= MOST_BYTES]
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in readable)
    types = {name: type_ for type_, name in (*TYPEDEF.findall(text), *ARRAY.findall(text))}
    types_by_layer: dict[str, dict[str, str]] = {}
    for parameters, layer in CALL.findall(text):
        words = [word.strip() for word in parameters.split(",")]
        number = re.search(r"config(\d+)", words[-1])
        names = {"result": words[-2] if len(words) > 1 else ""}
        names |= {kind: f"{layer}_{kind}_t" for kind in ("weight", "bias", "accum")}
        if number is not None:  # as releases before 1.3 call them
            old = {kind: f"{kind}{number[1]}_t" for kind in ("weight", "bias")}
            names |= {kind: name for kind, name in old.items() if name in types}
        types_by_layer[layer] = {kind: types[name] for kind, name in names.items() if name in types}
    return types_by_layer


def _quantizer(text: str | None, layer: str) -> Quantizer | None:
    """A format of hls4ml, whose modes are TRN and WRAP where none are stated; None for none."""
    if not text or text.strip().lower() == "auto":
        return None
    plain = text.replace(" ", "").replace("ap_", "").replace("AP_", "")
    whole = re.fullmatch(r"(u?)int<(\d+)>", plain)
    if whole is not None:
        return Quantizer(
            Fixed(not whole[1], int(whole[2]), int(whole[2])), Rounding.TRN, Overflow.WRAP
        )
    if plain in ("xnor", "ternary"):
        bits = 1 if plain == "xnor" else 2
        return Quantizer(Fixed(plain != "xnor", bits, bits), Rounding.TRN, Overflow.WRAP)
    parts = plain.rstrip(">").split(",")
    modes = [*parts[2:4], *("TRN", "WRAP")[len(parts[2:4]) :]]
    try:
        return Quantizer.parse(f"{','.join(parts[:2])},{','.join(modes)}>")
    except FormatError as error:
        raise InputError(f"{layer}: the precision {text!r} is not known: {error}") from None


def _settings(
    document: Mapping[str, Any],
    model: Mapping[str, Any],
    layers: Mapping[str, Mapping[str, Any]],
    settings_asked: HlsSettings,
) -> HlsSettings:
    def one_of(kind: Any, text: Any, otherwise: Any) -> Any:
        choices = {str(each).lower(): each for each in kind}
        return choices.get(str(text).lower(), otherwise)

    reuse = {n: int(_number(e, "ReuseFactor")) for n, e in layers.items() if e.get("ReuseFactor")}
    ways = {
        name: way
        for name, entry in layers.items()
        if (way := one_of(Strategy, entry.get("Strategy"), None)) is not None
    }
    part, plain = document.get("Part"), HlsSettings()
    stated = {
        "backend": one_of(Backend, document.get("Backend"), plain.backend),
        "part": part_of(str(part)) if part else plain.part,
        "clock_ns": _number(document, "ClockPeriod") or plain.clock_ns,
        "io": one_of(IoType, document.get("IOType"), plain.io),
        "strategy": one_of(Strategy, model.get("Strategy"), plain.strategy),
        "reuse": int(_number(model, "ReuseFactor")) or plain.reuse,
    }
    own = {name: value for name, value in stated.items() if _is_unasked(settings_asked, name)}
    layers_too = _is_unasked(settings_asked, "reuse") and _is_unasked(settings_asked, "strategy")
    return replace(
        settings_asked,
        **own,
        reuse_of=_by_op(reuse) if layers_too else settings_asked.reuse_of,
        strategy_of=_by_op(ways) if layers_too else settings_asked.strategy_of,
        arithmetic=Arithmetic.HLS4ML,
    )


def _is_unasked(settings_asked: HlsSettings, name: str) -> bool:
    """Whether the user has left a setting as it is by default: the project's goes then."""
    return bool(getattr(settings_asked, name) == getattr(HlsSettings(), name))


def _by_op(values: Mapping[str, T]) -> tuple[tuple[str, T], ...]:
    """By the names that a layer's op can have: its own, or that of its result before rounding."""
    both = [(op, value) for name, value in values.items() for op in (name, f"{name}{EXACT}")]
    return tuple(sorted(both, key=lambda item: item[0]))


def _number(entry: Mapping[str, Any], key: str) -> float:
    """A number of a configuration; 0 where it has none."""
    try:
        return float(entry.get(key) or 0)
    except (TypeError, ValueError):
        raise InputError(
            f"A configuration of hls4ml has {key} {entry[key]!r}, which is no number."
        ) from None


def _network(document: Mapping[str, Any], config: Path) -> Path:
    """The network's file: where the configuration says, or under its name beside it."""
    named = [Path(str(document[key])) for key in MODEL_KEYS if document.get(key)]
    places = [
        place for path in named for place in (path, config.parent / path, config.parent / path.name)
    ]
    places += [config.parent / name for name in MODELS]
    for path in places:
        if path.is_file():
            return path
    network_text = f" It names {named[0]}." if named else ""
    raise InputError(
        f"{config}: the network that it was made from is not there.{network_text}",
        hint=f"Put the model beside it as {', '.join(MODELS[:-1])} or {MODELS[-1]}.",
    )
