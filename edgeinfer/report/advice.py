# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Findings with remedies: what the run said, and what its figures suggest."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from edgeinfer.evaluate.profile.data import Layer, Profile
from edgeinfer.report import words
from edgeinfer.report.layer_tables import count_saturated
from edgeinfer.report.result import Result, input_words
from edgeinfer.report.titles import stage_title
from edgeinfer.report.uses import uses_of
from edgeinfer.report.verdict import AnswerState
from quantization.fixed import Fixed

MUCH = 0.005  # of a tensor's values, that saturate
MOST = 12  # of one kind, that are listed


@dataclass(frozen=True, slots=True)
class Advice:
    """A finding, how it is to be taken, and what may be done about it."""

    text: str
    remedy: str = ""
    state: AnswerState = AnswerState.UNKNOWN


def points_of(result: Result, profile: Profile | None) -> tuple[Advice, ...]:
    """What is wrong first, then what could be better, then what the run said."""
    advice_points = [*_apart(result), *_too_large(result)]
    if profile is not None:
        advice_points += [*_clipping(result, profile), *_idle(result, profile)]
    advice = [Advice(each) for each in dict.fromkeys(result.findings)]
    return (*sorted(advice_points, key=lambda point: point.state is not AnswerState.BAD), *advice)


def _apart(result: Result) -> Iterator[Advice]:
    for entry in result.disagreements:
        where = entry.first_divergence
        yield Advice(
            f"{words.join_words([stage_title(name, result) for name in entry.pair])} differ"
            + (f": {words.short(str(where), 300)}." if where is not None else "."),
            "The likely cause: edgeinfer explain RUN",
            AnswerState.BAD,
        )


def _too_large(result: Result) -> Iterator[Advice]:
    for use in uses_of(result):
        if use.fits is False:
            yield Advice(
                f"{use.title}: {words.number(use.metric.value)} "
                f"{words.kind_name(use.kind)} ({use.metric.origin}), but the device offers "
                f"{words.number(use.offered)}.",
                f"Which widths fit: {_fit_command(result, use.target)}",
                AnswerState.BAD if use.surely else AnswerState.UNSURE,
            )


def _clipping(result: Result, profile: Profile) -> Iterator[Advice]:
    clipping_layers = [e for e in profile.layers if _share(e) > MUCH or _wraps(e) or _dominates(e)]
    for layer in sorted(clipping_layers, key=lambda each: -_share(each))[:MOST]:
        assert layer.clipped is not None
        count = count_saturated(layer.clipped)
        how = "wrap around" if layer.clipped.wraps else "saturate"
        also = ", and make most of its rounding error" if _dominates(layer) else ""
        yield Advice(
            f"{words.short(layer.name)}: {words.percent(_share(layer), 2)} of the values "
            f"({count:,} of {layer.clipped.values:,}) {how} in {layer.format}{also}.",
            "One integer bit more holds twice the range. To place the binary point on data like "
            f"these: {_quantize_command(result, layer)}",
            AnswerState.BAD if layer.clipped.wraps else AnswerState.UNSURE,
        )


def _share(layer: Layer) -> float:
    clipped = layer.clipped
    return (
        count_saturated(clipped) / clipped.values if clipped is not None and clipped.values else 0.0
    )


def _dominates(layer: Layer) -> bool:
    """Whether the rounding error is more than twice what steps of this size alone would make."""
    if not _share(layer) or layer.rounding_rms is None:
        return False
    return layer.rounding_rms > 2 * Fixed.parse(layer.format).lsb / math.sqrt(12)


def _wraps(layer: Layer) -> bool:
    return layer.clipped is not None and layer.clipped.wraps and count_saturated(layer.clipped) > 0


def _idle(result: Result, profile: Profile) -> Iterator[Advice]:
    """Formats that were chosen wider than what was seen."""
    for layer in [each for each in profile.layers if _spare(each) > 0][:MOST]:
        spare = _spare(layer)
        yield Advice(
            f"{words.short(layer.name)}: {words.count_noun(spare, 'bit')} of {layer.format} "
            f"{'was' if spare == 1 else 'were'} not used by anything that was seen.",
            "A narrower format would have held it all, if these samples show all there is: "
            f"{_command(result, 'search', '-o', 'WIDTHS')}",
        )


def _spare(layer: Layer) -> int:
    if layer.op != "Requant" or layer.observed_bits is None:
        return 0
    return Fixed.parse(layer.format).bits - layer.observed_bits


def _fit_command(result: Result, target: str) -> str:
    """What shows the widths and targets that fit."""
    part = result.targets.get(target)
    device = result.device if part is None else part.device
    return _command(result, "fit", *(["--device", device] if device else []))


def _quantize_command(result: Result, layer: Layer) -> str:
    """What chooses formats of the same width from data."""
    bits = str(Fixed.parse(layer.format).bits)
    return _command(result, "quantize", "--bits", bits, "-o", "again.toml")


def _command(result: Result, verb: str, *options: str) -> str:
    """A verb on the run's model, with its data."""
    return shlex.join(["edgeinfer", verb, *input_words(result), *options])
