# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Folders as hls4ml emits them, with its own build scripts, and reports laid where tools do."""

from __future__ import annotations

import shutil
from importlib import util
from pathlib import Path

from edgeinfer.targets.hls.settings import Backend
from tests.support.places import FAKE_TOOLS

REPORTS = FAKE_TOOLS / "reports"
SOURCE = """\
void {name}(hls::stream<input_t> &input_1, hls::stream<result_t> &layer6_out) {{
    hls::stream<layer2_t> layer2_out("layer2_out");
    #pragma HLS STREAM variable=layer2_out depth=64
    nnet::conv_2d_cl<input_t, layer2_t, config2>(input_1, layer2_out, w2, b2); // conv
    nnet::relu<layer2_t, layer3_t, relu_config3>(layer2_out, layer3_out); // conv.relu
    nnet::dense<layer3_t, layer5_t, config5>(layer3_out, layer5_out, w5, b5); // logits
}}
"""


def emitted(folder: Path, backend: Backend = Backend.VITIS, name: str = "tagger") -> Path:
    """An emitted project: the scripts are hls4ml's own, the source names three layers."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "firmware").mkdir(exist_ok=True)
    (folder / "firmware" / f"{name}.cpp").write_text(SOURCE.format(name=name))
    (folder / f"{name}_test.cpp").write_text("int main() { return 0; }\n")
    if backend is Backend.QUARTUS:
        for file in ("Makefile", "build_lib.sh"):
            text = (templates() / "quartus" / file).read_text().replace("myproject", name)
            (folder / file).write_text(text)
        (folder / "firmware" / f"{name}.h").write_text("")
        return folder
    (folder / "project.tcl").write_text(
        f'variable project_name\nset project_name "{name}"\nvariable backend\n'
        f'set backend "{backend.lower()}"\nvariable part\nset part "xczu7ev-ffvc1156-2-e"\n'
        "variable clock_period\nset clock_period 5\nvariable clock_uncertainty\n"
        'set clock_uncertainty 27%\nvariable version\nset version "1.0.0"\n'
        "variable maximum_size\nset maximum_size 4096\n"
    )
    kind = "vitis" if backend is Backend.VITIS else "vivado"
    shutil.copy(templates() / kind / "build_prj.tcl", folder)
    if backend is Backend.VITIS:
        shutil.copy(templates() / kind / "build_opt.tcl", folder)
    shutil.copy(templates() / "vivado" / "vivado_synth.tcl", folder)
    return folder


def templates() -> Path:
    """hls4ml's build scripts, found without importing it."""
    result = util.find_spec("hls4ml")
    assert result is not None and result.origin is not None
    return Path(result.origin).parent / "templates"


def lay(report: str, destination: Path, name: str = "tagger") -> Path:
    """Put a fixture report in place, under the project's name."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_text((REPORTS / report).read_text().replace("tagger", name))
    return destination
