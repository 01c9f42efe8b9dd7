# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small models of SparsePixels with what it makes of some images, recorded in a JSON file.

Run by hand, `PYTHONPATH=tests/support python tests/support/sparse_pixels_record.py out.json`, in an
environment with sparsepixels 0.3.2, hgq2 0.2.0 and Keras 3 on TensorFlow; neither the project nor
its tests need them. Widths are drawn at random, as `hgq_record.py` does it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import hgq_record
import numpy as np

SIDE = 10


def draw_images(count: int, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """From empty images to full ones, the values on a grid of 1/64."""
    lit = rng.random((count, *shape[:-1], 1)) < np.linspace(0.0, 1.0, count).reshape(-1, 1, 1, 1)
    values = rng.integers(-20, 200, (count, *shape)) / 64
    return np.where(lit, values, 0.0).astype(np.float32)


def network(*, learned: bool, channels: int) -> Any:
    """Two convolutions, both pools, and a dense layer, as SparsePixels' own example has them."""
    import keras
    from hgq.config import LayerConfigScope, QuantizerConfigScope
    from hgq.layers import QDense
    from hgq.quantizer.config import QuantizerConfig
    from sparsepixels import layers as sp

    inputs = QuantizerConfig(place="datalane", q_type="kif", i0=4, f0=8, overflow_mode="WRAP")
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, enable_iq=True, beta0=1e-5),
    ):
        image = keras.Input((SIDE, SIDE, channels), name="image")
        options = {"learn_n": learned, "learn_threshold": learned}
        x, mask = sp.InputReduce(n=24, threshold=0.2, name="reduce", **options)(image)
        x = sp.QConv2DSparse(
            filters=2,
            kernel_size=3,
            padding="same",
            activation="relu",
            iq_conf=inputs,
            name="conv1",
        )([x, mask])
        x, mask = sp.AveragePooling2DSparse(2, name="pool1")([x, mask])
        x = sp.QConv2DSparse(
            filters=3, kernel_size=3, padding="same", iq_conf=inputs, name="conv2"
        )([x, mask])
        x, mask = sp.MaxPooling2DSparse(5, name="pool2")([x, mask])
        x = keras.layers.Flatten(name="flat")(x)
        x = QDense(3, iq_conf=inputs, name="dense")(x)
    return keras.Model(image, x, name="sparse")


def main() -> None:
    """Record one model with fixed limits and one with learned ones."""
    hgq_record.draw_inputs = draw_images
    results = {}
    for number, (name, learned, channels) in enumerate((("fixed", False, 2), ("learned", True, 1))):
        rng = np.random.default_rng(number)
        model = network(learned=learned, channels=channels)
        for layer in model.layers:
            if hasattr(layer, "sparse_bias"):
                layer.sparse_bias.assign(rng.normal(size=layer.sparse_bias.shape))
            if hasattr(layer, "n_frac"):
                layer.n_frac.assign(1.3)
                layer.threshold_w.assign(0.37)
        results[name] = hgq_record.record(model, rng)
    Path(sys.argv[1]).write_text(json.dumps(results, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
