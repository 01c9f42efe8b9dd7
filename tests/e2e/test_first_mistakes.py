# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a stranger gets wrong in the first half hour, and the answer that solves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.cli.app import main


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved" / "variables").mkdir(parents=True)
    (tmp_path / "saved" / "saved_model.pb").touch()
    (tmp_path / "net.keras").touch()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "study.toml").touch()
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "result.json").touch()
    np.savez("labels.npz", x=np.zeros((10, 16)), y=np.zeros((10, 9)))
    return tmp_path


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    ("command", "solved_by"),
    [
        ("compil jet-tagger -o R", 'Did you mean "compile"'),
        ("compile jet-tagger --bit 6 -o R", "Did you mean --bits"),
        ("compile jet-taggr -o R", "Did you mean 'jet-tagger'"),
        ("compile nett.keras -o R", "Did you mean 'net.keras'"),
        ("compile saved -o R", "call model.save('model.keras')"),
        ("compile jet-tagger --data labels.npz -o R", "need (10,) or (10, 5)"),
        ("compile jet-tagger --target hls --device zcu105 -o R", "Did you mean 'zcu106'"),
        ("compile jet-tagger --target hsl -o R", "Did you mean 'hls'"),
        ("compile jet-tagger --target none --target hls -o R", "no target at all"),
        ("estimate run", "made of is in run/model"),
        ("map run", "run is a folder"),
        ("serve nowhere", "There is no run folder nowhere"),
        ("report nowhere", "compile MODEL"),
        ("report begun", "sweep STUDY.toml -o begun --resume"),
        ("compile jet-tagger --bits", "--bits needs a value"),
        ("infer grpc://h:1", "infer needs --data"),
        ("models nope", "models does nothing with nope"),
        ("fit jet-tagger --loss -1", "Give 0 or more"),
        ("compile jet-tagger --target none --synth -o R", "Targets with --synth"),
    ],
)
def test_a_first_mistake_is_answered(
    capsys: pytest.CaptureFixture[str], command: str, solved_by: str
) -> None:
    assert main(command.split()) == 2
    assert solved_by in capsys.readouterr().err
