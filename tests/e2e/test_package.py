# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The package installs into an environment of its own, as a wheel and editable, and works there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support import small_models as small
from tests.support.places import ROOT
from tests.support.sampling import sample_cases


def run(*command: object, folder: Path = ROOT) -> str:
    """A command's stdout; its stderr where it fails."""
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=clean, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built here without a network."""
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(params=sample_cases(["wheel", "editable"], 2))
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Path:
    """The bin folder of a new environment, which borrows the libraries of this one."""
    home = tmp_path / "env"
    venv.create(home, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = home / "lib" / version / "site-packages"
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet")
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed")
    source = (wheel,) if request.param == "wheel" else ("-e", ROOT)
    run(*pip, *offline, *source)
    return home / "bin"


def test_links_of_the_readme_work_on_its_page(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling")
    home = "https://example.org/someone/edgeinfer"
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://example.org")
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/edgeinfer")
    monkeypatch.setenv("GITHUB_REF_NAME", "v9.9")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("METADATA"))
        text = archive.read(name).decode()
    assert f"Project-URL: Source, {home}" in text
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) > 20 and all(link.startswith("https://") for link in links)
    inside = [link.partition(f"{home}/")[2] for link in links if link.startswith(home)]
    places = [
        link.removeprefix("blob/v9.9/").removeprefix("raw/v9.9/").partition("#")[0]
        for link in inside
    ]
    assert len(places) > 20 and all((ROOT / place).exists() for place in places)
    assert any(link.startswith("raw/") and link.endswith(".png") for link in inside)


def test_the_wheel_holds_two_packages_and_what_they_ship(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "edgeinfer",
        "quantization",
    }
    shipped = "edgeinfer/_shipped"
    assert {f"{shipped}/constraints.txt", f"{shipped}/firmware/README.md"} <= set(names)
    reports = {f"{shipped}/reports/templates/README.md", f"{shipped}/reports/forms/onnx.toml"}
    assert reports <= set(names)
    assert {"edgeinfer/py.typed", "quantization/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)


def test_it_works_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    from edgeinfer.base.version import __version__

    work = tmp_path / "work"
    work.mkdir()
    small.classifier(work)
    small.data(work)
    command = installed / "edgeinfer"
    assert run(command, "--version", folder=work).strip() == __version__
    where = (
        "import edgeinfer.base.assets as a; print(a.PACKAGE); print(a.text('firmware/README.md'))"
    )
    package, *text = run(installed / "python", "-c", where, folder=work).splitlines()
    assert text[0] == "# Firmware"
    is_wheel = Path(package).is_relative_to(tmp_path)
    assert is_wheel or package == str(ROOT / "edgeinfer")
    run(
        command,
        "quantize",
        "net.keras",
        "--bits",
        8,
        "--data",
        "data.npz",
        "-o",
        "r.toml",
        folder=work,
    )
    shown = run(
        command, "compile", "net.keras", "--recipe", "r.toml", "-o", "RUN", "--json", folder=work
    )
    assert json.loads(shown)["agreement"][0]["bit_identical"] is True


def test_numbers_can_be_had_without_the_rest(installed: Path, tmp_path: Path) -> None:
    code = "import sys, quantization; print(sorted(m for m in sys.modules if 'edgeinfer' in m))"
    assert run(installed / "python", "-c", code, folder=tmp_path).strip() == "[]"
