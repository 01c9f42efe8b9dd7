# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The Recipe: which number format each tensor and each weight of a network gets.

An activation's key is the name of the graph node that makes the tensor; a weight's key is
``<layer>/<parameter>``. A tensor that the recipe does not name stays exact.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantization.fixed import FormatError, Ints, Quantizer, Rounding, quantize, shift_left

VERSION = 1


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """One quantizer for a whole weight tensor, or one for each slice along its last axis."""

    quantizers: tuple[Quantizer, ...]

    def __post_init__(self) -> None:
        if not self.quantizers:
            raise FormatError("A weight format needs at least one quantizer.")

    @staticmethod
    def of(*quantizers: Quantizer) -> WeightFormat:
        """A format from one quantizer, or from one for each channel."""
        return WeightFormat(tuple(quantizers))

    @property
    def per_channel(self) -> bool:
        """Whether channels have formats of their own."""
        return len(self.quantizers) > 1

    @property
    def frac(self) -> int:
        """Fractional bits of the finest channel: the grid on which all of them lie."""
        return max(quantizer.type.frac for quantizer in self.quantizers)

    @property
    def bits(self) -> int:
        """Width of the widest channel."""
        return max(quantizer.type.bits for quantizer in self.quantizers)

    def raw(self, values: ArrayLike) -> Ints:
        """Weights -> integers on the common grid (see `frac`)."""
        reals: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
        if not self.per_channel:
            return quantize(reals, self.quantizers[0])
        if reals.ndim == 0 or reals.shape[-1] != len(self.quantizers):
            raise FormatError(
                f"{len(self.quantizers)} channel formats do not fit weights of shape {reals.shape}."
            )
        frac = self.frac
        channels = [
            shift_left(quantize(reals[..., c], quantizer), frac - quantizer.type.frac)
            for c, quantizer in enumerate(self.quantizers)
        ]
        return np.stack(channels, axis=-1)

    def __str__(self) -> str:
        if not self.per_channel:
            return str(self.quantizers[0])
        return f"{self.quantizers[0]} and {len(self.quantizers) - 1} more channels"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Number formats by name. Equal recipes have equal hashes, however they were ordered."""

    activations: tuple[tuple[str, Quantizer], ...] = ()
    weights: tuple[tuple[str, WeightFormat], ...] = ()

    @staticmethod
    def of(
        activations: Mapping[str, Quantizer] | None = None,
        weights: Mapping[str, WeightFormat] | None = None,
    ) -> Recipe:
        """A recipe from two mappings."""
        return Recipe(
            tuple(sorted((activations or {}).items(), key=lambda item: item[0])),
            tuple(sorted((weights or {}).items(), key=lambda item: item[0])),
        )

    def activation(self, tensor: str) -> Quantizer | None:
        """The tensor's quantizer, or None where it stays exact."""
        return dict(self.activations).get(tensor)

    def weight(self, key: str) -> WeightFormat | None:
        """The weight's format, or None where the recipe names none."""
        return dict(self.weights).get(key)

    def updated(self, other: Recipe) -> Recipe:
        """This recipe with the other's entries on top."""
        return Recipe.of(
            dict(self.activations) | dict(other.activations),
            dict(self.weights) | dict(other.weights),
        )

    def with_ties(self, rounding: Rounding) -> Recipe:
        """The same, with activations that round so where they round ties to even."""
        activations = {
            name: replace(quantizer, rounding=rounding)
            if quantizer.rounding is Rounding.RND_CONV
            else quantizer
            for name, quantizer in self.activations
        }
        return Recipe.of(activations, dict(self.weights))

    def unknown_names(self, tensors: Iterable[str], weights: Iterable[str]) -> tuple[str, ...]:
        """Entries that name nothing in a network with these tensors and weights."""
        known_tensors, known_weights = set(tensors), set(weights)
        return tuple(
            [name for name, _ in self.activations if name not in known_tensors]
            + [name for name, _ in self.weights if name not in known_weights]
        )

    def to_toml(self) -> str:
        """The recipe as TOML text that `from_toml` reads back to an equal recipe."""
        import tomli_w

        weights: dict[str, Any] = {
            name: [str(q) for q in fmt.quantizers] if fmt.per_channel else str(fmt)
            for name, fmt in self.weights
        }
        return tomli_w.dumps(
            {
                "version": VERSION,
                "activations": {name: str(quantizer) for name, quantizer in self.activations},
                "weights": weights,
            }
        )

    @staticmethod
    def from_toml(text: str) -> Recipe:
        """Read a recipe; every problem is a FormatError that names the entry."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise FormatError(f"The recipe is not TOML: {error}.") from None
        except RecursionError:
            raise FormatError("The recipe is nested too deep to be one.") from None
        version = document.pop("version", None)
        if version != VERSION:
            raise FormatError(f"The recipe's version is {version!r}; this reads version {VERSION}.")
        activations = _table(document.pop("activations", {}), "activations")
        weights = _table(document.pop("weights", {}), "weights")
        if document:
            raise FormatError(f"The recipe has unknown tables: {', '.join(sorted(document))}.")
        return Recipe.of(
            {name: _quantizer(name, entry) for name, entry in activations.items()},
            {name: _weight_format(name, entry) for name, entry in weights.items()},
        )

    @property
    def digest(self) -> str:
        """Content hash: the same for equal recipes, everywhere."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()


def _table(entry: Any, name: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise FormatError(f"The recipe's {name!r} is not a table of names and formats.")
    return entry


def _quantizer(name: str, entry: Any) -> Quantizer:
    if not isinstance(entry, str):
        raise FormatError(f"The recipe's entry {name!r} is {entry!r}, not a format in quotes.")
    try:
        return Quantizer.parse(entry)
    except FormatError as error:
        raise FormatError(f"The recipe's entry {name!r}: {error}") from None


def _weight_format(name: str, entry: Any) -> WeightFormat:
    if not isinstance(entry, list):
        return WeightFormat.of(_quantizer(name, entry))
    if not entry:
        raise FormatError(f"The recipe's entry {name!r} is an empty list of channel formats.")
    return WeightFormat.of(*(_quantizer(name, channel) for channel in entry))
