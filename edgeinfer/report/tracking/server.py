# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An MLflow server, by its HTTP interface (version 2.0, which MLflow 2 and 3 have).

The library itself would bring two dozen others. Who we are is taken from the variables that it
takes: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.report.tracking.records import KEY, TrackedRun

SECONDS = 30.0
AT_ONCE = 100  # parameters or tags of a request, at most
FIGURES_AT_ONCE = 1000
EXISTS = 400  # the answer where there is one of the name


@dataclass(frozen=True, slots=True)
class TrackingServer:
    """Where runs are sent."""

    address: str

    def __post_init__(self) -> None:
        if urlsplit(self.address).scheme not in ("http", "https"):
            raise UsageError(
                f"--mlflow {self.address}: that is not the address of a server.",
                hint="Start one with `mlflow server`, and give http://HOST:5000.",
            )

    def ask(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A request, and its answer."""
        request = urllib.request.Request(
            f"{self.address.rstrip('/')}/api/2.0/mlflow/{what}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **_authorization()},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            document: dict[str, Any] = json.loads(answer.read())
        return document


def _authorization() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    if token:
        return {"Authorization": f"Bearer {token}"}
    if user:
        secret = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
    return {}


def send_runs(server: TrackingServer, experiment: str, runs: Sequence[TrackedRun]) -> int:
    """Send runs to an experiment, which is made if there is none of the name; how many were not
    there before."""
    try:
        number = _experiment(server, experiment)
        sent_keys = _known_keys(server, number)
        new = [run for run in runs if run.key not in sent_keys]
        for run in new:
            _send(server, number, run.cleaned())
    except urllib.error.HTTPError as error:
        raise ToolFailedError(
            f"{server.address} refuses: {error.code} {_reason(error)}.",
            hint="Check the address, and MLFLOW_TRACKING_TOKEN or MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD. Runs that were sent are not sent again.",
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolFailedError(
            f"{server.address} does not answer as an MLflow server: "
            f"{getattr(error, 'reason', error)}.",
            hint="Check the address. Runs that were sent are not sent again.",
        ) from None
    return len(new)


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["message"])[:300]
    except (OSError, ValueError, KeyError, TypeError):
        return str(error.reason)


def _experiment(server: TrackingServer, name: str) -> str:
    try:
        answer = server.ask("experiments/create", {"name": name})
        return str(answer["experiment_id"])
    except urllib.error.HTTPError as error:
        if error.code != EXISTS:
            raise
    quoted = name.replace("'", "''")
    listed = server.ask("experiments/search", {"max_results": 10, "filter": f"name = '{quoted}'"})
    return str(listed["experiments"][0]["experiment_id"])


def _known_keys(server: TrackingServer, experiment: str) -> set[str]:
    """The keys of the runs that were sent as a whole."""
    keys: set[str] = set()
    page: str | None = None
    while True:
        body = {"experiment_ids": [experiment], "max_results": 1000}
        answer = server.ask("runs/search", body if page is None else {**body, "page_token": page})
        for run in answer.get("runs", ()):
            tags = {tag["key"]: tag["value"] for tag in run["data"].get("tags", ())}
            if run["info"]["status"] in ("FINISHED", "FAILED") and KEY in tags:
                keys.add(tags[KEY])
        page = answer.get("next_page_token")
        if not page:
            return keys


def _send(server: TrackingServer, experiment: str, run: TrackedRun) -> None:
    now = int(1000 * time.time())
    body = {
        "experiment_id": experiment, "run_name": run.name, "start_time": now,
        "tags": [{"key": KEY, "value": run.key}],
    }  # fmt: skip
    number = server.ask("runs/create", body)["run"]["info"]["run_id"]
    figures = [
        {"key": name, "value": value, "timestamp": now, "step": 0}
        for name, value in run.figures.items()
    ]
    for start in range(0, len(figures), FIGURES_AT_ONCE):
        part = figures[start : start + FIGURES_AT_ONCE]
        server.ask("runs/log-batch", {"run_id": number, "metrics": part})
    for kind, values in (("params", run.parameters), ("tags", run.tags)):
        pairs = [{"key": name, "value": value} for name, value in values.items()]
        for start in range(0, len(pairs), AT_ONCE):
            server.ask("runs/log-batch", {"run_id": number, kind: pairs[start : start + AT_ONCE]})
    status = "FAILED" if run.failed else "FINISHED"
    server.ask("runs/update", {"run_id": number, "status": status, "end_time": now})
