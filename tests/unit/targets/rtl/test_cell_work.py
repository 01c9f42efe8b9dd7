# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The work of cells: bits that nothing reads, or that are always the same, are none."""

from __future__ import annotations

import numpy as np
import pytest

from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.ops import PairKind
from edgeinfer.targets.rtl.unrolled.cell_work import read_bits, work_of
from edgeinfer.targets.rtl.unrolled.cells import Circuit, Wire
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding
from tests.support.pipelines import network_of_learned_widths
from tests.support.rtl_circuit import outputs_of_read_bits

BYTE, SHORT = Fixed(True, 8, 8), Fixed(False, 3, 3)


def additions(circuit: Circuit, *outputs: Wire) -> dict[str, int]:
    """Bits of additions in a whole circuit by kind."""
    read = read_bits(circuit, range(len(circuit.wires)), outputs)
    counts = {"add": 0, "half_add": 0}
    for wire, cell in zip(circuit.wires, circuit.cells, strict=True):
        for kind, bits in work_of(cell, wire, read[wire.number]):
            if kind in counts:
                counts[kind] += bits
    return counts


def test_what_wraps_behind_a_sum_takes_the_upper_bits_of_all_sums_before_it() -> None:
    circuit = Circuit()
    a, b, c = (circuit.source(0, place, BYTE) for place in range(3))
    total = circuit.join(PairKind.ADD, circuit.join(PairKind.ADD, a, b), c)
    assert total.bits == 10
    assert additions(circuit, total) == {"add": 9 + 10, "half_add": 0}
    wrap = Quantizer(Fixed(True, 4, 4), Rounding.TRN, Overflow.WRAP)
    assert additions(circuit, circuit.requantise(total, 0, wrap)) == {"add": 4 + 4, "half_add": 0}


def test_bits_that_one_number_never_has_take_no_adder() -> None:
    circuit = Circuit()
    a, b = circuit.source(0, 0, BYTE), circuit.source(0, 1, SHORT)
    grown = circuit.join(PairKind.ADD, a, b)
    assert additions(circuit, grown) == {"add": 3, "half_add": 6}  # a carry goes to the end
    raised = circuit.shift(b, 2)  # whose two lowest bits are always zero
    assert additions(circuit, circuit.join(PairKind.ADD, a, raised)) == {"add": 3, "half_add": 4}
    less = circuit.join(PairKind.SUB, raised, a)  # whose lowest bits are those of -a
    assert additions(circuit, less) == {"add": 3, "half_add": 6}


def test_a_number_that_never_changes_takes_no_adder() -> None:
    circuit = Circuit()
    moved = circuit.join(PairKind.ADD, circuit.source(0, 0, BYTE), circuit.literal(12))
    assert additions(circuit, moved) == {"add": 0, "half_add": 7}  # of 9 bits, two are no sum


def test_what_nothing_reads_is_not_made() -> None:
    circuit = Circuit()
    a, b = (circuit.source(0, place, BYTE) for place in range(2))
    circuit.join(PairKind.ADD, a, b)
    assert additions(circuit, a) == {"add": 0, "half_add": 0}


@pytest.mark.parametrize("seed", range(12))
def test_no_output_hangs_on_a_bit_that_is_said_to_be_unread(seed: int) -> None:
    program = network_of_learned_widths(seed)
    (port,) = program.inputs
    rng = np.random.default_rng(seed)
    ends = port.type.raw_min, port.type.raw_max
    raw = {port.name: rng.integers(*ends, (50, *port.shape), endpoint=True)}
    expected = interpret(program, raw)
    for output, numbers in outputs_of_read_bits(program, raw).items():
        value = next(o.value for o in program.outputs if o.name == output)
        np.testing.assert_array_equal(numbers.astype(np.int64), expected[value])
