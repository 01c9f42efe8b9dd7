# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Functions of whole numbers and addresses that become machine code while the program runs, by
llvmlite (the extra [fast]) or by a C++ compiler."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any

from edgeinfer.base import tools
from edgeinfer.base.errors import ToolFailedError, ToolMissingError
from edgeinfer.base.scratch import scratch_folder

COMPILER = tools.Tool(
    "g++", "EDGEINFER_CXX", "C++ compiler for estimates of large designs", "apt-get install g++"
)
FLAGS = ("-O2", "-shared", "-fPIC")
COMPILE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class MachineCode:
    """A function of int64 arguments. It holds no lock while it runs."""

    function: Any
    owner: Any  # keeps the code in memory


def has_llvmlite() -> bool:
    """Whether machine code can be made in this process."""
    return util.find_spec("llvmlite") is not None


def compile_source(source: Path, name: str, arguments: int) -> MachineCode | None:
    """A function of so many int64 arguments that yields nothing, from a shipped file of C++; None
    where no compiler is, or what it makes cannot be loaded."""
    try:
        compiler = tools.FoundTool(COMPILER, tools.locate(COMPILER), version="")
        with scratch_folder("code") as scratch:
            library = scratch / f"{name}.so"
            tools.run(compiler, [*FLAGS, source, "-o", library], seconds=COMPILE_SECONDS)
            owner = ctypes.CDLL(str(library))
    except (ToolMissingError, ToolFailedError, OSError):
        return None
    function = owner[name]
    function.argtypes = [ctypes.c_int64] * arguments
    function.restype = None
    return MachineCode(function, owner)


def compile_function(function: Any) -> MachineCode:
    """A function that llvmlite has been told of, for this processor. It yields an int64 or
    nothing."""
    from llvmlite import binding, ir

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        jit=True,
    )
    parsed = binding.parse_assembly(str(function.module))
    parsed.verify()
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(parsed, passes)
    owner = binding.create_mcjit_compiler(parsed, machine)
    owner.finalize_object()
    nothing = isinstance(function.ftype.return_type, ir.VoidType)
    result = None if nothing else ctypes.c_int64
    kinds = [ctypes.c_int64] * len(function.args)
    address = owner.get_function_address(function.name)
    return MachineCode(ctypes.CFUNCTYPE(result, *kinds)(address), owner)


@contextmanager
def loop(build: Any, count: Any) -> Iterator[Any]:
    """A loop of so many turns around what is built inside; yields the turn's number."""
    from llvmlite import ir

    kind = count.type
    before = build.block
    head, body, behind = (build.append_basic_block() for _ in range(3))
    build.branch(head)
    build.position_at_end(head)
    turn = build.phi(kind)
    turn.add_incoming(ir.Constant(kind, 0), before)
    build.cbranch(build.icmp_unsigned("<", turn, count), body, behind)
    build.position_at_end(body)
    yield turn
    turn.add_incoming(build.add(turn, ir.Constant(kind, 1)), build.block)
    build.branch(head)
    build.position_at_end(behind)


def build_pointer(build: Any, base: Any, index: Any, kind: Any) -> Any:
    """Where the element of this number lies in an array that begins at an address."""
    offset = base.type(index) if isinstance(index, int) else index
    address = build.add(base, build.mul(offset, base.type(_size_of(kind))))
    return build.inttoptr(address, kind.as_pointer())


def build_load(build: Any, base: Any, index: Any, kind: Any, align: int | None = None) -> Any:
    """That element. `align`: of its address in bytes, where it is not that of an array's."""
    return build.load(build_pointer(build, base, index, kind), align=align or _size_of(kind))


def _size_of(kind: Any) -> int:
    """Bytes of a whole number, or of a vector of them."""
    bits: int = kind.count * kind.element.width if hasattr(kind, "count") else kind.width
    return bits // 8
