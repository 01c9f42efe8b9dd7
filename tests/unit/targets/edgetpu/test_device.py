# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A device, played by a small library: found, run, and survived when it crashes its process."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.metrics import Origin
from edgeinfer.targets.edgetpu.chip import device
from edgeinfer.targets.edgetpu.chip.measure import on_device
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.ports import TflitePort, TflitePorts
from tests.support import tflite_builder as build
from tests.support.places import FAKE_TOOLS

SOURCE = FAKE_TOOLS / "fake_libedgetpu.c"
PORTS = TflitePorts(
    (TflitePort("x", (16,), "UINT8", 1.0, 0),),
    (TflitePort("y", (8,), "UINT8", 1.0, 0),),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, compiled."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    result = tmp_path_factory.mktemp("library") / "libedgetpu.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", result, SOURCE], check=True)
    return result


@pytest.fixture
def present(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One device."""
    monkeypatch.setenv(device.LIBRARY_VARIABLE, str(library))
    monkeypatch.setenv("FAKE_EDGETPU_DEVICE", "one")


@pytest.mark.usefixtures("present")
def test_a_device_is_found() -> None:
    result = device.probe_devices()
    assert result.devices == (device.EdgeTpuDevice("usb", "/sys/bus/usb/devices/2-1"),)
    assert "RuntimeVersion(14)" in result.library_version and not result.problem


@pytest.mark.usefixtures("present")
def test_a_model_is_run_and_timed_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(build.dense(16, 8))
    stored = {"x": np.random.default_rng(0).integers(0, 256, (3, 16))}
    results = device.run(path, PORTS, stored, repeats=20)
    reference = simulate.Interpreter(path.read_bytes(), PORTS).run(stored)
    assert results.outputs["y"].shape == (3, 8)
    difference = np.abs(results.outputs["y"].astype(int) - reference["y"].astype(int))
    assert difference.max() <= 1  # other kernels
    metric = results.metric("14")
    assert metric.origin is Origin.MEASURED and metric.unit == "us" and metric.value > 0
    assert len(results.seconds) == 20


@pytest.mark.usefixtures("present")
@pytest.mark.parametrize(
    ("mood", "problem"), [("none", "no Edge TPU"), ("crash", "ended by SIGABRT")]
)
def test_no_device_and_a_crash_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mood: str, problem: str
) -> None:
    monkeypatch.setenv("FAKE_EDGETPU_DEVICE", mood)
    assert problem in device.probe_devices().problem
    with pytest.raises(ToolMissingError, match="There is no Edge TPU to run on"):
        device.run(tmp_path / "net.tflite", PORTS, {})


@pytest.mark.usefixtures("present")
def test_a_delegate_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_EDGETPU_DEVICE", "refuse")
    path = tmp_path / "net.tflite"
    path.write_bytes(build.dense(16, 8))
    with pytest.raises(ToolFailedError, match="Failed to load delegate"):
        device.run(path, PORTS, {"x": np.zeros((1, 16), np.int64)})


def test_a_library_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device.LIBRARY_VARIABLE, "/nowhere/libedgetpu.so.1")
    result = device.probe_devices()
    assert not result.devices and "OSError" in result.problem


def test_devices_are_seen_without_any_library(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "apex_0").touch()
    for name, vendor, product in (("2-1", "18d1", "9302"), ("1-4", "18d1", "4ee7")):
        place = tmp_path / "sys/bus/usb/devices" / name
        place.mkdir(parents=True)
        (place / "idVendor").write_text(f"{vendor}\n")
        (place / "idProduct").write_text(f"{product}\n")
    assert device.nodes(tmp_path) == (str(tmp_path / "dev/apex_0"), "usb 2-1 18d1:9302")


@pytest.mark.usefixtures("present")
def test_a_device_is_timed_and_held_against_the_reference_kernels(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(build.dense(16, 8))
    results = {metric.name: metric for metric in on_device(path, path, PORTS, "14")}
    assert set(results) == {"latency_device", "device_max_steps", "device_decision_flips"}
    assert all(m.origin is Origin.MEASURED and m.version == "14" for m in results.values())
    assert results["device_max_steps"].value <= 1
