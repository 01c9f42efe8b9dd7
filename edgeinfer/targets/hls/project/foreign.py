# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Projects that hls4ml has made for someone else, and its configuration files: which network, which
number formats, which settings. Nothing in them is executed.

A configuration says `auto` where hls4ml chooses; what it chose stands in the project's C++.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgeinfer.base.devices import Device, devices, find, listed_parts, part_of
from edgeinfer.base.errors import InputError
from edgeinfer.graph import nodes as g
from edgeinfer.graph.nodes import Graph, InputNode, Node, weights_of
from edgeinfer.ir.program import exact_name
from edgeinfer.targets.hls.project.cpp_types import plain_format, types_of_layers
from edgeinfer.targets.hls.settings import Arithmetic, Backend, HlsSettings, IoType, Strategy
from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe, WeightFormat

T = TypeVar("T")
CONFIG = "hls4ml_config.yml"
SUFFIXES = (".yml", ".yaml")
MOST_BYTES = 4 << 20  # of a configuration, or of a file of types
MODELS = ("keras_model.keras", "keras_model.h5", "model.onnx")
MODEL_KEYS = ("KerasModel", "KerasJson", "KerasH5", "OnnxModel")
PART_KEYS = ("Part", "XilinxPart")  # as it is called now, and before 0.6
COMPILERS = {  # of backends that put a shell around another one's project
    "vivadoaccelerator": Backend.VIVADO,
    "vitisaccelerator": Backend.VITIS,
    "vitisunified": Backend.VITIS,
    **{str(backend).lower(): backend for backend in Backend},
}
COMPUTED = (  # nodes whose result has the default format where a configuration states none
    g.ConvNode, g.DenseNode, g.AffineNode, g.ActivationNode, g.PReluNode, g.SoftmaxNode, g.PoolNode,
    g.MergeNode,
)  # fmt: skip
NAMED = 3  # layers in one remark
UNROLLED = ("resource_unrolled", "unrolled")  # strategies whose products are laid out by value
WIDEST = 32  # bits of a result that is taken for one that keeps everything


@dataclass(frozen=True, slots=True)
class HlsSource:
    """What a configuration or a project says."""

    model: Path  # the network's file
    settings: HlsSettings
    formats: Mapping[str, Mapping[str, str]]  # by layer: of weight, bias, result, accum
    default: str  # the format of whatever has none
    remarks: tuple[str, ...] = ()  # what is not in the figures, or was taken for something else

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
        unstated = "result" not in formats and isinstance(node, COMPUTED)
        if quantizer is None and (unstated or isinstance(node, InputNode)):
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
    for name, own in types_of_layers(config.parent).items():
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
        tuple(
            _remarks(
                document,
                model,
                layers,
                formats,
                stated,
                is_part_stated=_is_unasked(settings, "part"),
            )
        ),
    )


def _remarks(
    document: Mapping[str, Any],
    model: Mapping[str, Any],
    layers: Mapping[str, Mapping[str, Any]],
    formats: Mapping[str, Mapping[str, str]],
    settings: HlsSettings,
    *,
    is_part_stated: bool,
) -> Iterator[str]:
    """What a reader of the figures should know of how the project was read. is_part_stated: the
    part is the project's, and not one that the user asks for."""
    part = _part(document)
    if is_part_stated and part is not None and find(part) is None:
        yield (
            f"The project is for {part}, a family; the figures are for {settings.part}, the "
            "largest part of it that is known here. Say which one with --device."
        )
    entries = {"every layer": model} if _is_unrolled(model) else layers
    unrolled = [name for name, entry in entries.items() if _is_unrolled(entry)]
    if unrolled:
        yield (
            f"{_several(unrolled)}: the strategy Resource_unrolled is counted as Latency with "
            "the same reuse factor; no report of it was compared."
        )
    saturating = [
        name
        for name, own in formats.items()
        if (accum := _quantizer(own.get("accum"), name)) is not None
        and (accum.overflow is not Overflow.WRAP or accum.rounding is not Rounding.TRN)
        and "exp_table" not in own  # a softmax, which saturates anyway
    ]
    if saturating:
        yield (
            f"{_several(saturating)}: the accumulator rounds or saturates, so the tool does so at "
            "each product and each sum; that takes some 350 LUTs a product of 28 bits, and cycles, "
            "which are not in these figures."
        )
    hls = document["HLSConfig"]
    if isinstance(hls, Mapping) and hls.get("LayerType"):
        yield "The configuration has a section LayerType, which was not read: name the layers."


def _is_unrolled(entry: Mapping[str, Any]) -> bool:
    return str(entry.get("Strategy")).lower() in UNROLLED


def _several(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


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


def _quantizer(text: str | None, layer: str) -> Quantizer | None:
    """A format of hls4ml; None for none."""
    if not text or text.strip().lower() == "auto":
        return None
    plain = plain_format(text)
    whole = re.fullmatch(r"(u?)int<(\d+)>", plain)
    if whole is not None:
        return Quantizer(
            Fixed(not whole[1], int(whole[2]), int(whole[2])), Rounding.TRN, Overflow.WRAP
        )
    if plain in ("xnor", "ternary"):
        bits = 1 if plain == "xnor" else 2
        return Quantizer(Fixed(plain != "xnor", bits, bits), Rounding.TRN, Overflow.WRAP)
    try:
        return Quantizer.parse(plain)
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
    at_once = {
        name: int(_number(entry, "ParallelizationFactor"))
        for name, entry in layers.items()
        if entry.get("ParallelizationFactor")
    }
    part, plain = _part(document), HlsSettings()
    if not _is_unasked(settings_asked, "part"):
        part = None
    stated = {
        "backend": _backend(document),
        "part": plain.part if part is None else _known_part(part),
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
        at_once_of=_by_op(at_once),
        arithmetic=Arithmetic.HLS4ML,
    )


def _backend(document: Mapping[str, Any]) -> Backend:
    """Whose compiler reads the project; Vivado HLS where none is named, as hls4ml has it."""
    text = str(document.get("Backend") or Backend.VIVADO)
    backend = COMPILERS.get(text.lower())
    if backend is None:
        raise InputError(
            f"The project is for hls4ml's backend {text}, of which nothing is known here.",
            hint=f"Known are {', '.join(Backend)}, VivadoAccelerator, VitisAccelerator.",
        )
    return backend


def _part(document: Mapping[str, Any]) -> str | None:
    return next((str(document[key]) for key in PART_KEYS if document.get(key)), None)


def _known_part(name: str) -> str:
    """The part; where a project names a family alone, as Intel's compilers take it, the largest of
    it that is known."""

    def size(device: Device) -> int:
        return device.offers("alm") or device.offers("lut") or 0

    if find(name) is None:
        every = (*devices(), *listed_parts())
        family = [each for each in every if each.fabric == name.lower()]
        if family:
            return max(family, key=size).part
    return part_of(name)


def _is_unasked(settings_asked: HlsSettings, name: str) -> bool:
    """Whether the user has left a setting as it is by default: the project's goes then."""
    return bool(getattr(settings_asked, name) == getattr(HlsSettings(), name))


def _by_op(values: Mapping[str, T]) -> tuple[tuple[str, T], ...]:
    """By the names that a layer's op can have: its own, or that of its result before rounding."""
    both = [(op, value) for name, value in values.items() for op in (name, exact_name(name))]
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
