# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Vela, played by a script: run, read, and reported where it fails or is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base.errors import (
    InputError,
    ToolFailedError,
    ToolMissingError,
    UnsupportedModelError,
)
from edgeinfer.base.metrics import Origin
from edgeinfer.base.tflite import model
from edgeinfer.ir.ops import macs_of
from edgeinfer.targets.ethosu import vela
from edgeinfer.targets.ethosu.settings import Accelerator, EthosUSettings
from edgeinfer.targets.ethosu.target import EthosUTarget
from edgeinfer.targets.target import ToolStep
from tests.support import tflite_builder as build
from tests.support.hit_tagger_programs import POOLED, hit_tagger
from tests.support.places import FAKE_TOOLS

PLAIN = EthosUSettings(accelerator=Accelerator.U65_256)


@pytest.fixture
def emitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An emitted folder, a Vela, and what it is going to make: one operator stays on the host."""
    left = build.O("SOFTMAX", ("y",), ("z",))
    tensors = [build.T("x", (1, 4)), build.T("y", (1, 4)), build.T("z", (1, 4))]
    npu = build.O("CUSTOM", ("x",), ("y",), custom=vela.CUSTOM_OP, custom_options=b"")
    ready = tmp_path / "ready.tflite"
    ready.write_bytes(build.tflite(tensors, [npu, left], ["x"], ["z"]))
    monkeypatch.setenv("FAKE_VELA_COMPILED", str(ready))
    monkeypatch.setenv(vela.VELA.override, str(FAKE_TOOLS / "vela"))
    folder = tmp_path / "project"
    EthosUTarget().emit(hit_tagger(POOLED).program, PLAIN).write(folder)
    return folder


def synthesise(folder: Path) -> str:
    """Take the folder through Vela: what was said."""
    done = EthosUTarget().synthesise(
        hit_tagger(POOLED).program, folder, PLAIN, (ToolStep.SYNTH,), seconds=60, raw={},
        report=lambda step, seconds, line: None,
    )  # fmt: skip
    return done.lines[0]


def test_vela_compiles_and_its_summary_is_told(emitted: Path) -> None:
    assert EthosUTarget().reports(emitted, PLAIN) == ()
    assert synthesise(emitted) == (
        "vela 5.2.0 compiled model.tflite for ethos-u65-256: SOFTMAX run on the processor"
    )
    results = {m.name: m for m in EthosUTarget().reports(emitted, PLAIN)}
    cycles = results["npu_cycles"]
    assert cycles.origin is Origin.ESTIMATED and cycles.value == 38086
    assert (cycles.low, cycles.high) == (32512, 14843 + 1820 + 32512)
    assert results["latency_us"].value == pytest.approx(38086 / 500)
    assert results["sram_bytes"].value == 2560 and results["flash_bytes"].value == 31.75 * 1024
    assert results["host_ops"].value == 1 and results["host_ops"].origin is Origin.SYNTHESISED


def test_no_npu_is_faster_than_its_multipliers() -> None:
    program = hit_tagger(POOLED).program
    (least,) = EthosUTarget().estimate(program, PLAIN)
    macs = sum(macs_of(op, program.shapes) for op in program.ops)
    assert least.origin is Origin.PROVED and least.value == macs / 256


@pytest.mark.parametrize(
    ("mood", "told", "kind"),
    [
        ("refuse", "Invalid tflite file", ToolFailedError),
        ("nothing", "made no model_vela.tflite", ToolFailedError),
        ("garbled", "no summary of Vela's", InputError),
    ],
)
def test_what_goes_wrong_is_told(
    emitted: Path, monkeypatch: pytest.MonkeyPatch, mood: str, told: str, kind: type[Exception]
) -> None:
    monkeypatch.setenv("FAKE_VELA_MOOD", mood)
    with pytest.raises(kind, match=told):
        synthesise(emitted)
    assert not (emitted / vela.COMPILED).exists()


def test_a_missing_vela_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.delenv(vela.VELA.override, raising=False)
    target = EthosUTarget()
    assert target.unasked_steps(PLAIN) == () and not vela.is_here()
    with pytest.raises(ToolMissingError, match="EDGEINFER_VELA") as caught:
        vela.find_vela()
    assert "edgeinfer[ethos]" in caught.value.hint
    (check,) = target.check_tools()
    assert "edgeinfer[ethos]" in check.mend


@pytest.mark.parametrize("reads", [1 << 16, (1 << 16) + 1])
def test_a_dense_layer_that_vela_ends_at_is_refused_by_name(reads: int) -> None:
    """The faithful hit tagger has one of 92,928 inputs."""
    read = model.parse(build.dense(reads, 2), "wide")
    if reads == 1 << 16:
        assert EthosUTarget().forecast(read, 0, PLAIN).metrics
        return
    with pytest.raises(UnsupportedModelError, match="reads 65,537 numbers"):
        EthosUTarget().forecast(read, 0, PLAIN)
