# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The block library on disk: its benches, and copies of it with a fault put in."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base import assets

LIBRARY = assets.path("firmware/rtl")
BENCHES = sorted(path.stem for path in (LIBRARY / "bench").glob("*_tb.v"))
MODULES = sorted(path.stem for path in LIBRARY.glob("*.v"))
SHELL = sorted(path.stem for path in (LIBRARY / "shell").glob("*.v"))
BENCH_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong thing in one file, and the bench that must notice."""

    name: str
    file: str
    right: str
    wrong: str
    bench: str

    def put_in(self, folder: Path) -> None:
        """Change the file of that name in a folder."""
        path = folder / self.file
        text = path.read_text()
        assert text.count(self.right) == 1, f"{self.file} has no (only) {self.right!r}"
        path.write_text(text.replace(self.right, self.wrong))


def copied_library(folder: Path) -> Path:
    """The blocks and their benches somewhere else."""
    copy = folder / "rtl"
    shutil.copytree(LIBRARY, copy, ignore=shutil.ignore_patterns("build"))
    return copy


def run_bench(library: Path, bench: str, out: Path) -> tuple[bool, str]:
    """Whether a bench passes, and what it and the tools said."""
    done = subprocess.run(
        ["make", "-C", str(library / "bench"), bench, f"OUT={out}"],
        capture_output=True,
        text=True,
        timeout=BENCH_SECONDS,
        check=False,
    )
    log = out / f"{bench}.log"
    said = log.read_text() if log.exists() else ""
    return done.returncode == 0 and said.startswith("PASS"), done.stdout + done.stderr
