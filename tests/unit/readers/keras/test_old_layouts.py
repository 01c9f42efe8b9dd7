# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files as Keras 2 and QKeras 0.x wrote them: JSON and HDF5 made by hand, and other people's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import quantized_outputs, raw_inputs
from edgeinfer.graph.nodes import ActivationNode, ConvNode, Function
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from edgeinfer.readers.keras.formats import is_identity
from quantization.fixed import Quantizer
from quantization.recipe import Recipe
from tests.support.float_graph import evaluate, outputs

RNG = np.random.default_rng(3)


def entry(kind: str, name: str, *reads: str, **config: Any) -> dict[str, Any]:
    """A layer of a Functional model in Keras 2's form."""
    inbound = [[[r, 0, 0, {}] for r in reads]] if reads else []
    return {
        "class_name": kind, "name": name, "config": {"name": name, **config},
        "inbound_nodes": inbound,
    }  # fmt: skip


def architecture(layers: list[dict[str, Any]], version: str = "2.4.0") -> dict[str, Any]:
    """A Functional model from its first layer to its last."""
    ends = {
        "input_layers": [[layers[0]["name"], 0, 0]],
        "output_layers": [[layers[-1]["name"], 0, 0]],
    }
    config = {"name": "m", "layers": layers, **ends}
    return {"class_name": "Functional", "config": config, "keras_version": version}


def write(folder: Path, model: dict[str, Any], weights: dict[str, dict[str, Any]]) -> Path:
    """The model as JSON beside its weights."""
    (folder / "m.json").write_text(json.dumps(model))
    with h5py.File(folder / "m_weights.h5", "w") as file:
        write_weights(file, weights)
    return folder / "m.json"


def write_weights(group: h5py.Group, weights: dict[str, dict[str, Any]]) -> None:
    """Keras 2's layout of weights."""
    group.attrs["layer_names"] = [name.encode() for name in weights]
    for layer, values in weights.items():
        inside = group.create_group(layer)
        inside.attrs["weight_names"] = [f"{layer}/{key}:0".encode() for key in values]
        for key, value in values.items():
            inside.create_dataset(f"{layer}/{key}:0", data=np.asarray(value, dtype=np.float32))


def run(path: Path, *xs: Any) -> Any:
    """The first output."""
    loaded = load(path)
    return outputs(loaded.graph, [np.asarray(x, float) for x in xs], loaded.recipe)[0]


INPUT = entry("InputLayer", "x", batch_input_shape=[None, 5])
KERNEL, BIAS = RNG.normal(size=(5, 3)), RNG.normal(size=3)
DENSE = {"fc": {"kernel": KERNEL, "bias": BIAS}}
X = RNG.normal(size=(4, 5))


def test_hard_sigmoid_is_keras_2s(tmp_path: Path) -> None:
    layers = [INPUT, entry("Dense", "fc", "x", units=3, activation="hard_sigmoid")]
    logits = X @ KERNEL.astype(np.float32) + BIAS.astype(np.float32)
    results = run(write(tmp_path, architecture(layers), DENSE), X)
    np.testing.assert_allclose(results, np.clip(0.2 * logits + 0.5, 0, 1), atol=1e-6)
    results = run(write(tmp_path, architecture(layers, "3.0.0"), DENSE), X)
    np.testing.assert_allclose(results, np.clip(logits / 6 + 0.5, 0, 1), atol=1e-6)


def test_slopes_under_their_old_name(tmp_path: Path) -> None:
    layers = [INPUT, entry("LeakyReLU", "act", "x", alpha=0.125)]
    results = run(write(tmp_path, architecture(layers), {"none": {}}), X)
    np.testing.assert_array_equal(results, np.where(X >= 0, X, X * 0.125))


@pytest.mark.parametrize("as_list", [True, False])
def test_sequential_without_an_input_layer(tmp_path: Path, as_list: bool) -> None:
    first = {"class_name": "Dense", "config": {"name": "fc", "units": 3, "activation": "relu"}}
    first["config"]["batch_input_shape"] = [None, 5]
    config: Any = [first] if as_list else {"name": "s", "layers": [first]}
    path = write(tmp_path, {"class_name": "Sequential", "config": config}, DENSE)
    logits = X @ KERNEL.astype(np.float32) + BIAS.astype(np.float32)
    np.testing.assert_allclose(run(path, X), np.maximum(logits, 0), atol=1e-6)


def test_whole_model_in_one_file_and_split_name_lists(tmp_path: Path) -> None:
    layers = [INPUT, entry("Dense", "fc", "x", units=3)]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = json.dumps(architecture(layers)).encode()
        file.attrs["keras_version"] = b"2.2.4"
        group = file.create_group("model_weights")
        write_weights(group, DENSE)
        group.attrs["layer_names0"] = [b"x"]
        group.attrs["layer_names1"] = group.attrs.pop("layer_names")
    logits = X @ KERNEL.astype(np.float32) + BIAS.astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "m.h5", X), logits, atol=1e-6)


def test_nested_weights_by_order_where_names_repeat(tmp_path: Path) -> None:
    inner = [INPUT, entry("Dense", "fc", "x", units=5), entry("BatchNormalization", "n", "fc")]
    model = architecture(inner)
    nested = {"class_name": "Model", "name": "in", "config": model["config"]}
    nested["inbound_nodes"] = [[["x", 0, 0, {}]]]
    kernel = RNG.normal(size=(5, 5))
    one = np.ones(5)
    listed = {
        "a/kernel:0": kernel, "a/bias:0": one, "b/gamma:0": one * 2, "b/beta:0": one * 3,
        "b/mean:0": one * 4, "b/variance:0": one * 5,
    }  # fmt: skip
    path = write(tmp_path, architecture([INPUT, nested]), {"in": {}})
    with h5py.File(tmp_path / "m_weights.h5", "a") as file:
        file["in"].attrs["weight_names"] = [name.encode() for name in listed]
        for name, value in listed.items():
            file["in"].create_dataset(name, data=value.astype(np.float32))
    expected = (X @ kernel.astype(np.float32) + 1 - 4) * 2 / np.sqrt(5 + 1e-3) + 3
    np.testing.assert_allclose(run(path, X), expected, atol=1e-6)


def test_pruning_wrappers_come_off(tmp_path: Path) -> None:
    inner = {"class_name": "Dense", "config": {"name": "fc", "units": 3}}
    wrapper = entry("PruneLowMagnitude", "prune_low_magnitude_fc", "x", layer=inner)
    stored = {"bias": BIAS, "kernel": KERNEL, "mask": KERNEL * 0, "threshold": 0.0, "step": 1.0}
    model = architecture([INPUT, wrapper])
    loaded = load(write(tmp_path, model, {"prune_low_magnitude_fc": stored}))
    assert [node.name for node in loaded.graph.nodes] == ["x", "fc"]
    assert {key for key, _ in loaded.graph.weights()} == {"fc/kernel", "fc/bias"}


OLD_QUANTIZERS = [
    "quantized_relu(6,2,relu_upper_bound=1.5,is_quantized_clip=False)",
    "quantized_relu(4,1,0)",
    "quantized_linear(5,2)",
    "quantized_linear(1,2)",
    "quantized_bits(4,0,1)",
    "quantized_bits(bits=4, integer=1, alpha=1.0)",
    "quantized_hswish(8,3)",
    "quantized_hswish(8,2)",
    "quantized_hswish(6,1,relu_shift=2,relu_upper_bound=5)",
    "quantized_tanh(4)",
]


@pytest.mark.parametrize("text", OLD_QUANTIZERS)
def test_quantizers_written_as_text(tmp_path: Path, text: str) -> None:
    qkeras = pytest.importorskip("qkeras")
    layers = [INPUT, entry("QActivation", "act", "x", activation=text)]
    x = np.rint(RNG.normal(0, 32, (200, 5))) / 16
    truth = np.asarray(qkeras.get_quantizer(text)(x.astype(np.float32)))
    results = run(write(tmp_path, architecture(layers), {"none": {}}), x)
    np.testing.assert_array_equal(results, truth)


def test_quantizers_written_as_tables(tmp_path: Path) -> None:
    bits = {"class_name": "quantized_bits", "config": {"bits": 4, "integer": 0, "alpha": 1.0}}
    dense = entry("QDense", "fc", "x", units=3, kernel_quantizer=bits, bias_quantizer=bits)
    loaded = load(write(tmp_path, architecture([INPUT, dense]), DENSE))
    expected = np.clip(np.rint(KERNEL.astype(np.float32) * 8), -8, 7) / 8
    np.testing.assert_array_equal(loaded.graph.node("fc").kernel, expected)
    assert str(loaded.recipe.weight("fc/kernel")) == "fixed<4,1,RND_CONV,SAT>"


@pytest.mark.parametrize("epsilon", [1e-3, 0.25])
def test_quantized_batch_norm_folds_its_quantized_statistics(
    tmp_path: Path, epsilon: float
) -> None:
    qkeras = pytest.importorskip("qkeras")
    config = {
        "epsilon": epsilon, "gamma_quantizer": "quantized_bits(8,1,alpha=1)",
        "beta_quantizer": "quantized_bits(8,2,alpha=1)", "mean_quantizer": "quantized_po2(5)",
        "variance_quantizer": "quantized_relu_po2(6,quadratic_approximation=True)",
    }  # fmt: skip
    names = ("gamma", "beta", "mean", "variance")
    values = dict(zip(names, np.abs(RNG.normal(0.8, 0.2, (4, 5))).astype(np.float32), strict=True))
    stored = {"n": {
        "gamma": values["gamma"], "beta": values["beta"],
        "moving_mean": values["mean"], "moving_variance": values["variance"],
    }}  # fmt: skip
    q = {n: np.asarray(qkeras.get_quantizer(config[f"{n}_quantizer"])(values[n])) for n in names}
    truth = (X - q["mean"]) / np.sqrt(q["variance"] + epsilon) * q["gamma"] + q["beta"]
    layers = [INPUT, entry("QBatchNormalization", "n", "x", **config)]
    np.testing.assert_allclose(
        run(write(tmp_path, architecture(layers), stored), X), truth, rtol=2e-6, atol=2e-6
    )


@pytest.mark.parametrize("name", ["KERAS_3layer", "KERAS_3layer_batch_norm", "KERAS_conv1d_small"])
def test_float_models_of_others(cases: Path, name: str) -> None:
    loaded = load(cases / "models" / f"{name}.json")
    assert loaded.recipe.weights == ()
    x = RNG.normal(size=(3, *loaded.graph.inputs[0].shape))
    (result,) = outputs(loaded.graph, [x])
    assert result.shape == (3, 5)
    np.testing.assert_allclose(result.sum(axis=-1), 1.0)
    parameters = {"KERAS_3layer": 4389, "KERAS_3layer_batch_norm": 4655, "KERAS_conv1d_small": 171}
    assert loaded.graph.parameters == parameters[name]  # batch norm counts as scale and shift


def test_quantized_model_of_others(cases: Path) -> None:
    loaded = load(cases / "models" / "qkeras_mnist_cnn.json")
    graph = loaded.graph
    for key, values in graph.weights():
        entry_ = loaded.recipe.weight(key)
        assert entry_ is not None and entry_.bits <= 6
        assert is_identity(entry_, values)
        assert set(np.unique(values * 32) % 1) == {0.0}
    assert isinstance(graph.node("q_conv2d"), ConvNode)
    relu = graph.node("q_activation")
    assert isinstance(relu, ActivationNode) and relu.function is Function.RELU
    assert str(loaded.recipe.activation("q_activation")) == "ufixed<6,0,RND_CONV,SAT>"
    assert graph.outputs == ("softmax",)


def test_quantized_model_of_others_is_what_qkeras_computes(cases: Path) -> None:
    keras, qkeras = pytest.importorskip("keras"), pytest.importorskip("qkeras")
    bits = "quantized_bits(6,0,0,alpha=1)"
    q = {"kernel_quantizer": bits, "bias_quantizer": bits}
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            qkeras.QConv2D(16, 3, activation="relu", **q),
            qkeras.QActivation("quantized_relu(6)"),
            keras.layers.MaxPooling2D(2),
            qkeras.QConv2D(16, 3, activation="relu", **q),
            qkeras.QActivation("quantized_relu(6)"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            qkeras.QDense(10, **q),
        ]
    )
    loaded = load(cases / "models" / "qkeras_mnist_cnn.json")
    with h5py.File(cases / "models" / "qkeras_mnist_cnn_weights.h5") as file:
        names = ("q_conv2d", "q_conv2d_1", "q_dense")
        stored = [file[f"{n}/{n}/{w}:0"][()] for n in names for w in ("kernel", "bias")]
    model.set_weights(stored)
    x = np.random.default_rng(1).integers(0, 256, (32, 28, 28, 1)) / 256
    named = {loaded.graph.inputs[0].name: x}
    logits = evaluate(loaded.graph, named, loaded.recipe)["q_dense"]
    np.testing.assert_array_equal(logits, model.predict(x.astype(np.float32), verbose=0))


def fixed_point(folder: Path, bits: Any, **config: Any) -> Path:
    """A model that is nothing but hls4ml's stand-in for a quantizer of HGQ."""
    union = {"layers": {"q": {"result_t": "fixed<9,5,TRN,WRAP>"}}}
    path = write(
        folder,
        architecture([INPUT, entry("FixedPointQuantizer", "q", "x", overrides=union, **config)]),
        {"q": {"keep_negative": [[1]], "bits": bits, "integers": [[3]]}},
    )
    with h5py.File(folder / "m_weights.h5", "r+") as file:
        for name, dataset in list(file["q/q"].items()):
            whole = dataset[()].astype(np.int8)
            del file["q/q"][name]
            file["q/q"][name] = whole
    return path


def test_fixed_point_quantizers_have_their_own_bits_and_modes(tmp_path: Path) -> None:
    loaded = load(fixed_point(tmp_path, [[6]], RND="RND", SAT="SAT"))
    assert str(loaded.recipe.activation("q")) == "fixed<6,3,RND,SAT>"


def test_fixed_point_quantizers_round_each_element_to_its_own_bits(tmp_path: Path) -> None:
    path = fixed_point(tmp_path, [[6, 6, 5, 0, 7]], RND="TRN", SAT="WRAP")
    x = RNG.normal(0, 4, (200, 5))
    steps = np.exp2([-3, -3, -2, 0, -4])
    truth = np.floor(x / steps) * steps
    truth = np.mod(truth + 4, 8) - 4  # 3 bits before the point, the sign among them
    np.testing.assert_array_equal(run(path, x), truth * [1, 1, 1, 0, 1])


@pytest.mark.parametrize("samples", ["npz", "on_grid.npz"])
@pytest.mark.parametrize("name", ["hgq_mnist_homogeneous", "hgq_jet_classifier"])
def test_a_network_of_hgq_yields_what_hgq_yields(cases: Path, name: str, samples: str) -> None:
    """One with a format for each tensor, one with a format for each element."""
    path = cases / "hgq1" / f"{name}.h5"
    loaded, inputs = load(path), np.load(path.with_suffix(f".{samples}"))
    lowered = lower(loaded.graph, loaded.recipe)
    (x,) = loaded.graph.inputs
    tried = Samples({x.name: inputs["x"].reshape(-1, *x.shape).astype(np.float64)}, "HGQ")
    raw = raw_inputs(lowered.program, lowered.recipe, tried)
    result = quantized_outputs(lowered.program, raw)
    np.testing.assert_array_equal(next(iter(result.values())), inputs["y"])


def test_formats_of_hostile_names_stay_apart(tmp_path: Path) -> None:
    """A layer that bears the name of another's scale does not take its formats."""
    auto = {"class_name": "quantized_bits", "config": {"bits": 4, "alpha": "auto"}}
    layers = [
        INPUT,
        entry("QDense", "fc", "x", units=3, kernel_quantizer=auto),
        entry("Dense", "fc_scale", "fc", units=3),
    ]
    second = {"kernel": RNG.normal(size=(3, 3)), "bias": BIAS}
    loaded = load(write(tmp_path, architecture(layers), DENSE | {"fc_scale": second}))
    assert [n.name for n in loaded.graph.nodes] == ["x", "fc", "fc_scale_2", "fc_scale"]
    assert len(dict(loaded.graph.weights())) == 5


def test_weights_under_other_names_go_by_their_order(tmp_path: Path) -> None:
    layers = [
        INPUT,
        entry("Dense", "dense_7", "x", units=3),
        entry("ReLU", "r", "dense_7"),
        entry("Dense", "dense_8", "r", units=2),
    ]
    second = {"kernel": RNG.normal(size=(3, 2)), "bias": np.zeros(2)}
    path = write(tmp_path, architecture(layers), {"a": DENSE["fc"], "b": {}, "c": second})
    hidden = np.maximum(X @ KERNEL.astype(np.float32) + BIAS.astype(np.float32), 0)
    np.testing.assert_allclose(run(path, X), hidden @ second["kernel"], atol=1e-5)


def test_a_hard_swish_of_integers_is_qkerass_own(tmp_path: Path) -> None:
    """As one table: a gate that is rounded on its own is one step off on this very grid."""
    qkeras = pytest.importorskip("qkeras")
    text, grid = "quantized_hswish(8,2)", Quantizer.parse("fixed<16,6>")
    layers = [INPUT, entry("QActivation", "act", "x", activation=text)]
    loaded = load(write(tmp_path, architecture(layers), {"none": {}}))
    program = lower(loaded.graph, loaded.recipe.updated(Recipe.of({"x": grid}))).program
    raw = np.arange(-7 << 10, 8 << 10).reshape(-1, 5)
    result = interpret(program, {"x": raw})[program.outputs[0].value]
    truth = np.asarray(qkeras.get_quantizer(text)((raw / 1024).astype(np.float32)))
    np.testing.assert_array_equal(np.ldexp(result.astype(float), -5), truth)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("BinaryDense", [1.0, 1.0, -1.0, 1.0]), ("TernaryDense", [1.0, 0.0, -1.0, 0.0])],
)
def test_coarse_layers_are_read_as_hls4ml_reads_them(
    kind: str, wanted: list[float], tmp_path: Path
) -> None:
    layers = [
        entry("InputLayer", "x", batch_input_shape=[None, 4]),
        entry(kind, "d", "x", units=1, use_bias=True, activation="linear", H=1.0),
    ]
    kernel = np.array([0.7, 0.0, -0.5, 0.5], np.float32)[:, None]
    stored = {"d": {"kernel": kernel, "bias": np.array([0.25], np.float32)}}
    graph = load(write(tmp_path, architecture(layers), stored)).graph
    (result,) = outputs(graph, [np.eye(4)])
    np.testing.assert_array_equal(result[:, 0], np.array(wanted) + 0.25)
