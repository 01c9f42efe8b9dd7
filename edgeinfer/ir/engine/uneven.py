# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Ops that have numbers of their own for each pixel, which a row for a site does not know."""

from __future__ import annotations

from collections.abc import Iterable

from edgeinfer.ir.engine.site_sets import SiteSearch
from edgeinfer.ir.ops import inputs_of


def tell_uneven(search: SiteSearch, values: Iterable[str]) -> str:
    """What to say where such an op stands between sites and these values; nothing if none does."""
    ops = {op.name: op for op in search.ops}
    waiting, seen = list(values), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if search.is_uneven(ops[name]):
            return (
                f". %{name} has other numbers from pixel to pixel, as formats for each element "
                "give them: train with one format for all pixels (HGQ2: homogeneous_axis=(0, 1, "
                "2)), or leave out --sparse tokens"
            )
        waiting += inputs_of(ops[name])
    return ""
