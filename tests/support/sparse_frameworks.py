# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The layers of SparseConvNet, MinkowskiEngine and spconv, re-stated: their class names, attributes
and layouts of weights, and what each computes, site by site, as the frameworks' rules say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Place = tuple[int, int]
RNG = np.random.default_rng(7)


def layer(kind: str, **attributes: Any) -> Any:
    """An instance of a class that has the framework's name and attributes."""
    return type(kind, (SimpleNamespace,), {})(**attributes)


def container(kind: str, *children: Any) -> Any:
    """Modules by number, as PyTorch has them."""
    return layer(kind, _modules={str(place): child for place, child in enumerate(children)})


def drawn(*shape: int) -> Floats:
    """Weights."""
    return RNG.normal(size=shape)


def scn(kind: str, ins: int, outs: int, window: int, strides: int = 1, bias: bool = True) -> Any:
    """A convolution of SparseConvNet, whose sizes are tensors of whole numbers."""
    return layer(
        kind, dimension=2, nIn=ins, nOut=outs, filter_size=np.array([window, window]),
        filter_stride=np.array([strides, strides]), groups=1,
        weight=drawn(window * window, 1, ins, outs), bias=drawn(outs) if bias else None,
    )  # fmt: skip


def scn_norm(kind: str, channels: int, leakiness: float) -> Any:
    """A batch norm of SparseConvNet, which holds its rectifier."""
    return layer(kind, leakiness=leakiness, **norm(channels, "runningMean", "runningVar"))


def norm(channels: int, mean: str = "running_mean", variance: str = "running_var") -> dict:
    """What a batch norm learns."""
    numbers = {"weight": drawn(channels), "bias": drawn(channels), mean: drawn(channels)}
    return {**numbers, variance: RNG.uniform(0.5, 2, channels), "eps": 1e-3}


def minkowski(
    ins: int, outs: int, window: list[int], strides: int = 1, *, transpose: bool = False
) -> Any:
    """A convolution of MinkowskiEngine; the kernel of a plain product has no axis for its place."""
    region = layer(
        "KernelGenerator", kernel_size=window, kernel_stride=[strides] * 2,
        kernel_dilation=[1, 1], region_type="RegionType.HYPER_CUBE", expand_coordinates=False,
    )  # fmt: skip
    volume = window[0] * window[1]
    plain = volume == 1 and strides == 1
    return layer(
        "MinkowskiConvolutionTranspose" if transpose else "MinkowskiConvolution", dimension=2,
        in_channels=ins, out_channels=outs, kernel_generator=region,
        kernel=drawn(ins, outs) if plain else drawn(volume, ins, outs), bias=drawn(1, outs),
    )  # fmt: skip


def spconv(
    kind: str, ins: int, outs: int, window: int, key: str | None = None, **settings: int
) -> Any:
    """A convolution of spconv 2."""
    sizes = {"stride": 1, "padding": 0, "dilation": 1} | settings
    return layer(
        kind, in_channels=ins, out_channels=outs, kernel_size=[window] * 2, groups=1,
        weight=drawn(outs, window, window, ins), bias=drawn(outs), indice_key=key, algo="Native",
        act_type="Activation.None_", **{name: [size] * 2 for name, size in sizes.items()},
    )  # fmt: skip


@dataclass(frozen=True)
class Sites:
    """Features by place in an image, and the sites that these coarser ones were made of."""

    features: dict[Place, Floats]
    size: Place
    finer: Sites | None = None


@dataclass
class Reference:
    """What a network computes; `steps` are the layers that made coarser sites, by spconv's keys."""

    steps: dict[str, Any] = field(default_factory=dict)

    def run(self, module: Any, x: Any) -> Any:
        """A module's values."""
        kind = type(module).__name__
        match kind:
            case "Sequential" | "SparseSequential":
                for child in module._modules.values():
                    x = self.run(child, x)
                return x
            case "ConcatTable":
                return [self.run(child, x) for child in module._modules.values()]
            case "JoinTable":
                return join(*x)
            case "AddTable":
                sums = {p: sum(each.features[p] for each in x) for p in x[0].features}
                return replace(x[0], features=sums)
            case "Identity" | "OutputLayer":
                return x
            case "ReLU" | "MinkowskiReLU":
                return each_site(x, lambda v: np.maximum(v, 0))
            case "LeakyReLU":
                return each_site(x, lambda v: np.where(v > 0, v, module.negative_slope * v))
            case "NetworkInNetwork":
                return each_site(x, lambda v: v @ module.weight + module.bias)
            case "Linear":
                return each_site(x, lambda v: module.weight @ v + module.bias)
            case _ if "Norm" in kind:
                return self._norm(module, x)
            case _:
                return self._convolve(module, kind, x)

    def _norm(self, module: Any, x: Sites) -> Sites:
        bn = getattr(module, "bn", module)
        mean = bn.runningMean if hasattr(bn, "runningMean") else bn.running_mean
        variance = bn.runningVar if hasattr(bn, "runningVar") else bn.running_var
        leak = getattr(module, "leakiness", 1)

        def normed(v: Floats) -> Floats:
            y = bn.weight * (v - mean) / np.sqrt(variance + bn.eps) + bn.bias
            return np.where(y > 0, y, leak * y)

        return each_site(x, normed)

    def _convolve(self, module: Any, kind: str, x: Sites) -> Sites:
        taps = list(taps_of(module, kind))
        if kind in ("Deconvolution", "MinkowskiConvolutionTranspose", "SparseInverseConv2d"):
            maker = self.steps.get(module.indice_key) if "Sparse" in kind else module
            assert x.finer is not None
            y = {place: np.zeros(taps[0][1].shape[1]) for place in x.finer.features}
            for place, value in x.features.items():
                for offset, matrix in taps:
                    if (fine := shifted(place, strides_of(maker), offset, maker)) in y:
                        y[fine] += value @ matrix
            return replace(x.finer, features={p: v + np.ravel(module.bias) for p, v in y.items()})
        places, strides, made = set(x.features), strides_of(module), x
        if kind in ("Convolution", "SparseConv2d") or strides != (1, 1):
            self.steps[getattr(module, "indice_key", None) or kind] = module
            places, size = coarser(module, kind, x, [offset for offset, _ in taps])
            made = Sites({}, size, x)
        y = {}
        for place in places:
            inputs = ((shifted(place, strides, offset, module), m) for offset, m in taps)
            y[place] = np.ravel(module.bias) + sum(
                (x.features[p] @ matrix for p, matrix in inputs if p in x.features),
                np.zeros(taps[0][1].shape[1]),
            )
        return replace(made, features=y)


def coarser(module: Any, kind: str, x: Sites, offsets: list[Place]) -> tuple[set[Place], Place]:
    """The places of a coarser set, tiles that hold a site or windows that do, and its size."""
    strides = strides_of(module)
    if "Minkowski" in kind:
        tiles = {(row // strides[0], column // strides[1]) for row, column in x.features}
        return tiles, (x.size[0] // strides[0], x.size[1] // strides[1])
    padding, window = getattr(module, "padding", (0, 0)), max(offsets)
    rows, columns = (
        (n + 2 * p - w - 1) // s + 1
        for n, p, w, s in zip(x.size, padding, window, strides, strict=True)
    )
    places = {
        place
        for place in itertools.product(range(rows), range(columns))
        if any(shifted(place, strides, offset, module) in x.features for offset in offsets)
    }
    return places, (rows, columns)


def shifted(place: Place, strides: Place, offset: Place, module: Any) -> Place:
    """Where a tap of a window lies."""
    padding = module.padding if type(module).__name__ == "SparseConv2d" else (0, 0)
    row, column = (
        p * s + o - w for p, s, o, w in zip(place, strides, offset, padding, strict=True)
    )
    return row, column


def strides_of(module: Any) -> Place:
    """Strides by axis."""
    kind = type(module).__name__
    if kind in ("Convolution", "Deconvolution"):
        return tuple(int(step) for step in module.filter_stride)
    if hasattr(module, "kernel_generator"):
        return tuple(module.kernel_generator.kernel_stride)
    return tuple(module.stride) if kind == "SparseConv2d" else (1, 1)


def taps_of(module: Any, kind: str) -> Iterator[tuple[Place, Floats]]:
    """Offsets in a window, with the matrix (in, out) that each is multiplied with."""
    if hasattr(module, "kernel_generator"):  # the first axis of a window is the fastest
        rows, columns = module.kernel_generator.kernel_size
        kernel = module.kernel.reshape(rows * columns, module.in_channels, module.out_channels)
        for number, (column, row) in enumerate(itertools.product(range(columns), range(rows))):
            first = [size // 2 if size % 2 else 0 for size in (rows, columns)]
            yield (row - first[0], column - first[1]), kernel[number]
    elif hasattr(module, "filter_size"):
        rows, columns = module.filter_size
        middle = rows // 2 if kind == "SubmanifoldConvolution" else 0
        weight = module.weight.reshape(-1, module.nIn, module.nOut)
        for number, (row, column) in enumerate(itertools.product(range(rows), range(columns))):
            yield (row - middle, column - middle), weight[number]
    else:
        rows, columns = module.kernel_size
        middle = rows // 2 if kind == "SubMConv2d" else 0
        for row, column in itertools.product(range(rows), range(columns)):
            matrix = module.weight[:, row, column].T
            if rows == 1:  # spconv takes the numbers as they lie
                matrix = module.weight.reshape(module.in_channels, module.out_channels)
            yield (row - middle, column - middle), matrix


def each_site(x: Sites, function: Any) -> Sites:
    """A function of the features at each site."""
    return replace(x, features={place: function(v) for place, v in x.features.items()})


def join(*values: Sites) -> Sites:
    """Features side by side."""
    first = values[0]
    joined = {p: np.concatenate([v.features[p] for v in values]) for p in first.features}
    return replace(first, features=joined)
