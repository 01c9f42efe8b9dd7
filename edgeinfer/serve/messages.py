# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The protocol's messages: what each field is called, its number on the wire, and what it holds.

The numbers are those of the open inference protocol and of its extensions (configuration,
statistics, repository, shared memory). Of a model's configuration there are the fields that a
Program has something to say about; a reader of the whole message finds the others empty. The
messages live in a pool of their own, so that a client's library may be loaded beside them.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
Kind = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True, slots=True)
class MessageField:
    """What a field holds: a plain type, or a message or enumeration by name."""

    kind: int
    type_name: str = ""
    is_list: bool = False
    is_table: bool = False  # from strings to what it holds
    choice: str = ""  # of the fields of one choice, one is set


TEXT, BYTES, BOOL = (MessageField(k) for k in (Kind.TYPE_STRING, Kind.TYPE_BYTES, Kind.TYPE_BOOL))
INT32, INT64 = MessageField(Kind.TYPE_INT32), MessageField(Kind.TYPE_INT64)
UINT32, UINT64 = MessageField(Kind.TYPE_UINT32), MessageField(Kind.TYPE_UINT64)
FLOAT, DOUBLE = MessageField(Kind.TYPE_FLOAT), MessageField(Kind.TYPE_DOUBLE)


def message(name: str) -> MessageField:
    """A message by its name."""
    return MessageField(Kind.TYPE_MESSAGE, name)


def enumeration(name: str) -> MessageField:
    """An enumeration by its name."""
    return MessageField(Kind.TYPE_ENUM, name)


def several(field: MessageField) -> MessageField:
    """A list of what a field holds."""
    return replace(field, is_list=True)


def table(field: MessageField) -> MessageField:
    """A table from strings to what a field holds."""
    return replace(field, is_table=True)


def choice(field: MessageField) -> MessageField:
    """One of the forms of a parameter."""
    return replace(field, choice="parameter_choice")


Fields = dict[int, tuple[str, MessageField]]
NAMED: Fields = {1: ("name", TEXT)}
NAME_AND_VERSION: Fields = {**NAMED, 2: ("version", TEXT)}
PARAMETERS = ("parameters", table(message("InferParameter")))
MODEL_TO_CHANGE: Fields = {
    1: ("repository_name", TEXT),
    2: ("model_name", TEXT),
    3: ("parameters", table(message("ModelRepositoryParameter"))),
}
TENSOR: Fields = {
    1: ("name", TEXT),
    2: ("datatype", TEXT),
    3: ("shape", several(INT64)),
    4: PARAMETERS,
    5: ("contents", message("InferTensorContents")),
}
REGION: Fields = {**NAMED, 2: ("key", TEXT), 3: ("offset", UINT64), 4: ("byte_size", UINT64)}
DURATION = message("StatisticDuration")

MESSAGES: dict[str, Fields] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {1: ("live", BOOL)},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {1: ("ready", BOOL)},
    "ModelReadyRequest": NAME_AND_VERSION,
    "ModelReadyResponse": {1: ("ready", BOOL)},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {**NAME_AND_VERSION, 3: ("extensions", several(TEXT))},
    "ModelMetadataRequest": NAME_AND_VERSION,
    "ModelMetadataResponse": {
        1: ("name", TEXT),
        2: ("versions", several(TEXT)),
        3: ("platform", TEXT),
        4: ("inputs", several(message("ModelMetadataResponse.TensorMetadata"))),
        5: ("outputs", several(message("ModelMetadataResponse.TensorMetadata"))),
    },
    "ModelMetadataResponse.TensorMetadata": {
        1: ("name", TEXT),
        2: ("datatype", TEXT),
        3: ("shape", several(INT64)),
    },
    "InferParameter": {
        1: ("bool_param", choice(BOOL)),
        2: ("int64_param", choice(INT64)),
        3: ("string_param", choice(TEXT)),
        4: ("double_param", choice(DOUBLE)),
        5: ("uint64_param", choice(UINT64)),
    },
    "InferTensorContents": {
        1: ("bool_contents", several(BOOL)),
        2: ("int_contents", several(INT32)),
        3: ("int64_contents", several(INT64)),
        4: ("uint_contents", several(UINT32)),
        5: ("uint64_contents", several(UINT64)),
        6: ("fp32_contents", several(FLOAT)),
        7: ("fp64_contents", several(DOUBLE)),
        8: ("bytes_contents", several(BYTES)),
    },
    "ModelInferRequest": {
        1: ("model_name", TEXT),
        2: ("model_version", TEXT),
        3: ("id", TEXT),
        4: PARAMETERS,
        5: ("inputs", several(message("ModelInferRequest.InferInputTensor"))),
        6: ("outputs", several(message("ModelInferRequest.InferRequestedOutputTensor"))),
        7: ("raw_input_contents", several(BYTES)),
    },
    "ModelInferRequest.InferInputTensor": TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": {1: ("name", TEXT), 2: PARAMETERS},
    "ModelInferResponse": {
        1: ("model_name", TEXT),
        2: ("model_version", TEXT),
        3: ("id", TEXT),
        4: PARAMETERS,
        5: ("outputs", several(message("ModelInferResponse.InferOutputTensor"))),
        6: ("raw_output_contents", several(BYTES)),
    },
    "ModelInferResponse.InferOutputTensor": TENSOR,
    "ModelStreamInferResponse": {
        1: ("error_message", TEXT),
        2: ("infer_response", message("ModelInferResponse")),
    },
    "ModelConfigRequest": NAME_AND_VERSION,
    "ModelConfigResponse": {1: ("config", message("ModelConfig"))},
    "ModelConfig": {
        1: ("name", TEXT),
        2: ("platform", TEXT),
        3: ("version_policy", message("ModelVersionPolicy")),
        4: ("max_batch_size", INT32),
        5: ("input", several(message("ModelInput"))),
        6: ("output", several(message("ModelOutput"))),
        7: ("instance_group", several(message("ModelInstanceGroup"))),
        8: ("default_model_filename", TEXT),
        11: ("dynamic_batching", message("ModelDynamicBatching")),
        14: ("parameters", table(message("ModelParameter"))),
        17: ("backend", TEXT),
    },
    "ModelVersionPolicy": {2: ("all", message("ModelVersionPolicy.All"))},
    "ModelVersionPolicy.All": {},
    "ModelInput": {
        1: ("name", TEXT),
        2: ("data_type", enumeration("DataType")),
        4: ("dims", several(INT64)),
    },
    "ModelOutput": {
        1: ("name", TEXT),
        2: ("data_type", enumeration("DataType")),
        3: ("dims", several(INT64)),
    },
    "ModelInstanceGroup": {
        1: ("name", TEXT),
        2: ("count", INT32),
        4: ("kind", enumeration("ModelInstanceGroup.Kind")),
    },
    "ModelDynamicBatching": {
        1: ("preferred_batch_size", several(INT32)),
        2: ("max_queue_delay_microseconds", UINT64),
    },
    "ModelParameter": {1: ("string_value", TEXT)},
    "ModelStatisticsRequest": NAME_AND_VERSION,
    "ModelStatisticsResponse": {1: ("model_stats", several(message("ModelStatistics")))},
    "ModelStatistics": {
        1: ("name", TEXT),
        2: ("version", TEXT),
        3: ("last_inference", UINT64),
        4: ("inference_count", UINT64),
        5: ("execution_count", UINT64),
        6: ("inference_stats", message("InferStatistics")),
        7: ("batch_stats", several(message("InferBatchStatistics"))),
    },
    "StatisticDuration": {1: ("count", UINT64), 2: ("ns", UINT64)},
    "InferStatistics": {
        1: ("success", DURATION),
        2: ("fail", DURATION),
        3: ("queue", DURATION),
        4: ("compute_input", DURATION),
        5: ("compute_infer", DURATION),
        6: ("compute_output", DURATION),
        7: ("cache_hit", DURATION),
        8: ("cache_miss", DURATION),
    },
    "InferBatchStatistics": {
        1: ("batch_size", UINT64),
        2: ("compute_input", DURATION),
        3: ("compute_infer", DURATION),
        4: ("compute_output", DURATION),
    },
    "ModelRepositoryParameter": {
        1: ("bool_param", choice(BOOL)),
        2: ("int64_param", choice(INT64)),
        3: ("string_param", choice(TEXT)),
        4: ("bytes_param", choice(BYTES)),
    },
    "RepositoryIndexRequest": {1: ("repository_name", TEXT), 2: ("ready", BOOL)},
    "RepositoryIndexResponse": {
        1: ("models", several(message("RepositoryIndexResponse.ModelIndex")))
    },
    "RepositoryIndexResponse.ModelIndex": {
        **NAME_AND_VERSION,
        3: ("state", TEXT),
        4: ("reason", TEXT),
    },
    "RepositoryModelLoadRequest": MODEL_TO_CHANGE,
    "RepositoryModelLoadResponse": {},
    "RepositoryModelUnloadRequest": MODEL_TO_CHANGE,
    "RepositoryModelUnloadResponse": {},
    "SystemSharedMemoryStatusRequest": NAMED,
    "SystemSharedMemoryStatusResponse": {
        1: ("regions", table(message("SystemSharedMemoryStatusResponse.RegionStatus")))
    },
    "SystemSharedMemoryStatusResponse.RegionStatus": REGION,
    "SystemSharedMemoryRegisterRequest": REGION,
    "SystemSharedMemoryRegisterResponse": {},
    "SystemSharedMemoryUnregisterRequest": NAMED,
    "SystemSharedMemoryUnregisterResponse": {},
}
ENUMERATIONS = {
    "DataType": {
        "TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_UINT16": 3, "TYPE_INT8": 6, "TYPE_INT16": 7,
        "TYPE_INT32": 8, "TYPE_INT64": 9, "TYPE_FP32": 11,
    },
    "ModelInstanceGroup.Kind": {"KIND_AUTO": 0, "KIND_CPU": 2, "KIND_MODEL": 3},
}  # fmt: skip


@functools.cache
def _classes() -> dict[str, Any]:
    """Every message's class by its name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="open_inference.proto", package=PACKAGE, syntax="proto3"
    )
    message_types: dict[str, Any] = {"": file}
    for name in MESSAGES:  # a message stands after the one that it is inside of
        outer, _, own = name.rpartition(".")
        inner = message_types[""].message_type if not outer else message_types[outer].nested_type
        message_types[name] = inner.add(name=own)
    for name, values in ENUMERATIONS.items():
        outer, _, own = name.rpartition(".")
        listed = message_types[outer].enum_type.add(name=own)
        for value, number in values.items():
            listed.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        for number, (field_name, field) in fields.items():
            _add_field(message_types[name], f".{PACKAGE}.{name}", number, field_name, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in MESSAGES
    }


def _add_field(holder: Any, path: str, number: int, name: str, field: MessageField) -> None:
    label = Kind.LABEL_REPEATED if field.is_list or field.is_table else Kind.LABEL_OPTIONAL
    added = holder.field.add(name=name, number=number, label=label, type=field.kind)
    if field.type_name:
        added.type_name = f".{PACKAGE}.{field.type_name}"
    if field.choice:
        if not holder.oneof_decl:
            holder.oneof_decl.add(name=field.choice)
        added.oneof_index = 0
    if field.is_table:  # on the wire a table is a list of pairs
        pair = holder.nested_type.add(name=f"{name.title()}Entry")
        pair.options.map_entry = True
        _add_field(pair, "", 1, "key", TEXT)
        _add_field(pair, "", 2, "value", replace(field, is_table=False))
        added.type, added.type_name = Kind.TYPE_MESSAGE, f"{path}.{pair.name}"


def message_class(name: str) -> Any:
    """A message's class."""
    return _classes()[name]


def parameter_messages(values: Mapping[str, str | int]) -> dict[str, Any]:
    """Parameters of a request or a tensor as they are written in a message."""
    parameter = message_class("InferParameter")
    return {
        name: parameter(**{"string_param" if isinstance(value, str) else "int64_param": value})
        for name, value in values.items()
    }
