# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sparse U-nets, wired once and drawn in two forms with the same weights.

As frames: dense layers, each followed by the mask of its lit pixels, as any Keras user builds and
reads them. As sites: lists of lit pixels and the same layers at these alone, which learns a hundred
times faster where one pixel in a hundred is lit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from edgeinfer.zoo.site_samples import KERNEL, STRIDE

if TYPE_CHECKING:
    import keras

SIDE, SMALL_SIDE = 512, 64
WIDTHS, SMALL_WIDTHS = (8, 16, 32, 48, 64), (8, 16, 24)
BLOCKS, SMALL_BLOCKS = 2, 0
CLASSES = 5
LIT_NEIGHBOURS = 2.0  # one pixel in so many of a window on a track is lit
MOST = 8.0  # where activations of the deep network end: sums of residuals grow without an end
LIT = 1.0 / 8  # half of what the faintest lit pixel has


def sparse_ssnet() -> keras.Model:
    """A U-ResNet of 5 levels and 50 convolutions, after MicroBooNE's SparseSSNet."""
    return _unet("sparse_ssnet", _Frames(SIDE, WIDTHS, MOST), BLOCKS)


def sparse_ssnet_small() -> keras.Model:
    """A U-net of 3 levels and 15 convolutions, for hardware."""
    return _unet("sparse_ssnet_small", _Frames(SMALL_SIDE, SMALL_WIDTHS), SMALL_BLOCKS)


def sparse_ssnet_at_sites() -> keras.Model:
    """The same network as it learns."""
    return _unet("sparse_ssnet_at_sites", _Sites(WIDTHS, MOST), BLOCKS)


def sparse_ssnet_small_at_sites() -> keras.Model:
    """The same network as it learns."""
    return _unet("sparse_ssnet_small_at_sites", _Sites(SMALL_WIDTHS), SMALL_BLOCKS)


class _Form(Protocol):
    """The layers that differ by form. Each takes and gives values at the sites of a level."""

    widths: tuple[int, ...]
    most: float | None  # where activations end

    def image(self) -> tuple[Any, Any]:
        """The network's inputs, and the value that comes in."""
        ...

    def window(self, x: Any, level: int, name: str, start: Any) -> Any:
        """A convolution of 3 x 3."""
        ...

    def down(self, x: Any, level: int, name: str) -> Any:
        """A convolution of 2 x 2 onto the sites of a level from those of the finer one."""
        ...

    def up(self, x: Any, level: int, name: str) -> Any:
        """Channels become pixels of a level, from those of the coarser one."""
        ...

    def label(self, x: Any, name: str) -> Any:
        """A convolution of 1 x 1 that gives the classes."""
        ...


def _unet(name: str, form: _Form, blocks: int) -> keras.Model:
    """Down by strided convolutions, up by channels that become pixels; without `blocks` of
    residuals, a level has two plain convolutions."""
    from keras import Model, layers

    inputs, x = form.image()
    if blocks:
        x = _conv(form, x, 0, "stem")
    skips: list[Any] = []
    for level in range(len(form.widths)):
        if level:
            skips.append(x)
            x = form.down(x, level, f"down{level}")
            x = layers.ReLU(form.most, name=f"down{level}_relu")(x)
        x = _level(form, x, level, f"level{level}", blocks)
    for level in reversed(range(len(skips))):
        x = form.up(x, level, f"up{level}")
        x = layers.Concatenate(name=f"joined{level}")([x, skips[level]])
        if blocks:
            x = _conv(form, x, level, f"back{level}")
        x = _level(form, x, level, f"back{level}", blocks)
    x = form.label(x, "label_logits")
    return Model(inputs, layers.Activation("softmax", name="label")(x), name=name)


def _level(form: _Form, x: Any, level: int, name: str, blocks: int) -> Any:
    from keras import layers

    if not blocks:
        return _conv(form, _conv(form, x, level, f"{name}_1"), level, f"{name}_2")
    for block in range(1, blocks + 1):
        inner = _conv(form, x, level, f"{name}_{block}a")
        # From zero, so that a deep network begins as a shallow one.
        inner = form.window(inner, level, f"{name}_{block}b", "zeros")
        x = layers.ReLU(form.most, name=f"{name}_{block}_relu")(
            layers.Add(name=f"{name}_{block}_sum")([x, inner])
        )
    return x


def _conv(form: _Form, x: Any, level: int, name: str) -> Any:
    from keras import initializers, layers

    # Twice what a dense network begins with: most neighbours of a lit pixel are not lit.
    wide = initializers.VarianceScaling(2.0 * LIT_NEIGHBOURS)
    return layers.ReLU(form.most, name=f"{name}_relu")(form.window(x, level, name, wide))


class _Frames:
    """Dense layers, each followed by the mask of its level."""

    def __init__(self, side: int, widths: tuple[int, ...], most: float | None = None) -> None:
        self.side, self.widths, self.most = side, widths, most
        self.lit: list[Any] = []

    def image(self) -> tuple[Any, Any]:
        """A frame, zero where nothing is lit."""
        from keras import layers, ops

        image = layers.Input((self.side, self.side, 1), name="image")
        self.lit = [ops.cast(ops.greater(image, LIT), "float32")]
        return image, self._at_sites(image, 0, "lit_image")

    def window(self, x: Any, level: int, name: str, start: Any) -> Any:
        """A convolution of 3 x 3."""
        from keras import layers

        layer = layers.Conv2D(
            self.widths[level], KERNEL, padding="same", kernel_initializer=start, name=name
        )
        return self._at_sites(layer(x), level, f"{name}_at_sites")

    def down(self, x: Any, level: int, name: str) -> Any:
        """A pixel is lit where one of the four below it is."""
        from keras import layers

        self.lit.append(layers.MaxPooling2D(STRIDE, name=f"sites{level}")(self.lit[-1]))
        x = layers.Conv2D(self.widths[level], STRIDE, strides=STRIDE, name=name)(x)
        return self._at_sites(x, level, f"{name}_at_sites")

    def up(self, x: Any, level: int, name: str) -> Any:
        """A transposed convolution of 2 x 2, as one of 1 x 1 whose channels become pixels."""
        from keras import layers, ops

        x = layers.Conv2D(STRIDE**2 * self.widths[level], 1, name=name)(x)
        return self._at_sites(ops.depth_to_space(x, STRIDE), level, f"{name}_at_sites")

    def label(self, x: Any, name: str) -> Any:
        """A convolution of 1 x 1."""
        from keras import layers

        return self._at_sites(layers.Conv2D(CLASSES, 1, name=name)(x), 0, "label_at_sites")

    def _at_sites(self, x: Any, level: int, name: str) -> Any:
        from keras import layers

        return layers.Multiply(name=name)([x, self.lit[level]])


class _Sites:
    """The same layers over lists of sites, whose tables come as inputs."""

    def __init__(self, widths: tuple[int, ...], most: float | None = None) -> None:
        self.widths, self.most = widths, most
        self.tables: dict[str, Any] = {}

    def image(self) -> tuple[Any, Any]:
        """The features of all sites, and the tables of all levels."""
        from keras import layers

        image = layers.Input((1,), name="image")
        for level in range(len(self.widths)):
            names: list[tuple[str, tuple[int, ...]]] = [(f"neighbours{level}", (KERNEL**2,))]
            if level + 1 < len(self.widths):
                names += [(f"children{level}", (STRIDE**2,)), (f"places{level}", ())]
            for name, shape in names:
                self.tables[name] = layers.Input(shape, dtype="int32", name=name)
        return {"image": image, **self.tables}, image

    def window(self, x: Any, level: int, name: str, start: Any) -> Any:
        """A convolution of 3 x 3."""
        from edgeinfer.zoo.site_layers import SiteConv2D

        layer = SiteConv2D(self.widths[level], KERNEL, start, name=name)
        return layer([x, self.tables[f"neighbours{level}"]])

    def down(self, x: Any, level: int, name: str) -> Any:
        """A convolution of 2 x 2 over the children of each coarse site."""
        from edgeinfer.zoo.site_layers import SiteConv2D

        layer = SiteConv2D(self.widths[level], STRIDE, name=name)
        return layer([x, self.tables[f"children{level - 1}"]])

    def up(self, x: Any, level: int, name: str) -> Any:
        """A convolution of 1 x 1, of which each finer site takes its share."""
        from edgeinfer.zoo.site_layers import SiteConv2D, SitePlaces

        x = SiteConv2D(STRIDE**2 * self.widths[level], 1, name=name)(x)
        places = self.tables[f"places{level}"]
        return SitePlaces(self.widths[level], name=f"{name}_at_sites")([x, places])

    def label(self, x: Any, name: str) -> Any:
        """A convolution of 1 x 1."""
        from edgeinfer.zoo.site_layers import SiteConv2D

        return SiteConv2D(CLASSES, 1, name=name)(x)
