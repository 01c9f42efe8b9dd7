# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A whole event through the faithful hit tagger: patch by patch against baseline and footprint.

Both ways run in this one process on the same simulated planes; the plain way on a sample of the
hits. Times for an event of 55,000 patches are scaled from the patches measured.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from edgeinfer.event.footprint import Split, patches_of, split, tag_touched
from edgeinfer.event.planes import simulate_planes
from edgeinfer.event.tagger import patch_of, raw_picture
from edgeinfer.graph import nodes as g
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Program
from quantization.calibrate import fit_quantizer
from quantization.fixed import Fixed, Ints, Quantizer
from quantization.recipe import Recipe, WeightFormat

EVENT_PATCHES = 55_000
PLANES = 16
SAMPLE = 512  # patches that are also evaluated one by one, for each plane
THRESHOLD_ADC = 4.0
GOAL_MACS, GOAL_SECONDS = 5.0, 8.0
OCCUPANCY = (0.005, 0.01)


def faithful(seed: int) -> Program:
    """48 filters of 5x5, dense 128 and 32, two heads: 11.9 M weights of 8 bits, drawn at random."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), size=shape)

    def dense(name: str, x: str, inputs: int, outputs: int) -> g.DenseNode:
        return g.DenseNode(name, name, x, drawn(inputs, outputs), rng.normal(0, 0.05, outputs))

    sizes = (1, 1), ((0, 0), (0, 0)), (1, 1)
    nodes = (
        g.InputNode("x", (48, 48, 1)),
        g.ConvNode("conv", "conv", "x", drawn(5, 5, 1, 48), rng.normal(0, 0.05, 48), *sizes),
        g.ActivationNode("conv_relu", "conv", g.Function.RELU),
        g.ReshapeNode("flat", "conv_relu", (44 * 44 * 48,)),
        dense("dense1", "flat", 44 * 44 * 48, 128),
        g.ActivationNode("dense1_relu", "dense1", g.Function.RELU),
        dense("dense2", "dense1_relu", 128, 32),
        g.ActivationNode("dense2_relu", "dense2", g.Function.RELU),
        dense("em_track_none", "dense2_relu", 32, 3),
        dense("michel", "dense2_relu", 32, 1),
    )
    graph = g.Graph("hit_tagger", nodes, ("em_track_none", "michel"))
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


def planes(seed: int) -> list[np.ndarray]:
    """Simulated planes of 480 wires whose occupancy lies between 0.5 and 1 per cent."""
    found: list[np.ndarray] = []
    for plane in simulate_planes(seed, 200):
        if OCCUPANCY[0] <= (plane.adc >= THRESHOLD_ADC).mean() <= OCCUPANCY[1]:
            found.append(plane.adc)
        if len(found) == PLANES:
            return found
    sys.exit("No plane of the wanted occupancy came out of the simulation.")


def measured(engine: Engine, cut: Split, adc: np.ndarray) -> tuple[int, float, float, float, bool]:
    """Hits, seconds by footprint, seconds a patch one by one, saving in MACs, identity."""
    program = engine.program
    height, width = patch_of(program)
    charged = adc >= THRESHOLD_ADC
    hits = np.argwhere(charged)
    raw = raw_picture(program, np.where(charged, adc, np.float32(0)), "unit")
    picture: Ints = np.pad(raw, ((height // 2,) * 2, (width // 2,) * 2, (0, 0)))
    start = time.perf_counter()
    touched = tag_touched(cut, picture, hits)
    seconds = time.perf_counter() - start
    chosen = np.linspace(0, len(hits) - 1, min(SAMPLE, len(hits))).astype(int)
    patches = patches_of(picture, hits[chosen], (height, width))
    start = time.perf_counter()
    each = engine.run({"x": patches})
    plain = (time.perf_counter() - start) / len(chosen)
    same = all((touched.outputs[k][chosen] == each[k]).all() for k in each)
    return len(hits), seconds, plain, touched.macs_dense / touched.macs, same


def main() -> int:
    """Print the table; the exit code says whether the goals were met."""
    program = faithful(0)
    cut = split(program)
    assert cut is not None
    engine = Engine(program)
    rows = [measured(engine, cut, adc) for adc in planes(1)]
    print(
        f"{'plane':>5} {'hits':>6} {'footprint s':>11} {'one by one ms/patch':>19} "
        f"{'fewer MACs':>10} identical"
    )
    for i, (hits, seconds, plain, saving, same) in enumerate(rows):
        print(f"{i:5d} {hits:6d} {seconds:11.2f} {plain * 1e3:19.3f} {saving:9.1f}x {same}")
    total = sum(row[0] for row in rows)
    scale = EVENT_PATCHES / total
    event = sum(row[1] for row in rows) * scale
    plain = float(np.average([row[2] for row in rows], weights=[row[0] for row in rows]))
    saving = total / sum(row[0] / row[3] for row in rows)
    print(
        f"\nAn event of {EVENT_PATCHES} patches (scaled from {total} hits in {PLANES} planes of "
        f"480x1000 at {100 * OCCUPANCY[0]:g}-{100 * OCCUPANCY[1]:g} % occupancy):\n"
        f"  by footprint {event:.1f} s (goal {GOAL_SECONDS:g} s), one by one "
        f"{plain * EVENT_PATCHES:.1f} s (from {SAMPLE} patches a plane), "
        f"{saving:.1f} times fewer MACs (goal {GOAL_MACS:g})"
    )
    met = event <= GOAL_SECONDS and saving >= GOAL_MACS and all(row[4] for row in rows)
    print("  goals met" if met else "  GOALS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
