# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A compiled file told: what its executables hold, what enters and leaves, what is left."""

from __future__ import annotations

from typing import Any

from edgeinfer.base.metrics import Metric, Origin
from edgeinfer.base.tflite.model import TfliteTensor
from edgeinfer.targets.edgetpu.tflite.compiled import ChipPort, CompiledFile, Executable
from edgeinfer.targets.reports.figures import FigureSource


def document(compiled: CompiledFile) -> dict[str, Any]:
    """For JSON."""
    model = compiled.model
    return {
        "source": model.source,
        "origin": Origin.SYNTHESISED.value,
        "cached_bytes": compiled.cached_bytes,
        "streamed_bytes": compiled.streamed_bytes,
        "instruction_bytes": compiled.instruction_bytes,
        "runtime_version": compiled.runtime_version,
        "compiler_version": next((p.compiler_version for p in compiled.packages), ""),
        "estimated_cycles": compiled.estimated_cycles,
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
        "executables": [_executable(e) for e in compiled.executables],
        "cpu_ops": [{"index": op.index, "op": op.title} for op in compiled.cpu_operators],
    }


def metrics(compiled: CompiledFile, source: FigureSource) -> tuple[Metric, ...]:
    """The figures that a compiled file states."""
    return (
        source.metric("cached_bytes", compiled.cached_bytes, "B"),
        source.metric("streamed_bytes", compiled.streamed_bytes, "B"),
        source.metric("instruction_bytes", compiled.instruction_bytes, "B"),
        source.metric("host_ops", len(compiled.cpu_operators), ""),
    )


def _tensor(tensor: TfliteTensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "type": tensor.type,
        "scale": float(tensor.scales[0]) if tensor.scales.size else None,
        "zero_point": int(tensor.zero_points[0]) if tensor.zero_points.size else None,
    }


def _layer(layer: ChipPort) -> dict[str, Any]:
    return {
        "name": layer.name,
        "bytes": layer.bytes,
        "shape": list(layer.shape),
        "scale": layer.scale,
        "zero_point": layer.zero_point,
    }


def _executable(executable: Executable) -> dict[str, Any]:
    return {
        "kind": executable.kind.name,
        "parameter_bytes": executable.parameter_bytes,
        "instruction_bytes": executable.instruction_bytes,
        "dma_bytes": executable.transfers,
        "inputs": [_layer(layer) for layer in executable.inputs],
        "outputs": [_layer(layer) for layer in executable.outputs],
        "chip": executable.chip,
        "batch": executable.batch,
        "scratch_bytes": executable.scratch_bytes,
        "narrow_memory_bytes": executable.narrow_memory_bytes,
        "caching_token": executable.caching_token,
        "estimated_cycles": executable.estimated_cycles,
    }
