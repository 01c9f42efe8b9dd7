# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The inputs and outputs of a file that the converter has made, brought into the model's order.

The converter has an order of its own. The file's signature, which knows tensors by number, tells
which is which; only numbers inside the file are moved.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgeinfer.targets.edgetpu.flat import U32, Flat, FlatError
from edgeinfer.targets.edgetpu.tflite import IDENTIFIER, broken


def reordered(
    data: bytes, source: str, inputs: Mapping[str, str], outputs: Mapping[str, str]
) -> bytes:
    """The same file with its inputs and outputs in the order of the given names."""
    changed = bytearray(data)
    try:
        root = Flat.over(data).root(IDENTIFIER)
        graph, signature = root.tables(2)[0], root.tables(7)[0]
        for slot, names in ((1, inputs), (2, outputs)):
            numbers = {table.text(0): table.integer(1, U32) for table in signature.tables(slot - 1)}
            wanted = [numbers[key] for key in names.values()]
            if sorted(wanted) != sorted(graph.numbers(slot, "<i4").tolist()):
                raise FlatError("its signature names other tensors than its graph")
            at = graph.start(slot)
            changed[at : at + 4 * len(wanted)] = np.asarray(wanted, "<i4").tobytes()
    except (FlatError, KeyError, IndexError) as error:
        raise broken(source, FlatError(str(error))) from None
    return bytes(changed)
