# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A whole event through the faithful and the pooled hit tagger: patch by patch, place by place in
float32 (the way before this one), and by units of bytes, without and with the extra [fast].

All ways run in this one process on the same simulated planes; patch by patch, a sample of the hits.
Times for an event of 55,000 patches are scaled from the hits measured. On a machine that is busy
with other work, wall time says little: where the tasks got less than their share of the processors,
the goals are held against processor seconds divided by the processors.
"""

from __future__ import annotations

import functools
import resource
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

from edgeinfer.event import units
from edgeinfer.event.event import PlaneSettings, picture_of, tag_planes
from edgeinfer.event.kernel import kernel_obstacle
from edgeinfer.event.planes import WirePlane, simulate_planes
from edgeinfer.event.prefix import Obstacle, cut_program
from edgeinfer.event.tagger import Tagger, build_tagger, tag_corners
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.byte_products import PLAIN_CPU
from edgeinfer.ir.engine.onnx_builder import available_threads
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from quantization.calibrate import fit_quantizer
from quantization.fixed import Fixed, Ints, Quantizer
from quantization.recipe import Recipe, WeightFormat
from tests.bench.footprint_by_place import split, tag_touched

EVENT_PATCHES = 55_000
PLANES = 16
SAMPLE = 512  # hits of each plane that are also evaluated patch by patch
SETTINGS = PlaneSettings(threshold_adc=4.0)
OCCUPANCY = (0.005, 0.01)
SHARE = 0.85  # of the processors: with less, others were at work too
Outputs = list[dict[str, Ints]]


@dataclass(frozen=True, slots=True)
class Goal:
    """Seconds of an event on free processors, and times faster than place by place."""

    seconds: float
    times_faster: float


GOALS = {
    "bytes": Goal(1.8, 5),
    "kernel": Goal(0.7, 12),
    "plain": Goal(8.4, 1),
    "floats": Goal(8.4, 1),
}
GOAL_POOLED_SECONDS = 0.4
GOAL_MEMORY_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Timing:
    """Wall and processor seconds for an event."""

    wall: float
    cpu: float
    processors: int  # that it can use

    @property
    def alone(self) -> bool:
        """Whether the processors were free."""
        return self.cpu >= SHARE * self.wall * self.processors

    @property
    def seconds(self) -> float:
        """On free processors: measured where they are, else estimated from their seconds."""
        return self.wall if self.alone else self.cpu / self.processors

    def __str__(self) -> str:
        free = f"; about {self.seconds:.2f} s if {self.processors} of them were free"
        note = "" if self.alone else free
        return f"{self.wall:.2f} s wall, {self.cpu:.2f} s of processors{note}"


def tagger_graph(seed: int, filters: int, pool: int, hidden: tuple[int, int]) -> Program:
    """Filters of 5x5, perhaps a pool, two dense layers, two heads; weights drawn at random."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), size=shape)

    def dense(name: str, x: str, inputs: int, outputs: int) -> g.DenseNode:
        return g.DenseNode(name, name, x, drawn(inputs, outputs), rng.normal(0, 0.05, outputs))

    sizes = (1, 1), ((0, 0), (0, 0)), (1, 1)
    side, last = 44 // pool, "conv_relu"
    nodes: list[g.Node] = [
        g.InputNode("x", (48, 48, 1)),
        g.ConvNode(
            "conv", "conv", "x", drawn(5, 5, 1, filters), rng.normal(0, 0.05, filters), *sizes
        ),
        g.ActivationNode("conv_relu", "conv", g.Function.RELU),
    ]
    if pool > 1:
        last = "pool"
        window = (pool, pool)
        nodes.append(
            g.PoolNode("pool", "conv_relu", g.PoolNodeKind.MAX, window, window, ((0, 0), (0, 0)))
        )
    places = side * side * filters
    nodes += [
        g.ReshapeNode("flat", last, (places,)),
        dense("dense1", "flat", places, hidden[0]),
        g.ActivationNode("dense1_relu", "dense1", g.Function.RELU),
        dense("dense2", "dense1_relu", *hidden),
        g.ActivationNode("dense2_relu", "dense2", g.Function.RELU),
        dense("em_track_none", "dense2_relu", hidden[1], 3),
        dense("michel", "dense2_relu", hidden[1], 1),
    ]
    graph = g.Graph("hit_tagger", tuple(nodes), ("em_track_none", "michel"))
    activations = {"x": Quantizer(Fixed(False, 8, 0))} | {
        name: Quantizer(Fixed(False, 8, 2)) for name in ("conv_relu", "dense1_relu", "dense2_relu")
    }
    weights = {
        key: WeightFormat.of(
            fit_quantizer(values, 8 if key.endswith("kernel") else 14, signed=True)
        )
        for key, values in graph.weights()
    }
    return lower(graph, Recipe.of(activations, weights)).program


def simulated() -> list[WirePlane]:
    """Simulated planes of 480 wires whose occupancy lies between 0.5 and 1 per cent."""
    kept: list[WirePlane] = []
    for plane in simulate_planes(1, 200):
        if OCCUPANCY[0] <= (plane.adc >= SETTINGS.threshold_adc).mean() <= OCCUPANCY[1]:
            kept.append(plane)
        if len(kept) == PLANES:
            return kept
    sys.exit("No plane of the wanted occupancy came out of the simulation.")


def timed(work: Callable[[], Any], hits: int, processors: int) -> tuple[Any, Timing]:
    """What the work yields, and how long an event would take."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    scale = EVENT_PATCHES / hits
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, Timing(wall * scale, cpu * scale, processors)


def pictures(program: Program, planes: list[WirePlane]) -> list[tuple[Ints, np.ndarray]]:
    """Each plane as raw integers, and its hits."""
    results = []
    for plane in planes:
        charged = plane.adc >= SETTINGS.threshold_adc
        picture = picture_of(program, plane.adc, charged, SETTINGS)
        results.append((picture, np.argwhere(charged)))
    return results


def place_by_place(program: Program, planes: list[WirePlane], hits: int) -> tuple[Outputs, Timing]:
    """The way before this one: on one processor, its engines compiled again for each plane."""
    cut = split(program)
    assert cut is not None
    seen = pictures(program, planes)
    return timed(lambda: [tag_touched(cut, picture, corners) for picture, corners in seen], hits, 1)


def by_units(tagger: Tagger, planes: list[WirePlane], hits: int) -> tuple[Outputs, Timing]:
    """Every plane, on all processors."""
    work = functools.partial(tag_planes, tagger, planes, SETTINGS)
    tags, timing = timed(lambda: list(work()), hits, available_threads())
    return [each.tagged.outputs for each in tags], timing


def same(a: Outputs, b: Outputs) -> bool:
    """Whether all integers of all planes are equal."""
    return all(
        set(x) == set(y) and all((x[name] == y[name]).all() for name in x)
        for x, y in zip(a, b, strict=True)
    )


def sampled(program: Program, planes: list[WirePlane], outputs: Outputs) -> tuple[float, bool]:
    """Processor seconds of an event patch by patch, from a sample; whether the integers agree."""
    plain = build_tagger(program, Obstacle(""))
    cpu, tried, equal = 0.0, 0, True
    for (picture, corners), tags in zip(pictures(program, planes), outputs, strict=True):
        chosen = np.linspace(0, len(corners) - 1, min(SAMPLE, len(corners))).astype(int)
        before = time.process_time()
        each = tag_corners(plain, picture, corners[chosen]).outputs
        cpu += time.process_time() - before
        tried += len(chosen)
        equal &= all((tags[name][chosen] == each[name]).all() for name in each)
    return cpu * EVENT_PATCHES / tried, equal


def build(program: Program, products: str) -> Tagger:
    """The tagger as it is where these products are the best that there is."""
    with ExitStack() as masks:
        if products != "kernel":
            masks.enter_context(mock.patch.object(units, "kernel_obstacle", lambda: "masked"))
        if products in ("plain", "floats"):  # a processor whose products of bytes saturate
            masks.enter_context(mock.patch.dict("os.environ", {PLAIN_CPU: "1"}))
        if products == "floats":  # and no order of the channels is safe
            masks.enter_context(mock.patch.object(units, "safe_order", lambda *_: None))
        return build_tagger(program, cut_program(program))


def main() -> int:
    """Print the table; the exit code says whether the goals were met."""
    planes = simulated()
    hits = sum(int((plane.adc >= SETTINGS.threshold_adc).sum()) for plane in planes)
    print(f"An event of {EVENT_PATCHES:,} patches, scaled from {hits:,} hits in {PLANES} planes.")
    program = tagger_graph(0, 48, 1, (128, 32))
    ways = ["bytes", *([] if kernel_obstacle() else ["kernel"]), "plain", "floats"]
    taggers = {way: build(program, way) for way in ways}
    met = True
    results = {way: by_units(taggers[way], planes, hits) for way in ways}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    before, old = place_by_place(program, planes, hits)
    plain, equal = sampled(program, planes, before)
    print(f"faithful, patch by patch: {plain:.1f} s of processors (from {SAMPLE} a plane)")
    print(f"faithful, place by place in float32: {old}; equal to patch by patch: {equal}")
    for way, (outputs, timing) in results.items():
        goal, times = GOALS[way], old.seconds / timing.seconds
        kind = taggers[way].units
        name = f"{way} ({kind.products})" if kind and kind.products != way else way
        identical = same(outputs, before)
        print(
            f"faithful, {name}: {timing}; {times:.1f} times faster with "
            f"{old.cpu / timing.cpu:.1f} times fewer processor seconds; all hits identical: "
            f"{identical} (goals: {goal.seconds} s, {goal.times_faster:g} times)"
        )
        met &= identical and timing.seconds <= goal.seconds and times >= goal.times_faster
    if kernel_obstacle():
        print(f"no kernel: {kernel_obstacle()}")
    print(f"peak memory before the reference {peak / 1e6:.0f} MB, with {len(ways)} taggers at once")
    met &= peak <= GOAL_MEMORY_BYTES
    pooled = tagger_graph(0, 8, 4, (32, 16))
    for way in ways:
        with threadpool_limits(limits=1, user_api="blas"):
            outputs, timing = by_units(build(pooled, way), planes, hits)
        _, same_pooled = sampled(pooled, planes, outputs)
        print(f"pooled, {way}: {timing}; identical: {same_pooled} (goal: {GOAL_POOLED_SECONDS} s)")
        met &= same_pooled and (way in ("plain", "floats") or timing.seconds <= GOAL_POOLED_SECONDS)
    print("goals met" if met and equal else "GOALS MISSED")
    return 0 if met and equal else 1


if __name__ == "__main__":
    sys.exit(main())
