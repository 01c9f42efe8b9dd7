# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Look-ups by an index that the network reads or computes, the largest elements, and where they
are. Their axes count the batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeinfer.graph import compose, compose_indexing
from edgeinfer.graph.indexing import SitesNode
from edgeinfer.graph.nodes import (
    AffineNode,
    ConstantNode,
    Floats,
    MergeKind,
    MergeNode,
    ReshapeNode,
    Shape,
)
from edgeinfer.readers.keras import rearranging
from edgeinfer.readers.keras.arguments import Arguments, CallTensor, as_constant
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError, whole
from edgeinfer.readers.keras.rearranging import axis_in

MOST_CLASSES = 1 << 12  # of a one-hot code
MOST_EDGES = 1 << 8  # of the intervals that numbers are counted into


def embedding_layer(site: Site) -> str:
    """Embedding: a row of its weights for every number."""
    fields = site.fields
    rows, columns = fields.integer("input_dim"), fields.integer("output_dim")
    table = site.shaped("embeddings", (rows, columns)).astype(np.float64)
    looked_up = _name_result(site, _look_in(site, table, site.x, f"{site.stem}_table"))
    if fields.flag("mask_zero", False):
        site.builder.masked[looked_up] = site.x
    return looked_up


def discretization_layer(site: Site) -> str:
    """Discretization: how many boundaries an element has reached, or the row of a unit matrix."""
    edges = as_constant(site.fields.get("bin_boundaries") or []).astype(np.float32).reshape(-1)
    mode, shape = site.fields.get("output_mode", "int"), site.shape(site.x)
    if mode not in ("int", "one_hot") or site.fields.flag("sparse", False):
        raise UnsupportedLayerError(f"its output_mode is {mode!r}; 'int' and 'one_hot' are read")
    if not 1 <= edges.size <= MOST_EDGES:
        raise UnsupportedLayerError(f"it has {edges.size} boundaries; 1 to {MOST_EDGES} are read")
    column = compose.reshape(site, site.x, (*shape, 1), "column")
    turned, ones = site.name("turned"), np.ones(1)
    site.add(AffineNode(turned, turned, column, -ones, 0 * ones))
    below = [site.add(SitesNode(site.name("below"), turned, float(-edge))) for edge in edges]
    missed = below[0]
    if len(below) > 1:
        missed = site.add(MergeNode(site.name("missed"), tuple(below), MergeKind.ADD))
    place = site.name("place")
    site.add(AffineNode(place, place, missed, -ones, edges.size * ones))
    if mode == "int":
        return _name_result(site, place, shape)
    index = compose.reshape(site, place, shape[:-1] if shape[-1:] == (1,) else shape, "index")
    return _name_result(site, _look_in(site, np.eye(edges.size + 1), index, site.name("unit")))


def read_take(site: Site, arguments: Arguments) -> str:
    """`keras.ops.take`: entries by constant indices, or rows of a constant by a tensor."""
    if not isinstance(arguments.take(1, "indices"), CallTensor):
        return rearranging.read_take(site, arguments)
    table, index = arguments.take(0, "x"), _index(arguments)
    if isinstance(table, CallTensor):
        raise UnsupportedLayerError(
            "its indices choose among samples too; use keras.ops.take_along_axis with an index of "
            "(batch, places, 1)"
        )
    return _look_in_constant(site, table, index, arguments.option("axis", default=0))


def read_gather(site: Site, arguments: Arguments) -> str:
    """`tf.gather`: rows of a constant, or of each sample where batch_dims is 1."""
    table, batched = arguments.take(0, "params", "x"), arguments.option("batch_dims", default=0)
    axis = arguments.option("axis", default=batched)
    if not isinstance(arguments.take(1, "indices"), CallTensor):
        arguments.named = {**arguments.named, "axis": axis}
        return rearranging.read_take(site, arguments)
    index = _index(arguments)
    if not isinstance(table, CallTensor):
        return _look_in_constant(site, table, index, axis)
    if batched != 1 or axis not in (1, -len(site.shape(table.name))):
        raise UnsupportedLayerError(
            f"it looks along axis {axis} with batch_dims={batched}; 1 and 1 are read"
        )
    rows = compose_indexing.look_up_rows(site, table.name, index, 0)
    return _name_result(site, rows)


def read_take_along_axis(site: Site, arguments: Arguments) -> str:
    """`keras.ops.take_along_axis`: an index of its own for each element, or for each place."""
    x, index = arguments.tensor(), _index(arguments)
    axis = axis_in(site, x, arguments.option("axis"))
    try:
        x, index = _meet(site, x, index, axis)
    except ValueError:
        raise UnsupportedLayerError(
            f"its indices of {site.shape(index)} do not fit a tensor of {site.shape(x)}: beside "
            f"the axis that they count, all sizes must be equal, or 1 in one of them"
        ) from None
    return _name_result(site, compose_indexing.look_up_elements(site, x, index, axis))


def _meet(site: Site, x: str, index: str, axis: int) -> tuple[str, str]:
    """A tensor and an index with the same sizes beside the axis that is counted; an index that is
    one for all the others stays so."""
    shapes = site.shape(x), site.shape(index)
    rests = [(*shape[:axis], 1, *shape[axis + 1 :]) for shape in shapes]
    rest = np.broadcast_shapes(*rests)
    if len(shapes[0]) != len(shapes[1]):
        raise ValueError("unlike numbers of axes")
    sizes = (shape[axis] for shape in shapes)
    wanted_x, wanted = ((*rest[:axis], size, *rest[axis + 1 :]) for size in sizes)
    x = compose.spread(site, x, wanted_x, "entries_spread")
    if set(rests[1]) == {1}:
        return x, index
    return x, compose.spread(site, index, wanted, "index_spread")


def read_one_hot(site: Site, arguments: Arguments) -> str:
    """`keras.ops.one_hot`: the row of a unit matrix that a number means."""
    x, classes = arguments.tensor(), whole(arguments.take(1, "num_classes", "depth"), "num_classes")
    arguments.option("dtype")
    axis = arguments.option("axis", default=-1)
    if axis not in (-1, len(site.shape(x)) + 1) or not 1 <= classes <= MOST_CLASSES:
        raise UnsupportedLayerError(
            f"it makes {classes} classes along axis {axis}; up to {MOST_CLASSES} along a new last "
            f"axis are read"
        )
    return _name_result(site, _look_in(site, np.eye(classes), x, site.name("unit")))


def read_place(site: Site, arguments: Arguments, *, smallest: bool) -> str:
    """`keras.ops.argmax` and `argmin`."""
    x = arguments.tensor()
    axis_argument = arguments.take(1, "axis", "dimension")
    if axis_argument is None:
        raise UnsupportedLayerError("it names no axis, and so counts along the batch too")
    axis, keep = axis_in(site, x, axis_argument), bool(arguments.option("keepdims", default=False))
    arguments.option("output_type")
    ranks = compose_indexing.rank_elements(site, x, axis, 1, smallest=smallest)
    shape = site.shape(ranks)
    return _name_result(site, ranks, shape if keep else (*shape[:axis], *shape[axis + 1 :]))


def read_top(site: Site, arguments: Arguments) -> tuple[str, ...]:
    """`keras.ops.top_k`: the largest elements of the last axis, and where they are."""
    x, count = arguments.tensor(), whole(arguments.take(1, "k"), "k")
    arguments.option("sorted")
    axis = len(site.shape(x)) - 1
    places = compose_indexing.rank_elements(site, x, axis, count, smallest=False)
    values = compose_indexing.look_up_elements(site, x, places, axis)
    return _name_result(site, values), places


def read_order(site: Site, arguments: Arguments) -> str:
    """`keras.ops.argsort`: where the elements of an axis are in rising order."""
    return _name_result(site, _order(site, arguments)[2])


def read_sorted(site: Site, arguments: Arguments) -> str:
    """`keras.ops.sort`: the elements of an axis in rising order."""
    x, axis, places = _order(site, arguments)
    return _name_result(site, compose_indexing.look_up_elements(site, x, places, axis))


def _order(site: Site, arguments: Arguments) -> tuple[str, int, str]:
    x = arguments.tensor()
    axis = axis_in(site, x, arguments.take(1, "axis", default=-1))
    count = site.shape(x)[axis]
    return x, axis, compose_indexing.rank_elements(site, x, axis, count, smallest=True)


def _index(arguments: Arguments) -> str:
    index = arguments.take(1, "indices")
    if not isinstance(index, CallTensor):
        raise UnsupportedLayerError("its indices are constant")
    return index.name


def _look_in_constant(site: Site, table: Any, index: str, axis: Any) -> str:
    values = as_constant(table)
    if values.ndim == 0 or axis % values.ndim:
        raise UnsupportedLayerError(f"it looks along axis {axis} of a constant; 0 is read")
    rows = _look_in(site, values.reshape(len(values), -1), index, site.name("table"))
    return _name_result(site, rows, (*site.shape(index), *values.shape[1:]))


def _look_in(site: Site, table: Floats, index: str, name: str) -> str:
    """Rows of a constant by an index of any shape."""
    rows = site.add(ConstantNode(name, table))
    return compose_indexing.look_up_rows(site, rows, index, 0)


def _name_result(site: Site, x: str, shape: Shape | None = None) -> str:
    """The tensor under the layer's own name, maybe in another shape."""
    return site.add(ReshapeNode(site.name(), x, site.shape(x) if shape is None else shape))
