# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Files appear complete or not at all, whatever goes wrong while they are written."""

from __future__ import annotations

import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from edgeinfer.base import plan
from edgeinfer.base.errors import ToolFailedError
from edgeinfer.base.plan import BuildPlan


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_plan_writes_its_files_and_nothing_else(tmp_path: Path) -> None:
    BuildPlan("p", {"a.txt": b"one", "rtl/top.v": b"two"}).write(tmp_path)
    assert names(tmp_path) == {"a.txt", "rtl/top.v"}
    assert (tmp_path / "rtl/top.v").read_bytes() == b"two"


def test_the_digest_depends_on_names_and_bytes_but_not_on_order() -> None:
    one = BuildPlan("p", {"a": b"1", "b": b"2"})
    assert one.digest == BuildPlan("q", {"b": b"2", "a": b"1"}).digest
    assert one.digest != BuildPlan("p", {"a": b"2", "b": b"1"}).digest
    assert BuildPlan("p", {"a": b"1b 1"}).digest != BuildPlan("p", {"a": b"1", "b": b""}).digest


@pytest.mark.parametrize("path", ["../a", "/etc/a", "a/../../b", "a\\b", ""])
def test_a_plan_cannot_leave_its_folder(path: str) -> None:
    with pytest.raises(ValueError, match="leave"):
        BuildPlan("p", {path: b""})


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    plan.write_file(target, "old")
    plan.write_file(target, "new")
    assert target.read_text() == "new"
    assert names(tmp_path) == {"r.json"}


def test_a_full_disk_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "r.json"
    plan.write_file(target, "old")

    written: list[int] = []

    def refuse_for_space(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse_for_space)
    with pytest.raises(ToolFailedError, match=r"r\.json: no room is left") as caught:
        plan.write_files({tmp_path / "first": b"1", target: b"new"})
    assert caught.value.exit_code == 4
    assert target.read_text() == "old"
    assert names(tmp_path) == {"r.json"}


def test_a_real_limit_on_file_size_is_reported_like_a_full_disk(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(ToolFailedError, match="no room is left"):
            plan.write_file(tmp_path / "big", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == set()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "RUN"
    blocker.write_text("precious")
    with pytest.raises(ToolFailedError, match=r"RUN is a file, where a folder is needed"):
        plan.write_file(blocker / "result.json", "{}")
    assert blocker.read_text() == "precious"


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    with pytest.raises(ToolFailedError, match="is a folder, where a file"):
        plan.write_file(tmp_path / "result.json", "{}")
    with (
        pytest.raises(ToolFailedError, match="is a folder"),
        plan.stage_file(tmp_path / "result.json"),
    ):
        pass


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ToolFailedError, match="is a device or a pipe"):
        plan.write_file(pipe, "{}")
    assert pipe.is_fifo()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_place_that_may_not_be_written_is_named(tmp_path: Path, code: int) -> None:
    error = plan.unwritable(tmp_path / "x", OSError(code, os.strerror(code)))
    assert "is not writable" in str(error)
    assert error.exit_code == 4


def test_what_a_library_writes_appears_only_when_it_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "q.keras"
    with pytest.raises(RuntimeError), plan.stage_file(target) as temporary:
        assert temporary.suffix == ".keras"
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert names(tmp_path) == set()
    with plan.stage_file(target) as temporary:
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert names(tmp_path) == {"deep/q.keras"}


def test_litter_of_a_killed_process_is_swept(tmp_path: Path) -> None:
    plan.write_file(tmp_path / "kept", "1")
    plan._sibling(tmp_path / "q.keras").write_text("half")
    plan._sibling(tmp_path / "log").write_text("half")
    plan.sweep_partial(tmp_path)
    assert names(tmp_path) == {"kept"}


def test_a_copy_has_the_same_digest(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(bytes(range(256)) * 10)
    plan.copy_file(tmp_path / "m.h5", tmp_path / "model" / "m.h5")
    assert plan.sha256_of(tmp_path / "m.h5") == plan.sha256_of(tmp_path / "model" / "m.h5")
