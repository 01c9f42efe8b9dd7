# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Why a value of the C-simulation is other than the Program's: the likely cause.

The project is emitted again in memory and compared with the one on the disk. What differs there and
bears on the value is the cause. Where nothing differs, the two numbers speak for themselves.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.cpp_types import plain_format, types_in
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.project.manifest import Manifest, ManifestLayer
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.target import Suspicion
from quantization.fixed import FormatError, Ints, Overflow, Quantizer, apply_overflow


def suspicion(
    program: Program,
    folder: Path,
    settings: HlsSettings,
    value: str,
    expected: Mapping[str, Ints],
    actual: Mapping[str, Ints],
) -> Suspicion:
    """The type that the project gives a value, and why it is likely to differ."""
    project = manifest.read(folder)
    layer = next((layer for layer in project.layers if layer.value == value), None)
    types = types_in((folder / project.firmware / "defines.h").read_text(encoding="utf-8"))
    type_name = layer.type_name if layer else ""
    type_ = types.get(type_name, "")
    files = emit_project(program, settings, project.namespace).files
    causes = [
        *_weights(project, layer, folder, files),
        *_types(project, layer, types, files),
        *_structure(project, folder, files),
    ]
    if not causes:
        causes = [_numbers(type_, expected[value], actual[value])]
    return Suspicion(type_, "; ".join(causes))


def _weights(
    project: Manifest, layer: ManifestLayer | None, folder: Path, files: Mapping[str, bytes]
) -> list[str]:
    """Weight files that hold other numbers than the Program; those of the layer first."""
    own = layer.weights if layer else ()
    causes = []
    for weight in sorted(project.weights, key=lambda weight: weight.variable not in own):
        for suffix in ("txt", "h"):
            name = f"{project.firmware}/weights/{weight.variable}.{suffix}"
            path = folder / name
            if name not in files:
                continue
            if not path.is_file():
                causes.append(f"{name} is missing")
                break
            content = path.read_bytes()
            if content != files[name]:
                causes.append(
                    f"weights differ from the Program's: {name}, {_first(content, files[name])}"
                )
                break
    return causes


def _first(content: bytes, expected: bytes) -> str:
    """The first number of a list that is another."""
    ours, theirs = (re.split(rb"[,\n]\s*", text) for text in (expected, content))
    if len(ours) != len(theirs):
        return f"{len(theirs)} entries instead of {len(ours)}"
    differing = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
    first = differing[0]
    difference = f"{theirs[first].decode(errors='replace')} instead of {ours[first].decode()}"
    return (
        f"{len(differing)} of {len(ours)} entries, the first is number {first}, {difference[:120]}"
    )


def _types(
    project: Manifest,
    layer: ManifestLayer | None,
    types: Mapping[str, str],
    files: Mapping[str, bytes],
) -> list[str]:
    """Types that the project defines otherwise than was emitted; those of the layer first."""
    expected_types = types_in(files[f"{project.firmware}/defines.h"].decode())
    changed = [name for name, type_ in expected_types.items() if types.get(name) != type_]
    own = (layer.type_name, f"{layer.layer}_") if layer else ("", "")

    def far(name: str) -> bool:
        return name != own[0] and not (own[1] and name.startswith(own[1]))

    return [
        _type_changed(name, expected_types[name], types.get(name))
        for name in sorted(changed, key=far)
    ]


def _type_changed(name: str, expected: str, actual: str | None) -> str:
    if actual is None:
        return f"the type {name} is not defined, it should be {expected}"
    ours, theirs = format_of(expected), format_of(actual)
    kind = "type"
    if ours is not None and theirs is not None:
        if ours.type != theirs.type:
            less = theirs.type.max < ours.type.max or theirs.type.min > ours.type.min
            kind = "overflow: narrower type" if less else "precision"
        elif ours.rounding != theirs.rounding:
            kind = "rounding mode"
        elif ours.overflow != theirs.overflow:
            kind = "overflow mode"
    return f"{kind}: {name} is {actual}, it was emitted as {expected}"


def format_of(text: str) -> Quantizer | None:
    """The format behind a C++ type; None for what is no fixed-point number."""
    try:
        return Quantizer.parse(plain_format(text))
    except FormatError:
        return None


def _structure(project: Manifest, folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Code that calls other layers, or with other sizes, than was emitted."""
    causes = []
    for name, what in (
        (f"{project.firmware}/{project.project}.cpp", "order of layers or outputs"),
        (f"{project.firmware}/{project.project}.h", "order of outputs"),
        (f"{project.firmware}/parameters.h", "sizes of layers"),
        (f"{project.firmware}/nnet_utils/nnet_code_gen.h", "generated code"),
        (manifest.NAME, "order of outputs"),
    ):
        if name not in files:
            continue
        path = folder / name
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        expected_text = files[name].decode()
        if text != expected_text:
            causes.append(
                f"{what}: {name} differs from what was emitted: {_line(expected_text, text)}"
            )
    headers = sorted(
        name
        for name, content in files.items()
        if name.startswith(f"{project.firmware}/nnet_utils/")
        and not name.endswith("nnet_code_gen.h")
        and (not (folder / name).is_file() or (folder / name).read_bytes() != content)
    )
    causes += [f"library: {name} differs from what was emitted" for name in headers]
    return causes


def _line(expected: str, text: str) -> str:
    """The first line that is another."""
    for line in difflib.unified_diff(expected.splitlines(), text.splitlines(), lineterm="", n=0):
        if line.startswith("+") and not line.startswith("+++") and line[1:].strip():
            return f"'{line[1:].strip()[:120]}'"
    return "lines are missing"


def _numbers(type_: str, expected: Ints, actual: Ints) -> str:
    """What the two values of an unchanged project suggest."""
    place = tuple(np.argwhere(expected != actual)[0])
    ours, theirs = int(expected[place]), int(actual[place])
    format_ = format_of(type_)
    if format_ is not None:
        raw = np.asarray(ours)
        wrapped = int(apply_overflow(raw, format_.type, Overflow.WRAP))
        clipped = int(apply_overflow(raw, format_.type, Overflow.SAT))
        if ours != wrapped and theirs == wrapped:
            return f"overflow: {ours} does not fit {type_} and wraps"
        if ours != clipped and theirs == clipped:
            return f"overflow: {ours} does not fit {type_} and saturates"
    if abs(ours - theirs) == 1:
        return "rounding: the values are neighbours, while the project is as it was emitted"
    return "the project is as it was emitted, so edgeinfer or the compiler errs: please report it"
