# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The C-simulation of random Programs is equal to the interpreter: io_parallel."""

from __future__ import annotations

import pytest

from edgeinfer.targets.hls.settings import HlsSettings, IoType
from tests.conformance.hls_suite import HlsSuite


class TestParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(40)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
class TestManyParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(2000, 2250)
    max_ops = 9
