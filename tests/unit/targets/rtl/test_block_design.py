# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Vivado's script for a Zynq board, by a stand-in that checks every command that it is given."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edgeinfer.base.errors import EdgeInferError, ToolFailedError, ToolMissingError
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.measure import measure_design
from tests.support.places import FAKE_TOOLS
from tests.support.rtl_programs import dense_program, merged, small_network
from tests.unit.targets.rtl.test_zynq import ZYNQ

pytestmark = pytest.mark.skipif(shutil.which("tclsh") is None, reason="tclsh is not installed")


@pytest.fixture
def fake_vivado(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEINFER_VIVADO", str(FAKE_TOOLS / "vivado"))
    monkeypatch.delenv("FAKE_BLOCKS", raising=False)


def emitted(folder: Path, name: str, **more: object) -> RtlSettings:
    settings = replace(RtlSettings(board=name, route=True), **more)
    program = merged([dense_program(6, 4), small_network(2)], "both")
    RtlTarget().emit(program, settings).write(folder)
    return settings


@pytest.mark.usefixtures("fake_vivado")
@pytest.mark.parametrize("name", ZYNQ)
def test_a_board_s_block_design_is_made_and_its_figures_are_read(name: str, tmp_path: Path) -> None:
    settings = emitted(tmp_path, name)
    result = measure_design(tmp_path, settings)
    assert result.bitstream == tmp_path / "deploy/design.bit" and result.bitstream.is_file()
    assert (tmp_path / "deploy/design.hwh").is_file()
    figures = {metric.name: metric for metric in result.metrics if metric.layer is None}
    assert figures["board_clock_mhz"].value == settings.clock_mhz
    assert figures["latency_us"].origin == "routed" and "gives" in str(figures["latency_us"].note)


@pytest.mark.usefixtures("fake_vivado")
@pytest.mark.parametrize(
    "behaviour, said",
    [
        ("no_board", "install its board files"),
        ("slow", "too slow for its clock of 100.000 MHz"),
        ("unfinished", "did not finish the bitstream"),
    ],
)
def test_what_goes_wrong_in_vivado_is_told(
    behaviour: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = emitted(tmp_path, "pynq-z2")
    monkeypatch.setenv("FAKE_BLOCKS", behaviour)
    with pytest.raises(ToolFailedError, match=said):
        measure_design(tmp_path, settings)
    assert not (tmp_path / "deploy/design.bit").exists()


@pytest.mark.usefixtures("fake_vivado")
@pytest.mark.parametrize(
    "right, wrong",
    [
        ("accelerator/aclk", "accelerator/clk"),
        ("join_streams $control registers/S00_AXI\n", ""),
        ("CONFIG.c_include_sg", "CONFIG.c_with_sg"),
        ("-to_step write_bitstream", "-until write_bitstream"),
        ("dma_out_0/S_AXIS_S2MM", "dma_out_1/S_AXIS_S2MM"),
        ("put_ip proc_sys_reset", "put_ip sys_reset"),
    ],
)
def test_the_stand_in_notices_what_vivado_would(right: str, wrong: str, tmp_path: Path) -> None:
    settings = emitted(tmp_path, "pynq-z2")
    script = tmp_path / "board/block_design.tcl"
    text = script.read_text()
    assert right in text
    script.write_text(text.replace(right, wrong, 1))
    with pytest.raises(ToolFailedError):
        measure_design(tmp_path, settings)


def test_a_design_is_packaged_as_an_ip(tmp_path: Path) -> None:
    emitted(tmp_path, "zcu104")
    words = ["-mode", "batch", "-source", "package_ip.tcl"]
    done = subprocess.run(
        [FAKE_TOOLS / "vivado", *words], cwd=tmp_path / "board", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "build/ip/component.xml").is_file()


def test_without_vivado_it_is_told_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = emitted(tmp_path, "pynq-z2")
    monkeypatch.delenv("EDGEINFER_VIVADO", raising=False)
    kept = [x for x in os.environ["PATH"].split(os.pathsep) if not Path(x, "vivado").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(kept))
    with pytest.raises(ToolMissingError, match="vivado"):
        measure_design(tmp_path, settings)
    with pytest.raises(EdgeInferError, match="no seeds"):
        measure_design(tmp_path, replace(settings, route_tries=2))
