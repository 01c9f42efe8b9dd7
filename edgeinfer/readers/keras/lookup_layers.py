# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Our own layer whose edges are tables, with nodes that exist.

An edge's input is copied to a place of its own, and a number is added there that no other edge
adds, so that one table holds the entries of all edges one after the other. A matrix of ones adds up
what the edges of each output found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.moves import GatherNode
from edgeinfer.graph.nodes import ActivationNode, AffineNode, DenseNode, Function
from edgeinfer.readers.keras.activations import add_quantized
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from quantization.fixed import (
    FormatError,
    Ints,
    Overflow,
    Quantizer,
    Rounding,
    fixed_of_range,
)

MOST_BITS = 12  # of a place in a table
MOST_ENTRIES = 1 << 16  # of all tables of a layer
FINEST = 24  # bits behind the point of an entry


def lookup_dense_layer(site: Site) -> str:
    """LookupDense: the sums of what tables hold at the places that the inputs say."""
    quantizer, shape = read_place_format(site), site.shape(site.x)
    raw = _read_entries(site, 1 << quantizer.type.bits)
    frac = site.fields.integer("frac", 0)
    low = raw.min(axis=1)
    units, inputs = np.nonzero((raw.max(axis=1) != low).T)
    if not inputs.size:  # nothing depends on anything; one edge stands for all
        units, inputs = np.zeros(1, np.int64), np.zeros(1, np.int64)
    entries = (raw - low[:, None])[inputs, :, units]
    if entries.size > MOST_ENTRIES:
        raise UnsupportedLayerError(
            f"the tables of its {len(inputs)} edges have {entries.size:,} entries; at most "
            f"{MOST_ENTRIES:,} are read: give it a smaller fan_in or a format of fewer bits"
        )
    x = ActivationNode(site.name("places"), site.x, Function.LINEAR)
    rounded = add_quantized(site, x, quantizer)
    axis = len(shape) - 1
    edges = site.add(GatherNode(site.name("edges"), rounded, axis, tuple(inputs.tolist())))
    first = np.arange(len(inputs)) * entries.shape[1] - float(quantizer.type.raw_min)
    scale, name = np.asarray([2.0**quantizer.type.frac]), site.name("index")
    index = site.add(AffineNode(name, name, edges, scale, first))
    parameters = (0.0, *np.ldexp(entries.astype(np.float64), -frac).reshape(-1).tolist())
    table = ActivationNode(site.name("tables"), index, Function.LOOKUP, parameters)
    entry_type = fixed_of_range(0, max(int(entries.max()), 1), frac)
    entries_node = add_quantized(site, table, Quantizer(entry_type, Rounding.TRN, Overflow.SAT))
    ones = (units[:, None] == np.arange(raw.shape[2])).astype(np.float64)
    bias = np.ldexp(low.sum(axis=0).astype(np.float64), -frac)
    return site.add(DenseNode(site.name(), site.layer.path, entries_node, ones, bias))


def read_place_format(site: Site) -> Quantizer:
    """What brings the inputs to places in the tables."""
    try:
        quantizer = Quantizer.parse(site.fields.text("format"))
    except FormatError as error:
        raise UnsupportedLayerError(str(error)) from None
    if quantizer.type.bits > MOST_BITS:
        raise UnsupportedLayerError(f"its tables have places of more than {MOST_BITS} bits")
    if quantizer.rounding is not Rounding.TRN:
        raise UnsupportedLayerError(f"its format {quantizer} rounds; a place is cut off (TRN)")
    if quantizer.overflow not in (Overflow.SAT, Overflow.WRAP):
        raise UnsupportedLayerError(f"its format {quantizer} neither saturates nor wraps")
    return quantizer


def _read_entries(site: Site, entries: int) -> Ints:
    """The entries as integers, rounded in float32 as the layer rounds them: inputs, entries,
    outputs. An edge that the layer leaves out has nothing but zeros."""
    units, frac = site.fields.integer("units"), site.fields.integer("frac", 0)
    if units < 1 or abs(frac) > FINEST:
        raise UnsupportedLayerError(f"it has {units} units with {frac} bits behind the point")
    tables = site.shaped("tables", (site.shape(site.x)[-1], entries, units))
    if site.fields.get("fan_in") is not None:
        tables = np.where(_strongest(tables, site.fields.integer("fan_in"))[:, None], tables, 0)
    raw = np.floor(np.ldexp(tables, frac) + np.float32(0.5))
    if np.abs(raw).max(initial=0) >= 1 << FINEST:
        raise UnsupportedLayerError(f"its tables have entries of more than {FINEST} bits")
    return raw.astype(np.int64)


def _strongest(tables: NDArray[np.float32], fan_in: int) -> NDArray[np.bool_]:
    """The edges whose tables reach farthest, so many for each output; of equal ones the first."""
    reach = tables.max(axis=1) - tables.min(axis=1)
    order = np.argsort(np.argsort(-reach, axis=0, kind="stable"), axis=0)
    return np.asarray(order < fan_in)
