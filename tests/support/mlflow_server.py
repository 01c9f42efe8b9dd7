# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A tracking server in memory, which answers and refuses as MLflow 3.17 does."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class TrackingMemory:
    """What was sent, and how the server behaves."""

    address: str = ""
    experiments: dict[str, str] = field(default_factory=dict)  # number by name
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)
    refuses: bool = False

    def answer(self, what: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and document of an answer."""
        if self.refuses:
            return 401, {"error_code": "UNAUTHENTICATED", "message": "who are you?"}
        match what:
            case "experiments/create":
                if body["name"] in self.experiments:
                    return 400, {"error_code": "RESOURCE_ALREADY_EXISTS", "message": "it exists"}
                number = self.experiments[body["name"]] = str(len(self.experiments) + 1)
                return 200, {"experiment_id": number}
            case "experiments/search":
                quoted = re.fullmatch("name = '(.*)'", body["filter"])
                assert quoted is not None
                name = quoted[1].replace("''", "'")
                return 200, {"experiments": [{"experiment_id": self.experiments[name]}]}
            case "runs/search":
                start = int(body.get("page_token", 0))
                runs = [
                    run
                    for run in self.runs.values()
                    if run["info"]["experiment_id"] in body["experiment_ids"]
                ]
                more = {"next_page_token": str(start + 2)} if start + 2 < len(runs) else {}
                return 200, {"runs": runs[start : start + 2], **more}
            case "runs/create":
                number = f"r{len(self.runs)}"
                info = {"run_id": number, "status": "RUNNING", "run_name": body["run_name"],
                        "experiment_id": body["experiment_id"]}  # fmt: skip
                data = {"tags": list(body["tags"]), "params": [], "metrics": []}
                self.runs[number] = {"info": info, "data": data}
                return 200, {"run": self.runs[number]}
            case "runs/log-batch":
                assert len(body.get("params", ())) <= 100 and len(body.get("tags", ())) <= 100
                for kind in ("params", "tags", "metrics"):
                    for entry in body.get(kind, ()):
                        if not re.fullmatch(r"[\w./ -]{1,250}", entry["key"]):
                            return 400, {"message": f"invalid name {entry['key']}"}
                        self.runs[body["run_id"]]["data"][kind].append(entry)
                return 200, {}
            case "runs/update":
                self.runs[body["run_id"]]["info"]["status"] = body["status"]
                return 200, {}
            case _:  # no such request
                return 404, {"message": what}

    def values(self, number: str, kind: str) -> dict[str, Any]:
        """Parameters, tags or figures of a run."""
        return {entry["key"]: entry["value"] for entry in self.runs[number]["data"][kind]}


@contextlib.contextmanager
def start_tracking() -> Iterator[TrackingMemory]:
    """A server that ends with the block."""
    memory = TrackingMemory()

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            memory.headers.append(dict(self.headers))
            status, document = memory.answer(self.path.removeprefix("/api/2.0/mlflow/"), body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing is logged."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    memory.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield memory
    finally:
        server.shutdown()
        server.server_close()
