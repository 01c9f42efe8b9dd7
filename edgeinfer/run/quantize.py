# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Choose number formats for a model, maybe train its weights to suit them, judge, write down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgeinfer.base import plan
from edgeinfer.base.errors import UsageError
from edgeinfer.base.extras import require_extra
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph.fold import fold_batch_norms
from edgeinfer.graph.nodes import Graph, macs
from edgeinfer.ir.costs import costs_of
from edgeinfer.ir.lower import LoweredModel
from edgeinfer.precision.ptq import PtqSettings, QuantizedGraph
from edgeinfer.precision.ptq import quantize as choose
from edgeinfer.precision.qat.settings import QatSettings
from edgeinfer.precision.search.sensitivity import sensitivity_table
from edgeinfer.readers import LoadedModel
from edgeinfer.run.data import SampledModel, SampleSplit
from edgeinfer.run.folder import Progress, watch_step
from edgeinfer.run.lower import lower_with, read_recipe
from edgeinfer.run.narrow import narrow_network
from edgeinfer.run.result import recipe_part
from quantization.calibrate import Method
from quantization.recipe import Recipe

SHORT = 0.01  # of a sparsity, below which it is said to be missed
WRITTEN = {".toml": "a recipe", ".keras": "a QKeras model"}
CalibrationName = Literal["outputs", "minmax", "percentile", "mse"]


def plan_formats(
    bits: int,
    *,
    input_bits: int | None,
    bits_of: Sequence[tuple[str, int]],
    calibration: CalibrationName,
    percentile: float | None,
    per_channel: bool,
) -> PtqSettings:
    """What is asked for: formats by the error of the outputs, or by the range of values alone."""
    if percentile is not None and calibration != "percentile":
        raise UsageError(
            f"The percentile {percentile:g} is that of the calibration percentile, and the one "
            f"asked for is {calibration}.",
            hint="Give both: --calibration percentile --percentile "
            f'{percentile:g}, from Python calibration="percentile".',
        )
    by_outputs = calibration == "outputs"
    ranged = Method.MINMAX if by_outputs else Method(calibration)
    return PtqSettings(
        bits,
        ranged,
        ranged,
        99.9 if percentile is None else percentile,
        per_channel=per_channel,
        input_bits=input_bits,
        refine=by_outputs,
        bits_of=tuple(bits_of),
    )


@dataclass(frozen=True, slots=True)
class QuantizeOrder:
    """What is to be quantized, how, on which samples, and where it goes."""

    source: SampledModel
    output: Path
    ptq: PtqSettings
    training: QatSettings | None = None  # None: no training
    recipe: Path | None = None
    sensitivity: bool = False
    seed: int = 0  # of simulated data
    device: str | None = None  # whose folded design needs fewer multipliers

    def __post_init__(self) -> None:
        if self.device is not None and not (self.training and self.training.prune_multipliers):
            raise UsageError(
                f"Neither a front of networks is made nor are multipliers saved, so --device "
                f"{self.device} changes nothing.",
                hint="Add --method learned, or --method qat --prune-multipliers 0.5.",
            )
        if self.output.suffix not in WRITTEN:
            endings = " or ".join(f"*{suffix} ({what})" for suffix, what in WRITTEN.items())
            raise UsageError(
                f"{self.output}: the suffix says what to write, and {self.output.suffix!r} is not "
                f"known.",
                hint=f"Name it {endings}.",
            )
        if self.output.suffix == ".keras" and not self.ptq.in_qkeras:
            raise UsageError(
                f"{self.output}: activations of QKeras round ties to even and saturate, and others "
                f"are asked for.",
                hint=f"Write the formats alone, -o {self.output.stem}.toml; compile takes them "
                f"with --recipe. Or train them: --method learned.",
            )
        if self.training is not None and self.output.suffix == ".toml":
            raise UsageError(
                f"{self.output}: training makes weights, which a recipe does not hold.",
                hint=f"Name it {self.output.stem}.keras.",
            )


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """A quantized network: floats that lie on their grids, its recipe, its Program."""

    loaded: LoadedModel
    quantized: QuantizedGraph
    lowered: LoweredModel
    findings: tuple[str, ...]
    goes_on: bool = False  # from the formats that its file states
    training: Mapping[str, Any] | None = None


def quantize_model(order: QuantizeOrder, progress: Progress) -> dict[str, Any]:
    """Quantize as ordered; what was written and how well it does, ready for JSON."""
    if order.output.suffix == ".keras":
        require_extra("train", f"Writing {order.output.name}")
    with watch_step(progress, "load"):
        loaded = order.source.load()
        recipe = Recipe() if order.recipe is None else read_recipe(order.recipe)
    with watch_step(progress, "data"):
        samples = order.source.deal_samples(
            loaded, seed=order.seed, divide=order.training is not None, recipe=recipe
        )
    with watch_step(progress, "quantize"):
        quantized = _choose_formats(order, loaded, recipe, samples)
    if order.training is not None:
        with watch_step(progress, "train"):
            quantized = _train_weights(order, order.training, loaded, quantized, samples, progress)
    with watch_step(progress, "evaluate"):
        judged_samples = samples.judge.spread(judge.judgeable(quantized.lowered.program.macs))
        metrics = _judge_networks(loaded, quantized.lowered, judged_samples)
        rows = sensitivity_table(quantized.quantized, judged_samples) if order.sensitivity else ()
    with watch_step(progress, "write"):
        write(order.output, quantized.loaded.graph, quantized.lowered.recipe)
    findings = [
        *samples.findings,
        *samples.teach.findings,
        f"Ranges were drawn from {samples.teach.origin}.",
        *loaded.findings,
        *quantized.findings,
        *judge.judged_share(len(judged_samples), len(samples.judge)),
    ]
    if loaded.recipe != Recipe():
        name = order.source.path.name
        findings.append(
            f"Training went on from the formats that {name} states, in the widths asked for."
            if quantized.goes_on
            else f"The formats that {name} states were replaced."
        )
    program = quantized.lowered.program
    few = samples.judge.part(0, judge.batch_size(program))
    raw = judge.raw_inputs(program, quantized.lowered.recipe, few)
    document: dict[str, Any] = {
        "model": {
            "name": loaded.graph.name,
            "file": str(order.source.path),
            "parameters": loaded.graph.parameters,
            "program_parameters": program.parameters,
            "layers": len(loaded.graph.nodes) - len(loaded.graph.inputs),
            "macs": macs(loaded.graph),
        },
        "recipe": recipe_part(quantized.lowered.recipe).model_dump(mode="json"),
        "metrics": metrics,
        "costs": costs_of(quantized.lowered.program).figures(),
        "findings": [
            *findings,
            *judge.saturation(program, samples.judge),
            *judge.inner_saturation(program, raw),
            *judge.dropped_sites(program, raw),
        ],
        "output": str(order.output),
    }
    if quantized.training is not None:
        document["training"] = quantized.training
    if order.sensitivity:
        document["sensitivity"] = [asdict(row) for row in rows]
    return document


def _choose_formats(
    order: QuantizeOrder, loaded: LoadedModel, recipe: Recipe, samples: SampleSplit
) -> QuantizedModel:
    """Formats for every tensor, drawn from the samples that teach; the given recipe's on top."""
    settings, graph = order.ptq, loaded.graph
    findings: list[str] = []
    if order.output.suffix == ".toml":  # a recipe holds formats, and no weights but the author's
        settings = replace(settings, adapt=False, equalize=False)
    if order.training is not None and order.training.removes_filters:
        graph, findings = _fewer_filters(order, order.training, loaded, samples.teach)
    chosen = choose(graph, samples.teach.inputs, settings)
    unformatted = replace(loaded, graph=chosen.graph, recipe=Recipe())
    lowered = lower_with(unformatted, chosen.recipe.updated(recipe), order.recipe)
    return QuantizedModel(unformatted, chosen, lowered, (*findings, *chosen.findings))


def _fewer_filters(
    order: QuantizeOrder, training: QatSettings, loaded: LoadedModel, teach: Samples
) -> tuple[Graph, list[str]]:
    """The network without the filters that are to go, and remarks on it."""
    if training.prune_multipliers:
        narrowed = narrow_network(loaded, teach, training.prune_multipliers, order.device)
        return narrowed.graph, list(narrowed.findings)
    from edgeinfer.precision.qat.filters import without_filters

    few = teach.part(0, 2048)
    pruned = without_filters(fold_batch_norms(loaded.graph), few.inputs, training.prune_filters)
    if not pruned.kept:
        return loaded.graph, ["No layer has filters that can be taken out."]
    return pruned.graph, [pruned.remark]


def _train_weights(
    order: QuantizeOrder,
    settings: QatSettings,
    whole: LoadedModel,
    quantized: QuantizedModel,
    samples: SampleSplit,
    progress: Progress,
) -> QuantizedModel:
    """The weights trained under the recipe that the network was lowered with."""
    from edgeinfer.precision.qat.fine_tune import Tutor, refuse_untrainable

    refuse_untrainable(quantized.lowered.graph)
    tutor = Tutor.of(whole.graph, samples.teach, samples.choose, settings)
    start = calibrated = quantized.lowered.graph, quantized.lowered.recipe
    if order.recipe is None and not settings.removes_filters:
        start = tutor.begin(calibrated, (whole.graph, whole.recipe), order.ptq)
    tutored = tutor.train(*start, progress.advance)
    loaded = replace(quantized.loaded, graph=tutored.graph)
    lowered = lower_with(loaded, tutored.recipe, None)
    history = [asdict(epoch) for epoch in tutored.history]
    findings = []
    if tutored.best == 0:
        findings.append("No epoch of training was better than the weights it began with.")
    zeros = tutored.history[tutored.best].zero_weights
    if zeros < settings.sparsity - SHORT:
        findings.append(
            f"{zeros:.0%} of the weights are zero; {settings.sparsity:.0%} were asked for."
        )
    return replace(
        quantized,
        loaded=replace(loaded, graph=lowered.graph),
        lowered=lowered,
        findings=(*quantized.findings, *findings),
        goes_on=start is not calibrated,
        training={
            "objective": tutor.objective.name,
            "float_score": tutor.objective.exact_score,
            "best_epoch": tutored.best,
            "samples": len(samples.teach),
            "epochs": history,
        },
    )


def _judge_networks(
    loaded: LoadedModel, lowered: LoweredModel, samples: Samples
) -> dict[str, dict[str, Any]]:
    """Scores of the float and of the integer network; the latter's distance from the former."""
    exact_outputs = judge.float_outputs(loaded.graph, samples)
    actual = judge.program_outputs(lowered.program, lowered.recipe, samples)
    fidelity = judge.fidelity(loaded.graph, exact_outputs, actual)
    metrics: dict[str, dict[str, Any]] = {"float": {}, "quantized": {}}
    if samples.labels:
        metrics["float"] = asdict(judge.score(loaded.graph, exact_outputs, samples))
        metrics["quantized"] = asdict(judge.score(loaded.graph, actual, samples))
    metrics["quantized"] |= {metric.name: metric.value for metric in fidelity}
    return metrics


def write(output: Path, graph: Graph, recipe: Recipe) -> None:
    """A recipe as TOML, or the network as a QKeras model."""
    if output.suffix == ".toml":
        plan.write_file(output, recipe.to_toml())
        return
    from edgeinfer.export import qkeras as export_qkeras

    with plan.stage_file(output) as temporary:
        export_qkeras.write(graph, recipe, temporary)
