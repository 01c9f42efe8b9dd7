# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tensors whose elements have fixed-point formats of their own, rounded with nodes that exist.

A tensor has one format. So every element is multiplied by the power of two that brings its last bit
to where the others have theirs, all are rounded together, and another power of two brings them
back. Where the widths differ, wrapping is done in between, with the first bits in one place;
saturation is a limit for each element. An element without bits is multiplied by zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.functions import CURVES
from edgeinfer.graph.nodes import (
    ActivationNode,
    AffineNode,
    ConstantNode,
    Floats,
    Function,
    InputNode,
    MergeKind,
    MergeNode,
    MoveNode,
    inputs_of,
)
from edgeinfer.readers.keras.activations import add_quantized
from edgeinfer.readers.keras.builder import GraphBuilder, Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from quantization.fixed import Fixed, FormatError, Ints, Overflow, Quantizer, Rounding
from quantization.recipe import WeightFormat

# Bits that must follow the last one of a number that is cut off first, if rounding it afterwards
# is to find what rounding it at once finds. Any other mode looks at all bits: a float32 has no
# more than these behind its last whole step.
SPARE_BITS = {Rounding.TRN: 0, Rounding.RND: 1}
ALL_BITS = 25
BY_SIGN = frozenset({Rounding.TRN_ZERO, Rounding.RND_ZERO, Rounding.RND_INF})
MOST_CURVES = 64  # tables that one function may be split into
WIDE = Fixed(True, 26, 16)  # an input that one layer rounds and another does not
WITHIN_ONE = frozenset(  # functions whose values lie between -1 and 1
    {Function.SIGMOID, Function.TANH, Function.HARD_SIGMOID, Function.SOFTSIGN, Function.ERF}
)


@dataclass(frozen=True, slots=True, eq=False)
class ElementFormats:
    """A format for each element, in arrays that broadcast against the tensor.

    signed: 1 or 0; integer: bits before the point, a sign not counted; frac: bits behind it. An
    element whose bits are 0 or less in all is always zero.
    """

    signed: Ints
    integer: Ints
    frac: Ints
    rounding: Rounding
    overflow: Overflow

    @property
    def bits(self) -> Ints:
        """Width of each element, its sign included."""
        return self.signed + self.integer + self.frac

    @property
    def live(self) -> NDArray[np.bool_]:
        """Elements that have bits."""
        return self.bits > 0

    @property
    def distinct(self) -> list[tuple[int, int, int]]:
        """Every format (signed, bits, integer bits with the sign) that some element has."""
        rows = np.stack([self.signed, self.bits, self.integer + self.signed])[:, self.live]
        return [(int(s), int(b), int(i)) for s, b, i in np.unique(rows, axis=1).T]

    def quantizer(self, form: tuple[int, int, int]) -> Quantizer:
        """One of the distinct formats with the common modes; Unsupported where it is too wide."""
        signed, bits, integer = form
        return Quantizer(_type(bool(signed), bits, integer), self.rounding, self.overflow)

    @property
    def common(self) -> Quantizer | None:
        """The one format of all elements, if there is one."""
        forms = self.distinct
        return self.quantizer(forms[0]) if len(forms) == 1 and self.live.all() else None


def _type(signed: bool, bits: int, integer: int) -> Fixed:
    try:
        return Fixed(signed, bits, integer)
    except FormatError as error:
        raise UnsupportedLayerError(f"its elements have formats that no type holds: {error}") from (
            None
        )


def round_elements(site: Site, x: str, formats: ElementFormats, name: str) -> str:
    """Append what brings each element into its own format; `name` is that of the last node."""
    curve = _find_curve(site, x)
    if not formats.live.any():
        before = x if curve is None or curve.moves else curve.function.x  # which lies on a grid
        return _add_powers(site, before, formats.frac, formats.live, None, name)
    _set_input(site, x, formats)
    if curve is not None:
        return _round_curve(site, curve, formats, name)
    common = formats.common
    if common is not None:
        return add_quantized(site, ActivationNode(name, x, Function.LINEAR), common)
    return _round_apart(site, x, formats, name)


def _round_apart(site: Site, x: str, formats: ElementFormats, name: str) -> str:
    """The general case: some elements live, and not all alike."""
    live, bits = formats.live, formats.bits
    everywhere = np.ones_like(live)
    base = int(formats.frac[live].min())
    up = np.where(live, formats.frac - base, 0)  # the last bits of all then lie at `base`
    signed = bool((formats.signed[live] == 1).any())
    alike = len({(s, b) for s, b, _ in formats.distinct}) == 1
    widest = int(bits[live].max())
    if not alike and formats.overflow is not Overflow.WRAP and signed:
        widest = int((bits - formats.signed)[live].max()) + 1
    common = Quantizer(_type(signed, widest, widest - base), formats.rounding, formats.overflow)
    if alike:
        x = _add_powers(site, x, up, live, common, _fresh(site, name, "aligned"))
        return _add_powers(site, x, -up, everywhere, None, name)
    if formats.overflow is Overflow.WRAP:
        return _wrap_apart(site, x, formats, up, common, name)
    if formats.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        raise UnsupportedLayerError(
            f"its elements have widths of their own and overflow by {formats.overflow}; WRAP, SAT "
            f"and SAT_SYM are read"
        )
    common = replace(common, overflow=Overflow.SAT)
    x = _add_powers(site, x, up, live, common, _fresh(site, name, "aligned"))
    top = np.where(live, np.exp2(np.where(live, bits - formats.signed, 0)) - 1, 0)
    bottom = -formats.signed * np.where(formats.overflow is Overflow.SAT, top + 1, top)
    for kind, ends in ((MergeKind.MINIMUM, top), (MergeKind.MAXIMUM, np.where(live, bottom, 0))):
        bound = _fresh(site, name, f"{kind}_bound")
        site.builder.weights[f"{bound}/value"] = WeightFormat.of(common)
        site.add(ConstantNode(bound, ends * 2.0**-base))
        x = site.add(MergeNode(_fresh(site, name, kind), (x, bound), kind))
    return _add_powers(site, x, -up, everywhere, None, name)


def _wrap_apart(
    site: Site, x: str, formats: ElementFormats, up: Ints, common: Quantizer, name: str
) -> str:
    """Rounded with the last bits in one place, then wrapped with the first bits in one place.

    Signed elements beside unsigned ones are moved up by half their range meanwhile, so that all
    wrap as unsigned numbers do.
    """
    live, type_ = formats.live, common.type
    x = _add_powers(site, x, up, live, common, _fresh(site, name, "aligned"))
    wide = np.where(live, type_.bits - formats.bits, 0)
    half: Floats | None = None
    wrap = replace(common, rounding=Rounding.TRN)
    if len(np.unique(formats.signed[live])) > 1:
        wrap = replace(wrap, type=replace(type_, signed=False))
        half = np.where(live & (formats.signed == 1), 2.0 ** (type_.integer - 1), 0.0)
    everywhere = np.ones_like(live)
    x = _add_powers(site, x, wide, everywhere, wrap, _fresh(site, name, "wrapped"), half)
    back = None if half is None else -np.ldexp(half, -(wide + up))
    return _add_powers(site, x, -(wide + up), everywhere, None, name, back)


def _fresh(site: Site, name: str, label: str) -> str:
    return site.builder.fresh(f"{name}_{label}")


def _add_powers(
    site: Site,
    x: str,
    exponents: Ints,
    live: NDArray[np.bool_],
    quantizer: Quantizer | None,
    name: str,
    shift: Floats | None = None,
) -> str:
    """Each element times a power of two, or zero; nothing but the rounding where all are times 1,
    unless the name is wanted."""
    scale = np.where(live, np.ldexp(1.0, exponents), 0.0)
    moved = np.zeros((1,) * scale.ndim) if shift is None else shift
    if quantizer is not None:
        site.builder.activations[name] = quantizer
    if (scale == 1.0).all() and not moved.any():
        return site.add(ActivationNode(name, x, Function.LINEAR))
    site.builder.weights[f"{name}/scale"] = _format_of_powers(scale)
    site.builder.weights[f"{name}/shift"] = _format_of_powers(moved)
    return site.add(AffineNode(name, name, x, scale, moved))


def _format_of_powers(values: Floats) -> WeightFormat:
    """The format that holds zeros and powers of two of either sign."""
    used = np.abs(values[values != 0])
    negative = bool((values < 0).any())
    exponents = np.frexp(used)[1] - 1
    low, high = (int(exponents.min()), int(exponents.max())) if used.size else (0, 0)
    return WeightFormat.of(
        Quantizer(_type(negative, high - low + 1 + negative, high + 1 + negative))
    )


def _round_curve(site: Site, curve: _Curve, formats: ElementFormats, name: str) -> str:
    """A function rounded at once, so not first to a format of a table: its nodes again, once for
    each format, of which each element takes its own."""
    forms = formats.distinct
    if len(forms) > MOST_CURVES:
        raise UnsupportedLayerError(
            f"it rounds a function to {len(forms)} formats; up to {MOST_CURVES} are read"
        )
    if formats.common is not None:
        return curve.repeat(site, formats.quantizer(forms[0]), name)
    parts: list[str] = []
    for form in forms:
        y = curve.repeat(site, formats.quantizer(form), _fresh(site, name, "curve"))
        rows = (formats.signed, formats.bits, formats.integer + formats.signed)
        own = np.logical_and.reduce([row == part for row, part in zip(rows, form, strict=True)])
        last = name if len(forms) == 1 else _fresh(site, name, "part")
        parts.append(_add_powers(site, y, np.zeros_like(formats.frac), own, None, last))
    return site.add(MergeNode(name, tuple(parts), MergeKind.ADD)) if parts[1:] else parts[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """A function whose values no grid holds, and what has moved its elements since."""

    function: ActivationNode
    moves: tuple[MoveNode, ...]

    def repeat(self, site: Site, quantizer: Quantizer, name: str) -> str:
        """The same once more, rounded; `name` is that of the last node."""
        names = [_fresh(site, name, "whole") for _ in self.moves]
        first, *others = [*names, name]
        if quantizer.overflow is Overflow.WRAP and self.function.function in WITHIN_ONE:
            frac = quantizer.type.frac  # first without wrapping, whose steps are hard to find
            whole = replace(quantizer, type=_type(True, max(frac, 0) + 2, max(-frac, 0) + 2))
            whole = replace(whole, overflow=Overflow.SAT)
            before = replace(self.function, name=_fresh(site, name, "rounded"))
            node = ActivationNode(first, add_quantized(site, before, whole), Function.LINEAR)
        else:
            node = replace(self.function, name=first)
        y = add_quantized(site, node, quantizer)
        for move, other in zip(self.moves, others, strict=True):
            y = site.add(replace(move, name=other, x=y))
        return y


def _find_curve(site: Site, x: str) -> _Curve | None:
    """The function that a tensor is; None where it lies on a grid."""
    moves: list[MoveNode] = []
    for node in reversed(site.builder.nodes):
        if node.name != x:
            continue
        if isinstance(node, MoveNode):
            moves.insert(0, node)
            x = node.x
            continue
        if isinstance(node, ActivationNode) and node.function in CURVES:
            return None if x in site.builder.activations else _Curve(node, tuple(moves))
        return None
    return None


def _set_input(site: Site, x: str, formats: ElementFormats) -> None:
    """If x is an input of the model, or its elements moved: let the input have all bits that the
    rounding looks at."""
    for node in reversed(site.builder.nodes):
        if node.name != x:
            continue
        if isinstance(node, MoveNode):
            x = node.x
            continue
        if isinstance(node, InputNode):
            own = formats.common or _cut_off(_hull(formats))
            before = site.builder.activations.get(x)
            site.builder.activations[x] = own if before is None else _join(before, own)
        return


def widen_shared_inputs(builder: GraphBuilder) -> None:
    """Where a layer reads an input of the model as it is, while another rounds it for itself: give
    the input so many bits that both see nearly what they would, and say so."""
    for port in builder.nodes:
        if not isinstance(port, InputNode) or port.name not in builder.activations:
            continue
        others = _readers_of_floats(builder, port.name)
        if others:
            own = _cut_off(builder.activations[port.name]).type
            integer, frac = max(own.integer, WIDE.integer), max(own.frac, WIDE.frac)
            wide = Quantizer(_type(True, integer + frac, integer), Rounding.TRN, Overflow.SAT)
            builder.activations[port.name] = wide
            builder.find(f"{port.name} is taken as {wide}: {', '.join(others)} would read floats.")


def _readers_of_floats(builder: GraphBuilder, tensor: str) -> list[str]:
    """Who reads a tensor, or its elements at other places, and does not round it first."""
    places, readers = {tensor}, []
    for node in builder.nodes:
        if places.isdisjoint(inputs_of(node)):
            continue
        rounds = isinstance(node, AffineNode) or (
            isinstance(node, ActivationNode) and node.function is Function.LINEAR
        )
        if isinstance(node, MoveNode):
            places.add(node.name)
        elif isinstance(node, AffineNode) and not node.scale.any():
            continue
        elif not rounds or node.name not in builder.activations:
            readers.append(node.name)
    return readers


def _hull(formats: ElementFormats) -> Quantizer:
    """A format whose range and grid hold those of every element."""
    live = formats.live
    signed = bool((formats.signed[live] == 1).any())
    integer, frac = int(formats.integer[live].max()) + signed, int(formats.frac[live].max())
    overflow = Overflow.WRAP if formats.overflow is Overflow.WRAP else Overflow.SAT
    return Quantizer(_type(signed, integer + frac, integer), formats.rounding, overflow)


def _cut_off(quantizer: Quantizer) -> Quantizer:
    """A format that cuts bits off, but none that the quantizer's rounding would look at."""
    if quantizer.overflow is Overflow.WRAP and quantizer.rounding in BY_SIGN:
        raise UnsupportedLayerError(
            f"it rounds an input of the model by {quantizer.rounding}, which looks at the sign, "
            f"and wraps it, which changes that; with formats for each element use RND or TRN"
        )
    type_, spare = quantizer.type, SPARE_BITS.get(quantizer.rounding, ALL_BITS)
    wider = _type(type_.signed, type_.bits + spare, type_.integer)
    overflow = Overflow.WRAP if quantizer.overflow is Overflow.WRAP else Overflow.SAT
    return Quantizer(wider, Rounding.TRN, overflow)


def _join(a: Quantizer, b: Quantizer) -> Quantizer:
    """An input's format under which two layers round it as if each had the unrounded input."""
    if a == b:
        return a
    if (a.overflow is Overflow.WRAP) != (b.overflow is Overflow.WRAP):
        raise UnsupportedLayerError(
            "it reads an input of the model that another layer reads as well, and only one of them "
            "wraps what is too large; give both the same overflow mode"
        )
    first, second = _cut_off(a), _cut_off(b)
    signed = first.type.signed or second.type.signed
    frac = max(first.type.frac, second.type.frac)
    integer = max(t.integer + (signed and not t.signed) for t in (first.type, second.type))
    return Quantizer(_type(signed, integer + frac, integer), Rounding.TRN, first.overflow)
