# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Convolutions, pools and moves of values that are held as rows at sites, in ONNX.

A window gathers the rows of its neighbours; behind the last row stands one of zeros, to which the
number -1 of a pixel without a row leads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edgeinfer.ir.engine.extremes import largest_along, sum_along
from edgeinfer.ir.engine.onnx_builder import OnnxBuilder
from edgeinfer.ir.engine.site_sets import SiteSet
from edgeinfer.ir.engine.site_tables import SiteTables, pad_sizes
from edgeinfer.ir.engine.space_to_pixels import SpaceToPixels
from edgeinfer.ir.engine.values import CarriedTensor, Carrier, integers_in
from edgeinfer.ir.ops import Conv, Pads, Pool, PoolKind, Shape


@dataclass(frozen=True, slots=True)
class PlacedTensor:
    """A value as an op finds it: everywhere (channels last), or as rows at sites."""

    value: CarriedTensor
    image: Shape
    sites: SiteSet | None


@dataclass(frozen=True, slots=True)
class SiteRows:
    """Nodes for values at sites."""

    builder: OnnxBuilder
    tables: SiteTables

    def conv(
        self, op: Conv, x: PlacedTensor, sites: SiteSet, shift: int, exponent: int
    ) -> CarriedTensor:
        """(sum of x weight) 2^shift + bias at sites, times 2^-exponent in a float tensor."""
        taps, (inside, outputs) = math.prod(op.window), op.weight.shape[-2:]
        row_columns = self._seen(x, sites, op.strides, op.window, op.pads, op.dilation)
        builder, node = self.builder, self.builder.node
        if x.value.carrier in (Carrier.UINT8, Carrier.INT8):
            columns = builder.reshape(row_columns, (taps * inside,))
            weights = op.weight.astype(np.int8).reshape(-1, outputs)
            bias = integers_in(op.bias, -exponent, Carrier.FLOAT32)
            tensor = builder.byte_product(columns, weights, 2.0 ** (shift - exponent), bias)
            return CarriedTensor(tensor, Carrier.FLOAT32, (outputs,), False, exponent)
        weight = integers_in(op.weight, x.value.exponent + shift - exponent, x.value.carrier)
        bias = integers_in(op.bias, -exponent, x.value.carrier)
        if op.groups == 1:
            columns = builder.reshape(row_columns, (taps * inside,))
            matrix, summand = builder.constant(weight.reshape(-1, outputs)), builder.constant(bias)
            if x.value.carrier.floating:  # what is proved of the sums holds with the bias, too
                tensor = node("Gemm", columns, matrix, summand)
                return CarriedTensor(tensor, x.value.carrier, (outputs,), False, exponent)
            product = node("MatMul", columns, matrix)
        else:
            apart = builder.reshape(row_columns, (taps, op.groups, inside))
            apart = node("Transpose", apart, perm=[2, 0, 1, 3])
            columns = builder.reshape(apart, (0, taps * inside))
            each = outputs // op.groups
            matrices = weight.reshape(taps * inside, op.groups, each).swapaxes(0, 1)
            parts = node("MatMul", columns, builder.constant(matrices))
            product = builder.reshape(node("Transpose", parts, perm=[1, 0, 2]), (outputs,))
        tensor = node("Add", product, builder.constant(bias)) if op.bias.any() else product
        return CarriedTensor(tensor, x.value.carrier, (outputs,), False, exponent)

    def pool(self, op: Pool, x: PlacedTensor, sites: SiteSet) -> CarriedTensor:
        """The maximum or the sum over windows of what is zero beside its sites."""
        ones = (1,) * len(op.window)
        columns = self._seen(x, sites, op.strides, op.window, op.pads, ones)
        taps, channels = math.prod(op.window), x.image[-1]
        rows = replace(x.value, tensor=columns, layout=(taps, channels))
        along = largest_along if op.kind is PoolKind.MAX else sum_along
        tensor = along(self.builder, rows, 1, taps)
        return replace(
            x.value, tensor=self.builder.reshape(tensor, (channels,)), layout=(channels,)
        )

    def pixels(self, op: SpaceToPixels, x: PlacedTensor, sites: SiteSet) -> CarriedTensor:
        """The finer pixels at sites, from the coarse one that each lies in."""
        node, constant = self.builder.node, self.builder.constant
        places, factors = self.tables.places(sites), constant([1, *op.factors], np.int64)
        coarse = node("Div", places, factors)
        within = node("Sub", places, node("Mul", coarse, factors))
        sizes, ones = x.image[:-1], (1,) * len(op.factors)
        taps, channels = math.prod(op.factors), x.image[-1] // math.prod(op.factors)
        parent = self.tables.numbers(coarse, sizes, ones)
        if x.sites is not None:
            grid = self.tables.grid(x.sites, ((0, 0),) * len(sizes))
            parent = self.builder.cast(node("Gather", grid, parent, axis=0), np.int64)
        # The image's own number counts no tap.
        weights = [math.prod(op.factors[axis + 1 :]) for axis in range(len(op.factors))]
        scaled = node("Mul", within, constant([0, *weights], np.int64))
        tap = node("ReduceSum", scaled, constant([1], np.int64), keepdims=0)
        row = node("Add", node("Mul", parent, constant(taps, np.int64)), tap)
        shape = constant([-1, channels], np.int64)
        source = self._with_zeros(x) if x.sites is not None else x.value.tensor
        tensor = node("Gather", node("Reshape", source, shape), row, axis=0)
        return replace(x.value, tensor=tensor, layout=(channels,), first=False)

    def bring(self, x: PlacedTensor, sites: SiteSet | None) -> CarriedTensor:
        """The value at other sites, or everywhere; zero where it has no row."""
        node, mask = self.builder.node, x.image[-1:]
        if x.sites == sites:
            return x.value
        if sites is None:
            assert x.sites is not None
            shape = self.builder.constant(list(x.image), np.int64)
            whole = node("Concat", self.tables.batch(x.sites), shape, axis=0)
            empty = self.builder.filled(whole, 0, x.value.carrier.dtype)
            places = self.tables.places(x.sites)
            tensor = node("ScatterND", empty, places, x.value.tensor)
            return replace(x.value, tensor=tensor, layout=x.image, first=False)
        places = self.tables.places(sites)
        if x.sites is None:
            tensor = node("GatherND", x.value.tensor, places)
        else:
            sizes = x.image[:-1]
            grid = self.tables.grid(x.sites, ((0, 0),) * len(sizes))
            pixels = self.tables.numbers(places, sizes, (1,) * len(sizes))
            row = node("Gather", grid, pixels, axis=0)
            tensor = node("Gather", self._with_zeros(x), row, axis=0)
        return replace(x.value, tensor=tensor, layout=mask, first=False)

    def _seen(
        self, x: PlacedTensor, sites: SiteSet, steps: Shape, taps: Shape, pads: Pads,
        dilation: Shape,
    ) -> str:  # fmt: skip
        """What a window sees at every site: (sites, taps, channels)."""
        image, channels = x.image[:-1], x.image[-1]
        table = self.tables.neighbours(x.sites, sites, steps, taps, pads, dilation, image)
        node, constant = self.builder.node, self.builder.constant
        if x.sites is not None:
            return node("Gather", self._with_zeros(x), table, axis=0)
        tensor = x.value.tensor
        if pad_sizes(image, pads) != image:
            before, after = [pad[0] for pad in pads], [pad[1] for pad in pads]
            around = constant([0, *before, 0, 0, *after, 0], np.int64)
            tensor = node("Pad", tensor, around, constant(0, x.value.carrier.dtype))
        flat = node("Reshape", tensor, constant([-1, channels], np.int64))
        return node("Gather", flat, table, axis=0)

    def _with_zeros(self, x: PlacedTensor) -> str:
        zeros = self.builder.constant(np.zeros((1, x.image[-1]), x.value.carrier.dtype))
        return self.builder.node("Concat", x.value.tensor, zeros, axis=0)
