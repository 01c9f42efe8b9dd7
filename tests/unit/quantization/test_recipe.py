# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Recipes: text that reads back, hashes that mean equality, channels on one grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe, WeightFormat

quantizers = st.builds(
    Quantizer,
    st.builds(Fixed, st.booleans(), st.integers(1, 32), st.integers(-9, 20)),
    st.sampled_from(Rounding),
    st.sampled_from(Overflow),
)
names = st.text(min_size=1, max_size=12)
recipes = st.builds(
    Recipe.of,
    st.dictionaries(names, quantizers, max_size=4),
    st.dictionaries(
        names, st.lists(quantizers, min_size=1, max_size=3).map(tuple).map(WeightFormat), max_size=4
    ),
)


@given(recipes)
def test_toml_reads_back_to_an_equal_recipe(recipe: Recipe) -> None:
    again = Recipe.from_toml(recipe.to_toml())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert again.digest == recipe.digest


def test_order_does_not_matter_and_content_does() -> None:
    a, b = Quantizer(Fixed(True, 8, 3)), Quantizer(Fixed(True, 6, 3))
    assert Recipe.of({"x": a, "y": b}).digest == Recipe.of({"y": b, "x": a}).digest
    assert Recipe.of({"x": a}).digest != Recipe.of({"x": b}).digest


def test_look_up_and_update() -> None:
    a, b = Quantizer(Fixed(True, 8, 3)), Quantizer(Fixed(True, 6, 3))
    recipe = Recipe.of({"x": a}, {"fc/kernel": WeightFormat.of(a)})
    assert recipe.activation("x") == a and recipe.activation("y") is None
    assert recipe.weight("fc/bias") is None
    changed = recipe.updated(Recipe.of({"x": b}))
    assert changed.activation("x") == b and changed.weight("fc/kernel") == WeightFormat.of(a)
    assert recipe.unknown_names(["x"], ["fc/bias"]) == ("fc/kernel",)


def test_channels_share_the_finest_grid() -> None:
    fmt = WeightFormat.of(Quantizer(Fixed(True, 4, 1)), Quantizer(Fixed(True, 4, 3)))
    raw = fmt.raw([[0.5, 3.0], [-0.125, -4.0]])
    assert fmt.frac == 3 and fmt.bits == 4
    assert raw.tolist() == [[4, 24], [-1, -32]]
    with pytest.raises(FormatError, match="do not fit"):
        fmt.raw(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 1\n[activations]\nx = 3", "'x' is 3"),
        ("version = 1\n[activations]\nx = 'fixed<8>'", "entry 'x'"),
        ("version = 1\n[weights]\n'a/kernel' = []", "empty list"),
        ("version = 2", "version is 2"),
        ("[activations]", "version is None"),
        ("version = 1\n[extra]\n", "unknown tables: extra"),
        ("version = 1\nactivations = 3", "not a table"),
        ("= nonsense", "not TOML"),
    ],
)
def test_bad_toml_names_the_entry(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Recipe.from_toml(text)


def test_a_format_needs_a_quantizer() -> None:
    with pytest.raises(FormatError, match="at least one"):
        WeightFormat(())
