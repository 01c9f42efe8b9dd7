# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A stand-in for libredgetpu: a stick that computes what LiteRT makes of the uncompiled file, with
bytes as the chip sees them."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

PADDED = 8  # bytes that an output fills at least
SIGN_BIT = 0x80


class SimpleInvoker:
    """A compiled file; it can be used while it is entered."""

    def __init__(self, path: str) -> None:
        if Path(path).read_bytes()[4:8] != b"TFL3":
            raise ValueError("not a TFLite model")
        plain = Path(path.replace("_edgetpu", ""))
        self._chip: Any = Interpreter(model_content=plain.read_bytes())
        self._entered = False

    def __enter__(self) -> SimpleInvoker:
        self._chip.allocate_tensors()
        self._entered = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._entered = False

    def invoke_raw_outputs(self, sent: bytes) -> list[bytes]:
        """Inputs one after the other, as unsigned bytes; the same for outputs, padded."""
        if not self._entered:
            raise RuntimeError("the stick is not open")
        for detail in self._chip.get_input_details():
            count = int(np.prod(detail["shape"]))
            part, sent = np.frombuffer(sent[:count], np.uint8), sent[count:]
            signed = (part ^ SIGN_BIT).view(np.int8).reshape(detail["shape"])
            self._chip.set_tensor(detail["index"], signed)
        if sent:
            raise ValueError("more bytes than the inputs have")
        self._chip.invoke()
        outputs = [self._chip.get_tensor(d["index"]) for d in self._chip.get_output_details()]
        return [
            (np.ascontiguousarray(each).reshape(-1).view(np.uint8) ^ SIGN_BIT)
            .tobytes()
            .ljust(PADDED, b"\0")
            for each in outputs
        ]
