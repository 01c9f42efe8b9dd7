# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What an emitted project is, in one file beside it: which layer holds which value of the Program.

Simulation, explanation and reports read it; the project itself does not need it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeinfer.base.errors import InputError
from edgeinfer.ir.ops import Shape
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.project.audit import TakenStrategy
from edgeinfer.targets.hls.project.spec import Plan, ProjectLayer, ProjectOutput
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType

if TYPE_CHECKING:
    from hls4ml.model.graph import ModelGraph

NAME = "edgeinfer_project.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class TopPort:
    """An input or an output of the top function: the Program's name for it, and C++'s."""

    name: str
    value: str
    variable: str
    type_name: str
    type: str
    shape: Shape

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class ManifestLayer:
    """A layer: the op it is of, and the Program's value that its result is (if it is one)."""

    layer: str
    kind: str
    op: str
    value: str | None
    variable: str
    type_name: str
    type: str
    shape: Shape
    weights: tuple[str, ...]
    strategy: str | None = None
    reuse: int | None = None

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Weight:
    """An array of the project: its file below ``firmware/weights``, and its C++ type."""

    variable: str
    type_name: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A project, described."""

    program: str  # digest
    project: str
    backend: Backend
    io: IoType
    namespace: str | None
    inputs: tuple[TopPort, ...]
    outputs: tuple[TopPort, ...]
    counters: tuple[TopPort, ...]  # of lit pixels beyond a limit, a number for each frame
    layers: tuple[ManifestLayer, ...]
    weights: tuple[Weight, ...]
    findings: tuple[str, ...]

    @property
    def key(self) -> str:
        """What tells it from others in one program."""
        return self.namespace or self.project

    @property
    def firmware(self) -> str:
        """The folder of its sources, below its own."""
        return "src/firmware" if self.backend is Backend.ONEAPI else "firmware"

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n"


def describe(
    program: Program,
    settings: HlsSettings,
    project: str,
    plan: Plan,
    model: ModelGraph,
    strategies: tuple[TakenStrategy, ...],
    namespace: str | None,
) -> Manifest:
    """Describe what hls4ml has made."""
    nodes = {node.name: node for node in model.get_layers()}
    settled = {entry.layer: entry for entry in strategies}
    entries = []
    for layer in plan.layers:
        node = nodes.get(layer.name) or nodes[f"repack_{layer.name}"]
        entry = settled.get(layer.name)
        entries.append(_manifest_layer(layer, node, entry))
    results, count = model.get_output_variables(), len(program.outputs)
    counters = tuple(
        _counter(output, variable, plan)
        for output, variable in zip(plan.counters, results[count:], strict=True)
    )
    findings = [*plan.findings, *_reuse_findings(strategies), *map(_counter_finding, counters)]
    return Manifest(
        program.digest,
        project,
        settings.backend,
        settings.io,
        namespace,
        tuple(
            _port(op.name, op.name, variable, program)
            for op, variable in zip(program.inputs, model.get_input_variables(), strict=True)
        ),
        tuple(
            _port(output.name, output.value, variable, program)
            for output, variable in zip(program.outputs, results[:count], strict=True)
        ),
        counters,
        tuple(entries),
        tuple(
            Weight(weight.name, weight.type.name, int(weight.data_length))
            for weight in model.get_weight_variables()
        ),
        tuple(findings),
    )


def _port(name: str, value: str, variable: Any, program: Program) -> TopPort:
    return TopPort(
        name, value, variable.name, variable.type.name, str(program.type(value)),
        program.shapes[value],
    )  # fmt: skip


def _counter(output: ProjectOutput, variable: Any, plan: Plan) -> TopPort:
    layer = next(layer for layer in plan.layers if layer.name == output.layer)
    return TopPort(
        output.name, output.value, variable.name, variable.type.name, str(layer.result.type),
        layer.shape,
    )  # fmt: skip


def _counter_finding(counter: TopPort) -> str:
    return (
        f"The port {counter.variable} of the top function says how many lit pixels of each frame "
        f"lie beyond the limit of %{counter.value}. They are left out."
    )


def _manifest_layer(layer: ProjectLayer, node: Any, entry: TakenStrategy | None) -> ManifestLayer:
    variable = node.get_output_variable()
    return ManifestLayer(
        layer.name, node.class_name, layer.op, layer.value, variable.name, variable.type.name,
        str(layer.result), tuple(layer.shape),
        tuple(weight.name for weight in node.get_weights()),
        entry.strategy if entry else None, entry.reuse if entry else None,
    )  # fmt: skip


def _reuse_findings(strategies: tuple[TakenStrategy, ...]) -> list[str]:
    return [
        f"{entry.op}: a reuse factor of {entry.asked_reuse} was asked for; hls4ml took "
        f"{entry.reuse}, the nearest that it allows with the {entry.strategy} strategy."
        for entry in strategies
        if entry.asked_reuse != entry.reuse
    ]


def read(folder: Path) -> Manifest:
    """The description of the project in a folder."""
    path = folder / NAME
    try:
        return parse_manifest(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise _foreign(path, error) from None


def parse_manifest(text: str, path: Path) -> Manifest:
    """The description that a file's text gives."""
    try:
        content = json.loads(text)
        if content.pop("version") != VERSION:
            raise ValueError("it is of another version")
        content["backend"], content["io"] = Backend(content["backend"]), IoType(content["io"])
        for key, kind in (
            ("inputs", TopPort), ("outputs", TopPort), ("counters", TopPort),
            ("layers", ManifestLayer), ("weights", Weight),
        ):  # fmt: skip
            content[key] = tuple(_make_entry(kind, entry) for entry in content[key])
        content["findings"] = tuple(content["findings"])
        return Manifest(**content)
    except (ValueError, TypeError, KeyError) as error:
        raise _foreign(path, error) from None


def _foreign(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} does not describe an HLS project: {error}.", hint="Emit the project again."
    )


def _make_entry(kind: type[Any], entry: dict[str, Any]) -> Any:
    tuples = {key: tuple(item) if isinstance(item, list) else item for key, item in entry.items()}
    return kind(**tuples)
