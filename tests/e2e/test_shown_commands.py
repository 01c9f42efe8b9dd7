# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Commands that the documents show for files, tools and machines of the reader's own run, too: on
small files, with stand-ins for vendors' tools, a server, a board and a cluster that are here."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeinfer.cli.app import main
from edgeinfer.targets.boards.boards import board
from tests.support.board_port import board_port
from tests.support.clusters import start_cluster
from tests.support.command_line import default_signals
from tests.support.documents import PAGES, shown_commands
from tests.support.places import FAKE_TOOLS, ROOT
from tests.support.reader_files import write_reader_files
from tests.support.waiting import until

# Commands that are not run, and why.
NOT_RUN = {
    "pip install 'edgeinfer[rtl]'": "what is installed is the checkout, with this extra",
    "python -m tests.bench.bench_estimate": "`make bench` runs it",
    "scp -r RUN/rtl/deploy xilinx@BOARD:": "a board with processors",
    "tritonserver --model-repository models": "no package of pip has its backend for ONNX",
}
TAGGER = "tagger.keras --recipe recipe.toml"
# What small files need, for what stands in a page's commands.
SMALLER: Mapping[str, Mapping[str, str]] = {
    "board.md": {
        "hit-tagger-pooled": "net.keras --clock-mhz 20",
        "jet-tagger": "net.keras --data d.npz",
        "board test RUN": "board test RUN --samples 20",
    },
    "data.md": {},
    "edgetpu.md": {},
    "estimate.md": {},
    "event-fpga.md": {
        "reports/reference/quantization/hit-tagger-pooled-6bit.keras": TAGGER,
        "480x1000": "24x32",
    },
    "event.md": {"--jobs 8": "--jobs 2", "runs/tags --cluster": "runs/others --cluster"},
    "microcontrollers.md": {},
    "quantization.md": {
        "tagger6.keras": "net6.keras",
        "conv=4": "hidden=4",
        "image*=4": "x=4",
        "roi-finder": "net.keras --data train.npz",
        "net.onnx": "net.keras",
        "jet-tagger": "net.keras",
        "hit-tagger-pooled": "net.keras --data train.npz --trials 3",
        "--epochs 25": "--epochs 1",
        "--epochs 14": "--epochs 2",
        "--trials 12 --epochs 5": "--trials 3 --epochs 1",
        "--method learned": "--method learned --epochs 1 --points 2",
        "--points 6": "--points 2",
        "auc=0.93": "auc=0.1",
        "--minutes 20": "--minutes 0.3",
    },
    "rtl.md": {
        "reports/reference/quantization/hit-tagger-pooled-6bit.keras": "net.keras --bits 6",
        "--clock-mhz 135": "--clock-mhz 60",
    },
    "serving.md": {"1,8,64": "1,2"},
    "sparse.md": {},
    "studies.md": {"--nworkers 8": "--nworkers 1"},
    "tutorial-fpga.md": {"hit-tagger-pooled": "net.keras", "--clock-mhz 80": "--clock-mhz 20"},
    "vendor-tools.md": {"MODEL": "net.keras --bits 8 --data d.npz --io io_parallel"},
}
STAND_INS = {
    "EDGEINFER_VIVADO": "vivado",
    "EDGEINFER_VITIS_HLS": "vitis_hls",
    "EDGEINFER_OPENFPGALOADER": "openFPGALoader",
    # What pip has of these takes minutes; a slow test in test_board.py runs it for the ECP5.
    "EDGEINFER_YOSYS": "yosys",
    "EDGEINFER_NEXTPNR_ECP5": "nextpnr",
    "EDGEINFER_NEXTPNR_NEXUS": "nextpnr",
    "EDGEINFER_ECPPACK": "packer",
    "EDGEINFER_PRJOXIDE": "packer",
}
CELLS = "a:LUT4 b:CCU2"  # what the stand-in for Yosys finds
REPORT = {"fmax": {"clk": {"achieved": 200.0}}, "utilization": {}}  # and the one for nextpnr
PROGRAMS = {"event.md": "openssl", "studies.md": "openssl", "board.md": "tclsh"}


def test_every_shown_command_is_run_or_has_a_reason_not_to_be() -> None:
    shown = {page.name: shown_commands(page) for page in PAGES}
    lists = {name: {*listed} - {*NOT_RUN} for name, listed in shown.items()}
    assert {*SMALLER} == {name for name, listed in lists.items() if listed}
    assert {*NOT_RUN} <= {command for listed in shown.values() for command in listed}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SMALLER)
def test_commands_run_on_files_like_the_readers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in PROGRAMS and shutil.which(PROGRAMS[name]) is None:
        pytest.skip(f"{PROGRAMS[name]} is not here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEINFER_CACHE", str(tmp_path / "cache"))
    for variable, tool in STAND_INS.items():
        monkeypatch.setenv(variable, str(FAKE_TOOLS / tool))
    Path("report.json").write_text(json.dumps(REPORT))
    monkeypatch.setenv("FAKE_REPORT", str(tmp_path / "report.json"))
    monkeypatch.setenv("FAKE_CELLS", CELLS)
    write_reader_files(name)
    listed = [each for each in shown_commands(ROOT / "docs" / name) if each not in NOT_RUN]
    with contextlib.ExitStack() as running:
        pieces = {**SMALLER[name], **running.enter_context(_surroundings(name, tmp_path))}
        for piece in pieces:
            assert any(piece in command for command in listed), piece
        for command in listed:
            for piece, other in pieces.items():
                command = command.replace(piece, other)
            _run(shlex.split(command, comments=True), running, monkeypatch)


@contextlib.contextmanager
def _surroundings(name: str, folder: Path) -> Iterator[Mapping[str, str]]:
    """What a page's commands reach on other machines, for the time of a block: their names in the
    page, and where they are here."""
    match name:
        case "event.md":
            with start_cluster(folder, encrypted=True) as cluster:
                files = "--tls-ca ours.ca.pem --tls-cert ours.pem --tls-key ours.key"
                shown = "--tls-ca ca.pem --tls-cert member.pem --tls-key member.key"
                yield {"tls://head:8786": cluster.address, shown: files}
        case "studies.md":
            port = str(_free_port())
            yield {"tls://head": "tls://127.0.0.1", "8786": port}
        case "serving.md":
            port = str(_free_port())
            others = "--port-http 0 --port-metrics 0"
            yield {"edgeinfer serve": f"edgeinfer serve --port-grpc {port} {others}", "8001": port}
        case _:  # a page whose commands reach no other machine
            yield {}


def _run(words: list[str], running: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command; what serves until it is ended stays until the block ends."""
    match words:
        case ["edgeinfer", "serve", *_]:
            port = int(words[words.index("--port-grpc") + 1])
            running.enter_context(_serving([sys.executable, "-m", *words], port))
        case ["dask", "scheduler", *_]:
            port = int(words[words.index("--port") + 1])
            running.enter_context(_serving([sys.executable, "-m", *words], port))
        case ["dask", "worker", *_]:
            running.enter_context(_serving([sys.executable, "-m", *words], None))
        case ["openssl", *_]:
            subprocess.run(words, check=True, capture_output=True)
        case ["edgeinfer", "board", "run" | "test", run, *_] if "--simulate" not in words:
            with board_port(Path(run, "rtl"), board("ulx3s")) as name:
                found = SimpleNamespace(device=name, vid=0x0403, pid=0x6015)
                monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [found])
                assert main(words[1:]) == 0, words
        case ["edgeinfer", *tokens]:
            assert main(tokens) == 0, words
        case _:
            pytest.fail(f"this test cannot run {words}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _serving(words: list[str], port: int | None) -> Iterator[None]:
    """A process that listens at a port, ended with the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        Path("served.log").open("ab") as log,
        subprocess.Popen(
            words, env=environment, stdout=log, stderr=log, preexec_fn=default_signals
        ) as process,
    ):
        try:
            if port is not None:
                until(lambda: _listens(port) or process.poll() is not None)
            assert process.poll() is None, Path("served.log").read_text()
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
