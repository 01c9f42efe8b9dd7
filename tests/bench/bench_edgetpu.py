# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Predictions for the Edge TPU against real compiled files, and how long they take.

`python -m tests.bench.bench_edgetpu [FOLDER]` looks at every pair NAME.tflite, NAME_edgetpu.tflite
of a folder; truth is what is decoded from the twin. It exits with 1 where a bound is missed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.base.tflite import model as tflite
from edgeinfer.targets.edgetpu.chip import compiler
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.predict.latency import Link
from edgeinfer.targets.edgetpu.predict.prediction import predict, prediction_of
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.target import EdgeTpuTarget
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.compiled import read_compiled
from edgeinfer.zoo.reference import load_graph, load_reference
from tests.support import tflite_builder as build
from tests.support.hit_tagger_programs import FAITHFUL, POOLED, hit_tagger, patches
from tests.support.int8_references import NAMES, WITHOUT_FORM, compare_reference
from tests.support.places import CASES
from tests.support.published_networks import PUBLISHED

CASES = CASES / "edgetpu"
TRAINED = Path("build/zoo/hit-tagger-seed0.keras")  # as `python -m reports.make.zoo` leaves it
CACHED_ERROR, STREAMED_ERROR, SECONDS, LATENCY_ERROR = 0.05, 0.15, 1.0, 0.15


@dataclass(frozen=True, slots=True)
class Judged:
    """One pair."""

    name: str
    operators: int
    wrong: int  # operators mapped otherwise than by the compiler
    cached: int
    cached_error: float
    streamed: int
    streamed_error: float
    seconds: float


def error(actual: int, expected: int) -> float:
    """Relative; of nothing, whether it is nothing."""
    return abs(actual - expected) / expected if expected else float(actual > 0)


def judged(path: Path) -> Judged:
    """A prediction under the newest runtime against the twin."""
    twin = read_compiled(path.with_name(f"{path.stem}_edgetpu.tflite"))
    start = time.perf_counter()
    result = predict(path)
    seconds = time.perf_counter() - start
    left = compiler.host_operators(result.model, twin)
    predicted = {op.index for op in result.model.operators} - result.mapping.on_chip
    return Judged(
        path.stem,
        len(result.model.operators),
        len(left ^ predicted),
        twin.cached_bytes,
        error(result.memory.cached_bytes, twin.cached_bytes),
        twin.streamed_bytes,
        error(result.memory.streamed_bytes, twin.streamed_bytes),
        seconds,
    )


def pairs(folder: Path) -> bool:
    """Whether every pair keeps the bounds; without a folder it is said and passes."""
    if not folder.is_dir():
        print(f"no compiled models to hold predictions against (looked in {folder})")
        return True
    rows = [
        judged(path)
        for path in sorted(folder.glob("*.tflite"))
        if path.with_name(f"{path.stem}_edgetpu.tflite").is_file()
    ]
    print(f"{'model':<52}{'ops':>5}{'wrong':>6}{'cached':>12}{'error':>8}{'streamed':>12}{'ms':>7}")
    for row in rows:
        print(
            f"{row.name:<52}{row.operators:>5}{row.wrong:>6}{row.cached:>12,}"
            f"{row.cached_error:>8.2%}{row.streamed:>12,}{row.seconds * 1e3:>7.1f}"
        )
    return all(
        row.wrong == 0
        and row.cached_error <= CACHED_ERROR
        and row.streamed_error <= STREAMED_ERROR
        and row.seconds < SECONDS
        for row in rows
    )


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def taggers() -> bool:
    """Estimates and conversions of the two hit taggers, and whether files equal their Programs."""
    equal = True
    for architecture in (POOLED, FAITHFUL):
        program = hit_tagger(architecture).program
        raw = {"patch": patches(32)}
        estimate_s = seconds(lambda p=program: EdgeTpuTarget().estimate(p, EdgeTpuSettings()))
        start = time.perf_counter()
        result = convert.convert_program(program, raw)
        convert_s = time.perf_counter() - start
        interpreter = simulate.Interpreter(result.data, result.ports)
        stored = simulate.stored_inputs(result.ports, simulate.real_inputs(program, raw))
        start = time.perf_counter()
        actual = interpreter.run(stored)
        run_ms = (time.perf_counter() - start) / 32 * 1e3
        assert result.program is not None
        expected = simulate.engine_outputs(result.program, raw)
        steps = simulate.compare_outputs(result.ports, actual, expected).max_steps
        print(
            f"{architecture.name}: estimated in {estimate_s:.2f} s, written in {convert_s:.2f} s "
            f"({len(result.data):,} B), {run_ms:.2f} ms a patch by {simulate.RESOLVER}, "
            f"{steps} steps from the engine"
        )
        equal = equal and steps == 0
    return equal


def references() -> bool:
    """Whether the files of the shipped models equal their own Programs on LiteRT's default kernels,
    sample by sample; and how many decisions are others than the engine's. The hit-tagger is too
    large to ship, and takes part where it was trained."""
    graphs = {name: load_reference(name) for name in NAMES}
    if TRAINED.exists():
        graphs["hit-tagger"] = load_graph(TRAINED, "hit-tagger")
    else:
        print(f"hit-tagger: not here as {TRAINED}")
    equal = True
    for name, graph in graphs.items():
        result = compare_reference(name, graph)
        print(
            f"{name}: {result.differing} of {result.samples} samples differ from the file's "
            f"Program; in {result.flipped} some decision is another than the engine's",
            flush=True,
        )
        equal = equal and result.differing == 0
    print(f"without an int8 Program: {', '.join(WITHOUT_FORM)}")
    return equal


def published(folder: Path) -> bool:
    """Estimated times over USB beside published ones, and whether the mean error keeps its bound.
    What starts an inference was fitted to these."""
    models = {name: (tflite.parse(data(), name), ms) for name, (data, ms) in PUBLISHED.items()}
    for size, ms in ((256, 0.28), (1024, 0.29)):
        name = f"dense {size}"
        models[name] = (tflite.parse(build.dense(size, size), name), ms)
    for file, name, ms in (
        ("posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite", "PoseNet", 5.8),
        ("mobilenet_v1_0.25_128_quant.tflite", "MobileNet v1 0.25 at 128", 0.9),
        # what it leaves to the host, mostly resizes and an argmax over the image, counts
        ("deeplabv3_mnv2_dm05_pascal_quant.tflite", "DeepLab v3 0.5 at 513", 36.8),
    ):
        if (folder / file).is_file():
            models[name] = (tflite.read(folder / file), ms)
    errors = []
    for name, (model, said) in models.items():
        actual = prediction_of(model).latency(Link.USB).value_us / 1e3
        errors.append(abs(actual / said - 1))
        print(f"{name}: {actual:.2f} ms estimated, {said} ms published, {actual / said - 1:+.0%}")
    mean = sum(errors) / len(errors)
    print(f"mean error {mean:.1%}, largest {max(errors):.1%}")
    return mean <= LATENCY_ERROR


def main() -> int:
    """Everything, in turn."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CASES
    kept = [pairs(folder), taggers(), published(folder), references()]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
