# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Other people's int8 networks: every integer is that of the reference kernels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UnsupportedModelError
from edgeinfer.readers import load
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
    "edgetpu/bright_64x64": {"FULLY_CONNECTED"},  # behind a softmax
    "edgetpu/color_red_64x64": {"FULLY_CONNECTED"},  # behind a softmax
    "edgetpu/deeplabv3_mnv2_dm05_pascal_quant": {"RESIZE_BILINEAR"},
    "edgetpu/posenet_mobilenet_v1_075_353_481_16_quant_decoder": {"CUSTOM:PosenetDecoderOp"},
    "edgetpu/dense_256_edgetpu": {"CUSTOM:edgetpu-custom-op"},
}


@pytest.mark.parametrize("name", SAMPLES)
def test_integers_are_those_of_the_reference_kernels(
    cases: Path, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "case.tflite"
    path.write_bytes(before_softmax((cases / f"{name}.tflite").read_bytes()))
    ports = ports_of(path)
    stored = random_stored(ports, SAMPLES[name], np.random.default_rng(0))
    wanted, made = reference(path, ports, stored), program_outputs(path, ports, stored)
    for output, values in wanted.items():
        assert np.array_equal(made[output], values), output


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(cases: Path, name: str) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        load(cases / f"{name}.tflite")
    assert REFUSED[name] <= {offence.kind for offence in caught.value.offences}
