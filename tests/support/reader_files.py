# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The files of the reader's own that commands of the documents begin with, small and drawn here."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from edgeinfer.cli.app import main
from tests.support import small_models as small
from tests.support import tflite_builder as tflite
from tests.support.experiment_files import write_patch_table
from tests.support.jets import jet_table, write_arff
from tests.support.places import ROOT
from tests.support.serving import small_program, write_run
from tests.support.small_taggers import compile_tagger, write_planes

HERE = Path()


def write_patches(path: str | Path, rows: int) -> None:
    """A table of patches whose first pixel is the row's number; ten rows are an event."""
    patch = np.zeros((rows, 8, 8, 1), np.float32)
    patch[:, 0, 0, 0] = np.arange(rows)
    numbers = {"evt": np.arange(rows) // 10, "run": np.ones(rows), "subrun": np.ones(rows)}
    kind = np.eye(3, dtype=np.uint8)[np.arange(rows) % 3]
    labels = {"labels": kind, "michel": np.zeros((rows, 1), np.uint8)}
    write_patch_table(path, {"patch": patch, **labels, **numbers})


def write_sparse_model(path: Path) -> None:
    """A classifier of images in which few pixels are lit, made as sparse.md says."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    from keras import layers, ops

    image = keras.Input((8, 8, 1), name="image")
    lit = ops.cast(ops.greater(image, 0.9), "float32")
    x = layers.Multiply()([image, lit])
    x = layers.ReLU()(layers.Multiply()([layers.Conv2D(4, 3, padding="same")(x), lit]))
    x = layers.MaxPooling2D(2)(x)
    keras.Model(image, layers.Dense(3)(layers.Flatten()(x))).save(path)


def write_reader_files(page: str) -> None:
    """What a page's commands read, in the working folder."""
    match page:
        case "board.md" | "tutorial-fpga.md" | "microcontrollers.md" | "vendor-tools.md":
            _write_classifier("d.npz")
        case "data.md":
            write_arff(Path("jets.arff"), *jet_table(600, seed=2))
            write_patches("hits.npy", 200)
        case "edgetpu.md":
            _write_classifier("d.npz")
            _compile("--bits", "8", "--target", "edgetpu")
            shutil.copy("RUN/edgetpu/model.tflite", "F.tflite")
            held = tflite.package([tflite.E(2, b"", (b"i",)), tflite.E(1, b"p" * 192, (b"j",))])
            Path("F_edgetpu.tflite").write_bytes(tflite.compiled(held))
        case "estimate.md":
            _write_classifier("d.npz")
            _compile("--bits", "8", "--target", "hls", "--io", "io_parallel")
            shutil.copytree("RUN/hls", "my_hls4ml_prj")
            shutil.copy("net.keras", "my_hls4ml_prj/keras_model.keras")  # as hls4ml leaves it there
        case "event.md":
            _write_tagger_run()
            write_planes(Path("planes"), 3)
        case "event-fpga.md":
            compile_tagger(HERE)
        case "quantization.md":
            _write_classifier("train.npz", 600)
            small.data(HERE, "test.npz", 300)
        case "rtl.md":
            _write_classifier("d.npz")
        case "serving.md":
            _write_tagger_run()
            write_run(Path("runs/other"), small_program())
            Path("names.toml").write_text('[tagger]\nname = "cnn_emtrkmichel_1"\n')
            drawn = np.random.default_rng(3).uniform(0, 1, (70, 8, 8, 1))
            np.savez("d.npz", x=drawn.astype(np.float32))
        case "sparse.md":
            write_sparse_model(Path("model.keras"))
        case "studies.md":
            _write_classifier("d.npz")
            study = (ROOT / "docs/examples/study-small.toml").read_text()
            own = {"../../runs/demo/small.keras": "net.keras", "../../runs/demo/small.npz": "d.npz"}
            for shown, name in own.items():
                assert shown in study
                study = study.replace(shown, name)
            Path("study.toml").write_text(study)
        case _:
            raise ValueError(page)


def _write_classifier(data: str, count: int = 60) -> None:
    small.classifier(HERE)
    small.data(HERE, data, count)


def _write_tagger_run() -> None:
    compile_tagger(HERE)
    Path("runs").mkdir()
    Path("run").rename("runs/tagger")


def _compile(*options: str) -> None:
    assert main(["compile", "net.keras", "--data", "d.npz", *options, "-o", "RUN"]) == 0
