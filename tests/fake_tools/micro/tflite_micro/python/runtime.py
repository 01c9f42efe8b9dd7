# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""LiteRT's reference kernels behind the functions of TensorFlow Lite Micro's interpreter."""

from __future__ import annotations

import sys
from typing import Any

from ai_edge_litert.interpreter import Interpreter as LiteRt
from ai_edge_litert.interpreter import OpResolverType

SMALLEST_ARENA = 1 << 19


class Interpreter:
    """Wants a larger arena than the first that is tried."""

    @staticmethod
    def from_file(path: str, arena_size: int) -> Interpreter:
        """Read a file."""
        if arena_size < SMALLEST_ARENA:
            raise RuntimeError("TFLM failed to allocate tensors")
        result = Interpreter()
        result.held = LiteRt(
            model_path=path, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        result.held.allocate_tensors()
        return result

    held: Any

    def set_input(self, values: Any, number: int) -> None:
        """One input."""
        self.held.set_tensor(self.held.get_input_details()[number]["index"], values)

    def invoke(self) -> None:
        """Run."""
        self.held.invoke()

    def get_output(self, number: int) -> Any:
        """One output; an IndexError where there is none."""
        return self.held.get_tensor(self.held.get_output_details()[number]["index"])

    def print_allocations(self) -> None:
        """As the recording allocator prints them."""
        for part, size in (("total", 7000), ("head", 2500), ("tail", 4500)):
            sys.stderr.write(f"[RecordingMicroAllocator] Arena allocation {part} {size} bytes\n")
