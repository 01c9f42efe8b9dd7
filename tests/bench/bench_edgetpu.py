# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Predictions for the Edge TPU against real compiled files and published figures, and how long they
take.

`python -m tests.bench.bench_edgetpu [FOLDER]` looks at every pair NAME.tflite, NAME_edgetpu.tflite
of a folder; truth is what is decoded from the twin. With names of reference models instead, it
only compares their files with their Programs. It exits with 1 where a bound is missed.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeinfer.base.tflite import model as tflite
from edgeinfer.targets.edgetpu.chip import compiler
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.predict.latency import PROFILES, Link, LinkProfile, chip_us
from edgeinfer.targets.edgetpu.predict.prediction import Prediction, predict, prediction_of
from edgeinfer.targets.edgetpu.settings import EdgeTpuSettings
from edgeinfer.targets.edgetpu.target import EdgeTpuTarget
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.edgetpu.tflite.compiled import read_compiled
from edgeinfer.zoo.reference import load_graph, load_reference
from tests.support import tflite_builder as build
from tests.support.hit_tagger_programs import FAITHFUL, POOLED, hit_tagger, patches
from tests.support.int8_references import NAMES, WITHOUT_FORM, compare_reference
from tests.support.places import CASES
from tests.support.published_compilations import COMPILATIONS
from tests.support.published_networks import PUBLISHED

CASES = CASES / "edgetpu"
TRAINED = Path("build/zoo/hit-tagger-seed0.keras")  # as `python -m reports.make.zoo` leaves it
CACHED_ERROR, STREAMED_ERROR, SECONDS, LATENCY_ERROR = 0.05, 0.15, 1.0, 0.15
INSTRUCTION_ERROR = 0.25
SHARE_OF_CACHED = 0.95  # that keep their bound, of files that were not at hand
# What is chosen by published latencies, and where it is looked for.
STARTS_US, CLOCKS_MHZ, SPEEDS = range(100, 401, 25), range(400, 521, 10), range(280, 501, 40)


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
    instructions: int
    instruction_error: float
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
        twin.instruction_bytes,
        error(result.traffic.instructions, twin.instruction_bytes),
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
    print(
        f"{'model':<52}{'ops':>5}{'wrong':>6}{'cached':>12}{'error':>8}{'streamed':>12}"
        f"{'instructions':>13}{'error':>7}{'ms':>7}"
    )
    for row in rows:
        print(
            f"{row.name:<52}{row.operators:>5}{row.wrong:>6}{row.cached:>12,}"
            f"{row.cached_error:>8.2%}{row.streamed:>12,}"
            f"{row.instructions:>13,}{row.instruction_error:>7.0%}{row.seconds * 1e3:>7.1f}"
        )
    return all(
        row.wrong == 0
        and row.cached_error <= CACHED_ERROR
        and row.streamed_error <= STREAMED_ERROR
        and row.instruction_error <= INSTRUCTION_ERROR
        and row.seconds < SECONDS
        for row in rows
    )


def compilations() -> bool:
    """Predictions against what others publish of compiled files, which no rule was made from."""
    families: dict[str, list[float]] = {}
    cached, latencies = [], []
    print(
        f"{'published compilation':<44}{'cached':>12}{'error':>8}{'instructions':>13}{'error':>7}"
    )
    for each in COMPILATIONS:
        result = prediction_of(tflite.parse(each.data(), each.name))
        assert each.cached_bytes is not None
        cached.append(error(result.memory.cached_bytes, each.cached_bytes))
        line = f"{each.name:<44}{each.cached_bytes:>12,}{cached[-1]:>8.2%}"
        if each.instruction_bytes is not None:
            off = error(result.traffic.instructions, each.instruction_bytes)
            families.setdefault(each.family, []).append(off)
            line += f"{each.instruction_bytes:>13,}{off:>7.0%}"
        if each.latency_ms is not None:
            latencies.append(result.latency(Link.USB).value_us / each.latency_ms / 1e3 - 1)
            line += f"   {each.latency_ms:g} ms measured, {latencies[-1]:+.0%}"
        print(line)
    for family, errors in families.items():
        print(f"{family}: instructions {sum(errors) / len(errors):.1%} off on average")
    share = sum(off <= CACHED_ERROR for off in cached) / len(cached)
    mean = sum(map(abs, latencies)) / len(latencies)
    print(f"latencies that nothing was chosen by: mean error {mean:.1%}")
    most = max(off for errors in families.values() for off in errors)
    print(f"cached bytes within {CACHED_ERROR:.0%} in {share:.0%}, instructions {most:.0%} at most")
    enough = mean <= LATENCY_ERROR and share >= SHARE_OF_CACHED
    return enough and most <= INSTRUCTION_ERROR


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


def references(names: Sequence[str] = NAMES) -> bool:
    """Whether the files of the shipped models equal their own Programs on LiteRT's default kernels,
    sample by sample; and how many decisions are others than the engine's. The hit-tagger is too
    large to ship, and takes part where it was trained."""
    graphs = {name: load_reference(name) for name in names}
    if names != NAMES:
        print(f"of {len(NAMES)} models: {', '.join(names)}")
    elif TRAINED.exists():
        graphs["hit-tagger"] = load_graph(TRAINED, "hit-tagger")
    else:
        print(f"hit-tagger: not here as {TRAINED}")
    equal = True
    for name, graph in graphs.items():
        result = compare_reference(name, graph)
        decided = (
            "it decides nothing"
            if result.flipped is None
            else f"in {result.flipped} some decision is another than the engine's"
        )
        print(
            f"{name}: {result.differing} of {result.samples} samples differ from the file's "
            f"Program; {decided}",
            flush=True,
        )
        equal = equal and result.differing == 0
    print(f"without an int8 Program: {', '.join(WITHOUT_FORM)}")
    return equal


@dataclass(frozen=True, slots=True)
class Timed:
    """A network, its estimate, and the time that is published for it over USB."""

    name: str
    family: str
    prediction: Prediction
    published_us: float

    def error(self, profile: LinkProfile) -> float:
        """Relative, with the sign, of the chip's part and the host's as it is estimated."""
        cycles = sum(layer.cycles for layer in self.prediction.cycles)
        host_us = self.prediction.latency(Link.USB).host_us
        chip = chip_us(cycles, self.prediction.traffic, profile)
        return (chip + host_us) / self.published_us - 1


def timed_networks(folder: Path) -> list[Timed]:
    """Networks with published times."""
    models = [
        (name, name.partition("-")[0].partition(" ")[0].rstrip("0123456789"), data(), ms)
        for name, (data, ms) in PUBLISHED.items()
    ]
    models += [
        (f"dense {n}", "dense", build.dense(n, n), ms) for n, ms in ((256, 0.28), (1024, 0.29))
    ]
    for file, name, family, ms in (
        (
            "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite",
            "PoseNet", "MobileNet", 5.8,
        ),
        ("mobilenet_v1_0.25_128_quant.tflite", "MobileNet v1 0.25 at 128", "MobileNet", 0.9),
        # what it leaves to the host, mostly resizes and an argmax over the image, counts
        ("deeplabv3_mnv2_dm05_pascal_quant.tflite", "DeepLab v3 0.5 at 513", "MobileNet", 36.8),
    ):  # fmt: skip
        if (folder / file).is_file():
            models.append((name, family, (folder / file).read_bytes(), ms))
    return [
        Timed(name, family, prediction_of(tflite.parse(data, name)), ms * 1e3)
        for name, family, data, ms in models
    ]


def published(folder: Path) -> bool:
    """Estimated times over USB beside published ones, and whether the mean error keeps its bound,
    also where what was chosen by such times is chosen without a whole family of networks."""
    networks = timed_networks(folder)
    profile = PROFILES[Link.USB]
    errors = []
    for network in networks:
        off = network.error(profile)
        errors.append(abs(off))
        actual_ms, said_ms = (1 + off) * network.published_us / 1e3, network.published_us / 1e3
        print(f"{network.name}: {actual_ms:.2f} ms estimated, {said_ms:g} ms published, {off:+.0%}")
    mean = sum(errors) / len(errors)
    print(f"mean error {mean:.1%}, largest {max(errors):.1%}")
    left_out = []
    for family in dict.fromkeys(network.family for network in networks):
        others = [network for network in networks if network.family != family]
        chosen = chosen_profile(others)
        for network in networks:
            if network.family == family:
                left_out.append(abs(network.error(chosen)))
                print(
                    f"without {family}: {chosen.start_us:g} us, {chosen.clock_mhz:g} MHz, "
                    f"{chosen.io_mb_per_s:g} MB/s; {network.name} {network.error(chosen):+.0%}"
                )
    mean_left_out = sum(left_out) / len(left_out)
    print(f"left out by family: mean error {mean_left_out:.1%}, largest {max(left_out):.1%}")
    return mean <= LATENCY_ERROR


def chosen_profile(networks: Sequence[Timed]) -> LinkProfile:
    """The start, clock and speed that meet published times best."""
    base = PROFILES[Link.USB]
    tried = (
        replace(base, start_us=start, clock_mhz=clock, io_mb_per_s=speed)
        for start, clock, speed in itertools.product(STARTS_US, CLOCKS_MHZ, SPEEDS)
    )
    return min(tried, key=lambda profile: sum(abs(network.error(profile)) for network in networks))


def main() -> int:
    """Everything, in turn, or the models that are named."""
    named = sys.argv[1:]
    if named and set(named) <= set(NAMES):
        return 0 if references(named) else 1
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CASES
    kept = [pairs(folder), compilations(), published(folder), taggers(), references()]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
