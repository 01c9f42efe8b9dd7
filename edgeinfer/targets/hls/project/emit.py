# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a Program to the files of an hls4ml project, the same bytes every time.

hls4ml gets a list of layers in which every number format is stated, so that it infers none. What it
made of the list is then compared with the list; see `audit`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeinfer.base.code import fill_template
from edgeinfer.base.errors import EdgeInferError, ToolFailedError, ToolMissingError
from edgeinfer.base.names import Identifier, Operand, OwnText, Variable
from edgeinfer.base.plan import BuildPlan
from edgeinfer.base.scratch import scratch_folder
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.estimate.reuse import effective_strategy, reuse_of
from edgeinfer.targets.hls.project import manifest
from edgeinfer.targets.hls.project.audit import audit_project
from edgeinfer.targets.hls.project.check import refuse
from edgeinfer.targets.hls.project.native_layers import INPUT
from edgeinfer.targets.hls.project.place import lay_out
from edgeinfer.targets.hls.project.spec import Plan, ProjectLayer, safe
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType, Strategy

if TYPE_CHECKING:
    from hls4ml.model.graph import ModelGraph

LOG = logging.getLogger("edgeinfer")
# Where hls4ml puts its stamp, or the folder.
STAMPED = (".sh", ".tcl", ".txt", ".yml", ".cpp", ".hpp", "Makefile", "Makefile.compile")
STRATEGIES = {
    Strategy.LATENCY: "Latency",
    Strategy.RESOURCE: "Resource",
    Strategy.DISTRIBUTED: "distributed_arithmetic",
}
SMARTHLS = "EDGEINFER_SMARTHLS"  # where Libero's compiler lies; hls4ml writes it into a script
NEVER = "fixed<2,1>"  # a format so narrow that no layer that fell back on it would go unnoticed


def project_name(program: Program) -> str:
    """The name of the project's top function."""
    return f"{safe(program.name, 'net')}_top"


def emit_project(
    program: Program, settings: HlsSettings, namespace: str | None = None
) -> BuildPlan:
    """The project's files in memory; an error that lists whatever cannot be expressed exactly."""
    plan = lay_out(program, settings)
    refuse(program, plan)
    _need_da4ml(plan, settings)
    with scratch_folder("hls") as scratch:
        folder = scratch / "project"
        with _of_hls4ml(program, settings):
            model = graph(plan, settings, folder, namespace)
            strategies = audit_project(plan, model, settings)
            with _quietly(), _without_keras():
                model.write()
        files = _read(folder, str(model.config.get_config_value("Stamp")))
    described = manifest.describe(
        program, settings, project_name(program), plan, model, strategies, namespace
    )
    files[manifest.NAME] = described.to_json().encode()
    return BuildPlan(project_name(program), files, described.findings)


def graph(
    plan: Plan,
    settings: HlsSettings,
    folder: Path,
    namespace: str | None,
    first: int = 0,
    *,
    whole: bool = True,
) -> ModelGraph:
    """hls4ml's graph of the layers, which are numbered from `first`; the bodies of recurrences are
    graphs of their own, whose layers have the numbers before."""
    from hls4ml.backends import get_backend
    from hls4ml.model.graph import ModelGraph

    from edgeinfer.targets.hls.project.hls4ml_layer import register_layers

    register_layers(settings.backend)
    bodies: dict[str, ModelGraph] = {}
    for layer in plan.layers:
        if layer.body is not None:
            inner = replace(settings, io=IoType.PARALLEL)
            body = graph(layer.body, inner, folder, namespace, first, whole=False)
            bodies[layer.name], first = body, body.index
    loops = bodies or (whole and settings.sparse == "tokens")
    options: dict[str, Any] = {
        "part": settings.part,
        "clock_period": settings.clock_ns,
        "io_type": str(settings.io),
    }
    if namespace is not None:
        options["namespace"] = namespace
    if settings.backend is Backend.LIBERO:
        from edgeinfer.targets.hls.project.libero import mend_writer

        mend_writer()
        options["smarthls_path"] = os.environ.get(SMARTHLS, "SmartHLS")
    config = get_backend(str(settings.backend)).create_initial_config(**options)
    config |= {
        "OutputDir": str(folder),
        "ProjectName": project_name(plan.program),
        "Backend": str(settings.backend),
        "IOType": str(settings.io),
        "TraceOutput": not _taps_wrongly(settings),  # calls that are not synthesised
        "HLSConfig": {
            "Model": {
                "Precision": NEVER,
                "ReuseFactor": 1,
                "Strategy": "Latency",
                # A pipeline around a loop would have the loop's body once for every step.
                **({"PipelineStyle": "dataflow"} if loops else {}),
            },
            "LayerName": {
                layer.name: _layer_config(layer, plan.program, settings) for layer in plan.layers
            },
        },
    }
    layers = [_describe_layer(layer, bodies) for layer in plan.layers]
    outputs = [output.layer for output in (*plan.outputs, *plan.counters)]
    if not whole:
        outputs *= 2  # for hls4ml gives the type of a lone output a name that others may have too
    with _quietly():
        model = ModelGraph.from_layer_list(config, layers, list(plan.inputs), outputs, first)
    for name in bodies:
        model.graph[name].adopt_body()
    if _taps_wrongly(settings):
        _tap(plan, model, settings)
    return model


def _taps_wrongly(settings: HlsSettings) -> bool:
    """hls4ml's Quartus writer has every layer of a stream tell the last layer's values; the calls
    of its oneAPI writer do not compile."""
    streams = settings.io is IoType.STREAM
    return settings.backend is Backend.ONEAPI or (settings.backend is Backend.QUARTUS and streams)


def _tap(plan: Plan, model: ModelGraph, settings: HlsSettings) -> None:
    """The calls that tell a layer's values, as hls4ml writes them elsewhere."""
    tapped_names = {layer.name for layer in plan.layers if layer.kind != INPUT}
    oneapi, streams = settings.backend is Backend.ONEAPI, settings.io is IoType.STREAM
    attribute = "stream_function_cpp" if oneapi and streams else "function_cpp"
    for node in model.get_layers():
        call, variable = node.get_attr(attribute), node.get_output_variable()
        if call and node.name.removeprefix("repack_") in tapped_names:
            pipe = oneapi and Identifier(variable.pipe_name)
            tapped = fill_template(
                f"firmware/hls/{'oneapi/' if oneapi else ''}tapped_call.h.j2",
                {
                    "call": OwnText(call),
                    "layer": Identifier(node.name),
                    "type": Operand(variable.type.name),
                    "variable": Variable(variable.name),
                    "pipe": pipe,
                    "streams": streams,
                    "size": Operand(variable.size_cpp()),
                },
            )
            node.set_attr(attribute, tapped.rstrip())


def _layer_config(layer: ProjectLayer, program: Program, settings: HlsSettings) -> dict[str, Any]:
    formats = {name: str(type_) for name, type_ in layer.formats.items()}
    config: dict[str, Any] = {
        "Precision": {"result": str(layer.result), **formats},
        "Trace": layer.kind != INPUT,
    }
    if layer.multiplies:
        strategy = STRATEGIES[settings.strategy_for(layer.op)]
        config["Strategy"] = strategy.lower() if settings.backend is Backend.LIBERO else strategy
        config["ReuseFactor"] = _reuse(layer, program, settings)
    return config


def _reuse(layer: ProjectLayer, program: Program, settings: HlsSettings) -> int:
    """What hls4ml would move the factor to. It forgets to for a convolution that it makes a
    pointwise one, and then names a kernel that it does not have."""
    op = program[layer.op]
    folded = effective_strategy(layer.op, settings) is Strategy.RESOURCE
    if folded and isinstance(op, Accumulates):
        return reuse_of(op, settings)
    return settings.reuse_for(layer.op)


def _describe_layer(layer: ProjectLayer, bodies: Mapping[str, ModelGraph]) -> dict[str, Any]:
    description = {"name": layer.name, "class_name": layer.kind, **layer.attributes}
    if layer.body is not None:
        description["body"] = bodies[layer.name]
    if layer.kind != INPUT:
        description |= {"inputs": list(layer.inputs), "shape": list(layer.shape)}
    return description


def _need_da4ml(plan: Plan, settings: HlsSettings) -> None:
    ops = [layer.op for layer in plan.layers if layer.multiplies]
    if any(settings.strategy_for(op) is Strategy.DISTRIBUTED for op in ops) and (
        importlib.util.find_spec("da4ml") is None
    ):
        raise ToolMissingError(
            "The strategy distributed_arithmetic needs the package da4ml, which is not installed.",
            hint="Install it with: pip install 'da4ml>=0.5.2,<0.6' (LGPL-3), or choose --strategy "
            "latency.",
        )


@contextlib.contextmanager
def _of_hls4ml(program: Program, settings: HlsSettings) -> Iterator[None]:
    """What hls4ml raises, in our words: it says anything as a plain Exception."""
    try:
        yield
    except EdgeInferError:
        raise
    except Exception as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise ToolFailedError(
            f"hls4ml makes no {settings.backend} project ({settings.io}, {settings.strategy}) of "
            f"{program.name}: {message[:400]}.",
            hint="Choose other settings, or another backend.",
        ) from error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """What hls4ml prints goes to the log."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as caught:
            yield
    finally:
        for line in [*printed.getvalue().splitlines(), *(str(w.message) for w in caught)]:
            if line.strip():
                LOG.info("hls4ml: %s", line.strip())


@contextlib.contextmanager
def _without_keras() -> Iterator[None]:
    """hls4ml's writers import Keras, if they can, for models that hold one: seconds for nothing."""
    absent = [name for name in ("keras", "tensorflow") if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]  # an import of it fails at once
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _read(folder: Path, stamp: str) -> dict[str, bytes]:
    """All that hls4ml wrote, without what differs from run to run: its stamp and the folder."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.name.endswith(STAMPED) and "weights" not in path.parts:
            content = content.replace(f"'{stamp}'".encode(), b"csim")  # YAML quotes digits
            content = content.replace(stamp.encode(), b"csim").replace(str(folder).encode(), b".")
        files[path.relative_to(folder).as_posix()] = content
    return files
