# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Designs for whole planes on boards: records, planes that are too large, hits through the pins."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base.errors import DisagreementError, InputError, ToolFailedError, UsageError
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.boards import FOLDER, SerialBoard, board
from edgeinfer.targets.boards.channels import Channel
from edgeinfer.targets.boards.driver import driver_of
from edgeinfer.targets.boards.messages import Protocol, read_protocol
from edgeinfer.targets.boards.records import PlaneRecords, RecordLayout
from edgeinfer.targets.boards.serial import SerialLine, ask_frames
from edgeinfer.targets.boards.tiles import PatchTiles
from edgeinfer.targets.boards.wrapper import AXI_TOP, DEPLOY, DESCRIPTION, read_layout
from edgeinfer.targets.rtl.board.fabric import simulated_fabric
from edgeinfer.targets.rtl.board.shell_files import CLOCK, CRYSTAL, TOP, clock_file
from edgeinfer.targets.rtl.board.simulate import simulated_line
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.settings import Budget, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from quantization.fixed import Fixed, Ints
from tests.support.c_board import needs_gcc, run_example
from tests.support.notebook import executed
from tests.support.patch_networks import random_plane
from tests.support.plane_designs import RawPlane, raw_plane
from tests.support.rtl_designs import needs_verilator
from tests.unit.targets.rtl.test_library import lint
from tests.unit.targets.rtl.test_plane import SHAPE, small_tagger

FEW = Budget(multipliers=12)
SERIAL = RtlSettings(board="ulx3s", clock_mhz=20.0, event=SHAPE, budget=FEW)
ZYNQ = RtlSettings(board="pynq-z2", event=SHAPE, budget=FEW)
LAYOUT = RecordLayout(
    "x", Fixed(True, 6, 2), PatchTiles((3, 4), (7, 9)), 1, 3, 4,
    (Channel("y", Fixed(True, 11, 3), (3,), 1), Channel("z", Fixed(False, 1, 1), (), 1)),
)  # fmt: skip


def records_of(layout: RecordLayout, plane: PlaneRecords) -> bytes:
    """What a design gives for a plane, byte by byte."""
    found = b""
    for row, (wire, pixel) in enumerate(zip(plane.wire, plane.pixel, strict=True)):
        found += int(wire | pixel << layout.wire_bits).to_bytes(layout.hit_bytes, "little")
        for channel in layout.outputs:
            found += channel.pack_frame(plane.outputs[channel.name][row])
    place = layout.wire_bits + layout.pixel_bits
    return found + (1 << place).to_bytes(layout.hit_bytes, "little")


@given(st.integers(0, 1 << 30), st.integers(0, 20))
def test_records_are_read_back(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    outputs: dict[str, Ints] = {
        c.name: rng.integers(c.type.raw_min, c.type.raw_max, (count, *c.shape), endpoint=True)
        for c in LAYOUT.outputs
    }
    plane = PlaneRecords(rng.integers(0, 7, count), rng.integers(0, 9, count), outputs)
    content = records_of(LAYOUT, plane)
    found = LAYOUT.read_plane(content)
    assert np.array_equal(found.wire, plane.wire) and np.array_equal(found.pixel, plane.pixel)
    for name, values in outputs.items():
        assert np.array_equal(found.outputs[name], values)
    assert RecordLayout.from_description(json.loads(json.dumps(LAYOUT.description()))) == LAYOUT
    if count:
        with pytest.raises(ToolFailedError, match="more hits than") as caught:
            LAYOUT.read_plane(content[: -LAYOUT.record_bytes])
        assert "--hit-threshold" in caught.value.hint


def test_patches_lie_side_by_side_and_a_hit_that_is_missing_is_noticed() -> None:
    patches = np.arange(1, 61).reshape(5, 3, 4, 1) % 32
    planes = list(LAYOUT.tiles.lay_planes(patches))
    assert len(planes) == LAYOUT.tiles.count_planes(5) == 2 and [
        int(hits.sum()) for _, hits in planes
    ] == [4, 1]
    marked = LAYOUT.lay_plane(planes[0])
    assert marked.shape == (9, 7) and marked[2, 1] == patches[0, 1, 2, 0] | 1 << 6
    assert (marked >> 6).sum() == 4
    found = [PlaneRecords(*np.nonzero(hits), {"y": np.zeros(0), "z": np.zeros(0)})
             for _, hits in planes]  # fmt: skip
    with pytest.raises(DisagreementError, match="1 of 6 hits never came out"):
        LAYOUT.outputs_of_patches(6, found)


def test_planes_that_a_shell_cannot_keep_are_refused_with_numbers() -> None:
    program = small_tagger()
    large = RtlSettings(board="ulx3s", event=(240, 200), budget=FEW)
    with pytest.raises(UsageError, match=r"takes 96,000 bytes in, .* keeps up to 65,535"):
        RtlTarget().emit(program, large)
    small = RtlSettings(board="colorlight-i5", event=(160, 200), budget=FEW)
    (offence,) = RtlTarget().check(program, small)
    assert "a plane that has come in" in offence.reason and "lfe5u-25f has 56" in offence.reason
    assert not RtlTarget().check(program, RtlSettings(board="pynq-z2", event=(240, 200)))


def test_a_driver_s_description_that_is_none_is_told(tmp_path: Path) -> None:
    for content in ("[]", '{"records": {}}', "{"):
        (tmp_path / "design.json").write_text(content)
        with pytest.raises(InputError, match="does not describe"):
            read_layout(tmp_path / "design.json")


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("settings", [SERIAL, ZYNQ], ids=lambda settings: settings.board)
def test_a_board_with_planes_is_clean(settings: RtlSettings, tmp_path: Path) -> None:
    RtlTarget().emit(small_tagger(), settings).write(tmp_path)
    for path in (*(tmp_path / HDL).glob("*.v"), *(tmp_path / HDL).glob("*.mem")):
        if not path.name.startswith("tb_") and not path.name.endswith("_tb.v"):
            path.rename(tmp_path / FOLDER / path.name)
    if settings is SERIAL:
        (tmp_path / FOLDER / CLOCK).write_bytes(clock_file(CRYSTAL))
    assert lint(tmp_path / FOLDER, TOP if settings is SERIAL else AXI_TOP) == ""


def planes_of(program: Program) -> list[RawPlane]:
    """One in which every pixel is a hit, one without any, and usual ones."""
    everything = np.ones(SHAPE, np.bool_)
    return [
        raw_plane(program, random_plane(1, "clusters"), everything),
        raw_plane(program, random_plane(2, "nowhere")),
        raw_plane(program, random_plane(3, "border")),
        raw_plane(program, random_plane(4, "sparse")),
    ]


def assert_hits_are_the_engine_s(program: Program, plane: RawPlane, found: PlaneRecords) -> None:
    """Every hit once, in the order of time, with the integers of its own patch."""
    wanted = np.argwhere(plane.hits.T)[:, ::-1]
    assert np.array_equal(np.stack([found.wire, found.pixel], axis=1), wanted)
    if not len(wanted):
        return
    (source,) = program.inputs
    height, width, _ = source.shape
    patches = np.stack([plane.picture[w : w + height, p : p + width] for w, p in wanted])
    for name, values in Engine(program, threads=1).run({source.name: patches}).items():
        np.testing.assert_array_equal(found.outputs[name], values, err_msg=name)


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Protocol, SerialLine]]:
    """The simulated board with the design of a folder."""
    on, protocol = board("ulx3s"), read_protocol(folder)
    assert isinstance(on, SerialBoard)
    with simulated_line(folder, on, protocol, frames=1, patience=1_000_000) as line:
        yield protocol, line


@pytest.mark.slow
@needs_verilator
def test_planes_in_through_the_pins_and_hits_out(tmp_path: Path) -> None:
    program = small_tagger()
    RtlTarget().emit(program, SERIAL).write(tmp_path)
    planes = planes_of(program)
    with opened(tmp_path) as (protocol, line):
        layout = protocol.records
        assert layout is not None
        frames = [{"plane": layout.lay_plane((each.raw, each.hits))} for each in planes]
        for each, answer in zip(planes, ask_frames(protocol, line, frames, 4), strict=True):
            assert answer.plane is not None
            assert_hits_are_the_engine_s(program, each, answer.plane)


@pytest.mark.slow
@needs_verilator
def test_hits_that_the_shell_cannot_keep_are_noticed_and_the_next_plane_is_good(
    tmp_path: Path,
) -> None:
    program = small_tagger()
    RtlTarget().emit(program, SERIAL).write(tmp_path)
    top = tmp_path / FOLDER / f"{TOP}.v"
    kept = read_protocol(tmp_path).payload_out() - 4
    assert f".BYTES({kept})" in top.read_text()
    top.write_text(top.read_text().replace(f".BYTES({kept})", ".BYTES(1501)"))
    everything, _, border, _ = planes_of(program)
    with opened(tmp_path) as (protocol, line):
        layout = protocol.records
        assert layout is not None
        frame = {"plane": layout.lay_plane((everything.raw, everything.hits))}
        with pytest.raises(ToolFailedError, match="more hits than the 107 whose records"):
            ask_frames(protocol, line, [frame], 1)
        frame = {"plane": layout.lay_plane((border.raw, border.hits))}
        (answer,) = ask_frames(protocol, line, [frame], 1)
        assert answer.plane is not None
        assert_hits_are_the_engine_s(program, border, answer.plane)


@pytest.mark.slow
@needs_verilator
def test_planes_by_dma_whatever_stands_still(tmp_path: Path) -> None:
    program = small_tagger()
    RtlTarget().emit(program, ZYNQ).write(tmp_path)
    check_planes_by_dma(program, tmp_path)


@pytest.mark.slow
@needs_verilator
def test_a_file_of_planes_gives_a_file_of_hits_on_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = small_tagger()
    RtlTarget().emit(program, ZYNQ).write(tmp_path)
    planes = planes_of(program)
    source, (output,) = program.inputs[0].type, program.outputs
    given, left = tmp_path / "planes.npz", tmp_path / "hits.npz"
    real = np.stack([each.raw for each in planes]) * 2.0**-source.frac
    np.savez(given, planes=real, hits=np.stack([each.hits for each in planes]))
    monkeypatch.syspath_prepend(tmp_path / DEPLOY)
    words = ["run_planes.py", "--data", str(given), "-o", str(left)]
    monkeypatch.setattr(sys, "argv", words)
    with simulated_fabric(tmp_path, 1, 1, cycles=1) as pynq:
        monkeypatch.setitem(sys.modules, "pynq", pynq)
        runpy.run_path(str(tmp_path / DEPLOY / "run_planes.py"), run_name="__main__")
    for name in ("driver", "planes"):
        del sys.modules[name]
    with np.load(left) as found:
        for number, each in enumerate(planes):
            mine = found["plane"] == number
            outputs = found[f"output_{output.name}"][mine]
            raw = np.rint(outputs * 2.0 ** program.type(output.value).frac).astype(np.int64)
            records = PlaneRecords(found["wire"][mine], found["pixel"][mine], {output.name: raw})
            assert_hits_are_the_engine_s(program, each, records)


def lines_of(plane: PlaneRecords) -> str:
    """What the example in C prints of a plane."""
    rows = zip(plane.wire, plane.pixel, *plane.outputs.values(), strict=True)
    return "".join(
        ",".join(str(number) for part in row for number in np.ravel(part)) + "\n" for row in rows
    )


@needs_gcc
def test_the_example_in_c_prints_the_hits_of_a_plane(tmp_path: Path) -> None:
    program = small_tagger()
    RtlTarget().emit(program, ZYNQ).write(tmp_path)
    deploy, layout = tmp_path / DEPLOY, read_layout(tmp_path / DESCRIPTION)
    assert layout is not None
    rng = np.random.default_rng(3)
    outputs: dict[str, Ints] = {
        c.name: rng.integers(c.type.raw_min, c.type.raw_max, (9, *c.shape), endpoint=True)
        for c in layout.outputs
    }
    plane = PlaneRecords(rng.integers(0, SHAPE[0], 9), rng.integers(0, SHAPE[1], 9), outputs)
    each = planes_of(program)[2]
    with driver_of(tmp_path, None, "planes") as driver:
        described = json.loads((deploy / "design.json").read_text())
        packed = driver.pack_plane(each.raw, each.hits, described).tobytes()
    records = records_of(layout, plane)

    def answer(content: bytes) -> bytes:
        assert content == packed
        return records

    done = run_example(deploy, packed, answer)
    assert (done.returncode, done.stderr) == (0, b"1234 cycles\n9 hits\n")
    assert done.stdout.decode() == lines_of(plane)


@needs_gcc
def test_the_example_in_c_refuses_another_design_and_records_without_an_end(
    tmp_path: Path,
) -> None:
    RtlTarget().emit(small_tagger(), ZYNQ).write(tmp_path / "one")
    RtlTarget().emit(small_tagger(), ZYNQ).write(tmp_path / "two")
    ports = json.loads((tmp_path / "one" / DESCRIPTION).read_text())["inputs"]
    with driver_of(tmp_path / "one", None) as driver:
        packed = bytes(driver.frame_bytes(ports[0]))
    done = run_example(tmp_path / "one" / DEPLOY, packed, lambda _: b"", identity=7)
    assert (done.returncode, done.stderr) == (4, b"another design is loaded\n")
    done = run_example(tmp_path / "two" / DEPLOY, packed, lambda _: bytes(100))
    assert done.returncode == 4 and b"do not end with their mark" in done.stderr


@pytest.mark.slow
@needs_verilator
@needs_gcc
def test_the_example_in_c_and_the_notebook_with_the_simulated_logic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = small_tagger()
    RtlTarget().emit(program, ZYNQ).write(tmp_path)
    deploy, layout = tmp_path / DEPLOY, read_layout(tmp_path / DESCRIPTION)
    assert layout is not None
    each = planes_of(program)[2]
    with simulated_fabric(tmp_path, 1, 1, cycles=1) as pynq:
        with (
            driver_of(tmp_path, pynq, "planes") as driver,
            driver.PlaneAccelerator() as accelerator,
        ):
            packed = driver.pack_plane(each.raw, each.hits, accelerator.described).tobytes()

            def answer(content: bytes) -> bytes:
                sent = np.frombuffer(content, np.uint8)
                (records,) = accelerator.exchange([sent], [layout.most_bytes], 1)
                hits = len(driver.read_records(records, accelerator.records)["wire"])
                return bytes(records[: hits * layout.record_bytes + layout.hit_bytes])

            done = run_example(deploy, packed, answer)
        table = np.loadtxt(done.stdout.decode().splitlines(), np.int64, delimiter=",", ndmin=2)
        (channel,) = layout.outputs
        outputs = {channel.name: table[:, 2:].reshape(-1, *channel.shape)}
        records = PlaneRecords(table[:, 0], table[:, 1], outputs)
        assert_hits_are_the_engine_s(program, each, records)
        monkeypatch.setitem(sys.modules, "pynq", pynq)
        monkeypatch.syspath_prepend(deploy)
        notebook = executed(deploy / "planes.ipynb")
        for name in ("driver", "planes"):
            del sys.modules[name]
    shown = [
        "".join(cell["outputs"][0]["data"]["text/plain"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and cell["outputs"]
    ]
    assert "hits in" in shown[1] and "planes a second" in shown[2]
    assert "'frames_in': 8, 'frames_out': 8" in shown[-1]


FAULTS = (
    ("ei_plane_records.v", "m_axis_tlast || turn[STREAMS-1]", "turn[STREAMS-1]"),
    ("ei_plane_records.v", "assign clear = step && closing ? turn",
     "assign clear = step && closing ? {STREAMS{1'b1}}"),
    ("ei_plane_records.v", "closing && turn[0] && ending;", "closing && ending;"),
    ("ei_axis_out.v", "BEATS == 0 ? s_axis_tlast", "BEATS == 0 ? 1'b1"),
)  # fmt: skip


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS)
def test_a_fault_around_planes_is_noticed(
    tmp_path: Path, name: str, right: str, wrong: str
) -> None:
    program = small_tagger()
    RtlTarget().emit(program, ZYNQ).write(tmp_path)
    path = tmp_path / FOLDER / name
    assert path.read_text().count(right) == 1
    path.write_text(path.read_text().replace(right, wrong))
    driver = tmp_path / DEPLOY / "driver.py"  # which waits long for a board
    driver.write_text(driver.read_text().replace("PATIENCE_SECONDS = 10.0", "PATIENCE_SECONDS = 2"))
    with pytest.raises(Exception):  # noqa: B017  # the comparison, or the driver's own checks
        check_planes_by_dma(program, tmp_path)


def check_planes_by_dma(program: Program, folder: Path) -> None:
    """Every hit of planes that the driver sends, while streams stand still at random."""
    planes = planes_of(program)
    with (
        simulated_fabric(folder, 1, 1, cycles=1, gaps=0.3) as pynq,
        driver_of(folder, pynq, "planes") as driver,
        driver.PlaneAccelerator() as accelerator,
    ):
        found = accelerator.find_raw_hits(
            np.stack([each.raw for each in planes]), np.stack([each.hits for each in planes])
        )
        for each, told in zip(planes, found, strict=True):
            records = PlaneRecords(told["wire"], told["pixel"], told["outputs"])
            assert_hits_are_the_engine_s(program, each, records)
        assert accelerator.counters()["frames_out"] == len(planes)
        for wrong in (np.full((1, *SHAPE), 256), np.zeros((1, 3, 3))):
            with pytest.raises(driver.AcceleratorError):
                accelerator.find_raw_hits(wrong)
