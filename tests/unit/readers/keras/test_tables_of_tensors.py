# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Models inside models whose inputs and outputs are tables: matched by key, as Keras matches."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.readers import load
from tests.support.float_graph import outputs

SIZE = 4


def packages() -> list[Any]:
    return [pytest.importorskip(name) for name in ("keras", "tf_keras")]


SUFFIXES = (".keras", ".h5", ".json")


def saved(keras: Any, model: Any, folder: Path, suffix: str) -> Path:
    (folder / keras.__name__).mkdir(exist_ok=True)
    folder = folder / keras.__name__
    path = folder / f"m{suffix}"
    if suffix == ".json":
        path.write_text(model.to_json())
        model.save_weights(folder / ("m.weights.h5" if keras.__name__ == "keras" else "m.h5"))
    else:
        model.save(path)
    return path


def assert_read_as_it_is(keras: Any, model: Any, folder: Path, xs: list[Any]) -> None:
    truth = model(xs if len(xs) > 1 else xs[0])
    for suffix in SUFFIXES:
        result = outputs(load(saved(keras, model, folder, suffix)).graph, xs)
        for ours, theirs in zip(result, truth, strict=True):
            np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-5, rtol=1e-5)


def nested(keras: Any, own: Any, called: Any, results: tuple[str, ...]) -> Any:
    """A model that subtracts and scales, in a model that calls it with a table or a list."""
    layers = keras.layers
    named = {name: keras.Input((SIZE,), name=name) for name in ("y", "x", "m")}
    first = layers.Subtract()([named["y"], named["x"]])
    second = layers.Dense(3, name="scaled")(named["m"])
    result = {"z_first": first, "a_second": second}
    inputs = {name: named[name] for name in own} if isinstance(own, tuple) else list(named.values())
    inner = keras.Model(inputs, {name: result[name] for name in results}, name="inner")
    given = {name: keras.Input((SIZE,), name=f"in_{name}") for name in ("m", "x", "y")}
    if isinstance(called, tuple):
        found = inner({name: given[name] for name in called})
    else:
        order = sorted(named) if isinstance(own, tuple) else list(named)
        found = inner([given[name] for name in order])
    ends = [found["z_first"], layers.ReLU()(found["a_second"])]
    return keras.Model(list(given.values()), ends)


CASES = [
    (own, called)
    for own, called in itertools.product(
        [None, ("y", "x", "m"), ("m", "x", "y")], [None, ("x", "m", "y"), ("y", "m", "x")]
    )
    if (own, called) != (("y", "x", "m"), None)  # which Keras 3 itself refuses
]


@pytest.mark.parametrize(("own", "called"), CASES)
def test_tensors_go_where_their_keys_say(tmp_path: Path, own: Any, called: Any) -> None:
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(3, SIZE)).astype(np.float32) for _ in range(3)]
    for keras in packages():
        model = nested(keras, own, called, ("z_first", "a_second"))
        assert_read_as_it_is(keras, model, tmp_path, xs)


def test_keys_that_are_not_the_models_are_refused(tmp_path: Path) -> None:
    keras = packages()[0]
    model = nested(keras, ("y", "x", "m"), ("x", "m", "y"), ("z_first", "a_second"))
    path = saved(keras, model, tmp_path, ".json")
    text = path.read_text().replace('"args": [{"x":', '"args": [{"other":')
    path.write_text(text)
    with pytest.raises(UnsupportedModelError, match="called with m, other, y"):
        load(path)


@pytest.mark.parametrize("sequential", [False, True])
def test_each_call_of_a_model_inside_a_model_is_its_own(tmp_path: Path, sequential: bool) -> None:
    xs = [np.random.default_rng(0).normal(size=(3, SIZE)).astype(np.float32)]
    for keras in packages():
        layers = keras.layers
        inner = keras.Sequential([keras.Input((SIZE,)), layers.Dense(SIZE)], name="inner")
        if not sequential:
            inputs = keras.Input((SIZE,))
            inner = keras.Model(inputs, layers.Dense(SIZE)(inputs), name="inner")
        x = keras.Input((SIZE,))
        first = inner(x)
        second = inner(first)
        for ends in ([first, layers.ReLU()(second)], [layers.ReLU()(first), second]):
            model = keras.Model(x, ends)
            assert_read_as_it_is(keras, model, tmp_path, xs)
