# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How long a target takes for one inference, for the next one, and for a whole event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.report import words
from edgeinfer.report.quantity import strongest, targets_of, whole
from edgeinfer.report.result import Result
from edgeinfer.report.site_tables import SiteTimes, site_times
from edgeinfer.report.titles import target_title

LATENCIES = (
    "latency_device_us",
    "latency_device",
    "latency_us",
    "latency_us_at_asked_clock",
    "latency_usb_us",
    "latency_usb",
)
RATES = (
    "throughput",
    "hits_per_second",
    "throughput_at_asked_clock",
    "hits_per_second_at_asked_clock",
)
EVENTS = ("event_seconds", "event_seconds_at_asked_clock")  # of designs for whole planes
PUBLISHED = (  # for a ProtoDUNE event, each patch by itself
    "Published for one event of about 55,000 patches: 606 s in plain C++, 50.7 s by TensorFlow on "
    "four processor cores, 1.77 s of a T4 GPU."
)
FRAME_ORIGINS = (Origin.MEASURED, Origin.SIMULATED)  # of frames that there were: no bounds
PATCHES = 55_000  # of an event: hits of a ProtoDUNE event around which a patch is judged


@dataclass(frozen=True, slots=True)
class TimingBand:
    """Microseconds, with the ends of the band where there is one."""

    target: str
    title: str  # of the target
    latency: Metric  # in us
    interval_us: float | None  # from one inference to the next
    interval_low_us: float | None = None
    interval_high_us: float | None = None
    how: str = ""  # the interval was found
    event: Metric | None = None  # seconds of a whole event, where the design is for that
    by_sites: SiteTimes | None = None  # where the latency is that of frames with the most sites

    @property
    def bound_words(self) -> str:
        """That the latency and the interval are bounds, where they are: to stand behind them."""
        most = None if self.by_sites is None else self.by_sites.most
        return "" if most is None else f", at most, for {most:,} lit pixels"

    @property
    def latency_words(self) -> str:
        """The latency with its origin; where it is a bound, that it is one."""
        if self.by_sites is not None:
            return f"{self.title} {self.by_sites.describe(self.latency)}"
        return f"{self.title} {words.seconds(self.latency.value * 1e-6)} ({self.latency.origin})"

    def event_seconds(self, inferences: int) -> tuple[float, float | None, float | None] | None:
        """The time for many inferences, one after the other, and its band; of a design for whole
        planes, that of an event."""
        if self.event is not None:
            return self.event.value, self.event.low, self.event.high
        if self.interval_us is None:
            return None
        low, high = self.interval_low_us, self.interval_high_us

        def total(interval: float) -> float:
            return (self.latency.value + (inferences - 1) * interval) * 1e-6

        return (
            total(self.interval_us),
            None if low is None else total(low),
            None if high is None else total(high),
        )


def timings_of(result: Result) -> tuple[TimingBand, ...]:
    """Every target that says how long it takes."""
    timings = []
    for target in targets_of(result.metrics):
        part = result.targets.get(target)
        pipelined = part is None or part.pipelined
        timing = timing_among(result.metrics, target, target_title(target, result), pipelined)
        if timing is not None:
            timings.append(timing)
    return tuple(timings)


def timing_among(
    metrics: Sequence[Metric], target: str, title: str, pipelined: bool
) -> TimingBand | None:
    """How long a target takes, where its figures say it."""
    own = [each for each in metrics if each.target == target]
    design = whole(own, target)
    latency = _first(design, LATENCIES)
    if latency is None:
        return None
    timing = _timing(target, title, latency, design, pipelined)
    event = _first(design, EVENTS)
    how = timing.how if event is None or event.note is None else event.note
    cycles = _first(design, ("latency_cycles",))
    by_sites = None  # a latency that was measured is that of the frames that were sent
    if cycles is not None and cycles.value and latency.origin not in FRAME_ORIGINS:
        by_sites = site_times(own, latency.value / cycles.value)
    return replace(timing, event=event, how=how, by_sites=by_sites)


def _first(metrics: Sequence[Metric], names: Sequence[str]) -> Metric | None:
    strongest_of_each = [strongest(each for each in metrics if each.name == name) for name in names]
    return next((each for each in strongest_of_each if each is not None), None)


def _timing(
    target: str, title: str, latency: Metric, metrics: Sequence[Metric], pipelined: bool
) -> TimingBand:
    rate = _first(metrics, RATES)
    if rate is not None and rate.value:
        return TimingBand(
            target, title, latency, 1e6 / rate.value, how=f"by the {rate.origin} throughput"
        )
    interval = _same_origin(metrics, "ii_cycles", latency)
    if interval is None and latency.origin is Origin.PROVED:  # frames may not have settled
        interval = strongest(each for each in metrics if each.name == "ii_cycles")
    cycles = _same_origin(metrics, "latency_cycles", latency)
    if interval is not None and cycles is not None and cycles.value:
        clock_us = latency.value / cycles.value
        ends = [None if end is None else end * clock_us for end in (interval.low, interval.high)]
        text = f"{interval.origin} interval of {interval.value:,.10g} cycles"
        return TimingBand(target, title, latency, interval.value * clock_us, ends[0], ends[1], text)
    if not pipelined:
        text = "one inference after the other"
        return TimingBand(target, title, latency, latency.value, latency.low, latency.high, text)
    return TimingBand(target, title, latency, None)


def _same_origin(metrics: Sequence[Metric], name: str, like: Metric) -> Metric | None:
    return strongest(each for each in metrics if each.name == name and each.origin is like.origin)
