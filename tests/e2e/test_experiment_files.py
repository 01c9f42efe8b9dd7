# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The experiments' own formats, from their files to accuracy in the report, with small networks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeinfer.cli.app import main
from edgeinfer.data.formats.cvn import CLASSES as FLAVOURS
from edgeinfer.data.formats.cvn import EventInfo, PixelMap
from edgeinfer.data.formats.lariat_h5 import SHAPE as LARIAT
from edgeinfer.data.formats.plane_patches import Plane, PlaneKey
from edgeinfer.data.formats.protodune_root import PlaneDump
from edgeinfer.data.formats.scalings import (
    PatchScaling,
    scale_calorimeter,
    scale_dedx,
    scale_lariat,
    scale_patches,
)
from edgeinfer.data.formats.track_pid_text import Track
from edgeinfer.data.stream.thin import thinned_rows
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.readers import load
from edgeinfer.report.result import Result, from_json
from edgeinfer.run.defaults import plain
from edgeinfer.run.lower import lower_as_asked
from edgeinfer.run.samples import read_samples
from edgeinfer.targets.edgetpu.int8 import convert
from edgeinfer.targets.edgetpu.int8_settings import Fallback
from edgeinfer.targets.edgetpu.tflite import simulate
from edgeinfer.targets.registry import choose
from tests.support import small_models as small
from tests.support import tflite_operators
from tests.support.experiment_files import (
    pack_pdg,
    write_lariat,
    write_lcd,
    write_patch_table,
    write_pixel_map,
    write_plain_patches,
    write_planes,
    write_track,
)

Reals = NDArray[np.float64]


class Network:
    """A mean over squares of pixels, and one dense layer: small enough to be done by hand."""

    def __init__(self, folder: Path, shape: tuple[int, ...], pool: int, units: int) -> None:
        self.shape, self.pool = shape, pool
        pools = [side // pool for side in shape[:2]] if pool else [1, 1]
        fed = int(np.prod(pools)) * shape[2] if len(shape) == 3 else int(np.prod(shape))
        self.kernel = np.random.default_rng(5).normal(size=(fed, units)).astype(np.float32)
        layers = [small.layer("Flatten")]
        if len(shape) == 3:
            mean = small.layer("AveragePooling2D", pool_size=[pool, pool], strides=[pool, pool])
            layers.insert(0, mean if pool else small.layer("GlobalAveragePooling2D"))
        if not pool and len(shape) == 3:
            layers.pop()
        layers.append(small.dense("out", units, "softmax" if units > 1 else "linear"))
        values = {"out/0": self.kernel, "out/1": np.zeros(units, np.float32)}
        model = small.sequential(*layers, shape=(None, *shape))
        (folder / "net.keras").write_bytes(small.archive(model, values))

    def answers(self, x: NDArray[Any]) -> Reals:
        """What the dense layer gives."""
        if len(self.shape) == 3:
            height, width, channels = self.shape
            size = self.pool or 1
            if not self.pool:
                x = x.mean(axis=(1, 2))
            else:
                blocks = (len(x), height // size, size, width // size, size, channels)
                x = x.reshape(blocks).mean(axis=(2, 4))
        return x.reshape(len(x), -1).astype(np.float64) @ self.kernel


def result_of(work: Path, named: str, *more: str) -> Result:
    """What compile and report make of the network and of data."""
    compiled = ["compile", "net.keras", "--target", "none", "--data", named, "-o", "RUN", *more]
    assert main(compiled) == 0
    assert main(["report", "RUN"]) == 0
    assert (work / "RUN" / "report.html").is_file()
    return from_json((work / "RUN" / "result.json").read_text(), "result.json")


def check_exact(result: Result, format_name: str, samples: int) -> None:
    """The labels are the network's own answers."""
    assert result.data is not None
    assert (result.data.format, result.data.samples) == (format_name, samples)
    assert result.accuracy["float"].accuracy == 1.0
    assert result.accuracy["quantized"].accuracy == pytest.approx(1.0, abs=0.05)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a user works in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labelled_patches(network: Network, scaling: PatchScaling) -> dict[str, NDArray[Any]]:
    """ADC patches with the labels that the network gives them, once scaled."""
    adc = np.random.default_rng(2).normal(10, 20, (40, 48, 48, 1)).astype(np.float32)
    kind = network.answers(scale_patches(adc, scaling)).argmax(axis=1)
    michel = np.zeros((40, 1), np.uint8)
    michel[np.flatnonzero(kind == 1)[:2]] = 1
    return {"patch": adc, "labels": np.eye(3, dtype=np.uint8)[kind], "michel": michel}


def test_a_table_of_patches(work: Path) -> None:
    network = Network(work, (48, 48, 1), 8, 3)
    write_patch_table("hits.npy", labelled_patches(network, PatchScaling.SIGNED))
    check_exact(result_of(work, "hits.npy"), "patch-table-npy", 40)


def test_plain_patches_with_the_scaling_that_is_asked_for(work: Path) -> None:
    network = Network(work, (48, 48, 1), 8, 3)
    (work / "hits").mkdir()
    columns = labelled_patches(network, PatchScaling.UNIT)
    write_plain_patches("hits/x.npy", "hits/y.npy", columns)
    result = result_of(work, "hits:unit")
    check_exact(result, "patches-npy", 40)
    assert any("x from patch, out_softmax from labels" in line for line in result.findings)


def test_a_protodune_dump(work: Path) -> None:
    network = Network(work, (32, 32, 1), 8, 3)
    write_planes("dump.root", [wire_plane(event) for event in range(3)])
    source = PlaneDump(("dump.root",), (32, 32))
    rows = thinned_rows(source, ("patch", "labels"), 1 << 28)
    right = network.answers(rows.columns["patch"]).argmax(1) == rows.columns["labels"].argmax(1)
    result = result_of(work, "dump.root")
    assert result.data is not None and result.data.format == "protodune-root"
    assert result.data.samples == rows.total == len(right) > 100
    found = result.accuracy["float"].accuracy
    assert found == pytest.approx(right.mean(), abs=1 / len(right))
    assert sum(shard.rows for shard in source.shards()) == 0  # known only once it is read


def wire_plane(event: int) -> Plane:
    """A track along the diagonal and a shower beside it."""
    rng = np.random.default_rng(event)
    deposit, code = np.zeros((70, 90), np.float32), np.zeros((70, 90), np.int32)
    for wire in range(10, 60):
        deposit[wire, wire + 5], code[wire, wire + 5] = 1e-3, 13
    deposit[30:34, 60:66], code[30:34, 60:66] = 5e-4, 11
    raw = (deposit * 5e4 + rng.normal(0, 3, deposit.shape)).astype(np.float32)
    word = pack_pdg(code, np.zeros_like(code), np.zeros_like(code))
    return Plane(PlaneKey(event, 7, 2, 4, 2), raw, deposit, word)


def test_tracks_as_text(work: Path) -> None:
    network = Network(work, (100, 1), 0, 3)
    (work / "tracks").mkdir()
    rng = np.random.default_rng(4)
    for number in range(30):
        dedx = rng.uniform(0.5, 12, 100).astype(np.float32)
        kind = int(network.answers(scale_dedx(dedx[None, :, None])).argmax())
        scalars = np.array([1, 0, 2, 2.4, 0.3, 0.01, 0.05], np.float32)
        track = Track(dedx, scalars, (13, -211, 2212)[kind], 200, 1.0, 0.9)
        write_track(f"tracks/t{number:02}.dat", track)
    check_exact(result_of(work, "tracks"), "track-pid-text", 30)


def test_lariat_events(work: Path) -> None:
    network = Network(work, LARIAT, 0, 1)
    images = np.zeros((3, *LARIAT), np.float32)
    images[:, :, :, ::512] = np.random.default_rng(1).normal(0, 9, (3, 2, 240, 8))
    energy = network.answers(scale_lariat(images))[:, 0]
    write_lariat("events.h5", images, energy)
    result = result_of(work, "events.h5")
    assert result.data is not None
    assert (result.data.format, result.data.samples) == ("lariat-hdf5", 3)
    error = result.accuracy["float"].rms_error
    assert error is not None and error < 1e-4 < float(np.std(energy))


def test_lcd_showers(work: Path) -> None:
    network = Network(work, (25, 25, 25), 5, 3)
    rng = np.random.default_rng(6)
    cells = rng.exponential(150.0, (24, 25, 25, 25)).astype(np.float32)
    kind = network.answers(scale_calorimeter(cells)).argmax(axis=1)
    write_lcd("showers.h5", cells, np.zeros((24, 5, 5, 60), np.float32), np.eye(3)[kind])
    check_exact(result_of(work, "showers.h5"), "lcd-hdf5", 24)


def test_pixel_maps_a_class_a_folder(work: Path) -> None:
    network = Network(work, (500, 500, 3), 100, 4)
    rng = np.random.default_rng(8)
    codes = {index: code for code, index in FLAVOURS.items()}
    for number in range(6):
        views = (rng.random((3, 500, 500)) < rng.random((3, 1, 1)) / 5).astype(np.uint8) * 200
        kind = int(network.answers(np.moveaxis(views, 0, -1)[None]).argmax())
        place = work / "maps" / f"class{kind}"
        place.mkdir(parents=True, exist_ok=True)
        info = EventInfo(1, 2.5, 1.5, codes[kind], 1, 0, 2, 3)
        write_pixel_map(place / f"event{number}.gz", PixelMap(views, info))
    check_exact(result_of(work, "maps"), "cvn", 6)


# Linux counts the memory of the process that started a command to that command. A worker of pytest
# may hold gigabytes, so a small process stands between the two.
PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime)
sys.exit(code)
"""


def compile_apart(model: str | Path, data: Path) -> tuple[float, float]:
    """Compile in a process of its own: the most bytes that it held, and its processor seconds."""
    command = [sys.executable, "-m", "edgeinfer", "compile", str(model), "--target", "none"]
    measure = [sys.executable, "-c", PEAK, *command, "--data", str(data), "-o", "RUN"]
    output = subprocess.run(measure, check=True, stdout=subprocess.PIPE, text=True).stdout
    most_bytes, seconds = output.splitlines()[-1].split()
    return float(most_bytes), float(seconds)


@pytest.mark.slow
def test_four_hundred_events_in_bounded_memory(work: Path, cases: Path) -> None:
    """300 MB as they are held, 2.4 GB as double precision."""
    place = cases / "cvn" / "labelled"
    Network(work, (500, 500, 3), 100, 4)
    most_bytes, _ = compile_apart("net.keras", place)
    result = from_json((work / "RUN" / "result.json").read_text(), "result.json")
    assert result.data is not None
    assert (result.data.format, result.data.samples) == ("cvn", 400)
    assert most_bytes < 1.5e9


@pytest.mark.slow
def test_cvn_in_bounded_memory_and_time(work: Path, cases: Path) -> None:
    """22 million weights, 26 gigaMACs an event, ranges from 200 events: less than 4 GB, and five
    minutes of two cores."""
    (work / "maps").mkdir()
    for kind in ("nc", "nue", "numu", "nutau"):
        for path in sorted((cases / "cvn" / "labelled" / kind).glob("*.gz"))[:50]:
            for one in (path, path.with_suffix(".info")):
                (work / "maps" / f"{kind}-{one.name}").symlink_to(one)
    most_bytes, seconds = compile_apart(cases / "cvn" / "model.json", work / "maps")
    result = from_json((work / "RUN" / "result.json").read_text(), "result.json")
    assert all(entry.bit_identical for entry in result.agreement)
    assert most_bytes < 4e9
    assert seconds < 600


@pytest.mark.slow
def test_cvns_nearest_int8_file_is_exact(cases: Path, tmp_path: Path) -> None:
    """Its 8-bit Program, batch norms and all, on LiteRT's default kernels: eight events, all seven
    outputs, every integer. Read back, the file is the Program of the reference kernels."""
    for kind in ("nc", "nue", "numu", "nutau"):
        for path in sorted((cases / "cvn" / "labelled" / kind).glob("*.gz"))[:2]:
            for one in (path, path.with_suffix(".info")):
                (tmp_path / f"{kind}-{one.name}").symlink_to(one)
    loaded = load(cases / "cvn" / "model.json")
    samples = read_samples(tmp_path, loaded.graph)
    _, lowered = lower_as_asked(loaded, None, plain(8), lambda: samples, [choose("edgetpu", {})])
    near, _ = convert.nearest_program(lowered.program, Fallback.INT8)
    raw = raw_inputs(near, lowered.recipe, samples)
    file = convert.convert_program(near, raw)
    assert file.program is not None
    stored = simulate.stored_inputs(file.ports, simulate.real_inputs(near, raw))
    interpreter = simulate.Interpreter(file.data, file.ports)
    assert interpreter.runtime.kernels == simulate.XNNPACK
    exact = simulate.engine_outputs(file.program, simulate.raw_inputs(file.ports, stored))
    agreement = simulate.compare_outputs(file.ports, interpreter.run(stored), exact)
    assert (agreement.samples, agreement.max_steps, len(agreement.outputs)) == (8, 0, 7)
    path = tmp_path / "near.tflite"
    path.write_bytes(file.data)
    ports = tflite_operators.ports_of(path)
    expected = tflite_operators.reference(path, ports, stored)
    result = tflite_operators.program_outputs(path, ports, stored)
    assert len(result) == 7
    for name, values in result.items():
        np.testing.assert_array_equal(values, expected[name])


def test_cvns_architecture_comes_without_weights(cases: Path) -> None:
    result = load(cases / "cvn" / "model.json")
    assert result.graph.parameters == 22_063_936
    assert len(result.graph.outputs) == 7
