# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""engine == interpreter == QKeras on integers, at every tensor of 550 random networks.

Where a float32 cannot hold what QKeras would have to, its values lie within the stated bound.
"""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.base.errors import ProgramError
from edgeinfer.graph.nodes import ConvNode
from edgeinfer.ir.lower import lower
from tests.support.qkeras_oracle import agree, every_tensor, keras_values
from tests.support.random_graphs import random_inputs, random_network
from tests.support.sampling import sample_cases

CHUNK = 25
SAMPLES = 4
WIDTHS = {8: range(0, 400, CHUNK), 12: range(1000, 1075, CHUNK), 24: range(2000, 2075, CHUNK)}
CHUNKS = [(widest, first) for widest, firsts in WIDTHS.items() for first in firsts]


@pytest.fixture(autouse=True)
def fresh_keras():
    yield
    import keras

    keras.utils.clear_session()


@pytest.mark.parametrize(("widest", "first"), sample_cases(CHUNKS, 5))
def test_three_ways_to_compute_a_network_agree(widest: int, first: int) -> None:
    tensors = exact = too_wide = 0
    for seed in range(first, first + CHUNK):
        network = random_network(seed, widest=widest)
        inputs = random_inputs(network, seed, SAMPLES)
        try:
            lower(network.graph, network.recipe)
        except ProgramError:  # no int64 holds an accumulator of it
            too_wide += 1
            continue
        tally = agree(network.graph, network.recipe, inputs)
        tensors, exact = tensors + tally.tensors, exact + tally.exact
    assert too_wide <= (0 if widest == 8 else 3)
    assert exact >= {8: 0.8, 12: 0.6, 24: 0.35}[widest] * tensors


def test_one_channel_and_one_column() -> None:
    network = random_network(663)
    conv = next(node for node in network.graph.nodes if isinstance(node, ConvNode))
    assert conv.strides == (1, 2) and network.graph.shapes[conv.name] == (3, 1, 1)
    agree(network.graph, network.recipe, random_inputs(network, 663, SAMPLES))


@pytest.mark.slow
def test_keras_compiled_and_op_by_op_are_the_same() -> None:
    from edgeinfer.export.qkeras import draw

    for seed in range(5):
        network = random_network(seed)
        drawing = draw(network.graph, network.recipe)
        program = lower(every_tensor(drawing), drawing.recipe, host_functions=False).program
        inputs = random_inputs(network, seed, SAMPLES)
        slow = keras_values(drawing, program, inputs)
        for name, value in keras_values(drawing, program, inputs, compiled=True).items():
            np.testing.assert_array_equal(value, slow[name], err_msg=f"{network.graph.name} {name}")
