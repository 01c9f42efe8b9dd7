# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verdict on a run: do its stages agree, does it fit, is it fast enough, what does it lose?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgeinfer.base.metrics import Origin
from edgeinfer.evaluate.profile.data import Profile, Uncertain
from edgeinfer.ir.agreement import Agreement
from edgeinfer.report import words
from edgeinfer.report.losses import Drop, drop_of, interval_of
from edgeinfer.report.result import Result
from edgeinfer.report.timings import TimingBand, timings_of
from edgeinfer.report.titles import stage_title
from edgeinfer.report.uses import Use, uses_of

MOST_LATENCIES = 2  # told in the verdict


class AnswerState(StrEnum):
    """How an answer is to be taken."""

    GOOD = "good"
    BAD = "bad"
    UNSURE = "unsure"  # the band of an estimate reaches to both sides
    UNKNOWN = "unknown"  # nothing was measured, or nobody said what would do


TROUBLE = (AnswerState.BAD, AnswerState.UNSURE)


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, how its answer is to be taken, the answer in a few words and in a sentence."""

    question: str
    state: AnswerState
    words: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The four answers, in order: agrees, fits, fast enough, what is lost."""

    agrees: Answer
    fits: Answer
    fast: Answer
    lost: Answer

    @property
    def answers(self) -> tuple[Answer, ...]:
        """All of them."""
        return (self.agrees, self.fits, self.fast, self.lost)

    @property
    def line(self) -> str:
        """All in one line."""
        text = "; ".join(answer.words for answer in self.answers)
        return f"{text[:1].upper()}{text[1:]}."

    @property
    def closing(self) -> tuple[tuple[AnswerState, str], ...]:
        """Three lines: how accurate, how exact, does it fit and how fast."""
        hardware = (self.fits, self.fast)
        worst = next((a.state for a in hardware if a.state in TROUBLE), self.fits.state)
        words_of = "; ".join(answer.words for answer in hardware)
        return (
            (self.lost.state, f"accuracy  {self.lost.sentence}"),
            (self.agrees.state, f"exactness {self.agrees.sentence}"),
            (worst, f"hardware  {words_of[:1].upper()}{words_of[1:]}."),
        )

    @property
    def state(self) -> AnswerState:
        """Bad if anything is; good only if all is."""
        states = [answer.state for answer in self.answers]
        for worst in (AnswerState.BAD, AnswerState.UNSURE, AnswerState.UNKNOWN):
            if worst in states:
                return worst
        return AnswerState.GOOD


def verdict_on(
    result: Result, profile: Profile | None = None, latency_us: float | None = None
) -> Verdict:
    """The verdict. `latency_us` is what would be fast enough."""
    return Verdict(
        _agrees(result),
        _fits(uses_of(result)),
        _fast(result, latency_us),
        _loss_answer(result, profile),
    )


def _agrees(result: Result) -> Answer:
    question = "Do the stages agree?"
    pairs = result.agreement
    if not pairs:
        text = "No two stages were held against each other."
        return Answer(question, AnswerState.UNKNOWN, "agreement not tried", text)
    apart, near = result.disagreements, near_pairs(result)
    if apart:
        first = apart[0]
        names = words.join_words([stage_title(name, result) for name in first.pair])
        more = f", and {len(apart) - 1} more" if len(apart) > 1 else ""
        text = (
            f"{names} differ{more}: {words.count_noun(first.decision_flips, 'decision')} of "
            f"{words.count_noun(first.samples, 'sample')} flip."
        )
        return Answer(question, AnswerState.BAD, f"{names} differ", text)
    pairs = tuple(entry for entry in pairs if entry not in near)
    if not pairs:
        text = f"No two stages that must agree were held against each other. {_near(result, near)}"
        return Answer(question, AnswerState.UNKNOWN, "agreement not tried", text.strip())
    if not min(entry.samples for entry in pairs):
        return Answer(
            question, AnswerState.UNKNOWN, "agreement not tried", "No sample was compared."
        )
    short = f"bit-identical in {'all ' if len(pairs) > 1 else ''}"
    short += words.count_noun(len(pairs), "pair") + " of stages"
    text = " ".join(_alike(result, group, pairs) for group in _groups(pairs))
    return Answer(question, AnswerState.GOOD, short, f"{text} {_near(result, near)}".strip())


def _groups(pairs: Sequence[Agreement]) -> list[list[str]]:
    """Stages that are joined by pairs."""
    groups: list[list[str]] = []
    for entry in pairs:
        touched = [group for group in groups if set(group) & set(entry.pair)]
        names = [name for group in touched for name in group] + list(entry.pair)
        groups = [group for group in groups if group not in touched]
        groups.append(list(dict.fromkeys(names)))
    return groups


def _alike(result: Result, stages: Sequence[str], pairs: Sequence[Agreement]) -> str:
    counts = [entry.samples for entry in pairs if set(entry.pair) <= set(stages)]
    least, most = min(counts), max(counts)
    how_many = words.count_noun(most, "sample")
    if least != most:
        how_many = f"{least:,} to {how_many}"
    names = words.join_words([stage_title(name, result) for name in stages])
    return f"{names[:1].upper()}{names[1:]} yield the same integers in {how_many}."


def near_pairs(result: Result) -> tuple[Agreement, ...]:
    """Pairs that differ and may: a target computes with numbers of its own."""
    must = result.disagreements
    return tuple(e for e in result.agreement if not e.bit_identical and e not in must)


def _near(result: Result, pairs: Sequence[Agreement]) -> str:
    """What may differ, and by how much it does."""
    sentences = [
        f"{stage_title(entry.pair[1], result)} has numbers of its own: "
        f"{words.count_noun(entry.decision_flips, 'decision')} of "
        f"{words.count_noun(entry.samples, 'sample')} differ from the "
        f"{stage_title(entry.pair[0], result)}'s."
        for entry in pairs
    ]
    return " ".join(sentences)


def _fits(uses: Sequence[Use]) -> Answer:
    question = "Does it fit?"
    limited_uses = [use for use in uses if use.fits is not None]
    if not limited_uses:
        detail = "No resources are known." if not uses else "No device is named, so no budget."
        return Answer(question, AnswerState.UNKNOWN, "fit not known", detail)
    worst = max(limited_uses, key=lambda use: use.share or 0.0)
    kind, target = words.kind_name(worst.kind), worst.title
    text = f"{kind} {words.percent(worst.share, 0)}, {worst.metric.origin}"
    over = [use for use in limited_uses if not use.fits]
    if over:
        names = [f"{u.title} {words.kind_name(u.kind)}" for u in over]
        sure = any(use.surely or use.metric.low is None for use in over)
        state = AnswerState.BAD if sure else AnswerState.UNSURE
        detail = f"{words.join_words(names)} {_goes(names)} beyond the device; most of all {text}."
        if not sure:
            detail += _open_question(over)
        head = "does not fit" if state is AnswerState.BAD else "probably does not fit"
        return Answer(question, state, f"{head} ({target} {text})", detail)
    sure = all(use.surely for use in limited_uses)
    detail = f"The most that is taken of any kind is {text}, for the target {target}."
    if not sure:
        detail += _open_question([use for use in limited_uses if not use.surely])
    state = AnswerState.GOOD if sure else AnswerState.UNSURE
    return Answer(question, state, f"{'' if sure else 'probably '}fits ({text})", detail)


def _open_question(uses: Sequence[Use]) -> str:
    """Which bands have the device's budget inside, and what would settle it."""
    reaches = [
        f"{use.title} {words.kind_name(use.kind)} between {words.percent(use.low_share, 0)} and "
        f"{words.percent(use.high_share, 0)}"
        for use in uses
        if use.low_share is not None and use.high_share is not None
    ]
    return (
        f" The band of an estimate has the device's budget inside: {words.join_words(reaches)}. "
        "Synthesis of the project would settle it."
    )


def _goes(names: Sequence[str]) -> str:
    return "goes" if len(names) == 1 else "go"


def _fast(result: Result, limit_us: float | None) -> Answer:
    question = "Is it fast enough?"
    timings = timings_of(result)
    if not timings:
        detail = "No latency is known."
        return Answer(question, AnswerState.UNKNOWN, "latency not known", detail)
    latencies = [timing.latency_words for timing in timings]
    more = f" and {len(latencies) - MOST_LATENCIES} more" if len(latencies) > MOST_LATENCIES else ""
    text = ", ".join(latencies[:MOST_LATENCIES]) + more
    if limit_us is None:
        detail = f"Latency of one inference: {words.join_words(latencies)}. No limit was given."
        return Answer(question, AnswerState.UNKNOWN, text, detail)
    limit = words.seconds(limit_us * 1e-6)
    late = [t for t in timings if not t.latency.value <= limit_us]
    unsure = [t for t in timings if _straddles(t, limit_us)]
    detail = f"Latency of one inference: {words.join_words(latencies)}; {limit} would do."
    if not late:
        state = AnswerState.UNSURE if unsure else AnswerState.GOOD
        return Answer(question, state, f"{text}, within {limit}", detail)
    slow = words.join_words([t.title for t in late])
    if len(late) < len(timings):
        quick = words.join_words([t.title for t in timings if t not in late])
        return Answer(
            question, AnswerState.UNSURE, f"{quick} within {limit}, {slow} slower", detail
        )
    state = AnswerState.UNSURE if all(t in unsure for t in late) else AnswerState.BAD
    bounds = all(t.by_sites is not None for t in late)
    slower = "not proved to be within" if bounds else "slower than"
    return Answer(question, state, f"{slower} {limit} ({text})", detail)


def _straddles(timing: TimingBand, limit: float) -> bool:
    """Whether some of what is known of a latency lies within the limit, and some beyond."""
    metric, by_sites = timing.latency, timing.by_sites
    if by_sites is not None:
        return by_sites.least_us <= limit < metric.value
    if metric.low is None or metric.high is None or metric.origin is not Origin.ESTIMATED:
        return False
    return metric.low <= limit < metric.high


def _loss_answer(result: Result, profile: Profile | None) -> Answer:
    question = "What does quantization cost?"
    drop = drop_of(result)
    if drop is None:
        same = next((m for m in result.metrics if m.name == "same_decision_as_float"), None)
        if same is None:
            detail = "There were no labels to judge by."
            return Answer(question, AnswerState.UNKNOWN, "accuracy not known", detail)
        share = words.percent(same.value)
        detail = f"{share} of the samples are decided as the float network does; no labels."
        return Answer(question, AnswerState.UNKNOWN, f"decides as the float in {share}", detail)
    own = drop_of(result, ("quantized",)) or drop
    interval = interval_of(result, profile, own)
    shown = interval is not None and interval.low < interval.high  # else no samples changed places
    within = f" ± {words.number(_half(interval), 2)}" if interval is not None and shown else ""
    short = f"{own.label} {own.change}{within}"
    where = "" if own.stage == "quantized" else f" ({stage_title(own.stage, result)})"
    detail = (
        f"{own.label}: {words.number(own.before)} as floats, {words.number(own.after)} as "
        f"integers{where}."
    )
    if interval is not None and not shown:
        detail += " These samples show no difference, so they cannot tell what others would lose."
    elif interval is not None:
        low, high = words.number(interval.low, 2), words.number(interval.high, 2)
        detail += f" The loss lies between {low} and {high} with 95 % confidence."
    if drop.lost > own.lost:
        short += f", {stage_title(drop.stage, result)} {drop.change}"
        detail += f" {stage_title(drop.stage, result)}: {words.number(drop.after)}."
    state = AnswerState.GOOD if drop.lost <= _tolerable(drop) else AnswerState.UNSURE
    return Answer(question, state, short, detail)


def _tolerable(drop: Drop) -> float:
    """What few would mind: a hundredth of an area or of a share, a tenth of an error."""
    return 0.1 * abs(drop.before) if drop.name == "rms_error" else 0.01


def _half(interval: Uncertain) -> float:
    return (interval.high - interval.low) / 2
