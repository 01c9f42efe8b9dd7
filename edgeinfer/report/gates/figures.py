# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The figures that gates may name: those of a result, and those that follow from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from edgeinfer.base.metrics import SCORES, Metric, Origin, Scores
from edgeinfer.ir.agreement import Agreement
from edgeinfer.report import words
from edgeinfer.report.quantity import STATE_ORDER, quantity_of, strength, targets_of, whole
from edgeinfer.report.result import Result
from edgeinfer.report.timings import PATCHES, timings_of
from edgeinfer.report.titles import stage_of
from edgeinfer.report.uses import uses_of
from edgeinfer.report.verdict import near_pairs

DROPS = {"auc_drop": "auc", "accuracy_drop": "accuracy", "rms_error_rise": "rms_error"}
AGREEMENTS = ("bit_identical", "decision_flips", "max_abs_diff", "agreement_samples")
SIZES = ("parameters", "macs", "ops")
DEVICE = ("fits", "device_share", "event_seconds")
OWN = (  # of the network itself, on no target
    "accumulator_bits",
    "difference_to_float",
    "ebops",
    "ebops_dense",
    "explained_difference_to_float",
    "max_difference_to_float",
    "nonzero_macs",
    "rms_difference_to_float",
    "same_decision_as_float",
    "weight_bits",
)
STAGES = ("float", "quantized", "engine", "interpret")  # that need no target


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What targets may bring to a result, so that a gate may name it before it is there: figures,
    and the stage of each target's simulation."""

    figures: tuple[str, ...] = ()
    stages: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every figure that a gate, an objective or a budget may name."""
        return (*SCORES, *DROPS, *AGREEMENTS, *SIZES, *DEVICE, *OWN, *self.figures)


@dataclass(frozen=True, slots=True)
class KnownFigure:
    """A figure's value, what it is worth, and how it came to be."""

    value: float | bool
    origin: Origin
    low: float | None = None
    high: float | None = None
    how: str = ""


def names_of(result: Result, vocabulary: Vocabulary) -> list[str]:
    """Every name that a gate may use."""
    own = [metric.name for metric in result.metrics]
    return list(dict.fromkeys((*vocabulary.names, *own)))


def prefixes_of(result: Result, vocabulary: Vocabulary) -> list[str]:
    """Every target and stage that a gate may name."""
    stages = [*result.accuracy, *(name for entry in result.agreement for name in entry.pair)]
    prefixes = (*vocabulary.stages, *STAGES, *vocabulary.stages.values())
    return list(dict.fromkeys((*prefixes, *stages, *targets_of(result.metrics))))


def known_figures(result: Result, name: str, prefix: str | None) -> dict[str, KnownFigure]:
    """The figure by the target or stage it is of ("" where it is of the network itself)."""
    if name in SCORES:
        return _scores(result, name, prefix)
    if name in DROPS:
        return _drops(result, name, prefix)
    if name in AGREEMENTS:
        return _agreements(result, name, prefix)
    if name in SIZES:
        return {"": KnownFigure(getattr(result.program, name), Origin.PROVED)}
    if name in DEVICE:
        return dict(_device(result, name, prefix))
    return dict(_metrics(result, name, prefix))


def _metrics(result: Result, name: str, prefix: str | None) -> Iterator[tuple[str, KnownFigure]]:
    targets: Sequence[str | None] = [*targets_of(result.metrics), None]
    for target in targets:
        if prefix is not None and target != prefix:
            continue
        best = best_of(metric for metric in whole(result.metrics, target) if metric.name == name)
        if best is not None:
            yield target or "", figure_of_metric(best)


def best_of(metrics: Iterable[Metric]) -> Metric | None:
    """The figure whose origin is worth most; of equals, that of the further design."""
    return max(
        reversed(list(metrics)),  # of those that are equal in both, the last
        key=lambda metric: (strength(metric), STATE_ORDER.index(quantity_of(metric).state)),
        default=None,
    )


def figure_of_metric(metric: Metric) -> KnownFigure:
    """A metric as a figure."""
    state = quantity_of(metric).state
    tool = f"by {metric.tool} {metric.version or ''}".rstrip() if metric.tool else ""
    how = " ".join(part for part in (f"after {state}" if state else "", tool) if part)
    return KnownFigure(metric.value, metric.origin, metric.low, metric.high, how)


def _stages(result: Result, prefix: str | None) -> dict[str, Scores]:
    """The stages that a score is of: those of integers, or the one that is named."""
    if prefix is None:
        return {stage: scores for stage, scores in result.accuracy.items() if stage != "float"}
    named = {prefix, stage_of(result, prefix)}
    return {stage: scores for stage, scores in result.accuracy.items() if stage in named}


def _scores(result: Result, name: str, prefix: str | None) -> dict[str, KnownFigure]:
    values = {
        stage: scores.figures[name]
        for stage, scores in _stages(result, prefix).items()
        if name in scores.figures
    }
    return _worst(values, higher=SCORES[name])


def _drops(result: Result, name: str, prefix: str | None) -> dict[str, KnownFigure]:
    """What is lost against the float network on the same samples. A stage on samples of its own
    that is the engine bit for bit loses what the Program loses, of which more samples say more."""
    field = DROPS[name]
    drops = {}
    for stage, scores in _stages(result, prefix).items():
        before = float_figure(result, stage, field)
        after = getattr(scores, field)
        if before is None or after is None:
            continue
        if prefix is None and scores.floats and _is_engine(result, stage):
            continue
        drops[stage] = (before - after) if SCORES[field] else (after - before)
    return _worst(drops, higher=False)


def float_figure(result: Result, stage: str, name: str) -> float | None:
    """The float network's figure on the samples that a stage was judged on; None where nobody
    knows it."""
    scores, before = result.accuracy[stage], result.accuracy.get("float")
    if name in scores.floats:
        return scores.floats[name]
    if before is None or before.samples != scores.samples:
        return None
    value: float | None = getattr(before, name)
    return value


def _is_engine(result: Result, stage: str) -> bool:
    pairs = [entry for entry in result.agreement if stage in entry.pair and entry.samples]
    return bool(pairs) and all(entry.bit_identical for entry in pairs)


def _worst(values: dict[str, float], *, higher: bool) -> dict[str, KnownFigure]:
    """The stage that does worst; one that is no number is."""
    if not values:
        return {}
    sign = -1.0 if higher else 1.0
    stage = max(values, key=lambda s: (values[s] != values[s], sign * values[s]))
    return {"": KnownFigure(values[stage], Origin.SIMULATED, how=f"of the stage {stage}")}


def _agreements(result: Result, name: str, prefix: str | None) -> dict[str, KnownFigure]:
    pairs = tuple(entry for entry in result.agreement if entry not in near_pairs(result))
    if prefix is not None:
        pairs = result.agreement
        named = {prefix, stage_of(result, prefix)}
        pairs = tuple(entry for entry in pairs if named & set(entry.pair))
    pairs = tuple(entry for entry in pairs if entry.samples)  # of none, nothing is known
    if not pairs:
        return {}
    return {"": KnownFigure(_of_pairs(name, pairs), Origin.SIMULATED, how=_origin_text(pairs))}


def _of_pairs(name: str, pairs: Sequence[Agreement]) -> float | bool:
    match name:
        case "bit_identical":
            return all(entry.bit_identical for entry in pairs)
        case "decision_flips":
            return max(entry.decision_flips for entry in pairs)
        case "max_abs_diff":
            differences = [entry.max_abs_diff for entry in pairs]
            return next((d for d in differences if d != d), max(differences))
        case _:  # "samples"
            return min(entry.samples for entry in pairs)


def _origin_text(pairs: Sequence[Agreement]) -> str:
    apart = [" and ".join(entry.pair) for entry in pairs if not entry.bit_identical]
    if apart:
        return f"{', '.join(apart)} differ"
    counts = (f"{' = '.join(e.pair)} in {words.count_noun(e.samples, 'sample')}" for e in pairs)
    return ", ".join(counts)


def _device(result: Result, name: str, prefix: str | None) -> Iterator[tuple[str, KnownFigure]]:
    if name == "event_seconds":
        for timing in timings_of(result):
            event = timing.event_seconds(PATCHES)
            if event is not None and prefix in (None, timing.target):
                inferences = (
                    "a plane after the other" if timing.event else f"{PATCHES:,} inferences"
                )
                how = f"of {inferences}, {timing.how}"
                yield (
                    timing.target,
                    KnownFigure(event[0], timing.latency.origin, event[1], event[2], how),
                )
        return
    uses = [use for use in uses_of(result) if use.share is not None]
    for target in dict.fromkeys(use.target for use in uses):
        if prefix not in (None, target):
            continue
        own = [use for use in uses if use.target == target]
        worst = max(own, key=lambda use: (use.share != use.share, use.share or 0.0))
        weakest = min((use.metric for use in own), key=strength)
        how = f"{worst.kind} takes most"
        if name == "fits":
            fits = all(use.fits is True for use in own)
            yield target, KnownFigure(fits, weakest.origin, how=how)
        else:
            share = worst.share if worst.share is not None else float("nan")
            ends = (worst.low_share, worst.high_share)
            yield target, KnownFigure(share, weakest.origin, *ends, how=how)
