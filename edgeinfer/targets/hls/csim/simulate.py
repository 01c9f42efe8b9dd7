# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Running a compiled C-simulation: raw integers in, raw integers out, in several processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from edgeinfer.base import plan, tools
from edgeinfer.base.errors import ToolFailedError, UsageError, did_you_mean
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.base.tools import FoundTool, Tool
from edgeinfer.ir.engine.onnx_builder import available_threads
from edgeinfer.ir.interpret import fitting_inputs
from edgeinfer.ir.ops import Constant, Reshape
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.csim.build import CompiledCsim, build_csim
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.manifest import Manifest
from quantization.fixed import Ints

SampleProgress = Callable[[int, int], None]

CSIM = Tool("C-simulation", "", "the compiled project", "edgeinfer compile")
RUN_SECONDS = 7 * 24 * 3600.0
HELD_BYTES = 256 << 20  # of inputs and results in files at once
TICK_SECONDS = 0.2
RAW = np.dtype("<i8")
STALLS = "WARNING: Hls::stream"  # how hls_stream.h begins to tell of words too few or too many


def simulate_project(
    program: Program,
    folder: Path,
    raw: Mapping[str, Ints],
    *,
    taps: Collection[str] = (),
    processes: int | None = None,
    report_progress: SampleProgress = lambda done, total: None,
    compiled: CompiledCsim | None = None,
) -> dict[str, Ints]:
    """Compile if need be, and run: raw outputs and counts of left-out pixels by name, raw values
    of the taps by theirs."""
    inputs = fitting_inputs(program, raw)
    project = manifest.read(folder)
    sources = {tap: source_of(program, project, tap) for tap in taps}
    constants = {op.name: op for op in fold_constants(program).ops if isinstance(op, Constant)}
    layers = sorted({source for source in sources.values() if source})
    compiled = compiled or build_csim(folder)
    samples = len(next(iter(inputs.values())))
    ports = {port.value: inputs[port.value] for port in project.inputs}
    values = _run(
        compiled, folder, project, ports, layers, processes or available_threads(), report_progress
    )
    results: dict[str, Ints] = {}
    for port in (*project.counters, *project.outputs):
        results[port.name] = values[f"port {port.name}"].reshape(samples, *port.shape)
    same_names = {port.name for port in project.outputs if port.name == port.value}
    for tap, source in sources.items():
        if tap in same_names:  # an output of that very name and value
            continue
        if tap in constants:
            whole = constants[tap].value.astype(np.int64)
            results[tap] = np.broadcast_to(whole, (samples, *whole.shape))
        elif not source:
            results[tap] = inputs[_root(program, tap)].astype(np.int64)
        else:
            results[tap] = values[source]
        results[tap] = results[tap].reshape(samples, *program.shapes[tap])
    return results


def source_of(program: Program, project: Manifest, value: str) -> str:
    """The layer whose result is a value; empty where the value is an input or a constant."""
    if value not in program.shapes:
        raise UsageError(
            f"{program.name} has no value %{value} to tap.",
            hint=did_you_mean(value, program.shapes),
        )
    root = _root(program, value)
    if any(port.value == root for port in project.inputs):
        return ""
    of_value = {layer.value: layer.layer for layer in reversed(project.layers) if layer.value}
    for name in (value, root):
        layer = next((h for h in project.layers if h.layer == of_value.get(name)), None)
        if layer is not None and layer.kind != "Reshape":
            return layer.layer
    if isinstance(program[root], Constant) or value in _constant_names(program):
        return ""
    raise UsageError(
        f"The project has no layer for %{value}: no output of {program.name} needs it."
    )


def tappable(program: Program, project: Manifest) -> tuple[str, ...]:
    """Every value of the Program that the C-simulation can tell, in the Program's order."""
    layer_values = {layer.value for layer in project.layers}
    inputs = {port.value for port in project.inputs}
    return tuple(op.name for op in program.ops if op.name in layer_values or op.name in inputs)


def _constant_names(program: Program) -> set[str]:
    return {op.name for op in fold_constants(program).ops if isinstance(op, Constant)}


def _root(program: Program, value: str) -> str:
    """What a reshaped value was before: the same integers."""
    op = program[value]
    while isinstance(op, Reshape):
        op = program[op.x]
    return op.name


def _run(
    compiled: CompiledCsim,
    folder: Path,
    project: Manifest,
    inputs: Mapping[str, Ints],
    layers: list[str],
    processes: int,
    report_progress: SampleProgress,
) -> dict[str, Ints]:
    sizes = {layer.layer: layer.size for layer in project.layers}
    sizes_by_name = {
        f"port {port.name}": port.size for port in (*project.outputs, *project.counters)
    }
    sizes_by_name |= {layer: sizes[layer] for layer in layers}
    samples = len(next(iter(inputs.values())))
    width = sum(int(np.prod(raw.shape[1:], dtype=int)) for raw in inputs.values())
    at_once = max(processes, HELD_BYTES // (RAW.itemsize * (width + sum(sizes_by_name.values()))))
    values_by_name = {
        name: np.empty((samples, size), np.int64) for name, size in sizes_by_name.items()
    }
    done = 0
    for start in range(0, samples, at_once):
        part = {name: raw[start : start + at_once] for name, raw in inputs.items()}
        count = len(next(iter(part.values())))

        def ticked(so_far: int, before: int = start) -> None:
            report_progress(before + so_far, samples)

        with scratch_folder("csim") as scratch:
            part_values = _run_part(
                compiled,
                folder / project.firmware,
                project.key,
                scratch,
                part,
                sizes_by_name,
                layers,
                min(processes, count),
                ticked,
            )
        for name, values in part_values.items():
            values_by_name[name][start : start + count] = values
        done += count
        report_progress(done, samples)
    return values_by_name


def _run_part(
    compiled: CompiledCsim,
    firmware: Path,
    project: str,
    scratch: Path,
    inputs: Mapping[str, Ints],
    sizes_by_name: Mapping[str, int],
    layers: list[str],
    processes: int,
    report_done: Callable[[int], None],
) -> dict[str, Ints]:
    input_path, results, counters = (scratch / name for name in ("inputs", "results", "counters"))
    count = len(next(iter(inputs.values())))
    with plan.writing(input_path), input_path.open("wb") as file:
        for raw in inputs.values():
            file.write(np.ascontiguousarray(raw, RAW).tobytes())
    for path, size in (
        (results, count * sum(sizes_by_name.values()) * RAW.itemsize),
        (counters, 16),
    ):
        with plan.writing(path), path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
    weights = (firmware / "weights").resolve()
    program = FoundTool(CSIM, compiled.program.resolve(), "")
    with _watch_samples(counters, report_done):
        output = tools.run(
            program,
            [project, input_path, results, counters, weights, str(count), str(processes), *layers],
            seconds=RUN_SECONDS,
            folder=scratch,
        ).output
    warned = next((line for line in output.splitlines() if line.startswith(STALLS)), None)
    if warned is not None:
        raise ToolFailedError(
            f"The C-simulation in {firmware} warns of a stream that would stall the design: "
            f"{warned[:300]}",
            hint="The layers around it read or write other numbers of words than they agreed on.",
        )
    flat = np.fromfile(results, RAW)
    values, start = {}, 0
    for name, size in sizes_by_name.items():
        values[name] = flat[start : start + count * size].reshape(count, size)
        start += count * size
    return values


@contextmanager
def _watch_samples(counters: Path, report_done: Callable[[int], None]) -> Iterator[None]:
    """Tell how many samples are done, while they are."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(TICK_SECONDS):
            done = int(np.fromfile(counters, "<u8")[1])
            if done:
                report_done(done)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
