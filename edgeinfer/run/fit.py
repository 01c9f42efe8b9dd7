# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What a model would be on devices in several widths: the same formats, figures and accuracy that
`compile` would find, without making its projects."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.devices import devices as all_devices
from edgeinfer.base.errors import EdgeInferError, UsageError
from edgeinfer.base.metrics import Metric
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.evaluate import judge
from edgeinfer.evaluate.merit import FloatReference, Merit
from edgeinfer.ir.lower import LoweredModel
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers import LoadedModel, load
from edgeinfer.report.fitting.fit_table import FitLimits, FitRow, FitTable, rank_rows
from edgeinfer.report.quantity import whole
from edgeinfer.report.timings import timing_among
from edgeinfer.report.uses import OFFERED_AS, uses_among
from edgeinfer.run.defaults import plain
from edgeinfer.run.emit import SHOWN, refuse_ops
from edgeinfer.run.folder import Progress
from edgeinfer.run.lower import lower_as_asked
from edgeinfer.run.samples import DataFile, Simulation, Source, samples_of
from edgeinfer.targets.registry import ChosenTarget, choose_for, entry_of, known_targets
from edgeinfer.zoo import is_name, resolve
from quantization.recipe import Recipe

FILL = "fit"  # the option of targets that can fold a design until it fits
GOALS = ("latency_us", "throughput", "reuse")  # options that say how it is to be folded
WIDTHS = (4, 5, 6, 7, 8, 10, 12, 16)


@dataclass(frozen=True, slots=True)
class FitTarget:
    """A target, and how the command line asks for it on the device."""

    chosen: ChosenTarget
    device: str  # as it is written
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FitOrder:
    """A model in several widths on several targets, judged on samples."""

    model: Path
    data: Path | None
    targets: tuple[FitTarget, ...]
    widths: tuple[int, ...] = WIDTHS
    search: Path | None = None  # a folder that `search` filled
    limits: FitLimits = FitLimits()  # noqa: RUF009  # immutable
    batch_axis: int | None = 0


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A model in one width, or one that states its own formats."""

    name: str
    path: Path
    loaded: LoadedModel
    formats: PtqSettings | None

    def arguments(self, order: FitOrder) -> list[str]:
        """How `compile` is asked for it."""
        model_name = str(order.model) if self.path == resolve(order.model) else str(self.path)
        bits = [] if self.formats is None else ["--bits", str(self.formats.bits)]
        data = [] if order.data is None else ["--data", str(order.data)]
        axis = "none" if order.batch_axis is None else str(order.batch_axis)
        return [model_name, *bits, *data, *([] if axis == "0" else ["--batch-axis", axis])]


@dataclass(slots=True)
class _Judge:
    """The samples, and each Program's figure of merit once."""

    reference: FloatReference
    merits: dict[str, Merit] = field(default_factory=dict)

    def of(self, lowered: LoweredModel) -> Merit:
        """Of a Program."""
        digest = lowered.program.digest
        if digest not in self.merits:
            samples = self.reference.samples
            outputs = judge.program_outputs(lowered.program, lowered.recipe, samples)
            self.merits[digest] = self.reference.merit(outputs)
        return self.merits[digest]


def plan_fit_targets(
    names: Sequence[str] | None, devices: Mapping[str, Device], options: Mapping[str, Any]
) -> tuple[FitTarget, ...]:
    """The targets to try: those that are named, or all without a device; with some, those that they
    are for, and those that go onto one known device only. `options` are settings of any of them."""
    chosen_names = list(names or _names_for(devices))
    if not chosen_names:
        raise UsageError(
            f"No target makes anything for {', '.join(devices)}.",
            hint="edgeinfer devices lists the parts, and which targets each is for.",
        )
    return tuple(_plan_target(name, devices, options) for name in chosen_names)


def _names_for(devices: Mapping[str, Device]) -> list[str]:
    names = []
    for name, entry in known_targets().items():
        fitting = [part for part in all_devices() if entry.on_device(part, part.name) is not None]
        named = any(
            entry.on_device(part, device_name) is not None for device_name, part in devices.items()
        )
        if named or not devices or len(fitting) == 1:
            names.append(name)
    return names


def _plan_target(name: str, devices: Mapping[str, Device], every: Mapping[str, Any]) -> FitTarget:
    """A target with its settings, folded until it fits where nothing else was asked for."""
    entry = entry_of(name)
    chosen_options = {option: value for option, value in every.items() if option in entry.options}
    if FILL in entry.options and not set(chosen_options) & {FILL, *GOALS}:
        chosen_options[FILL] = True
    chosen = choose_for(name, devices, entry.read_options(chosen_options))
    mine = [
        device_name
        for device_name, part in devices.items()
        if entry.on_device(part, device_name) is not None
    ]
    place = chosen.target.place_of(chosen.settings)
    part_name = "" if place is None else place.device.name if place.device else place.part
    words = [word for device_name in mine[:1] for word in ("--device", device_name)]
    for option, value in chosen_options.items():
        words += _option_words(option, value)
    return FitTarget(chosen, mine[0] if mine else part_name, tuple(words))


def _option_words(option: str, value: Any) -> list[str]:
    flag = f"--{option.replace('_', '-')}"
    match value:
        case True:
            return [flag]
        case False:
            return [f"--no-{flag[2:]}"]
        case list():
            return [word for each in value for word in (flag, str(each))]
        case _:  # a number or a word
            return [flag, f"{value:g}" if isinstance(value, float) else str(value)]


def fit_model(order: FitOrder, progress: Progress) -> FitTable:
    """Every candidate on every target."""
    path = resolve(order.model)
    loaded = load(path, batch_axis=order.batch_axis)
    samples = samples_of(_source_of(order), loaded.graph)
    fit_judge = _Judge(
        FloatReference.of(loaded.graph, samples, judge.float_outputs(loaded.graph, samples))
    )
    candidates = list(_candidates(order, path, loaded))
    rows = []
    total = len(candidates) * len(order.targets)
    for candidate in candidates:
        for target in order.targets:
            rows.append(_row(order, candidate, target, fit_judge))
            progress.advance(len(rows), total)
    findings = [*loaded.findings, *samples.findings]
    if any(candidate.formats is not None for candidate in candidates):
        findings.append(
            "Formats were drawn from the samples that accuracy is judged on, as compile --bits "
            "does; weights were not trained for them. edgeinfer quantize --method qat, or search, "
            "gets more out of few bits."
        )
    return FitTable(
        loaded.graph.name, samples.origin, rank_rows(rows), order.limits, tuple(findings)
    )


def _source_of(order: FitOrder) -> Source:
    if order.data is not None:
        return DataFile(order.data)
    if is_name(order.model):
        return Simulation(str(order.model))
    raise UsageError(
        f"What {order.model} loses in few bits cannot be known without samples.",
        hint="Give some with --data, with labels if there are any.",
    )


def _candidates(order: FitOrder, path: Path, loaded: LoadedModel) -> list[_Candidate]:
    """The model in each width, or in the formats that it states; and the recipes of a search."""
    if loaded.recipe != Recipe():
        candidates = [_Candidate("own formats", path, loaded, None)]
    else:
        candidates = [
            _Candidate(f"{bits} bits", path, loaded, plain(bits)) for bits in sorted(order.widths)
        ]
    if order.search is None:
        return candidates
    models = sorted((order.search / "models").glob("*.keras"))
    if not models:
        raise UsageError(
            f"{order.search} holds no models that a search has written.",
            hint="Name the folder of: edgeinfer search MODEL -o FOLDER",
        )
    return [*candidates, *(_Candidate(each.stem, each, load(each), None) for each in models)]


def _row(order: FitOrder, candidate: _Candidate, target: FitTarget, fit_judge: _Judge) -> FitRow:
    chosen = target.chosen
    row = FitRow(chosen.name, chosen.target.title, candidate.name, target.device)
    best, formats = chosen.target.best_bits, candidate.formats
    if best is not None and formats is not None and formats.bits > best:
        return _refuse_row(row, f"computes with {best} bits")
    try:
        samples = fit_judge.reference.samples
        _, lowered = lower_as_asked(candidate.loaded, None, formats, lambda: samples, [chosen])
        merit, metrics, settings = _try_target(lowered, candidate, chosen, fit_judge)
    except EdgeInferError as error:
        return _refuse_row(row, error.message)
    place = chosen.target.place_of(settings)
    offers = {} if place is None or place.device is None else place.device.budget
    timing = timing_among(metrics, chosen.name, row.title, chosen.target.pipelined)
    uses = uses_among(
        whole(metrics, chosen.name),
        chosen.name,
        row.title,
        lambda kind, _: offers.get(OFFERED_AS.get(kind, kind)),
    )
    name = "".join(c if c.isalnum() else "-" for c in f"{lowered.program.name}-{candidate.name}")
    words = ["edgeinfer", "compile", *candidate.arguments(order), "--target", chosen.name,
             *target.options, "-o", f"runs/{name}-{chosen.name}"]  # fmt: skip
    return replace(row, merit=merit, timing=timing, uses=tuple(uses), command=shlex.join(words))


def _refuse_row(row: FitRow, why: str) -> FitRow:
    return replace(row, refused=why)


def _try_target(
    lowered: LoweredModel, candidate: _Candidate, chosen: ChosenTarget, fit_judge: _Judge
) -> tuple[Merit, list[Metric], Any]:
    """Accuracy on a target, what is estimated of the design, and the settings as they were
    settled."""
    program, target = lowered.program, chosen.target
    if not target.learns:
        refuse_ops(program, chosen)
    settings = target.settle(program, chosen.settings)
    metrics: Sequence[Metric] = ()
    if target.exact:
        metrics, merit = target.estimate(program, settings), fit_judge.of(lowered)
    else:
        metrics, merit = _try_files(
            lowered, candidate, replace(chosen, settings=settings), fit_judge
        )
    return merit, list(metrics), settings


def _try_files(
    lowered: LoweredModel, candidate: _Candidate, chosen: ChosenTarget, fit_judge: _Judge
) -> tuple[Sequence[Metric], Merit]:
    """A target with numbers of its own is judged by the simulation of its files."""
    program, target, samples = lowered.program, chosen.target, fit_judge.reference.samples
    graph = candidate.loaded.graph
    raw = judge.raw_inputs(program, lowered.recipe, samples)
    few = min(SHOWN, judge.affordable(op.shape for op in program.inputs))
    few_inputs = {name: values[:few] for name, values in raw.items()}
    with scratch_folder("fit") as folder:
        emitted = target.emit_from(program, graph, few_inputs, chosen.settings)
        emitted.plan.write(folder)
        judgement = target.judge(program, graph, folder, raw, chosen.settings)
    if judgement is None:
        return emitted.metrics, fit_judge.of(lowered)
    outputs = judge.after_hosts(judgement.outputs, judgement.hosts)
    return emitted.metrics, fit_judge.reference.merit(outputs)
