# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a clean checkout leaves out, and why: a short list, and nothing beside it."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.needs import fold
from tests.support.places import ROOT

MOST = 20

# After `make setup`, where neither other people's files nor programs of the system are there.
SKIPS = {
    "tests/conformance/test_cases_qkeras.py": {"cases"},
    "tests/conformance/test_edgetpu_cases.py": {"cases"},
    "tests/conformance/test_hls_models.py": {"cases"},  # slow ones
    "tests/conformance/test_rtl_networks.py": {"cases", "icarus"},  # cases: slow ones
    "tests/conformance/test_tflite_cases.py": {"cases"},
    "tests/e2e/test_experiment_files.py": {"cases"},
    "tests/e2e/test_report_page.py": {"chromium"},
    "tests/unit/export/test_onnx.py": {"cases"},
    "tests/unit/readers/keras/test_hgq.py": {"cases", "hgq2"},
    "tests/unit/readers/keras/test_old_layouts.py": {"cases"},
    "tests/unit/readers/onnx/test_cases.py": {"cases"},
    "tests/unit/readers/onnx/test_programs.py": {"cases"},
    "tests/unit/targets/hls/estimate/test_estimate.py": {"shared models", "shared table"},
    "tests/unit/targets/reports/test_csynth_reports.py": {"cases"},
    "tests/unit/targets/reports/test_vivado_reports.py": {"cases"},
    "tests/unit/targets/rtl/test_library.py": {"icarus"},
    "tests/unit/targets/rtl/test_simulate.py": {"icarus"},
}

# Skips where something is lacking that most machines have: a C compiler, openssl, Tcl, /proc, a
# network; or where there is more, or less, than `make setup` installs.
ELSEWHERE = {
    "tests/conformance/test_soc_builders.py": "names no Python with fusesoc and litex",
    "tests/e2e/test_api.py": 'importorskip("torch"',
    "tests/e2e/test_board.py": "tclsh is not installed",
    "tests/e2e/test_hls_run.py": "da4ml is installed",
    "tests/e2e/test_images.py": "buildah is not here",
    "tests/e2e/test_light_core.py": "the libraries cannot be had here",
    "tests/e2e/test_serve_memory.py": "needs Linux's /proc",
    "tests/e2e/test_serve_shared.py": "this system keeps no shared memory",
    "tests/e2e/test_serve_tls.py": "openssl is not here",
    "tests/e2e/test_shown_commands.py": "} is not here",  # openssl or Tcl
    "tests/e2e/test_sweep_cluster.py": "openssl is not here",
    "tests/e2e/test_triton_shared.py": "this system keeps no shared memory",
    "tests/unit/data/stream/test_stream_memory.py": "peak memory is read from /proc",
    "tests/unit/event/test_kernel.py": "kernel_obstacle()",  # as below
    "tests/unit/event/test_tagger.py": "kernel_obstacle()",  # the processor lacks an instruction
    "tests/unit/readers/keras/test_tfmot.py": "no Python that has tensorflow-model-optimization",
    "tests/unit/serve/test_deployment_tools.py": "systemd is not here",
    "tests/unit/serve/test_shared.py": "this system keeps no shared memory",
    "tests/unit/targets/edgetpu/test_device.py": "there is no C compiler",
    "tests/unit/targets/hls/test_hls_board.py": "tclsh is not installed",
    "tests/unit/targets/hls/test_hostile_names.py": 'importorskip("tkinter"',
    "tests/unit/targets/rtl/test_block_design.py": "tclsh is not installed",
    "tests/unit/targets/rtl/test_packaged_ip.py": "or lxml is not installed",
    "tests/unit/targets/hls/tools/test_emitted_scripts.py": "this Python has no Tcl interpreter",
}
NEEDS = {
    r"\bcases: Path|\bfolder: Path, truth|\btruth\b.*cases": "cases",
    r"\btab: Page|\bpipe: Pipe": "chromium",
    r"@needs_icarus": "icarus",
    r"@needs_hgq2": "hgq2",
    r"shared table of figures is not here": "shared table",
    r"folder of other people's models is not here": "shared models",
}
SKIP = re.compile(r"pytest\.skip\(|mark\.skipif\(|importorskip\(\s*\"([\w.]+)\"")


def test_the_list_names_every_module_that_may_skip() -> None:
    results: dict[str, set[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        needs = {need for pattern, need in NEEDS.items() if re.search(pattern, text)}
        if needs and path.name != "test_skips.py":
            results[path.relative_to(ROOT).as_posix()] = needs
    assert results == SKIPS
    assert sum(map(len, SKIPS.values())) <= MOST


def test_no_other_module_skips_but_for_what_setup_brings() -> None:
    brought = installed()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name == "tests/test_skips.py" or name in SKIPS:
            continue
        text = path.read_text(encoding="utf-8")
        for match in SKIP.finditer(text):
            library = (match[1] or "").partition(".")[0]
            assert library in brought or name in ELSEWHERE, f"{name}: {match[0]}"
        if name in ELSEWHERE:
            assert ELSEWHERE[name] in text


def installed() -> set[str]:
    """Names of the libraries that `make setup` installs, as they are imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["dev"]]
    for line in extras["dev"]:
        if own := re.fullmatch(r"edgeinfer\[(.*)\]", line):
            lines += [expected for extra in own[1].split(",") for expected in extras[extra]]
    names = {re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0].lower() for line in lines}
    return {name.replace("-", "_") for name in names} | {"qkeras", "tf_keras"}


def test_every_skip_has_a_reason() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.skipif":
                assert {"reason"} & {keyword.arg for keyword in node.keywords}, path


@dataclass(eq=False)
class Item:
    """A test, as far as folding looks at it."""

    path: str
    fixturenames: tuple[str, ...] = ()
    marks: list[Any] = field(default_factory=list)

    def iter_markers(self, name: str) -> list[Any]:
        """Its marks of a name."""
        return [mark for mark in self.marks if mark.name == name]


def test_tests_that_lack_the_same_thing_are_one_skip_a_module() -> None:
    no_icarus = pytest.mark.skipif(True, reason="no Icarus").mark
    runs = Item("a.py", ("tmp_path",))
    three = [
        Item("a.py", ("cases",)),
        Item("a.py", ("cases", "tmp_path")),
        Item("b.py", ("cases",)),
    ]
    two = [Item("a.py", marks=[no_icarus]), Item("a.py", marks=[no_icarus])]
    result = fold([runs, *three, *two], {"cases": "no cases"})
    assert result.kept == [runs, three[0], three[2], two[0]]
    assert result.dropped == [three[1], two[1]]
    assert list(result.reasons.values()) == ["no cases: 2 tests", "no cases", "no Icarus: 2 tests"]


def test_nothing_is_lost_where_all_is_there() -> None:
    items = [Item("a.py", ("cases",)), Item("a.py", ("cases",))]
    assert fold(items, {}).kept == items
