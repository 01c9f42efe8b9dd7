# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Buffers of megabytes that are taken and freed again and again, in a process of their own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from tests.support.places import ROOT

ROUNDS, BUFFERS, BUFFER_BYTES = 10, 3, 8_000_000
PROCESS = f"""
import resource

from edgeinfer.base.heap import keep_freed_memory


def count_new_pages() -> int:
    start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({ROUNDS}):
        buffers = [b"x" * {BUFFER_BYTES} for _ in range({BUFFERS})]
        del buffers
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start


print(count_new_pages())
keep_freed_memory()
count_new_pages()
print(count_new_pages(), resource.getpagesize())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have no thresholds")
def test_what_is_freed_is_taken_again() -> None:
    command = [sys.executable, "-c", PROCESS]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    before, after, page_bytes = map(int, printed.split())
    pages = ROUNDS * BUFFERS * BUFFER_BYTES / page_bytes
    assert before > pages / 2
    assert after < pages / 100
