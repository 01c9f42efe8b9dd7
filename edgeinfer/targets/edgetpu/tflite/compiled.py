# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What the vendor's compiler put into a file: executables with their parameters and instructions.

The custom operator's options hold a Package; that holds a MultiExecutable; that holds executables.
One that caches parameters runs once, when the model is loaded; one that only executes runs at each
inference and brings along what is streamed; one that stands alone does both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from pathlib import Path
from typing import Final

from edgeinfer.base.errors import InputError
from edgeinfer.base.tflite.flat import I16, I32, I64, U8, U64, Flat, FlatError, FlatTable
from edgeinfer.base.tflite.model import Operator, TfliteModel, broken_file_error, read
from edgeinfer.targets.edgetpu.tflite import flex

CUSTOM_OP: Final = "edgetpu-custom-op"
PACKAGE_KEY: Final = "4"
COMPILED_ENDING: Final = "_edgetpu"  # of the names that the compiler gives its files
IDENTIFIER: Final = b"DWN1"
DEEPEST: Final = 2  # a package for several chips holds packages, which hold none


class ExecutableKind(IntEnum):
    """What an executable is for, in the schema's numbering."""

    STAND_ALONE = 0
    PARAMETER_CACHING = 1
    EXECUTION_ONLY = 2


class Transfer(Enum):
    """What is moved between host and chip."""

    OUTPUT = 0
    INPUT = 1
    PARAMETERS = 2
    SCRATCH = 3


@dataclass(frozen=True, slots=True)
class ChipPort:
    """An input or output as the chip sees it."""

    name: str
    bytes: int  # with padding
    shape: tuple[int, int, int]  # y, x, z
    zero_point: int
    scale: float


@dataclass(frozen=True, slots=True)
class Executable:
    """One program for the chip."""

    kind: ExecutableKind
    parameter_bytes: int
    instruction_bytes: int
    transfers: dict[str, int]  # bytes of the DMA hints, by what is moved
    inputs: tuple[ChipPort, ...]
    outputs: tuple[ChipPort, ...]
    chip: str
    batch: int
    scratch_bytes: int
    narrow_memory_bytes: int  # of each tile
    caching_token: int
    estimated_cycles: int  # 0 where the compiler says nothing


@dataclass(frozen=True, slots=True)
class Package:
    """Everything that one custom operator holds."""

    operator: int  # its place in the file
    runtime_version: int  # the least that can run it
    compiler_version: str
    executables: tuple[Executable, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledFile:
    """A compiled file: the model around the custom operators, and what these hold."""

    model: TfliteModel
    packages: tuple[Package, ...]

    @property
    def executables(self) -> tuple[Executable, ...]:
        """Those of all packages."""
        return tuple(e for package in self.packages for e in package.executables)

    @property
    def cached_bytes(self) -> int:
        """Parameters that stay on the chip."""
        return sum(
            e.parameter_bytes
            for e in self.executables
            if e.kind is ExecutableKind.PARAMETER_CACHING
        )

    @property
    def streamed_bytes(self) -> int:
        """Parameters that travel at every inference."""
        return sum(
            e.parameter_bytes
            for e in self.executables
            if e.kind is not ExecutableKind.PARAMETER_CACHING
        )

    @property
    def instruction_bytes(self) -> int:
        """Instructions of all executables."""
        return sum(e.instruction_bytes for e in self.executables)

    @property
    def estimated_cycles(self) -> int:
        """The compiler's own estimate for an inference; 0 where it says nothing."""
        return sum(e.estimated_cycles for e in self.executables)

    @property
    def runtime_version(self) -> int:
        """The least runtime that can run it."""
        return max((package.runtime_version for package in self.packages), default=0)

    @property
    def cpu_operators(self) -> tuple[Operator, ...]:
        """What is left to the host."""
        inside = {package.operator for package in self.packages}
        return tuple(op for op in self.model.operators if op.index not in inside)


def read_compiled(path: Path) -> CompiledFile:
    """Read a compiled file; an InputError where it is none."""
    return decode(read(path))


def decode(model: TfliteModel) -> CompiledFile:
    """What the custom operators of a file hold."""
    custom_ops = [op for op in model.operators if op.custom == CUSTOM_OP]
    named = Path(model.source).stem.endswith(COMPILED_ENDING)
    if not custom_ops and not named:  # what the compiler has named may hold nothing of the chip's
        raise InputError(
            f"{model.source} holds no {CUSTOM_OP}, so it was not compiled for the Edge TPU.",
            hint="See what would be mapped with: edgeinfer map FILE.tflite",
        )
    try:
        return CompiledFile(model, tuple(_of_operator(model, op) for op in custom_ops))
    except FlatError as error:
        raise broken_file_error(model.source, error) from None


def _of_operator(model: TfliteModel, op: Operator) -> Package:
    if op.custom_options is None:
        raise FlatError(f"operator {op.index} holds no package")
    package = flex.bytes_of(model.flat.open_nested(op.custom_options), PACKAGE_KEY)
    if package is None:
        raise FlatError(f"operator {op.index} holds no package under {PACKAGE_KEY!r}")
    tables = tuple(_packages(model.flat, package, DEEPEST))
    executables = tuple(e for table in tables for e in _executables(table))
    return Package(
        op.index,
        max(table.integer(0, I32) for table in tables),
        next((text for text in (table.text(4) for table in tables) if text), ""),
        executables,
    )


def _packages(flat: Flat, data: memoryview, deepest: int) -> Iterator[FlatTable]:
    """A package, and those that it holds for single chips."""
    root = flat.open_nested(data).root(IDENTIFIER)
    yield root
    for inner in root.tables(6):
        if deepest <= 1:
            raise FlatError("packages are nested too deep")
        package = inner.blob(0)
        if package is not None:
            yield from _packages(flat, package, deepest - 1)


def _executables(package: FlatTable) -> Iterator[Executable]:
    executables = package.blob(1)
    if executables is None:
        return
    flat = package.flat.open_nested(executables)
    for serialized in flat.root().blobs(0):
        yield _executable(flat.open_nested(serialized).root())


def _executable(table: FlatTable) -> Executable:
    number = table.integer(13, I16)
    if number not in tuple(ExecutableKind):
        raise FlatError(f"an executable is of the unknown kind {number}")
    streams = [stream.blob(0) for stream in table.tables(5)]
    return Executable(
        kind=ExecutableKind(number),
        parameter_bytes=len(table.blob(6) or b""),
        instruction_bytes=sum(len(stream) for stream in streams if stream is not None),
        transfers=_transfers(table.table(7)),
        inputs=tuple(_layer(layer) for layer in table.tables(8)),
        outputs=tuple(_layer(layer) for layer in table.tables(9)),
        chip=table.text(10),
        batch=table.integer(3, I32),
        scratch_bytes=table.integer(4, I32),
        narrow_memory_bytes=table.integer(12, I32),
        caching_token=table.integer(14, U64),
        estimated_cycles=max(table.integer(16, I64), table.integer(11, I32), 0),
    )


def _transfers(hints: FlatTable | None) -> dict[str, int]:
    """Bytes by what is moved, as the DMA hints list them."""
    transfers: dict[str, int] = {}
    for hint in hints.tables(0) if hints is not None else ():
        descriptor = hint.table(1) if hint.integer(0, U8) == 1 else None
        if descriptor is None:
            continue
        meta = descriptor.table(0)
        number = meta.integer(0, I16) if meta is not None else 0
        name = Transfer(number).name.lower() if 0 <= number < len(Transfer) else "other"
        transfers[name] = transfers.get(name, 0) + max(descriptor.integer(2, I32), 0)
    return transfers


def _layer(table: FlatTable) -> ChipPort:
    numerics = table.table(5)
    return ChipPort(
        table.text(0),
        table.integer(1, I32),
        (table.integer(2, I32), table.integer(3, I32), table.integer(4, I32)),
        numerics.integer(0, I32) if numerics is not None else 0,
        numerics.real(1) if numerics is not None else 0.0,
    )
