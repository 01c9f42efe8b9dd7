# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Runs that are sent to a tracking server: what arrives, what is not sent twice, what is said."""

from __future__ import annotations

import math

import pytest

from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.report.tracking.records import KEY, TrackedRun, track_result
from edgeinfer.report.tracking.server import TrackingServer, send_runs
from tests.support.mlflow_server import start_tracking
from tests.support.report_results import good


def test_a_result_arrives_with_its_figures_and_where_they_come_from() -> None:
    inputs = good()
    run = track_result(inputs)
    with start_tracking() as memory:
        assert send_runs(TrackingServer(memory.address), "it's one", [run]) == 1
        assert send_runs(TrackingServer(memory.address), "it's one", [run]) == 0
        ((number, stored),) = memory.runs.items()
        assert stored["info"]["status"] == "FINISHED"
        figures, tags = memory.values(number, "metrics"), memory.values(number, "tags")
        assert figures["quantized.auc"] == inputs.accuracy["quantized"].auc
        assert memory.values(number, "params")["model"] == inputs.model.name
        metric = next(each for each in inputs.metrics if each.target and each.layer is None)
        assert figures[f"{metric.target}.{metric.name}"] is not None
        assert tags[f"origin.{metric.target}.{metric.name}"] and tags[KEY] == run.key


def test_what_a_server_does_not_take_is_cleaned_and_parted() -> None:
    many = {f"p{number}": "v" * 9000 for number in range(250)}
    run = TrackedRun("a\nb", "k", many, {"lut:csynth": 3.0, "bad": math.nan}, failed=True)
    with start_tracking() as memory:
        send_runs(TrackingServer(memory.address), "x", [run])
        assert memory.values("r0", "metrics") == {"lut_csynth": 3.0}
        params = memory.values("r0", "params")
        assert len(params) == 250 and {len(value) for value in params.values()} == {5000}
        assert memory.runs["r0"]["info"]["status"] == "FAILED"
        assert memory.runs["r0"]["info"]["run_name"] == "a b"


def test_what_is_known_is_looked_for_on_every_page_and_half_a_run_is_sent_again() -> None:
    runs = [TrackedRun(f"r{number}", f"k{number}") for number in range(5)]
    with start_tracking() as memory:
        server = TrackingServer(memory.address)
        assert send_runs(server, "x", runs) == 5
        memory.runs["r4"]["info"]["status"] = "RUNNING"  # whoever sent it was ended
        assert send_runs(server, "x", runs) == 1


def test_who_we_are_is_taken_from_the_variables_of_mlflow(monkeypatch) -> None:
    with start_tracking() as memory:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        send_runs(TrackingServer(memory.address), "x", [])
        assert memory.headers[-1]["Authorization"] == "Basic YW5uOnNlY3JldA=="
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token")
        send_runs(TrackingServer(memory.address), "x", [])
        assert memory.headers[-1]["Authorization"] == "Bearer token"
        memory.refuses = True
        with pytest.raises(ToolFailedError, match="401 who are you"):
            send_runs(TrackingServer(memory.address), "x", [])


def test_what_is_no_server_is_said() -> None:
    with pytest.raises(UsageError, match="mlflow server"):
        TrackingServer("sqlite:///runs.db")
    with pytest.raises(ToolFailedError, match="does not answer as an MLflow server"):
        send_runs(TrackingServer("http://127.0.0.1:1"), "x", [])
