# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.needs import apply_fold
from tests.support.places import CASES

pytest.register_assert_rewrite("tests.conformance.target_suite", "tests.conformance.hls_suite")

LONG_SECONDS = 3600  # of a long test that states no time of its own; the others have ten minutes

# Before tests are imported: on a busy machine an example may take any time, and so may drawing it.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
# Before TensorFlow is first imported: with oneDNN, version 2.21 computes nonsense for a convolution
# of one channel with strides (1, 2) into a single column.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
# Before gRPC is first imported: its fork handlers break children that other tests start by fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# What the user has taught estimates would change what the tests expect of them.
os.environ["EDGEINFER_CONFIG"] = os.devnull


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What cannot run here for one reason is one skip a module. Long tests have an hour: on a busy
    machine, one that takes minutes takes several times as long."""
    apply_fold(config, items)
    for item in items:
        long = any(item.get_closest_marker(name) for name in ("slow", "fuzz"))
        if long and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of other people's models; a test that needs it skips where it is absent."""
    if not CASES.is_dir():
        pytest.skip(f"other people's models are not here (looked in {CASES})")
    return CASES
