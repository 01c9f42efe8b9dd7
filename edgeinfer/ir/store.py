# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program as one file: a NumPy archive of its integers, and its structure as JSON. No pickle."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import fields
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.lib import format as npy

from edgeinfer.base.errors import EdgeInferError, InputError
from edgeinfer.ir.bases import stated_fields
from edgeinfer.ir.ops import KINDS, Op, PairKind, PoolKind, Weights
from edgeinfer.ir.program import HostFunction, Output, Program
from quantization.fixed import Fixed, Overflow, Rounding

ReadArray = Callable[[str], Weights]
VERSION = 1
STRUCTURE = "structure.json"
LARGEST_BYTES = 1 << 31
BY_NAME = {kind.__name__: kind for kind in KINDS}
ENUMS = {"rounding": Rounding, "overflow": Overflow}
TYPES = ("type", "weight_type", "factor_type", "slope_type", "exp_type", "inverse_type")
Arrays = dict[int, tuple[str, Weights]]  # each once, by identity: its name in the file, and it
ARRAYS = ("value", "weight", "bias", "factor", "slope", "entries", "exp", "inverse")


def save(program: Program) -> bytes:
    """The Program's file; equal Programs give equal bytes."""
    arrays: Arrays = {}
    structure = {"version": VERSION, **_encode_program(program, "", arrays)}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry(STRUCTURE), json.dumps(structure, indent=1))
        for name, array in arrays.values():
            body = io.BytesIO()
            npy.write_array(body, np.asarray(array, order="C"), allow_pickle=False)
            archive.writestr(_entry(f"{name}.npy"), body.getvalue())
    return stream.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _encode_program(program: Program, within: str, arrays: Arrays) -> dict[str, Any]:
    """A Program, or the body `within` an op of one."""
    ops = [_encode_op(op, f"{within}{i}", arrays) for i, op in enumerate(program.ops)]
    outputs = [[output.name, output.value, str(output.host)] for output in program.outputs]
    return {"name": program.name, "ops": ops, "outputs": outputs}


def _encode_op(op: Op, index: str, arrays: Arrays) -> dict[str, Any]:
    encoded: dict[str, Any] = {"op": type(op).__name__}
    for spec in stated_fields(op):
        item = getattr(op, spec.name)
        if spec.name in TYPES:
            item = str(item)
        elif isinstance(item, Program):
            item = _encode_program(item, f"{index}.", arrays)
        elif isinstance(item, np.ndarray):
            item, _ = arrays.setdefault(id(item), (f"{index}.{spec.name}", item))
        encoded[spec.name] = item
    return encoded


def load(content: bytes, source: str = "program") -> Program:
    """Read a Program's file; anything that is none is an InputError that names the source."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(info.file_size for info in archive.infolist()) > LARGEST_BYTES:
                raise InputError(f"{source} claims to unpack to more than {LARGEST_BYTES} bytes.")
            structure = json.loads(archive.read(STRUCTURE))
            if structure["version"] != VERSION:
                raise InputError(
                    f"{source} is a Program of version {structure['version']}, not {VERSION}."
                )
            return _decode_program(structure, cache(partial(_array, archive)))
    except EdgeInferError:
        raise
    except RecursionError:
        raise InputError(f"{source} is nested too deep to be a Program.") from None
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{source} is not a Program: {error}.", hint="Compile the model again."
        ) from None


def _decode_program(structure: dict[str, Any], read: ReadArray) -> Program:
    ops = tuple(_decode_op(item, read) for item in structure["ops"])
    outputs = tuple(
        Output(name, value, HostFunction(host)) for name, value, host in structure["outputs"]
    )
    return Program(structure["name"], ops, outputs)


def _decode_op(item: dict[str, Any], read: ReadArray) -> Op:
    kind = BY_NAME[item.pop("op")]
    field_names = {spec.name for spec in fields(kind)}
    optional = {spec.name for spec in fields(kind) if spec.default is None}
    if set(item) | optional != field_names:
        raise ValueError(
            f"a {kind.__name__} has the fields {sorted(field_names)}, not {sorted(item)}"
        )
    arguments = {name: _field(kind.__name__, name, value, read) for name, value in item.items()}
    decoded: Op = kind(**arguments)
    return decoded


def _field(kind: str, name: str, value: Any, read: ReadArray) -> Any:
    if name in TYPES:
        return Fixed.parse(value)
    if name in ENUMS:
        return ENUMS[name](value)
    if name == "kind":
        return PoolKind(value) if kind == "Pool" else PairKind(value)
    if name in ARRAYS and kind != "Pad":  # a Pad's value is one integer
        return read(value)
    if name == "body":
        return _decode_program(value, read)
    return _tuples(value)


def _array(archive: zipfile.ZipFile, name: str) -> Weights:
    raw: Weights = npy.read_array(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
    if raw.dtype.kind not in "iu":
        raise ValueError(f"{name} holds {raw.dtype}, not integers")
    return raw


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
