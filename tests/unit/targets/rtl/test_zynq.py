# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A design behind registers and DMA: the driver that goes onto the board, packets that are too
short or too long, resets, and the files beside the design."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.devices import device
from edgeinfer.base.errors import ToolFailedError, UsageError
from edgeinfer.base.plan import BuildPlan
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.program import Program
from edgeinfer.targets.boards.boards import ZynqBoard, board, boards
from edgeinfer.targets.boards.driver import driver_of
from edgeinfer.targets.boards.wrapper import AXI_TOP, DEPLOY, dma_words
from edgeinfer.targets.rtl.board.fabric import simulated_fabric
from edgeinfer.targets.rtl.emit.emit import HDL
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.families import family_of
from edgeinfer.targets.rtl.tools.synthesis import VerilogSource, belongs_to_design, synthesise
from quantization.fixed import Ints
from tests.support.c_board import needs_gcc, run_example
from tests.support.notebook import executed
from tests.support.random_programs import random_inputs
from tests.support.rtl_designs import needs_verilator
from tests.support.rtl_programs import dense_program, merged, small_network
from tests.unit.targets.rtl.test_library import lint

SETTINGS = RtlSettings(board="pynq-z2")
ZYNQ = [name for name in boards() if isinstance(board(name), ZynqBoard)]


def two_networks() -> Program:
    """Two inputs, and two outputs of which one has more bytes in a beat than a DMA's word."""
    return merged([dense_program(6, 4), small_network(2)], "both")


@dataclass(frozen=True, slots=True)
class SimulatedDesign:
    """A design in simulated logic, the driver's module and the driver itself."""

    program: Program
    driver: Any
    accelerator: Any

    def check_frames(self, count: int, seed: int, batch: int) -> None:
        """Frames give what the engine gives."""
        raw = random_inputs(self.program, seed, count)
        result = self.accelerator.run_raw(raw, batch)
        for name, values in Engine(self.program, threads=1).run(raw).items():
            np.testing.assert_array_equal(result[name], values, err_msg=name)

    def contents(self, seed: int) -> list[np.ndarray[Any, Any]]:
        """The bytes of a frame for each input."""
        raw: dict[str, Ints] = random_inputs(self.program, seed, 1)
        return [self.driver.pack(raw[told["name"]], told) for told in self.accelerator.inputs]


@contextmanager
def simulated(folder: Path, gaps: float) -> Iterator[SimulatedDesign]:
    program = two_networks()
    RtlTarget().emit(program, SETTINGS).write(folder)
    with (
        simulated_fabric(folder, 2, 2, cycles=1, gaps=gaps) as pynq,
        driver_of(folder, pynq) as driver,
        driver.Accelerator() as accelerator,
    ):
        yield SimulatedDesign(program, driver, accelerator)


@needs_verilator
def test_two_hundred_frames_are_the_engine_s_and_take_the_report_s_cycles(tmp_path: Path) -> None:
    program = dense_program(6, 4)
    RtlTarget().emit(program, SETTINGS).write(tmp_path)
    raw = random_inputs(program, 3, 200)
    reply = RtlTarget().ask_board(tmp_path, raw, SETTINGS, simulated=True)
    for name, values in Engine(program, threads=1).run(raw).items():
        np.testing.assert_array_equal(reply.outputs[name], values)
    metrics = {m.name: m.value for m in RtlTarget().estimate(program, SETTINGS) if not m.layer}
    assert set(reply.cycles) == {metrics["latency_cycles"]}
    assert reply.clock_mhz == SETTINGS.clock_mhz == 100


@needs_verilator
def test_streams_that_stand_still_at_random_change_nothing(tmp_path: Path) -> None:
    with simulated(tmp_path, gaps=0.4) as design:
        for count, batch in ((1, 1), (9, 4), (5, 1), (12, 12)):
            design.check_frames(count, seed=count, batch=batch)
        counted = design.accelerator.counters()
        assert counted["frames_in"] == counted["frames_out"] == 27
        assert not counted["short_packets"] and not counted["long_packets"]


@needs_verilator
def test_a_packet_of_a_wrong_length_is_counted_and_the_next_is_good(tmp_path: Path) -> None:
    with simulated(tmp_path, gaps=0.3) as design:
        driver, accelerator = design.driver, design.accelerator
        rng = np.random.default_rng(7)
        wrong = {"short_packets": 0, "long_packets": 0}
        for trial in range(12):
            whole = design.contents(trial)
            at = int(rng.integers(2))
            word = accelerator.inputs[at]["word_bytes"]
            words = len(whole[at]) // word
            if trial % 2:
                length = int(rng.integers(1, words)) if words > 1 else 0
            else:
                length = words + int(rng.integers(1, 9))
            if not length:
                continue
            wrong["short_packets" if length < words else "long_packets"] += 1
            sent = [np.resize(content, length * word) if k == at else content
                    for k, content in enumerate(whole)]  # fmt: skip
            accelerator.registers.write(driver.BATCH, 1)
            taken = [accelerator.allocate((driver.frame_bytes(told),), np.uint8)
                     for told in accelerator.outputs]  # fmt: skip
            for channel, buffer in zip(accelerator.receivers, taken, strict=True):
                channel.transfer(buffer)
            for channel, content in zip(accelerator.senders, sent, strict=True):
                channel.transfer(content)
            for channel in (*accelerator.receivers, *accelerator.senders):
                assert any(channel.idle for _ in range(20))  # a whole frame comes out
            counted = accelerator.counters()
            assert {name: counted[name] for name in wrong} == wrong
            assert not counted["misframed"]
            design.check_frames(3, seed=trial, batch=2)
        assert min(wrong.values()) > 2


@needs_verilator
def test_a_reset_in_the_middle_of_a_frame_and_the_next_is_good(tmp_path: Path) -> None:
    with simulated(tmp_path, gaps=0.2) as design:
        accelerator = design.accelerator
        for cycles in (3, 17, 60):
            for channel, content in zip(accelerator.senders, design.contents(1), strict=True):
                channel.transfer(content)
            accelerator.registers.pipe.order(b"C", cycles, 0)
            accelerator.reset()
            assert not any(accelerator.counters().values())
            design.check_frames(4, seed=cycles, batch=3)


@needs_verilator
def test_the_driver_tells_another_design_and_a_transfer_that_went_wrong(tmp_path: Path) -> None:
    with simulated(tmp_path, gaps=0.0) as design:
        driver, accelerator = design.driver, design.accelerator
        accelerator.described["identity"] = "0123456789abcdef"
        with pytest.raises(driver.AcceleratorError, match="Another design is loaded"):
            accelerator.check_identity()
        with pytest.raises(driver.AcceleratorError, match="has the shape"):
            accelerator.run_raw({told["name"]: np.zeros(3) for told in accelerator.inputs})
        raw = random_inputs(design.program, 1, 1)
        name = accelerator.inputs[0]["name"]
        with pytest.raises(driver.AcceleratorError, match="has values beyond"):
            accelerator.run_raw(raw | {name: raw[name] + 1000})
        whole = driver.pack
        driver.pack = lambda values, told: whole(values, told)[: told["word_bytes"]]
        with pytest.raises(driver.AcceleratorError, match="it was reset"):
            accelerator.run_raw(raw)
        driver.pack = whole
        design.check_frames(2, seed=5, batch=1)


@pytest.mark.parametrize("count, wide, words", [(1, 1, 1), (3, 4, 1), (8, 8, 1), (9, 8, 2)])
def test_a_beat_lies_in_whole_words(count: int, wide: int, words: int) -> None:
    result = dma_words(count)
    assert (result["wide"], result["dma_words"]) == (wide, words)


def test_real_numbers_are_rounded_as_the_program_s_inputs_are(tmp_path: Path) -> None:
    RtlTarget().emit(dense_program(6, 4), SETTINGS).write(tmp_path)
    with driver_of(tmp_path, None) as driver:
        answer = {"fraction": 2, "bits": 4, "signed": True}
        values = [-9.0, -0.125, 0.125, 0.375, 0.3, 9.0]
        assert driver.to_raw(values, answer).tolist() == [-8, 0, 0, 2, 1, 7]
        shares = driver.finish(np.array([[0.0, np.log(3)]]), "softmax")
        np.testing.assert_allclose(shares, [[0.25, 0.75]])


@needs_verilator
def test_the_logic_around_a_design_is_clean(tmp_path: Path) -> None:
    RtlTarget().emit(two_networks(), SETTINGS).write(tmp_path)
    for path in (tmp_path / HDL).glob("*.v"):
        if not path.name.startswith("tb_") and not path.name.endswith("_tb.v"):
            path.rename(tmp_path / "board" / path.name)
    assert lint(tmp_path / "board", AXI_TOP) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pynq-z2", "kv260"])  # 7 series, UltraScale+
def test_yosys_makes_flip_flops_and_no_latch_of_what_vivado_gets(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEINFER_CACHE", str(tmp_path / "cache"))
    settings = RtlSettings(board=name)
    files = RtlTarget().emit(two_networks(), settings).files
    source = VerilogSource(
        {
            Path(path).name: content
            for path, content in files.items()
            if path.startswith(("hdl/", "board/")) and belongs_to_design(Path(path).name)
        },
        AXI_TOP,
    )
    family = family_of(device(settings.part).fabric)
    netlist = synthesise(source, family, dsp=True, seconds=1800)
    module = json.loads(netlist.netlist.read_text())["modules"][AXI_TOP]
    kinds = {cell["type"] for cell in module["cells"].values()} - {"$scopeinfo"}  # no logic
    assert not [kind for kind in kinds if kind.startswith(("LD", "$"))]  # a latch, or not mapped
    around = {name: amounts["ff"] for name, amounts in netlist.by_block.items()
              if name.startswith(("u_in_", "u_out_", "u_regs"))}  # fmt: skip
    assert len(around) == 5 and all(around.values()), around


@pytest.mark.parametrize("name", ZYNQ)
def test_a_zynq_board_says_part_and_clock(name: str) -> None:
    on = board(name)
    assert isinstance(on, ZynqBoard)
    settings = RtlSettings(board=name, clock_mhz=130)
    assert settings.part == on.part
    assert settings.clock_mhz == {"zynq7": 125.0, "zynqmp": 125.0}[on.processor]
    files = RtlTarget().emit(dense_program(4, 2), settings).files
    described = json.loads(files[f"{DEPLOY}/design.json"])
    assert described["clock_mhz"] == 125.0
    assert on.board_part in files["board/block_design.tcl"].decode()
    assert f"{on.login}@BOARD:" in files[f"{DEPLOY}/README.md"].decode()
    (finding,) = RtlTarget().advise(dense_program(4, 2), settings)
    assert on.title in finding and "Whether Vivado takes the script" in finding


@pytest.mark.slow
@needs_verilator
def test_a_file_of_samples_gives_a_file_of_scores_and_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = dense_program(6, 4)
    RtlTarget().emit(program, SETTINGS).write(tmp_path)
    deploy = tmp_path / DEPLOY
    (source,), (output,) = program.inputs, program.outputs
    raw = random_inputs(program, 4, 40)
    np.savez(tmp_path / "d.npz", x=raw[source.name] * 2.0**-source.type.frac)
    words = ["run.py", "--data", str(tmp_path / "d.npz"), "-o", str(tmp_path / "scores.npz")]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.syspath_prepend(deploy)
    with simulated_fabric(tmp_path, 1, 1, cycles=1) as pynq:
        monkeypatch.setitem(sys.modules, "pynq", pynq)
        runpy.run_path(str(deploy / "run.py"), run_name="__main__")
        notebook = executed(deploy / "accelerator.ipynb")
        del sys.modules["driver"]
    cycles = {m.name: m.value for m in RtlTarget().estimate(program, SETTINGS) if not m.layer}
    latency = f"{cycles['latency_cycles'] / SETTINGS.clock_mhz:.3f} us"
    assert f"one frame takes the design {latency}" in capsys.readouterr().out
    expected = Engine(program, threads=1).run(raw)[output.name]
    with np.load(tmp_path / "scores.npz") as scores:
        scaled = scores[output.name] * 2.0 ** program.type(output.value).frac
        np.testing.assert_array_equal(scaled, expected)
    shown = [
        "".join(cell["outputs"][0]["data"]["text/plain"])
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]
    assert shown[1] == f"'latency {latency}'" and "frames a second, DMA included" in shown[2]
    assert "'frames_in': 1001, 'frames_out': 1001" in shown[-1]


@needs_gcc
def test_the_example_in_c_hands_a_frame_on(tmp_path: Path) -> None:
    program = dense_program(4, 2)
    RtlTarget().emit(program, SETTINGS).write(tmp_path)
    raw = random_inputs(program, 1, 1)
    with driver_of(tmp_path, None) as driver:
        described = json.loads((tmp_path / DEPLOY / "design.json").read_text())
        (source,), (output,) = described["inputs"], described["outputs"]
        packed = driver.pack(raw[source["name"]], source).tobytes()

        def answer(content: bytes) -> bytes:
            sent = {source["name"]: driver.unpack(np.frombuffer(content, np.uint8), source)}
            results = Engine(program, threads=1).run(sent)[output["name"]]
            return bytes(driver.pack(results, output))

        done = run_example(tmp_path / DEPLOY, packed, answer)
        assert (done.returncode, done.stderr) == (0, b"1234 cycles\n")
        result = driver.unpack(np.frombuffer(done.stdout, np.uint8), output)
    np.testing.assert_array_equal(result, Engine(program, threads=1).run(raw)[output["name"]])


@needs_gcc
def test_the_example_in_c_does_not_wait_for_a_dma_with_an_error(tmp_path: Path) -> None:
    RtlTarget().emit(dense_program(4, 2), SETTINGS).write(tmp_path)
    (source,) = json.loads((tmp_path / DEPLOY / "design.json").read_text())["inputs"]
    with driver_of(tmp_path, None) as driver:
        done = run_example(tmp_path / DEPLOY, bytes(driver.frame_bytes(source)), lambda _: None)
    assert (done.returncode, done.stderr) == (4, b"a DMA reported an error\n")


def test_without_the_board_it_is_told_what_is_missing(tmp_path: Path) -> None:
    program = dense_program(4, 2)
    RtlTarget().emit(program, SETTINGS).write(tmp_path)
    raw = random_inputs(program, 1, 1)
    with pytest.raises(ToolFailedError, match="This machine is not the PYNQ-Z2") as caught:
        RtlTarget().ask_board(tmp_path, raw, SETTINGS)
    assert "python3 run.py" in caught.value.hint and "--simulate" in caught.value.hint
    with (
        driver_of(tmp_path, None) as driver,
        pytest.raises(driver.AcceleratorError, match="in a login shell of root"),
    ):
        driver.Accelerator()
    with pytest.raises(UsageError, match="no serial port"):
        RtlTarget().ask_board(tmp_path, raw, SETTINGS, port="/dev/ttyUSB0")
    with pytest.raises(UsageError, match="loaded by the driver"):
        RtlTarget().load_board(tmp_path, SETTINGS, lambda *_: None)


AXI_FAULTS = (
    ("a short packet is not filled up", "ei_axis_in.v", "<= PAD;", "<= FEED;"),
    ("a long packet is not dropped", "ei_axis_in.v", "<= DROP;", "<= FEED;"),
    ("words of a beat are not counted", "ei_axis_out.v", "m_axis_tready && part_ends;",
     "m_axis_tready;"),
    ("a packet is one frame", "ei_axis_out.v", "count + 1'b1 == batch;", "count == 0;"),
    ("a reset keeps the counters", "ei_axi_regs.v", "frames_in  <= 0;", "frames_in  <= frames_in;"),
    ("a cycle is lost", "ei_axi_regs.v", "cycles <= running + 1'b1;", "cycles <= running;"),
)  # fmt: skip


@pytest.mark.slow
@needs_verilator
@pytest.mark.parametrize("fault", AXI_FAULTS, ids=lambda fault: fault[0])
def test_a_fault_around_a_design_is_noticed(
    fault: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, name, right, wrong = fault
    emit = RtlTarget.emit

    def emit_faulty(self: RtlTarget, program: Program, settings: RtlSettings) -> BuildPlan:
        plan = emit(self, program, settings)
        text = plan.files[f"board/{name}"].decode()
        assert right in text
        broken = text.replace(right, wrong, 1).encode()
        return BuildPlan(plan.name, {**plan.files, f"board/{name}": broken})

    monkeypatch.setattr(RtlTarget, "emit", emit_faulty)
    with pytest.raises(Exception):  # noqa: B017  # any of the checks, or the driver's own
        for number, check in enumerate(
            (
                test_a_packet_of_a_wrong_length_is_counted_and_the_next_is_good,
                test_a_reset_in_the_middle_of_a_frame_and_the_next_is_good,
                test_two_hundred_frames_are_the_engine_s_and_take_the_report_s_cycles,
            )
        ):
            check(tmp_path / str(number))
