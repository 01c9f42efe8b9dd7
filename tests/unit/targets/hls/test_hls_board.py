# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An hls4ml project on a Zynq board: its C simulation behind the board's own driver, the files, and
the scripts by stand-ins for both tools."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import ToolFailedError, ToolMissingError, UsageError
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.targets.boards.driver import driver_of
from edgeinfer.targets.boards.wrapper import AXI_TOP
from edgeinfer.targets.hls.board.core import simulated_core
from edgeinfer.targets.hls.board.files import IP_SCRIPT
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.target import ToolStep
from tests.support.hls_programs import inputs, two_heads
from tests.support.places import FAKE_TOOLS
from tests.support.rtl_designs import needs_verilator
from tests.support.sparse_programs import lit_images, sparse_unet
from tests.unit.targets.rtl.test_library import lint

needs_tcl = pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")


def emitted(folder: Path, **more: object) -> HlsSettings:
    settings = HlsSettings(board="pynq-z2", **more)  # type: ignore[arg-type]
    HlsTarget().emit(two_heads(), settings).write(folder)
    return settings


@pytest.mark.parametrize("io", IoType)
def test_frames_through_the_driver_are_the_engine_s(io: IoType, tmp_path: Path) -> None:
    settings = emitted(tmp_path, io=io)
    raw = inputs(200)
    reply = HlsTarget().ask_board(tmp_path, raw, settings, simulated=True)
    for name, values in Engine(two_heads(), threads=1).run(raw).items():
        np.testing.assert_array_equal(reply.outputs[name], values)
    assert len(reply.cycles) == 0 and reply.clock_mhz == 200.0  # C knows no cycles


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("io", IoType)
def test_a_board_leaves_the_count_of_left_out_pixels_aside(io: IoType, tmp_path: Path) -> None:
    """Its port would stop the frames behind the first if nobody emptied it."""
    program = sparse_unet(0, size=8, levels=1, convs=1, most=5)
    settings, target = HlsSettings(board="pynq-z2", io=io), HlsTarget()
    target.emit(program, settings).write(tmp_path)
    raw = lit_images(program, 0, (1.0, 0.05, 0.5, 0.0))
    reply = target.ask_board(tmp_path, raw, settings, simulated=True)
    for name, values in Engine(program, threads=1).run(raw).items():
        np.testing.assert_array_equal(reply.outputs[name], values)


def test_a_packet_of_a_wrong_length_is_counted_and_the_next_is_good(tmp_path: Path) -> None:
    emitted(tmp_path)
    raw = inputs(3)
    with (
        simulated_core(tmp_path) as pynq,
        driver_of(tmp_path, pynq) as driver,
        driver.Accelerator() as accelerator,
    ):
        whole = driver.pack
        for cut in (-8, None):
            driver.pack = lambda values, told, cut=cut: np.resize(
                whole(values, told), len(whole(values, told)) + (cut or 8)
            )
            with pytest.raises(driver.AcceleratorError, match="it was reset"):
                accelerator.run_raw(raw)
        driver.pack = whole
        result = accelerator.run_raw(raw)
    for name, values in Engine(two_heads(), threads=1).run(raw).items():
        np.testing.assert_array_equal(result[name], values)


@needs_verilator
def test_the_logic_around_a_project_is_clean(tmp_path: Path) -> None:
    emitted(tmp_path)
    assert lint(tmp_path / "board", AXI_TOP) == ""


def test_a_board_says_part_and_clock_and_refuses_others() -> None:
    settings = HlsSettings(board="zcu104", clock_ns=4.5)
    assert settings.part == "xczu7ev-ffvc1156-2-e"
    assert settings.clock_mhz == pytest.approx(1500 / 7) and settings.clock_ns >= 4.5
    assert HlsSettings.from_record(json.loads(json.dumps({"reuse_of": [], "strategy_of": [],
        "board": "pynq-z2", "clock_ns": 8.0}))).clock_mhz == 125.0  # fmt: skip
    with pytest.raises(UsageError, match="carries xc7z020"):
        HlsSettings(board="pynq-z2", part="xcu250-figd2104-2L-e")
    with pytest.raises(UsageError, match="project is for Quartus"):
        HlsSettings(board="pynq-z2", backend=Backend.QUARTUS)
    with pytest.raises(UsageError, match="no shell for projects"):
        HlsSettings(board="ulx3s")


@needs_tcl
@pytest.mark.parametrize(
    "backend, tool, streams",
    [(Backend.VITIS, "vitis_hls", ""), (Backend.VIVADO, "vivado_hls", "_V_V")],
)
def test_scripts_make_the_ip_and_the_block_design(
    backend: Backend, tool: str, streams: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEINFER_VIVADO", str(FAKE_TOOLS / "vivado"))
    monkeypatch.setenv(f"EDGEINFER_{tool.upper()}", str(FAKE_TOOLS / tool))
    monkeypatch.setenv("FAKE_STREAMS", streams)
    settings = emitted(tmp_path, backend=backend)

    def build() -> Path | None:
        return HlsTarget().synthesise(
            two_heads(), tmp_path, settings, [ToolStep.ROUTE],
            seconds=60, raw={}, report=lambda *_: None,
        ).bitstream  # fmt: skip

    assert build() == tmp_path / "deploy/design.bit"
    words = [FAKE_TOOLS / "vivado", "-mode", "batch", "-source", "package_ip.tcl"]
    packaged = subprocess.run(words, cwd=tmp_path / "board", capture_output=True, text=True)
    assert packaged.returncode == 0, packaged.stdout
    assert (tmp_path / "build/axi_ip/component.xml").is_file()  # beside the core's own
    script = tmp_path / IP_SCRIPT
    text = script.read_text()
    for right, wrong in (("-reset state", "-reset none"), ("set_part", "part"), ("\nexit", "\n")):
        script.write_text(text.replace(right, wrong, 1))
        with pytest.raises(ToolFailedError):
            build()
    monkeypatch.delenv("EDGEINFER_VIVADO")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolMissingError, match="vivado"):
        build()
