# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Small unrolled networks and what Yosys finds of them; what work costs in such pipelines, fitted.

`python -m tests.support.pipelines SEEDS` asks Yosys about so many networks in every family, for
most of an hour, and writes the costs into `firmware/rtl/costs.toml`.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomli_w
from scipy.optimize import nnls

from edgeinfer.base import assets
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Dense, Input, Requant, pack_weights
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Output, Program
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.estimate.estimate import core_of
from edgeinfer.targets.rtl.estimate.fabric import COSTS, read_fabrics
from edgeinfer.targets.rtl.estimate.work import Work
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.measure import measure_design
from quantization.fixed import Fixed, Overflow, Rounding
from tests.support.rtl_fit import HEAD
from tests.support.rtl_resources import DEVICES

FITTED = (Work.ADD, Work.SHORT_ADD, Work.SELECT, Work.COMPARE)
WITHOUT_CARRIES = {"nexus"}  # Yosys is told not to use its carry chains, and looks carries ahead
SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One network in one family: estimated, and as Yosys finds it."""

    seed: int
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


def ask_yosys(seed: int, fabric: str) -> Pipeline:
    """A network without queues, all of it at once."""
    program, target = unrolled_network(seed), RtlTarget()
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
    return Pipeline(seed, fabric, work, estimated, results)


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
        found = [ask_yosys(seed, fabric) for seed in range(int(sys.argv[1]))]
        tables = {"truth": entry["pipeline"]["truth"]}  # seen in networks of tables, not in these
        entry["pipeline"] = pipeline_fit(found) | tables
        sys.stdout.write(f"{fabric} {entry['pipeline']}\n")
    assets.path(COSTS).write_text(HEAD + tomli_w.dumps(known))
