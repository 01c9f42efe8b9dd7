# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tests of what has changed since the newest commit, or in it: the paths that `make quick` runs."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

from tests.support.places import ROOT

ALWAYS = ("tests/test_layers.py", "tests/unit/run/test_folder.py", "tests/e2e/test_api.py")
UNIT = PurePosixPath("tests/unit")
TESTS_OF = {"edgeinfer": ".", "quantization": "quantization", "reports/make": "make"}


def changed_files() -> list[str]:
    """Edited and new files; where there are none, those of the newest commit."""
    edited = _git("diff", "--name-only", "HEAD") + _git(
        "ls-files", "--others", "--exclude-standard"
    )
    return edited or _git("diff", "--name-only", "HEAD~1", "HEAD")


def tests_of(file: str) -> str | None:
    """The test file itself; for code, the folder of tests that is nearest to its room."""
    path = PurePosixPath(file)
    if file.startswith("tests/"):
        return file if path.name.startswith("test_") and (ROOT / file).is_file() else None
    for room, tests in TESTS_OF.items():
        if path.is_relative_to(room):
            place = UNIT / tests / path.relative_to(room)
            inside = [p for p in place.parents if p.is_relative_to(UNIT) and p != UNIT]
            return next((str(p) for p in inside if (ROOT / p).is_dir()), None)
    return None


def _git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    """Print the paths, each once, none inside another."""
    results = {*ALWAYS, *filter(None, map(tests_of, changed_files()))}
    nested = {
        path for path in results if any(Path(path).is_relative_to(o) for o in results - {path})
    }
    print(*sorted(results - nested))


if __name__ == "__main__":
    main()
