# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks whose times on the Edge TPU are published, as uint8 files with weights of one.

Times are those of Coral's table of benchmarks (a desktop with a USB accelerator), in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.support.tflite_builder import O, T, tflite

Shape = tuple[int, int, int]
IMAGE: Shape = (224, 224, 3)
CLASSES = 1001


@dataclass(slots=True)
class _Net:
    shape: Shape = IMAGE
    tensors: list[T] = field(default_factory=list)
    steps: list[O] = field(default_factory=list)
    at: str = "x"

    def __post_init__(self) -> None:
        self.tensors.append(T("x", (1, *self.shape), "UINT8"))

    def _step(self, name: str, read: tuple[str, ...], shape: Shape, *options: int) -> str:
        self.at, self.shape = f"t{len(self.steps)}", shape
        self.tensors.append(T(self.at, (1, *shape), "UINT8"))
        values = {i: ("i8" if i == 0 else "i32", value) for i, value in enumerate(options)}
        self.steps.append(O(name, read, (self.at,), 1, values))
        return self.at

    def _weights(self, shape: tuple[int, ...], channels: int) -> tuple[str, str]:
        names = f"w{len(self.steps)}", f"b{len(self.steps)}"
        self.tensors.append(T(names[0], shape, "UINT8", np.ones(shape, np.uint8)))
        self.tensors.append(T(names[1], (channels,), "INT32", np.ones(channels)))
        return names

    def conv(self, outputs: int, side: int, stride: int = 1) -> str:
        height, width, inputs = self.shape
        weights = self._weights((outputs, side, side, inputs), outputs)
        shape = (-(-height // stride), -(-width // stride), outputs)
        return self._step("CONV_2D", (self.at, *weights), shape, 0, stride, stride)

    def depthwise(self, stride: int) -> None:
        height, width, inputs = self.shape
        weights = self._weights((1, 3, 3, inputs), inputs)
        shape = (-(-height // stride), -(-width // stride), inputs)
        self._step("DEPTHWISE_CONV_2D", (self.at, *weights), shape, 0, stride, stride)

    def pool(self, side: int, stride: int) -> str:
        height, width, channels = self.shape
        shape = (-(-height // stride), -(-width // stride), channels)
        return self._step("MAX_POOL_2D", (self.at,), shape, 0, stride, stride, side, side)

    def dense(self, outputs: int) -> None:
        reads = int(np.prod(self.shape))
        if len(self.shape) > 1:
            self._step("RESHAPE", (self.at,), (reads,))
        weights = self._weights((outputs, reads), outputs)
        self._step("FULLY_CONNECTED", (self.at, *weights), (outputs,))

    def added(self, other: str) -> None:
        self._step("ADD", (self.at, other), self.shape)

    def joined(self, branches: Sequence[Callable[[], object]]) -> None:
        """Branches from here, their channels side by side."""
        before, shape = self.at, self.shape
        ends, channels = [], 0
        for branch in branches:
            self.at, self.shape = before, shape
            branch()
            ends.append(self.at)
            channels += self.shape[-1]
        self._step("CONCATENATION", tuple(ends), (*self.shape[:2], channels))

    def file(self) -> bytes:
        return tflite(self.tensors, self.steps, ["x"], [self.at])

    def classified(self, classes: int = CLASSES) -> bytes:
        height, width, channels = self.shape
        pool = (1, 1, 1, width, height)
        self._step("AVERAGE_POOL_2D", (self.at,), (1, 1, channels), *pool)
        self.conv(classes, 1)
        self._step("RESHAPE", (self.at,), (classes,))
        self._step("SOFTMAX", (self.at,), (classes,))
        return self.file()


def mobilenet_v1() -> bytes:
    """MobileNet v1 1.0 at 224: 2.4 ms over USB."""
    net = _Net()
    net.conv(32, 3, 2)
    widths = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
    for outputs, stride in zip(widths, strides, strict=True):
        net.depthwise(stride)
        net.conv(outputs, 1)
    return net.classified()


def mobilenet_v2(classes: int = CLASSES) -> bytes:
    """MobileNet v2 1.0 at 224: 2.6 ms."""
    net = _Net()
    net.conv(32, 3, 2)
    blocks = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
              (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
    for wider, outputs, count, first in blocks:
        for block in range(count):
            before, stride = net.at, first if block == 0 else 1
            if wider > 1:
                net.conv(wider * net.shape[-1], 1)
            net.depthwise(stride)
            net.conv(outputs, 1)
            if block:
                net.added(before)
    net.conv(1280, 1)
    return net.classified(classes)


def squeezenet() -> bytes:
    """SqueezeNet 1.0 at 224: 2.1 ms."""
    net = _Net()
    net.conv(96, 7, 2)
    net.pool(3, 2)
    for number, (narrow, wide) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        net.conv(narrow, 1)
        net.joined([lambda w=wide: net.conv(w, 1), lambda w=wide: net.conv(w, 3)])
        if number in (2, 6):
            net.pool(3, 2)
    net.conv(CLASSES, 1)
    height, width, channels = net.shape
    net._step("AVERAGE_POOL_2D", (net.at,), (1, 1, channels), 1, 1, 1, width, height)
    return net.file()


def inception_v1() -> bytes:
    """Inception v1 at 224: 3.4 ms."""
    net = _Net()
    net.conv(64, 7, 2)
    net.pool(3, 2)
    net.conv(64, 1)
    net.conv(192, 3)
    net.pool(3, 2)
    blocks = (
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    )  # fmt: skip
    for number, (one, before_three, three, before_five, five, pooled) in enumerate(blocks):
        net.joined(
            [
                lambda n=one: net.conv(n, 1),
                lambda n=before_three, m=three: (net.conv(n, 1), net.conv(m, 3)),
                lambda n=before_five, m=five: (net.conv(n, 1), net.conv(m, 3)),  # as TF-Slim has it
                lambda n=pooled: (net.pool(3, 1), net.conv(n, 1)),
            ]
        )
        if number in (1, 6):
            net.pool(3, 2)
    return net.classified()


def vgg(threes: Sequence[int]) -> bytes:
    """VGG at 224, with so many 3x3 layers between two pools: 296 ms with 16 layers, 308 with 19."""
    net = _Net()
    for count, width in zip(threes, (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            net.conv(width, 3)
        net.pool(2, 2)
    for outputs in (4096, 4096, 1000):
        net.dense(outputs)
    return net.file()


def resnet(blocks: Sequence[int], side: int) -> bytes:
    """ResNet with bottlenecks: 49 to 50 ms with 50 layers at 299, 128 ms with 152; most of the
    weights are streamed."""
    net = _Net((side, side, 3))
    net.conv(64, 7, 2)
    net.pool(3, 2)
    for width, count, first in zip((64, 128, 256, 512), blocks, (1, 2, 2, 2), strict=True):
        for block in range(count):
            before, shape = net.at, net.shape
            net.conv(width, 1)
            net.conv(width, 3, first if block == 0 else 1)
            deep = net.conv(4 * width, 1)
            left = net.shape
            if block == 0:
                net.at, net.shape = before, shape
                before = net.conv(4 * width, 1, first)
            net._step("ADD", (deep, before), left)
    return net.classified()


def resnet_50(side: int = 224) -> bytes:
    """The one with 50 layers."""
    return resnet((3, 4, 6, 3), side)


PUBLISHED: dict[str, tuple[Callable[[], bytes], float]] = {
    "MobileNet v1": (mobilenet_v1, 2.4),
    "MobileNet v2": (mobilenet_v2, 2.6),
    "SqueezeNet": (squeezenet, 2.1),
    "Inception v1": (inception_v1, 3.4),
    "ResNet-50": (lambda: resnet_50(299), 49.5),
    "ResNet-152": (lambda: resnet((3, 8, 36, 3), 299), 128),
    "VGG16": (lambda: vgg((2, 2, 3, 3, 3)), 296),
    "VGG19": (lambda: vgg((2, 2, 4, 4, 4)), 308),
}
