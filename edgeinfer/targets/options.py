# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A target's settings, and how a user gives them: each setting declares its own option.

    @dataclass(frozen=True, slots=True)
    class MySettings(Settings):
        clock_ns: float = option(5.0, "the clock's period in ns")

The command line, studies and the library read the options from here, so a new setting needs no
change anywhere else.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from edgeinfer.base.devices import Device
from edgeinfer.base.errors import UsageError, did_you_mean

COMPILE, ESTIMATE = "compile", "estimate"
VERBS = (COMPILE, ESTIMATE)
DECLARED = "option"  # the key of a field's metadata


@dataclass(frozen=True, slots=True)
class Option:
    """A setting as a user gives it."""

    name: str  # with underscores; the command line writes dashes
    setting: str
    help: str
    kind: Any  # a type, or a Literal of the choices
    read: Callable[[Any], Any]
    write: Callable[[Any], list[str]]
    verbs: tuple[str, ...]
    needs: str | None

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_scalar(self) -> bool:
        """Whether one number, word or flag says it, so that a study can vary it."""
        return get_origin(self.kind) is not list

    def value(self, entry: Any) -> Any:
        """The setting's value; a UsageError where it cannot be that."""
        try:
            return self.read(entry)
        except ValueError:
            choices = [str(choice) for choice in get_args(self.kind)]
            hint = did_you_mean(str(entry), choices) or f"Choose {', '.join(choices)}."
            raise UsageError(f"{self.flag} cannot be {entry!r}.", hint=hint) from None


def _as_given(value: Any) -> Any:
    return value


def _one_word(value: Any) -> list[str]:
    return [f"{value:.12g}" if isinstance(value, float) else str(value)]


def option(
    default: Any,
    help: str,
    *,
    name: str = "",
    kind: Any = None,
    read: Callable[[Any], Any] = _as_given,
    write: Callable[[Any], list[str]] = _one_word,
    verbs: tuple[str, ...] = VERBS,
    needs: str | None = None,
) -> Any:
    """A field of settings that a user may give. `kind` and `read`: the type that is given, and how
    the setting follows from it, where the field's own type does not say, and `write` the other
    way: a word for each time that the option is given. `verbs`: which ones take it. `needs`: the
    tool's step without which it changes nothing."""
    declared = Option(name, "", help, kind, read, write, verbs, needs)
    return field(default=default, metadata={DECLARED: declared})


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose about a target."""

    @classmethod
    def on_device(cls, device: Device, device_name: str) -> dict[str, Any] | None:
        """What a device, by the name it was asked for, says of the settings; None where the target
        has no use for such a device."""
        return None

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The settings that were written down as JSON."""
        kinds = _plain_types(cls)
        return cls(
            **{
                name: _restore_value(kinds.get(name, object), value)
                for name, value in record.items()
            }
        )


def options_of(settings: type[Settings]) -> dict[str, Option]:
    """The options of a target's settings, by name, in the order in which they are declared."""
    kinds = _plain_types(settings)
    options = {}
    for each in fields(settings):
        declared: Option | None = each.metadata.get(DECLARED)
        if declared is None:
            continue
        kind, read = kinds[each.name], declared.read
        if isinstance(kind, type) and issubclass(kind, StrEnum):
            read = kind if read is _as_given else read
            kind = Literal[tuple(str(choice) for choice in kind)]
        name = declared.name or each.name
        kind = declared.kind or kind
        options[name] = replace(declared, name=name, setting=each.name, kind=kind, read=read)
    return options


def option_words(settings: Settings) -> tuple[tuple[str, ...], ...]:
    """The options of `compile`, each with its word, for the settings that are not the usual ones.
    What only the library can set is left out."""
    usual = {each.name: each.default for each in fields(settings)}
    words: list[tuple[str, ...]] = []
    for option in options_of(type(settings)).values():
        value = getattr(settings, option.setting)
        if COMPILE not in option.verbs or option.needs or value == usual[option.setting]:
            continue
        if option.kind is bool:
            words.append((option.flag,))
            continue
        words += [(option.flag, word) for word in option.write(value)]
    return tuple(words)


def _plain_types(settings: type[Settings]) -> dict[str, Any]:
    """The fields' types, without the None that stands for 'not chosen'."""
    return {name: _without_none(kind) for name, kind in get_type_hints(settings).items()}


def _without_none(kind: Any) -> Any:
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    (left,) = (part for part in get_args(kind) if part is not type(None))
    return left


def _restore_value(kind: Any, value: Any) -> Any:
    if value is not None and isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    return value
