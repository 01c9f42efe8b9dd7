# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Typed access to a layer's configuration: what is missing or malformed is said, never guessed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


class UnsupportedLayerError(Exception):
    """A layer cannot be read; the message says why, ready to stand in a report."""


class Fields:
    """The configuration of one layer or quantizer."""

    __slots__ = ("_values",)

    def __init__(self, values: Any) -> None:
        if not isinstance(values, Mapping):
            raise UnsupportedLayerError("its configuration is not a table of names and values")
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str, default: Any = None) -> Any:
        """The value as the file has it."""
        return self._values.get(name, default)

    def integer(self, name: str, default: int | None = None) -> int:
        """A whole number."""
        return whole(self._values.get(name, default), name)

    def number(self, name: str, default: float | None = None, *, limit: float = math.inf) -> float:
        """A finite number of a magnitude up to `limit`."""
        value = self._values.get(name, default)
        number_read = scalar(value)
        if number_read is None or not math.isfinite(number_read) or abs(number_read) > limit:
            raise UnsupportedLayerError(f"its {name} is {value!r}, not a number")
        return number_read

    def epsilon(self, default: float) -> float:
        """What a norm adds to a variance; a negative number would make roots of negative ones."""
        value = self.number("epsilon", default)
        if value < 0:
            raise UnsupportedLayerError(f"its epsilon is {value:g}; it must not be negative")
        return value

    def optional(self, name: str) -> float | None:
        """A finite number, or None where the file has none."""
        return None if self._values.get(name) is None else self.number(name)

    def flag(self, name: str, default: bool) -> bool:
        """A truth value (0 and 1 count)."""
        value = self._values.get(name, default)
        if value is None:
            return default
        if value not in (True, False):
            raise UnsupportedLayerError(f"its {name} is {value!r}, not true or false")
        return bool(value)

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self._values.get(name, default)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise UnsupportedLayerError(f"its {name} is {value!r}, not a text")
        return value

    def one_of(self, name: str, default: str, *choices: str) -> str:
        """A string out of a few (case does not matter)."""
        value = self.text(name, default).lower()
        if value not in choices:
            raise UnsupportedLayerError(f"its {name} is {value!r}; known are {', '.join(choices)}")
        return value

    def positive(self, name: str, rank: int, default: int | None = None) -> tuple[int, ...]:
        """One positive whole number for each of `rank` axes; a single one serves all."""
        value = self._values.get(name, default)
        if value is None:
            value = default
        several = isinstance(value, (list, tuple))
        numbers = tuple(whole(v, name) for v in value) if several else (whole(value, name),) * rank
        if len(numbers) == 1:
            numbers *= rank
        if len(numbers) != rank or min(numbers) < 1:
            raise UnsupportedLayerError(
                f"its {name} is {value!r}, not {rank} positive whole numbers"
            )
        return numbers


def scalar(value: Any) -> float | None:
    """A number in any of the forms in which Keras writes one, or None."""
    if isinstance(value, Mapping):  # a serialised NumPy value or tensor
        config = value.get("config")
        inner = config.get("value") if isinstance(config, Mapping) else value.get("value", config)
        return scalar(inner)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        return scalar(value[0])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return float(value) if isinstance(value, bool) else None
    try:
        return float(value)
    except OverflowError:
        return None


def whole(value: Any, name: str) -> int:
    """A whole number of reasonable size."""
    number_read = scalar(value)
    if (
        number_read is None
        or not math.isfinite(number_read)
        or number_read != int(number_read)
        or abs(number_read) > 2**40
    ):
        raise UnsupportedLayerError(f"its {name} is {value!r}, not a whole number")
    return int(number_read)
