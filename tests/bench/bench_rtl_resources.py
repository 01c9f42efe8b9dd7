# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How far estimated resources are from what Yosys finds, by family; each Program is judged by costs
that were fitted to the others. What Yosys found is committed; `--renew` synthesises what has
changed since."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from edgeinfer.targets.rtl.estimate.fabric import fabric_of
from edgeinfer.targets.rtl.tools.families import KINDS
from tests.support.rtl_fit import Judged, judged, measure_fabric
from tests.support.rtl_resources import DEVICES, changed, renewed

NEAR = 0.15


def main() -> None:
    """A table, and the designs that are furthest off."""
    if "--renew" in sys.argv:
        renewed(message=lambda line: print(line, file=sys.stderr))
    print(f"{len(changed())} designs have changed since Yosys saw them.")
    print(
        "family       designs  "
        + "  ".join(f"{kind:>6} median   90 %" for kind in KINDS)
        + "  within 15 %: LUT, FF, both"
    )
    worst: list[tuple[str, Judged]] = []
    for fabric in DEVICES:
        blocks = measure_fabric(fabric)
        errors = [one for one in judged(blocks, fabric_of(fabric)) if not one.block]
        columns = [_column([one for one in errors if one.kind == kind]) for kind in KINDS]
        print(
            f"{fabric:<12} {len({b.design for b in blocks}):>7}  "
            + "  ".join(columns)
            + "  "
            + ", ".join(map(str, _count_near(errors)))
        )
        worst += [(fabric, one) for one in errors if one.kind == "lut"]
    print("furthest off in LUTs:")
    for fabric, one in sorted(worst, key=lambda pair: -abs(pair[1].error))[:10]:
        print(f"  {fabric:<12} {one.design:<24} {one.estimated:>8,.0f} for {one.found:>8,.0f}")


def _count_near(errors: Sequence[Judged]) -> tuple[int, int, int]:
    """Designs whose LUTs, whose flip-flops, and of which both are near."""
    lut, ff = (
        {one.design for one in errors if one.kind == kind and abs(one.error) <= NEAR}
        for kind in ("lut", "ff")
    )
    return len(lut), len(ff), len(lut & ff)


def _column(errors: Sequence[Judged]) -> str:
    if not errors:  # the family has no such kind
        return f"{'':>20}"
    sizes = np.abs([one.error for one in errors])
    return f"{np.median(sizes):>13.1%} {np.quantile(sizes, 0.9):>6.1%}"


if __name__ == "__main__":
    main()
