# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers whose edges are tables: what Keras computes, every way of running the network computes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from edgeinfer.readers import load
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import quantize
from tests.support.lookup_networks import save_lookups, save_random_lookups
from tests.support.random_programs import random_inputs
from tests.support.rtl_circuit import computed
from tests.support.rtl_designs import needs_verilator
from tests.support.sampling import sample_cases


def program_of(path: Path) -> Program:
    loaded = load(path)
    return lower(loaded.graph, loaded.recipe).program


@pytest.mark.parametrize("seed", sample_cases(range(120), 12))
def test_engine_and_circuit_yield_the_interpreters_integers(seed: int, tmp_path: Path) -> None:
    program = program_of(save_random_lookups(tmp_path / "net.keras", seed))
    raw = random_inputs(program, seed, 40)
    expected = interpret(program, raw)
    wanted = expected[program.outputs[0].value]
    assert np.array_equal(Engine(program).run(raw)[program.outputs[0].name], wanted)
    assert np.array_equal(computed(program, raw)[program.outputs[0].value], wanted)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("unroll", ["full", "never"])
def test_verilog_yields_the_interpreters_integers(
    seed: int, unroll: Literal["full", "never"], tmp_path: Path
) -> None:
    program = program_of(save_random_lookups(tmp_path / "net.keras", seed))
    target, settings = RtlTarget(), RtlSettings(unroll=unroll)
    target.emit(program, settings).write(tmp_path / "rtl")
    raw = random_inputs(program, seed, 40)
    found = target.simulate(program, tmp_path / "rtl", raw, settings)
    output = program.outputs[0]
    assert np.array_equal(found[output.name], interpret(program, raw)[output.value])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_c_simulation_yields_the_interpreters_integers(seed: int, tmp_path: Path) -> None:
    program = program_of(save_random_lookups(tmp_path / "net.keras", seed))
    target, settings = HlsTarget(), HlsSettings()
    target.emit(program, settings).write(tmp_path / "hls")
    raw = random_inputs(program, seed, 40)
    found = target.simulate(program, tmp_path / "hls", raw, settings)
    output = program.outputs[0]
    assert np.array_equal(found[output.name], interpret(program, raw)[output.value])


def test_keras_computes_the_same(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    from edgeinfer.precision.lookup.keras_layer import LookupDense

    model = keras.Sequential(
        [
            keras.Input((5,)),
            LookupDense(3, "fixed<5,3,TRN,SAT>", fan_in=2),
            LookupDense(2, "ufixed<4,6,TRN,WRAP>", frac=2),
        ]
    )
    for variable in model.weights:
        variable.assign(variable * 20.0)
    path = tmp_path / "net.keras"
    model.save(path)
    again = keras.saving.load_model(path)  # in Keras's safe mode
    x = np.random.default_rng(0).normal(scale=2.0, size=(300, 5)).astype(np.float32)
    program = program_of(path)
    type_ = program.inputs[0].type
    raw = np.clip(np.floor(x * 2.0**type_.frac), type_.raw_min, type_.raw_max).astype(np.int64)
    output = program.outputs[0].value
    y = interpret(program, {program.inputs[0].name: raw})[output] * program.type(output).lsb
    assert np.array_equal(again.predict(x, verbose=0), y.astype(np.float32))
    assert len(np.unique(y)) > 8


def test_a_number_just_below_a_step_stands_at_the_place_below() -> None:
    pytest.importorskip("keras")
    from edgeinfer.precision.lookup.keras_layer import place_quantizer, places_of

    quantizer = place_quantizer("fixed<5,3,TRN,SAT>")
    x = np.array([-1e-9, 0.0, 0.25, np.nextafter(np.float32(0.25), np.float32(0))], np.float32)
    place, _ = places_of(quantizer, x)
    wanted = quantize(x, quantizer) - quantizer.type.raw_min
    assert np.array_equal(np.asarray(place), wanted)


@pytest.mark.slow
def test_a_layer_learns_its_tables() -> None:
    keras = pytest.importorskip("keras")
    from edgeinfer.precision.lookup.keras_layer import LookupDense

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (400, 2)).astype(np.float32)
    y = np.abs(x).sum(axis=1, keepdims=True)
    layers = [LookupDense(2, "fixed<5,1,TRN,SAT>", 4), LookupDense(1, "fixed<6,3,TRN,SAT>", 6)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=False)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=12, batch_size=100, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.1 * before


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"format": "fixed<5,3>"}, "rounds"),
        ({"format": "fixed<20,3,TRN,SAT>"}, "12 bits"),
        ({"format": "five bits"}, "five bits"),
        ({"format": "fixed<5,3,TRN,SAT_ZERO>"}, "neither saturates nor wraps"),
        ({"frac": 60}, "60 bits"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    config: dict[str, object], reason: str, tmp_path: Path
) -> None:
    own = {"units": 1, "format": "fixed<2,2,TRN,SAT>", "frac": 0, "fan_in": None} | config
    path = save_lookups(tmp_path / "net.keras", 1, [own], [np.zeros((1, 4, 1), np.float32)])
    with pytest.raises(UnsupportedModelError, match=f"lookup_0.*{reason}"):
        load(path)


def test_too_many_entries_are_refused_with_the_remedy(tmp_path: Path) -> None:
    own = {"units": 9, "format": "fixed<12,2,TRN,SAT>", "frac": 0, "fan_in": None}
    tables = np.random.default_rng(0).normal(scale=9.0, size=(2, 4096, 9)).astype(np.float32)
    path = save_lookups(tmp_path / "net.keras", 2, [own], [tables])
    with pytest.raises(UnsupportedModelError, match=r"18 edges have 73,728 entries.*fan_in"):
        load(path)
