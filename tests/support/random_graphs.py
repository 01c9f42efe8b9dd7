# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random small networks with random recipes, the same for the same seed everywhere.

Every kind of node that QKeras has a layer for turns up, with ranges that roughly fit the data, so
that roundings, ties and saturations all happen and few tensors are constant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.windows import dilate_window, same_pads
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe, WeightFormat

LARGEST = 1200  # elements of a tensor: the interpreter stays quick
WEIGHT_KINDS = ("conv", "conv", "conv", "depthwise", "dense", "dense", "norm", "prelu")
OTHER_KINDS = (
    *("round", "round", "relu", "relu", "leaky", "function", "pool", "pool", "merge", "merge"),
    *("concat", "reshape", "transpose", "pad", "upsample", "crop", "curve"),
)
CURVES = (
    *("sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "swish", "gelu"),
    *("exponential", "hard_sigmoid"),
)


@dataclass(frozen=True, slots=True)
class Network:
    """A float network and the number formats it is to have."""

    graph: g.Graph
    recipe: Recipe


def random_network(seed: int, *, widest: int = 8) -> Network:
    """A network of about ten nodes whose formats have at most `widest` bits."""
    return _Grower(np.random.default_rng(seed), widest).network(f"random_{seed}")


def random_inputs(network: Network, seed: int, samples: int) -> dict[str, Ints]:
    """Raw inputs all over their types, the ends included."""
    rng = np.random.default_rng(seed)
    results = {}
    for node in network.graph.inputs:
        quantizer = network.recipe.activation(node.name)
        assert quantizer is not None
        type_ = quantizer.type
        symmetric = quantizer.overflow is Overflow.SAT_SYM
        low, high = -type_.raw_max if symmetric else type_.raw_min, type_.raw_max
        raw = rng.integers(low, high, (samples, *node.shape), endpoint=True)
        raw[0], raw[-1] = low, high
        results[node.name] = raw
    return results


@dataclass
class _Grower:
    rng: np.random.Generator
    widest: int
    nodes: list[g.Node] = field(default_factory=list)
    shapes: dict[str, g.Shape] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)  # roughly a tensor's standard deviation
    exact: dict[str, int] = field(default_factory=dict)  # steps since a tensor was rounded
    activations: dict[str, Quantizer] = field(default_factory=dict)
    weights: dict[str, WeightFormat] = field(default_factory=dict)

    def network(self, name: str) -> Network:
        rng = self.rng
        rank = int(rng.choice([1, 2, 2, 3, 3]))
        shape = (*rng.integers(3, 8, rank - 1).tolist(), int(rng.integers(1, 5)))
        for i in range(int(rng.choice([1, 1, 2]))):
            self._add(g.InputNode(f"x{i}", shape), 1.0)
            self._round_in_place(f"x{i}")
        for _ in range(int(rng.integers(4, 9))):
            pool = WEIGHT_KINDS if rng.random() < 0.4 else OTHER_KINDS
            self._grow(str(rng.choice(pool)))
        for unread in [n.name for n in self.nodes if isinstance(n, g.InputNode)]:
            if not self._read(unread):
                self._rounded(unread)
        ends = [node.name for node in self.nodes if not self._read(node.name)]
        outputs = tuple(e for e in ends if e not in ("x0", "x1")) or (self.nodes[-1].name,)
        return Network(
            g.Graph(name, tuple(self.nodes), outputs), Recipe.of(self.activations, self.weights)
        )

    def _read(self, name: str) -> bool:
        return any(name in g.inputs_of(node) for node in self.nodes)

    def _add(self, node: g.Node, scale: float, steps: int = 0) -> str:
        self.nodes.append(node)
        self.shapes[node.name] = g.shape_of(node, self.shapes)
        self.scales[node.name] = max(scale, 1e-3)
        self.exact[node.name] = steps
        return node.name

    def _name(self, kind: str) -> str:
        return f"{kind}_{len(self.nodes)}"

    def _tensor(self) -> str:
        """A tensor to go on from: the younger, the likelier; rounded first if it has grown wide."""
        names = list(self.shapes)
        chosen = names[-1 - min(int(self.rng.geometric(0.5)) - 1, len(names) - 1)]
        limit = 2 if self.widest <= 12 else 1
        return self._rounded(chosen) if self.exact[chosen] >= limit else chosen

    def _format(self, scale: float, *, signed: bool | None = None) -> Quantizer:
        rng = self.rng
        is_signed = bool(rng.random() < 0.6) if signed is None else signed
        bits = int(rng.integers(1 + is_signed, self.widest, endpoint=True))
        integer = math.ceil(math.log2(scale)) + int(rng.integers(-1, 3)) + int(is_signed)
        symmetric = is_signed and rng.random() < 0.2
        overflow = Overflow.SAT_SYM if symmetric else Overflow.SAT
        return Quantizer(Fixed(is_signed, bits, integer), Rounding.RND_CONV, overflow)

    def _round_in_place(self, name: str) -> None:
        self.activations[name] = quantizer = self._format(self.scales[name])
        self.scales[name] = min(self.scales[name], max(quantizer.type.max, quantizer.type.lsb))
        self.exact[name] = 0

    def _rounded(self, x: str) -> str:
        kind = g.Function.RELU if self.rng.random() < 0.5 else g.Function.LINEAR
        name = self._add(g.ActivationNode(self._name("act"), x, kind), self.scales[x])
        self.activations[name] = self._format(
            self.scales[x], signed=False if kind is g.Function.RELU else None
        )
        return name

    def _weight_format(self, values: g.Floats) -> WeightFormat:
        rng = self.rng
        top = max(float(np.abs(values).max(initial=0.0)), 2.0**-6)
        signed = bool((values < 0).any() or rng.random() < 0.5)
        if values.ndim > 1 and rng.random() < 0.25:
            common = self._format(top, signed=signed)
            per_channel = []
            for _ in range(values.shape[-1]):
                bits = common.type.bits if rng.random() < 0.9 else max(common.type.bits - 1, 2)
                moved = Fixed(signed, bits, common.type.integer - int(rng.integers(0, 3)))
                per_channel.append(Quantizer(moved, common.rounding, common.overflow))
            return WeightFormat.of(*per_channel)
        return WeightFormat.of(self._format(top, signed=signed))

    def _weighted(self, node: g.Node) -> g.Node:
        """The node, with formats for its weights in the recipe."""
        for key, values in g.weights_of(node).items():
            self.weights[key] = self._weight_format(values)
        return node

    def _grow(self, kind: str) -> None:
        x = self._tensor()
        name = self._name(kind)
        rank = len(self.shapes[x])
        match kind:
            case "conv" | "depthwise" if rank > 1:
                self._conv(name, x, depthwise=kind == "depthwise")
            case "conv" | "depthwise" | "dense":
                self._dense(name, x)
            case "norm":
                self._norm(name, x)
            case "prelu":
                slopes = self.rng.choice([0.0, 0.25, 0.3, -0.5], self.shapes[x][-1:])
                node = self._weighted(g.PReluNode(name, name, x, slopes))
                self._add(node, self.scales[x], self.exact[x] + 1)
            case "curve":
                self._curve(name, self._rounded(x) if self.exact[x] else x)
            case "relu" | "leaky" | "function":
                self._function(name, x, kind)
            case "pool" if rank > 1:
                self._pool(name, x)
            case "merge" | "concat":
                self._join(name, x, kind)
            case "reshape" | "transpose" | "pad" | "upsample" | "crop":
                self._move(name, x, kind)
            case _:
                self._rounded(x)
        if self.rng.random() < 0.3 and self.nodes[-1].name not in self.activations:
            self._round_in_place(self.nodes[-1].name)

    def _kernel(self, shape: g.Shape) -> g.Floats:
        fan_in = math.prod(shape[:-1])
        return self.rng.normal(0.0, 1.0 / math.sqrt(fan_in), shape)

    def _bias(self, channels: int) -> g.Floats | None:
        return self.rng.normal(0.0, 0.5, channels) if self.rng.random() < 0.7 else None

    def _conv(self, name: str, x: str, *, depthwise: bool) -> None:
        rng, shape = self.rng, self.shapes[x]
        rank = len(shape) - 1
        window = tuple(int(rng.integers(1, min(size, 3) + 1)) for size in shape[:-1])
        dilation, strides = (1,) * rank, (1,) * rank
        if rng.random() < 0.25:
            dilation = tuple(
                2 if dilate_window((w,), (2,))[0] <= size else 1
                for w, size in zip(window, shape[:-1], strict=True)
            )
        elif rng.random() < 0.4:
            strides = tuple(rng.integers(1, 3, rank).tolist())
        pads: g.Pads = ((0, 0),) * rank
        style = rng.random()
        if style < 0.5:
            pads = same_pads(shape[:-1], window, strides, dilation)
        elif style < 0.65:
            pads = tuple((int(a), int(b)) for a, b in rng.integers(0, 3, (rank, 2)))
        groups = shape[-1] if depthwise else int(rng.choice(_divisors(shape[-1])))
        out = groups * int(rng.integers(1, 3 if depthwise else 4))
        out = groups * max(out // groups, 1)
        kernel = self._kernel((*window, shape[-1] // groups, out))
        bias = self._bias(out)
        node = g.ConvNode(name, name, x, kernel, bias, strides, pads, dilation, groups)
        self._add(self._weighted(node), self.scales[x] + 0.5, self.exact[x] + 1)

    def _dense(self, name: str, x: str) -> None:
        out = int(self.rng.integers(1, 7))
        node = g.DenseNode(name, name, x, self._kernel((self.shapes[x][-1], out)), self._bias(out))
        self._add(self._weighted(node), self.scales[x] + 0.5, self.exact[x] + 1)

    def _norm(self, name: str, x: str) -> None:
        rng, channels = self.rng, self.shapes[x][-1]
        node: g.BatchNormNode | g.AffineNode
        if rng.random() < 0.5:
            gamma, variance = rng.normal(1.0, 0.3, channels), rng.uniform(0.3, 2.0, channels)
            beta, mean = rng.normal(0.0, 0.5, (2, channels))
            node = g.BatchNormNode(name, name, x, gamma, beta, mean, variance, 1e-3)
        else:
            shape = (channels,) if rng.random() < 0.7 else (1,)
            node = g.AffineNode(name, name, x, rng.normal(1, 0.3, shape), rng.normal(0, 0.3, shape))
        if rng.random() < 0.7:  # otherwise it is folded, or its formats are filled in
            self._weighted(node)
        before = next((n for n in self.nodes if n.name == x), None)
        if f"{name}/scale" not in self.weights and not isinstance(before, g.ConvNode | g.DenseNode):
            self._weighted(node)
        self._add(node, self.scales[x] + 0.3, self.exact[x] + 1)

    def _function(self, name: str, x: str, kind: str) -> None:
        rng = self.rng
        function, parameters = g.Function.RELU, ()
        if kind == "leaky":
            function = g.Function.LEAKY_RELU
            parameters = (float(rng.choice([0.5, 0.25, 0.125, 2.0, 0.3])),)
        elif kind == "function":
            choice = int(rng.integers(0, 6))
            options = [
                (g.Function.RELU6, ()),
                (g.Function.HARD_TANH, ()),
                (g.Function.SIGN, ()),
                (g.Function.TERNARY, (0.5,)),
                (g.Function.LINEAR, ()),
                (g.Function.HARD_SIGMOID, (0.5, 0.5)),
            ]
            function, parameters = options[choice]
        self._add(g.ActivationNode(name, x, function, parameters), self.scales[x], self.exact[x])
        if function is g.Function.HARD_SIGMOID:
            bits = int(rng.integers(1, self.widest, endpoint=True))
            self.activations[name] = Quantizer(Fixed(False, bits, 0))

    def _curve(self, name: str, x: str) -> None:
        """A function that the integers look up in a table."""
        function = g.Function(str(self.rng.choice(CURVES)))
        parameters = {g.Function.ELU: (1.0,), g.Function.HARD_SIGMOID: (1 / 6, 0.5)}
        node = g.ActivationNode(name, x, function, parameters.get(function, ()))
        self._add(node, min(self.scales[x], 4.0))
        self._round_in_place(name)

    def _pool(self, name: str, x: str) -> None:
        rng, sizes = self.rng, self.shapes[x][:-1]
        kind = g.PoolNodeKind.MAX if rng.random() < 0.5 else g.PoolNodeKind.AVERAGE
        window = tuple(int(rng.choice([w for w in (1, 2, 2, 4, s) if w <= s])) for s in sizes)
        window = tuple(min(w, 4) if kind is g.PoolNodeKind.AVERAGE else w for w in window)
        if kind is g.PoolNodeKind.AVERAGE and math.prod(window).bit_count() != 1:
            window = tuple(1 << (w.bit_length() - 1) for w in window)
        strides = tuple(int(rng.integers(1, w + 1)) for w in window)
        one, pads = (1,) * len(sizes), ((0, 0),) * len(sizes)
        if rng.random() < 0.3:
            pads = same_pads(sizes, window, strides, one)
        node = g.PoolNode(name, x, kind, window, strides, pads, bool(rng.random() < 0.5))
        self._add(node, self.scales[x], self.exact[x] + (kind is g.PoolNodeKind.AVERAGE))

    def _join(self, name: str, x: str, kind: str) -> None:
        rng, shape = self.rng, self.shapes[x]
        alike = [n for n, other in self.shapes.items() if other == shape and self.exact[n] < 2]
        others = [str(n) for n in rng.choice(alike, int(rng.integers(1, 3)))] if alike else [x]
        if kind == "concat":
            axis = int(rng.integers(-1, len(shape)))
            node: g.Node = g.ConcatNode(name, (x, *others), axis)
            self._add(node, max(self.scales[n] for n in (x, *others)), self.exact[x])
            return
        merge = g.MergeKind(str(rng.choice(list(g.MergeKind))))
        if merge in (g.MergeKind.SUBTRACT, g.MergeKind.MULTIPLY, g.MergeKind.AVERAGE):
            others = others[:1]
        scales = [self.scales[n] for n in (x, *others)]
        scale = math.prod(scales) if merge is g.MergeKind.MULTIPLY else sum(scales)
        self._add(g.MergeNode(name, (x, *others), merge), scale, self.exact[x] + 1)

    def _move(self, name: str, x: str, kind: str) -> None:
        rng, shape = self.rng, self.shapes[x]
        rank, size = len(shape), math.prod(shape)
        node: g.Node | None = None
        match kind:
            case "reshape":
                halves = size % 2 == 0 and rng.random() < 0.5
                node = g.ReshapeNode(name, x, (size // 2, 2) if halves else (size,))
            case "transpose":
                node = g.TransposeNode(name, x, tuple(rng.permutation(rank).tolist()))
            case "pad" if rank > 1:
                pads = (*((int(a), int(b)) for a, b in rng.integers(0, 3, (rank - 1, 2))), (0, 0))
                node = g.PadNode(name, x, pads)
            case "upsample" if rank > 1 and size * 4 < LARGEST:
                node = g.UpsampleNode(name, x, tuple(rng.integers(1, 3, rank - 1).tolist()))
            case "crop" if rank > 1:
                starts = tuple(int(rng.integers(0, s)) for s in shape[:-1])
                stops = tuple(
                    int(rng.integers(a + 1, s + 1)) for a, s in zip(starts, shape, strict=False)
                )
                node = g.SliceNode(name, x, (*starts, 0), (*stops, shape[-1]), (1,) * rank)
            case _:
                pass
        if node is not None:
            self._add(node, self.scales[x], self.exact[x])


def _divisors(number: int) -> list[int]:
    return [1, 1, *(d for d in range(2, number + 1) if number % d == 0)]
