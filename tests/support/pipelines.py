# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small unrolled networks and what Yosys finds of them; what work costs in such pipelines, fitted.

Half of the networks have one width a tensor, the others one for each weight and each element.

`python -m tests.support.pipelines SEEDS` asks Yosys about so many networks in every family, for
most of an hour, and writes the costs into `firmware/rtl/costs.toml`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import tomli_w
from numpy.typing import NDArray
from scipy.optimize import nnls

from edgeinfer.base import assets
from edgeinfer.export.hgq import write_model
from edgeinfer.graph import nodes as g
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Dense, Input, Requant, pack_weights
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Output, Program
from edgeinfer.precision.learned.formats import LearnedState, network_of
from edgeinfer.precision.learned.network import plan_learning
from edgeinfer.run.learned import lower_file
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.estimate.estimate import core_of
from edgeinfer.targets.rtl.estimate.fabric import COSTS, read_fabrics
from edgeinfer.targets.rtl.estimate.work import Work
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.measure import measure_design
from quantization.fixed import Fixed, Ints, Overflow, Rounding
from tests.support.rtl_fit import HEAD
from tests.support.rtl_resources import DEVICES

Floats = NDArray[np.float64]

FITTED = (Work.ADD, Work.HALF_ADD, Work.SHORT_ADD, Work.SELECT, Work.COMPARE)
WITHOUT_CARRIES = {"nexus"}  # Yosys is told not to use its carry chains, and looks carries ahead
SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One network in one family: estimated, and as Yosys finds it."""

    name: str
    fabric: str
    work: dict[str, float]
    estimated: dict[str, float]
    found: dict[str, float]


def unrolled_network(seed: int) -> Program:
    """Up to three matrices of three to seven bits, pruned, rounded and limited."""
    rng = np.random.default_rng(seed)
    bits, inputs = int(rng.integers(3, 8)), int(rng.choice([8, 16]))
    weight_type, value_type = Fixed(True, bits, 1), Fixed(False, bits, 2)
    builder = ProgramBuilder(f"pipeline{seed}")
    builder.add(Input("x", Fixed(True, bits, 2), (inputs,)))
    x, width, most = "x", inputs, 1 << (bits - 1)
    rounding = Rounding.RND_CONV if seed % 2 else Rounding.TRN
    for layer in range(int(rng.integers(1, 4))):
        outputs = int(rng.choice([4, 8, 16]))
        weight = rng.integers(-most, most, (width, outputs))
        weight[rng.random(weight.shape) < rng.choice([0.3, 0.6])] = 0
        frac = builder.frac(x) + weight_type.frac
        bias = pack_weights(rng.integers(-4, 4, outputs))
        name = f"dense{layer}"
        builder.exact(Dense(name, provisional(frac), x, pack_weights(weight), weight_type, bias))
        x, width = f"out{layer}", outputs
        builder.add(Requant(x, value_type, name, rounding, Overflow.SAT))
    return builder.program((Output("y", x),))


def network_of_learned_widths(seed: int, sizes: Sequence[int] = (8, 16, 32)) -> Program:
    """A random network as training with `--method learned` leaves one: most weights are zero, each
    has a grid of its own, and so has each element, which wraps beyond what samples show of it.
    Hidden layers have one of the sizes, inputs one of all but the largest."""
    rng = np.random.default_rng(seed)
    inputs, outputs = int(rng.choice(sizes[:-1])), int(rng.integers(3, 7))
    hidden = [int(rng.choice(sizes)) for _ in range(int(rng.integers(1, 4)))]
    x: Floats = rng.normal(0.0, 1.0, (2000, inputs))
    low, high = {"x": x.min(0)}, {"x": x.max(0)}
    bits = {"x": rng.integers(-1, 4, inputs)}
    nodes: list[g.Node] = [g.InputNode("x", (inputs,))]
    kernel_bits: dict[str, Ints] = {}
    share = rng.uniform(0.1, 0.5)  # of weights that are not zero
    for number, (width, size) in enumerate(pairwise([inputs, *hidden, outputs])):
        name, before = f"dense{number}", nodes[-1].name
        frac = rng.integers(-1, 4, (width, size))
        kernel = rng.normal(0.0, rng.uniform(0.3, 1.0), frac.shape)
        kernel[rng.random(frac.shape) > share] = 0.0
        kernel = np.ldexp(np.rint(np.ldexp(kernel, frac)), -frac)
        kernel_bits[name] = frac
        bias = rng.normal(0.0, 0.5, size)
        nodes.append(g.DenseNode(name, name, before, kernel, bias))
        if number < len(hidden):
            x = x @ kernel + bias
            low[name], high[name] = x.min(0), x.max(0)
            bits[name] = rng.integers(-1, 4, size)
            nodes.append(g.ActivationNode(f"relu{number}", name, g.Function.RELU))
            x = np.maximum(x, 0.0)
    last = nodes[-1].name
    plan = plan_learning(g.Graph(f"learned{seed}", tuple(nodes), (last,)), {last: last})
    state = LearnedState(
        {node.name: node.kernel.astype(np.float32) for node in plan.linear},
        {node.name: np.asarray(node.bias, np.float32) for node in plan.linear},
        kernel_bits,
        {node.name: bits.get(node.name, np.asarray(7)) + 1 for node in plan.linear},
        bits,
        {name: high[name] >= np.ldexp(1.0, -own) for name, own in bits.items()},
        {name: ends.astype(np.float32) for name, ends in low.items()},
        {name: ends.astype(np.float32) for name, ends in high.items()},
        True, 0.0, 0.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        path.write_bytes(write_model(network_of(plan, state)))
        return lower_file(path).program


def ask_yosys(program: Program, fabric: str) -> Pipeline:
    """A network without queues, all of it at once."""
    target = RtlTarget()
    settings = RtlSettings(
        unroll="full", interface="bare", part=DEVICES[fabric], tool_seconds=SECONDS
    )
    estimated = {m.name: m.value for m in target.estimate(program, settings) if not m.layer}
    netlist = core_of(design_netlist(fold_constants(program), settings)[1])
    work: dict[str, float] = {}
    for block in netlist.blocks:
        for kind, amount in block.contents.items():
            work[kind] = work.get(kind, 0.0) + amount
    with tempfile.TemporaryDirectory() as name:
        target.emit(program, settings).write(Path(name))
        results = {m.name: m.value for m in measure_design(Path(name), settings).metrics}
    return Pipeline(program.name, fabric, work, estimated, results)


def fitted_work(fabric: str) -> tuple[Work, ...]:
    """The kinds of work that take LUTs in a family's pipelines."""
    return (*FITTED, Work.LOOK_AHEAD) if fabric in WITHOUT_CARRIES else FITTED


def pipeline_fit(seen: list[Pipeline]) -> dict[str, float]:
    """What each kind of work costs in a family, so that relative errors are small."""
    kinds = fitted_work(seen[0].fabric)
    lut = np.array([one.found["lut"] for one in seen])
    work = np.array([[one.work.get(kind, 0.0) for kind in kinds] for one in seen])
    solved, _ = nnls(work / lut[:, None], np.ones(len(lut)))
    held = np.median([one.found["ff"] / one.work["register"] for one in seen])
    costs = dict(zip(kinds, solved, strict=True)) | {Work.REGISTER: held}
    return {str(kind): round(float(cost), 3) for kind, cost in costs.items()}


if __name__ == "__main__":
    known = {name: dict(entry) for name, entry in read_fabrics().items()}
    for fabric, entry in known.items():
        kinds = (unrolled_network, network_of_learned_widths)
        found = [ask_yosys(kind(n), fabric) for n in range(int(sys.argv[1])) for kind in kinds]
        tables = {"truth": entry["pipeline"]["truth"]}  # seen in networks of tables, not in these
        entry["pipeline"] = pipeline_fit(found) | tables
        sys.stdout.write(f"{fabric} {entry['pipeline']}\n")
    assets.path(COSTS).write_text(HEAD + tomli_w.dumps(known))
