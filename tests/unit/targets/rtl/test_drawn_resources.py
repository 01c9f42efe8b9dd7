# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks drawn at random: how many have estimates near what Yosys finds, in five families.

Yosys's counts are committed; a few are found again here. Each network is judged by costs that were
fitted to the others.
"""

from __future__ import annotations

import pytest

from edgeinfer.targets.rtl.estimate.fabric import fabric_of
from tests.support.rtl_fit import judged, measure_fabric
from tests.support.rtl_resources import Wanted, changed, counts_of, designs, recorded, wanted

pytestmark = pytest.mark.slow

FAMILIES = ("ecp5", "nexus", "7-series", "ultrascale+", "gowin")
MANY, NEAR, SHARE = 100, 0.15, 0.9
FOUND_AGAIN = ("random123", "random150", "network6-8")


@pytest.mark.parametrize("fabric", FAMILIES)
def test_nine_in_ten_drawn_networks_are_near(fabric: str) -> None:
    assert not changed(), "renew them: python -m tests.bench.bench_rtl_resources --renew"
    blocks = [b for b in measure_fabric(fabric) if b.design.startswith(("random", "network"))]
    assert len({block.group for block in blocks}) >= MANY
    errors = [one for one in judged(blocks, fabric_of(fabric)) if not one.block]
    drawn = {one.design for one in errors}
    far = {one.design for one in errors if one.kind in ("lut", "ff") and abs(one.error) > NEAR}
    assert len(drawn - far) >= SHARE * len(drawn), sorted(far)


@pytest.mark.parametrize("name", FOUND_AGAIN)
def test_yosys_finds_what_is_committed(name: str) -> None:
    design = next(each for each in designs() if each.name == name)
    (asked,) = [one for one in wanted({}, ("ecp5",)) if one.design.name == design.name]
    assert isinstance(asked, Wanted)
    assert counts_of(asked)["total"] == recorded()[name]["counts"]["ecp5"]["total"]
