# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""TensorFlow Lite Micro, played by LiteRT's reference kernels in a Python of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import ToolMissingError, UsageError
from edgeinfer.base.metrics import Origin
from edgeinfer.base.tflite.model import read
from edgeinfer.graph.nodes import Graph
from edgeinfer.targets.edgetpu.files import interpreter_of
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.tflitemicro import runner
from edgeinfer.targets.tflitemicro.settings import TfliteMicroSettings
from edgeinfer.targets.tflitemicro.target import TfliteMicroTarget
from tests.support.hit_tagger_programs import POOLED, hit_tagger, patches
from tests.support.places import FAKE_TOOLS

PLAIN = TfliteMicroSettings()


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that has the package."""
    monkeypatch.setenv(runner.PYTHON.override, str(FAKE_TOOLS / "micro/python"))
    monkeypatch.setenv("FAKE_MICRO_PYTHON", sys.executable)


@pytest.fixture
def emitted(tmp_path: Path) -> Path:
    """An emitted folder."""
    TfliteMicroTarget().emit(hit_tagger(POOLED).program, PLAIN).write(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("present")
def test_a_file_is_run_in_a_process_of_its_own(emitted: Path) -> None:
    micro = runner.MicroRunner(emitted)
    assert micro.runtime.version == "0.1"
    stored = {micro.ports.inputs[0].name: np.asarray(patches(3)).reshape(3, 48, 48, 1) % 128}
    actual = micro.run(stored)
    expected = interpreter_of(emitted, simulate.Kernels.REFERENCE).run(stored)
    assert all(np.array_equal(actual[name], expected[name]) for name in expected)
    arena = {m.name: m.value for m in micro.arena_metrics()}
    assert arena == {"arena_bytes": 7000, "tensor_bytes": 2500}


@pytest.mark.usefixtures("present")
def test_the_target_judges_what_the_microcontroller_would_give(emitted: Path) -> None:
    tagger = hit_tagger(POOLED)
    result = TfliteMicroTarget().kernels(emitted)
    assert isinstance(result.runner, runner.MicroRunner) and result.prefix == "litert"
    raw = {"patch": patches(4)}
    actual = TfliteMicroTarget().simulate(tagger.program, emitted, raw, PLAIN)
    assert set(actual) == {o.name for o in tagger.program.outputs}
    assert isinstance(tagger.graph, Graph)
    answer = TfliteMicroTarget().judge(tagger.program, tagger.graph, emitted, raw, PLAIN)
    figures = {m.name: m for m in answer.metrics}
    assert figures["arena_bytes"].origin is Origin.SIMULATED
    assert {"litert_differing", "int8_max_steps"} <= set(figures)
    assert "tflite-micro 0.1" in answer.findings[0] and "LiteRT on a PC" in answer.findings[0]


def test_without_the_package_litert_runs_the_file(
    emitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(runner.PYTHON.override, raising=False)
    monkeypatch.setattr(runner, "EXTRA", runner.Extra("micro", "nothing", ("no_such_module",)))
    assert isinstance(TfliteMicroTarget().kernels(emitted).runner, simulate.Interpreter)
    known = TfliteMicroTarget().forecast(read(emitted / "model.tflite"), 10, PLAIN)
    assert "edgeinfer[micro]" in known.findings[0]
    with pytest.raises(ToolMissingError, match=runner.PYTHON.override):
        runner.find_python()


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match="no clock of 0 MHz"):
        TfliteMicroSettings(cpu_mhz=0)
