# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The library for people: from a model to runs and what comes of them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgeinfer.base.devices import device as device_named
from edgeinfer.base.errors import UsageError
from edgeinfer.base.metrics import Metric, Scores
from edgeinfer.base.names import printable
from edgeinfer.base.plan import write_file
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate import judge
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.program import Program
from edgeinfer.precision.modes import OverflowName, RoundingName
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.readers import load as load_file
from edgeinfer.report import words
from edgeinfer.report.compare import page as compare_page
from edgeinfer.report.compare.comparison import RunComparison as Compared
from edgeinfer.report.fitting import fit_page
from edgeinfer.report.fitting.fit_table import FitLimits, FitTable
from edgeinfer.report.result import Result
from edgeinfer.report.verdict import verdict_on
from edgeinfer.run.fit import WIDTHS, FitOrder, fit_model, plan_fit_targets
from edgeinfer.run.folder import Progress, open_run
from edgeinfer.run.in_memory import (
    LABELS,
    arrays_of,
    data_file,
    name_inputs,
    write_arrays,
    write_model,
)
from edgeinfer.run.lower import lower_as_asked, read_recipe
from edgeinfer.run.notebook import notebook_progress
from edgeinfer.run.report import write_report
from edgeinfer.run.result import PROGRAM, RECIPE
from edgeinfer.run.samples import DataFile, Simulation, Source, samples_of
from edgeinfer.run.steps import compile_model, simulate_run
from edgeinfer.run.stored import compare_folders, stored_result
from edgeinfer.run.trial import stored_program
from edgeinfer.targets.registry import ChosenTarget, choose_for
from edgeinfer.zoo import is_name, resolve
from quantization.recipe import Recipe

Data = str | Path | Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike] | Any | None
Inputs = ArrayLike | Mapping[str, ArrayLike]


@dataclass(frozen=True)
class Model:
    """A network as its author drew it, with the samples that it is judged on."""

    path: Path
    graph: Graph = field(repr=False)
    source: Source | None = None
    formats: PtqSettings | None = None
    batch_axis: int | None = 0

    def __repr__(self) -> str:
        widths = f", {self.formats.bits} bits" if self.formats else ""
        name, layers = printable(self.graph.name), len(self.graph.nodes) - len(self.graph.inputs)
        return f"<{name}: {layers} layers, {self.graph.parameters:,} parameters{widths}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                node.name,
                type(node).__name__.removesuffix("Node"),
                "x".join(map(str, self.graph.shapes[node.name])),
            )
            for node in self.graph.nodes
        ]
        return _table(repr(self)[1:-1], ("layer", "kind", "shape"), rows)

    def quantize(
        self,
        bits: int,
        *,
        bits_of: Mapping[str, int] | None = None,
        refine: bool = True,
        rounding: RoundingName | None = None,
        overflow: OverflowName = "saturate",
    ) -> Quantized:
        """See `quantize`."""
        return quantize(
            self, bits, bits_of=bits_of, refine=refine, rounding=rounding, overflow=overflow
        )

    def compile(
        self,
        folder: str | Path,
        *,
        targets: Sequence[str] = (),
        device: str | Sequence[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Run:
        """See `compile`."""
        return compile(self, folder, targets=targets, device=device, options=options)


@dataclass(frozen=True)
class Quantized:
    """A network in integers: its Program, the format of every tensor, how well it does."""

    model: Model
    program: Program = field(repr=False)
    recipe: Recipe = field(repr=False)
    scores: Mapping[str, Scores]

    def __repr__(self) -> str:
        texts = ", ".join(f"{stage} {_score_text(each)}" for stage, each in self.scores.items())
        name, count = printable(self.program.name), len(self.program.ops)
        return f"<{name} in integers: {count} ops{texts and ', '}{texts}>"

    def _repr_html_(self) -> str:
        formats = [(name, str(quantizer)) for name, quantizer in self.recipe.activations]
        formats += [(name, str(fmt)) for name, fmt in self.recipe.weights]
        return _table(repr(self)[1:-1], ("tensor", "format"), formats)

    def compile(
        self,
        folder: str | Path,
        *,
        targets: Sequence[str] = (),
        device: str | Sequence[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Run:
        """See `compile`."""
        return compile(self, folder, targets=targets, device=device, options=options)

    def predict(self, samples: Inputs) -> dict[str, NDArray[Any]]:
        """See `predict`."""
        return predict(self, samples)


@dataclass(frozen=True)
class Run:
    """A run folder and its result."""

    folder: Path
    result: Result = field(repr=False)

    def __repr__(self) -> str:
        apart = self.result.disagreements
        verdict = "DIFFERENT" if apart else "bit-identical"
        targets = ", ".join(self.result.targets) or "no target"
        return f"<run {self.folder}: {printable(self.result.model.name)}, {targets}, {verdict}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                metric.target or "", metric.name, words.with_unit(metric.value, metric.unit),
                str(metric.origin),
            )
            for metric in self.metrics
        ]  # fmt: skip
        lines_text = "".join(
            f"<li>{html.escape(line)}</li>" for _, line in verdict_on(self.result).closing
        )
        table = _table(repr(self)[1:-1], ("target", "figure", "value", "origin"), rows)
        return f"<ul>{lines_text}</ul>{table}"

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The figures of whole designs."""
        return tuple(m for m in self.result.metrics if m.target and m.layer is None)

    @property
    def exact(self) -> bool:
        """Whether all stages that must agree do, bit for bit."""
        return not self.result.disagreements

    def simulate(
        self,
        *,
        stages: Sequence[str] = ("engine",),
        samples: int | None = None,
        data: Data = None,
        edited: bool = False,
    ) -> Run:
        """See `simulate`."""
        return simulate(self, stages=stages, samples=samples, data=data, edited=edited)

    def predict(self, samples: Inputs) -> dict[str, NDArray[Any]]:
        """See `predict`."""
        return predict(self, samples)

    def tag(self, planes: ArrayLike, *, threshold_adc: float = 4.0) -> dict[str, NDArray[Any]]:
        """See `tag`."""
        return tag(self, planes, threshold_adc=threshold_adc)

    def report(
        self,
        *,
        data: Data = None,
        labels: Sequence[str] | Mapping[str, Sequence[str]] = (),
        latency_us: float | None = None,
        figures: str | Path | None = None,
    ) -> Path:
        """Write the run's page; where it is. `labels`: names of the classes, by output where there
        are several; `latency_us`: what is fast enough; `figures`: a folder for a paper's figures
        and tables."""
        from edgeinfer.report.page.page import Wishes
        from edgeinfer.report.papers.files import paper_files

        named = labels if isinstance(labels, Mapping) else {"": labels} if labels else {}
        names = tuple((output, tuple(class_names)) for output, class_names in named.items())
        with open_run(self.folder, Progress(), new=False) as folder:
            page = write_report(folder, data_file(data), Wishes(latency_us, labels=names))
        if figures is not None:
            paper_files(page).write(Path(figures))
        return self.folder / "report.html"


@dataclass(frozen=True)
class Fitting:
    """A model in several widths on several targets, the recommended row among them."""

    table: FitTable = field(repr=False)

    def __repr__(self) -> str:
        return "\n".join(printable(line) for _, line in fit_page.lines(self.table))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def page(self, path: str | Path) -> Path:
        """Write the page; where it is."""
        write_file(Path(path), fit_page.html(self.table))
        return Path(path)


@dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    compared: Compared = field(repr=False)

    def __repr__(self) -> str:
        return "\n".join(printable(line) for line in compare_page.lines(self.compared))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def page(self, path: str | Path) -> Path:
        """Write the page; where it is."""
        write_file(Path(path), compare_page.html(self.compared))
        return Path(path)


def load(
    model: str | Path | Any, data: Data = None, *, labels: str = LABELS, batch_axis: int | None = 0
) -> Model:
    """A reference model by its name, a model's file, or a model in memory: a Keras model, or a
    PyTorch module, which is exported as ONNX for the shapes of the data. `data`: a file, arrays
    named as the inputs (or x) and the outputs (or y), a pair (x, y), or a DataFrame whose column
    `labels` holds the labels; a reference model has its own simulation. `batch_axis`: which axis of
    an ONNX file's inputs counts samples, None where none does."""
    if isinstance(data, (str, Path)) or data is None:
        arrays, source = None, None if data is None else DataFile(Path(data))
    else:
        arrays = arrays_of(data, labels)
        source = DataFile(write_arrays(arrays))
    if not isinstance(model, (str, Path)):
        path = write_model(model, arrays)
    else:
        path = resolve(Path(model))
    graph = load_file(path, batch_axis=batch_axis).graph
    own = Simulation(str(model)) if source is None and is_name(model) else source
    return Model(path, graph, own, batch_axis=batch_axis)


def quantize(
    model: Model,
    bits: int,
    *,
    bits_of: Mapping[str, int] | None = None,
    refine: bool = True,
    rounding: RoundingName | None = None,
    overflow: OverflowName = "saturate",
) -> Quantized:
    """The network in integers of `bits` bits (`bits_of`: others, by patterns of names), formats
    drawn from the model's samples; with `refine`, weights are adapted to them too. `rounding` and
    `overflow` of activations are as in `edgeinfer quantize`."""
    groups = tuple((bits_of or {}).items())
    formats = PtqSettings(bits, refine=refine, equalize=False, bits_of=groups).with_modes(
        rounding, overflow
    )
    source = model.source
    samples = None if source is None else samples_of(source, model.graph)
    loaded = load_file(model.path, batch_axis=model.batch_axis)
    samples_of_call = None if samples is None else lambda: samples
    _, lowered = lower_as_asked(loaded, None, formats, samples_of_call)
    scores = {}
    if samples is not None and samples.labels:
        outputs = {
            "float": judge.float_outputs(model.graph, samples),
            "quantized": judge.program_outputs(lowered.program, lowered.recipe, samples),
        }
        scores = {k: judge.score(model.graph, v, samples) for k, v in outputs.items()}
    return Quantized(replace(model, formats=formats), lowered.program, lowered.recipe, scores)


def fit(
    model: Model,
    device: str | Sequence[str] = (),
    *,
    targets: Sequence[str] = (),
    bits: Sequence[int] = WIDTHS,
    loss: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> Fitting:
    """The model in each of the widths on every target that the devices are for: accuracy, latency
    and resources side by side, and the row to take. `loss`: how much against the float network will
    do. `options`: settings of the targets. No tool runs and nothing is trained."""
    names = [device] if isinstance(device, str) else list(device)
    devices = {name: device_named(name) for name in names}
    target_options = dict(options or {})
    source = model.source
    order = FitOrder(
        Path(source.reference) if isinstance(source, Simulation) else model.path,
        source.path if isinstance(source, DataFile) else None,
        plan_fit_targets(list(targets), devices, target_options),
        tuple(bits),
        limits=FitLimits(loss, target_options.get("latency_us")),
        batch_axis=model.batch_axis,
    )
    return Fitting(fit_model(order, notebook_progress()))


def compile(  # what it is called on the command line
    model: Model | Quantized,
    folder: str | Path,
    *,
    targets: Sequence[str] = (),
    device: str | Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Run:
    """Model -> Program -> targets, proved and tried, in a run folder. `options` are settings by the
    target's name, as its settings class has them."""
    unquantized = model.model if isinstance(model, Quantized) else model
    names = [device] if isinstance(device, str) else list(device)
    chosen = [_choose_targets(name, names, (options or {}).get(name, {})) for name in targets]
    with open_run(Path(folder), notebook_progress(), new=True) as run_folder:
        result = compile_model(
            run_folder, unquantized.path, recipe_path=None, data=unquantized.source,
            formats=unquantized.formats, targets=chosen, batch_axis=unquantized.batch_axis,
        )  # fmt: skip
    return Run(Path(folder), result)


def predict(network: Quantized | Run | str | Path, samples: Inputs) -> dict[str, NDArray[Any]]:
    """What the integers yield for samples, in real numbers, by the names of the outputs: what every
    exact target yields, after what is left to the host. States between samples begin with zeros."""
    if isinstance(network, Quantized):
        program, recipe = network.program, network.recipe
    else:
        folder = network.folder if isinstance(network, Run) else Path(network)
        with open_run(folder, Progress(), new=False) as run_folder:
            program, recipe = stored_program(run_folder), read_recipe(run_folder.path / RECIPE)
    shapes = {op.name: op.shape for op in program.inputs if op.output_before is None}
    return judge.program_outputs(program, recipe, Samples(name_inputs(samples, shapes), "given"))


def tag(
    run: Run | str | Path, planes: ArrayLike, *, threshold_adc: float = 4.0
) -> dict[str, NDArray[Any]]:
    """A compiled tagger at every hit of wire planes (planes, wires, pixels) of ADC counts: arrays
    with a row for each hit, as `edgeinfer event` writes them (plane, wire, pixel, outputs)."""
    from edgeinfer.event.checked import tag_arrays

    folder = run.folder if isinstance(run, Run) else Path(run)
    with open_run(folder, Progress(), new=False) as run_folder:
        program = stored_program(run_folder)
    return tag_arrays(program, np.asarray(planes, np.float32), threshold_adc)


def tag_files(
    run: Run | str | Path,
    files: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    tls: tuple[str | Path, str | Path, str | Path] | None = None,
    threshold_adc: float = 4.0,
    check: int = 32,
) -> dict[str, Any]:
    """A compiled tagger over files of planes, and folders of such files: an archive of tags for
    each in `folder`, and the summary as `event.json` there has it. What is there is not done again.
    By `jobs` processes (a script needs `if __name__ == "__main__":`), or the workers of a Dask
    scheduler, tls://HOST:PORT; `tls`: its authority's certificate, ours, and the key of ours.
    `check`: hits of each plane that are also evaluated one by one."""
    from edgeinfer.event.event import PlaneSettings
    from edgeinfer.event.production import FileReading, plan_files, tag_all
    from edgeinfer.workers.choice import choose_access

    source = run.folder if isinstance(run, Run) else Path(run)
    access = choose_access(jobs, cluster, tls)
    with open_run(source, Progress(), new=False) as run_folder:
        program = stored_program(run_folder)
    paths = [Path(file) for file in ([files] if isinstance(files, (str, Path)) else files)]
    reading = FileReading(PlaneSettings(threshold_adc), check=check)
    production = plan_files(source / PROGRAM, program, reading, paths, Path(folder))
    return tag_all(production, jobs, access, notebook_progress().advance)


def detect(trunk: Run | str | Path, heads: Run | str | Path, images: ArrayLike) -> dict[str, Any]:
    """Particles in images (images, side, side, 1), by the integers of two runs (docs/detection.md):
    arrays with a row for each detection, as `edgeinfer detect` writes them (image, kind, margin,
    score, box, mask)."""
    from edgeinfer.detection.results import DetectorImages, list_detections
    from edgeinfer.run.detect import DetectorOrder, run_detector

    first, second = (run.folder if isinstance(run, Run) else Path(run) for run in (trunk, heads))
    order, looked_at = DetectorOrder(first, second), np.asarray(images, np.float32)
    return list_detections(run_detector(order, DetectorImages(looked_at), Progress()).detections)


def simulate(
    run: Run | str | Path,
    *,
    stages: Sequence[str] = ("engine",),
    samples: int | None = None,
    data: Data = None,
    edited: bool = False,
) -> Run:
    """A run's Program and targets again, on more or other samples; with projects that someone has
    `edited`, if that code may be run."""
    folder = run.folder if isinstance(run, Run) else Path(run)
    path, tried = data_file(data), tuple(stages)
    with open_run(folder, notebook_progress(), new=False) as run_folder:
        result = simulate_run(run_folder, data=path, count=samples, stages=tried, edited=edited)
    return Run(folder, result)


def opened_run(folder: str | Path) -> Run:
    """A run folder that is there already."""
    return Run(Path(folder), stored_result(Path(folder)))


def compare(*runs: Run | str | Path) -> Comparison:
    """Runs side by side: scores against costs, and what cannot be compared."""
    if not runs:
        raise UsageError("There is nothing to compare.", hint="Give two runs or more.")
    folders = [run.folder if isinstance(run, Run) else Path(run) for run in runs]
    return Comparison(compare_folders(folders))


def _choose_targets(name: str, devices: Sequence[str], options: Mapping[str, Any]) -> ChosenTarget:
    return choose_for(name, {each: device_named(each) for each in devices}, options)


def _score_text(scores: Scores) -> str:
    named = {"AUC": scores.auc, "accuracy": scores.accuracy, "rms error": scores.rms_error}
    return next((f"{name} {value:.4f}" for name, value in named.items() if value is not None), "")


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><caption>{html.escape(caption)}</caption><tr>{head}</tr>{body}</table>"
