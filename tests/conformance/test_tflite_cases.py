# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Other people's int8 networks: every integer is that of the reference kernels, and published times
lie in the bands of estimates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.base.tflite.model import read
from edgeinfer.cli.app import main
from edgeinfer.readers import load
from edgeinfer.targets.tflitemicro.cycles import PROFILES
from edgeinfer.targets.tflitemicro.settings import Cpu
from tests.support.command_line import design_figures, shown
from tests.support.rtl_designs import needs_verilator
from tests.support.tflite_operators import (
    before_softmax,
    ports_of,
    program_outputs,
    random_stored,
    reference,
)

SAMPLES = {  # as many as take a second
    "mlperf_tiny/ad01_int8": 1000,
    "mlperf_tiny/kws_int8": 20,
    "mlperf_tiny/resnet8_int8": 10,
    "mlperf_tiny/vww_96_int8": 3,
    "edgetpu/dense_256": 100,
    "edgetpu/dense_1024": 20,
    "edgetpu/exported_model1_quant": 2,
    "edgetpu/exported_pong_10_quant8": 2,
    "edgetpu/gabor_64x64_p4": 4,
    "edgetpu/looming_64x64_3x3": 4,
    "edgetpu/mobilenet_v1_0.25_128_quant": 1,
    "edgetpu/split_concat": 20,
}
REFUSED = {
    "edgetpu/bright_64x64": {"SOFTMAX"},  # of 4,096 elements
    "edgetpu/color_red_64x64": {"SOFTMAX"},  # of 4,096 elements
    "edgetpu/deeplabv3_mnv2_dm05_pascal_quant": {"RESIZE_BILINEAR"},
    "edgetpu/posenet_mobilenet_v1_075_353_481_16_quant_decoder": {"CUSTOM:PosenetDecoderOp"},
    "edgetpu/dense_256_edgetpu": {"CUSTOM:edgetpu-custom-op"},
}


def assert_equal(case: Path, folder: Path, samples: int) -> None:
    """The network before its softmax, by the reference kernels and by the Program."""
    path = folder / "case.tflite"
    path.write_bytes(before_softmax(case.read_bytes()))
    ports = ports_of(path)
    stored = random_stored(ports, samples, np.random.default_rng(0))
    expected, result = reference(path, ports, stored), program_outputs(path, ports, stored)
    for output, values in expected.items():
        assert np.array_equal(result[output], values), output


@pytest.mark.parametrize("name", SAMPLES)
def test_integers_are_those_of_the_reference_kernels(
    cases: Path, name: str, tmp_path: Path
) -> None:
    assert_equal(cases / f"{name}.tflite", tmp_path, SAMPLES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SAMPLES if name.startswith("mlperf_tiny")])
def test_a_thousand_inputs_give_the_integers_of_the_reference_kernels(
    cases: Path, name: str, tmp_path: Path
) -> None:
    assert_equal(cases / f"{name}.tflite", tmp_path, 1000)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(cases: Path, name: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        load(cases / f"{name}.tflite")
    assert REFUSED[name] <= {offence.kind for offence in caught.value.offences}


FOLDED_US, FOLDED_SAMPLES = 100_000, 4


def _order(name: str, target: str, part: str, cases: Path, folder: Path) -> list[str]:
    """A whole run by the command line, on inputs of every size."""
    case = cases / "mlperf_tiny" / f"{name}.tflite"
    ports = ports_of(case)
    (port,) = ports.inputs
    stored = random_stored(ports, FOLDED_SAMPLES, np.random.default_rng(0))
    np.savez(folder / "data.npz", x=port.real(stored[port.name]))
    return [
        *("compile", str(case), "--data", str(folder / "data.npz"), "-o", str(folder / "run")),
        *("--target", target, "--device", part),
    ]


@needs_verilator
@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["kws_int8", "resnet8_int8"])
def test_folded_networks_fit_an_open_part_and_are_exact(
    cases: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = _order(name, "rtl", "lfe5u-85f", cases, tmp_path)
    result = shown(capsys, *order, "--latency-us", str(FOLDED_US))
    agreements = {tuple(entry["pair"]): entry["bit_identical"] for entry in result["agreement"]}
    assert agreements["engine", "rtl"] and all(agreements.values())
    figures = design_figures(result, "rtl")
    assert figures["latency_us_at_asked_clock"] < FOLDED_US
    assert all(figures[f"{kind}_share"] < 100 for kind in ("lut", "ff", "dsp", "bram18"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["kws_int8", "resnet8_int8"])
def test_folded_networks_are_exact_in_c_simulation(
    cases: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = shown(capsys, *_order(name, "hls", "xcku115", cases, tmp_path), "--fit")
    agreements = {tuple(entry["pair"]): entry["bit_identical"] for entry in result["agreement"]}
    assert agreements["engine", "csim"] and all(agreements.values())
    assert design_figures(result, "hls")["bram18"] < 4_320  # what the part has


def test_a_part_that_is_too_small_is_refused_with_the_numbers(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = _order("kws_int8", "rtl", "ice40up5k", cases, tmp_path)
    assert main([*order, "--latency-us", str(FOLDED_US)]) == 2
    message = capsys.readouterr().err
    assert "all weights take 0.18 Mbit" in message and "ice40up5k hold 0.12 Mbit" in message


# Inferences a second: MLPerf Tiny 1.1, Krai's results for CMSIS-NN by microTVM and X-CUBE-AI 8.0.
PUBLISHED = {
    (Cpu.M4, 120): {"ad01": 116.212, "resnet8": 2.567, "kws": 10.019, "vww_96": 3.324},
    (Cpu.M33, 128): {"ad01": 159.020, "resnet8": 3.146, "kws": 13.074, "vww_96": 4.286},
    (Cpu.M7, 280): {"ad01": 547.234, "resnet8": 18.215, "kws": 60.988, "vww_96": 19.867},
}


@pytest.mark.parametrize(("cpu", "mhz"), PUBLISHED, ids=str)
def test_published_times_lie_in_the_band(cases: Path, cpu: Cpu, mhz: int) -> None:
    folder = cases / "mlperf_tiny"
    for name, rate in PUBLISHED[cpu, mhz].items():
        operators = read(folder / f"{name}_int8.tflite").operators
        ratio = sum(map(PROFILES[cpu].cycles, operators)) * rate / (mhz * 1e6)
        assert 1 / PROFILES[cpu].band < ratio < PROFILES[cpu].band, name
