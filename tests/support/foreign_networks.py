# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Random Keras networks as strangers write them, and all that must hold of each.

This shares nothing with the other generators here. Networks have odd shapes, several inputs and
outputs, layers and models that are called twice, models inside with tables for inputs and outputs,
strides, dilations, groups, and weights that are tiny, huge or zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.errors import ProgramError, RecipeError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.explain import explain
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.engine.float_engine import FloatEngine
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import LoweredModel
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers import load
from edgeinfer.run.defaults import add_formats
from edgeinfer.run.lower import lower_with
from quantization.calibrate import Method
from quantization.recipe import Recipe

SAMPLES = 24
LARGEST = 3000  # elements of a tensor
CURVES = ("sigmoid", "tanh", "elu", "softplus", "softsign", "swish", "gelu", "selu", "hard_sigmoid")
SIZES = (1.0, 1.0, 1.0, 1e-3, 1e-9, 30.0, 0.0)


@dataclass
class Grower:
    """A network in the making: its live tensors, and layers that may be called again."""

    keras: Any
    rng: np.random.Generator
    depth: int = 0
    live: list[Any] = field(default_factory=list)
    index: Any = None  # whole numbers below `entries`, an input
    entries: int = 0
    steady: list[Any] = field(default_factory=list)  # which no rounding puts in another order
    shared: list[tuple[Any, tuple[int, ...]]] = field(default_factory=list)

    def one_of(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def tensor(self) -> Any:
        """A live tensor; late ones more often."""
        back = min(int(self.rng.geometric(0.5)), len(self.live))
        return self.live[-back]

    def add(self, result: Any) -> None:
        shape = result.shape[1:]
        if all(shape) and int(np.prod(shape)) <= LARGEST:
            self.live.append(result)

    def grow(self) -> None:
        """One more layer."""
        x = self.tensor()
        rank = len(x.shape) - 1
        kinds = ["dense", "activation", "merge", "shape", "norm", "again", "inside"]
        kinds += {
            1: [],
            2: ["conv", "conv", "pool", "attention", "index", "recurrent"],
            3: ["conv", "conv", "conv", "pool"],
        }[rank]
        kind = self.one_of(*kinds)
        result = getattr(self, f"_{kind}")(x, rank)
        if result is not None:
            self.add(result)

    def _dense(self, x: Any, rank: int) -> Any:
        layer = self.keras.layers.Dense(int(self.rng.integers(1, 9)), **self._options())
        self.shared.append((layer, tuple(x.shape[1:])))
        return layer(x)

    def _options(self) -> dict[str, Any]:
        activation = self.one_of(None, None, "relu", "relu6", "leaky_relu", *CURVES)
        return {"activation": activation, "use_bias": bool(self.rng.random() < 0.8)}

    def _conv(self, x: Any, rank: int) -> Any:
        layers, space = self.keras.layers, x.shape[1:-1]
        window = tuple(int(self.rng.integers(1, min(size, 5) + 1)) for size in space)
        padding = self.one_of("valid", "same")
        striding = self.rng.random() < 0.4
        options: dict[str, Any] = {"padding": padding, **self._options()}
        if striding:
            options["strides"] = self.one_of(1, 2, 3)
        elif padding == "same" or all(2 * w - 1 <= s for w, s in zip(window, space, strict=True)):
            options["dilation_rate"] = self.one_of(1, 2)
        channels = x.shape[-1]
        if rank == 3 and self.rng.random() < 0.3:
            options.pop("dilation_rate", None)
            return layers.DepthwiseConv2D(window, depth_multiplier=self.one_of(1, 2), **options)(x)
        if rank == 3 and self.rng.random() < 0.15:
            return layers.SeparableConv2D(3, window, padding=padding)(x)
        groups = self.one_of(*[g for g in (1, 2, 3) if channels % g == 0])
        filters = groups * int(self.rng.integers(1, 4))
        kind = layers.Conv1D if rank == 2 else layers.Conv2D
        return kind(filters, window, groups=groups, **options)(x)

    def _pool(self, x: Any, rank: int) -> Any:
        layers, space = self.keras.layers, x.shape[1:-1]
        name = self.one_of("MaxPooling", "AveragePooling", "GlobalAveragePooling", "UpSampling")
        kind = getattr(layers, f"{name}{rank - 1}D")
        if name == "GlobalAveragePooling":
            return kind()(x)
        if name == "UpSampling":
            return kind(2)(x)
        window = tuple(int(self.rng.integers(1, min(size, 3) + 1)) for size in space)
        strides = self.one_of(None, 1, 2)
        return kind(window, strides=strides, padding=self.one_of("valid", "same"))(x)

    def _activation(self, x: Any, rank: int) -> Any:
        layers = self.keras.layers
        return self.one_of(
            layers.ReLU(), layers.ReLU(max_value=6.0), layers.LeakyReLU(negative_slope=0.17),
            layers.PReLU(), layers.ELU(0.7), layers.Activation(self.one_of(*CURVES)),
            layers.Softmax() if x.shape[-1] > 1 else layers.ReLU(),
        )(x)  # fmt: skip

    def _norm(self, x: Any, rank: int) -> Any:
        layers = self.keras.layers
        return self.one_of(
            layers.BatchNormalization(), layers.BatchNormalization(scale=False, epsilon=0.1),
            layers.Rescaling(1 / 3, 0.2), layers.Dropout(0.3), self._norm_of_a_sample,
            self._norm_of_a_sample,
        )(x)  # fmt: skip

    def _norm_of_a_sample(self, x: Any) -> Any:
        """Of bounded values: Keras loses digits where a mean is far from zero. The direction of a
        vector next to zero is noise."""
        layers = self.keras.layers
        if self.rng.random() < 0.25:
            return layers.UnitNormalization()(layers.Rescaling(0.4, 1.0)(layers.ReLU(6.0)(x)))
        groups = self.one_of(*[g for g in (1, 2, 3) if x.shape[-1] % g == 0])
        return self.one_of(
            layers.LayerNormalization(epsilon=1e-2), layers.RMSNormalization(epsilon=1e-2),
            layers.GroupNormalization(groups, epsilon=1e-2),
        )(layers.Activation("tanh")(x))  # fmt: skip

    def _index(self, x: Any, rank: int) -> Any:
        """A look-up by an index that is an input, or by the order of the elements."""
        ops, layers = self.keras.ops, self.keras.layers
        if self.rng.random() < 0.4 and self.steady:
            steady = self.steady[int(self.rng.integers(len(self.steady)))]
            if len(steady.shape) == 3 and int(np.prod(steady.shape[1:])) <= LARGEST // 8:
                return self._order(ops, steady)
        if self.index is None:
            return None
        choice = self.rng.random()
        if choice < 0.3:
            return layers.Embedding(self.entries, int(self.rng.integers(1, 5)))(self.index)
        if choice < 0.5 and self.index.shape[1] == x.shape[1]:
            chosen = ops.one_hot(self.index, self.entries)
            return ops.matmul(ops.transpose(chosen, (0, 2, 1)), x)
        if x.shape[1] < self.entries:
            return None
        return ops.take_along_axis(x, ops.expand_dims(self.index, -1), axis=1)

    def _order(self, ops: Any, x: Any) -> Any:
        count = int(self.rng.integers(1, x.shape[-1] + 1))
        values, places = ops.top_k(x, count)
        if self.rng.random() < 0.5:
            return values
        if self.rng.random() < 0.5:
            return ops.take_along_axis(x, places, axis=-1)
        axis = self.one_of(1, 2)
        return ops.one_hot(ops.argmax(x, axis=axis), x.shape[axis])

    def _attention(self, x: Any, rank: int) -> Any:
        """Heads of two channels or more: Keras on TensorFlow adds the bias of a head of one channel
        to the places instead, where there are as many places as heads."""
        layers, size = self.keras.layers, int(self.rng.integers(2, 4))
        others = [y for y in self.live if len(y.shape) == 3]
        causal = bool(self.rng.random() < 0.3)
        value = others[int(self.rng.integers(len(others)))]
        if x.shape[1] * value.shape[1] * size > LARGEST // 4:
            return None
        if self.rng.random() < 0.3:
            value = layers.Dense(x.shape[-1])(value)
            shared = layers.GroupQueryAttention(size, 4, self.one_of(1, 2))
            return shared(x, value, use_causal_mask=causal)
        if self.rng.random() < 0.3:
            value = layers.Dense(x.shape[-1])(value)
            plain = self.one_of(
                layers.Attention(use_scale=True), layers.Attention(score_mode="concat"),
                layers.AdditiveAttention(),
            )  # fmt: skip
            return plain([x, value], use_causal_mask=causal)
        if self.rng.random() < 0.3:
            return layers.Dot(axes=(2, 2))([x, layers.Dense(x.shape[-1])(value)])
        bias = bool(self.rng.random() < 0.7)
        heads = layers.MultiHeadAttention(self.one_of(1, 2), size, use_bias=bias)
        return heads(x, value, use_causal_mask=causal)

    def _recurrent(self, x: Any, rank: int) -> Any:
        """With functions that are bounded, or else what grows from step to step has no format."""
        layers, units = self.keras.layers, int(self.rng.integers(1, 5))
        whole = {"return_sequences": bool(self.rng.random() < 0.5)}
        options: dict[str, Any] = {"use_bias": bool(self.rng.random() < 0.8)}
        options["activation"] = self.one_of("tanh", "tanh", "sigmoid", "softsign", "hard_sigmoid")
        kind = self.one_of("SimpleRNN", "LSTM", "GRU")
        if kind == "GRU":
            options["reset_after"] = bool(self.rng.random() < 0.5)
        if self.rng.random() < 0.2:
            cells = [getattr(layers, f"{kind}Cell")(units, **options), layers.GRUCell(2)]
            return layers.RNN(cells, **whole)(x)
        if self.rng.random() < 0.3:
            merge = self.one_of("concat", "sum", "mul", "ave")
            inner = getattr(layers, kind)(units, **options, **whole)
            return layers.Bidirectional(inner, merge_mode=merge)(x)
        backwards = bool(self.rng.random() < 0.3)
        layer = getattr(layers, kind)(units, go_backwards=backwards, **options, **whole)
        self.shared.append((layer, tuple(x.shape[1:])))
        return layer(x)

    def _merge(self, x: Any, rank: int) -> Any:
        layers = self.keras.layers
        same = [y for y in self.live if y.shape == x.shape]
        if self.rng.random() < 0.3:
            near = [y for y in self.live if y.shape[1:-1] == x.shape[1:-1]]
            return layers.Concatenate()([x, near[int(self.rng.integers(len(near)))]])
        others = [same[int(self.rng.integers(len(same)))] for _ in range(2)]
        kind = self.one_of("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
        count = 1 if kind == "Subtract" else self.one_of(1, 2)
        return getattr(layers, kind)()([x, *others[:count]])

    def _shape(self, x: Any, rank: int) -> Any:
        layers = self.keras.layers
        if rank == 1:
            size = x.shape[-1]
            width = self.one_of(*[w for w in range(1, size + 1) if size % w == 0])
            return layers.Reshape((size // width, width))(x)
        if rank == 3 and self.rng.random() < 0.4:
            return self.one_of(
                layers.ZeroPadding2D(((0, 1), (2, 0))), layers.Permute((2, 1, 3)),
                layers.Cropping2D((0, 0) if x.shape[1] < 3 else ((0, 1), (0, 0))),
            )(x)  # fmt: skip
        return self.one_of(
            layers.Flatten(), layers.Permute((2, 1)) if rank == 2 else layers.Flatten()
        )(x)

    def _again(self, x: Any, rank: int) -> Any:
        """A layer that was called before, on another tensor."""
        fitting = [layer for layer, shape in self.shared if shape == tuple(x.shape[1:])]
        return fitting[int(self.rng.integers(len(fitting)))](x) if fitting else None

    def _inside(self, x: Any, rank: int) -> Any:
        """A model inside the model, its inputs and outputs lists or tables with shuffled keys."""
        if self.depth:
            return None
        keras, other = self.keras, self.tensor()
        inner = Grower(keras, self.rng, depth=1)
        keys = [str(key) for key in self.rng.permutation(["zeta", "alpha"])]
        inputs = {
            key: keras.Input(t.shape[1:], name=f"{key}_{len(self.live)}")
            for key, t in zip(keys, (x, other), strict=True)
        }
        inner.live = list(inputs.values())
        for _ in range(3):
            inner.grow()
        ends = {"second": inner.live[-1], "first": inner.live[-2]}
        uses = dict(zip(keys, (x, other), strict=True))
        if self.rng.random() < 0.5:
            model = keras.Model(inputs, ends)
            result = model(
                {key: uses[key] for key in sorted(uses, reverse=bool(self.rng.random() < 0.5))}
            )
            result = [result["first"], result["second"]]
        else:
            model = keras.Model(list(inputs.values()), list(ends.values()))
            result = model(list(uses.values()))
        self.add(result[0])
        return result[1]


def random_model(keras: Any, seed: int) -> Any:
    """A Functional model, the same for the same seed."""
    rng = np.random.default_rng([seed, 71])
    keras.utils.clear_session(free_memory=seed % 25 == 0)  # which takes a second
    grower = Grower(keras, rng)
    for number in range(int(rng.integers(1, 4))):
        shape = tuple(int(n) for n in rng.integers(1, 8, int(rng.integers(1, 4))))
        grower.live.append(keras.Input(shape, name=f"in{number}"))
    inputs = list(grower.live)
    grower.steady = [*inputs, *(keras.layers.ReLU()(x) for x in inputs)]
    if rng.random() < 0.5:
        grower.entries = int(rng.integers(2, 6))
        shape = (int(rng.integers(1, 7)),)
        grower.index = keras.Input(shape, dtype="int32", name=f"below{grower.entries}")
        inputs.append(grower.index)
    for _ in range(int(rng.integers(3, 11))):
        grower.grow()
    result = [t for t in grower.live if not any(t is each for each in inputs)]
    if not result:
        result = [keras.layers.Dense(3)(inputs[0])]
    ends = [result[-1]]
    if len(result) > 2 and rng.random() < 0.4:
        ends.append(result[int(rng.integers(len(result) - 1))])
    model = keras.Model(inputs, ends)
    for weight in model.weights:
        _fill(weight, rng)
    return model


def _fill(weight: Any, rng: np.random.Generator) -> None:
    if "seed" in weight.path:
        return
    shape = tuple(weight.shape)
    values = rng.normal(size=shape)
    if "variance" in weight.path:
        weight.assign(np.abs(values) + 0.05)
        return
    fan = max(float(np.prod(shape[:-1])), 1.0)
    size = SIZES[int(rng.integers(len(SIZES)))] if rng.random() < 0.4 else 1.0
    weight.assign(values * size / np.sqrt(fan))


def random_settings(rng: np.random.Generator) -> PtqSettings:
    """Any width and any way to calibrate."""
    bits = int(rng.integers(2, 25))
    refine = bool(rng.random() < 0.3)
    return PtqSettings(
        bits,
        method=list(Method)[int(rng.integers(len(Method)))],
        per_channel=bool(rng.random() < 0.4),
        input_bits=None if rng.random() < 0.5 else int(rng.integers(2, 25)),
        refine=refine,
        adapt=refine and bool(rng.random() < 0.5),
        equalize=refine and bool(rng.random() < 0.5),
    )


@dataclass(frozen=True)
class Outcome:
    """What became of a network: its Program, or why there is none."""

    seed: int
    lowered: LoweredModel | None
    samples: Samples | None
    refused: str = ""


def checked_network(keras: Any, seed: int, folder: Path) -> Outcome:
    """Write, read, quantize, lower; assert that each step is as right as it can be."""
    model = random_model(keras, seed)
    rng = np.random.default_rng([seed, 72])
    path = folder / f"net{seed}.keras"
    model.save(path)
    inputs = {
        x.name: (rng.normal(size=(SAMPLES, *x.shape[1:])) * rng.choice([0.1, 1.0, 5.0]))
        for x in model.inputs
    }
    for name in inputs:
        if name.startswith("below"):
            inputs[name] = rng.integers(0, int(name[5:]), inputs[name].shape).astype(float)
    inputs = {name: values.astype(np.float32).astype(np.float64) for name, values in inputs.items()}
    if rng.random() < 0.3:
        inputs[model.inputs[0].name][int(rng.integers(SAMPLES))] *= 20.0
    loaded = load(path)
    path.unlink()
    samples = Samples(inputs, "drawn by a test")
    fed = [
        inputs[x.name].astype(np.int32 if x.name.startswith("below") else np.float32)
        for x in model.inputs
    ]
    truth = model(fed, training=False)
    truth = truth if isinstance(truth, list | tuple) else [truth]
    found = FloatEngine(loaded.graph, threads=1).run(inputs, taps=tuple(loaded.graph.shapes))
    noise = 2e-6 * max(float(np.abs(values).max(initial=0.0)) for values in found.values())
    for name, theirs in zip(loaded.graph.outputs, truth, strict=True):
        wanted = np.asarray(theirs)
        size = 2e-4 * float(np.abs(wanted).max(initial=0.0))
        np.testing.assert_allclose(
            found[name], wanted, rtol=2e-4, atol=size + noise, err_msg=f"seed {seed}: {name}"
        )
    try:
        fixed = add_formats(loaded, random_settings(rng), samples)
        lowered = lower_with(fixed, Recipe(), None)
    except (RecipeError, ProgramError) as error:
        assert error.exit_code == 2 and len(error.message) > 20
        return Outcome(seed, None, None, str(error))
    answer = explain(lowered, loaded.graph, samples)
    assert not answer.findings, f"seed {seed}: {answer.findings}"
    raw = raw_inputs(lowered.program, lowered.recipe, samples)
    expected = results(lowered.program, interpret(lowered.program, raw))
    actual = Engine(lowered.program, threads=1).run(raw)
    for name, values in expected.items():
        np.testing.assert_array_equal(actual[name], values, err_msg=f"seed {seed}: {name}")
    return Outcome(seed, lowered, samples)
