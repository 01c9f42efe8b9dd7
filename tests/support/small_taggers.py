# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A small tagger as a compiled run, and files of planes for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeinfer.cli.app import main
from tests.support.small_models import archive, layer, sequential

RECIPE = """version = 1
[activations]
x = "ufixed<8,0>"
conv_relu = "ufixed<6,1>"
[weights]
"conv/kernel" = "fixed<6,1>"
"conv/bias" = "fixed<6,0>"
"out/kernel" = "fixed<6,1>"
"out/bias" = "fixed<6,0>"
"""


def compile_tagger(folder: Path, *more: str) -> Path:
    """A compiled tagger of 8x8 patches: conv 3x3, ReLU, dense 2, softmax. `more`: options."""
    rng = np.random.default_rng(5)
    config = sequential(
        layer("Conv2D", name="conv", filters=3, kernel_size=[3, 3], activation="relu"),
        layer("Flatten", name="flat"),
        layer("Dense", name="out", units=2, activation="softmax"),
        shape=(None, 8, 8, 1),
    )
    values = {
        "conv/0": rng.normal(0, 0.4, (3, 3, 1, 3)).astype(np.float32),
        "conv/1": rng.normal(0, 0.1, 3).astype(np.float32),
        "out/0": rng.normal(0, 0.2, (108, 2)).astype(np.float32),
        "out/1": np.zeros(2, np.float32),
    }
    (folder / "tagger.keras").write_bytes(archive(config, values))
    (folder / "recipe.toml").write_text(RECIPE)
    arguments = ["compile", str(folder / "tagger.keras"), "--recipe", str(folder / "recipe.toml")]
    assert main([*arguments, *more, "-o", str(folder / "run")]) == 0
    return folder / "run"


def write_planes(folder: Path, files: int, planes: int = 1) -> list[Path]:
    """Files of planes with noise and a few charged pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)
    paths = [folder / f"event-{number}.npy" for number in range(files)]
    for path in paths:
        charged = rng.random((planes, 40, 50)) < 0.03
        np.save(path, np.where(charged, rng.uniform(5, 30, charged.shape), 0).astype(np.float32))
    return paths
