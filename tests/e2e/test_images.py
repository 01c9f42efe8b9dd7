# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Dockerfile is built by buildah, which needs no service, and its command is started.

Where the base image cannot be pulled, Debian's own packages stand for it: the same release with its
Python, and the certificates that this machine trusts.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.support.places import ROOT
from tests.support.small_models import legacy_h5

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
STAND_IN = """\
FROM scratch
ADD base.tar /
COPY ca-certificates.crt /etc/ssl/certs/
RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED && ln -s /usr/bin/python3 /usr/local/bin/python
"""
# What a checkout holds beside its files, and what would be large.
LEFT_OUT = (".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis",
        "__pycache__", "build", "dist", "runs")  # fmt: skip


@dataclass(frozen=True, slots=True)
class ImageStore:
    """Images and containers in a folder, apart from the machine's own."""

    folder: Path

    def command(self, *words: str | Path) -> list[str]:
        """A call of buildah."""
        places = ("--root", self.folder / "images", "--runroot", self.folder / "state")
        return ["buildah", *map(str, (*places, *words))]

    def call(self, *words: str | Path) -> str:
        """What buildah prints."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout.strip()

    def build(self, dockerfile: Path, context: Path, tag: str) -> None:
        """An image, each step done without a container engine's help."""
        options = ("--isolation", "chroot", "--pull-never", "-f", dockerfile)
        self.call("build", *options, "-t", tag, context)

    def start(self, tag: str, mount: str) -> tuple[list[str], list[str]]:
        """How to run the image's entry point with a folder mounted, and what it runs by default."""
        container = self.call("from", "--pull-never", tag)
        config = json.loads(self.call("inspect", container))["OCIv1"]["config"]
        options = ("--isolation", "chroot", "-v", mount, container, "--", *config["Entrypoint"])
        return self.command("run", *options), config.get("Cmd") or []


def base_name() -> str:
    """The image that our Dockerfile begins with."""
    lines = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    return next(f"docker.io/library/{words[1]}" for words in lines if words[:1] == ["FROM"])


def make_stand_in(store: ImageStore, name: str) -> None:
    """Debian's Python under the name of the base image."""
    if shutil.which("mmdebstrap") is None or not CERTIFICATES.is_file():
        pytest.skip("no base image can be pulled, and mmdebstrap is not here")
    context = store.folder / "base"
    context.mkdir()
    shutil.copy(CERTIFICATES, context)
    (context / "Dockerfile").write_text(STAND_IN)
    debian = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm"]
    done = subprocess.run([*debian, context / "base.tar"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no base image can be pulled, nor Debian's packages: {done.stderr[-300:]}")
    store.build(context / "Dockerfile", context, name)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageStore]:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not here")
    store = ImageStore(tmp_path_factory.mktemp("images"))
    pulled = subprocess.run(store.command("pull", "--quiet", base_name()), capture_output=True)
    if pulled.returncode:
        make_stand_in(store, base_name())
    yield store
    subprocess.run(store.command("rm", "--all"), capture_output=True)
    subprocess.run(store.command("rmi", "--all", "--force"), capture_output=True)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a checkout."""
    folder = tmp_path_factory.mktemp("context") / "edgeinfer"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return folder


def test_the_image_compiles_a_model(store: ImageStore, context: Path, tmp_path: Path) -> None:
    store.build(context / "Dockerfile", context, "edgeinfer")
    command, default = store.start("edgeinfer", f"{tmp_path}:/work")
    shown = subprocess.run([*command, *default], capture_output=True, text=True, check=True)
    assert "edgeinfer doctor" in shown.stdout
    legacy_h5(tmp_path)
    np.save(tmp_path / "x.npy", np.random.default_rng(3).normal(size=(200, 6)).astype(np.float32))
    compiled = shlex.split("compile net.h5 --bits 6 --data x.npy --target rtl -o run --json")
    done = subprocess.run([*command, *compiled], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pairs = {tuple(each["pair"]): each for each in json.loads(done.stdout)["agreement"]}
    assert pairs and all(each["bit_identical"] for each in pairs.values())
    assert ("engine", "rtl") in pairs
