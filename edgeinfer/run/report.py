# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The step `report` of a run: a profile of its network, and the page and pictures made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgeinfer.base import plan
from edgeinfer.base.errors import EdgeInferError, InputError
from edgeinfer.base.fenced import refuse_links
from edgeinfer.data import samples
from edgeinfer.evaluate.profile.data import Profile, from_json
from edgeinfer.evaluate.profile.make import profile_of
from edgeinfer.graph.nodes import Graph
from edgeinfer.ir.lower import lower
from edgeinfer.report.page.listing import ListedLine, list_program
from edgeinfer.report.page.page import Report, Wishes, report_on, write_report_files
from edgeinfer.report.result import Result
from edgeinfer.run import dependencies
from edgeinfer.run.folder import HIDDEN, RunFolder, StepOutcome, watch_step
from edgeinfer.run.lower import read_recipe
from edgeinfer.run.projects import emission
from edgeinfer.run.result import PROGRAM, PROGRAM_TEXT, RECIPE
from edgeinfer.run.samples import DataFile, Simulation, Source, digest_of, samples_of
from edgeinfer.run.stored import RESULT, read_text, stored_result
from edgeinfer.run.trial import ModelFiles, recall_model, stored_program
from edgeinfer.zoo import ENTRIES
from quantization.recipe import Recipe

PROFILE = "report_data.json"
CODE = (".v", ".cpp")
LIBRARIES = {"nnet_utils", "ap_types", "sim"}  # folders whose files are no design of this network
MOST_CODE_BYTES = 4_000_000
DRAWN = 512  # samples where no data are given


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """A profile, or why there is none."""

    profile: Profile | None
    reason: str = ""


def write_report(folder: RunFolder, data: Path | None, wishes: Wishes) -> Report:
    """The report of a run folder, written into it."""
    result = stored_result(folder.path)
    profile = profile_run(folder, data)
    wishes = replace(
        wishes,
        reason=profile.reason,
        labels=(*_own_labels(folder), *_data_labels(result), *wishes.labels),
        program=_listing(folder, list(result.targets)),
    )
    report = report_on(result, profile.profile, wishes)
    with watch_step(folder.progress, "report"):
        write_report_files(report).write(folder.path)
    return report


def _listing(folder: RunFolder, targets: list[str]) -> tuple[ListedLine, ...]:
    """The program's text, with its places in the files that targets have emitted."""
    path = folder.path / PROGRAM_TEXT
    if not path.is_file():
        return ()
    code = {}
    for name in targets:
        record = folder.read_record(emission(name))
        emitted = [] if record is None else [file for file in record.files if _is_code(file)]
        for file in emitted:
            place = folder.file(file)
            if place.is_file() and place.stat().st_size < MOST_CODE_BYTES:
                code[file] = place.read_text(encoding="utf-8", errors="replace")
    return list_program(read_text(path), code)


def _is_code(file: str) -> bool:
    return Path(file).suffix in CODE and not set(Path(file).parts) & LIBRARIES


def _own_labels(folder: RunFolder) -> list[tuple[str, tuple[str, ...]]]:
    """Names of the classes of a reference model."""
    load = folder.read_record("load")
    reference = None if load is None else load.facts.get("reference")
    if reference not in ENTRIES:
        return []
    return [(head.name, head.labels) for head in ENTRIES[reference].heads if len(head.labels) > 1]


def _data_labels(result: Result) -> list[tuple[str, tuple[str, ...]]]:
    """Names of the classes where the labels came as words."""
    return [] if result.data is None else list(result.data.classes.items())


def report_of_result(run: Path, wishes: Wishes) -> Report:
    """The report of a folder that holds a result, and perhaps a profile, but is no run: one that
    was committed, or sent by someone."""
    refuse_links(run)
    result, path = stored_result(run), run / PROFILE
    reason = f"{run} holds a result alone, so nothing can be looked into."
    profile = None
    if path.is_file():
        profile_read = from_json(read_text(path), str(path))
        profile = profile_read if profile_read.program == result.program.digest else None
        reason = f"{path} is of another Program than the result."
    labels = (*_data_labels(result), *wishes.labels)
    report = report_on(result, profile, replace(wishes, reason=reason, labels=labels))
    write_report_files(report).write(run)
    return report


def is_result_alone(run: Path) -> bool:
    """Whether a folder holds a result but is not a run folder."""
    return (run / RESULT).is_file() and not (run / HIDDEN).is_dir()


def profile_run(folder: RunFolder, data: Path | None) -> ProfileResult:
    """What goes on inside a run's network, on the data given, those that accuracy was judged on, or
    drawn ones; remembered until one of them changes. A folder that holds a result alone has none.
    """
    if not (folder.path / PROGRAM).is_file() or not (folder.path / RECIPE).is_file():
        return ProfileResult(
            None, f"{folder.path} holds no Program, so nothing can be looked into."
        )
    load = folder.read_record("load")
    if load is None:
        return ProfileResult(None, f"{folder.path} holds no record of its model.")
    source = DataFile(data) if data is not None else _source_of(folder)
    depends_on = {
        "program": plan.sha256_of(folder.path / PROGRAM),
        "model": load.facts["model"]["sha256"],
        "data": digest_of(source),
    }
    model = recall_model(folder, load.facts)
    folder.step(
        "profile", dependencies.PROFILE, depends_on, lambda: _profile(folder, model, source)
    )
    path = folder.path / PROFILE
    return ProfileResult(from_json(read_text(path), str(path)))


def _profile(folder: RunFolder, model: ModelFiles, source: Source | None) -> StepOutcome:
    program = stored_program(folder)
    recipe = read_recipe(folder.path / RECIPE)
    graph = model.loaded.graph
    if source is None:
        inputs = {op.name: (op.shape, op.type) for op in program.inputs}
        profile_samples = samples.draw_samples(inputs, DRAWN)
    else:
        profile_samples = samples_of(source, graph)
    profile = profile_of(program, graph, _fold_graph(graph, recipe), recipe, profile_samples)
    return StepOutcome({"program": program.digest}, {PROFILE: profile.to_json().encode()})


def _fold_graph(graph: Graph, recipe: Recipe) -> Graph:
    """The float network with the names that its Program has."""
    try:
        return lower(graph, recipe).graph
    except EdgeInferError:  # formats were chosen for a network that was changed on the way
        return graph


def _source_of(folder: RunFolder) -> Source | None:
    """The samples that the run was evaluated on, if they are where and as they were."""
    load, record = folder.read_record("load"), folder.read_record("evaluate")
    data_record = None if record is None else record.facts.get("data")
    if data_record is not None and "path" in data_record:
        source = DataFile(Path(data_record["path"]))
        return source if _is_as_before(source, data_record["sha256"]) else None
    reference = None if load is None else load.facts.get("reference")
    return Simulation(reference) if reference else None


def _is_as_before(source: DataFile, digest: str) -> bool:
    try:
        return digest_of(source) == digest
    except InputError:
        return False
