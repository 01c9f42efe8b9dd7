# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Recurrent layers of Keras: the Graph computes what Keras does, with one body for all steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer import api
from edgeinfer.base.errors import ProgramError, UnsupportedModelError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.evaluate.streams import follow_states
from edgeinfer.graph.nodes import ScanNode
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Input, Requant
from edgeinfer.ir.program import Output, Program
from edgeinfer.ir.store import load as load_program
from edgeinfer.ir.store import save
from edgeinfer.ir.verify import verify
from edgeinfer.precision import ptq
from edgeinfer.readers import load
from edgeinfer.targets.edgetpu.int8.convert import convert_program
from quantization.fixed import Fixed, Overflow, Rounding, dequantize
from tests.support import float_graph
from tests.support.keras_models import compare, compare_integers, model_of, shake
from tests.support.sampling import sample_cases

keras = pytest.importorskip("keras")
SERIES = (6, 3)


def draw_layer(L: Any, rng: np.random.Generator, *, old: bool = False) -> Any:
    """A recurrent layer with random options."""

    def options(*, gated: bool) -> dict[str, Any]:
        functions = ["tanh", "relu", "sigmoid", "linear", "softsign", "elu"]
        found: dict[str, Any] = {
            "activation": str(rng.choice(functions)) if rng.random() < 0.5 else "tanh",
            "use_bias": bool(rng.random() < 0.8),
        }
        if gated and rng.random() < 0.5:
            found["recurrent_activation"] = str(rng.choice(["sigmoid", "hard_sigmoid", "tanh"]))
        return found

    kind = str(rng.choice(["SimpleRNN", "LSTM", "GRU"]))
    units = int(rng.integers(1, 6))
    more = options(gated=kind != "SimpleRNN")
    if kind == "GRU":
        more["reset_after"] = bool(rng.random() < 0.5)
    whole = {"return_sequences": bool(rng.random() < 0.5), "unroll": bool(rng.random() < 0.2)}
    if rng.random() < 0.25:
        cells = [getattr(L, f"{kind}Cell")(units, **more)]
        if rng.random() < 0.6:
            cells += [L.LSTMCell(2), L.GRUCell(3), getattr(L, f"{kind}Cell")(2)]
        one = cells[0] if len(cells) == 1 else cells
        return L.RNN(one, go_backwards=bool(rng.random() < 0.3), **whole)
    layer = getattr(L, kind)
    if rng.random() < 0.4:
        merge = [None, "concat", "sum", "mul", "ave"][int(rng.integers(0, 5))]
        return L.Bidirectional(layer(units, **more, **whole), merge_mode=merge)
    return layer(units, go_backwards=bool(rng.random() < 0.3), **more, **whole)


@pytest.mark.parametrize("seed", sample_cases(range(80), 20))
def test_random_layers(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    loaded = compare(model_of(keras, SERIES, draw_layer(keras.layers, rng)), tmp_path / "m.keras")
    if seed % 8 == 0:
        compare_integers(loaded)


@pytest.mark.parametrize("seed", sample_cases(range(30), 30))
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_random_layers_of_keras_2(seed: int, suffix: str, tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    rng = np.random.default_rng([2, seed])
    layer = draw_layer(tf_keras.layers, rng, old=True)
    compare(model_of(tf_keras, SERIES, layer), tmp_path / f"m.{suffix}")


@pytest.mark.parametrize(
    "make",
    sample_cases(
        [
            lambda L: L.LSTM(4, return_state=True, return_sequences=True),
            lambda L: L.LSTM(4, return_state=True),
            lambda L: L.GRU(4, return_state=True, return_sequences=True),
            lambda L: L.SimpleRNN(4, return_state=True),
            lambda L: L.Bidirectional(L.LSTM(2, return_state=True, return_sequences=True)),
            lambda L: L.Bidirectional(L.GRU(2, return_state=True), merge_mode=None),
            lambda L: L.RNN([L.LSTMCell(2), L.LSTMCell(3)], return_sequences=True),
        ],
        7,
    ),
)
def test_states_leave_the_layer(make: Callable[[Any], Any], tmp_path: Path) -> None:
    loaded = compare(model_of(keras, SERIES, make(keras.layers)), tmp_path / "m.keras")
    compare_integers(loaded)


@pytest.mark.parametrize("both", sample_cases([False, True], 2))
def test_states_come_from_other_layers(both: bool, tmp_path: Path) -> None:
    """An encoder whose states a decoder starts with."""
    L = keras.layers
    x, y = L.Input((5, 3), name="x"), L.Input((4, 2), name="y")
    if both:
        result = L.Bidirectional(L.LSTM(3, return_state=True))(x)
        z = L.Bidirectional(L.LSTM(3))(y, initial_state=list(result[1:]))
    else:
        _, h, c = L.LSTM(3, return_state=True)(x)
        z = L.LSTM(3, return_sequences=True)(y, initial_state=[h, c])
    compare_integers(compare(shake(keras.Model([x, y], L.Dense(2)(z))), tmp_path / "m.keras"))


def test_a_layer_called_twice_shares_its_weights(tmp_path: Path) -> None:
    L = keras.layers
    x, y = L.Input(SERIES, name="x"), L.Input(SERIES, name="y")
    shared = L.GRU(3)
    loaded = compare(
        shake(keras.Model([x, y], L.Add()([shared(x), shared(y)]))), tmp_path / "m.keras"
    )
    weights = [v.size for key, v in loaded.graph.weights() if not key.endswith("/value")]
    assert sum(weights) == shared.count_params()
    compare_integers(loaded)


@pytest.mark.parametrize("inside", sample_cases(["layer", "model"], 2))
def test_many_steps_of_any_layer_are_one_body(inside: str, tmp_path: Path) -> None:
    """TimeDistributed, too, where it would be more than a hundred copies."""
    L = keras.layers
    layer = L.Conv1D(2, 2)
    if inside == "model":
        layer = keras.Sequential([L.Input((3, 2)), L.Conv1D(2, 2, activation="relu"), L.LSTM(3)])
    loaded = compare(model_of(keras, (150, 3, 2), L.TimeDistributed(layer)), tmp_path / "m.keras")
    assert [type(node).__name__ for node in loaded.graph.nodes] == ["InputNode", "ScanNode"]
    if inside == "model":
        compare_integers(loaded)


def test_one_body_serves_all_steps(tmp_path: Path) -> None:
    L = keras.layers
    model = keras.Sequential([L.Input((100, 6)), L.LSTM(32), L.Dense(1)])
    loaded = compare(shake(model), tmp_path / "m.keras")
    (scan,) = (node for node in loaded.graph.nodes if isinstance(node, ScanNode))
    assert len(scan.body.nodes) < 25
    assert loaded.graph.parameters == model.count_params()
    keys = [key for key, _ in loaded.graph.weights()]
    assert {f"{scan.name}/kernel", f"{scan.name}/bias", f"{scan.name}/recurrent/kernel"} < {*keys}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda L, x: L.TimeDistributed(L.GRU(2, stateful=True))(L.Reshape((3, 2, 3))(x)),
            "stateful.*called more than once.*initial_state.*return_state",
        ),
        (
            lambda L, x: L.ConvLSTM1D(2, 2)(L.Reshape((3, 2, 3))(x)),
            "states are pictures.*what works: TimeDistributed.Conv1D. and",
        ),
    ],
)
def test_what_is_not_supported_is_named(make: Any, reason: str, tmp_path: Path) -> None:
    L = keras.layers
    x = L.Input(SERIES, batch_size=1 if "stateful" in reason else None, name="x")
    keras.Model(x, make(L, x)).save(tmp_path / "m.keras")
    with pytest.raises(UnsupportedModelError, match=f"(?s){reason}"):
        load(tmp_path / "m.keras")


@pytest.mark.parametrize("kind", sample_cases(["LSTM", "GRU", "SimpleRNN", "Bidirectional"], 4))
def test_a_stateful_layer_goes_on_where_the_sample_before_has_ended(
    kind: str, tmp_path: Path
) -> None:
    L = keras.layers
    x = L.Input((2, 3), batch_size=1, name="x")
    layer = L.GRU(3, stateful=True) if kind == "Bidirectional" else None
    made = L.Bidirectional(layer) if layer else getattr(L, kind)(3, stateful=True)
    model = shake(keras.Model(x, L.Dense(2, name="y")(made(x))))
    model.save(tmp_path / "m.keras")
    graph = load(tmp_path / "m.keras").graph
    rng = np.random.default_rng(3)
    states = [np.zeros((1, 3)) for _ in graph.states]
    frames = rng.normal(0, 1, (6, 1, 2, 3)).astype(np.float32)
    wanted = np.concatenate([np.asarray(model(frame)) for frame in frames])
    for frame, one in zip(frames, wanted, strict=True):
        y, *states = float_graph.outputs(graph, [frame, *states])
        np.testing.assert_allclose(y[0], one, atol=2e-5, rtol=2e-5)
    assert np.abs(wanted - np.asarray([model(frame)[0] for frame in frames])).max() > 1e-3

    samples = follow_states(graph, Samples({"x": frames[:, 0]}, "drawn"))
    np.testing.assert_allclose(
        judge.float_outputs(graph, samples)["y"], wanted, atol=2e-5, rtol=2e-5
    )
    chosen = ptq.quantize(graph, samples.inputs, ptq.PtqSettings(14))
    program = lower(chosen.graph, chosen.recipe).program
    raw = judge.raw_inputs(program, chosen.recipe, Samples({"x": frames[:, 0]}, "drawn"))
    held = {name: raw[name][:1] * 0 for name in program.states}
    for place in range(len(frames)):  # each frame by itself, with what the one before has left
        found = results(program, interpret(program, {"x": raw["x"][place : place + 1], **held}))
        np.testing.assert_allclose(
            dequantize(found["y"][0], program.type(program.outputs[0].value)),
            wanted[place], atol=0.02,
        )  # fmt: skip
        held = {name: found[output] for name, output in program.states.items()}
        if place + 1 < len(frames):
            assert all(np.array_equal(held[n][0], raw[n][place + 1]) for n in program.states)
    with pytest.raises(UnsupportedModelError, match="an int8 file keeps none"):
        convert_program(program)


def test_a_state_that_the_next_sample_cannot_read_breaks_the_law() -> None:
    given = Input("h", Fixed.parse("fixed<8,2>"), (2,), "y")
    with pytest.raises(ProgramError, match="the output 'y' before, which there is not"):
        verify(Program("net", (given,), (Output("z", "h"),)))
    finer = Requant("r", Fixed.parse("fixed<8,1>"), "h", Rounding.TRN, Overflow.SAT)
    with pytest.raises(ProgramError, match="but it is read as"):
        verify(Program("net", (given, finer), (Output("y", "r"),)))
    stored = save(Program("net", (given,), (Output("y", "h"),)))
    assert load_program(stored).states == {"h": "y"}


@pytest.mark.slow
def test_a_stream_is_alike_in_hls_and_rtl(tmp_path: Path) -> None:
    L = keras.layers
    x = L.Input((3, 2), batch_size=1, name="x")
    hidden = L.LSTM(4, stateful=True, return_sequences=True)(x)
    model = shake(keras.Model(x, L.Dense(2)(L.GRU(3, stateful=True)(hidden))))
    frames = np.random.default_rng(3).normal(0, 1, (40, 3, 2)).astype(np.float32)
    wanted = np.concatenate([np.asarray(model(frame[None])) for frame in frames])
    network = api.load(model, {"x": frames}).quantize(12)
    (got,) = network.predict(frames).values()
    assert np.abs(got - wanted).max() < 0.02
    run = network.compile(tmp_path / "run", targets=("hls", "rtl"))
    assert run.exact and len(run.result.agreement) == 3
    assert not any("the Program is wrong" in finding for finding in run.result.findings)
