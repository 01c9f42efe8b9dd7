# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sparse U-nets as Keras builds them: dense layers, each followed by the mask of its lit pixels.

Keras computes them everywhere, which is how they are trained; what a mask hides is not computed
where the integers run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

SIDE, SMALL_SIDE = 512, 64
WIDTHS, SMALL_WIDTHS = (8, 16, 32, 48, 64), (8, 16, 24)
CLASSES = 5
LIT_NEIGHBOURS = 2.0  # one pixel in so many of a window on a track is lit
LIT = 1.0 / 8  # half of what the faintest lit pixel has


def sparse_ssnet() -> keras.Model:
    """A U-ResNet of 5 levels and 50 convolutions, after MicroBooNE's SparseSSNet."""
    return _unet("sparse_ssnet", SIDE, WIDTHS, blocks=2)


def sparse_ssnet_small() -> keras.Model:
    """A U-net of 3 levels and 15 convolutions, for hardware."""
    return _unet("sparse_ssnet_small", SMALL_SIDE, SMALL_WIDTHS, blocks=0)


def _unet(name: str, side: int, widths: tuple[int, ...], *, blocks: int) -> keras.Model:
    """Down by strided convolutions, up by channels that become pixels; without `blocks` of
    residuals, a level has two plain convolutions."""
    from keras import Model, layers, ops

    image = layers.Input((side, side, 1), name="image")
    lit = ops.cast(ops.greater(image, LIT), "float32")
    x = _at_sites(image, lit, "lit_image")
    if blocks:
        x = _conv(x, lit, widths[0], "stem")
    left: list[tuple[Any, Any, int]] = []
    for level, width in enumerate(widths):
        if level:
            left.append((x, lit, widths[level - 1]))
            lit = layers.MaxPooling2D(2, name=f"sites{level}")(lit)
            x = layers.Conv2D(width, 2, strides=2, name=f"down{level}")(x)
            x = _at_sites(x, lit, f"down{level}_at_sites")
            x = layers.ReLU(name=f"down{level}_relu")(x)
        x = _level(x, lit, width, f"level{level}", blocks)
    while left:
        skip, fine, width = left.pop()
        level = len(left)
        x = layers.Conv2D(4 * width, 1, name=f"up{level}")(x)
        lit = fine
        x = _at_sites(ops.depth_to_space(x, 2), lit, f"up{level}_at_sites")
        x = layers.Concatenate(name=f"joined{level}")([x, skip])
        if blocks:
            x = _conv(x, lit, width, f"back{level}")
        x = _level(x, lit, width, f"back{level}", blocks)
    x = layers.Conv2D(CLASSES, 1, name="label_logits")(x)
    x = _at_sites(x, lit, "label_at_sites")
    return Model(image, layers.Activation("softmax", name="label")(x), name=name)


def _level(x: Any, lit: Any, width: int, name: str, blocks: int) -> Any:
    from keras import layers

    if not blocks:
        return _conv(_conv(x, lit, width, f"{name}_1"), lit, width, f"{name}_2")
    for block in range(1, blocks + 1):
        inner = _conv(x, lit, width, f"{name}_{block}a")
        # From zero, so that a deep network begins as a shallow one.
        convolution = layers.Conv2D(
            width, 3, padding="same", kernel_initializer="zeros", name=f"{name}_{block}b"
        )
        inner = _at_sites(convolution(inner), lit, f"{name}_{block}b_at_sites")
        x = layers.ReLU(name=f"{name}_{block}_relu")(
            layers.Add(name=f"{name}_{block}_sum")([x, inner])
        )
    return x


def _conv(x: Any, lit: Any, width: int, name: str) -> Any:
    from keras import initializers, layers

    # Twice what a dense network begins with: most neighbours of a lit pixel are not lit.
    wide = initializers.VarianceScaling(2.0 * LIT_NEIGHBOURS)
    x = layers.Conv2D(width, 3, padding="same", kernel_initializer=wide, name=name)(x)
    return layers.ReLU(name=f"{name}_relu")(_at_sites(x, lit, f"{name}_at_sites"))


def _at_sites(x: Any, lit: Any, name: str) -> Any:
    from keras import layers

    return layers.Multiply(name=name)([x, lit])
