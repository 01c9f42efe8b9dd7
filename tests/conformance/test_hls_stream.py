# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The C-simulation of random Programs is equal to the interpreter: io_stream."""

from __future__ import annotations

import pytest

from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from tests.conformance.hls_suite import HlsSuite
from tests.conformance.target_suite import TargetSuite
from tests.support.random_programs import random_recurrence


class TestStream(HlsSuite):
    settings = HlsSettings(io=IoType.STREAM)
    seeds = range(1000, 1010)


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestMoreStream(HlsSuite):
    settings = HlsSettings(io=IoType.STREAM)
    seeds = range(1010, 1020)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
class TestManyStream(HlsSuite):
    settings = HlsSettings(io=IoType.STREAM)
    seeds = range(3000, 3250)
    max_ops = 9


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestQuartusStream(TargetSuite):
    target = HlsTarget()
    settings = HlsSettings(backend=Backend.QUARTUS, io=IoType.STREAM)
    seeds = range(500, 508)


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestOneApiStream(TargetSuite):
    target = HlsTarget()
    settings = HlsSettings(backend=Backend.ONEAPI, io=IoType.STREAM)
    seeds = range(400, 408)


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestLoopsInStreams(HlsSuite):
    settings = HlsSettings(io=IoType.STREAM)
    seeds = range(50, 75)
    draw = staticmethod(random_recurrence)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
class TestManyLoopsInStreams(HlsSuite):
    settings = HlsSettings(io=IoType.STREAM)
    seeds = range(5000, 5250)
    draw = staticmethod(random_recurrence)
