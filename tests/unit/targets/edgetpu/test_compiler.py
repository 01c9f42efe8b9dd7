# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The vendor's compiler, played by a script: run, read in every layout, and believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.metrics import Origin
from edgeinfer.targets.edgetpu.chip import compiler
from edgeinfer.targets.edgetpu.chip.measure import compiled_metrics, measure_file
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from tests.support import tflite_builder as build
from tests.support.places import FAKE_TOOLS

FAKE = FAKE_TOOLS / "fake_edgetpu_compiler"

VERSION_2 = """Edge TPU Compiler version 2.0.267685300

Model compiled successfully in 11 ms.

Input model: blur.tflite
Input size: 27.41KiB
Output model: blur_edgetpu.tflite
Output size: 296.85KiB
On-chip memory available for caching model parameters: 1.73MiB
On-chip memory used for caching model parameters: 10.00KiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 3
Operation log: blur_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU.
Number of operations that will run on Edge TPU: 1
Number of operations that will run on CPU: 2

Operator                       Count      Status

DEPTHWISE_CONV_2D              1          Mapped to Edge TPU
DEQUANTIZE                     1          Operation is working on an unsupported data type
QUANTIZE                       1          Operation is otherwise supported, but not mapped due to \
some unspecified limitation
"""

VERSION_15 = """Edge TPU Compiler version 15.0.340273435
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 1534 ms.

Input model: resnet18.tflite
Output model: resnet18_edgetpu.tflite
On-chip memory used for caching model parameters: 6.15MiB
On-chip memory remaining for caching model parameters: 5.75KiB
Off-chip memory used for streaming uncached model parameters: 7.03MiB
Number of Edge TPU subgraphs: 1
Total number of operations: 36
"""

LOG_16 = """Edge TPU Compiler version 16.0.384591198
Input: net.tflite
Output: net_edgetpu.tflite

Operator                       Count      Status

CUSTOM                         1          Operation is working on an unsupported data type
CONV_2D                        63         Mapped to Edge TPU
CONV_2D                        1          More than one subgraph is not supported
RESIZE_NEAREST_NEIGHBOR        1          Operation version not supported
LEAKY_RELU                     11         Operation not supported
FULLY_CONNECTED                2          Filter, bias, or other param is not constant at \
compile-time
"""


@pytest.mark.parametrize(
    ("log", "version"),
    [
        (VERSION_2, "2.0.267685300"),
        (VERSION_15, "15.0.340273435"),
        (LOG_16, "16.0.384591198"),
        ("", ""),
    ],
)
def test_the_version_is_read_in_every_layout(log: str, version: str) -> None:
    assert compiler.compiler_version(log) == version


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An uncompiled file."""
    path = tmp_path / "net.tflite"
    path.write_bytes(build.dense(16, 8))
    return path


@pytest.fixture
def twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script in the compiler's place, and what it is to yield."""
    held = build.package([build.E(2, b"", (b"i" * 32,)), build.E(1, b"p" * 192, (b"j" * 16,))])
    ready = tmp_path / "ready.tflite"
    ready.write_bytes(build.compiled(held))
    monkeypatch.setenv("FAKE_EDGETPU_COMPILED", str(ready))
    monkeypatch.setenv(compiler.COMPILER.override, str(FAKE))
    assert os.access(FAKE, os.X_OK)


@pytest.mark.usefixtures("twin")
def test_a_compilation_is_believed_over_the_prediction(model: Path) -> None:
    result = measure_file(model, EdgeTpuSettings(runtime=13, search_delegate=True))
    assert result.compilation.version == "16.0.384591198"
    assert result.compilation.path == model.with_name("net_edgetpu.tflite")
    log = model.with_name("net_edgetpu.log").read_text()
    assert "-m 13" in log and "--search_delegate" in log
    figures = {metric.name: metric for metric in compiled_metrics(model)}
    assert figures["cached_bytes"].value == 192 and figures["instruction_bytes"].value == 48
    assert all(m.origin is Origin.SYNTHESISED for m in figures.values())
    assert figures["cached_bytes"].version == "16.0.384591198"
    assert result.document["cached_bytes"] == 192
    assert result.document["predicted"]["cached_bytes"] != 192


@pytest.mark.usefixtures("twin")
def test_what_was_compiled_before_is_read_without_the_compiler(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure_file(model, EdgeTpuSettings())
    before = compiled_metrics(model)
    monkeypatch.delenv(compiler.COMPILER.override)
    monkeypatch.setenv("PATH", "/nowhere")
    assert measure_file(model, EdgeTpuSettings()).document["cached_bytes"] == 192
    assert compiled_metrics(model) == before
    model.with_name("net_edgetpu.tflite").unlink()
    with pytest.raises(ToolMissingError, match="EDGEINFER_EDGETPU_COMPILER"):
        measure_file(model, EdgeTpuSettings())


@pytest.mark.usefixtures("twin")
@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("refuse", "Didn't find op for builtin opcode 'CONV_2D' version '6'"),
        ("abort", "Internal compiler error. Aborting!"),
        ("nothing", "made no net_edgetpu.tflite"),
    ],
)
def test_a_compiler_that_fails_is_quoted(
    model: Path, monkeypatch: pytest.MonkeyPatch, mood: str, said: str
) -> None:
    monkeypatch.setenv("FAKE_EDGETPU_MOOD", mood)
    with pytest.raises(ToolFailedError) as caught:
        compiler.run(model, EdgeTpuSettings())
    assert said in str(caught.value)
    if mood != "nothing":
        assert "--search-delegate" in caught.value.hint
        with pytest.raises(ToolFailedError, match="smaller images"):
            compiler.run(model, EdgeTpuSettings(search_delegate=True))
    assert sorted(p.name for p in model.parent.iterdir()) == ["net.tflite", "ready.tflite"]
