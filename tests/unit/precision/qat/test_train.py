# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Training under quantization: it helps, and yields the integers that QKeras computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import InputError, UsageError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.export.qkeras import draw, write
from edgeinfer.graph import nodes as g
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.precision.qat.fine_tune import Tutor, refuse_untrainable
from edgeinfer.precision.qat.latent import Latent, roomy, settle_biases
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.qat.train import TrainedWeights
from edgeinfer.readers import load
from quantization.fixed import dequantize
from tests.support.small_networks import bars, tagger

GRAPH = tagger()
TEACH, CHOOSE, JUDGE = bars(1200, seed=1), bars(600, seed=2), bars(1500, seed=3)
BRIEF = QatSettings(epochs=4, batch=64)


def start(bits: int, *, per_channel: bool = False) -> tuple[g.Graph, object]:
    result = quantize(GRAPH, TEACH.inputs, PtqSettings(bits, per_channel=per_channel))
    return result.graph, result.recipe


def trained(bits: int = 3, settings: QatSettings = BRIEF, **options: bool) -> TrainedWeights:
    graph, recipe = start(bits, **options)
    return Tutor.of(GRAPH, TEACH, CHOOSE, settings).train(graph, recipe)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def three() -> TrainedWeights:
    return trained()


def auc(graph: g.Graph, recipe: object) -> float:
    lowered = lower(graph, recipe)  # type: ignore[arg-type]
    raw = judge.raw_inputs(lowered.program, lowered.recipe, JUDGE)
    result = judge.score(GRAPH, judge.quantized_outputs(lowered.program, raw), JUDGE).auc
    assert result is not None
    return result


def test_training_wins_back_what_three_bits_cost(three: TrainedWeights) -> None:
    exact = judge.score(GRAPH, judge.float_outputs(GRAPH, JUDGE), JUDGE).auc
    before = auc(*start(3))
    after = auc(three.graph, three.recipe)
    assert exact is not None
    assert exact - after < 0.6 * (exact - before)
    assert three.history[0].number == 0 and three.history[0].loss is None
    assert three.history[three.best].score == max(epoch.score for epoch in three.history)


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_engine_is_the_trained_model_bit_for_bit(per_channel: bool, tmp_path: Path) -> None:
    settings = replace(BRIEF, epochs=1)
    result = trained(4, settings, per_channel=per_channel)
    path = tmp_path / "q.keras"
    write(result.graph, result.recipe, path)
    again = load(path)
    program = lower(again.graph, again.recipe).program
    assert program.digest == lower(result.graph, result.recipe).program.digest
    import keras

    model = keras.models.load_model(path)
    logits = keras.Model(model.inputs, model.get_layer("logits").output)
    raw = judge.raw_inputs(program, again.recipe, CHOOSE)
    held = Engine(program).run(raw)
    (output,) = program.outputs
    expected = dequantize(held[output.name], program.type(output.value))
    actual = np.asarray(logits(CHOOSE.inputs["image"].astype(np.float32), training=False))
    np.testing.assert_array_equal(actual.astype(np.float64), expected)


def test_the_state_before_training_is_kept() -> None:
    """A learning rate that destroys everything gives back what was there before."""
    result = trained(6, replace(BRIEF, epochs=1, learning_rate=1.0))
    assert result.best == 0
    assert auc(result.graph, result.recipe) == pytest.approx(auc(*start(6)), abs=0.01)


def test_weights_that_are_pruned_are_zero_on_their_grids_and_free() -> None:
    result = trained(6, replace(BRIEF, epochs=6, sparsity=0.7))
    program = lower(result.graph, result.recipe).program
    kernels = [v for k, v in result.graph.weights() if k.endswith("/kernel")]
    zero = sum(int(np.sum(kernel == 0)) for kernel in kernels)
    assert zero >= 0.7 * sum(kernel.size for kernel in kernels)
    costs = costs_of(program)
    assert costs.ebops < 0.5 * costs.ebops_dense
    assert auc(result.graph, result.recipe) > auc(*start(6)) - 0.05


def test_the_best_epoch_is_among_those_that_are_sparse_enough() -> None:
    result = trained(6, replace(BRIEF, epochs=5, sparsity=0.6))
    assert result.history[result.best].zero_weights >= 0.6
    assert result.history[1].zero_weights < result.history[result.best].zero_weights


def test_without_labels_the_float_network_teaches() -> None:
    unlabelled = Samples(TEACH.inputs, "no labels")
    graph, recipe = start(3)
    tutor = Tutor.of(GRAPH, unlabelled, Samples(CHOOSE.inputs, "no labels"), BRIEF)
    result = tutor.train(graph, recipe)  # type: ignore[arg-type]
    assert tutor.objective.name == "negated_float_error"
    assert result.history[result.best].score > result.history[0].score
    assert auc(result.graph, result.recipe) > auc(*start(3))


def test_a_quantity_is_learnt_towards_its_own_unit() -> None:
    rng = np.random.default_rng(4)
    kernel = rng.normal(0.0, 0.5, (6, 1))
    nodes = (g.InputNode("x", (6,)), g.DenseNode("y", "y", "x", kernel, np.array([100.0])))
    graph = g.Graph("line", nodes, ("y",))
    x = rng.normal(size=(600, 6))
    samples = Samples({"x": x}, "made", {"y": x @ kernel + 100.0})
    chosen = quantize(graph, samples.inputs, PtqSettings(4))
    result = Tutor.of(graph, samples, samples, BRIEF).train(chosen.graph, chosen.recipe)
    assert result.history[result.best].score >= result.history[0].score


def test_a_time_limit_ends_it_and_keeps_the_best() -> None:
    result = trained(4, replace(BRIEF, epochs=1000, minutes=0.02))
    assert 1 <= len(result.history) < 1000


def test_latent_weights_are_floats_and_come_back_as_they_went_in() -> None:
    for per_channel in (False, True):
        graph, recipe = start(5, per_channel=per_channel)
        rng = np.random.default_rng(0)
        moved = g.Graph(
            graph.name,
            tuple(
                replace(node, kernel=node.kernel + rng.normal(0, 0.01, node.kernel.shape))
                if isinstance(node, g.ConvNode | g.DenseNode)
                else node
                for node in graph.nodes
            ),
            graph.outputs,
        )
        latent = Latent.of(moved, recipe)  # type: ignore[arg-type]
        weights = dict(latent.graph().weights())
        for key, values in moved.weights():
            np.testing.assert_allclose(weights[key], values, rtol=1e-6, atol=1e-7)


def test_biases_have_room_to_grow_and_settle_on_the_same_grid() -> None:
    graph, recipe = start(5)
    wide = roomy(graph, recipe)  # type: ignore[arg-type]
    for key, fmt in wide.weights:
        if key.endswith("/bias"):
            narrow = recipe.weight(key)  # type: ignore[attr-defined]
            assert fmt.frac == narrow.frac and fmt.bits > narrow.bits
    assert settle_biases(graph, wide).digest == settle_biases(graph, recipe).digest  # type: ignore[arg-type]


def test_what_batch_norms_do_is_trained_folded() -> None:
    rng = np.random.default_rng(8)
    norm = g.BatchNormNode("bn", "bn", "d", *(rng.uniform(0.5, 2.0, 4) for _ in range(4)), 1e-3)
    nodes = (
        g.InputNode("x", (6,)),
        g.DenseNode("d", "d", "x", rng.normal(size=(6, 4)), None),
        norm,
        g.ActivationNode("relu", "bn", g.Function.RELU),
        g.DenseNode("y", "y", "relu", rng.normal(size=(4, 3)), rng.normal(size=3)),
    )
    graph = g.Graph("normed", nodes, ("y",))
    assert not any(isinstance(n, g.BatchNormNode) for n in fold_batch_norms(graph).nodes)
    x = rng.normal(size=(400, 6))
    samples = Samples({"x": x}, "made")
    chosen = quantize(graph, samples.inputs, PtqSettings(4))
    longer = replace(BRIEF, epochs=30, batch=32)
    result = Tutor.of(graph, samples, samples, longer).train(chosen.graph, chosen.recipe)
    assert result.history[result.best].score > result.history[0].score
    assert "bn" not in draw(result.graph, result.recipe).linear


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 0},
        {"learning_rate": 0.0},
        {"distillation": 1.5},
        {"sparsity": 1.0},
        {"prune_filters": -0.1},
        {"prune_multipliers": 1.0},
        {"minutes": 0.0},
        {"seed": -1},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong)).replace("_", "-")):
        QatSettings(**wrong)  # type: ignore[arg-type]


def test_a_network_without_weights_is_refused() -> None:
    nodes = (g.InputNode("x", (6,)), g.ActivationNode("y", "x", g.Function.RELU))
    with pytest.raises(InputError, match="nothing to train"):
        refuse_untrainable(g.Graph("bare", nodes, ("y",)))


def test_a_training_that_ends_early_gives_the_sparsest_stage_that_it_reached() -> None:
    """Weights are chosen anew every 20 steps, and an epoch has 18: two may share a choice."""
    result = trained(6, replace(BRIEF, epochs=1000, sparsity=0.8, minutes=0.05))
    assert len(result.history) < 600  # before the ramp is over
    assert result.best in [epoch.number for epoch in result.history[-2:]]
