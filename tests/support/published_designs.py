# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Published HLS designs as Programs: networks from a line of text, weights drawn as the row says.

``reports/reference/hls/published.csv`` holds the figures and where they were published. A network
is ``input 32x32x3; conv 3x3 16 nobias; relu; maxpool 2x2; flatten; dense 10; softmax``; a
convolution that treats all positions ``at once`` says so last.
"""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Softmax
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.estimate.reuse import layers_with_multipliers
from edgeinfer.targets.hls.settings import Arithmetic, Backend, HlsSettings, IoType, Strategy
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe, WeightFormat
from tests.support.places import ROOT

TABLE = ROOT / "reports/reference/hls/published.csv"
BLIND = ROOT / "reports/reference/hls/blind.csv"  # put down before anything was tried on them
BLIND_LATER = ROOT / "reports/reference/hls/blind_later.csv"  # so, too; the bands do not know them
HELD_OUT = ROOT / "reports/reference/hls/held_out.csv"  # of which neither constants nor bands know
WEIGHTS = ROOT / "reports/reference/hls/weights"  # by layer: those other than zero, by place
FIGURES = ("latency_cycles", "ii_cycles", "dsp", "lut", "ff", "bram18")
MULTIPLIED = ("conv", "depthwise", "dense")
ALL = 1 << 30  # positions at once: more than there are
FUNCTIONS = {
    "relu": (g.Function.RELU, ()),
    "elu": (g.Function.ELU, (1.0,)),
    "sigmoid": (g.Function.SIGMOID, ()),
    "hard_sigmoid": (g.Function.HARD_SIGMOID, (0.25, 0.5)),
    "hard_tanh": (g.Function.HARD_TANH, ()),
    "leaky_relu": (g.Function.LEAKY_RELU, (1.0,)),
}


@dataclass(frozen=True, slots=True)
class Published:
    """A design, what made it, and what the tool reported."""

    id: str
    family: str
    part: str
    settings: HlsSettings
    types: str
    weights: str
    network: str
    figures: dict[str, float]
    stage: str
    reuse: tuple[int, ...]  # of each layer with multipliers in turn (a softmax too), or of all
    arithmetic: Arithmetic
    excluded: str


def published(path: Path = TABLE) -> list[Published]:
    """All rows of the table."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(row) for row in csv.DictReader(file)]


def _row(row: dict[str, str]) -> Published:
    year = re.search(r"20\d\d", row["tool"])
    is_vitis = row["tool"].startswith("Vitis") or (year is not None and int(year[0]) > 2020)
    backend = Backend.VITIS if is_vitis else Backend.VIVADO
    settings = HlsSettings(
        backend,
        row["part"],
        float(row["clock_ns"]),
        IoType(row["io"]),
        Strategy(row["strategy"].lower()),
        tool_version=tool_version(row["tool"]),
    )
    reuse = tuple(int(factor) for factor in row["reuse"].split())
    figures = {name: float(row[name]) for name in FIGURES if row[name]}
    stage = row["stage"].split(" ")[0]
    return Published(
        row["id"], row["family"], row["part"], settings, row["types"], row["weights"],
        row["network"], figures, stage, reuse, Arithmetic(row["arithmetic"]), row["excluded"],
    )  # fmt: skip


def tool_version(tool: str) -> str:
    """The release that a row names; nothing where it names none."""
    result = re.search(r"20\d\d\.\d", tool)
    return result[0] if result else ""


def settings_of(design: Published, program: Program) -> HlsSettings:
    """The settings with the reuse factors and the arithmetic that the row states."""
    names = [op.name for op in layers_with_multipliers(program)]
    words = [words for words in design.network.split("; ") if words.split()[0] in MULTIPLIED]
    unrolled = [name for name, each in zip(names, words, strict=True) if each.endswith("at once")]
    settings = replace(
        design.settings,
        arithmetic=design.arithmetic,
        at_once_of=tuple((name, ALL) for name in unrolled),
    )
    if len(design.reuse) == 1:
        return replace(settings, reuse=design.reuse[0])
    if len(design.reuse) > len(names):
        names += [op.name for op in program.ops if isinstance(op, Softmax)]
    return replace(settings, reuse_of=tuple(zip(names, design.reuse, strict=True)))


def program_of(design: Published, seed: int = 0) -> Program:
    """The design's Program, with weights drawn as its row says."""
    base = Fixed.parse(design.types.split(" ")[0])
    of = dict(re.findall(r"(weights|activations|input|results) (\S+)", design.types))
    results = [Fixed.parse(text) for text in of.get("results", "").split("/") if text]
    weight = Fixed.parse(of.get("weights", str(base)))
    hidden = Fixed.parse(of.get("activations", str(base)))
    graph = _Draw(np.random.default_rng(seed), design.weights).graph(design.network)
    last = graph.nodes[-1].name
    activations, weights = {}, {}
    for node in graph.nodes:
        inner = isinstance(node, g.ActivationNode) and node.name != last
        type_ = hidden if inner else base
        exact = design.arithmetic is Arithmetic.EXACT
        if results and isinstance(node, g.ConvNode | g.DenseNode):
            type_ = results.pop(0)
        if isinstance(node, g.BatchNormNode):  # hls4ml folds it into the layer before
            continue
        plain = isinstance(node, g.ReshapeNode | g.UpsampleNode)
        if not plain and not (exact and isinstance(node, g.ConvNode | g.DenseNode)):
            modes = (Rounding.RND_CONV, Overflow.SAT) if exact else (Rounding.TRN, Overflow.WRAP)
            if isinstance(node, g.InputNode):
                type_ = Fixed.parse(of.get("input", str(base)))
            activations[node.name] = Quantizer(type_, *modes)
        for key in g.weights_of(node):
            weights[key] = WeightFormat.of(Quantizer(weight, Rounding.RND, Overflow.SAT))
    return lower(graph, Recipe.of(activations, weights)).program


class _Draw:
    """A network from its line of text."""

    def __init__(self, rng: np.random.Generator, weights: str) -> None:
        self.rng, self.weights = rng, weights
        self.nodes: list[g.Node] = []
        self.last = ""
        self.layers = -1  # where the last dense layer stands
        self.drawn = 0  # layers that have their weights

    def graph(self, text: str) -> g.Graph:
        """All words, in order."""
        parts = [part.split() for part in text.split(";")]
        self.layers = max((at for at, part in enumerate(parts) if part[0] == "dense"), default=-1)
        for at, words in enumerate(parts):
            self._add(at, words[0], words[1:])
        return g.Graph("published", tuple(self.nodes), (self.last,))

    @property
    def shape(self) -> tuple[int, ...]:
        return g.Graph("so_far", tuple(self.nodes), (self.last,)).shapes[self.last]

    def kernel(self, *shape: int, last: bool = False) -> g.Floats:
        """Weights: a named distribution, or what training leaves: a normal one of the size that
        keeps the variance. Pruning spreads over all sizes, and what it leaves keeps the variance
        alone."""
        inputs = math.prod(shape[:-1])
        match self.weights.split():
            case ["lecun_uniform"]:
                limit = math.sqrt(3 / inputs)
                return self.rng.uniform(-limit, limit, shape)
            case ["uniform", low, high]:
                return self.rng.uniform(float(low), float(high), shape)
            case ["normal", spread]:
                return self.rng.normal(0.0, float(spread), shape)
            case ["given", name]:
                layers = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
                values = np.zeros(math.prod(shape))
                for at, value in layers[self.drawn].items():
                    values[int(at)] = value
                self.drawn += 1
                return values.reshape(shape)
            case ["trained", "zeros", *shares]:
                gone = float(shares[self.drawn])
                self.drawn += 1
                drawn = self.rng.normal(0.0, math.sqrt(2 / inputs / (1 - gone)), shape)
                drawn[self.rng.random(shape) < gone] = 0.0
                return drawn
            case ["trained", "l1"]:
                return self.rng.laplace(0.0, math.sqrt(1 / inputs / 2), shape)
            case ["trained", *pruned]:
                whole = pruned[2:] == ["except", "last"] and last
                gone = float(pruned[1]) if pruned and not whole else 0.0
                drawn = self.rng.normal(0.0, math.sqrt(2 / inputs / (1 - gone)), shape)
                drawn[self.rng.random(shape) < gone] = 0.0
                return drawn
            case other:
                raise ValueError(f"weights cannot be drawn as {other}")

    def _add(self, at: int, word: str, rest: list[str]) -> None:
        name = f"{word}{at}"
        shape = self.shape if self.nodes else ()
        sizes = [tuple(map(int, item.split("x"))) for item in rest if re.fullmatch(r"[\dx]+", item)]
        match word:
            case "input":
                node: g.Node = g.InputNode(name, sizes[0])
            case "conv":
                kernel = self.kernel(*sizes[0], shape[-1], sizes[1][0])
                stride = int(rest[rest.index("stride") + 1]) if "stride" in rest else 1
                strides = (stride,) * len(sizes[0])
                pads = _pads(shape, sizes[0], strides, "same" in rest)
                bias = None if "nobias" in rest else self.rng.normal(0.0, 0.1, sizes[1][0])
                node = g.ConvNode(
                    name, name, self.last, kernel, bias, strides, pads, (1,) * len(strides)
                )
            case "depthwise":
                kernel = self.kernel(*sizes[0], 1, shape[-1])
                plain = (1,) * len(sizes[0])
                pads = ((0, 0),) * len(plain)
                node = g.ConvNode(
                    name, name, self.last, kernel, None, plain, pads, plain, shape[-1]
                )
            case "dense":
                kernel = self.kernel(shape[-1], sizes[0][0], last=at == self.layers)
                bias = None if "nobias" in rest else self.rng.normal(0.0, 0.1, sizes[0][0])
                node = g.DenseNode(name, name, self.last, kernel, bias)
            case "bn":
                ones = np.ones(shape[-1])
                shift = self.rng.normal(0.0, 0.1, shape[-1])
                node = g.BatchNormNode(name, name, self.last, ones, shift, 0 * ones, ones, 0.0)
            case "maxpool" | "avgpool":
                kind = g.PoolNodeKind.MAX if word == "maxpool" else g.PoolNodeKind.AVERAGE
                pads = _pads(shape, sizes[0], sizes[0], "same" in rest)
                node = g.PoolNode(
                    name, self.last, kind, sizes[0], sizes[0], pads, count_pads="counted" in rest
                )
            case "upsample":
                node = g.UpsampleNode(name, self.last, sizes[0])
            case "flatten":
                node = g.ReshapeNode(name, self.last, (math.prod(shape),))
            case "softmax":
                node = g.SoftmaxNode(name, self.last)
            case "prelu":
                node = g.PReluNode(name, name, self.last, np.zeros(shape[-1]))
            case _:
                node = g.ActivationNode(name, self.last, *FUNCTIONS[word])
        self.nodes.append(node)
        self.last = name


def _pads(
    shape: tuple[int, ...], window: tuple[int, ...], strides: tuple[int, ...], same: bool
) -> tuple[tuple[int, int], ...]:
    if not same:
        return ((0, 0),) * len(window)
    results = []
    for size, width, step in zip(shape, window, strides, strict=False):
        missing = max((math.ceil(size / step) - 1) * step + width - size, 0)
        results.append((missing // 2, missing - missing // 2))
    return tuple(results)
