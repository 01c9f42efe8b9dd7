# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The models that a server has: which there are, which are loaded, and who answers for each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeinfer.base.errors import EdgeInferError, UsageError
from edgeinfer.serve.backends import RunnableProgram, open_backend
from edgeinfer.serve.batching import Batcher, QueueBudget
from edgeinfer.serve.faults import RequestError, RequestFault, fault_of, invalid
from edgeinfer.serve.names import ModelNames, NamesPart, names_of, read_names, refuse_unread
from edgeinfer.serve.served import BatchSettings, ServedModel, serve_program
from edgeinfer.serve.shared import RegionPart, SharedRegions
from edgeinfer.serve.tallies import FailureReason, ModelTally
from edgeinfer.serve.tensors import WireTensor, bytes_of

READY, UNAVAILABLE = "READY", "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """Which runs are served, and how."""

    runs: tuple[Path, ...]
    names: Path | None = None
    backend: str = "engine"
    raw_outputs: bool = False
    batching: BatchSettings = field(default_factory=BatchSettings)
    control: bool = False  # whether clients may load and unload models
    queue_bytes: int = 256_000_000


@dataclass(slots=True)
class ModelVersion:
    """A run as a version of a model, loaded or not."""

    run: Path
    name: str
    version: int
    batcher: Batcher | None = None
    resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    reason: str = ""  # why it is not loaded

    @property
    def state(self) -> str:
        """As the protocol calls it."""
        return READY if self.batcher else UNAVAILABLE


@dataclass(frozen=True, slots=True)
class InferCall:
    """A request to compute, whichever protocol it came by."""

    model: str
    version: str
    id: str
    inputs: tuple[WireTensor, ...]
    outputs: tuple[str, ...]  # none: all of them
    shared: Mapping[str, RegionPart]  # outputs that go into shared memory


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """What came of it."""

    model: str
    version: int
    id: str
    outputs: tuple[WireTensor, ...]
    shared: Mapping[str, RegionPart]  # outputs that lie in shared memory, and where


class Repository:
    """All models of a server by name and version. Runs whose Programs have one name are versions of
    one model, numbered in the order in which they were given."""

    def __init__(self, settings: RepositorySettings, regions: SharedRegions) -> None:
        self.settings, self.regions = settings, regions
        self.budget = QueueBudget(settings.queue_bytes)
        self._names: Mapping[str, NamesPart] = read_names(settings.names)
        self._versions: dict[str, list[ModelVersion]] = {}
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """Load every run; the first that cannot be is an error."""
        programs = set()
        for run in self.settings.runs:
            place = ModelVersion(run, "", 0)
            backend = await asyncio.to_thread(self._open_backend, place)
            programs.add(backend.program.name)
            names = names_of(backend.program, self._names, self.settings.names)
            versions = self._versions.setdefault(names.name, [])
            place.name, place.version = names.name, len(versions) + 1
            versions.append(place)
            self._begin(place, backend, names)
        refuse_unread(self._names, programs, self.settings.names)

    async def close(self) -> None:
        """Unload everything."""
        for versions in self._versions.values():
            for place in versions:
                await _end(place, "the server ends")

    @property
    def loaded(self) -> list[Batcher]:
        """What is loaded."""
        return [p.batcher for versions in self._versions.values() for p in versions if p.batcher]

    def index(self, *, ready: bool) -> list[dict[str, str]]:
        """All models, or those that are loaded."""
        return [
            {"name": place.name, "version": str(place.version), "state": place.state}
            | ({"reason": place.reason} if place.reason else {})
            for versions in self._versions.values()
            for place in versions
            if place.batcher or not ready
        ]

    def versions_of(self, name: str) -> list[int]:
        """The versions of a model that are loaded."""
        return [place.version for place in self._versions.get(name, ()) if place.batcher]

    def find(self, name: str, version: str = "") -> Batcher:
        """A version of a model, the newest where none is named; an error where it is not loaded."""
        loaded = {p.version: p.batcher for p in self._versions.get(name, ()) if p.batcher}
        if version and not (version.isascii() and version.isdecimal() and len(version) < 10):
            raise invalid(f"{version[:40]!r} is no version of a model; versions are 1, 2, 3 ...")
        number = int(version) if version else max(loaded, default=0)
        batcher = loaded.get(number)
        if batcher is None:
            of = f"version {number} of the model" if version else "the model"
            others = ", ".join(map(repr, sorted({b.model.name for b in self.loaded})))
            raise RequestError(
                RequestFault.ABSENT,
                f"{of.capitalize()} {name[:200]!r} is not found.",
                hint=f"Loaded are {others}." if others else "No model is loaded.",
            )
        return batcher

    def find_batchers(self, name: str, version: str) -> list[Batcher]:
        """The versions that a request about statistics means: all of all models, if it names
        none."""
        if not name:
            return self.loaded
        if not self.is_loaded(name, version):
            raise invalid(f"The model {name[:200]!r} is not loaded, or not in that version.")
        if version:
            return [self.find(name, version)]
        return [p.batcher for p in self._versions[name] if p.batcher]

    def is_loaded(self, name: str, version: str = "") -> bool:
        """Whether a version of a model answers."""
        try:
            self.find(name, version)
        except RequestError as error:
            if error.fault is not RequestFault.ABSENT:
                raise
            return False
        return True

    async def infer(self, call: InferCall) -> InferAnswer:
        """Compute a request, and count it."""
        batcher = self.find(call.model, call.version)
        model, begin_ns = batcher.model, time.monotonic_ns()
        inputs, output_names = model.fit_inputs(call.inputs), model.choose_outputs(call.outputs)
        try:
            outputs = await batcher.infer(inputs, output_names)
            shared = self._share(outputs, call.shared)
        except BaseException as error:
            batcher.tally.note_failure(_reason_of(error), time.monotonic_ns() - begin_ns)
            raise
        batcher.tally.success.add(time.monotonic_ns() - begin_ns)
        return InferAnswer(model.name, model.version, call.id, outputs, shared)

    def _share(
        self, outputs: Sequence[WireTensor], parts: Mapping[str, RegionPart]
    ) -> Mapping[str, RegionPart]:
        """Write outputs into shared memory; how much each took of its part."""
        shared = {}
        for tensor in outputs:
            if (part := parts.get(tensor.name)) is not None:
                content = bytes_of(tensor)
                self.regions.write(part, content)
                shared[tensor.name] = replace(part, byte_size=len(content))
        return shared

    async def load(self, name: str) -> None:
        """Read every run of a model again; meanwhile it is not there."""
        for place in self._controlled(name):
            async with self._changing:
                await _end(place, "is being loaded")
                try:
                    backend = await asyncio.to_thread(self._open_backend, place)
                    names = names_of(backend.program, self._names, self.settings.names)
                    if names.name != place.name:
                        raise UsageError(f"{place.run} holds {names.name!r} now.")
                except (EdgeInferError, OSError) as error:
                    place.resources.close()
                    place.reason = str(error)
                    raise invalid(f"{name!r} could not be loaded: {error}") from None
                self._begin(place, backend, names)

    async def unload(self, name: str) -> None:
        """Answer for a model no longer."""
        for place in self._controlled(name):
            async with self._changing:
                await _end(place, "unloaded")

    def _controlled(self, name: str) -> Sequence[ModelVersion]:
        if not self.settings.control:
            raise RequestError(
                RequestFault.OVERLOAD,
                "Clients may not load and unload models here.",
                hint="edgeinfer serve --control allows it.",
            )
        if name not in self._versions:
            raise RequestError(RequestFault.ABSENT, f"There is no model {name[:200]!r} to change.")
        return self._versions[name]

    def _open_backend(self, place: ModelVersion) -> RunnableProgram:
        batching = self.settings.batching
        opening = open_backend(place.run, self.settings.backend, batching.instances)
        return place.resources.enter_context(opening)

    def _begin(self, place: ModelVersion, backend: RunnableProgram, names: ModelNames) -> None:
        model: ServedModel = serve_program(
            backend.program, backend.recipe, names, place.version, self.settings.batching,
            raw_outputs=self.settings.raw_outputs, backend=self.settings.backend,
        )  # fmt: skip
        place.reason = ""
        place.batcher = Batcher(model, backend.instance, self.budget, ModelTally())


async def _end(place: ModelVersion, reason: str) -> None:
    batcher, place.batcher, place.reason = place.batcher, None, reason
    if batcher is not None:
        await batcher.close()
    await asyncio.to_thread(place.resources.close)


def _reason_of(error: BaseException) -> FailureReason:
    if isinstance(error, asyncio.CancelledError):
        return FailureReason.CANCELED
    match fault_of(error):
        case RequestFault.OVERLOAD:
            return FailureReason.REJECTED
        case RequestFault.BROKEN:
            return FailureReason.BACKEND
        case _:  # the request itself was wrong
            return FailureReason.OTHER


def statistics_of(batchers: Sequence[Batcher]) -> dict[str, Any]:
    """The protocol's statistics of some models."""
    return {
        "model_stats": [b.tally.as_dict(b.model.name, b.model.version) for b in batchers],
    }
