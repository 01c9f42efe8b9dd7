# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Layers whose neurons are tables: what Keras computes, every way of running the network computes,
and hardware has a LUT for each bit of an entry and nothing else."""

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
from edgeinfer.targets.edgetpu.int8.convert import check
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.design.recurrence import count_readers
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.measure import measure_design
from edgeinfer.targets.rtl.unrolled.cells import FieldsCell, Join, LookupCell
from edgeinfer.targets.rtl.unrolled.unroll import unroll
from tests.support.lookup_networks import (
    neurons_config,
    save_layers,
    save_random_neurons,
    saved_neurons,
)
from tests.support.random_programs import random_inputs
from tests.support.rtl_circuit import computed
from tests.support.rtl_designs import needs_verilator
from tests.support.sampling import sample_cases


def program_of(path: Path) -> Program:
    loaded = load(path)
    return lower(loaded.graph, loaded.recipe).program


@pytest.mark.parametrize("seed", sample_cases(range(120), 8))
def test_engine_and_circuit_yield_the_interpreters_integers(seed: int, tmp_path: Path) -> None:
    program = program_of(save_random_neurons(tmp_path / "net.keras", seed))
    raw = random_inputs(program, seed, 40)
    wanted = interpret(program, raw)[program.outputs[0].value]
    assert np.array_equal(Engine(program).run(raw)[program.outputs[0].name], wanted)
    assert np.array_equal(computed(program, raw)[program.outputs[0].value], wanted)


@needs_verilator
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("unroll", ["full", "never"])
def test_verilog_yields_the_interpreters_integers(
    seed: int, unroll: Literal["full", "never"], tmp_path: Path
) -> None:
    program = program_of(save_random_neurons(tmp_path / "net.keras", seed))
    target, settings = RtlTarget(), RtlSettings(unroll=unroll)
    target.emit(program, settings).write(tmp_path / "rtl")
    raw = random_inputs(program, seed, 40)
    found = target.simulate(program, tmp_path / "rtl", raw, settings)
    output = program.outputs[0]
    assert np.array_equal(found[output.name], interpret(program, raw)[output.value])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_c_simulation_yields_the_interpreters_integers(seed: int, tmp_path: Path) -> None:
    program = program_of(save_random_neurons(tmp_path / "net.keras", seed))
    target, settings = HlsTarget(), HlsSettings()
    target.emit(program, settings).write(tmp_path / "hls")
    raw = random_inputs(program, seed, 40)
    found = target.simulate(program, tmp_path / "hls", raw, settings)
    output = program.outputs[0]
    assert np.array_equal(found[output.name], interpret(program, raw)[output.value])


def neurons_of_six_bits(path: Path) -> Program:
    """Five neurons that read three of eight inputs of two bits, and yield two bits."""
    rng = np.random.default_rng(1)
    connected = np.argsort(rng.random((8, 5)), axis=0) < 3
    held = rng.integers(0, 4, (5, 64))
    config = neurons_config(5, "ufixed<2,2,TRN,SAT>", 2, 3)
    return program_of(save_layers(path, 8, [saved_neurons(config, connected, held)]))


def test_an_address_is_wires(tmp_path: Path) -> None:
    program = neurons_of_six_bits(tmp_path / "net.keras")
    circuit = unroll(program, count_readers(program)).circuit
    fields = [cell for cell in circuit.cells if isinstance(cell, FieldsCell)]
    assert sorted(cell.constant for cell in fields) == [*[0] * 5, 64, 128, 192, 256]
    assert not any(isinstance(cell, Join | LookupCell) for cell in circuit.cells)


def test_an_int8_file_of_more_entries_than_levels_is_refused_by_name(tmp_path: Path) -> None:
    offences = check(neurons_of_six_bits(tmp_path / "net.keras"))
    assert [(each.path, each.kind) for each in offences] == [("lookup_0.exact", "Table")]
    assert "320 entries" in offences[0].reason and "RTL" in offences[0].reason


@pytest.mark.slow
def test_a_neuron_takes_a_lut_for_each_bit_that_it_yields(tmp_path: Path) -> None:
    program = neurons_of_six_bits(tmp_path / "net.keras")
    settings = RtlSettings(unroll="full", interface="bare", stages=1, part="xcvu9p")
    RtlTarget().emit(program, settings).write(tmp_path / "rtl")
    figures = measure_design(tmp_path / "rtl", settings).metrics
    assert {m.name: m.value for m in figures if not m.layer}["lut"] == 5 * 2


def test_keras_computes_the_same(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    from edgeinfer.precision.lookup.keras_layer import LookupDense
    from edgeinfer.precision.lookup.table_neurons import TableNeurons

    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            TableNeurons(6, "fixed<3,2,TRN,SAT>", bits=2, fan_in=2, seed=4),
            TableNeurons(4, "ufixed<2,2,TRN,SAT>", bits=3, fan_in=3, seed=5),
            LookupDense(2, "ufixed<3,3,TRN,SAT>", frac=2),
        ]
    )
    x = np.random.default_rng(0).normal(scale=1.5, size=(300, 5)).astype(np.float32)
    trained = np.asarray(model(x, training=True))
    path = tmp_path / "net.keras"
    model.save(path)
    again = keras.saving.load_model(path)  # in Keras's safe mode
    program = program_of(path)
    type_ = program.inputs[0].type
    raw = np.clip(np.floor(x * 2.0**type_.frac), type_.raw_min, type_.raw_max).astype(np.int64)
    output = program.outputs[0].value
    y = interpret(program, {program.inputs[0].name: raw})[output] * program.type(output).lsb
    assert np.array_equal(again.predict(x, verbose=0), y.astype(np.float32))
    assert np.array_equal(trained, y.astype(np.float32))
    assert len(np.unique(y)) > 5


@pytest.mark.slow
def test_a_layer_learns_what_no_sum_of_its_inputs_tells() -> None:
    keras = pytest.importorskip("keras")
    from edgeinfer.precision.lookup.table_neurons import TableNeurons

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (400, 2)).astype(np.float32)
    y = 3.0 * (x[:, :1] * x[:, 1:] > 0.0)
    layer = TableNeurons(1, "fixed<3,1,TRN,SAT>", bits=2, fan_in=2, seed=2)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.Adam(0.03), "mse", jit_compile=False)
    model.fit(x, y, epochs=20, batch_size=50, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.5  # the best sum of one table each is above 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "ufixed<2,2>"}, "rounds"),
        ({"format": "ufixed<7,7,TRN,SAT>"}, "2 inputs of 7 bits; at most 12"),
        ({"bits": 40}, "40 bits"),
        ({"bits": 1}, "more than whole numbers of 1 bits"),
        ({"fan_in": 1}, "not connected to 1 inputs"),
        ({"units": 0}, "0 units"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    change: dict[str, object], reason: str, tmp_path: Path
) -> None:
    config = neurons_config(1, "ufixed<2,2,TRN,SAT>", 2, 2)
    layer = saved_neurons(config | change, np.ones((2, 1)), np.full((1, 16), 3))
    with pytest.raises(UnsupportedModelError, match=f"lookup_0.*{reason}"):
        load(save_layers(tmp_path / "net.keras", 2, [layer]))


def test_too_many_entries_are_refused_with_the_remedy(tmp_path: Path) -> None:
    config = neurons_config(17, "ufixed<6,6,TRN,SAT>", 2, 2)
    layer = saved_neurons(config, np.ones((2, 17)), np.zeros((17, 4096)))
    path = save_layers(tmp_path / "net.keras", 2, [layer])
    with pytest.raises(UnsupportedModelError, match=r"17 neurons have 69,632 entries.*fan_in"):
        load(path)
