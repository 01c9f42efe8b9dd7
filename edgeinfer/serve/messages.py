# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The protocol's messages, as the shipped `open_inference.proto` describes them.

They live in a pool of their own, so that a client's library may be loaded beside them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from edgeinfer.base import assets

PROTOCOL = "firmware/serve/open_inference.proto"
PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
COMMENT = re.compile(r"//[^\n]*")
STATEMENT = re.compile(  # what that file has of the language
    r"(?P<block>message|enum|oneof)\s+(?P<name>\w+)\s*\{"
    r"|map<string,\s*(?P<held>[\w.]+)>\s+(?P<table>\w+)\s*=\s*(?P<table_number>\d+);"
    r"|(?P<repeated>repeated\s+)?(?P<type>[\w.]+)\s+(?P<field>\w+)\s*=\s*(?P<number>\d+);"
    r"|(?P<value>\w+)\s*=\s*(?P<value_number>\d+);"
    r"|(?P<end>\})"
)
Kind = descriptor_pb2.FieldDescriptorProto
PLAIN_TYPES = {
    name.removeprefix("TYPE_").lower(): number
    for name, number in Kind.Type.items()
    if number not in (Kind.TYPE_GROUP, Kind.TYPE_MESSAGE, Kind.TYPE_ENUM)
}


def _read_protocol() -> descriptor_pb2.FileDescriptorProto:
    """The shipped file as Protocol Buffers describe files."""
    file = descriptor_pb2.FileDescriptorProto(
        name="open_inference.proto", package=PACKAGE, syntax="proto3"
    )
    blocks: list[Any] = [file]  # those that are open, the innermost last
    for found in STATEMENT.finditer(COMMENT.sub("", assets.text(PROTOCOL))):
        inner = blocks[-1]
        match found["block"], found.lastgroup:
            case "message", _:
                messages = inner.message_type if inner is file else inner.nested_type
                blocks.append(messages.add(name=found["name"]))
            case "enum", _:
                blocks.append(inner.enum_type.add(name=found["name"]))
            case "oneof", _:  # its fields are those of the message around it
                inner.oneof_decl.add(name=found["name"])
                blocks.append(inner)
            case _, "table_number":
                _add_table(inner, found["table"], int(found["table_number"]), found["held"])
            case _, "number":
                label = Kind.LABEL_REPEATED if found["repeated"] else Kind.LABEL_OPTIONAL
                field = _add_field(
                    inner, found["field"], int(found["number"]), found["type"], label
                )
                if blocks[-2] is inner:
                    field.oneof_index = len(inner.oneof_decl) - 1
            case _, "value_number":
                inner.value.add(name=found["value"], number=int(found["value_number"]))
            case _:  # the end of a block
                blocks.pop()
    return file


def _add_field(
    message: Any, name: str, number: int, type_name: str, label: Any = Kind.LABEL_OPTIONAL
) -> Any:
    """A field of a plain type, or of a message or an enumeration, whose name the pool resolves."""
    field = message.field.add(name=name, number=number, label=label)
    if type_name in PLAIN_TYPES:
        field.type = PLAIN_TYPES[type_name]
    else:
        field.type_name = type_name
    return field


def _add_table(message: Any, name: str, number: int, held: str) -> None:
    """A table from strings, which is a list of pairs on the wire."""
    pair = message.nested_type.add(name=f"{name.title()}Entry")
    pair.options.map_entry = True
    _add_field(pair, "key", 1, "string")
    _add_field(pair, "value", 2, held)
    _add_field(message, name, number, pair.name, Kind.LABEL_REPEATED)


@functools.cache
def message_classes() -> dict[str, Any]:
    """Every message's class by its name; that of an inner one begins with the outer one's."""
    file = _read_protocol()
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _message_names(file.message_type)
    }


def _message_names(messages: Any, outer: str = "") -> Iterator[str]:
    for message in messages:
        if not message.options.map_entry:
            yield f"{outer}{message.name}"
            yield from _message_names(message.nested_type, f"{outer}{message.name}.")


def message_class(name: str) -> Any:
    """A message's class."""
    return message_classes()[name]


def parameter_messages(values: Mapping[str, str | int]) -> dict[str, Any]:
    """Parameters of a request or a tensor as they are written in a message."""
    parameter = message_class("InferParameter")
    return {
        name: parameter(**{"string_param" if isinstance(value, str) else "int64_param": value})
        for name, value in values.items()
    }
