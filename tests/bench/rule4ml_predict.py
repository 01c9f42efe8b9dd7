# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What rule4ml predicts of networks: run by its own interpreter, which has no edgeinfer.

`python rule4ml_predict.py ASKED.json ANSWERED.json`, as `bench_rule4ml.py` calls it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def model_of(keras: Any, layers: list[list[Any]]) -> Any:
    """A Keras network from its words."""
    first, *rest = layers
    inputs = x = keras.Input(shape=first[1])
    for number, (word, *sizes) in enumerate(rest):
        name = f"{word}{number}"
        if word == "dense":
            layer = keras.layers.Dense(sizes[0], use_bias=sizes[1], name=name)
        elif word == "conv":
            kind = keras.layers.Conv2D if len(sizes[0]) == 2 else keras.layers.Conv1D
            layer = kind(
                sizes[1], sizes[0], strides=sizes[2], padding=sizes[3], use_bias=sizes[4], name=name
            )
        elif word in ("maxpool", "avgpool"):
            kinds = {
                ("maxpool", 2): keras.layers.MaxPooling2D,
                ("maxpool", 1): keras.layers.MaxPooling1D,
                ("avgpool", 2): keras.layers.AveragePooling2D,
                ("avgpool", 1): keras.layers.AveragePooling1D,
            }
            layer = kinds[word, len(sizes[0])](sizes[0], padding=sizes[1], name=name)
        elif word == "bn":
            layer = keras.layers.BatchNormalization(name=name)
        elif word == "flatten":
            layer = keras.layers.Flatten(name=name)
        else:
            layer = keras.layers.Activation(word, name=name)
        x = layer(x)
    model = keras.Model(inputs, x)
    model.build((None, *first[1]))
    return model


def main() -> None:
    """Ask its default predictors about each network."""
    import keras
    from rule4ml.models.wrappers import MultiModelWrapper

    document = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    predictors = MultiModelWrapper()
    predictors.load_default_models()
    answers: dict[str, dict[str, float] | str] = {}
    for one in document:
        model = model_of(keras, one["layers"])
        named = [layer.name for layer in model.layers if layer.name.startswith(("dense", "conv"))]
        reuse = one["reuse"] if len(one["reuse"]) > 1 else one["reuse"] * len(named)
        config = {
            "board": one["board"],
            "model": {
                "strategy": one["strategy"],
                "precision": one["precision"],
                "reuse_factor": reuse[0] if reuse else 1,
            },
            "layer_name": {
                name: {"reuse_factor": factor} for name, factor in zip(named, reuse, strict=True)
            },
        }
        try:
            table = predictors.predict(
                model, hls_configs=config, hls4ml_versions=one["hls4ml"],
                vivado_versions=one["tool"],
            )  # fmt: skip
            row = table.iloc[0]
            answers[one["id"]] = {
                key: float(row[key]) for key in ("BRAM", "DSP", "FF", "LUT", "CYCLES", "INTERVAL")
            }
        except Exception as error:  # whatever it says is its answer
            answers[one["id"]] = f"{type(error).__name__}: {error}"
    Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")


if __name__ == "__main__":
    main()
