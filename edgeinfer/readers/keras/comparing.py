# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Comparisons, which make truths of 0 and 1, what joins truths, and choices by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeinfer.graph import nodes as g
from edgeinfer.readers.keras import arithmetic, reducing
from edgeinfer.readers.keras.arguments import Arguments, CallTensor, as_constant, per_sample
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError

LARGEST_FILL = 1e6  # what a choice may fill in, so that other numbers are not lost beside it


def read_comparison(
    site: Site, arguments: Arguments, *, swapped: bool = False, opposite: str = ""
) -> str:
    """x > y, or (`swapped`) y > x; or where that does not hold, which `opposite` names. Of one
    channel and a number: which pixels are brighter."""
    a, b = _pair_of(arguments)
    if swapped:
        a, b = b, a
    truth = _whether_greater(site, a, b, site.name(opposite))
    return _negate(site, truth, site.name()) if opposite else truth


def read_not_equal(site: Site, arguments: Arguments) -> str:
    """Which elements are another number."""
    return _whether_apart(site, *_pair_of(arguments), site.name())


def read_equal(site: Site, arguments: Arguments) -> str:
    """Which elements are this number."""
    return _negate(
        site, _whether_apart(site, *_pair_of(arguments), site.name("other")), site.name()
    )


def read_sign(site: Site, arguments: Arguments) -> str:
    """1 above zero, -1 below, and 0."""
    x = arguments.tensor()
    turned = _add_affine(site, x, -np.ones(1), np.zeros(1), site.name("turned"))
    sides = (_above(site, side, 0.0, site.name("above")) for side in (x, turned))
    return site.add(g.MergeNode(site.name(), tuple(sides), g.MergeKind.SUBTRACT))


def read_any(site: Site, arguments: Arguments) -> str:
    """The largest of truths."""
    _check_truth(site, arguments.tensor())
    return reducing.read_reduction(site, arguments, g.PoolNodeKind.MAX)


def read_not(site: Site, arguments: Arguments) -> str:
    """What is not true."""
    x = arguments.tensor()
    _check_truth(site, x)
    return _negate(site, x, site.name())


def read_joined(site: Site, arguments: Arguments, kind: g.MergeKind) -> str:
    """Two truths: their product where both must hold, else the larger."""
    a, b = _pair_of(arguments)
    for each in (a, b):
        if not isinstance(each, CallTensor):
            raise UnsupportedLayerError("it joins a truth with a constant")
        _check_truth(site, each.name)
    return arithmetic.add_pair(site, kind, a, b)


def read_where(site: Site, arguments: Arguments) -> str:
    """truth x a + (1 - truth) x b: products with 0 and 1, which round nothing."""
    truth = arguments.take(0, "condition")
    a, b = arguments.take(1, "x1", "x"), arguments.take(2, "x2", "y")
    if isinstance(truth, CallTensor):
        _check_truth(site, truth.name)
    hidden = _hide_from_softmax(site, truth, a, b)
    if hidden is not None:
        return hidden
    if not isinstance(truth, CallTensor):
        return _choose_by_constant(site, truth, a, b)
    if not isinstance(a, CallTensor) and not isinstance(b, CallTensor):
        taken, left = _fill(site, truth.name, a), _fill(site, truth.name, b)
        return _add_affine(site, truth.name, taken - left, left, site.name())
    other = _negate(site, truth.name, site.name("otherwise"))
    parts = (
        _mask_value(site, mask, x, site.name(label))
        for mask, x, label in ((truth.name, a, "taken"), (other, b, "left"))
    )
    return site.add(g.MergeNode(site.name(), tuple(parts), g.MergeKind.ADD))


def _hide_from_softmax(site: Site, truth: Any, a: Any, b: Any) -> str | None:
    """A tensor in which a choice hides elements from a softmax, which then has a mask; None if the
    choice does not fill in a number as low as that."""
    x, fill, opposite = (a, b, False) if isinstance(a, CallTensor) else (b, a, True)
    if not isinstance(x, CallTensor) or isinstance(fill, CallTensor):
        return None
    if as_constant(fill).max(initial=-np.inf) >= -LARGEST_FILL:
        return None
    if isinstance(truth, CallTensor):
        mask = _negate(site, truth.name, site.name("kept")) if opposite else truth.name
    else:
        chosen = per_sample(as_constant(truth), len(site.shape(x.name))) != 0
        kept = (chosen != opposite).astype(np.float64)
        mask = site.add(g.ConstantNode(site.name("kept"), kept))
    name = site.add(g.ActivationNode(site.name(), x.name, g.Function.LINEAR))
    site.builder.hidden[name] = x.name, mask
    return name


def _choose_by_constant(site: Site, truth: Any, a: Any, b: Any) -> str:
    """What is chosen is known: products with 0 and 1."""
    tensors = [each for each in (a, b) if isinstance(each, CallTensor)]
    if not tensors:
        raise UnsupportedLayerError("what it chooses depends on no input")
    rank = len(site.shape(tensors[0].name))
    chosen = (per_sample(as_constant(truth), rank) != 0).astype(np.float64)
    sides = ((chosen, a, "taken"), (1.0 - chosen, b, "left"))
    if len(tensors) == 1:
        (kept, x, _), (other, values, _) = sides if isinstance(a, CallTensor) else sides[::-1]
        return _add_affine(site, x.name, kept, other * _fill(site, x.name, values), site.name())
    parts = (
        _add_affine(site, each.name, share, np.zeros(1), site.name(label))
        for share, each, label in sides
    )
    return site.add(g.MergeNode(site.name(), tuple(parts), g.MergeKind.ADD))


def _pair_of(arguments: Arguments) -> tuple[Any, Any]:
    return arguments.take(0, "x", "x1", "a"), arguments.take(1, "y", "x2", "b")


def _whether_greater(site: Site, a: Any, b: Any, name: str) -> str:
    if isinstance(a, CallTensor) and not isinstance(b, CallTensor):
        threshold = as_constant(b)
        if threshold.size == 1:
            return _above(site, a.name, float(threshold.reshape(())), name)
    return _above(site, _difference(site, a, b), 0.0, name)


def _above(site: Site, x: str, threshold: float, name: str) -> str:
    """Which elements are above a number: those of one channel are pixels."""
    shape = site.shape(x)
    if len(shape) > 1 and shape[-1] == 1:
        return site.add(g.SitesNode(name, x, threshold))
    truth = site.add(g.SitesNode(site.name("truth"), _column_of(site, x), threshold))
    return site.add(g.ReshapeNode(name, truth, shape))


def _column_of(site: Site, x: str) -> str:
    """Elements as pixels of one channel; a number for each sample is one pixel."""
    return site.add(g.ReshapeNode(site.name("column"), x, (*(site.shape(x) or (1,)), 1)))


def _whether_apart(site: Site, a: Any, b: Any, name: str) -> str:
    """What is left of a difference is above or below zero."""
    rest = _difference(site, a, b)
    shape = site.shape(rest)
    column = _column_of(site, rest)
    turned = _add_affine(site, column, -np.ones(1), np.zeros(1), site.name("negative"))
    both = site.add(g.ConcatNode(site.name("signs"), (column, turned), -1))
    truth = site.add(g.SitesNode(site.name("truth"), both, 0.0))
    return site.add(g.ReshapeNode(name, truth, shape))


def _difference(site: Site, a: Any, b: Any) -> str:
    """a - b, of which one at least is a tensor."""
    if isinstance(a, CallTensor) and isinstance(b, CallTensor):
        if len(site.shape(a.name)) != len(site.shape(b.name)):
            raise UnsupportedLayerError("it compares tensors with unlike numbers of axes")
        pair = (a.name, b.name)
        return site.add(g.MergeNode(site.name("difference"), pair, g.MergeKind.SUBTRACT))
    if not isinstance(a, CallTensor) and not isinstance(b, CallTensor):
        raise UnsupportedLayerError("it compares no tensor")
    sign, x, values = (1.0, a, b) if isinstance(a, CallTensor) else (-1.0, b, a)
    shift = -sign * per_sample(as_constant(values), len(site.shape(x.name)))
    if sign > 0 and not shift.any():
        return str(x.name)
    return _add_affine(site, x.name, np.full(1, sign), shift, site.name("difference"))


def _negate(site: Site, truth: str, name: str) -> str:
    return _add_affine(site, truth, -np.ones(1), np.ones(1), name)


def _mask_value(site: Site, mask: str, x: Any, name: str) -> str:
    """x where a mask is 1, else 0."""
    if isinstance(x, CallTensor):
        if len(site.shape(x.name)) != len(site.shape(mask)):
            raise UnsupportedLayerError("it chooses from tensors with unlike numbers of axes")
        return site.add(g.MergeNode(name, (mask, x.name), g.MergeKind.MULTIPLY))
    return _add_affine(site, mask, _fill(site, mask, x), np.zeros(1), name)


def _fill(site: Site, mask: str, x: Any) -> g.Floats:
    values = per_sample(as_constant(x), len(site.shape(mask)))
    if np.abs(values).max(initial=0.0) > LARGEST_FILL:
        raise UnsupportedLayerError(
            f"it fills in {values.flat[np.abs(values).argmax()]:g}, beside which no format holds "
            f"other numbers; for attention, give the mask to the layer"
        )
    return values


def _add_affine(site: Site, x: str, scale: g.Floats, shift: g.Floats, name: str) -> str:
    return site.add(g.AffineNode(name, name, x, scale, shift))


def _check_truth(site: Site, tensor: str) -> None:
    """Refuse numbers where truths are meant."""
    nodes_by_name = {node.name: node for node in site.builder.nodes}
    waiting = [tensor]
    while waiting:
        node = nodes_by_name[waiting.pop()]
        match node:
            case g.SitesNode():
                pass
            case g.MoveNode() | g.PoolNode(kind=g.PoolNodeKind.MAX):  # `any` of truths
                waiting.append(node.x)
            case g.MergeNode(kind=g.MergeKind.MULTIPLY | g.MergeKind.MAXIMUM):
                waiting += node.xs
            case g.AffineNode() if (node.scale == -1).all() and (node.shift == 1).all():
                waiting.append(node.x)
            case _:  # of nothing else it is known
                raise UnsupportedLayerError(
                    "it reads numbers, not truths; compare them first, keras.ops.not_equal(x, 0)"
                )
