# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Widths by groups of layers and tensors."""

from __future__ import annotations

import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.precision.ptq import PtqSettings, quantize
from tests.support.small_networks import bars, tagger


@pytest.mark.parametrize("refine", [False, True])
def test_the_first_pattern_that_matches_counts(refine: bool) -> None:
    graph = tagger()
    layers = sorted(
        key.removesuffix("/kernel")
        for key, _ in quantize(graph, bars(60).inputs, PtqSettings(8, refine=False)).recipe.weights
        if key.endswith("/kernel")
    )
    first, last = layers[0], layers[-1]
    groups = ((f"{first}|nothing_{last}", 3), (f"{first}*", 5), ("*", 7))
    settings = PtqSettings(8, refine=refine, equalize=False, bits_of=groups)
    chosen = quantize(graph, bars(60).inputs, settings).recipe
    widths = {key: fmt.quantizers[0].type.bits for key, fmt in chosen.weights}
    assert widths[f"{first}/kernel"] == 3 and widths[f"{last}/kernel"] == 7
    for name, quantizer in chosen.activations:
        assert (
            quantizer.type.bits == (3 if name == first else 5 if name.startswith(first) else 7)
            or quantizer.type.bits == 11
        )  # a table's index is finer


def test_a_pattern_that_names_nothing_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="is called 'cnov"):
        quantize(tagger(), bars(20).inputs, PtqSettings(8, bits_of=(("cnov*", 4),)))
