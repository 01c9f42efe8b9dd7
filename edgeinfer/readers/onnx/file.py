# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""An ONNX file opened with suspicion: what it claims is checked before memory is taken."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, defs, helper, numpy_helper

from edgeinfer.base.errors import InputError, ModelError

MAX_FILE_BYTES = (2 << 30) - 1  # protobuf's own limit
MAX_EXTERNAL_BYTES = 2 << 30
_SUB_BYTE = {
    getattr(TensorProto, name)
    for name in ("INT4", "UINT4", "FLOAT4E2M1", "INT2", "UINT2")
    if hasattr(TensorProto, name)
}
_SAVE_AGAIN = "Export or copy the model again."


def parse(path: Path) -> ModelProto:
    """Bytes -> an ONNX model that has a graph and operator sets that are known."""
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise InputError(f"There is no file {path}.", hint="Check the path.")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ModelError(
            f"{path} has {size:,} bytes; an ONNX file has at most {MAX_FILE_BYTES:,}.",
            hint="Keep large weights as external data beside the model.",
        )
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise ModelError(
            f"{path} is not an ONNX file, or is cut short or damaged.", hint=_SAVE_AGAIN
        ) from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from None
    _refuse_strangers(path, model)
    return model


def _refuse_strangers(path: Path, model: ModelProto) -> None:
    if not model.HasField("graph") or not model.opset_import:
        raise ModelError(
            f"{path} is not an ONNX model: it has no graph or names no operator set.",
            hint=_SAVE_AGAIN,
        )
    if not model.graph.output:
        raise ModelError(
            f"{path}: the graph declares no outputs.", hint="Export the model with its outputs."
        )
    newest = defs.onnx_opset_version()
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and not 1 <= opset.version <= newest:
            raise ModelError(
                f"{path} uses operator set {opset.version}; known are 1 to {newest}.",
                hint="Export the model with opset_version=17, for instance.",
            )


def array_of(tensor: TensorProto, folder: Path, where: str) -> NDArray[Any]:
    """A stored tensor as an array; a ModelError if its data are not what it claims."""
    dims = tuple(tensor.dims)
    if any(size < 0 for size in dims):
        raise ModelError(f"{where} has the shape {dims}.", hint=_SAVE_AGAIN)
    if tensor.data_type not in helper.get_all_tensor_dtypes():
        raise ModelError(f"{where} has an unknown type ({tensor.data_type}).", hint=_SAVE_AGAIN)
    if tensor.data_type in (TensorProto.STRING, TensorProto.UNDEFINED):
        raise ModelError(f"{where} holds no numbers.", hint="Remove it from the model.")
    expected = _stored_bytes(tensor.data_type, math.prod(dims))
    if tensor.data_location == TensorProto.EXTERNAL:
        inner = TensorProto(
            name=tensor.name,
            dims=dims,
            data_type=tensor.data_type,
            raw_data=_external(tensor, folder, where, expected),
        )
        return numpy_helper.to_array(inner)
    _refuse_wrong_size(tensor, where, expected)
    return numpy_helper.to_array(tensor)


def _stored_bytes(data_type: int, count: int) -> int:
    if data_type in _SUB_BYTE:
        per_byte = 2 if "4" in TensorProto.DataType.Name(data_type) else 4
        return -(-count // per_byte)
    return count * int(np.dtype(helper.tensor_dtype_to_np_dtype(data_type)).itemsize)


def _refuse_wrong_size(tensor: TensorProto, where: str, expected: int) -> None:
    dims = tuple(tensor.dims)
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != expected:
            raise ModelError(
                f"{where} of shape {dims} needs {expected:,} bytes but "
                f"{len(tensor.raw_data):,} are there.",
                hint=_SAVE_AGAIN,
            )
        return
    field = helper.tensor_dtype_to_field(tensor.data_type)
    stored, count = len(getattr(tensor, field)), math.prod(dims)
    if tensor.data_type in _SUB_BYTE:
        count = expected
    if stored != count:
        raise ModelError(
            f"{where} of shape {dims} needs {count:,} numbers but {stored:,} are there.",
            hint=_SAVE_AGAIN,
        )


def _external(tensor: TensorProto, folder: Path, where: str, expected: int) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    place = _inside(entries.get("location", ""), folder, where)
    try:
        offset = int(entries.get("offset", "0"))
        length = int(entries.get("length", str(expected)))
    except ValueError:
        raise ModelError(
            f"{where}: its offset or length is not a number.", hint=_SAVE_AGAIN
        ) from None
    size = place.stat().st_size
    if length != expected or offset < 0 or offset + length > size or length > MAX_EXTERNAL_BYTES:
        raise ModelError(
            f"{where} needs {expected:,} bytes; the file says {length:,} at {offset:,} of "
            f"{place.name}, which has {size:,}.",
            hint="The external data do not belong to this model or are cut short.",
        )
    with place.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _inside(location: str, folder: Path, where: str) -> Path:
    """The file that holds external data: a regular one, in the model's own folder or below."""
    windows, posix = PureWindowsPath(location), PurePosixPath(location)
    escapes = windows.is_absolute() or windows.drive or posix.is_absolute()
    if not location or "\0" in location or escapes or ".." in windows.parts:
        raise ModelError(
            f"{where} keeps its data in {location!r}, which is not in the model's folder.",
            hint="Do not trust this file, or save it with all its data in one folder.",
        )
    place = folder / posix
    if not place.exists():
        raise ModelError(
            f"{where} keeps its data in {location!r}, which is missing.",
            hint="Copy the external data beside the model.",
        )
    if not place.resolve().is_relative_to(folder.resolve()) or not place.is_file():
        raise ModelError(
            f"{where} keeps its data in {location!r}, a link out of the model's folder "
            "or no regular file.",
            hint="Do not trust this file, or put the data themselves beside the model.",
        )
    return place
