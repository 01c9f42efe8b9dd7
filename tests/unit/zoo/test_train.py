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
from edgeinfer.zoo import ENTRIES
from edgeinfer.zoo.checkpoint import Checkpoints
from edgeinfer.zoo.entry import EventSamples, Head
from edgeinfer.zoo.fit import best_epoch_and_halvings
from edgeinfer.zoo.teaching import Teaching, class_weights
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
    result = class_weights(head, targets.astype(np.float32))
    assert result[truth == 0].sum() == pytest.approx(result[truth == 1].sum())
    assert result.mean() == pytest.approx(1.0)


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


def _build_pointer():
    from keras import Model, layers

    image = layers.Input((6, 6, 1), name="image")
    features = layers.ReLU(name="features")(layers.Conv2D(2, 3, padding="same")(image))
    edges = layers.Conv2D(1, 1, name="edges")(features)
    inside = layers.Activation("sigmoid", name="inside")(layers.Conv2D(1, 1)(features))
    return Model(image, [edges, inside, features], name="pointer")


def _pointed(seed: int, n: int) -> EventSamples:
    """Half of the places have a truth, which is what the image shows there."""
    image = np.random.default_rng(seed).uniform(0, 1, (n, 6, 6, 1)).astype(np.float32)
    known = np.arange(6)[:, None, None] < 3
    targets = {
        "edges": np.where(known, 2 * image, -1).astype(np.float32),
        "inside": np.where(known, image > 0.5, -1).astype(np.float32),
    }
    return EventSamples({"image": image}, targets, np.arange(n))


def test_places_without_a_truth_and_features_for_others_are_no_hindrance(tiny, tmp_path):
    from edgeinfer.zoo.reference import load_graph, outputs_of

    heads = (
        Head("edges", ("far",), "located_error"),
        Head("inside", ("inside",), "located_crossentropy"),
    )
    pointer = dataclasses.replace(
        tiny, build=_build_pointer, data=_pointed, heads=heads, features=("features",),
        schedule=dataclasses.replace(tiny.schedule, flips=(), epochs=2),
    )  # fmt: skip
    path = tmp_path / "pointer.keras"
    with pytest.raises(TrainingInterruption):
        train(pointer, path, watcher=Interrupting(14))
    trained = train(pointer, path, resume=True)
    graph = load_graph(path, "pointer")
    assert graph.outputs == ("edges", "inside", "features")
    data = Teaching.of(pointer, trained.plan)
    samples = data.samples.take(data.validating)
    said = outputs_of(pointer, graph, samples)
    there = samples.targets["edges"] >= 0
    error = np.abs(said["edges"] - samples.targets["edges"])[there].mean()
    share, truth = said["inside"][there], samples.targets["inside"][there]
    entropy = -np.log(np.where(truth > 0, share, 1 - share)).mean()
    best = min(record.validation_loss for record in trained.records)
    assert error + entropy == pytest.approx(best, rel=1e-4)  # so the weights are in their places


def test_features_of_another_network_are_for_models_that_read_some(tiny, tmp_path):
    with pytest.raises(UsageError, match="Leave out --trunk"):
        train(tiny, tmp_path / "m.keras", trunk=tmp_path / "trunk.keras")
    with pytest.raises(InputError, match="edgeinfer train hgcal-detector -o FILE"):
        ENTRIES["hgcal-heads"].on_trunk(tmp_path / "trunk.keras")
