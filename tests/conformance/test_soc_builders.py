# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design in the hands of FuseSoC and LiteX. Their packages are not among ours, so the tests take
another Python, which has both: EDGEINFER_SOC_PYTHON names it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.places import ROOT
from tests.support.rtl_programs import dense_program, merged, small_network

PYTHON = os.environ.get("EDGEINFER_SOC_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON, reason="EDGEINFER_SOC_PYTHON names no Python with fusesoc and litex"
    ),
]


@pytest.fixture
def design(tmp_path: Path) -> Path:
    """Two inputs and two outputs, weights in memories."""
    folder = tmp_path / "design"
    RtlTarget().emit(merged([dense_program(6, 4), small_network(2)], "both"), RtlSettings()).write(
        folder
    )
    return folder


def run(words: list[str | Path], folder: Path) -> str:
    """What a program prints; it must not fail."""
    done = subprocess.run(
        [str(word) for word in words], cwd=folder, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_fusesoc_takes_the_design_with_its_memories(design: Path) -> None:
    tool = Path(PYTHON).with_name("fusesoc")
    words: list[str | Path] = [tool, "--cores-root", design]
    assert "edgeinfer:designs:both:0" in run([*words, "core", "list"], design.parent)
    run([*words, "run", "--target", "lint", "--setup", "edgeinfer:designs:both:0"], design.parent)
    (made,) = (design.parent / "build").rglob("lint-verilator")
    there = {path.name for path in made.glob("*.mem")}
    assert there == {path.name for path in (design / "hdl").glob("*.mem") if "tb_" not in path.name}


def test_litex_joins_every_port_of_a_design(design: Path) -> None:
    out = design.parent / "out"
    run([PYTHON, ROOT / "tests/support/litex_session.py", design, out], design.parent)
    made, top = (out / "soc.v").read_text(), (out / "both_top.v").read_text()
    head = top[top.index("module both_top") : top.index(");")]
    ports = set(re.findall(r"(\w+)\s*(?:,|$)", head.split("(", 1)[1], re.MULTILINE))
    instance = made[made.index("both_top both_top") :]
    joined = set(re.findall(r"\.(\w+)\s*\(", instance[: instance.index(");")]))
    assert joined == ports and "m_axis_p1_y_tdata" in ports
    here = {path.name for path in out.iterdir()} - {"soc.v"}
    assert here == {path.name for path in (design / "hdl").iterdir() if "tb" not in path.stem}
