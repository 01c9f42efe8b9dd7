# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random sparse U-nets as Programs, and images in which few pixels are lit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import (
    Clip,
    Concat,
    Conv,
    Dense,
    Input,
    PairKind,
    Pool,
    PoolKind,
    Reshape,
    Scale,
    Shape,
    Sites,
    Transpose,
    pack_weights,
)
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding

EVEN = (2, 2)


@dataclass(slots=True)
class SparseUnet:
    """A U-net in the making: convolutions at sites, coarser levels, the way back up."""

    builder: ProgramBuilder
    rng: np.random.Generator
    activation: Quantizer
    weight_bits: int = 5
    plain: bool = False
    made: int = 0

    def name(self, what: str) -> str:
        self.made += 1
        return f"{what}{self.made}"

    def weights(self, shape: Shape) -> tuple[Ints, Fixed]:
        type_ = Fixed(True, self.weight_bits, 1)
        raw = self.rng.integers(type_.raw_min, type_.raw_max, shape, endpoint=True)
        return raw.astype(np.int64), type_

    def bias(self, channels: int) -> Ints:
        return self.rng.integers(-40, 41, channels).astype(np.int64)

    def masked(self, x: str, sites: str) -> str:
        return self.builder.pair(self.name("masked"), x, sites, PairKind.MUL)

    def conv(
        self,
        x: str,
        sites: str,
        channels: int,
        *,
        window: int = 3,
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        """A convolution, a mask, a rectifier and a rounding."""
        b = self.builder
        y = self.conv_alone(x, sites, channels, window=window, stride=stride, groups=groups)
        if not self.plain and self.rng.random() < 0.3:
            factor = self.rng.integers(-7, 8, channels).astype(np.int64)
            shift = pack_weights(self.bias(channels))
            type_ = Fixed(True, 4, 2)
            scale = Scale(self.name("scale"), provisional(b.frac(y) + 2), y, pack_weights(factor),
                          type_, shift)  # fmt: skip
            y = self.masked(b.exact(scale), sites)
        y = b.exact(Clip(self.name("relu"), provisional(b.frac(y)), y, 0, None))
        return b.requant(self.name("rounded"), y, self.activation)

    def conv_alone(
        self,
        x: str,
        sites: str,
        channels: int,
        *,
        window: int = 3,
        stride: int = 1,
        groups: int = 1,
    ) -> str:
        """A convolution and a mask."""
        b = self.builder
        inside = b.shapes[x][-1]
        raw, type_ = self.weights((window, window, inside // groups, channels))
        size = b.shapes[x][0]
        wanted = b.shapes[sites][0]
        over = max((wanted - 1) * stride + window - size, 0)
        pads = ((over // 2, over - over // 2),) * 2
        frac = b.frac(x) + type_.frac
        bias = pack_weights(self.bias(channels))
        op = Conv(self.name("conv"), provisional(frac), x, pack_weights(raw), type_, bias,
                  (stride,) * 2, pads, (1, 1), groups)  # fmt: skip
        return self.masked(b.exact(op), sites)

    def down(self, sites: str) -> str:
        pads = ((0, 0), (0, 0))
        pool = Pool(self.name("sites"), provisional(0), sites, PoolKind.MAX, EVEN, EVEN, pads)
        return self.builder.exact(pool)

    def up(self, x: str, coarse: str, fine: str, channels: int) -> str:
        """A transposed convolution whose windows tile the image."""
        b = self.builder
        raw, type_ = self.weights((b.shapes[x][-1], 4 * channels))
        bias = pack_weights(self.bias(4 * channels))
        frac = b.frac(x) + type_.frac
        y = b.exact(Dense(self.name("up"), provisional(frac), x, pack_weights(raw), type_, bias))
        if self.rng.random() < 0.5:  # which changes nothing in the end
            y = self.masked(y, coarse)
        rows, columns = b.shapes[y][:2]
        grid = provisional(b.frac(y))
        apart = (rows, columns, 2, 2, channels)
        y = b.exact(Reshape(self.name("apart"), grid, y, apart))
        y = b.exact(Transpose(self.name("turned"), grid, y, (0, 2, 1, 3, 4)))
        fine_shape = (2 * rows, 2 * columns, channels)
        y = b.exact(Reshape(self.name("fine"), grid, y, fine_shape))
        return b.requant(self.name("rounded"), self.masked(y, fine), self.activation)

    def joined(self, *xs: str) -> str:
        frac = max(self.builder.frac(x) for x in xs)
        return self.builder.exact(Concat(self.name("joined"), provisional(frac), xs, 2))


def sparse_unet(
    seed: int,
    *,
    size: int = 16,
    levels: int = 3,
    convs: int = 2,
    channels: int = 4,
    threshold: int = 0,
    most: int | None = None,
    inputs: int = 1,
    bits: int = 6,
    weight_bits: int = 5,
    plain: bool = False,
    add: bool = False,
) -> Program:
    """A U-net over an image of `inputs` channels, with scores of three classes at every site. A
    plain one goes down by convolutions only, and has neither groups nor scales. What was kept on
    the way down is joined on the way up, or added."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder(f"unet{seed}")
    activation = Quantizer(Fixed(False, bits, 3), Rounding.RND_CONV, Overflow.SAT)
    net = SparseUnet(builder, rng, activation, weight_bits, plain)
    image = builder.add(Input("image", Fixed(True, bits, 2), (size, size, inputs)))
    sites = builder.exact(Sites("sites", provisional(0), image, threshold, most))
    x = net.masked(image, sites)
    held: list[tuple[str, str]] = []
    for level in range(levels):
        for _ in range(convs):
            x = net.conv(x, sites, channels * (level + 1))
        if level < levels - 1:
            held.append((x, sites))
            coarse = net.down(sites)
            if plain or rng.random() < 0.5:
                x = net.conv(x, coarse, channels * (level + 2), window=2, stride=2)
            else:
                kind = PoolKind.MAX if rng.random() < 0.5 else PoolKind.SUM
                op = Pool(net.name("pool"), provisional(builder.frac(x)), x, kind, EVEN, EVEN,
                          ((0, 0), (0, 0)))  # fmt: skip
                x = builder.requant(net.name("rounded"), builder.exact(op), activation)
            sites = coarse
    while held:
        skip, fine = held.pop()
        width = builder.shapes[skip][-1]
        x = net.up(x, sites, fine, width)
        x = builder.pair(net.name("both"), x, skip, PairKind.ADD) if add else net.joined(x, skip)
        sites = fine
        groups = 2 if not plain and rng.random() < 0.3 else 1
        for _ in range(convs):
            x = net.conv(x, sites, width, groups=groups)
    raw, type_ = net.weights((builder.shapes[x][-1], 3))
    bias = pack_weights(net.bias(3))
    frac = builder.frac(x) + type_.frac
    scores = builder.exact(Dense("scores", provisional(frac), x, pack_weights(raw), type_, bias))
    classes = builder.pair("classes_of_pixels", scores, sites, PairKind.MUL)
    return builder.program((Output("classes", classes),))


def token_unet(seed: int) -> Program:
    """A small U-net of two or three levels, with a limit that is reached, one that is not, or the
    whole image."""
    return sparse_unet(
        seed,
        size=8,
        levels=2 + seed % 2,
        convs=1,
        channels=2,
        inputs=1 + seed // 3 % 2,
        most=(10, 40, None)[seed % 3],
        threshold=seed % 4,
        add=seed % 5 > 2,
    )


def sites_of_another() -> Program:
    """A value that is wanted everywhere, and read at the lit pixels of its image."""
    rng = np.random.default_rng(1)
    builder = ProgramBuilder("another")
    activation = Quantizer(Fixed(False, 6, 3), Rounding.RND_CONV, Overflow.SAT)
    net = SparseUnet(builder, rng, activation)
    image = builder.add(Input("image", Fixed(True, 6, 2), (8, 8, 1)))
    sites = builder.exact(Sites("sites", provisional(0), image, 0, 12))
    everywhere = builder.clip("everywhere", image, 1, 9)
    x = net.masked(everywhere, sites)
    return builder.program((Output("y", net.conv(x, sites, 2)), Output("z", everywhere)))


def lit_images(program: Program, seed: int, occupancies: tuple[float, ...]) -> dict[str, Ints]:
    """An image for each occupancy: so many pixels above zero, some of them on the border."""
    rng = np.random.default_rng(seed)
    (image,) = program.inputs
    result = np.zeros((len(occupancies), *image.shape), np.int64)
    rows, columns = image.shape[:2]
    for each, occupancy in zip(result, occupancies, strict=True):
        count = min(int(np.ceil(occupancy * rows * columns)), rows * columns)
        lit = rng.permutation(rows * columns)[:count]
        if 0 < count < rows * columns:
            lit[0] = rng.choice([0, columns - 1, rows * columns - 1, (rows - 1) * columns])
        flat = each.reshape(rows * columns, -1)
        flat[lit] = rng.integers(1, image.type.raw_max, (count, flat.shape[1]), endpoint=True)
    return {image.name: result}


def neutrino_network(seed: int, *, most: int = 20, side: int = 64, kernel: int = 7) -> Program:
    """SparsePixels' network for neutrino images, with its layers, sizes and formats: three
    convolutions at lit pixels, a mean over tiles, two dense layers; of 8 bits throughout. The
    weights are drawn."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder("neutrino")
    activation = Quantizer(Fixed(False, 8, 0), Rounding.RND_CONV, Overflow.SAT)
    net = SparseUnet(builder, rng, activation, 8, plain=True)
    image = builder.add(Input("image", Fixed(False, 8, 1), (side, side, 1)))
    sites = builder.exact(Sites("sites", provisional(0), image, 0, most))
    x = net.masked(image, sites)
    for channels in (1, 1, 4):
        x = net.conv(x, sites, channels, window=kernel)
    tiles = (8, 8)
    pool = Pool(net.name("pool"), provisional(builder.frac(x)), x, PoolKind.SUM, tiles, tiles,
                ((0, 0), (0, 0)))  # fmt: skip
    mean = builder.shifted(net.name("mean"), builder.exact(pool), -6, 0, 0)
    x = builder.requant(net.name("rounded"), mean, activation)
    shape = (math.prod(builder.shapes[x]),)
    x = builder.exact(Reshape("flat", provisional(builder.frac(x)), x, shape))
    for outputs in (12, 1):
        raw, type_ = net.weights((builder.shapes[x][-1], outputs))
        frac = builder.frac(x) + type_.frac
        bias = pack_weights(net.bias(outputs))
        name = net.name("dense")
        y = builder.exact(Dense(name, provisional(frac), x, pack_weights(raw), type_, bias))
        if outputs == 1:
            return builder.program((Output("score", y),))
        y = builder.exact(Clip(net.name("relu"), provisional(builder.frac(y)), y, 0, None))
        x = builder.requant(net.name("rounded"), y, activation)
    raise AssertionError("the last layer has one output")


def sparse_encoder(seed: int) -> Program:
    """A random network that goes down over some levels, by strided convolutions or pools, with
    residuals, joined channels and groups, to scores of the whole image and one map of its last
    level. Its limit may be reached, and may be the whole image."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder(f"encoder{seed}")
    activation = Quantizer(Fixed(False, 6, 3), Rounding.RND_CONV, Overflow.SAT)
    net = SparseUnet(builder, rng, activation)
    rows, columns = int(rng.choice([8, 9, 12])), int(rng.choice([8, 10, 12]))
    image = builder.add(Input("image", Fixed(True, 6, 2), (rows, columns, int(rng.integers(1, 3)))))
    most = int(rng.choice([3, 10, rows * columns // 2, rows * columns]))
    threshold = int(rng.integers(0, 4))
    sites = builder.exact(Sites("sites", provisional(0), image, threshold, most))
    x = net.masked(image, sites)
    for level in range(int(rng.integers(1, 3))):
        channels = int(rng.choice([2, 4]))
        if level:
            coarse = net.down(sites)
            how = rng.integers(3)
            if how == 0:
                x = net.conv(x, coarse, channels, window=2, stride=2)
            else:
                kind = PoolKind.MAX if how == 1 else PoolKind.SUM
                op = Pool(net.name("pool"), provisional(builder.frac(x)), x, kind, EVEN, EVEN,
                          ((0, 0), (0, 0)))  # fmt: skip
                x = builder.requant(net.name("rounded"), builder.exact(op), activation)
            sites = coarse
        x = net.conv(x, sites, channels, window=int(rng.choice([1, 2, 3, 5])))
        y = net.conv(x, sites, channels, groups=int(rng.choice([1, 2])))
        both = builder.pair(net.name("both"), x, y, PairKind.ADD)
        x = net.joined(both, x) if rng.random() < 0.5 else both
        x = builder.requant(net.name("rounded"), x, activation)
    signed = net.conv_alone(x, sites, 2)
    tile = tuple(int(size) for size in builder.shapes[signed][:-1])
    pool = Pool("largest", provisional(builder.frac(signed)), signed, PoolKind.MAX, tile, tile,
                ((0, 0), (0, 0)))  # fmt: skip
    largest = builder.exact(pool)
    flat = (math.prod(builder.shapes[x]),)
    y = builder.exact(Reshape("flat", provisional(builder.frac(x)), x, flat))
    raw, type_ = net.weights((*flat, 3))
    frac = builder.frac(y) + type_.frac
    bias = pack_weights(net.bias(3))
    scores = builder.exact(Dense("scores", provisional(frac), y, pack_weights(raw), type_, bias))
    outputs = (Output("scores", scores), Output("map", x), Output("largest", largest))
    return builder.program(outputs)


def grouped_network(seed: int) -> Program:
    """Convolutions in groups at lit pixels: depthwise ones, with one and with two outputs of a
    channel, groups of several channels, a stride, and windows of one pixel."""
    builder = ProgramBuilder(f"grouped{seed}")
    activation = Quantizer(Fixed(False, 6, 3), Rounding.RND_CONV, Overflow.SAT)
    net = SparseUnet(builder, np.random.default_rng(seed), activation, plain=True)
    image = builder.add(Input("image", Fixed(True, 6, 2), (8, 8, 4)))
    sites = builder.exact(Sites("sites", provisional(0), image, 0, 20))
    x = net.masked(image, sites)
    for channels, window, groups in ((4, 3, 4), (8, 3, 4), (8, 1, 2), (4, 3, 2)):
        x = net.conv(x, sites, channels, window=window, groups=groups)
    x = net.conv(x, net.down(sites), 4, window=2, stride=2, groups=4)
    return builder.program((Output("y", x),))


def depthwise_network(side: int, channels: int) -> Program:
    """One depthwise convolution at as many pixels as an image has."""
    builder = ProgramBuilder("depthwise")
    activation = Quantizer(Fixed(False, 6, 3), Rounding.RND_CONV, Overflow.SAT)
    net = SparseUnet(builder, np.random.default_rng(1), activation, plain=True)
    image = builder.add(Input("image", Fixed(True, 6, 2), (side, side, channels)))
    sites = builder.exact(Sites("sites", provisional(0), image, 0, side**2))
    y = net.conv(net.masked(image, sites), sites, channels, window=3, groups=channels)
    return builder.program((Output("y", y),))
