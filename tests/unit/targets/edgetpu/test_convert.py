# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Programs as int8 files: every weight, every level, every name its own; the same integers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph import nodes as g
from edgeinfer.ir import ops
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Conv, Dense, pack_weights
from edgeinfer.ir.program import Output, Program
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.readers import load
from edgeinfer.targets.edgetpu.deliver import (
    Judgement,
    TfliteConversion,
    conversion,
    judgement,
)
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8.convert import ConvertedFile
from edgeinfer.targets.edgetpu.int8.grid import Window, by_channel, window_for
from edgeinfer.targets.edgetpu.int8.rounding import LONGEST_SHIFT, Tilt
from edgeinfer.targets.edgetpu.int8.sums import whole_biases
from edgeinfer.targets.edgetpu.predict.prediction import prediction_of
from edgeinfer.targets.edgetpu.predict.rules import Status
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.zoo import ENTRIES, resolve
from quantization.fixed import Fixed, Ints, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe
from tests.support.hit_tagger_programs import FAITHFUL, hit_tagger, patches
from tests.support.random_graphs import random_inputs, random_network
from tests.support.small_networks import bars, tagger

LATER = {  # products of tensors, look-ups, recurrences
    *("jet-transformer", "jet-recurrent", "track-graph"),
    *("anomaly-trigger", "cvn-small"),  # other roundings than the Program's, in hidden layers too
    "sparse-ssnet-small",  # decides at every pixel: tests/unit/targets/test_sparse.py
}
DECIDING_EVERYWHERE = {"hgcal-detector", "hgcal-heads"}  # at each place, cell and edge
SMALL = [
    name for name, entry in ENTRIES.items() if entry.reference is not None and name not in LATER
]


def run(
    result: ConvertedFile,
    program: Program,
    raw: dict[str, Ints],
    kernels: simulate.Kernels = simulate.Kernels.DEFAULT,
) -> simulate.Int8Agreement:
    """The file by a set of kernels against a Program by the engine."""
    interpreter = simulate.Interpreter(result.data, result.ports, kernels)
    stored = simulate.stored_inputs(result.ports, simulate.real_inputs(program, raw))
    expected = simulate.engine_outputs(program, raw)
    return simulate.compare_outputs(result.ports, interpreter.run(stored), expected)


@dataclass(frozen=True)
class Delivered:
    """A file and how it ran."""

    file: TfliteConversion
    run: Judgement


def deliver(
    program: Program, graph: g.Graph, raw: dict[str, Ints], shown: dict[str, Ints]
) -> Delivered:
    """Convert, and judge."""
    file = conversion(program, graph, shown)
    both = [
        simulate.Interpreter(file.file.data, file.file.ports, kernels)
        for kernels in (simulate.Kernels.DEFAULT, simulate.Kernels.REFERENCE)
    ]
    own = file.file.program
    return Delivered(file, judgement(program, graph, raw, both[0], own, both[1], "edgetpu"))


@cache
def zoo(name: str, kernels: bool) -> tuple[Delivered, Samples, judge.Floats, Program]:
    """A reference model with 8 bits; with `kernels`, formats that round as the kernels do."""
    entry, loaded = ENTRIES[name], load(resolve(name))
    count = 250 if kernels else 2_000  # an area of 250 samples is not known to 0.003
    shown, tried = entry.data(1, 200), entry.data(2, count)
    chosen = quantize(loaded.graph, shown.inputs, PtqSettings(8, adapt=False))
    lowered = lower(
        chosen.graph, chosen.recipe.with_ties(Rounding.RND) if kernels else chosen.recipe
    )
    samples = Samples(
        {k: np.asarray(v, np.float64) for k, v in tried.inputs.items()},
        "simulated",
        {k: np.asarray(v, np.float64) for k, v in tried.targets.items()},
    )
    seen = Samples({k: np.asarray(v, np.float64) for k, v in shown.inputs.items()}, "simulated")
    raw = judge.raw_inputs(lowered.program, lowered.recipe, samples)
    calibration = judge.raw_inputs(lowered.program, lowered.recipe, seen)
    result = deliver(lowered.program, loaded.graph, raw, calibration)
    return result, samples, judge.quantized_outputs(lowered.program, raw), lowered.program


@pytest.mark.parametrize("name", SMALL)
def test_reference_models_are_reproduced_bit_for_bit(name: str) -> None:
    result, *_ = zoo(name, True)
    assert result.run.agreement.max_steps == 0 and result.run.agreement.decision_flips == 0
    if name in DECIDING_EVERYWHERE:
        return  # a sample with one other decision of thousands is no sign of a fault
    if any("finer than its products" in finding for finding in result.file.findings):
        assert result.run.to_program.max_steps <= 2  # hidden layers change too
    else:  # outputs are rounded to 8 bits, on another grid
        assert result.run.to_program.max_steps <= 1
        assert result.run.to_program.decision_flips_unrounded <= 2
    assert result.run.to_float.samples == result.run.agreement.samples
    assert result.run.to_float.decision_flips_unrounded < 0.1 * result.run.to_float.samples


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anomaly-trigger", "cvn-small"])
def test_products_and_residual_blocks_equal_the_files_own_program(name: str) -> None:
    result, *_ = zoo(name, True)
    assert result.run.agreement.max_steps == 0 and result.run.agreement.decision_flips == 0


@pytest.mark.parametrize("name", ["hit-tagger-pooled", "track-pid", "roi-finder"])
def test_ties_to_even_change_next_to_nothing(name: str) -> None:
    result, samples, program, _ = zoo(name, False)
    assert result.run.agreement.max_steps == 0 and result.run.agreement.decision_flips == 0
    graph = load(resolve(name)).graph
    outputs = {
        k: judge.apply_host_functions(v, result.run.hosts[k]) for k, v in result.run.outputs.items()
    }
    actual, expected = (judge.score(graph, values, samples) for values in (outputs, program))
    if expected.auc is not None and actual.auc is not None:
        assert abs(actual.auc - expected.auc) < 0.003


@pytest.mark.parametrize("name", SMALL)
def test_reference_models_map_whole(name: str) -> None:
    result, *_ = zoo(name, True)
    mapping = prediction_of(result.file.file.model).mapping
    assert all(m.status is Status.MAPPED for m in mapping.operators)
    assert not mapping.refused
    loaded = load(resolve(name)).graph
    assert [p.name for p in result.file.file.ports.inputs] == [n.name for n in loaded.inputs]
    left = [p.name for p in result.file.file.ports.outputs if not p.fine_of]
    assert left == list(loaded.outputs)


def test_one_dimensional_layers_are_images_one_pixel_high() -> None:
    result, *_ = zoo("track-pid", True)
    names = [op.name for op in result.file.file.model.operators]
    assert len(names) == 13 and names.count("CONV_2D") == 3 and "EXPAND_DIMS" not in names
    shapes = [op.outputs[0].shape for op in result.file.file.model.operators]
    assert (1, 1, 100, 16) in shapes


@pytest.mark.parametrize("name", SMALL)
def test_weights_and_levels_are_the_programs_own(name: str) -> None:
    result, *_ = zoo(name, True)
    held = [
        op for op in result.file.file.model.operators if op.name in ("CONV_2D", "FULLY_CONNECTED")
    ]
    assert result.file.file.program is not None
    drawn = [op for op in result.file.file.program.ops if isinstance(op, Conv | Dense)]
    for operator, op in zip(held, drawn, strict=True):
        weights = operator.inputs[1]
        assert weights is not None and weights.scales.size == 1
        laid = np.moveaxis(op.weight, -1, 0).astype(np.float64)
        values = weights.integers().astype(np.float64) * float(weights.scales[0])
        expected = np.ldexp(laid, -op.weight_type.frac).reshape(values.shape)
        assert np.allclose(values, expected, rtol=2.0**-22, atol=0)  # -128 among them; a hair off
    for tensor in result.file.file.model.tensors:
        if tensor.data is None:
            assert all(float(np.log2(scale)).is_integer() for scale in tensor.scales)


@pytest.mark.parametrize("bits", [8, 6, 4, 3])
def test_narrow_formats_are_carried_inside_int8(bits: int) -> None:
    """They saturate where their own format does, not where int8 does."""
    graph, data = tagger(), bars(300)
    chosen = quantize(graph, data.inputs, PtqSettings(bits, adapt=False))
    lowered = lower(chosen.graph, chosen.recipe.with_ties(Rounding.RND))
    raw = judge.raw_inputs(lowered.program, lowered.recipe, data)
    louder = {k: np.clip(v * 3, -(1 << bits - 1), (1 << bits - 1) - 1) for k, v in raw.items()}
    result = convert.convert_program(lowered.program, raw)
    assert result.program is not None
    assert run(result, result.program, louder).max_steps == 0


KINDS = ["conv", "depthwise", "groups", "dense", "several", "scale"]


def layer(
    kind: str, rounding: Rounding, most: int, signed: bool
) -> tuple[Program, dict[str, Ints]]:
    """A layer whose sums are rounded, with weights up to a size, and inputs that make many ties."""
    rng = np.random.default_rng(3)
    builder = ProgramBuilder("rounding")
    shape = (40,) if kind == "dense" else (5, 5, 4)
    builder.add(ops.Input("x", Fixed(False, 8, 2), shape))
    eight, grid = Fixed(True, 8, 1), provisional(13)
    bias = pack_weights(rng.integers(-900, 900, 4 if kind == "scale" else 8))
    window = ((1, 1), ((0, 0), (0, 0)), (1, 1))

    def drawn(*sizes: int) -> Ints:
        values = rng.integers(-(most // 2) if not signed else -most, most + 1, sizes)
        values.flat[0] = most  # odd, or there is room for another bit in any case
        return values

    match kind:
        case "dense" | "several":
            builder.exact(Dense("y", grid, "x", pack_weights(drawn(shape[-1], 8)), eight, bias))
        case "scale":
            builder.exact(ops.Scale("y", grid, "x", pack_weights(drawn(4)), eight, bias))
        case _:
            groups = {"conv": 1, "depthwise": 4, "groups": 2}[kind]
            weights = pack_weights(drawn(3, 3, 4 // groups, 8))
            builder.exact(Conv("y", grid, "x", weights, eight, bias, *window, groups))
    integer = {"scale": 4, "dense": 8}.get(kind, 8 if most > 63 else 7)
    out = Quantizer(Fixed(signed, 8, integer), rounding, Overflow.SAT)
    program = builder.program((Output("z", builder.requant("z", "y", out)),))
    return program, {"x": rng.integers(0, 256, (200, *shape))}


@pytest.mark.parametrize("rounding", [r for r in Rounding if r is not Rounding.RND_CONV])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kernel_rounds_doubled_sums_as_the_program_does(
    rounding: Rounding, kind: str
) -> None:
    for signed in (False, True):
        program, raw = layer(kind, rounding, 63, signed)
        result = convert.convert_program(program, raw)
        assert result.program is not None
        assert run(result, result.program, raw).max_steps == 0
        assert run(result, result.program, raw, simulate.Kernels.REFERENCE).max_steps == 0
        towards_zero = signed and rounding in (Rounding.RND_ZERO, Rounding.TRN_ZERO)
        assert run(result, program, raw).max_steps <= (1 if towards_zero else 0)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("kind", KINDS)
def test_the_default_kernels_round_any_sums_as_the_program_does(
    rounding: Rounding, kind: str
) -> None:
    """Weights of all 8 bits: ties away from zero or towards it, floors where sums end at zero."""
    for signed in (False, True):
        program, raw = layer(kind, rounding, 127, signed)
        result = convert.convert_program(program, raw)
        assert result.program is not None
        assert run(result, result.program, raw).max_steps == 0
        if not signed and rounding is not Rounding.RND_CONV:
            assert run(result, program, raw).max_steps == 0
        else:
            assert run(result, program, raw).max_steps <= 1
        reference = run(result, result.program, raw, simulate.Kernels.REFERENCE)
        dense = kind == "dense"
        assert reference.max_steps <= (0 if dense else 1)


@pytest.mark.parametrize("most", [15, 63, 127])
def test_biases_finer_than_the_products_are_whole_in_the_files_program(most: int) -> None:
    """Layers that several inputs share have such biases, where one input is coarser."""
    rng = np.random.default_rng(6)
    builder = ProgramBuilder("finer")
    builder.add(ops.Input("x", Fixed(False, 8, 2), (6,)))
    weights = rng.integers(-most, most + 1, (6, 16))
    weights.flat[0] = most
    bias, eight = pack_weights(rng.integers(-999, 999, 16)), Fixed(True, 8, 1)
    builder.exact(Dense("y", provisional(16), "x", pack_weights(weights), eight, bias))
    out = Quantizer(Fixed(True, 8, -1), Rounding.RND, Overflow.SAT)
    program = builder.program((Output("z", builder.requant("z", "y", out)),))
    raw = {"x": rng.integers(0, 12, (500, 6))}
    result = convert.convert_program(program, raw)
    assert result.program is not None
    assert run(result, result.program, raw).max_steps == 0
    assert run(result, program, raw).max_steps <= 1
    findings = any("finer than its products" in finding for finding in result.findings)
    assert findings == (most > 15)  # else the weights leave room for a grid as fine as the bias


def test_a_finer_bias_of_a_number_is_whole_products_too() -> None:
    """One number for each sample, without axes."""
    builder = ProgramBuilder("number")
    builder.add(ops.Input("x", Fixed(False, 8, 2), ()))
    factor, bias = pack_weights(np.array(127)), pack_weights(np.array(2097))
    builder.exact(ops.Scale("y", provisional(20), "x", factor, Fixed(True, 8, 1), bias))
    whole, findings = whole_biases(builder.program((Output("y", "y"),)))
    (scale,) = (op for op in whole.ops if isinstance(op, ops.Scale))
    products = 1 << (20 - 6 - 7)
    assert scale.bias.shape == () and int(scale.bias) == round(2097 / products) * products
    assert findings


def test_a_hair_moves_every_tie_and_nothing_else() -> None:
    """All sums that can reach 8 bits, at the largest shift that is promised."""
    for shift in (1, 7, LONGEST_SHIFT):
        sums = np.arange(-255 << shift, (255 << shift) + 1, dtype=np.int64)
        for tilt, expected in (
            (Tilt.ABOVE, np.sign(sums) * (np.abs(sums) + (1 << shift >> 1) >> shift)),
            (Tilt.BELOW, np.sign(sums) * (np.abs(sums) + (1 << shift >> 1) - 1 >> shift)),
        ):
            factor = np.float32(np.ldexp(tilt.factor, -shift))
            assert np.array_equal(np.rint(sums.astype(np.float32) * factor), expected)


def test_images_keep_their_shape_behind_a_dense_layer_over_positions() -> None:
    """A product is drawn as a row of pixels; a convolution behind it sees the image."""
    rng = np.random.default_rng(4)
    builder = ProgramBuilder("positions")
    builder.add(ops.Input("x", Fixed(False, 8, 2), (4, 6, 2)))
    eight, none = Fixed(True, 8, 1), pack_weights(np.zeros(3, np.int64))
    mixed = pack_weights(rng.integers(-90, 90, (2, 3)))
    builder.exact(Dense("d", provisional(13), "x", mixed, eight, none))
    half = Quantizer(Fixed(False, 8, 3), Rounding.RND, Overflow.SAT)
    builder.requant("e", "d", half)
    weights = pack_weights(rng.integers(-60, 90, (3, 3, 3, 3)))
    window = ((1, 1), ((1, 1), (1, 1)), (1, 1))
    builder.exact(Conv("c", provisional(12), "e", weights, eight, none, *window))
    out = Quantizer(Fixed(False, 8, 6), Rounding.RND, Overflow.SAT)
    program = builder.program((Output("z", builder.requant("z", "c", out)),))
    raw = {"x": rng.integers(0, 256, (20, 4, 6, 2))}
    assert run(convert.convert_program(program, raw), program, raw).max_steps == 0


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("pads", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((1, 0), (1, 0))])
def test_means_are_over_what_the_network_counts(counted: bool, pads: g.Pads) -> None:
    """With or without the zeros of the padding; or it is said that no operator does it."""
    rng = np.random.default_rng(5)
    nodes: tuple[g.Node, ...] = (
        g.InputNode("x", (7, 7, 3)),
        g.PoolNode("mean", "x", g.PoolNodeKind.AVERAGE, (3, 3), (2, 2), pads, counted),
    )
    fmt = Quantizer(Fixed(False, 8, 3), Rounding.RND, Overflow.SAT)
    recipe = Recipe.of({"x": fmt, "mean": fmt})
    program = lower(g.Graph("means", nodes, ("mean",)), recipe).program
    raw = {"x": rng.integers(0, 256, (40, 7, 7, 3))}
    offences = convert.check(program)
    same = pads == ((1, 1), (1, 1))
    if offences:
        assert not counted and not same and "is not a mean" in offences[0].reason
        return
    assert counted or same or pads == ((0, 0), (0, 0))
    assert run(convert.convert_program(program, raw), program, raw).max_steps <= 1


@pytest.mark.parametrize(
    ("size", "strides"), [((8, 8), (1, 1)), ((8, 9), (1, 8)), ((16, 9), (8, 8))]
)
def test_a_mean_over_a_whole_axis_takes_no_step(
    size: tuple[int, int], strides: tuple[int, int]
) -> None:
    """Steps of more than 3 would keep it off an Ethos-U."""
    eight = Quantizer(Fixed(False, 8, 3), Rounding.RND, Overflow.SAT)
    pool = g.PoolNode("mean", "x", g.PoolNodeKind.AVERAGE, (8, 8), (8, 8), ((0, 0), (0, 0)), True)
    graph = g.Graph("means", (g.InputNode("x", (*size, 3)), pool), ("mean",))
    program = lower(graph, Recipe.of({"x": eight, "mean": eight})).program
    raw = {"x": np.random.default_rng(6).integers(0, 256, (40, *size, 3))}
    result = convert.convert_program(program, raw)
    (mean,) = (op for op in result.model.operators if op.name == "DEPTHWISE_CONV_2D")
    assert mean.options.strides == strides
    assert run(result, program, raw).max_steps == 0


def test_random_networks_convert_or_say_why_not() -> None:
    """Networks of every kind of node under formats of every width."""
    equal = converted = 0
    for seed in range(40):
        network = random_network(seed)
        program = lower(network.graph, network.recipe, host_functions=False).program
        raw = random_inputs(network, seed, 16)
        offences = convert.check(program)
        if offences:
            assert all(o.reason for o in offences)
            with pytest.raises(UnsupportedModelError, match="edgeinfer quantize"):
                convert.convert_program(program, raw)
            continue
        result = convert.convert_program(program, raw)
        assert result.program is not None
        differing = run(result, result.program, raw).differing
        slopes = any(isinstance(op, ops.PRelu) for op in result.program.ops)
        assert slopes or not differing, seed  # a slope's branches round ties to two sides
        equal, converted = equal + (not differing), converted + 1
    assert converted >= 15
    assert equal >= converted - 1


def test_the_faithful_hit_tagger_streams_its_weights() -> None:
    program = hit_tagger(FAITHFUL).program
    result = convert.convert_program(program, {"patch": patches(4)})
    assert 11.9e6 < len(result.data) < 11.95e6
    found = prediction_of(result.model)
    assert 11.85e6 < found.memory.streamed_bytes < 11.95e6
    assert any("11.9 MB of parameters do not stay on the chip" in text for text in found.findings)
    assert any("92,928" in text for text in found.findings)


def test_wide_formats_are_named_one_by_one() -> None:
    builder = ProgramBuilder("wide")
    builder.add(ops.Input("x", Fixed(True, 8, 4), (4,)))
    none = pack_weights(np.zeros(3, np.int64))
    heavy = pack_weights(np.arange(12).reshape(4, 3) * 100 + 1)
    builder.exact(Dense("y", provisional(12), "x", heavy, Fixed(True, 12, 4), none))
    light = pack_weights(np.ones((3, 3), np.int64))
    builder.exact(Dense("z", provisional(12), "y", light, Fixed(True, 2, 2), none))
    program = builder.program((Output("z", "z"),))
    offences = {(o.path, o.reason.partition(" must")[0]) for o in convert.check(program)}
    assert ("y", "weights of 12 bits; int8 holds 8") in offences
    assert any(path == "y" and "levels" in reason for path, reason in offences)
    with pytest.raises(UnsupportedModelError, match="2 layers"):
        convert.convert_program(program)


def test_wide_inputs_are_stored_where_samples_are_missed_least() -> None:
    """An input without a format has 16 bits; the file takes 8 of them."""
    builder = ProgramBuilder("wide input")
    builder.add(ops.Input("x", Fixed(True, 16, 6), (6,)))
    none = pack_weights(np.zeros(2, np.int64))
    weight = pack_weights(np.array([[1, -2], [3, 4], [-5, 6], [7, 8], [9, -9], [2, 1]]))
    builder.exact(Dense("y", provisional(13), "x", weight, Fixed(True, 5, 2), none))
    program = builder.program((Output("y", "y"),))
    raw = {"x": np.random.default_rng(0).integers(0, 1024, (200, 6))}
    result = convert.convert_program(program, raw)
    assert "stored as ufixed<8,0>" in result.findings[0]
    stored = simulate.stored_inputs(result.ports, simulate.real_inputs(program, raw))
    assert result.program is not None
    entered = simulate.raw_inputs(result.ports, stored)
    actual = simulate.Interpreter(result.data, result.ports).run(stored)
    own = simulate.engine_outputs(result.program, entered)
    assert simulate.compare_outputs(result.ports, actual, own).max_steps == 0
    inputs = simulate.compare_outputs(result.ports, actual, simulate.engine_outputs(program, raw))
    assert inputs.max_steps <= 2


def test_windows_end_where_the_format_does() -> None:
    assert window_for(0, 63, 3) == Window(3, -192)
    assert window_for(-128, 127, 7) == Window(7, -128)
    assert window_for(0, 256, 0) is None and window_for(1, 5, 0) is None
    assert Window(3, -192).zero_point == 64 and Window(0, 0).zero_point == -128


def test_channels_on_grids_of_their_own_lose_nothing() -> None:
    raw = np.array([[3, 512], [-128, -1024]])
    weights = by_channel(pack_weights(raw), 10)
    assert weights is not None and not weights.uniform
    assert np.array_equal(np.ldexp(weights.raw, -weights.fracs), np.ldexp(raw, -10))
    assert by_channel(pack_weights(np.array([[1, 3], [400, 1]])), 0) is None


def test_converting_and_running_a_program_needs_no_tensorflow() -> None:
    script = (
        "import sys\n"
        "from tests.support.hit_tagger_programs import POOLED, hit_tagger, patches\n"
        "from edgeinfer.targets.edgetpu.int8 import convert\n"
        "from edgeinfer.targets.edgetpu.tflite import simulate\n"
        "program = hit_tagger(POOLED).program\n"
        "made = convert.convert_program(program, {'patch': patches(4)})\n"
        "simulate.Interpreter(made.data, made.ports)\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_division_beyond_what_is_exact_is_told() -> None:
    builder = ProgramBuilder("long")
    builder.add(ops.Input("x", Fixed(False, 8, 0), (64,)))
    weight, none = pack_weights(np.full((64, 2), 127)), pack_weights(np.zeros(2, np.int64))
    builder.exact(Dense("y", provisional(16), "x", weight, Fixed(True, 8, 0), none))
    out = Quantizer(Fixed(False, 8, 7), Rounding.RND, Overflow.SAT)
    program = builder.program((Output("z", builder.requant("z", "y", out)),))
    assert any(
        "divided by 2^15" in finding for finding in convert.convert_program(program).findings
    )
