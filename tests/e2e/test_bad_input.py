# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whatever is wrong with what a user gives: one paragraph that names the file and the remedy, the
right exit code, no traceback, and nothing half-written."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.plan import sha256_of
from edgeinfer.cli.app import main
from tests.support import small_models as small
from tests.support.small_models import dense, layer, sequential

COMPILE = ("compile", "{bad}", "-o", "out")
QUANTIZE = ("quantize", "net.keras", "--bits", "6", "--data", "{bad}", "-o", "out.toml")
RECIPE = ("compile", "net.keras", "--recipe", "{bad}", "-o", "out")
DATA = ("compile", "net.keras", "--data", "{bad}", "-o", "out")
SIMULATE = ("simulate", "{bad}")

Content = bytes | None | Callable[[Path], Any]  # None: nothing is there; a callable makes it


@dataclass(frozen=True)
class Bad:
    """One bad input: its name, what it holds, what the message says, and who is given it."""

    name: str
    content: Content
    words: str
    tokens: tuple[str, ...] = COMPILE
    code: int = 2


def archive(**members: bytes) -> bytes:
    """A zip archive."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "."), data)
    return content.getvalue()


def npz(**arrays: Any) -> bytes:
    """A NumPy archive."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def folder(*names: str) -> Callable[[Path], None]:
    """A folder with empty files."""

    def make(path: Path) -> None:
        path.mkdir()
        for name in names:
            (path / name).touch()

    return make


def poisoned(value: float) -> bytes:
    """A model with a weight that is not a number."""
    weights = small.weights()
    weights["hidden/0"][2, 1] = value
    return small.archive(held=weights)


def claiming(size: int) -> bytes:
    """An archive whose directory claims a huge member."""
    data = bytearray(small.archive())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(data)


def misshapen() -> bytes:
    """A model whose kernel does not fit its layer."""
    weights = small.weights() | {"hidden/0": np.zeros((4, 4), np.float32)}
    return small.archive(held=weights)


GOOD = small.archive()
HEAD, OUT = dense("hidden", small.HIDDEN, "relu"), dense("out", small.CLASSES, "softmax")
LAMBDA = {"class_name": "Lambda", "config": {"name": "sly", "function": "os.system"}}
X = np.zeros((8, small.INPUTS))
RECIPE_HEAD = "version = 1\n"

MODELS = [
    Bad("missing.keras", None, "no file"),
    Bad("nett.keras", None, "Did you mean 'net.keras'"),
    Bad("empty.keras", b"", "is empty"),
    Bad("empty.h5", b"", "is empty"),
    Bad("a_folder", folder(), "a folder"),
    Bad("saved_model", folder("saved_model.pb"), "SavedModel"),
    Bad("text.keras", b"hello, world", "does not hold that format"),
    Bad("text.txt", b"hello, world", "not a model that can be read"),
    Bad("cut.keras", GOOD[: len(GOOD) // 2], "damaged"),
    Bad("cut.h5", small.stored(small.weights())[:900], "cut.h5"),
    Bad("noise.h5", b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 4, "noise.h5"),
    Bad("weights_only.h5", small.stored(small.weights()), "no architecture"),
    Bad("other.zip", archive(readme__txt=b"hello"), "no Keras model"),
    Bad("other.keras", archive(readme__txt=b"hello"), "no Keras model"),
    Bad("no_weights.keras", archive(config__json=b"{}"), "no model.weights.h5"),
    Bad("bomb.keras", archive(config__json=b" " * (40 << 20)), "zip bomb"),
    Bad("claims.keras", claiming(3_000_000_000), "claims.keras"),
    Bad("lambda.keras", small.archive(sequential(HEAD, LAMBDA, OUT)), "Lambda"),
    Bad("strange.keras", small.archive(sequential(HEAD, layer("GRU", units=3))), "GRU"),
    Bad("nan.keras", poisoned(np.nan), "NaN"),
    Bad("infinite.keras", poisoned(np.inf), "infinit"),
    Bad("misshapen.keras", misshapen(), "(4, 4)"),
    Bad("dynamic.keras", small.archive(sequential(HEAD, OUT, shape=(None, None))), "x"),
    Bad("bad_config.keras", archive(config__json=b"{not json", model__weights__h5=b""), "JSON"),
    Bad("deep.json", b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "nested"),
    Bad("list.json", b'{"a": [1, 2]}', "list.json"),
    Bad("empty.onnx", b"", "is empty"),
    Bad("noise.onnx", bytes(range(7, 200)), "noise.onnx"),
    Bad("model.tflite", b"\x1c\0\0\0TFL3" + bytes(40), "not a valid TensorFlow Lite file"),
    Bad("model.pt", archive(data__pkl=b"x"), "torch.onnx.export"),
    Bad("model.pkl", b"\x80\x04N.", "Pickles run code"),
]
CALIBRATION = [
    Bad("gone.npz", None, "no file", QUANTIZE),
    Bad("empty.npz", npz(x=X[:0]), "is empty", QUANTIZE),
    Bad("zero.npz", b"", "not a NumPy archive", QUANTIZE),
    Bad("no_archive.npz", b"1,2,3\n", "not a NumPy archive", QUANTIZE),
    Bad("cut.npz", npz(x=X)[:300], "not a NumPy archive", QUANTIZE),
    Bad("a_folder", folder(), "is a folder", QUANTIZE),
    Bad("narrow.npz", npz(x=X[:, :4]), "the input needs (samples, 6)", QUANTIZE),
    Bad("nan.npz", npz(x=X * np.nan), "NaN", QUANTIZE),
    Bad("words.npz", npz(x=np.full(X.shape, "a")), "not numbers", QUANTIZE),
    Bad("pickle.npz", npz(x=np.array([print], dtype=object)), "objects", QUANTIZE),
    Bad("stranger.npz", npz(x=X, weight=X), "neither an input", QUANTIZE),
    Bad("no_input.npz", npz(y=np.zeros(8)), "no array for the input", QUANTIZE),
    Bad("few_labels.npz", npz(x=X, y=np.zeros(7)), "labels", DATA),
    Bad("big_labels.npz", npz(x=X, y=np.full(8, 3)), "3 classes", DATA),
    Bad("half_labels.npz", npz(x=X, y=np.full(8, 0.5)), "whole numbers", DATA),
]
RECIPES = [
    Bad("brackets.toml", b"version = " + b"[" * 5_000, "nested too deep", RECIPE),
    Bad("gone.toml", None, "no file", RECIPE),
    Bad("binary.toml", b"\xff\xfe\x00", "not text", RECIPE),
    Bad("broken.toml", b"version = ", "not TOML", RECIPE),
    Bad("old.toml", b"version = 99\n", "version", RECIPE),
    Bad("no_version.toml", b"[activations]\n", "version", RECIPE),
    Bad("tables.toml", RECIPE_HEAD.encode() + b"[colours]\n", "colours", RECIPE),
    Bad("a_folder", folder(), "is a folder", RECIPE),
    Bad(
        "stranger.toml",
        RECIPE_HEAD.encode() + b'[activations]\nhiden_relu = "fixed<6,2,TRN,SAT>"\n',
        "Did you mean 'hidden_relu'",
        RECIPE,
    ),
    Bad(
        "format.toml",
        RECIPE_HEAD.encode() + b'[activations]\nhidden_relu = "float16"\n',
        "hidden_relu",
        RECIPE,
    ),
    Bad(
        "wide.toml",
        RECIPE_HEAD.encode() + b'[activations]\nhidden_relu = "fixed<99,2,TRN,SAT>"\n',
        "99",
        RECIPE,
    ),
    Bad(
        "channels.toml",
        RECIPE_HEAD.encode()
        + b'[weights]\n"out/kernel" = ["fixed<6,2,TRN,SAT>", "fixed<6,1,TRN,SAT>"]\n',
        "channel",
        RECIPE,
    ),
]
RUNS = [
    Bad("gone", None, "is not there", SIMULATE),
    Bad("no_run", folder("a.txt"), "not a run folder", SIMULATE),
    Bad("file", b"x", "not a run folder", SIMULATE),
    Bad("begun", lambda path: (path / ".edgeinfer").mkdir(parents=True), "no finished", SIMULATE),
]
OPTIONS = [
    Bad("net.keras", GOOD, "2 to 24", ("quantize", "{bad}", "--bits", "1", "-o", "out.toml")),
    Bad("net.keras", GOOD, "2 to 24", ("quantize", "{bad}", "--bits", "99", "-o", "out.toml")),
    Bad("net.keras", GOOD, "suffix", ("quantize", "{bad}", "--bits", "6", "-o", "out.onnx")),
    Bad("taken", b"precious", "is a file", ("compile", "net.keras", "-o", "{bad}"), 4),
    Bad("taken", folder("thesis.tex"), "not empty", ("compile", "net.keras", "-o", "{bad}")),
    Bad(
        "taken",
        b"precious",
        "is a file",
        ("quantize", "net.keras", "--bits", "6", "-o", "{bad}/out.toml"),
        4,
    ),
    Bad(
        "taken.toml",
        folder(),
        "is a folder",
        ("quantize", "net.keras", "--bits", "6", "-o", "{bad}"),
        4,
    ),
]
CASES = MODELS + CALIBRATION + RECIPES + RUNS + OPTIONS


@pytest.mark.parametrize("bad", CASES, ids=lambda bad: f"{bad.tokens[0]}-{bad.name}")
def test_bad_input_gets_one_helpful_paragraph(
    bad: Bad,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    path = tmp_path / bad.name
    if callable(bad.content):
        bad.content(path)
    elif bad.content is not None:
        path.write_bytes(bad.content)
    before = contents(tmp_path)
    code = main([token.format(bad=bad.name) for token in bad.tokens])
    output = capsys.readouterr()
    errors = [line for line in output.err.splitlines() if line.startswith("edgeinfer: error: ")]
    assert code == bad.code, output.err
    assert output.out == ""
    assert len(errors) == 1 and output.err.endswith(errors[0] + "\n")
    assert bad.words in errors[0]
    named = bad.name in errors[0] or Path(bad.name).stem in errors[0]
    assert named or bad in OPTIONS, errors[0]
    assert "Traceback" not in output.err
    assert len(errors[0]) < 900
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that a user would see, but for logs and what finished steps left whole."""
    finished = {
        str(record.parents[1] / path): digest
        for record in folder.glob("*/.edgeinfer/*.json")
        for path, digest in json.loads(record.read_text())["files"].items()
    }
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and ".edgeinfer" not in path.parts
        and path.name != "log.txt"
        and finished.get(str(path)) != sha256_of(path)
    }


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 40


def test_no_traceback_reaches_the_user_but_the_log_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.keras").write_bytes(poisoned(np.nan))
    assert main(["compile", "net.keras", "-o", "out"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert "Traceback" in (tmp_path / "out" / "log.txt").read_text()
