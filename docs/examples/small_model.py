# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A small Keras model and its data, made on the spot: rings of hits against straight tracks.

    python docs/examples/small_model.py FOLDER

writes ``small.keras`` and ``small.npz`` (arrays ``x`` and ``y``).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 12  # pixels
SAMPLES = 2000
SEED = 5


def pictures(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Noisy pictures, and what is in them: 0 nothing, 1 a ring, 2 a track."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    kinds = rng.integers(0, 3, count)
    shown = rng.normal(0.0, 0.55, (count, SIDE, SIDE))
    for picture, kind in zip(shown, kinds, strict=True):
        centre = rng.uniform(4, SIDE - 5, 2)
        if kind == 1:
            away = np.hypot(row - centre[0], column - centre[1])
            picture += np.exp(-((away - rng.uniform(2, 4)) ** 2))
        elif kind == 2:
            angle = rng.uniform(0, np.pi)
            away = (row - centre[0]) * np.cos(angle) + (column - centre[1]) * np.sin(angle)
            picture += np.exp(-(away**2))
    return shown[..., None].astype(np.float32), kinds


def main(folder: Path) -> None:
    """Train for some seconds, and write model and data."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import keras
    except ModuleNotFoundError:
        sys.exit("Keras trains this example and is not installed: pip install 'edgeinfer[train]'")

    keras.utils.set_random_seed(SEED)
    x, y = pictures(SAMPLES, SEED)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1), name="picture"),
            keras.layers.Conv2D(6, 3, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(name="relu"),
            keras.layers.MaxPooling2D(2, name="pool"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(16, activation="relu", name="dense"),
            keras.layers.Dense(3, activation="softmax", name="kind"),
        ],
        name="small",
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=64, epochs=6, verbose=0)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "small.keras")
    x, y = pictures(500, SEED + 1)
    np.savez(folder / "small.npz", x=x, y=y)
    sys.stdout.write(f"written   {folder / 'small.keras'}, {folder / 'small.npz'}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
