# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks whose times on the Edge TPU are published, as uint8 files with weights of one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.support.tflite_builder import O, T, tflite

Shape = tuple[int, int, int]
IMAGE: Shape = (224, 224, 3)
CLASSES = 1001


@dataclass(slots=True)
class _Net:
    tensors: list[T] = field(default_factory=lambda: [T("x", (1, *IMAGE), "UINT8")])
    steps: list[O] = field(default_factory=list)
    at: str = "x"
    shape: Shape = IMAGE

    def _step(self, name: str, read: tuple[str, ...], shape: Shape, *options: int) -> str:
        self.at, self.shape = f"t{len(self.steps)}", shape
        self.tensors.append(T(self.at, (1, *shape), "UINT8"))
        values = {i: ("i8" if i == 0 else "i32", value) for i, value in enumerate(options)}
        self.steps.append(O(name, read, (self.at,), 1, values))
        return self.at

    def _weights(self, shape: tuple[int, ...], channels: int) -> tuple[str, str]:
        names = f"w{len(self.steps)}", f"b{len(self.steps)}"
        self.tensors.append(T(names[0], shape, "UINT8", np.ones(shape)))
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

    def classified(self) -> bytes:
        height, width, channels = self.shape
        pool = (1, 1, 1, width, height)
        self._step("AVERAGE_POOL_2D", (self.at,), (1, 1, channels), *pool)
        self.conv(CLASSES, 1)
        return tflite(self.tensors, self.steps, ["x"], [self.at])


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


def resnet_50() -> bytes:
    """ResNet-50: 49 to 50 ms over USB, two thirds of its weights streamed."""
    net = _Net()
    net.conv(64, 7, 2)
    net.shape = (56, 56, 64)  # as a pooling layer would leave it
    for width, blocks, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
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
