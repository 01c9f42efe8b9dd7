# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operations that only move elements: slices, shapes, joins. Their axes count the batch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from types import EllipsisType
from typing import Any

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.graph.moves import GatherNode, bounds_along
from edgeinfer.readers.keras.arguments import Arguments, CallTensor, as_constant, axes_of, axis_of
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError, whole

MOST_PARTS = 64  # that an operation may cut a tensor into, or join


def axis_in(site: Site, x: str, value: Any) -> int:
    """An axis of a tensor, from one that counts the batch."""
    return axis_of(value, len(site.shape(x)))


def read_item(site: Site, arguments: Arguments) -> str:
    """x[...]: slices, numbers, new axes, in any mixture that leaves the batch alone."""
    first, key = arguments.take(0, "x"), arguments.take(1, "key", "slice_spec")
    if isinstance(first, list):
        if not isinstance(key, int) or not -len(first) <= key < len(first):
            raise UnsupportedLayerError("it computes with the size of a tensor")
        site.builder.sizes[site.name()] = first[key]
        return site.name()
    x = arguments.tensor()
    keys = list(key) if isinstance(key, (list, tuple)) else [key]
    if not all(each is None or isinstance(each, (slice, int, EllipsisType)) for each in keys):
        raise UnsupportedLayerError("its index holds more than slices and whole numbers")
    shape = site.shape(x)
    counted = sum(each is not None and each is not Ellipsis for each in keys)
    if keys.count(Ellipsis) > 1 or counted > len(shape) + 1:
        raise UnsupportedLayerError(f"its index does not fit a tensor of {len(shape)} axes")
    missing = [slice(None)] * (len(shape) + 1 - counted)
    place = keys.index(Ellipsis) if Ellipsis in keys else len(keys)
    keys[place : place + 1] = missing
    if keys[0] != slice(None):
        raise UnsupportedLayerError("it takes samples out of the batch")
    return _add_item(site, x, keys[1:])


def _add_item(site: Site, x: str, keys: Sequence[Any]) -> str:
    shape = site.shape(x)
    bounds: list[tuple[int, int, int]] = []  # of each axis of the tensor
    turned: list[int] = []
    result: list[int] = []
    for key in keys:
        if key is None:
            result.append(1)
            continue
        axis = len(bounds)
        size = shape[axis]
        if isinstance(key, slice):
            start, stop, step = key.indices(size)
            places = range(start, stop, step)
            if not places:
                raise UnsupportedLayerError(f"it leaves nothing of an axis of {size}")
            result.append(len(places))
            if step < 0:
                turned.append(axis)
                places = range(size - 1 - places[0], size - places[-1], -step)
            bounds.append((places[0], places[-1] + 1, places.step))
        else:
            index = whole(key, "index")
            if not -size <= index < size:
                raise UnsupportedLayerError(f"it takes element {index} of an axis of {size}")
            bounds.append((index % size, index % size + 1, 1))
    if turned:
        x = site.add(g.FlipNode(site.name("turned"), x, tuple(turned)))
    starts, stops, steps = (tuple(part) for part in zip(*bounds, strict=True))
    cut = tuple(len(range(*bound)) for bound in bounds)
    name = site.name() if cut == tuple(result) else site.name("slice")
    if cut != shape or name == site.name():
        x = site.add(g.SliceNode(name, x, starts, stops, steps))
    return x if cut == tuple(result) else site.add(g.ReshapeNode(site.name(), x, tuple(result)))


def read_slice(site: Site, arguments: Arguments) -> str:
    """So many elements from a place on, for each axis; -1 stands for all that are left."""
    x = arguments.take(0, "inputs", "input_")
    if not isinstance(x, CallTensor):
        raise UnsupportedLayerError("it cuts a constant")
    starts, sizes = (
        np.atleast_1d(as_constant(arguments.take(place, *names))).astype(int).tolist()
        for place, *names in ((1, "begin", "start_indices"), (2, "size", "shape"))
    )
    if starts[0] != 0 or sizes[0] != -1:
        raise UnsupportedLayerError("it takes samples out of the batch")
    bounds = zip(starts[1:], sizes[1:], strict=True)
    keys = [slice(start, None if size < 0 else start + size) for start, size in bounds]
    if len(keys) != len(site.shape(x.name)) or min(starts) < 0:
        raise UnsupportedLayerError(f"it cuts a tensor of {site.shape(x.name)} at {starts}")
    return _add_item(site, x.name, keys)


def read_reshape(site: Site, arguments: Arguments) -> str:
    """A reshape that leaves the batch as it is: -1, None or `tf.shape(x)[0]` stand for it."""
    x = arguments.tensor()
    sizes_argument = arguments.take(1, "shape", "newshape")
    listed = sizes_argument.tolist() if isinstance(sizes_argument, np.ndarray) else sizes_argument
    if not isinstance(listed, (list, tuple)) or not listed:
        raise UnsupportedLayerError(f"its shape is {sizes_argument!r}")
    sizes = [-1 if size is None else whole(size, "shape") for size in listed]
    total, rest = prod(site.shape(x)), sizes[1:]
    if -1 in rest and sizes[0] == -1:
        rest[rest.index(-1)] = max(total // max(prod(s for s in rest if s != -1), 1), 1)
    if sizes[0] != -1 or any(size < 1 for size in rest) or prod(rest) != total:
        raise UnsupportedLayerError(f"its shape {listed} mixes the batch with other axes")
    return site.add(g.ReshapeNode(site.name(), x, tuple(rest)))


def read_transpose(site: Site, arguments: Arguments) -> str:
    """Axes in another order, the batch first."""
    x = arguments.tensor()
    order_argument = arguments.take(1, "axes", "perm")
    order = (
        []
        if order_argument is None
        else np.atleast_1d(as_constant(order_argument)).astype(int).tolist()
    )
    return _permute(site, x, [axis_of(axis, len(site.shape(x))) for axis in order[1:]], order[:1])


def _permute(site: Site, x: str, order: Sequence[int], batch: Sequence[int]) -> str:
    if list(batch) != [0]:
        raise UnsupportedLayerError("it moves the batch to another axis")
    return site.add(g.TransposeNode(site.name(), x, tuple(order)))


def read_swap(site: Site, arguments: Arguments) -> str:
    """`keras.ops.swapaxes`."""
    x = arguments.tensor()
    a, b = (axis_in(site, x, arguments.option(name)) for name in ("axis1", "axis2"))
    order = list(range(len(site.shape(x))))
    order[a], order[b] = order[b], order[a]
    return _permute(site, x, order, [0])


def read_move_axis(site: Site, arguments: Arguments) -> str:
    """`keras.ops.moveaxis`."""
    x = arguments.tensor()
    ends = [arguments.option(name) for name in ("source", "destination")]
    source, destination = (
        [axis_in(site, x, axis) for axis in np.atleast_1d(as_constant(end)).tolist()]
        for end in ends
    )
    rank = len(site.shape(x))
    rest = [axis for axis in range(rank) if axis not in source]
    moved = dict(zip(destination, source, strict=True))
    order = [moved[place] if place in moved else rest.pop(0) for place in range(rank)]
    return _permute(site, x, order, [0])


def read_expand(site: Site, arguments: Arguments) -> str:
    """A new axis of one element."""
    x = arguments.tensor()
    shape = list(site.shape(x))
    axis = axis_of(arguments.option("axis", "dim"), len(shape) + 1)
    shape.insert(axis, 1)
    return site.add(g.ReshapeNode(site.name(), x, tuple(shape)))


def read_squeeze(site: Site, arguments: Arguments) -> str:
    """Without axes of one element: those that are named, or all."""
    x = arguments.tensor()
    shape = site.shape(x)
    named = arguments.option("axis", "squeeze_dims")
    axes = [i for i, size in enumerate(shape) if size == 1]
    if named not in (None, []):
        axes = list(axes_of(named, len(shape)))
    if any(shape[axis] != 1 for axis in axes):
        raise UnsupportedLayerError(f"it drops an axis of {shape} that has more than one element")
    rest = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return site.add(g.ReshapeNode(site.name(), x, rest))


def _tensors(arguments: Arguments) -> tuple[str, ...]:
    listed = arguments.take(0, "xs", "x", "values", "arrays")
    tensors = tuple(each.name for each in listed or () if isinstance(each, CallTensor))
    if not isinstance(listed, list) or len(tensors) != len(listed) or len(tensors) > MOST_PARTS:
        raise UnsupportedLayerError(f"it joins other than up to {MOST_PARTS} tensors")
    return tensors


def read_concat(site: Site, arguments: Arguments) -> str:
    """Tensors side by side."""
    xs = _tensors(arguments)
    if len({len(site.shape(x)) for x in xs}) != 1:
        raise UnsupportedLayerError("it joins tensors with different numbers of axes")
    return site.add(g.ConcatNode(site.name(), xs, axis_in(site, xs[0], arguments.option("axis"))))


def read_stack(site: Site, arguments: Arguments) -> str:
    """Tensors side by side along a new axis."""
    xs = _tensors(arguments)
    shape = list(site.shape(xs[0]))
    axis = axis_of(arguments.option("axis", default=0), len(shape) + 1)
    shape.insert(axis, 1)
    wide = [site.add(g.ReshapeNode(site.name("wide"), x, tuple(shape))) for x in xs]
    return site.add(g.ConcatNode(site.name(), tuple(wide), axis))


def read_split(site: Site, arguments: Arguments) -> tuple[str, ...]:
    """Equal parts, or parts of given sizes (TensorFlow), or between given places (Keras)."""
    x = arguments.take(0, "x", "value")
    if not isinstance(x, CallTensor):
        raise UnsupportedLayerError("it splits a constant")
    axis = axis_in(site, x.name, arguments.option("axis", default=0))
    arguments.option("num")
    size = site.shape(x.name)[axis]
    places = arguments.option("indices_or_sections")
    parts = places if places is not None else arguments.option("num_or_size_splits")
    listed = np.atleast_1d(as_constant(parts)).astype(int).tolist()
    if np.ndim(parts) == 0:
        count = listed[0]
        if count < 1 or size % count:
            raise UnsupportedLayerError(f"it splits {size} elements into {count} equal parts")
        bounds = list(range(0, size + 1, size // count))
    elif places is not None:
        bounds = [0, *listed, size]
    else:
        stated = sum(each for each in listed if each >= 0)
        bounds = [0, *np.cumsum([each if each >= 0 else size - stated for each in listed]).tolist()]
    return _cut(site, x.name, axis, bounds)


def _cut(site: Site, x: str, axis: int, bounds: Sequence[int]) -> tuple[str, ...]:
    """The parts of a tensor between places along an axis."""
    shape = site.shape(x)
    if list(bounds) != sorted(set(bounds)) or bounds[-1] != shape[axis] or len(bounds) < 2:
        raise UnsupportedLayerError(f"it cuts an axis of {shape[axis]} at {list(bounds)}")
    if len(bounds) > MOST_PARTS + 1:
        raise UnsupportedLayerError(f"it cuts an axis into more than {MOST_PARTS} parts")
    parts: list[str] = []
    for start, stop in pairwise(bounds):
        name = site.name("part") if parts else site.name()
        parts.append(site.add(g.SliceNode(name, x, *bounds_along(shape, axis, start, stop))))
    return tuple(parts)


def read_unstack(site: Site, arguments: Arguments) -> tuple[str, ...]:
    """Every element of an axis as a tensor without it."""
    x = arguments.take(0, "x", "value")
    if not isinstance(x, CallTensor):
        raise UnsupportedLayerError("it splits a constant")
    arguments.option("num")
    axis = axis_in(site, x.name, arguments.option("axis", default=0))
    shape = site.shape(x.name)
    flat = (*shape[:axis], *shape[axis + 1 :])
    return tuple(
        site.add(g.ReshapeNode(site.name("flat"), part, flat))
        for part in _cut(site, x.name, axis, range(shape[axis] + 1))
    )


def read_pad(site: Site, arguments: Arguments) -> str:
    """A constant around the tensor, or what lies inside it."""
    x = arguments.tensor()
    mode = arguments.option("mode", default="constant")
    pads_argument = arguments.option("pad_width", "paddings")
    value = arguments.take(1, "constant_values", default=0.0)
    mode = str(mode).lower()
    if mode not in ("constant", "reflect", "symmetric"):
        raise UnsupportedLayerError(
            f"it pads by the mode {mode!r}; 'constant', 'reflect' and 'symmetric' are read"
        )
    rank = len(site.shape(x))
    try:
        pads = np.broadcast_to(as_constant(pads_argument), (rank + 1, 2)).astype(int).tolist()
    except ValueError:
        raise UnsupportedLayerError(f"its padding is {pads_argument!r}") from None
    if pads[0] != [0, 0]:
        raise UnsupportedLayerError("it pads the batch")
    if min(map(min, pads)) < 0:
        raise UnsupportedLayerError(f"its padding is {pads_argument!r}")
    if mode != "constant":
        return _pad_by_itself(site, x, pads[1:], mode)
    number = Fields({"constant_values": value}).number("constant_values")
    sides = tuple((before, after) for before, after in pads[1:])
    return site.add(g.PadNode(site.name(), x, sides, number))


def _pad_by_itself(site: Site, x: str, pads: list[list[int]], mode: str) -> str:
    """What lies inside, reflected; 'symmetric': with the edge twice."""
    widened = [axis for axis, pad in enumerate(pads) if any(pad)]
    least = 1 if mode == "reflect" else 0
    for axis in widened:
        size = site.shape(x)[axis]
        if max(pads[axis]) > size - least:
            raise UnsupportedLayerError(f"it pads an axis of {size} by {pads[axis]}, reflected")
        places = np.pad(np.arange(size), pads[axis], mode)  # type: ignore[call-overload]
        name = site.name() if axis == widened[-1] else site.name("padded")
        x = site.add(GatherNode(name, x, axis, tuple(places.tolist())))
    return x


def read_flip(site: Site, arguments: Arguments) -> str:
    """Axes the other way round; without any, all would be turned, the batch too."""
    x = arguments.tensor()
    axis = arguments.option("axis")
    if axis is None or 0 in np.atleast_1d(as_constant(axis)) % (len(site.shape(x)) + 1):
        raise UnsupportedLayerError("it turns the batch round")
    return site.add(g.FlipNode(site.name(), x, axes_of(axis, len(site.shape(x)))))


def read_roll(site: Site, arguments: Arguments) -> str:
    """An axis moved on, its last entries becoming its first."""
    x = arguments.tensor()
    shift = np.atleast_1d(as_constant(arguments.option("shift")))
    if shift.size != 1 or arguments.option("axis") is None:
        raise UnsupportedLayerError("it moves several axes on; one at a time is read")
    axis = axis_in(site, x, arguments.option("axis"))
    places = np.roll(np.arange(site.shape(x)[axis]), int(shift[0]))
    return site.add(GatherNode(site.name(), x, axis, tuple(places.tolist())))


def read_take(site: Site, arguments: Arguments) -> str:
    """Entries of an axis by constant indices, in the shape of these."""
    x = arguments.tensor()
    shape, written = site.shape(x), arguments.take(1, "indices")
    axis = axis_in(site, x, arguments.option("axis"))
    size = shape[axis]
    if written is None or isinstance(written, CallTensor):
        raise UnsupportedLayerError("its indices are no constants")
    indices = as_constant(written)
    if (
        not indices.size
        or (indices != np.rint(indices)).any()
        or (abs(indices * 2 + 1) > 2 * size).any()
    ):
        raise UnsupportedLayerError(f"its indices are not all those of {size} entries")
    places = tuple(int(index) % size for index in indices.reshape(-1))
    if indices.ndim == 1:
        return site.add(GatherNode(site.name(), x, axis, places))
    row = site.add(GatherNode(site.name("row"), x, axis, places))
    target = (*shape[:axis], *indices.shape, *shape[axis + 1 :])
    return site.add(g.ReshapeNode(site.name(), row, target))


def read_tile(site: Site, arguments: Arguments) -> str:
    """The whole tensor again and again along its axes."""
    x = arguments.tensor()
    repeats = arguments.option("repeats", "multiples")
    counts = np.atleast_1d(as_constant(repeats)).astype(int).tolist()
    shape = site.shape(x)
    counts = [1] * (len(shape) + 1 - len(counts)) + counts
    if (
        len(counts) != len(shape) + 1
        or counts[0] != 1
        or not all(1 <= count <= MOST_PARTS for count in counts)
    ):
        raise UnsupportedLayerError(f"it repeats a tensor {repeats!r} times")
    for axis, count in enumerate(counts[1:]):
        if count > 1:
            last = max(counts[axis + 2 :], default=1) == 1
            name = site.name() if last else site.name("tile")
            x = site.add(g.ConcatNode(name, (x,) * count, axis))
    return x


def read_repeat(site: Site, arguments: Arguments) -> str:
    """Each element again and again along one axis."""
    x = arguments.tensor()
    count = whole(arguments.option("repeats"), "repeats")
    axis = axis_in(site, x, arguments.option("axis"))
    if count < 1:
        raise UnsupportedLayerError(f"it repeats elements {count} times")
    shape = site.shape(x)
    rest = shape[axis + 1 :] or (1,)
    wide = site.add(g.ReshapeNode(site.name("wide"), x, (*shape[: axis + 1], 1, *rest)))
    factors = (*(1 for _ in shape[: axis + 1]), count, *(1 for _ in rest[1:]))
    copies = site.add(g.UpsampleNode(site.name("copies"), wide, factors))
    longer = (*shape[:axis], shape[axis] * count, *shape[axis + 1 :])
    return site.add(g.ReshapeNode(site.name(), copies, longer))


def read_depth_to_space(site: Site, arguments: Arguments) -> str:
    """Groups of channels as blocks of pixels, channels last."""
    x, size = arguments.tensor(), whole(arguments.option("block_size"), "block_size")
    shape = _image(site, x, arguments)
    if size < 2 or shape[2] % size**2:
        raise UnsupportedLayerError(f"it makes blocks of {size} from {shape[2]} channels")
    height, width, channels = shape[0], shape[1], shape[2] // size**2
    split = (height, width, size, size, channels)
    return _blocks(site, x, split, (0, 2, 1, 3, 4), (height * size, width * size, channels))


def read_space_to_depth(site: Site, arguments: Arguments) -> str:
    """Blocks of pixels as groups of channels, channels last."""
    x, size = arguments.tensor(), whole(arguments.option("block_size"), "block_size")
    shape = _image(site, x, arguments)
    if size < 2 or shape[0] % size or shape[1] % size:
        raise UnsupportedLayerError(f"it makes blocks of {size} in an image of {shape}")
    height, width = shape[0] // size, shape[1] // size
    split = (height, size, width, size, shape[2])
    return _blocks(site, x, split, (0, 2, 1, 3, 4), (height, width, shape[2] * size**2))


def _image(site: Site, x: str, arguments: Arguments) -> g.Shape:
    if arguments.option("data_format", default="NHWC") not in ("NHWC", "channels_last"):
        raise UnsupportedLayerError("its channels come first; put them last")
    shape = site.shape(x)
    if len(shape) != 3:
        raise UnsupportedLayerError(f"it reads a tensor of {shape}, which is no image")
    return shape


def _blocks(site: Site, x: str, split: g.Shape, order: g.Shape, result: g.Shape) -> str:
    parts = site.add(g.ReshapeNode(site.name("parts"), x, split))
    moved = site.add(g.TransposeNode(site.name("blocks"), parts, order))
    return site.add(g.ReshapeNode(site.name(), moved, result))
