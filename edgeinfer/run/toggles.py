# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How many bits of a network's values change from one sample to the next: the Program's own
integers, sample after sample, as a pipeline sees them."""

from __future__ import annotations

import numpy as np

from edgeinfer.base.errors import InputError
from edgeinfer.data.samples import Samples
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.program import Program
from quantization.fixed import Ints, Overflow, Quantizer, quantize

MOST_SAMPLES = 64


def toggle_share(program: Program, samples: Samples) -> float:
    """The share of bits that change, over all inputs of layers that multiply."""
    raw: dict[str, Ints] = {}
    for op in program.inputs:
        if op.name not in samples.inputs:
            raise InputError(f"The samples hold no input {op.name}.")
        values = np.asarray(samples.inputs[op.name][:MOST_SAMPLES], np.float64)
        raw[op.name] = quantize(
            values.reshape(-1, *op.shape), Quantizer(op.type, overflow=Overflow.SAT)
        )
    if len(next(iter(raw.values()))) < 2:
        raise InputError("Two samples or more are needed to see which bits change.")
    read = list(dict.fromkeys(op.x for op in program.ops if isinstance(op, Accumulates)))
    values_read = interpret(program, raw)
    changed = bits_seen = 0
    for name in read:
        bits = program.type(name).bits
        integers = values_read[name].reshape(len(values_read[name]), -1)
        mask = np.int64((1 << min(bits, 62)) - 1)
        changed += int(np.bitwise_count((integers[1:] ^ integers[:-1]) & mask).sum())
        bits_seen += bits * integers[1:].size
    return changed / bits_seen if bits_seen else 0.0
