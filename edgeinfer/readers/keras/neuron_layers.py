# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Our own layer whose neurons are tables, with nodes that exist.

A matrix of powers of two puts the bits of a neuron's few inputs side by side and adds a number that
no other neuron adds, so that one table holds the entries of all neurons one after the other. Of
signed inputs the bits of two's complement are taken, so that nothing is added but what lies apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import ActivationNode, DenseNode, Function
from edgeinfer.readers.keras.activations import add_quantized
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.lookup_layers import MOST_BITS, MOST_ENTRIES, read_place_format
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding

MOST_OUTPUT_BITS = 12


def table_neurons_layer(site: Site) -> str:
    """TableNeurons: entries at the places that the bits of a few inputs say."""
    quantizer = read_place_format(site)
    type_ = quantizer.type
    tables = _read_tables(site, type_.bits, signed=type_.signed)
    x = add_quantized(site, _linear(site.name("places"), site.x), quantizer)
    if type_.signed:
        place_bits = Fixed(False, type_.bits, type_.integer)
        wrapped = Quantizer(place_bits, Rounding.TRN, Overflow.WRAP)
        x = add_quantized(site, _linear(site.name("bits"), x), wrapped)
    place = type_.bits * (np.cumsum(tables.connected, axis=0) - 1)
    matrix = tables.connected * 2.0 ** (type_.frac + place)
    units, size = tables.entries.shape
    first = np.arange(units, dtype=np.float64) * size
    index = site.add(DenseNode(site.name("index"), site.layer.path, x, matrix, first))
    parameters = (0.0, *tables.entries.astype(np.float64).reshape(-1).tolist())
    table = ActivationNode(site.name(), index, Function.LOOKUP, parameters)
    out = Quantizer(Fixed(False, tables.bits, tables.bits), Rounding.TRN, Overflow.SAT)
    return add_quantized(site, table, out)


def _linear(name: str, x: str) -> ActivationNode:
    return ActivationNode(name, x, Function.LINEAR)


@dataclass(frozen=True, slots=True)
class _Tables:
    """What the neurons hold: entries of so many bits, by neuron and by the bits of the inputs that
    it is connected to, the first input's lowest."""

    bits: int
    connected: NDArray[np.bool_]  # inputs, neurons
    entries: Ints  # neurons, patterns; of signed inputs in two's complement


def _read_tables(site: Site, place_bits: int, *, signed: bool) -> _Tables:
    units, bits = site.fields.integer("units"), site.fields.integer("bits", 2)
    inputs = site.shape(site.x)[-1]
    fan_in = min(site.fields.integer("fan_in", 3), inputs)
    if units < 1 or fan_in < 1 or not 1 <= bits <= MOST_OUTPUT_BITS:
        raise UnsupportedLayerError(f"it has {units} units of {bits} bits that read {fan_in}")
    if fan_in * place_bits > MOST_BITS:
        raise UnsupportedLayerError(
            f"its neurons read {fan_in} inputs of {place_bits} bits; at most {MOST_BITS} bits in "
            f"all are read"
        )
    size = 1 << fan_in * place_bits
    if units * size > MOST_ENTRIES:
        raise UnsupportedLayerError(
            f"the tables of its {units} neurons have {units * size:,} entries; at most "
            f"{MOST_ENTRIES:,} are read: give it a smaller fan_in or a format of fewer bits"
        )
    connected = site.shaped("connected", (inputs, units)) > 0.5
    if (connected.sum(axis=0) != fan_in).any():
        raise UnsupportedLayerError(f"its neurons are not connected to {fan_in} inputs each")
    tables = site.shaped("tables", (units, size))
    if (tables != np.floor(tables)).any() or tables.min() < 0 or tables.max() >= 1 << bits:
        raise UnsupportedLayerError(f"its tables hold more than whole numbers of {bits} bits")
    raw = tables.astype(np.int64)
    if signed:  # a sign is the highest bit turned over
        raw = raw[:, np.arange(size) ^ sum(1 << place_bits * (k + 1) - 1 for k in range(fan_in))]
    return _Tables(bits, connected, raw)
