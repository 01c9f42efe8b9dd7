# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files that cannot be read: each yields one paragraph, names the file, and never a traceback."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgeinfer.base.errors import InputError, ModelError, UnsupportedModelError
from edgeinfer.readers import load

DENSE = {"class_name": "Dense", "config": {"name": "fc", "units": 3, "activation": "relu"}}


def sequential(*layers: dict[str, Any], shape: Any = (None, 5)) -> dict[str, Any]:
    """A Sequential model with an input of a shape."""
    first = {"class_name": "InputLayer", "config": {"name": "x", "batch_shape": shape}}
    return {"class_name": "Sequential", "config": {"name": "s", "layers": [first, *layers]}}


def operation(name: str, kind: str, *given: Any) -> dict[str, Any]:
    """An operation of Keras 3 that is called with 'x', the input, and with anything else."""
    history = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}
    args = [history if each == "x" else each for each in given]
    return {
        "class_name": kind, "name": name, "module": "keras.src.ops.numpy",
        "config": {"name": name}, "inbound_nodes": [{"args": args, "kwargs": {}}],
    }  # fmt: skip


def layer(kind: str, **config: Any) -> dict[str, Any]:
    """A layer of a Sequential model."""
    return {"class_name": kind, "config": {"name": kind.lower(), **config}}


def hdf5(fill: Callable[[h5py.File], None]) -> bytes:
    """An HDF5 file in memory."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def weights(kernel: Any = None, bias: Any = None) -> Callable[[h5py.File], None]:
    """Weights of `fc` in Keras 3's layout."""

    def fill(file: h5py.File) -> None:
        group = file.create_group("layers/dense/vars")
        group.attrs["name"] = "fc"
        group["0"] = np.zeros((5, 3)) if kernel is None else kernel
        group["1"] = np.zeros(3) if bias is None else bias

    return fill


def archive(model: Any, fill: Callable[[h5py.File], None] | None = None, **more: bytes) -> bytes:
    """A .keras archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", model if isinstance(model, str) else json.dumps(model))
        file.writestr("model.weights.h5", hdf5(fill or weights()))
        for name, data in more.items():
            file.writestr(name, data)
    return content.getvalue()


def weights_without_bias(file: h5py.File) -> None:
    """Weights of `fc` of which one is gone."""
    weights()(file)
    del file["layers/dense/vars/1"]


def bomb() -> bytes:
    """An archive of little size that unpacks to much."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b" " * (40 << 20))
    return content.getvalue()


def foreign_archive() -> bytes:
    """A zip archive of something else."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("readme.txt", b"hello")
    return content.getvalue()


def lying_archive() -> bytes:
    """An archive whose directory claims 3 GB for a member of a few bytes."""
    data = bytearray(archive(sequential(DENSE)))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 3_000_000_000)
    return bytes(data)


def linked(kind: str) -> Callable[[h5py.File], None]:
    """Weights that lead out of their file."""

    def fill(file: h5py.File) -> None:
        weights()(file)
        target = h5py.ExternalLink("/etc/passwd", "/a") if kind == "external" else None
        file["layers/more"] = target or h5py.SoftLink("/layers/dense")

    return fill


def stored_outside(file: h5py.File) -> None:
    """Weights whose values lie in another file."""
    weights()(file)
    external = [("/etc/hostname", 0, 4)]
    file.create_dataset("layers/raw", (1,), np.float32, external=external)


def huge(file: h5py.File) -> None:
    """A weight that claims 400 GB and stores nothing."""
    group = file.create_group("layers/dense/vars")
    group.create_dataset("0", (100_000, 1_000_000), np.float32, chunks=(100, 100))


def packed(file: h5py.File) -> None:
    """A weight of 1 GB that was never written."""
    group = file.create_group("layers/dense/vars")
    group.create_dataset("0", (1 << 28,), np.float32, chunks=(1 << 20,), compression="gzip")


def cyclic(file: h5py.File) -> None:
    """A group that holds itself."""
    weights()(file)
    file["layers/dense/again"] = file["layers"]


def nan(file: h5py.File) -> None:
    """A kernel with a NaN."""
    kernel = np.zeros((5, 3), np.float32)
    kernel[2, 1] = np.nan
    weights(kernel)(file)


def functional(*layers: dict[str, Any], outputs: Any) -> dict[str, Any]:
    """A Functional model in Keras 2's form."""
    first = layer("InputLayer", batch_input_shape=[None, 5]) | {"name": "x", "inbound_nodes": []}
    config = {"name": "f", "layers": [first, *layers], "input_layers": [["x", 0, 0]]}
    return {"class_name": "Functional", "config": config | {"output_layers": outputs}}


def call(name: str, *reads: str) -> dict[str, Any]:
    """A ReLU layer of a Functional model."""
    inbound = [[[r, 0, 0, {}] for r in reads]]
    return layer("ReLU") | {"name": name, "inbound_nodes": inbound}


GOOD = archive(sequential(DENSE))
FILES: list[tuple[str, str, bytes, str]] = [
    ("empty", "m.keras", b"", "is empty"),
    ("not a zip", "m.keras", b"hello world", "does not hold that format"),
    ("zip cut short", "m.keras", GOOD[:-60], "damaged zip"),
    ("zip with wrong bytes", "m.keras", GOOD[:90] + b"\xff" * 9 + GOOD[99:], "damaged zip"),
    ("zip that is no model", "m.keras", foreign_archive(), "no config.json"),
    ("zip bomb", "m.keras", bomb(), "zip bomb"),
    ("zip that lies", "m.keras", lying_archive(), "3,000,000,000"),
    ("zip that escapes", "m.keras", archive(sequential(DENSE), **{"../x": b""}), "outside"),
    ("json cut short", "m.json", b'{"class_name": "Sequ', "not valid JSON"),
    ("json too deep", "m.json", b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", "nested"),
    ("json too deep, unclosed", "m.json", b'{"a":' + b"[" * 100_000, "nested"),
    ("json of something else", "m.json", b'{"a": 1}', "class_name"),
    ("json that is a list", "m.keras", archive("[1]"), "no architecture"),
    ("config is no json", "m.keras", archive("{"), "not valid JSON"),
    ("hdf5 cut short", "m.h5", hdf5(weights())[:700], "not an HDF5 file|truncated|damaged"),
    ("hdf5 of something else", "m.h5", hdf5(lambda f: None), "no architecture"),
    ("hdf5 with weights only", "m.h5", hdf5(weights()), "weights but no architecture"),
    ("subclassed", "m.keras", archive({"class_name": "Mine", "config": {}}), "subclassed"),
    ("text", "m.txt", b"hello", "not a model that can be read"),
    ("pickle", "m.pkl", b"\x80\x04K\x01.", "refused"),
    ("tflite", "m.tflite", b"\x1c\0\0\0TFL3", "not a valid TensorFlow Lite"),
    ("pytorch", "m.pt", GOOD, "PyTorch"),
    ("wrong suffix", "m.h5", b"\x08\x07\x12\x07pytorch", "does not hold that format"),
    ("external link", "m.keras", archive(sequential(DENSE), linked("external")), "link"),
    ("soft link", "m.keras", archive(sequential(DENSE), linked("soft")), "link"),
    ("external storage", "m.keras", archive(sequential(DENSE), stored_outside), "outside"),
    ("huge weight", "m.keras", archive(sequential(DENSE), huge), "claims 400,000,000,000"),
    ("unwritten weight", "m.keras", archive(sequential(DENSE), packed), "but stores 0"),
    ("cyclic groups", "m.keras", archive(sequential(DENSE), cyclic), "second name"),
    ("nan", "m.keras", archive(sequential(DENSE), nan), "fc/kernel has 1 values that are NaN"),
    (
        "shape mismatch",
        "m.keras",
        archive(sequential(DENSE), weights(np.zeros((4, 3)))),
        r"fc/kernel has the shape \(4, 3\)",
    ),
    (
        "weights of strings",
        "m.keras",
        archive(sequential(DENSE), weights(np.asarray([b"a", b"b"]))),
        "no numbers",
    ),
    (
        "missing weights",
        "m.keras",
        archive(sequential(DENSE), weights_without_bias),
        "no weight fc/bias",
    ),
    ("no weights", "m.keras", archive(sequential(DENSE), lambda f: None), "no weights"),
]
LAYERS: list[tuple[str, dict[str, Any], str]] = [
    ("lambda", sequential(layer("Lambda", function="evil")), "Python code"),
    ("unknown", sequential(layer("Custom>Mine")), "not known"),
    (
        "a cell of one's own",
        sequential(layer("RNN", cell={"class_name": "mine>Cell"}), shape=[None, 4, 5]),
        "its cell is a mine>Cell",
    ),
    ("no cell", sequential(layer("RNN"), shape=[None, 4, 5]), "does not say which cell"),
    (
        "no cells",
        sequential(
            layer("RNN", cell={"class_name": "StackedRNNCells", "config": {}}), shape=[None, 4, 5]
        ),
        "lists no cells",
    ),
    ("no steps", sequential(layer("LSTM", units=3), shape=[None, 4]), "a sequence"),
    ("no layer", sequential(layer("Bidirectional"), shape=[None, 4, 5]), "what its layer is"),
    ("transposed", sequential(layer("QConv2DTranspose")), "quantized transposed convolutions"),
    ("dynamic shape", sequential(DENSE, shape=[None, None]), "open in more than the batch"),
    ("no shape", sequential(DENSE, shape=None), "name the input's shape"),
    ("shape of zero", sequential(DENSE, shape=[None, 0]), "below 1"),
    ("enormous", sequential(layer("ZeroPadding1D", padding=2**40), shape=[1, 4, 5]), "elements"),
    ("no units", sequential(layer("Dense")), "its units is None"),
    ("units of text", sequential(layer("Dense", units="many")), "not a whole number"),
    ("config of a list", sequential({"class_name": "Dense", "config": [1]}), "not a table"),
    ("layer of a number", sequential(1), "is not a table"),  # type: ignore[arg-type]
    ("wrong rank", sequential(layer("MaxPooling2D")), "does not have 3 axes"),
    ("bad reshape", sequential(layer("Reshape", target_shape=[7])), "cannot be reshaped"),
    ("bad padding", sequential(layer("Conv1D", filters=1, kernel_size=1, padding="up")), "'up'"),
    ("bad activation", sequential(layer("Activation", activation="zigzag")), "'zigzag'"),
    (
        "bad quantizer",
        sequential(layer("QActivation", activation="quantized_bits(")),
        "not a quantizer",
    ),
    (
        "code",
        sequential(layer("QActivation", activation="quantized_bits(exit())")),
        "not a quantizer",
    ),
    ("missing input", functional(call("a", "gone"), outputs=[["a", 0, 0]]), "'gone'"),
    ("missing output", functional(call("a", "x"), outputs=[["b", 0, 0]]), "'b'"),
    ("no output", functional(call("a", "x"), outputs=[]), "output_layers"),
    (
        "cycle",
        functional(call("a", "b"), call("b", "a"), outputs=[["a", 0, 0]]),
        "reads what it makes",
    ),
    *(
        (
            f"operation {number}",
            functional(operation("a", kind, *given), outputs=[["a", 0, 0]]),
            word,
        )
        for number, (kind, given, word) in enumerate(
            [
                ("Add", ("x", {"class_name": "thing"}), "kind that is not known"),
                ("Add", ("x", "y"), "neither tensor nor number"),
                ("Add", (1, 2), "reads no tensor"),
                ("Add", ("x", [[[1.0]]]), "a constant of"),
                ("Add", ("x", float("nan")), "not finite"),
                ("Add", ("x", 1, 2), "argument 3 is not known"),
                ("GetItem", ("x", ["y"]), "index"),
                ("GetItem", ("x", [0]), "out of the batch"),
                ("GetItem", ("x", [{"class_name": "__slice__", "config": {}}]), "kind"),
                ("Reshape", ("x", {}), "kind that is not known"),
                ("Split", ("x",), "along the batch"),
                ("Einsum", ("x", [[1.0]]), "constant"),
                ("Zigzag", ("x",), "keras.ops.Zigzag, which is not known"),
            ]
        )
    ),
    ("no node", sequential(layer("TensorFlowOpLayer")), "not a table"),
    (
        "places that are none",
        sequential(layer("TensorFlowOpLayer", node_def={"op": "Add"}, constants={"a": 1})),
        "arguments of another kind",
    ),
    (
        "attributes that are none",
        sequential(layer("TensorFlowOpLayer", node_def={"op": "Relu", "attr": {"x": 3}})),
        "its x is 3",
    ),
    ("no function", sequential(layer("TFOpLambda")), "its function is None"),
    ("axis 0", sequential(layer("Softmax", axis=0)), "axis 0"),
    ("cropped away", sequential(layer("Cropping1D", cropping=3), shape=[1, 4, 5]), "cuts all"),
]


@pytest.mark.parametrize(
    ("name", "data", "word"), [c[1:] for c in FILES], ids=[c[0] for c in FILES]
)
def test_file(tmp_path: Path, name: str, data: bytes, word: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=word) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert caught.value.exit_code == 2
    assert caught.value.hint and "\n" not in message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(("model", "word"), [c[1:] for c in LAYERS], ids=[c[0] for c in LAYERS])
def test_layer(tmp_path: Path, model: dict[str, Any], word: str) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(archive(model))
    with pytest.raises(ModelError, match=word) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_all_offences_in_one_report(tmp_path: Path) -> None:
    inner = sequential(layer("Lambda"), layer("Mystery"))
    inner["config"]["name"] = "inner"
    broken = layer("Activation", activation="zigzag")
    model = sequential(layer("GRU"), inner, broken, layer("Softmax", axis="last"))
    path = tmp_path / "m.keras"
    path.write_bytes(archive(model))
    with pytest.raises(UnsupportedModelError) as caught:
        load(path)
    assert [offence.path for offence in caught.value.offences] == [
        *("gru", "inner/lambda", "inner/mystery", "activation", "softmax"),
    ]


def test_paths(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(GOOD)
    assert load(tmp_path / "model.keras").graph.outputs == ("fc_relu",)
    with pytest.raises(InputError, match=r"no file .*Did you mean 'model.keras'"):
        load(tmp_path / "modle.keras")
    with pytest.raises(InputError, match="a folder"):
        load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InputError, match=r"SavedModel.*model\.save\('model\.keras'\)"):
        load(tmp_path)
    with pytest.raises(InputError, match="with weights"):
        load(tmp_path / "model.keras", weights=tmp_path / "gone.h5")


def test_no_reader_imports_keras(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(GOOD)
    code = (
        "import sys, edgeinfer.readers; edgeinfer.readers.load(sys.argv[1]);"
        "sys.exit(any(m in sys.modules for m in ('keras', 'tensorflow', 'qkeras')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.keras")], check=False)
    assert done.returncode == 0


def test_attributes_that_would_crash_the_library(tmp_path: Path) -> None:
    """HDF5 copies strings out of its heap without comparing lengths; damage is found before."""

    def fill(file: h5py.File) -> None:
        file.attrs["model_config"] = json.dumps(sequential(DENSE))

    good = hdf5(fill)
    heap = good.index(b"GCOL")
    length = struct.unpack_from("<Q", good, heap + 24)[0]
    place = good.index(struct.pack("<IQI", length, heap, 1))
    kind = good.index(b"model_config\0") + 16 + 1
    damages = [
        (place, struct.pack("<I", 1), "length"),
        (place, struct.pack("<I", 1 << 31), "length"),
        (place + 4, struct.pack("<Q", heap + 8), "not a heap"),
        (place + 12, struct.pack("<I", 9), "not in its heap"),
        (kind, b"\x27", "type that does not exist"),
        (heap + 8, struct.pack("<Q", 1 << 40), "beyond the end"),
    ]
    path = tmp_path / "m.h5"
    for at, change, word in damages:
        path.write_bytes(good[:at] + change + good[at + len(change) :])
        with pytest.raises(ModelError, match=word):
            load(path)
