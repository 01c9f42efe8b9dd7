# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Lowering as it was asked for: under a recipe, or under one width where nothing states formats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgeinfer.base.errors import ProgramError, RecipeError, UsageError
from edgeinfer.data.open import existing
from edgeinfer.data.samples import Samples
from edgeinfer.ir.lower import LoweredModel, lower
from edgeinfer.precision.modes import OverflowName, RoundingName
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers import LoadedModel
from edgeinfer.run.defaults import BITS, add_formats, draw_samples_for, plain
from edgeinfer.targets.registry import ChosenTarget
from quantization.fixed import FormatError, Rounding
from quantization.recipe import Recipe


def lower_as_asked(
    loaded: LoadedModel,
    recipe_path: Path | None,
    formats: PtqSettings | None,
    data: Callable[[], Samples] | None,
    targets: Sequence[ChosenTarget] = (),
) -> tuple[LoadedModel, LoweredModel]:
    """Lower a model under the formats that it, or the recipe, states; where neither states any,
    under `formats` or one width for every tensor, as the targets would have them.
    The model comes back as it was lowered."""
    recipe = Recipe() if recipe_path is None else read_recipe(recipe_path)
    stated = loaded.recipe != Recipe() or recipe != Recipe()
    if stated and formats is not None:
        raise UsageError(
            f"Formats were asked for, but {loaded.graph.name} states its own.",
            hint="Leave out --bits, --bits-of, --rounding and --overflow, or choose new formats "
            "with edgeinfer quantize.",
        )
    if not stated:
        samples = draw_samples_for(loaded, recipe) if data is None else data()
        settings = formats or plain(default_bits(targets))
        loaded = add_formats(loaded, settings, samples, drawn=data is None)
        rounding = best_rounding(targets)
        if rounding is not None and settings.rounding is None:
            finding = f"Ties are rounded by {rounding}, which costs these targets least."
            loaded = replace(
                loaded,
                recipe=loaded.recipe.with_ties(rounding),
                findings=(*loaded.findings, finding),
            )
    return loaded, lower_with(loaded, recipe, recipe_path)


def asked_formats(
    targets: Sequence[ChosenTarget],
    bits: int | None,
    bits_of: Sequence[tuple[str, int]] = (),
    rounding: RoundingName | None = None,
    overflow: OverflowName = "saturate",
) -> PtqSettings | None:
    """The formats of a model that states none, where something is asked of them."""
    if bits is None and not bits_of and rounding is None and overflow == "saturate":
        return None
    width = default_bits(targets) if bits is None else bits
    return replace(plain(width), bits_of=tuple(bits_of)).with_modes(rounding, overflow)


def default_bits(targets: Sequence[ChosenTarget]) -> int:
    """The width that suits all targets, where nobody asks for another."""
    best = (chosen.target.best_bits for chosen in targets)
    return min((bits for bits in best if bits is not None), default=BITS)


def best_rounding(targets: Sequence[ChosenTarget]) -> Rounding | None:
    """How targets round ties best, if those that care agree."""
    best = {chosen.target.best_rounding(chosen.settings) for chosen in targets} - {None}
    return best.pop() if len(best) == 1 else None


def lower_with(loaded: LoadedModel, full_recipe: Recipe, source: Path | None) -> LoweredModel:
    """Lower a model under its own recipe with another on top; errors name the recipe's file."""
    recipe = loaded.recipe.updated(full_recipe)
    name = loaded.graph.name
    try:
        return lower(loaded.graph, recipe)
    except RecipeError as error:
        if source is None:
            raise
        raise RecipeError(f"{source}: {error.message}", hint=error.hint) from None
    except (ProgramError, FormatError) as error:
        message = error.message if isinstance(error, ProgramError) else f"{name}: {error}"
        where = message if source is None else f"{source}: {message}"
        raise RecipeError(
            where, hint="Give narrower formats, in a recipe or with edgeinfer quantize."
        ) from None


def read_recipe(path: Path) -> Recipe:
    """A recipe's file; every problem is a RecipeError that names it."""
    try:
        return Recipe.from_toml(recipe_text(path))
    except FormatError as error:
        raise RecipeError(f"{path}: {error}", hint="docs/recipes.md shows the format.") from None


def recipe_text(path: Path) -> str:
    """The text of a recipe's file."""
    existing(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecipeError(f"{path} is not text, so it is not a recipe.") from None
