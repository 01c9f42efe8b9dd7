# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Edge TPU files and chips in words: for the terminal, and for machines."""

from __future__ import annotations

from collections.abc import Sequence

from edgeinfer.base.health import Check, Severity
from edgeinfer.targets.edgetpu.chip.device import ProbeResult
from edgeinfer.targets.edgetpu.chip.inspect import document
from edgeinfer.targets.edgetpu.predict.prediction import Prediction
from edgeinfer.targets.edgetpu.predict.several import Segment, describe_pipeline
from edgeinfer.targets.edgetpu.tflite.compiled import CompiledFile
from edgeinfer.targets.edgetpu.tflite.simulate import Int8Agreement
from edgeinfer.targets.target import Description


def describe_compiled(compiled: CompiledFile) -> Description:
    """What a compiled file holds: parameters, instructions, inputs and outputs."""
    facts = document(compiled)
    lines = [
        f"{facts['source']}: for runtime {facts['runtime_version']} or newer",
        f"cached        {facts['cached_bytes']:>12,} B",
        f"streamed      {facts['streamed_bytes']:>12,} B at every inference",
        f"instructions  {facts['instruction_bytes']:>12,} B",
    ]
    if not facts["executables"]:
        lines[0] = f"{facts['source']}: nothing in it is mapped to the Edge TPU"
    if facts["estimated_cycles"]:
        lines.append(f"cycles        {facts['estimated_cycles']:>12,} as the compiler estimates")
    for side in ("inputs", "outputs"):
        for tensor in facts[side]:
            shape = "x".join(map(str, tensor["shape"])) or "scalar"
            lines.append(f"{side[:-1]:<13} {tensor['name']} {tensor['type']} {shape}")
    for executable in facts["executables"]:
        lines.append(
            f"executable    {executable['kind']}: {executable['parameter_bytes']:,} B parameters, "
            f"{executable['instruction_bytes']:,} B instructions"
        )
    lines += [f"host          {op['index']} {op['op']}" for op in facts["cpu_ops"]]
    return Description(facts, tuple(lines))


def describe_together(predictions: Sequence[Prediction]) -> Description:
    """Models that share a chip."""
    each = [describe_mapping(prediction) for prediction in predictions]
    cached = sum(prediction.memory.cached_bytes for prediction in predictions)
    document = {"models": [description.document for description in each], "cached_bytes": cached}
    lines = [line for description in each for line in (*description.lines, "")]
    return Description(document, (*lines, f"together  {cached:,} B cached on one chip"))


def describe_mapping(prediction: Prediction, segments: Sequence[Segment] = ()) -> Description:
    """What the compiler would make of a model: operators, memory, time; and a pipeline's segments,
    where it is cut into any."""
    facts = prediction.document()
    lines = [f"{facts['source']}: {facts['mapped']} of {len(facts['ops'])} operators are mapped"]
    for op in facts["ops"]:
        size = op["cached_bytes"] or op["streamed_bytes"]
        stored = f"{size:,} B {'cached' if op['cached_bytes'] else 'streamed'}" if size else ""
        us = "unknown" if op["time_us"] is None else f"{op['time_us']:,.1f} us"
        row = f"{op['index']:>4} {op['op']:<24} {us:>12}  {op['status']}  {stored}"
        lines.append(row.rstrip())
        if op["reason"]:
            lines.append(f"     {op['reason']}. {op['remedy']}".rstrip())
    lines += [
        f"{part['index']:>4} {part['op']:<24} {part['time_us']:>9,.1f} us  computed by the host, "
        f"behind the file"
        for part in facts["host_layers"]
    ]
    lines += [
        f"cached    {facts['cached_bytes']:,} B of about {facts['capacity_bytes']:,} "
        f"({facts['capacity_bytes_low']:,} to {facts['capacity_bytes_high']:,})",
        f"streamed  {facts['streamed_bytes']:,} B "
        f"({facts['streamed_bytes_low']:,} to {facts['streamed_bytes_high']:,})",
    ]
    lines += [
        f"latency   {time['value_us'] / 1e3:.2f} ms over {link}, estimated "
        f"({time['low_us'] / 1e3:.2f} to {time['high_us'] / 1e3:.2f}), "
        f"{time['host_us'] / 1e3:.2f} of it on the host"
        for link, time in facts["latency"].items()
    ]
    if segments:
        pipeline, lines_of_pipeline = describe_pipeline(segments)
        facts |= pipeline
        lines += lines_of_pipeline
    lines += [f"finding   {finding}" for finding in facts["findings"]]
    return Description(facts, tuple(lines))


def describe_reference(reference: Int8Agreement) -> str:
    """How far the reference kernels are from the default ones, in a sentence."""
    if not reference.differing:
        return f"the reference kernels give the same on {reference.samples} samples."
    return (
        f"the reference kernels differ on {reference.differing} of {reference.samples} samples "
        f"({reference.differing / reference.samples:.1%}) by at most {reference.max_steps} steps "
        f"and decide {reference.decision_flips} otherwise: CONV_2D and DEPTHWISE_CONV_2D halve "
        f"before they round, and MUL rounds ties otherwise."
    )


def device_check(probe: ProbeResult) -> Check:
    """Edge TPUs: those that the vendor's library finds, and what else the system shows."""
    if probe.devices:
        there = ", ".join(f"{d.type} {d.path}" for d in probe.devices)
        return Check("Edge TPU", Severity.OK, f"{there}; {probe.library_version}")
    nodes_text = f"{', '.join(probe.nodes)}, but " if probe.nodes else ""
    return Check(
        "Edge TPU",
        Severity.OPTIONAL,
        f"{nodes_text}{probe.problem}",
        "attach one and apt-get install libedgetpu1-std, from Coral's package source",
    )
