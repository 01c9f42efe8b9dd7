# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Bands of the HLS estimate on drawn errors, whose law is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgeinfer.targets.hls.estimate.estimate import ELSEWHERE
from tests.support.estimate_fit import FIGURES, Residual, bands, is_inside

KINDS = {"io_parallel, dense": 0.1, "io_parallel, conv": 0.2, "io_stream, conv": 0.4}


def draw_source(rng: np.random.Generator, name: str, family: str, designs: int) -> list[Residual]:
    """Designs of one source, which err together: most of an error is the source's own."""
    shared = rng.normal(0, KINDS[family])
    return [
        Residual(
            f"{name}-{number}",
            name,
            family,
            figure,
            1e6,  # large, so that the slack of a small figure is nothing
            1e6 * math.exp(shared + rng.normal(0, KINDS[family] / 4)),
        )
        for number in range(designs)
        for figure in FIGURES
    ]


def draw_table(rng: np.random.Generator, sources: int) -> list[Residual]:
    """Sources of very different sizes, as the published ones are."""
    kinds = list(KINDS)
    return [
        residual
        for number in range(sources)
        for residual in draw_source(
            rng, f"source {number}", kinds[number % len(kinds)], int(rng.choice([1, 1, 2, 12]))
        )
    ]


@pytest.mark.parametrize("sources", [6, 15, 30])
def test_nine_tenths_of_new_sources_lie_inside_however_few_are_known(sources: int) -> None:
    rng = np.random.default_rng(sources)
    inside = []
    for _ in range(25):
        limits = bands(draw_table(rng, sources))
        for family in KINDS:
            for number in range(20):
                new = draw_source(rng, f"new {number}", family, 1)
                inside.append(is_inside(new[number % len(FIGURES)], limits))
    assert 0.85 <= np.mean(inside) <= 0.97


def test_more_designs_of_a_source_tell_no_more_than_one() -> None:
    table = draw_table(np.random.default_rng(3), 8)
    plain = bands(table)
    twins = [r for r in table if r.source == "source 0"] * 10
    for family, figures in bands(table + twins).items():
        for name, ends in figures.items():
            assert ends == pytest.approx(plain[family][name])


def test_fewer_sources_make_a_wider_band() -> None:
    """The errors are the same; only how many sources vouch for them differs."""
    table = [
        Residual(f"{number}", f"source {number}", "io_stream, conv", "lut", 1e6, 1e6 * factor)
        for number, factor in enumerate([0.8, 1.25] * 8)
    ]
    others = [
        Residual(r.id, r.source, r.family, figure, 1e6, 1e6)
        for r in table
        for figure in FIGURES
        if figure != "lut"
    ]
    first = {str(number) for number in range(4)}
    few, many = (
        bands([r for r in table + others if r.id in ids])[ELSEWHERE]["lut"]
        for ids in (first, {r.id for r in table})
    )
    assert few[0] < many[0] < 0.8 and 1.25 < many[1] < few[1]
    assert many[0] * many[1] == pytest.approx(1)
