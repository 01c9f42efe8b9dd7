# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Elements with formats of their own: each is rounded as a quantizer of its own would do it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.graph.nodes import DenseNode, InputNode, ReshapeNode
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.readers.keras.builder import GraphBuilder, Site
from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.element_formats import (
    BY_SIGN,
    ElementFormats,
    round_elements,
)
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding, dequantize, quantize

ELEMENTS = 7
MODES = [(r, o) for r in Rounding for o in (Overflow.WRAP, Overflow.SAT, Overflow.SAT_SYM)]
Reals = NDArray[np.float64]


def start() -> tuple[GraphBuilder, Site]:
    """A model with one input, and the place of a layer that reads it."""
    builder = GraphBuilder("model", 3)
    builder.quantized = True
    builder.add(InputNode("x", (ELEMENTS,)))
    return builder, Site(builder, LayerConfig("Q", "q", "q", {}), "q", ("x",), {})


def drawn_formats(rng: np.random.Generator, *modes: object) -> ElementFormats:
    """Formats at random; some elements have no bits, and sometimes all have one sign."""
    signed = rng.integers(0, 2, ELEMENTS) if rng.random() < 0.6 else np.full(ELEMENTS, 1)
    integer, frac = rng.integers(-2, 5, ELEMENTS), rng.integers(-2, 6, ELEMENTS)
    if rng.random() < 0.3:
        integer = 5 - frac  # all as wide
    return ElementFormats(signed, integer, frac, *modes)  # type: ignore[arg-type]


def expected(formats: ElementFormats, values: Reals) -> Reals:
    """Each element by a quantizer of its own."""
    result = np.zeros_like(values)
    rows = zip(formats.signed, formats.bits, formats.integer, strict=True)
    for at, (signed, bits, integer) in enumerate(rows):
        if bits > 0:
            type_ = Fixed(bool(signed), int(bits), int(integer + signed))
            own = Quantizer(type_, formats.rounding, formats.overflow)
            result[:, at] = dequantize(quantize(values[:, at], own), type_)
    return result


def results(builder: GraphBuilder, output: str, x: Reals) -> Reals:
    """What the Program makes of inputs."""
    loaded = builder.finish("model", [output])
    lowered = lower(loaded.graph, loaded.recipe)
    assert not lowered.findings
    program = lowered.program
    value = program.outputs[0].value
    raw = raw_inputs(program, lowered.recipe, Samples({"x": x}, "drawn"))
    return dequantize(interpret(program, raw)[value], program.type(value))


@pytest.mark.parametrize("modes", MODES, ids=str)
def test_integers_are_rounded_as_by_a_quantizer_for_each(modes: tuple[object, object]) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        builder, site = start()
        builder.activations["x"] = Quantizer(Fixed(True, 14, 7))
        dense = builder.add(DenseNode("exact", "exact", "x", np.eye(ELEMENTS), None))
        formats = drawn_formats(rng, *modes)
        round_elements(site, dense, formats, "q")
        x = rng.integers(-(1 << 13), 1 << 13, (60, ELEMENTS)) / 128
        np.testing.assert_array_equal(results(builder, "q", x), expected(formats, x))


@pytest.mark.parametrize("rounding", sorted(BY_SIGN))
def test_an_input_that_wraps_is_not_rounded_by_its_sign(rounding: Rounding) -> None:
    _, site = start()
    formats = drawn_formats(np.random.default_rng(1), rounding, Overflow.WRAP)
    with pytest.raises(UnsupportedLayerError, match=f"by {rounding}, which looks at the sign"):
        round_elements(site, "x", formats, "q")


INPUT_MODES = [(r, o) for r, o in MODES if o is not Overflow.WRAP or r not in BY_SIGN]


@pytest.mark.parametrize("modes", INPUT_MODES, ids=str)
def test_an_input_is_rounded_as_if_it_were_the_float(modes: tuple[object, object]) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        builder, site = start()
        formats = drawn_formats(rng, *modes)
        turned = builder.add(ReshapeNode("turned", "x", (ELEMENTS,)))
        round_elements(site, turned, formats, "q")
        x = rng.normal(size=(60, ELEMENTS)) * rng.choice([0.1, 1, 9], (60, 1))
        x[::3] = np.rint(x[::3] * 64) / 64 + rng.choice([0, 1e-7, -1e-7], x[::3].shape)
        x = x.astype(np.float32).astype(np.float64)
        np.testing.assert_array_equal(results(builder, "q", x), expected(formats, x))


def test_two_layers_may_round_one_input_each_for_itself() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        builder, site = start()
        both = [drawn_formats(rng, Rounding.RND, Overflow.WRAP) for _ in range(2)]
        for name, formats in zip(("a", "q"), both, strict=True):
            round_elements(site, "x", formats, name)
        x = rng.normal(size=(60, ELEMENTS)) * 9
        result = results(builder, "q", x)
        np.testing.assert_array_equal(result, expected(both[1], x))


def test_one_input_is_not_both_wrapped_and_saturated() -> None:
    _, site = start()
    rng = np.random.default_rng(1)
    round_elements(site, "x", drawn_formats(rng, Rounding.RND, Overflow.WRAP), "a")
    with pytest.raises(UnsupportedLayerError, match="same overflow mode"):
        round_elements(site, "x", drawn_formats(rng, Rounding.RND, Overflow.SAT), "b")


def test_formats_too_far_apart_for_one_type_are_refused() -> None:
    _, site = start()
    far = np.asarray([-60, 60, 0, 0, 0, 0, 0])
    formats = ElementFormats(far * 0 + 1, far * 0 + 62, far, Rounding.TRN, Overflow.WRAP)
    with pytest.raises(UnsupportedLayerError, match="formats that no type holds"):
        round_elements(site, "x", formats, "q")
