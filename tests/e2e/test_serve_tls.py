# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A server that encrypts, and admits only clients that show who they are."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.cli.app import main
from edgeinfer.serve.repository import RepositorySettings
from edgeinfer.serve.server import Certificates, ServerSettings
from quantization.fixed import Fixed, Quantizer
from tests.support.command_line import shown
from tests.support.serving import running, small_program, write_run

KIND = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]


def certified(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this machine that is its own authority, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not here: apt-get install openssl")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", *KIND, *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_only_clients_with_a_certificate_are_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, client, stranger = (certified(tmp_path, name) for name in ("ours", "client", "stranger"))
    run = write_run(tmp_path / "run", small_program(), Quantizer(Fixed(True, 8, 4)))
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 6), np.float32))
    settings = ServerSettings(
        RepositorySettings((run,)), certificates=Certificates(*ours, client_ca=client[0])
    )
    assert not settings.is_exposed
    with running(settings) as server:
        urls = [f"grpcs://127.0.0.1:{server.grpc_port}", f"https://127.0.0.1:{server.http_port}"]
        for url in urls:
            ask = ["infer", url, "--data", str(tmp_path / "d.npz"), "--tls-ca", str(ours[0])]
            known = ["--tls-cert", str(client[0]), "--tls-key", str(client[1])]
            assert shown(capsys, *ask, *known)["samples"] == 2
            assert main(ask) == 4
            assert main([*ask, "--tls-cert", str(stranger[0]), "--tls-key", str(stranger[1])]) == 4
            assert main(["infer", url.replace("s:", ":"), "--data", str(tmp_path / "d.npz")]) == 4
        assert "does not answer" in capsys.readouterr().err


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text("nothing")
    certificates = Certificates(tmp_path / "a.pem", tmp_path / "a.pem")
    settings = ServerSettings(RepositorySettings(()), certificates=certificates)
    with (
        pytest.raises(UsageError, match="are no certificates that belong together"),
        running(settings),
    ):
        pass


def test_who_is_exposed() -> None:
    repository = RepositorySettings(())
    shut = Certificates(Path("a"), Path("b"), Path("c"))
    open_ = Certificates(Path("a"), Path("b"))
    assert not ServerSettings(repository).is_exposed
    assert not ServerSettings(repository, "::1").is_exposed
    assert ServerSettings(repository, "0.0.0.0").is_exposed
    assert ServerSettings(repository, "example.org", certificates=open_).is_exposed
    assert not ServerSettings(repository, "0.0.0.0", certificates=shut).is_exposed
