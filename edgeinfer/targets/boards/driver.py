# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The driver in `deploy`, which runs on a Zynq board, or here with a stand-in for `pynq`: samples
go through it, and what is missing is told."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.targets.boards.boards import ZynqBoard
from edgeinfer.targets.boards.records import PlaneRecords, RecordLayout
from edgeinfer.targets.boards.wrapper import DEPLOY, DESCRIPTION, read_layout
from edgeinfer.targets.target import PLANE_CYCLES, BoardReply
from quantization.fixed import Ints

TIMED_FRAMES = 16  # that a Zynq's design computes one by one


def refuse_port(on: ZynqBoard, port: str | None) -> None:
    """An error where a port is named for a board that has none."""
    if port is not None:
        raise UsageError(
            f"The {on.title} has no serial port for frames: it takes them by DMA.",
            hint="Leave out --port.",
        )


def loading_refusal(folder: Path, on: ZynqBoard) -> UsageError:
    """What is said where someone wants to load such a board from another machine."""
    return UsageError(
        f"The {on.title} is loaded by the driver that runs on it.",
        hint=f"Copy {folder / DEPLOY} to the board and run there: {_own_command(folder)}",
    )


def ask_real(
    folder: Path,
    on: ZynqBoard,
    raw: Mapping[str, Ints],
    report_progress: Callable[[int, int], None],
) -> BoardReply:
    """By the driver, on the board itself."""
    _check_zynq(folder, on)
    return ask_driver(folder, nullcontext(), f"the {on.title}", raw, report_progress)


def ask_driver(
    folder: Path,
    package: AbstractContextManager[ModuleType | None],
    where: str,
    raw: Mapping[str, Ints],
    report_progress: Callable[[int, int], None],
    *,
    timed: bool = True,
) -> BoardReply:
    """By the driver that goes onto the board: some frames one by one, which the design's counter
    times, and all of them in large transfers. `timed`: whether there is such a counter."""
    layout = read_layout(folder / DESCRIPTION)
    if layout is not None:
        return _ask_planes(folder, package, where, layout, raw, report_progress)
    count = len(next(iter(raw.values())))
    with package as pynq, driver_of(folder, pynq) as driver:
        try:
            with driver.Accelerator() as accelerator:
                cycles = []
                for number in range(min(count, TIMED_FRAMES) if timed else 0):
                    accelerator.run_raw({k: v[number : number + 1] for k, v in raw.items()})
                    cycles.append(accelerator.cycles)
                outputs = accelerator.run_raw(raw)
                report_progress(count, count)
                reply = BoardReply(
                    outputs, np.array(cycles, np.int64), accelerator.clock_mhz,
                    accelerator.seconds, where,
                )  # fmt: skip
        except driver.AcceleratorError as error:
            raise ToolFailedError(f"{where}: {error}") from None
    return reply


def _ask_planes(
    folder: Path,
    package: AbstractContextManager[ModuleType | None],
    where: str,
    layout: RecordLayout,
    raw: Mapping[str, Ints],
    report_progress: Callable[[int, int], None],
) -> BoardReply:
    """By the driver for planes: patches side by side, a plane in a transfer."""
    patches = raw[layout.input]
    with package as pynq, driver_of(folder, pynq, "planes") as driver:
        try:
            with driver.PlaneAccelerator() as accelerator:
                records, cycles, seconds = [], [], 0.0
                for plane, hits in layout.tiles.lay_planes(patches):
                    (answer,) = accelerator.find_raw_hits(plane[None], hits[None])
                    records.append(PlaneRecords(answer["wire"], answer["pixel"], answer["outputs"]))
                    cycles.append(accelerator.cycles)
                    seconds += accelerator.seconds
                    report_progress(len(records), layout.tiles.count_planes(len(patches)))
                clock_mhz = accelerator.clock_mhz
        except driver.AcceleratorError as error:
            raise ToolFailedError(f"{where}: {error}") from None
    outputs = layout.outputs_of_patches(len(patches), records)
    counted = np.array(cycles, np.int64)
    return BoardReply(outputs, counted, clock_mhz, seconds, where, PLANE_CYCLES)


def _check_zynq(folder: Path, on: ZynqBoard) -> None:
    """An error where this machine is not the board, or the board has no bitstream."""
    if not _is_here("pynq"):
        raise ToolFailedError(
            f"This machine is not the {on.title}: the Python package pynq is not here.",
            hint=f"Copy {folder / DEPLOY} to the board and run there: {_own_command(folder)}. Or "
            "add --simulate.",
        )
    if not (folder / DEPLOY / "design.bit").is_file():
        raise UsageError(
            f"There is no bitstream for the {on.title} in {folder / DEPLOY}.",
            hint="Make it with: edgeinfer board build RUN",
        )


def _own_command(folder: Path) -> str:
    """What is run on the board where edgeinfer is not."""
    if (folder / DEPLOY / "run_planes.py").is_file():
        return 'sudo bash -lc "python3 run_planes.py --data d.npz -o hits.npz"'
    return 'sudo bash -lc "python3 run.py --data d.npz -o scores.npz"'


def _is_here(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


class SimulatedBuffer(np.ndarray[Any, np.dtype[Any]]):
    """Memory that processors and DMA share."""

    def flush(self) -> None:
        """Nothing is kept back."""

    def invalidate(self) -> None:
        """Nothing is kept back."""

    def freebuffer(self) -> None:
        """Python does that."""


@dataclass(slots=True)
class SimulatedOverlay:
    """What `pynq.Overlay` gives a driver."""

    accelerator: Any
    engines: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        engines: dict[str, Any] = object.__getattribute__(self, "engines")
        if name not in engines:
            raise AttributeError(name)
        return engines[name]

    def free(self) -> None:
        """The simulation ends by itself."""


def stand_in(registers: Any, engines: Mapping[str, Any]) -> ModuleType:
    """A package like `pynq`, whose overlay has these registers and DMAs."""
    overlay = SimulatedOverlay(registers, dict(engines))
    package = ModuleType("pynq")
    vars(package)["Overlay"] = lambda path, download=True: overlay
    vars(package)["allocate"] = _allocate
    return package


def _allocate(shape: tuple[int, ...], kind: Any) -> SimulatedBuffer:
    return np.zeros(shape, kind).view(SimulatedBuffer)


@contextlib.contextmanager
def driver_of(folder: Path, package: ModuleType | None, name: str = "driver") -> Iterator[Any]:
    """The driver that goes onto the board, from a target's folder, with a stand-in for `pynq`, or
    with the real one. `name`: that of the file, `planes` for designs for whole planes."""
    with contextlib.ExitStack() as stack:
        if package is not None:
            stack.enter_context(_import_as("pynq", package))
        driver = _execute(folder / DEPLOY / "driver.py")
        if name == "driver":
            yield driver
            return
        stack.enter_context(_import_as("driver", driver))
        yield _execute(folder / DEPLOY / f"{name}.py")


def _execute(path: Path) -> ModuleType:
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    return module


@contextlib.contextmanager
def _import_as(name: str, module: ModuleType) -> Iterator[None]:
    """A module that can be imported by a name."""
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
