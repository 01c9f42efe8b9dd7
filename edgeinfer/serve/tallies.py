# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a model has done so far: counts and times, as the protocol's statistics and as metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MOST_SIZES = 1024  # of batches that are counted apart, so that memory stays bounded
METRIC_LABEL_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class FailureReason(StrEnum):
    """Why an accepted request was not answered, as Triton's metrics tell it."""

    REJECTED = "REJECTED"  # there was no room
    CANCELED = "CANCELED"  # its client went away
    BACKEND = "BACKEND"  # what computes failed
    OTHER = "OTHER"


@dataclass(slots=True)
class TimeTally:
    """How often something was done, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int, count: int = 1) -> None:
        """So many of them took so long each."""
        self.count += count
        self.ns += ns * count

    def as_dict(self) -> dict[str, int]:
        """As a message."""
        return {"count": self.count, "ns": self.ns}


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """How long the parts of a batch took."""

    input_ns: int
    infer_ns: int
    output_ns: int


@dataclass(slots=True)
class BatchTally:
    """Batches of one size."""

    compute_input: TimeTally = field(default_factory=TimeTally)
    compute_infer: TimeTally = field(default_factory=TimeTally)
    compute_output: TimeTally = field(default_factory=TimeTally)

    def add(self, times: BatchTimes, count: int = 1) -> None:
        """So many of them took so long."""
        self.compute_input.add(times.input_ns, count)
        self.compute_infer.add(times.infer_ns, count)
        self.compute_output.add(times.output_ns, count)

    def as_dict(self) -> dict[str, Any]:
        """As part of a message."""
        return {
            "compute_input": self.compute_input.as_dict(),
            "compute_infer": self.compute_infer.as_dict(),
            "compute_output": self.compute_output.as_dict(),
        }


@dataclass(slots=True)
class ModelTally:
    """All that a version of a model has done since it was loaded."""

    success: TimeTally = field(default_factory=TimeTally)
    failures: dict[FailureReason, TimeTally] = field(
        default_factory=lambda: {reason: TimeTally() for reason in FailureReason}
    )
    queue: TimeTally = field(default_factory=TimeTally)
    requests: BatchTally = field(default_factory=BatchTally)  # each with the times of its batch
    batches: dict[int, BatchTally] = field(default_factory=dict)
    inferences: int = 0
    executions: int = 0
    last_ms: int = 0
    pending: int = 0

    @property
    def fail(self) -> TimeTally:
        """All failures."""
        tallies = self.failures.values()
        return TimeTally(sum(t.count for t in tallies), sum(t.ns for t in tallies))

    def note_failure(self, reason: FailureReason, ns: int) -> None:
        """A request failed after so long."""
        self.failures[reason].add(ns)

    def note_batch(self, samples: int, times: BatchTimes, queue_ns: Sequence[int]) -> None:
        """A batch was computed; `queue_ns`: how long each of its requests had waited."""
        self.executions += 1
        self.inferences += samples
        self.last_ms = time.time_ns() // 1_000_000
        if samples in self.batches or len(self.batches) < MOST_SIZES:
            self.batches.setdefault(samples, BatchTally()).add(times)
        self.requests.add(times, len(queue_ns))
        for waiting in queue_ns:
            self.queue.add(waiting)

    def as_dict(self, name: str, version: int) -> dict[str, Any]:
        """The protocol's statistics."""
        return {
            "name": name,
            "version": str(version),
            "last_inference": self.last_ms,
            "inference_count": self.inferences,
            "execution_count": self.executions,
            "inference_stats": {
                "success": self.success.as_dict(),
                "fail": self.fail.as_dict(),
                "queue": self.queue.as_dict(),
                **self.requests.as_dict(),
                "cache_hit": TimeTally().as_dict(),
                "cache_miss": TimeTally().as_dict(),
            },
            "batch_stats": [
                {"batch_size": size, **tally.as_dict()}
                for size, tally in sorted(self.batches.items())
            ],
        }

    def figures(self) -> dict[str, int]:
        """The values of `METRICS`, in their order."""
        values = (
            self.success.count,
            self.inferences,
            self.executions,
            self.pending,
            (self.success.ns + self.fail.ns) // 1000,
            self.queue.ns // 1000,
            self.requests.compute_input.ns // 1000,
            self.requests.compute_infer.ns // 1000,
            self.requests.compute_output.ns // 1000,
        )
        return dict(zip(METRICS, values, strict=True))


FAILURES = "nv_inference_request_failure"
METRICS = {  # under Triton's names, so that what reads its metrics reads these
    "nv_inference_request_success": ("counter", "Requests that were answered"),
    "nv_inference_count": ("counter", "Samples that were computed"),
    "nv_inference_exec_count": ("counter", "Batches that were computed"),
    "nv_inference_pending_request_count": ("gauge", "Requests that wait for a batch"),
    "nv_inference_request_duration_us": ("counter", "Time of all requests, in microseconds"),
    "nv_inference_queue_duration_us": ("counter", "Time that requests have waited"),
    "nv_inference_compute_input_duration_us": ("counter", "Time to make integers of inputs"),
    "nv_inference_compute_infer_duration_us": ("counter", "Time to compute"),
    "nv_inference_compute_output_duration_us": ("counter", "Time to make answers of outputs"),
}


def metrics_text(tallies: Iterable[tuple[str, int, ModelTally]]) -> str:
    """The metrics in the text format of Prometheus."""
    rows = [
        (f'model="{name.translate(METRIC_LABEL_ESCAPES)}",version="{version}"', tally)
        for name, version, tally in tallies
    ]
    lines = [f"# HELP {FAILURES} Requests that were not answered", f"# TYPE {FAILURES} counter"]
    for labels, tally in rows:
        for reason, failed in tally.failures.items():
            lines.append(f'{FAILURES}{{{labels},reason="{reason}"}} {failed.count}')
    figures = [(labels, tally.figures()) for labels, tally in rows]
    for metric, (kind, about) in METRICS.items():
        lines += [f"# HELP {metric} {about}", f"# TYPE {metric} {kind}"]
        lines += [f"{metric}{{{labels}}} {values[metric]}" for labels, values in figures]
    return "\n".join([*lines, ""])
