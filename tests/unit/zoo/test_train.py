# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A training can be interrupted, timed, resumed, and says what it did."""

from __future__ import annotations

import dataclasses
import json
import os
import signal

import numpy as np
import pytest

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.zoo.checkpoint import Checkpoints
from edgeinfer.zoo.entry import Head
from edgeinfer.zoo.fit import best_epoch_and_halvings
from edgeinfer.zoo.teaching import class_weights
from edgeinfer.zoo.train import TrainingInterruption, train


class Interrupting:
    """Presses Ctrl-C after some steps, as a person would."""

    def __init__(self, after_steps: int) -> None:
        self.left = after_steps

    def step(self, epoch, step, steps, loss):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def epoch(self, record, best):
        pass


def weights(path):
    import keras

    return keras.saving.load_model(path).get_weights()


@pytest.mark.parametrize("after_steps", [4, 11, 14])  # an epoch has 11 steps
def test_interrupted_and_resumed_ends_at_the_same_weights(tiny, tmp_path, after_steps):
    whole = train(tiny, tmp_path / "whole.keras", seed=7)
    broken = tmp_path / "broken.keras"
    with pytest.raises(TrainingInterruption, match="--resume"):
        train(tiny, broken, seed=7, watcher=Interrupting(after_steps))
    assert not broken.exists()
    resumed = train(tiny, broken, resume=True)
    assert [r.validation_loss for r in whole.records] == [
        r.validation_loss for r in resumed.records
    ]
    assert [r.loss for r in whole.records] == pytest.approx([r.loss for r in resumed.records])
    for a, b in zip(weights(whole.model), weights(broken), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not Checkpoints.beside(broken).folder.exists()


def test_seed_decides_the_result(tiny, tmp_path):
    first = train(tiny, tmp_path / "a.keras", seed=1, epochs=1)
    again = train(tiny, tmp_path / "b.keras", seed=1, epochs=1)
    other = train(tiny, tmp_path / "c.keras", seed=2, epochs=1)
    assert first.records[0].loss == again.records[0].loss
    assert first.records[0].loss != other.records[0].loss


def test_history_lies_beside_the_model(tiny, tmp_path):
    trained = train(tiny, tmp_path / "m.keras", seed=3)
    history = json.loads((tmp_path / "m.history.json").read_text())
    assert history["seed"] == 3
    assert history["samples"] == 400
    assert history["stopped"] == "epochs"
    losses = [record["validation_loss"] for record in history["epochs_run"]]
    assert history["best_epoch"] == int(np.argmin(losses)) + 1
    assert losses == [record.validation_loss for record in trained.records]


def test_a_spent_time_budget_still_yields_a_model_and_can_be_resumed(tiny, tmp_path):
    out = tmp_path / "m.keras"
    assert train(tiny, out, seed=7, minutes=1e-9).stopped == "minutes"
    assert weights(out)
    whole = train(tiny, tmp_path / "whole.keras", seed=7)
    assert train(tiny, out, resume=True).records[-1].validation_loss == (
        whole.records[-1].validation_loss
    )


def test_training_ends_when_nothing_improves(tiny, tmp_path):
    still = dataclasses.replace(
        tiny, schedule=dataclasses.replace(tiny.schedule, learning_rate=0.0, patience=2)
    )
    trained = train(still, tmp_path / "m.keras", epochs=50)
    assert trained.stopped == "patience"
    assert len(trained.records) == 3


def test_learning_rate_is_halved_after_half_the_patience():
    assert best_epoch_and_halvings([3.0, 2.0, 1.0], 4) == (2, 0)
    assert best_epoch_and_halvings([3.0, 1.0, 2.0, 2.0], 4) == (1, 1)
    assert best_epoch_and_halvings([3.0, 1.0, 2.0, 2.0, 2.0, 2.0], 4) == (1, 2)
    assert best_epoch_and_halvings([3.0, 1.0, 2.0, 2.0, 0.5, 2.0], 4) == (4, 1)


@pytest.mark.parametrize("sigmoid", [True, False])
def test_class_weights_make_classes_count_the_same(sigmoid):
    truth = np.array([0, 0, 0, 1])
    targets = truth[:, None] if sigmoid else np.eye(2)[truth]
    head = Head("h", ("a",), "mean_squared_error", balanced=True)
    found = class_weights(head, targets.astype(np.float32))
    assert found[truth == 0].sum() == pytest.approx(found[truth == 1].sum())
    assert found.mean() == pytest.approx(1.0)


def test_strangers_in_the_training_folder_are_left_alone(tiny, tmp_path):
    folder = Checkpoints.beside(tmp_path / "m.keras").folder
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    train(tiny, tmp_path / "m.keras", epochs=1)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_what_cannot_be_done_is_said(tiny, tmp_path):
    with pytest.raises(InputError, match="no training to resume"):
        train(tiny, tmp_path / "m.keras", resume=True)
    with pytest.raises(UsageError, match=r"m\.keras"):
        train(tiny, tmp_path / "m.h5")
    with pytest.raises(UsageError, match="--minutes"):
        train(tiny, tmp_path / "m.keras", minutes=0)
    with pytest.raises(UsageError, match="--seed is -1"):
        train(tiny, tmp_path / "m.keras", seed=-1)
    with pytest.raises(UsageError, match="too few events"):
        train(tiny, tmp_path / "m.keras", samples=2)
    with pytest.raises(TrainingInterruption):
        train(tiny, tmp_path / "m.keras", seed=7, watcher=Interrupting(2))
    with pytest.raises(InputError, match="seed 7, not 8"):
        train(tiny, tmp_path / "m.keras", seed=8, resume=True)
    state = Checkpoints.beside(tmp_path / "m.keras").folder / "state.json"
    state.write_text("{}")
    with pytest.raises(InputError, match="not the state of a training"):
        train(tiny, tmp_path / "m.keras", resume=True)
