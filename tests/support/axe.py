# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""axe-core, which looks for what hinders readers with a screen reader or a keyboard."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.environments import VARIABLE

PACKAGE = "axe-core@4.14.1"
MEMBER = "package/axe.min.js"
SERIOUS = (
    "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations"
    ".filter(each => ['serious', 'critical'].includes(each.impact))"
    ".flatMap(each => each.nodes.map(node => `${each.id} ${node.target} ${node.failureSummary}`)))"
)


def axe_script(factory: pytest.TempPathFactory) -> str:
    """Its text, from npm; it skips where there is no npm or no network."""
    kept = os.environ.get(VARIABLE)
    folder = Path(kept) / "axe" if kept else factory.mktemp("axe")
    folder.mkdir(parents=True, exist_ok=True)
    if not list(folder.glob("axe-core-*.tgz")):
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not here, which brings axe-core")
        packed = subprocess.run(
            [npm, "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, text=True
        )
        if packed.returncode != 0:
            pytest.skip(f"{PACKAGE} cannot be had from npm: {packed.stderr[-300:]}")
    (archive,) = folder.glob("axe-core-*.tgz")
    with tarfile.open(archive) as held:
        script = held.extractfile(MEMBER)
        assert script is not None
        return script.read().decode()
