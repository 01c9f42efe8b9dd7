# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""One trial of a study: a point becomes an ordinary run, in a folder named by its content, so that
whoever asks for the same trial again finds it done."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from edgeinfer.base import plan
from edgeinfer.base.devices import device
from edgeinfer.base.errors import EdgeInferError, RunBusyError, UsageError
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.data.open import open_data
from edgeinfer.precision.ptq import PtqSettings
from edgeinfer.report.gates.figures import known_figures
from edgeinfer.report.result import Result
from edgeinfer.run.data import SampledModel
from edgeinfer.run.folder import Progress, RunFolder, open_run
from edgeinfer.run.samples import DataFile, Simulation, Source
from edgeinfer.run.steps import compile_model
from edgeinfer.run.tools import ToolOrder
from edgeinfer.sweep.study import BITS, Study, Value
from edgeinfer.targets.registry import ChosenTarget, choose_for, entry_of
from edgeinfer.workers.journal import read_outcome
from edgeinfer.zoo import is_name, resolve

Point = Mapping[str, Value]
WAIT_SECONDS = 3600.0  # for another study that is at the same trial
LOOK_SECONDS = 0.5  # between two looks whether it is done
DATA = "data"  # the folder of samples among a trial's files
HELD_BACK = ("csim", "sim", "logs")  # folders of a target's project that stay where they are


@dataclass(frozen=True, slots=True)
class TrialJob:
    """All that a worker needs, on this machine or another one."""

    study: Study
    point: tuple[tuple[str, Value], ...]
    model: str  # a reference model's name, or the name of a file among `files`
    files: Mapping[str, bytes | str]  # model and data: their content, or where they are
    store: str | None  # the folder of all trials; None: a scratch folder, brought home as bytes
    deep: bool = False  # compiled and simulated, not only estimated
    data: str | None = None  # the samples, as they are named among `files`

    @property
    def key(self) -> str:
        """The name of the trial's folder: what it is made of, but for our code."""
        content = {
            name: hashlib.sha256(file_content).hexdigest()
            if isinstance(file_content, bytes)
            else plan.sha256_of(Path(file_content))
            for name, file_content in self.files.items()
        }
        method = _value(self, "method", self.study.method)
        document = {
            "point": dict(self.point), "model": self.model, "files": content, "data": self.data,
            "targets": self.study.targets, "devices": self.study.devices, "bits": self.study.bits,
            "method": method, "refine": self.study.refine,
            "training": (self.study.epochs, self.study.seed) if method == "qat" else None,
        }  # fmt: skip
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class TrialOutcome:
    """What came of a trial; told in JSON by the journal."""

    point: dict[str, Value]
    key: str
    figures: dict[str, float] = field(default_factory=dict)  # by the names that the study asks for
    origins: dict[str, str] = field(default_factory=dict)
    over: tuple[str, ...] = ()  # budgets that it breaks
    error: str = ""
    seconds: float = 0.0
    deep: bool = False
    cut_short: bool = False  # a budget was broken before the accuracy was looked at
    parcel: bytes | None = None  # the run folder, if it was made elsewhere


def carry_out_trial(job: TrialJob) -> TrialOutcome:
    """The trial, done or found done. Whatever goes wrong is part of the answer."""
    began = time.monotonic()
    with scratch_folder("trial") as scratch:
        store = Path(job.store) if job.store is not None else scratch / "store"
        try:
            outcome = _run(job, store / job.key, scratch)
        except EdgeInferError as error:
            outcome = TrialOutcome(dict(job.point), job.key, error=str(error))
        except Exception as error:
            outcome = TrialOutcome(
                dict(job.point), job.key, error=f"{type(error).__name__}: {error}"
            )
        parcel = None
        if job.store is None and not outcome.error:
            parcel = pack_folder(store / job.key)
    seconds = round(time.monotonic() - began, 3)
    return replace(outcome, seconds=seconds, parcel=parcel, deep=job.deep)


def _run(job: TrialJob, place: Path, scratch: Path) -> TrialOutcome:
    path, source = _inputs(job, scratch)
    chosen = [_target(job, name) for name in job.study.targets]
    method = str(_value(job, "method", job.study.method))
    formats = formats_of(job)
    with _when_free(place) as folder:
        model = path
        ptq: PtqSettings | None = formats
        if method == "qat":
            model, ptq = _train_model(job, path, source, formats, place), None
        elif method != "ptq":
            raise UsageError(f"There is no method {method!r}.", hint="Choose ptq or qat.")
        order = ToolOrder(job.study.tools if job.deep else (), job.study.tool_minutes)

        result = compile_model(
            folder, model, recipe_path=None, data=source, formats=ptq, targets=chosen,
            projects=job.deep, worth=lambda document: not judge_result(job, document).over,
            tools=order,
        )  # fmt: skip
    return judge_result(job, result)


def judge_result(job: TrialJob, result: Result) -> TrialOutcome:
    """A result's figures, by the names of the study, and the budgets that it breaks."""
    study = job.study
    names = dict.fromkeys(
        [*(each.figure for each in study.objectives), *(each.figure for each in study.budgets)]
    )
    figures, origins = {}, {}
    for name in names:
        value = figure_of(result, name)
        if value is not None:
            figures[name], origins[name] = value
    over = tuple(
        budget.figure
        for budget in study.budgets
        if budget.figure in figures and not budget.least <= figures[budget.figure] <= budget.most
    )
    without_value = [each.figure for each in study.objectives if each.figure not in figures]
    hopeless = bool(over and without_value)  # the accuracy was not looked at
    error = (
        f"The run tells no {', '.join(without_value)}." if without_value and not hopeless else ""
    )
    if result.disagreements:
        pair = " and ".join(result.disagreements[0].pair)
        error = f"{pair} do not agree: see edgeinfer explain."
    return TrialOutcome(dict(job.point), job.key, figures, origins, over, error, cut_short=hopeless)


def figure_of(result: Result, name: str) -> tuple[float, str] | None:
    """A figure as gates name it, with its origin; the first target that has it."""
    prefix, dot, rest = name.partition(".")
    metrics = known_figures(result, rest if dot else name, prefix if dot else None)
    for metric in metrics.values():
        return float(metric.value), str(metric.origin)
    return None


def formats_of(job: TrialJob) -> PtqSettings:
    """Widths by groups of layers and tensors."""
    groups = tuple(
        (name.removeprefix(BITS), int(value)) for name, value in job.point if name.startswith(BITS)
    )
    input_bits = _value(job, "input_bits", None)
    return PtqSettings(
        job.study.bits,
        bits_of=groups,
        input_bits=None if input_bits is None else int(input_bits),
        refine=job.study.refine,
        equalize=False,
    )


def _value(job: TrialJob, name: str, otherwise: Any) -> Any:
    return dict(job.point).get(name, otherwise)


def _target(job: TrialJob, name: str) -> ChosenTarget:
    """The target with the settings that the point and the study name."""
    named = _value(job, "device", None)
    device_names = job.study.devices if named is None else (str(named),)
    settings = entry_of(name).read_options(dict(job.point))
    return choose_for(name, {each: device(each) for each in device_names}, settings)


def files_of_data(named: Path) -> tuple[dict[str, bytes | str], str]:
    """The files of the samples that a study names, by their places in a trial; and their name."""
    data = open_data(named)
    base = data.place if data.place.is_dir() else data.place.parent
    folder = f"{DATA}/{data.place.name}" if data.place.is_dir() else DATA
    files: dict[str, bytes | str] = {
        f"{folder}/{file.relative_to(base).as_posix()}": str(file) for file in data.files
    }
    return files, f"{DATA}/{data.name}"


def _inputs(job: TrialJob, scratch: Path) -> tuple[Path, Source | None]:
    """Model and samples as files of this machine."""
    places = {}
    for name, content in job.files.items():
        if isinstance(content, bytes):
            places[name] = scratch / name
            plan.write_file(places[name], content)
        else:
            places[name] = Path(content)
    data = None
    if job.data is not None:
        here = any(isinstance(content, str) for content in job.files.values())
        data = DataFile(Path(str(job.study.data)) if here else scratch / job.data)
    if is_name(job.model):
        return resolve(job.model), Simulation(job.model) if data is None else data
    return places[job.model], data


def _train_model(
    job: TrialJob, model: Path, source: Source | None, formats: PtqSettings, place: Path
) -> Path:
    """A QKeras model with weights trained for the formats, made once."""
    from edgeinfer.precision.qat.settings import QatSettings
    from edgeinfer.run.quantize import QuantizeOrder, quantize_model
    from edgeinfer.zoo import ENTRIES

    model_path = place / "trained.keras"
    if not model_path.is_file():
        entry = ENTRIES[source.reference] if isinstance(source, Simulation) else None
        training = QatSettings(
            epochs=job.study.epochs,
            seed=job.study.seed,
            sparsity=float(_value(job, "sparsity", 0.0)),
            prune_filters=float(_value(job, "prune_filters", 0.0)),
        )
        data = source.path if isinstance(source, DataFile) else None
        sampled = SampledModel(model, entry, data)
        order = QuantizeOrder(sampled, model_path, formats, training)
        quantize_model(order, Progress())
    return model_path


@contextlib.contextmanager
def _when_free(place: Path) -> Iterator[RunFolder]:
    """A run folder, once no other study is at it."""
    until = time.monotonic() + WAIT_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            try:
                folder = stack.enter_context(open_run(place, Progress(), new=True))
                break
            except RunBusyError:
                if time.monotonic() > until:
                    raise
                time.sleep(LOOK_SECONDS)
        yield folder


def pack_folder(place: Path) -> bytes:
    """A run folder as bytes, without what can be made anew."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            inside = path.relative_to(place)
            if not set(inside.parts[:-1]) & set(HELD_BACK):
                archive.add(path, inside.as_posix())
    return buffer.getvalue()


def unpack_folder(parcel: bytes, place: Path) -> None:
    """Bytes as a run folder again."""
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(parcel), mode="r:gz") as archive:
        archive.extractall(place, filter="data")


def as_dict(outcome: TrialOutcome) -> dict[str, Any]:
    """For the journal."""
    document = asdict(replace(outcome, parcel=None))
    del document["parcel"]
    return document


def from_dict(document: Mapping[str, Any]) -> TrialOutcome:
    """From the journal; a ValueError names the entry that is none."""
    outcome = read_outcome(TrialOutcome, document)
    unknown = set(document) - {spec.name for spec in fields(TrialOutcome)}
    if unknown:
        raise ValueError(f"a trial has an unknown {min(unknown)!r}")
    if re.fullmatch("[0-9a-f]{1,64}", outcome.key) is None:
        raise ValueError(f"a trial's key is not a digest: {outcome.key[:80]!r}")
    return outcome
