# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Designs whose resources are known: what Yosys finds for each, in total and by block.

The counts are committed beside this file. `python -m tests.support.rtl_resources` renews those of
designs that have changed since (by the content of their Verilog and memories).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.base.errors import ToolFailedError
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.lower import lower
from edgeinfer.ir.ops import Conv, Dense, Input, Pool, PoolKind, Requant, Reshape, pack_weights
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Output, Program
from edgeinfer.precision.ptq import PtqSettings, quantize
from edgeinfer.targets.rtl.choose import design_netlist
from edgeinfer.targets.rtl.design.netlist import Netlist
from edgeinfer.targets.rtl.design.parts import part_of
from edgeinfer.targets.rtl.emit.emit import HDL, files_of, module_of
from edgeinfer.targets.rtl.estimate.estimate import estimate_netlist, multipliers
from edgeinfer.targets.rtl.settings import Budget, Fold, RtlSettings
from edgeinfer.targets.rtl.tools.families import family_of
from edgeinfer.targets.rtl.tools.synthesis import VerilogSource, synthesise
from edgeinfer.zoo import entry_of
from edgeinfer.zoo.reference import load_reference
from quantization.calibrate import Method
from quantization.fixed import Fixed, Overflow, Rounding
from tests.support.random_programs import random_program
from tests.support.rtl_designs import random_folds
from tests.support.rtl_programs import (
    dense_program,
    forked_program,
    small_network,
    without_what_is_unsupported,
)

COUNTS = Path(__file__).with_suffix(".json")
DEVICES = {
    "ecp5": "lfe5u-85f", "nexus": "lifcl-40", "gowin": "gw2a-18c", "ice40": "ice40up5k",
    "7-series": "xc7a100t", "ultrascale+": "xczu7ev",
}  # fmt: skip
SECONDS = 1200.0
SMALL_FOLDS = (("conv", Fold(2, 9)), ("dense", Fold(3, 8)))
EIGHT = RtlSettings(budget=Budget(multipliers=8))
ZOO = ("jet-tagger", "hit-tagger-pooled", "track-pid", "roi-finder")
LATER_NETWORKS, LATER_MULTIPLIERS = range(6, 44), (8, 24, 96)
RANDOM_SEEDS = range(100, 160)
ZOO_SAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Design:
    """A Program and how it is folded. Designs of one Program are much alike: one group."""

    name: str
    group: str
    program: Callable[[], Program]
    settings: RtlSettings
    dsp: bool = True  # whether multipliers may be DSP blocks

    @property
    def quick(self) -> bool:
        """Whether it is made without Keras."""
        return self.group not in ZOO


def designs() -> Iterator[Design]:
    """All of them."""
    for seed, folds in (
        (1, (2, 9, 3, 8)),
        (2, (4, 18, 6, 32)),
        (3, (1, 1, 1, 1)),
        (4, (4, 6, 2, 16)),
    ):
        conv, dense = Fold(*folds[:2]), Fold(*folds[2:])
        settings = RtlSettings(folds=(("conv", conv), ("dense", dense)))
        yield Design(f"small{seed}", f"small{seed}", lambda s=seed: small_network(s), settings)
    for inputs, outputs, pe, simd in (
        (4, 2, 1, 1), (16, 8, 2, 4), (32, 16, 8, 8), (64, 10, 1, 16), (128, 24, 12, 2),
        (24, 12, 12, 24),
    ):  # fmt: skip
        name = f"dense{inputs}x{outputs}"
        yield Design(
            name, name, lambda i=inputs, o=outputs: dense_program(i, o),
            RtlSettings(folds=(("y", Fold(pe, simd)),)),
        )  # fmt: skip
    yield Design("forked", "forked", forked_program, RtlSettings())
    for number in range(6):
        program = network(number)
        for most in (8, 96):
            yield Design(
                f"{program.name}-{most}", program.name, lambda p=program: p,
                RtlSettings(budget=Budget(multipliers=most)),
            )  # fmt: skip
    for number in LATER_NETWORKS:  # drawn when the costs had been fitted, to judge them
        program, most = network(number), LATER_MULTIPLIERS[number % len(LATER_MULTIPLIERS)]
        yield Design(
            f"{program.name}-{most}", program.name, lambda p=program: p,
            RtlSettings(budget=Budget(multipliers=most)),
        )  # fmt: skip
    for seed in RANDOM_SEEDS:
        kept = without_what_is_unsupported(random_program(seed))
        if kept is None:
            continue
        folds = random_folds(fold_constants(kept), seed)
        yield Design(f"random{seed}", f"random{seed}", lambda p=kept: p, RtlSettings(folds=folds))
    for name, group, program, settings in (
        ("small1", "small1", lambda: small_network(1), RtlSettings(folds=SMALL_FOLDS)),
        ("dense64x10", "dense64x10", lambda: dense_program(64, 10), EIGHT),
        ("network2", "network2", lambda: network(2), EIGHT),
        ("network4", "network4", lambda: network(4), EIGHT),
        ("network5", "network5", lambda: network(5), EIGHT),
    ):
        yield Design(f"{name}-luts", group, program, settings, dsp=False)
    for name in ZOO:
        for most in (16, 128):
            yield Design(
                f"{name}-{most}", name, lambda n=name: zoo_program(n),
                RtlSettings(budget=Budget(multipliers=most)),
            )  # fmt: skip


def network(seed: int) -> Program:
    """A network like those that users have: convolutions and matrices, rounded, with ReLU."""
    rng = np.random.default_rng(seed)
    bits = int(rng.integers(4, 9))
    weight_type, value_type = Fixed(True, bits, 1), Fixed(False, bits, 2)
    low, high = -(1 << (bits - 1)), 1 << (bits - 1)
    builder = ProgramBuilder(f"network{seed}")
    side, channels = int(rng.integers(8, 20)), int(rng.integers(1, 4))
    builder.add(Input("x", Fixed(True, bits, 2), (side, side, channels)))
    x, shape = "x", (side, side, channels)
    for layer in range(int(rng.integers(1, 3))):
        size, filters = int(rng.choice([1, 3, 5])), int(rng.choice([2, 4, 6, 8]))
        weight = rng.integers(low, high, (size, size, shape[2], filters))
        bias = pack_weights(rng.integers(low, high, filters))
        frac = builder.frac(x) + weight_type.frac
        builder.exact(
            Conv(f"conv{layer}", provisional(frac), x, pack_weights(weight), weight_type, bias,
                 (1, 1), ((size // 2, size // 2),) * 2, (1, 1))
        )  # fmt: skip
        x = f"low{layer}"
        rounding = Rounding.RND_CONV if seed % 2 else Rounding.TRN
        builder.add(Requant(x, value_type, f"conv{layer}", rounding, Overflow.SAT))
        shape = (shape[0], shape[1], filters)
        pooled = f"pool{layer}"
        builder.exact(
            Pool(
                pooled, provisional(value_type.frac), x, PoolKind.MAX, (2, 2), (2, 2), ((0, 0),) * 2
            )
        )
        x, shape = pooled, (shape[0] // 2, shape[1] // 2, filters)
    elements = shape[0] * shape[1] * shape[2]
    builder.add(Reshape("flat", builder.types[x], x, (elements,)))
    x, width = "flat", elements
    for layer in range(int(rng.integers(1, 4))):
        outputs = int(rng.choice([4, 8, 10, 16]))
        weight = rng.integers(low, high, (width, outputs))
        weight[rng.random(weight.shape) < 0.3] = 0
        frac = builder.frac(x) + weight_type.frac
        bias = pack_weights(rng.integers(low, high, outputs))
        builder.exact(
            Dense(f"dense{layer}", provisional(frac), x, pack_weights(weight), weight_type, bias)
        )
        x, width = f"out{layer}", outputs
        builder.add(Requant(x, value_type, f"dense{layer}", Rounding.RND_CONV, Overflow.SAT))
    return builder.program((Output("y", x),))


@cache
def zoo_program(name: str) -> Program:
    """A reference model at 6 bits, without the softmax that the host computes."""
    data = entry_of(name).data(7, ZOO_SAMPLES)
    settings = PtqSettings(6, kernel_method=Method.MINMAX, refine=False)  # as it was synthesised
    chosen = quantize(load_reference(name), data.inputs, settings)
    return fold_constants(lower(chosen.graph, chosen.recipe).program)


def netlist_of(design: Design) -> Netlist:
    """The design itself."""
    return design_netlist(fold_constants(design.program()), design.settings)[1]


def source_of(netlist: Netlist) -> VerilogSource:
    """What of it Yosys reads."""
    files = files_of(netlist, {}).files
    hdl = {
        name.removeprefix(f"{HDL}/"): content
        for name, content in files.items()
        if name.startswith(f"{HDL}/")
    }
    return VerilogSource(hdl, module_of(netlist))


def digest_of(source: VerilogSource) -> str:
    """Of the content."""
    state = hashlib.sha256()
    for name, content in sorted(source.files.items()):
        state.update(f"{name} {len(content)} ".encode() + content)
    return state.hexdigest()[:16]


def recorded() -> dict[str, Any]:
    """The committed counts: by design and fabric."""
    return json.loads(COUNTS.read_text()) if COUNTS.is_file() else {}  # type: ignore[no-any-return]


def changed() -> list[str]:
    """Designs that are no longer what Yosys saw."""
    known = recorded()
    return [
        design.name
        for design in designs()
        if design.name in known
        and known[design.name]["digest"] != digest_of(source_of(netlist_of(design)))
    ]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A design that Yosys has not been asked about for a fabric, as it is now."""

    design: Design
    fabric: str
    digest: str
    netlist: Netlist
    source: VerilogSource


def wanted(known: dict[str, Any], fabrics: tuple[str, ...]) -> list[Wanted]:
    """What has changed or is missing, the smallest first."""
    missing: list[tuple[float, Wanted]] = []
    for design in designs():
        netlist = netlist_of(design)
        source = source_of(netlist)
        digest = digest_of(source)
        entry = known.get(design.name, {})
        counted = entry["counts"] if entry.get("digest") == digest else {}
        for fabric in fabrics:
            if fabric not in counted:
                size = estimate_netlist(netlist, part_of(RtlSettings(part=DEVICES[fabric]))).total[
                    "lut"
                ]
                missing.append((size, Wanted(design, fabric, digest, netlist, source)))
    return [one for _, one in sorted(missing, key=lambda sized: sized[0])]


def counts_of(one: Wanted) -> dict[str, Any]:
    """What Yosys finds."""
    part = part_of(RtlSettings(part=DEVICES[one.fabric]))
    dsp = one.design.dsp and multipliers(one.netlist) <= part.budget["dsp"]
    family = family_of(part.fabric)
    result = synthesise(one.source, family, dsp=dsp, seconds=SECONDS)
    return {"version": result.version, "dsp": dsp, "total": result.total, "blocks": result.by_block}


def renewed(
    fabrics: tuple[str, ...] = tuple(DEVICES), message: Callable[[str], None] = lambda line: None
) -> None:
    """Synthesise what has changed or is missing, on all cores, and write the counts after each:
    most of an hour, if it is all. One that takes too long is said, and left out."""
    known = recorded()
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        asked = {pool.submit(counts_of, one): one for one in wanted(known, fabrics)}
        for done in as_completed(asked):
            one = asked[done]
            try:
                result = done.result()
            except ToolFailedError as failed:
                message(f"{one.fabric} {one.design.name}: {failed}")
                continue
            entry = known.get(one.design.name, {})
            if entry.get("digest") != one.digest:
                entry = {"digest": one.digest, "counts": {}}
            entry["counts"][one.fabric] = result
            known[one.design.name] = entry
            COUNTS.write_text(as_text(known))
            message(f"{one.fabric} {one.design.name} {result['total']}")


def as_text(known: dict[str, Any]) -> str:
    """The counts as they are committed: a line for each design."""
    rows = [
        f"{json.dumps(name)}:{json.dumps(entry, separators=(',', ':'), sort_keys=True)}"
        for name, entry in sorted(known.items())
    ]
    return "{" + ",\n".join(rows) + "}\n"


if __name__ == "__main__":
    renewed(tuple(sys.argv[1:]) or tuple(DEVICES), lambda line: sys.stdout.write(f"{line}\n"))
