# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""TensorFlow operators for the layers of a float network.

One-dimensional layers are drawn on images one pixel high, which the converter keeps as they are; a
value is brought back to its own shape where something else reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeinfer.graph.nodes import Pads, Shape
from edgeinfer.graph.windows import same_pads

Reals = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class DrawnTensor:
    """A TensorFlow tensor with a batch of 1, and the shape that its value has without the batch."""

    tensor: Any
    shape: Shape
    lifted: bool = False  # drawn one pixel high

    def plain(self) -> Any:
        """The tensor in the value's own shape."""
        import tensorflow as tf

        return tf.reshape(self.tensor, (1, *self.shape)) if self.lifted else self.tensor

    def image(self) -> Any:
        """The tensor as an image: what has one spatial axis is one pixel high."""
        import tensorflow as tf

        if self.lifted or len(self.shape) == 3:
            return self.tensor
        height_width = (1,) * (3 - len(self.shape)) + self.shape
        return tf.reshape(self.tensor, (1, *height_width))

    def like(self, tensor: Any) -> DrawnTensor:
        """An element-wise result, drawn as this is."""
        return DrawnTensor(tensor, self.shape, self.lifted)


def lifted_pair(values: Shape) -> tuple[int, int]:
    """Strides, windows or dilations in y and x."""
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def lifted_kernel(kernel: Reals) -> Reals:
    """A kernel in y and x."""
    return kernel[None] if kernel.ndim == 3 else kernel


def padding_of(sizes: Shape, window: Shape, strides: Shape, dilation: Shape, pads: Pads) -> str:
    """TensorFlow's word for some padding, or the empty string."""
    if all(pad == (0, 0) for pad in pads):
        return "VALID"
    return "SAME" if same_pads(sizes, window, strides, dilation) == pads else ""


def padded_image(image: Any, pads: Pads) -> Any:
    """Zeros around an image."""
    import tensorflow as tf

    spatial = [(0, 0), *pads] if len(pads) == 1 else list(pads)
    return tf.pad(image, [(0, 0), *spatial, (0, 0)])


def draw_convolution(
    x: DrawnTensor,
    kernel: Any,
    bias: Reals,
    strides: Shape,
    pads: Pads,
    dilation: Shape,
    groups: int,
    shape: Shape,
) -> DrawnTensor:
    """A convolution; the kernel is a TensorFlow tensor (y, x, in / groups, out)."""
    import tensorflow as tf

    image = x.image()
    rank = len(strides)
    window = tuple(int(size) for size in kernel.shape[:2])[2 - rank :]
    word = padding_of(x.shape[:-1], window, strides, dilation, pads)
    if not word:
        image, word = padded_image(image, pads), "VALID"
    step, holes = list(lifted_pair(strides)), list(lifted_pair(dilation))
    channels = int(image.shape[-1])
    if groups == 1:
        drawn = tf.nn.conv2d(image, kernel, step, word, dilations=holes)
    elif groups == channels:
        many = int(kernel.shape[-1]) // groups
        deep = tf.reshape(kernel, (*kernel.shape[:2], channels, many))
        drawn = tf.nn.depthwise_conv2d(image, deep, [1, *step, 1], word, dilations=holes)
    else:
        parts = zip(
            tf.split(image, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True
        )
        drawn = tf.concat(
            [tf.nn.conv2d(part, own, step, word, dilations=holes) for part, own in parts], axis=-1
        )
    drawn = tf.nn.bias_add(drawn, tf.constant(bias, tf.float32))
    return DrawnTensor(drawn, shape, lifted=rank == 1)


def draw_pool(
    x: DrawnTensor, window: Shape, strides: Shape, word: str, shape: Shape, *, maximum: bool
) -> DrawnTensor:
    """The maximum or the mean over a window."""
    import tensorflow as tf

    function = tf.nn.max_pool2d if maximum else tf.nn.avg_pool2d
    drawn = function(x.image(), lifted_pair(window), lifted_pair(strides), word)
    return DrawnTensor(drawn, shape, lifted=len(window) == 1)


def draw_dense(x: DrawnTensor, kernel: Any, bias: Reals, shape: Shape) -> DrawnTensor:
    """A dense layer; over several positions a 1x1 convolution."""
    import tensorflow as tf

    constant = tf.constant(bias, tf.float32)
    if len(x.shape) == 1:
        return DrawnTensor(tf.nn.bias_add(tf.matmul(x.plain(), kernel), constant), shape)
    flat = tf.reshape(x.plain(), (1, *_as_image_shape(x.shape)))
    drawn = tf.nn.conv2d(flat, kernel[None, None], 1, "VALID")
    return DrawnTensor(tf.reshape(tf.nn.bias_add(drawn, constant), (1, *shape)), shape)


def _as_image_shape(shape: Shape) -> Shape:
    """Any positions as rows of an image."""
    return (1, int(np.prod(shape[:-1], dtype=int)), shape[-1])


def draw_upsampling(x: DrawnTensor, factors: Shape, shape: Shape) -> DrawnTensor:
    """Each element repeated."""
    import tensorflow as tf

    image = x.image()
    y, z = lifted_pair(factors)
    size = (int(image.shape[1]) * y, int(image.shape[2]) * z)
    drawn = tf.compat.v1.image.resize_nearest_neighbor(image, size)
    return DrawnTensor(drawn, shape, lifted=len(factors) == 1)
