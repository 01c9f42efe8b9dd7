# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Gates as a TOML file writes them: figures, limits, and how good a figure must be to count."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from edgeinfer.base.errors import UsageError, did_you_mean
from edgeinfer.base.metrics import Origin

Operator = Literal["<=", ">=", "<", ">", "="]
EXPRESSION = re.compile(r"\s*([\w./-]+)\s*(<=|>=|==|<|>|=)\s*(\S.*?)\s*")
LIMIT = re.compile(r"\s*(<=|>=|==|<|>|=)\s*(\S.*?)\s*")
BOUNDS: Mapping[str, Operator] = {"max": "<=", "min": ">=", "equals": "="}
OPTIONS = ("origin", "optional", "whole_band")
BASELINE = "baseline"
DOCS = "docs/gates.md shows the format."


@dataclass(frozen=True, slots=True)
class Gate:
    """A limit on a figure. Without a target it holds for every target that has the figure."""

    name: str
    operator: Operator
    limit: float | bool
    target: str | None = None
    origin: Origin | None = None  # the least that counts as measured
    optional: bool = False  # not measured: skipped, not failed
    whole_band: bool = False  # the whole error band must keep the limit

    @property
    def figure(self) -> str:
        """Target and name."""
        return self.name if self.target is None else f"{self.target}.{self.name}"

    def __str__(self) -> str:
        limit = str(self.limit).lower() if isinstance(self.limit, bool) else f"{self.limit:g}"
        return f"{self.figure} {self.operator} {limit}"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much a figure may be worse than the baseline's."""

    absolute: float = 0.0
    relative: float = 0.0

    def allowance(self, before: float) -> float:
        """In the figure's own unit."""
        return self.absolute + self.relative * abs(before)


@dataclass(frozen=True, slots=True)
class GateFile:
    """All gates of a file, and tolerances for a baseline by figure."""

    gates: tuple[Gate, ...]
    tolerances: Mapping[str, Tolerance]


def read(text: str, source: str) -> GateFile:
    """Read a file of gates; a UsageError names what is wrong with it."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(
            f"{source} is not TOML: {error}.",
            hint='Put a comparison in quotes: auc_drop = "<= 0.005". ' + DOCS,
        ) from None
    try:
        tolerances = dict(_tolerances(document.pop(BASELINE, {}), ""))
        gates = tuple(_gates(document))
    except _WrongError as error:
        raise UsageError(f"{source}: {error}", hint=error.hint or DOCS) from None
    if not gates and not tolerances:
        raise UsageError(f"{source} holds no gates.", hint=DOCS)
    return GateFile(gates, tolerances)


class _WrongError(Exception):
    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def _gates(table: Mapping[str, Any]) -> Iterator[Gate]:
    for name, value in table.items():
        if name in ("gate", "gates") and isinstance(value, list):
            for entry in value:
                yield from _entry(entry)
        elif name == "gates" and isinstance(value, dict):
            yield from _table(value, None)
        else:
            yield from _read_named(name, value, None)


def _table(table: Mapping[str, Any], target: str | None) -> Iterator[Gate]:
    for name, value in table.items():
        yield from _read_named(name, value, target)


def _entry(entry: Any) -> Iterator[Gate]:
    """One of a list: an expression, or a table with an expression or a figure's name."""
    if isinstance(entry, str):
        yield _expression(entry, {})
    elif isinstance(entry, dict) and isinstance(entry.get("gate"), str):
        yield _expression(entry["gate"], {k: v for k, v in entry.items() if k != "gate"})
    elif isinstance(entry, dict) and isinstance(entry.get("metric"), str):
        rest = {k: v for k, v in entry.items() if k not in ("metric", "target")}
        yield from _read_named(entry["metric"], rest, entry.get("target"))
    else:
        raise _WrongError(f"{entry!r} is not a gate.")


def _read_named(name: str, value: Any, target: str | None) -> Iterator[Gate]:
    """A figure's name and what it must keep; or a target's name and its figures."""
    prefix, _, last = name.rpartition(".")
    figure, where = last, target or prefix or None
    match value:
        case bool():
            yield Gate(figure, "=", value, where)
        case int() | float():
            raise _WrongError(
                f"{name} = {value} does not say whether {value} is the most or the least.",
                f'Write {name} = "<= {value}". {DOCS}',
            )
        case str():
            match = LIMIT.fullmatch(value)
            if match is None:
                raise _WrongError(
                    f'{name} = "{value}" is not a limit; write for instance "<= 0.005".'
                )
            yield Gate(figure, _operator(match[1]), _limit(match[2], name), where)
        case dict() if set(value) & (set(BOUNDS) | set(OPTIONS) | {"limit"}):
            yield from _bounds(figure, value, where)
        case dict() if value and target is None:
            yield from _table(value, name)
        case _:
            raise _WrongError(f"{name}: {value!r} is not a gate.")


def _bounds(figure: str, value: Mapping[str, Any], target: str | None) -> Iterator[Gate]:
    unknown = sorted(set(value) - set(BOUNDS) - set(OPTIONS) - {"limit"})
    choices = (*BOUNDS, *OPTIONS, "limit")
    if unknown:
        hint = did_you_mean(unknown[0], choices) or f"Known are {', '.join(choices)}."
        raise _WrongError(f"{figure} has the option {unknown[0]!r}, which means nothing.", hint)
    options = _options(figure, value)
    limits: list[tuple[Operator, Any]] = [
        (operator, value[name]) for name, operator in BOUNDS.items() if name in value
    ]
    if "limit" in value:
        match = LIMIT.fullmatch(str(value["limit"]))
        if match is None:
            raise _WrongError(f'{figure}: {value["limit"]!r} is not a limit; write "<= 0.005".')
        limits.append((_operator(match[1]), match[2]))
    if not limits:
        raise _WrongError(f"{figure} has no limit; give max, min, equals or limit.")
    for operator, limit in limits:
        yield Gate(figure, operator, _limit(limit, figure), target, **options)


def _expression(text: str, more: Mapping[str, Any]) -> Gate:
    match = EXPRESSION.fullmatch(text)
    if match is None:
        raise _WrongError(f'"{text}" is not a gate; write for instance "hls.lut <= 20000".')
    target, _, name = match[1].rpartition(".")
    options = _options(match[1], more)
    unknown = sorted(set(more) - set(OPTIONS))
    if unknown:
        hint = did_you_mean(unknown[0], OPTIONS) or f"Known are {', '.join(OPTIONS)}."
        raise _WrongError(f"{text!r} has the option {unknown[0]!r}, which means nothing.", hint)
    return Gate(name, _operator(match[2]), _limit(match[3], text), target or None, **options)


def _options(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option in ("optional", "whole_band"):
        if option in table:
            if not isinstance(table[option], bool):
                raise _WrongError(f"{name}: {option} is true or false, not {table[option]!r}.")
            options[option] = table[option]
    if "origin" in table:
        try:
            options["origin"] = Origin(table["origin"])
        except ValueError:
            origins = [str(origin) for origin in Origin]
            hint = did_you_mean(str(table["origin"]), origins) or f"Known are {', '.join(origins)}."
            raise _WrongError(f"{name}: there is no origin {table['origin']!r}.", hint) from None
    return options


def _operator(written: str) -> Operator:
    return cast("Operator", "=" if written == "==" else written)


def _limit(value: Any, name: str) -> float | bool:
    if isinstance(value, bool) or str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    try:
        limit = float(str(value).replace(",", "").replace("_", ""))
    except ValueError:
        raise _WrongError(f"{name}: {value!r} is not a number.") from None
    if limit != limit:
        raise _WrongError(f"{name}: NaN is not a limit.")
    return limit


def _tolerances(table: Any, before: str) -> Iterator[tuple[str, Tolerance]]:
    if not isinstance(table, dict):
        raise _WrongError(f"[{BASELINE}] is a table of tolerances.")
    for name, value in table.items():
        match value:
            case dict():
                yield from _tolerances(value, f"{before}{name}.")
            case int() | float() if not isinstance(value, bool) and value >= 0:
                yield f"{before}{name}", Tolerance(absolute=float(value))
            case str() if (match := re.fullmatch(r"\s*([\d.]+)\s*%\s*", value)) is not None:
                yield f"{before}{name}", Tolerance(relative=float(match[1]) / 100)
            case _:
                raise _WrongError(
                    f"{before}{name}: {value!r} is not a tolerance; write 0.002, or "
                    f'"5 %" of the baseline\'s figure.'
                )
