# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Whatever is changed in an emitted project is found by its simulation, and named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.ir import agreement
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.targets.hls.csim import build, simulate
from edgeinfer.targets.hls.csim.suspects import format_of
from edgeinfer.targets.hls.project.cpp_types import types_in
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.settings import HlsSettings, IoType
from edgeinfer.targets.hls.target import HlsTarget
from quantization.fixed import Ints, Quantizer
from tests.support.hls_programs import inputs, two_heads

SETTINGS = HlsSettings(io=IoType.PARALLEL)
TARGET = HlsTarget()
PROGRAM = two_heads()
RAW = inputs(200)
QUICK = ("-O0", "-w", "-pthread")


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    """A change to one file."""

    def change(folder: Path) -> None:
        path = folder / "firmware" / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def one_weight(folder: Path) -> None:
    """The first weight of the first layer is another."""
    path = folder / "firmware/weights/w2.txt"
    numbers = path.read_text().split(", ")
    numbers[0] = "0.250" if float(numbers[0]) != 0.25 else "0.500"
    path.write_text(", ".join(numbers))


def swapped_outputs(folder: Path) -> None:
    """The two heads leave by each other's port."""
    for suffix in ("cpp", "h"):
        path = folder / f"firmware/two_heads_top.{suffix}"
        left, right = "layer5_t layer5_out[3]", "layer6_t layer6_out[3]"
        text = path.read_text()
        assert f"{left}, {right}" in text
        path.write_text(text.replace(f"{left}, {right}", f"{right}, {left}"))


def swapped_layers(folder: Path) -> None:
    """Each head has the other's weights."""
    replaced("two_heads_top.cpp", "layer5_out, w5, b5", "layer5_out, w6, b5")(folder)


FAULTS = {
    "precision": (
        replaced("defines.h", "ap_fixed<13,7> layer2_t", "ap_fixed<10,4> layer2_t"),
        "hidden", "overflow: narrower type: layer2_t is ap_fixed<10,4>",
    ),
    "accumulator": (
        replaced("defines.h", "ap_fixed<13,7> hidden_accum_t", "ap_fixed<9,3> hidden_accum_t"),
        "hidden", "overflow: narrower type: hidden_accum_t",
    ),
    "rounding": (
        replaced("defines.h", "ap_ufixed<4,3,AP_RND_CONV,", "ap_ufixed<4,3,AP_TRN,"),
        "hidden_relu", "rounding mode: layer3_t is ap_ufixed<4,3,AP_TRN,AP_SAT,0>",
    ),
    "saturation": (
        replaced("defines.h", "AP_RND_CONV,AP_SAT,0", "AP_RND_CONV,AP_WRAP,0"),
        "hidden_relu", "overflow mode: layer3_t",
    ),
    "weights": (one_weight, "hidden", "weights differ from the Program's: firmware/weights/w2.txt"),
    "table": (
        lambda folder: (folder / "firmware/weights/entries4.txt").write_text(
            ", ".join(["1.0"] * 16)
        ),
        "bent", "weights differ from the Program's: firmware/weights/entries4.txt",
    ),
    "table range": (
        replaced("parameters.h", "static const int first = 0;", "static const int first = -1;"),
        "bent", "sizes of layers: firmware/parameters.h",
    ),
    "layers": (swapped_layers, "left", "order of layers or outputs: firmware/two_heads_top.cpp"),
    "outputs": (swapped_outputs, "left", "order of layers or outputs: firmware/two_heads_top.cpp"),
    "library": (
        replaced("nnet_utils/nnet_activation.h", "if (datareg > 0)\n            res[ii] = datareg;",
                 "if (datareg > 4)\n            res[ii] = datareg;"),
        "hidden_relu", "library: firmware/nnet_utils/nnet_activation.h",
    ),
}  # fmt: skip


ALONE = ("library",)  # the others share one library, and so one compilation


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Ints]]]:
    """Every faulty project, and what it yields."""
    root = tmp_path_factory.mktemp("faults")
    places = {fault: root / fault.replace(" ", "_") for fault in ("none", *FAULTS)}
    for fault, folder in places.items():
        emit_project(PROGRAM, SETTINGS, namespace=f"fault_{folder.name}").write(folder)
        if fault != "none":
            FAULTS[fault][0](folder)
    together = [folder for fault, folder in places.items() if fault not in ALONE]
    shared = build.build_together(together, root / "csim", QUICK)
    results = {}
    for fault, folder in places.items():
        own = build.build_together([folder], folder / "csim", QUICK) if fault in ALONE else None
        taps = TARGET.tappable(PROGRAM, folder, SETTINGS)
        actual = simulate.simulate_project(PROGRAM, folder, RAW, taps=taps, compiled=own or shared)
        results[fault] = folder, actual
    return results


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(
    simulated: dict[str, tuple[Path, dict[str, Ints]]], fault: str
) -> None:
    folder, actual = simulated[fault]
    actual = actual | {output.value: actual[output.name] for output in PROGRAM.outputs}
    expected = Engine(PROGRAM).run(RAW, taps=[op.name for op in PROGRAM.ops])
    assert any(np.any(expected[name] != actual[name]) for name in ("left", "right"))
    _, value, cause = FAULTS[fault]
    sample = int(np.flatnonzero(np.any(expected[value] != actual[value], axis=1))[0])
    one = [{n: v[sample : sample + 1] for n, v in held.items()} for held in (expected, actual)]
    parted = agreement.first_divergence(PROGRAM, one[0], one[1], sample)
    assert parted is not None and parted.value == value
    suspicion = TARGET.suspect(PROGRAM, folder, SETTINGS, value, one[0], one[1])
    assert suspicion.cause.startswith(cause)
    assert suspicion.type.startswith("ap_")


def test_without_a_fault_every_value_is_equal(
    simulated: dict[str, tuple[Path, dict[str, Ints]]],
) -> None:
    _, actual = simulated["none"]
    expected = Engine(PROGRAM).run(RAW, taps=[op.name for op in PROGRAM.ops])
    assert {"left", "right", "bent", "hidden", "hidden_relu"} <= set(actual)
    assert all(np.array_equal(expected[name], values) for name, values in actual.items())


def test_types_are_read_as_they_are_written() -> None:
    text = "typedef nnet::array<ap_ufixed<5,4,AP_RND_CONV,AP_SAT,0>, 8*1> layer3_t;\n"
    (type_,) = types_in(text).values()
    assert format_of(type_) == Quantizer.parse("ufixed<5,4,RND_CONV,SAT>")
    assert format_of("ap_fixed<13,7>") == Quantizer.parse("fixed<13,7,TRN,WRAP>")
    assert format_of("ac_fixed<7,-1,true,AC_TRN,AC_SAT>") == Quantizer.parse("fixed<7,-1,TRN,SAT>")
    assert format_of("ap_uint<1>") is None
