# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Operations and layers one after the other, over random shapes and options: the float Graph
computes what Keras does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.keras_models import compare, shake

keras = pytest.importorskip("keras")
K, L = keras.ops, keras.layers
STEPS, LARGEST = 5, 4000
Rng = np.random.Generator


def draw_axes(rng: Rng, rank: int) -> tuple[int, ...]:
    """Some axes behind the batch, counted from either end."""
    some = rng.permutation(np.arange(1, rank))[: int(rng.integers(1, rank))]
    return tuple(int(axis) - (rank if rng.random() < 0.4 else 0) for axis in some)


def reduce(x: Any, rng: Rng) -> Any:
    verb = [K.mean, K.sum, K.max, K.min][int(rng.integers(4))]
    return verb(x, axis=draw_axes(rng, len(x.shape)), keepdims=bool(rng.random() < 0.5))


def take_slices(x: Any, rng: Rng) -> Any:
    keys: list[Any] = [slice(None)]
    for size in x.shape[1:]:
        start, stop = sorted(int(n) for n in rng.integers(0, size + 1, 2))
        if rng.random() < 0.2:
            keys.append(int(rng.integers(-size, size)))
        elif stop > start:
            step = int(rng.integers(1, 3))
            backwards = slice(stop - 1, start - 1 if start else None, -step)
            keys.append(backwards if rng.random() < 0.3 else slice(start, stop, step))
        else:
            keys.append(slice(None))
        if rng.random() < 0.1:
            keys.append(None)
    return x[tuple(keys)]


def transpose(x: Any, rng: Rng) -> Any:
    return K.transpose(x, (0, *(int(n) for n in rng.permutation(np.arange(1, len(x.shape))))))


def join(x: Any, rng: Rng) -> Any:
    axis = draw_axes(rng, len(x.shape))[0]
    return [K.concatenate, K.stack][int(rng.integers(2))]([x, K.tanh(x), -x], axis=axis)


def add_constant(x: Any, rng: Rng) -> Any:
    shape = [size if rng.random() < 0.5 else 1 for size in x.shape[1:]]
    values = rng.normal(size=shape[int(rng.integers(len(shape))) :]).astype(np.float32)
    choices: list[Callable[[], Any]] = [
        lambda: K.add(values, x), lambda: K.subtract(values, x), lambda: x * values,
        lambda: x / (np.abs(values) + 0.5), lambda: K.maximum(values, x),
        lambda: K.clip(x, -0.7, 0.4),
    ]  # fmt: skip
    return choices[int(rng.integers(len(choices)))]()


def pad(x: Any, rng: Rng) -> Any:
    widths = ((0, 0), *((int(a), int(b)) for a, b in rng.integers(0, 3, (len(x.shape) - 1, 2))))
    return K.pad(x, widths, constant_values=float(rng.choice([0.0, -1.5])))


def repeat(x: Any, rng: Rng) -> Any:
    axis = draw_axes(rng, len(x.shape))[0]
    if rng.random() < 0.5:
        return K.repeat(x, 2, axis=axis)
    return K.tile(x, (1, *(int(n) for n in rng.integers(1, 3, len(x.shape) - 1))))


def reshape(x: Any, rng: Rng) -> Any:
    size = int(np.prod(x.shape[1:]))
    width = int(rng.choice([n for n in range(1, size + 1) if size % n == 0]))
    return K.reshape(x, (-1, size // width, width))


def multiply(x: Any, rng: Rng) -> Any:
    matrix = rng.normal(size=(x.shape[-1], 3)).astype(np.float32)
    if len(x.shape) == 3 and rng.random() < 0.5:
        return K.einsum("bij,ki->bkj", x, rng.normal(size=(2, x.shape[1])).astype(np.float32))
    return x @ matrix


def split(x: Any, rng: Rng) -> Any:
    axis = draw_axes(rng, len(x.shape))[0]
    size = x.shape[axis]
    return K.split(x, [int(rng.integers(1, size))], axis=axis)[-1] if size > 1 else x


def enlarge(x: Any, rng: Rng) -> Any:
    if len(x.shape) == 3:
        window, stride = int(rng.integers(1, 5)), int(rng.integers(1, 4))
        padding = str(rng.choice(["same", "valid"]))
        return L.Conv1DTranspose(2, window, strides=stride, padding=padding)(x)
    if len(x.shape) != 4:
        return x
    size = tuple(int(n) for n in rng.integers(1, 4, 2))
    if rng.random() < 0.5:
        return L.UpSampling2D(size, interpolation="bilinear")(x)
    window = tuple(int(n) for n in rng.integers(1, 5, 2))
    padding = str(rng.choice(["same", "valid"]))
    return L.Conv2DTranspose(2, window, strides=size, padding=padding)(x)


def apply_function(x: Any, rng: Rng) -> Any:
    names = ["relu", "tanh", "hard_shrink", "soft_shrink", "log_sigmoid", "absolute", "square"]
    return getattr(K, str(rng.choice(names)))(x)


VERBS = [reduce, take_slices, transpose, join, add_constant, pad, repeat, reshape, multiply, split]
VERBS += [enlarge, enlarge, apply_function]


@pytest.mark.parametrize("seed", range(60))
def test_random_operations(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed, 83])
    shape = tuple(int(n) for n in rng.integers(1, 7, int(rng.integers(1, 4))))
    x = y = L.Input(shape)
    for _ in range(STEPS):
        result = VERBS[int(rng.integers(len(VERBS)))](y, rng)
        if len(result.shape) > 1 and int(np.prod(result.shape[1:])) <= LARGEST:
            y = result
    if y is not x:
        compare(shake(keras.Model(x, y)), tmp_path / "m.keras")
