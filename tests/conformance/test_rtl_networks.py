# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whole networks in RTL: the reference models and other people's, bit for bit the engine's integers
on 200 samples, with gaps, back-pressure and a reset; and by a second simulator."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base import tools
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.complete import complete_recipe
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.readers import load
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.cycles import DesignCycles, count_cycles
from edgeinfer.targets.rtl.design.prepare import prepare_program
from edgeinfer.targets.rtl.emit.emit import HDL, module_of
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.simulate import IDEAL, run
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.reference import load_reference
from quantization.fixed import Ints, Quantizer
from quantization.recipe import Recipe
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import Made, assert_cycles, needs_icarus, needs_verilator
from tests.support.rtl_session import cache_of_the_session
from tests.support.sampling import sample_cases

__all__ = ["cache_of_the_session"]

REFERENCES = (
    *("jet-tagger", "hit-tagger-pooled", "track-pid", "roi-finder"),
    *("track-graph", "anomaly-trigger", "jet-transformer", "jet-recurrent"),
)
JET_TAGGER = (
    Path(__file__).parents[2] / "reports" / "reference" / "quantization" / "jet-tagger-6bit.keras"
)
SAMPLES = 200
BITS = 6
PIXEL = Quantizer.parse("ufixed<8,0>")  # of inputs about which a model says nothing
ICARUS = tools.Tool("iverilog", "EDGEINFER_IVERILOG", "simulation", "apt-get install iverilog")
VVP = tools.Tool("vvp", "EDGEINFER_VVP", "simulation", "apt-get install iverilog")


@cache
def reference(name: str) -> tuple[Program, dict[str, Ints]]:
    """A reference model, quantized, and samples of its own kind."""
    data = entry_of(name).data(7, SAMPLES)
    chosen = quantize(load_reference(name), data.inputs, PtqSettings(BITS, refine=False))
    program = lower(chosen.graph, chosen.recipe).program
    return program, raw_inputs(program, chosen.recipe, Samples(data.inputs, "simulated"))


def assert_equal_to_the_engine(
    program: Program, raw: dict[str, Ints], settings: RtlSettings, folder: Path
) -> None:
    """Emit, simulate, compare."""
    target = RtlTarget()
    assert target.check(program, settings) == ()
    target.emit(program, settings).write(folder)
    result = target.simulate(program, folder, raw, settings)
    for name, expected in Engine(program, threads=1).run(raw).items():
        np.testing.assert_array_equal(result[name], expected, err_msg=name)


def assert_cycles_of(
    program: Program, raw: dict[str, Ints], settings: RtlSettings, folder: Path
) -> DesignCycles:
    """Simulate what was emitted into a folder, without gaps: every beat when it was counted."""
    program = prepare_program(program)
    _, netlist = design_netlist(program, settings)
    cycles = count_cycles(netlist)
    ideal = run(netlist, program, folder, raw, IDEAL, expected_cycles=50 * cycles.latency)
    assert_cycles(Made(program, netlist, cycles, folder), ideal)
    return cycles


@needs_verilator
@pytest.mark.parametrize("name", sample_cases(REFERENCES, 7))
def test_a_reference_model_equals_the_engine(name: str, tmp_path: Path) -> None:
    program, raw = reference(name)
    settings = RtlSettings()
    assert_equal_to_the_engine(program, raw, settings, tmp_path)
    assert_cycles_of(
        program, {port: values[:4] for port, values in raw.items()}, settings, tmp_path
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@needs_verilator
def test_the_detectors_first_network_equals_the_engine(tmp_path: Path) -> None:
    """Strided convolutions, a feature pyramid, four outputs: 8 bits, three whole images."""
    images = entry_of("hgcal-detector").data(7, 64).inputs
    chosen = quantize(load_reference("hgcal-detector"), images, PtqSettings(8, refine=False))
    program = lower(chosen.graph, chosen.recipe).program
    raw = raw_inputs(program, chosen.recipe, Samples({"image": images["image"][:3]}, "simulated"))
    settings = RtlSettings()
    assert_equal_to_the_engine(program, raw, settings, tmp_path)
    assert_cycles_of(program, raw, settings, tmp_path)


@needs_icarus
@pytest.mark.parametrize("name", sample_cases(REFERENCES[:4], 3))
def test_a_second_simulator_runs_the_emitted_testbench(name: str, tmp_path: Path) -> None:
    program, _ = reference(name)
    settings = RtlSettings()
    RtlTarget().emit(program, settings).write(tmp_path)
    bench = f"{module_of(design_netlist(program, settings)[1])}_tb"
    hdl = tmp_path / HDL
    result = hdl / "tb.vvp"
    tools.run(
        tools.find(ICARUS),
        ["-g2005", "-y.", "-s", bench, "-o", result, f"{bench}.v"],
        seconds=120,
        folder=hdl,
    )
    assert "PASS" in tools.run(tools.find(VVP), ["-n", result], seconds=300, folder=hdl).output


def jet_tagger() -> tuple[Program, dict[str, Ints]]:
    """The trained model of 6 bits that ships with the package, and jets of its own kind."""
    loaded = load(JET_TAGGER)
    recipe = complete_recipe(loaded.graph, loaded.recipe).recipe
    program = lower(loaded.graph, recipe).program
    data = entry_of("jet-tagger").data(7, SAMPLES)
    return program, raw_inputs(program, recipe, Samples(data.inputs, "simulated"))


@pytest.mark.slow
@needs_verilator
def test_the_unrolled_jet_tagger_takes_a_jet_a_cycle(tmp_path: Path) -> None:
    program, raw = jet_tagger()
    settings = RtlSettings(unroll="full")
    assert_equal_to_the_engine(program, raw, settings, tmp_path)
    few = {port: values[:6] for port, values in raw.items()}
    assert assert_cycles_of(program, few, settings, tmp_path).interval == 1


def test_the_pooled_tagger_keeps_up_with_the_detector() -> None:
    program, _ = reference("hit-tagger-pooled")
    _, netlist = design_netlist(program, RtlSettings(throughput=30_000))
    assert 100e6 / count_cycles(netlist).interval >= 30_000


def test_the_pooled_tagger_takes_a_pixel_a_cycle() -> None:
    program, _ = reference("hit-tagger-pooled")
    _, netlist = design_netlist(program, RtlSettings(throughput=43_400))
    assert count_cycles(netlist).interval == 48 * 48


FLOAT_MODELS = (
    "KERAS_3layer.json", "KERAS_conv1d_small.json", "conv2d_small_keras.onnx",
    "three_layer_bn_pytorch.onnx", "two_layer_keras.onnx", "branched_model_ch_last.onnx",
)  # fmt: skip
QUANTIZED_MODELS = ("qkeras_mnist_cnn.json", "TFC_1W2A.onnx", "unsw_nb15-mlp-w2a2.onnx")


def others_program(path: Path, *, quantized: bool) -> Program:
    """Someone else's model as a Program: with its own formats, or with ours."""
    loaded = load(path)
    rng = np.random.default_rng(7)
    data = {node.name: rng.normal(0, 1, (64, *node.shape)) for node in loaded.graph.inputs}
    if not quantized:
        chosen = quantize(loaded.graph, data, PtqSettings(BITS, refine=False))
        return lower(chosen.graph, chosen.recipe).program
    pixels = Recipe.of({node.name: PIXEL for node in loaded.graph.inputs})
    recipe = complete_recipe(loaded.graph, pixels.updated(loaded.recipe)).recipe
    return lower(loaded.graph, recipe).program


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("name", (*FLOAT_MODELS, *QUANTIZED_MODELS))
def test_other_peoples_models_equal_the_engine(name: str, cases: Path, tmp_path: Path) -> None:
    program = others_program(cases / "models" / name, quantized=name in QUANTIZED_MODELS)
    settings = RtlSettings()
    refused = RtlTarget().check(program, settings)
    if refused:
        pytest.skip("; ".join(map(str, refused)))
    raw = random_inputs(program, 11, SAMPLES)
    assert_equal_to_the_engine(program, raw, settings, tmp_path)
