# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design in the hands of FuseSoC and LiteX. Their packages are not among ours, so the tests take
another Python, which has both: EDGEINFER_SOC_PYTHON names it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.targets.rtl.settings import Budget, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from tests.support.places import ROOT
from tests.support.rtl_programs import dense_program, merged, small_network
from tests.unit.targets.rtl.test_plane import SHAPE, small_tagger

PYTHON = os.environ.get("EDGEINFER_SOC_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON, reason="EDGEINFER_SOC_PYTHON names no Python with fusesoc and litex"
    ),
]


@pytest.fixture(params=["frames", "planes"])
def design(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two inputs and two outputs, weights in memories; or a design for whole planes."""
    folder = tmp_path / "design"
    if request.param == "frames":
        program = merged([dense_program(6, 4), small_network(2)], "both")
        RtlTarget().emit(program, RtlSettings()).write(folder)
    else:
        settings = RtlSettings(event=SHAPE, budget=Budget(multipliers=12))
        RtlTarget().emit(small_tagger(), settings).write(folder)
    return folder


def manifest_of(design: Path) -> dict[str, Any]:
    """What the design says of itself."""
    manifest: dict[str, Any] = json.loads((design / "rtl.json").read_text())
    return manifest


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
    core = f"edgeinfer:designs:{manifest_of(design)['name']}:0"
    assert core in run([*words, "core", "list"], design.parent)
    run([*words, "run", "--target", "lint", "--setup", core], design.parent)
    (made,) = (design.parent / "build").rglob("lint-verilator")
    there = {path.name for path in made.glob("*.mem")}
    assert there == {path.name for path in (design / "hdl").glob("*.mem") if "tb_" not in path.name}


def test_litex_joins_every_port_of_a_design(design: Path) -> None:
    out = design.parent / "out"
    run([PYTHON, ROOT / "tests/support/litex_session.py", design, out], design.parent)
    manifest = manifest_of(design)
    module = manifest["top"]
    made, top = (out / "soc.v").read_text(), (out / f"{module}.v").read_text()
    head = top[top.index(f"module {module}") : top.index(");")]
    ports = set(re.findall(r"(\w+)\s*(?:,|$)", head.split("(", 1)[1], re.MULTILINE))
    instance = made[made.index(f"{module} {module}") :]
    joined = set(re.findall(r"\.(\w+)\s*\(", instance[: instance.index(");")]))
    assert joined == ports and len(joined) == 3 + 4 * sum(
        len(manifest[side]) for side in ("inputs", "outputs")
    )
    here = {path.name for path in out.iterdir()} - {"soc.v"}
    assert here == {path.name for path in (design / "hdl").iterdir() if "tb" not in path.stem}
