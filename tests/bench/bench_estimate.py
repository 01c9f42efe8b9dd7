# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How far the HLS estimate is off on published designs, with every source family left out in turn.

``--write`` renews the constants and the bands in firmware/hls/estimate.toml.
"""

from __future__ import annotations

import csv
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from edgeinfer.base.devices import device
from edgeinfer.base.plan import write_file
from edgeinfer.targets.hls.estimate.estimate import estimate
from edgeinfer.targets.hls.estimate.fabric import CONSTANTS, constants
from tests.support.estimate_fit import (
    FIGURES,
    LeftOut,
    Residual,
    bands,
    first_sight,
    fitted,
    is_inside,
    left_out,
    residuals,
)
from tests.support.published_designs import (
    BLIND,
    BLIND_LATER,
    HELD_OUT,
    ROOT,
    Published,
    program_of,
    published,
    settings_of,
)

SHARED = ROOT.parent / "shared/facts/published.csv"
GOALS = {
    "latency_cycles": 0.10, "ii_cycles": 0.05, "dsp": 0.05, "lut": 0.15, "ff": 0.20, "bram18": 0.10,
}  # fmt: skip
NAIVE = {"dsp": 1.13, "lut": 1.61, "ff": 2.75}  # a multiplier for each weight, on the SVHN network


def median_error(result: list[Residual], figure: str) -> tuple[float, int]:
    """Median of the relative error's size, and of how many designs."""
    errors = [abs(r.error) for r in result if r.figure == figure and r.error is not None]
    return (float(np.median(errors)) if errors else float("nan")), len(errors)


def median_by_source(result: list[Residual], figure: str) -> float:
    """Median over source families of their medians: every source counts once."""
    sources = sorted({r.source for r in result})
    each = [median_error([r for r in result if r.source == s], figure)[0] for s in sources]
    known = [value for value in each if value == value]
    return float(np.median(known)) if known else float("nan")


def show(title: str, result: list[Residual]) -> None:
    print(f"\n{title}")
    print(f"{'figure':16} {'median':>8} {'designs':>8} {'by source':>10} {'goal':>6}")
    for figure in FIGURES:
        error, count = median_error(result, figure)
        if count:
            goal = f"{GOALS[figure]:.0%}" if figure in GOALS else ""
            by_source = median_by_source(result, figure)
            print(f"{figure:16} {error:8.1%} {count:8} {by_source:10.1%} {goal:>6}")


def show_families(result: list[Residual]) -> None:
    print("\nLeft out, median by family of designs")
    grouped: dict[str, list[Residual]] = defaultdict(list)
    for r in result:
        grouped[r.family].append(r)
    names = ("latency_cycles", "dsp", "lut", "ff", "bram18")
    print(f"{'':30}" + "".join(f"{name:>16}" for name in names))
    for family, own in sorted(grouped.items()):
        cells = [median_error(own, name) for name in names]
        shown = [f"{error:.1%} ({count})" if count else "-" for error, count in cells]
        print(f"{family:30}" + "".join(f"{cell:>16}" for cell in shown))


def show_inside(result: list[Residual]) -> None:
    """By source, how many figures the bands that ship hold."""
    print("\nOf these, inside the bands that ship, by source")
    flags: dict[str, list[bool]] = defaultdict(list)
    for r in result:
        flags[r.source].append(is_inside(r, constants()["bands"]))
    for source, own in sorted(flags.items()):
        print(f"{source:30} {sum(own)} of {len(own)}")


def show_blind(apart: LeftOut) -> None:
    """How many figures of blind sources, at first sight, lie in bands that never saw them."""
    counts = [apart.by_source[source] for source in sorted({r.source for r in first_sight()})]
    inside, of = (sum(column) for column in zip(*counts, strict=True))
    shares = [some / all_ for some, all_ in counts]
    error = float(np.std(shares, ddof=1)) / len(shares) ** 0.5
    print(
        f"\nOf these, blind sources at first sight: {inside} of {of}, {inside / of:.1%}; "
        f"each source counted once {np.mean(shares):.1%}, standard error {error:.1%}"
    )
    last = {design.family for design in published(BLIND)}
    limits = bands([r for r in apart.unseen if r.source not in last])
    flags = [is_inside(r, limits) for r in apart.unseen if r.source in last]
    print(f"The last blind sources, in bands made before them: {sum(flags)} of {len(flags)}")


def show_svhn(result: list[Residual]) -> None:
    print("\nSVHN network, left out: error of this estimate, and of the naive one")
    for r in result:
        if r.id == "svhn-pruned-16b":
            naive = f"{NAIVE[r.figure]:+.0%}" if r.figure in NAIVE else ""
            assert r.error is not None
            print(
                f"{r.figure:16} {r.error:+8.1%} {naive:>8}   "
                f"{r.estimated:,.0f} for {r.published:,.0f}"
            )


def check_shared(designs: list[Published]) -> None:
    """Where the shared table is there, ours says the same."""
    if not SHARED.exists():
        return
    ours = {design.id: design for design in designs}
    with SHARED.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for name, value in ours[row["id"]].figures.items():
                if row[name] and float(row[name]) != value:
                    print(f"{row['id']}: {name} is {row[name]} there and {value:g} here")


def written(fit: dict[str, float], limits: dict[str, dict[str, tuple[float, float]]]) -> str:
    """The file of constants and bands."""
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# SPDX-FileCopyrightText: The edgeinfer authors",
        "# Fitted to reports/reference/hls/published.csv by tests/bench/bench_estimate.py --write.",
        "[fit]",
        *(f"{name} = {value:g}" for name, value in fit.items()),
        "",
        "[slack]  # what a band allows at least, in the figure's unit",
        *(f"{name} = {value:g}" for name, value in constants()["slack"].items()),
    ]
    for family, figures in limits.items():
        lines += ["", f'[bands."{family}"]']
        lines += [f"{name} = [{low:.3g}, {high:.3g}]" for name, (low, high) in figures.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    designs = published()
    check_shared(designs)
    for design in designs:
        if design.excluded:
            print(f"not used: {design.id}: {design.excluded}")
    used = [design for design in designs if not design.excluded]
    begun = time.perf_counter()
    apart = left_out(used)
    fit = fitted(used)
    seen = residuals(used, fit)
    show(f"With constants fitted to all {len(used)} designs", seen)
    show("Each source family left out in turn", apart.residuals)
    show_families(apart.residuals)
    show_svhn(apart.residuals)
    print("\nLeft-out figures inside the band that is stated for them")
    for name, (inside, of) in apart.covered.items():
        print(f"{name:16} {inside} of {of}, {inside / of:.0%}")
    inside, of = (sum(column) for column in zip(*apart.covered.values(), strict=True))
    print(f"{'all':16} {inside} of {of}, {inside / of:.1%}")
    print("\nThe same by source, each of which neither constants nor bands had seen")
    for name, (inside, of) in sorted(apart.by_source.items()):
        print(f"{name:30} {inside} of {of}, {inside / of:.0%}")
    shares = [inside / of for inside, of in apart.by_source.values()]
    error = float(np.std(shares, ddof=1)) / len(shares) ** 0.5
    counted = f"{apart.source_share:.1%} of {len(shares)} sources, standard error {error:.1%}"
    print(f"{'each source counted once':30} {counted}")
    show_blind(apart)
    tables = {"Never fitted": HELD_OUT, "Blind, and not in any band": BLIND_LATER}
    for title, table in tables.items():
        never = residuals(published(table), fit)
        show(title, never)
        show_inside(never)
    largest = max(used, key=lambda design: program_of(design).parameters)
    program = program_of(largest)
    start = time.perf_counter()
    estimate(program, settings_of(largest, program), device(largest.part))
    print(
        f"\n{program.parameters:,} parameters are estimated in {time.perf_counter() - start:.3f} s"
    )
    print(f"the bench took {time.perf_counter() - begun:.0f} s")
    if "--write" in sys.argv[1:]:
        write_file(Path(ROOT / CONSTANTS), written(fit, bands(apart.unseen)))


if __name__ == "__main__":
    main()
