# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Where a verb writes if nobody says; it never writes over what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.cli.app import main
from tests.support import small_models as small


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small.classifier(tmp_path)
    small.data(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("tokens", "written"),
    [
        (["convert", "data.npz"], "data.h5"),
        (["data", "jet-tagger", "-n", "20"], "jet-tagger.npz"),
        (["export", "net.keras", "--format", "qonnx"], "net-qonnx.onnx"),
    ],
)
def test_a_file_is_named_after_what_it_is_made_of(tokens: list[str], written: str) -> None:
    assert main(tokens) == 0
    before = Path(written).read_bytes()
    assert main(tokens) == 2
    assert Path(written).read_bytes() == before


@pytest.mark.parametrize(
    ("tokens", "there"),
    [
        (["quantize", "net.keras", "--bits", "6"], "net-6bit.keras"),
        (["train", "jet-tagger"], "jet-tagger.keras"),
    ],
)
def test_what_is_there_is_kept(
    tokens: list[str], there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(there).write_bytes(b"mine")
    assert main(tokens) == 2
    assert f"{there} is there already. Name another place with -o." in capsys.readouterr().err
    assert Path(there).read_bytes() == b"mine"
