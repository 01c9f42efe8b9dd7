# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The C-simulation of random Programs is equal to the interpreter: io_parallel."""

from __future__ import annotations

import pytest

from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from tests.conformance.hls_suite import HlsSuite
from tests.conformance.target_suite import TargetSuite


class TestParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(40)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
class TestManyParallel(HlsSuite):
    settings = HlsSettings(io=IoType.PARALLEL)
    seeds = range(2000, 2250)
    max_ops = 9


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestQuartusParallel(TargetSuite):
    target = HlsTarget()
    settings = HlsSettings(backend=Backend.QUARTUS, io=IoType.PARALLEL)
    seeds = range(400, 408)
