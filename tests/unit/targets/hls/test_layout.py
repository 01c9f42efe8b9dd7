# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which layers a Program becomes, and in which formats."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion

from edgeinfer.base.names import free_name
from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Constant, Conv, Input, Pair, PairKind, Requant, Reshape, pack_weights
from edgeinfer.ir.program import Output
from edgeinfer.targets.hls.project.emit import emit_project
from edgeinfer.targets.hls.project.exact_layers import repeating
from edgeinfer.targets.hls.project.native_layers import spread, ungroup_kernel
from edgeinfer.targets.hls.project.place import lay_out
from edgeinfer.targets.hls.project.spec import representable, safe
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from quantization.fixed import Fixed, Overflow, Rounding
from tests.support.hls_programs import two_heads

PARALLEL, STREAM = HlsSettings(io=IoType.PARALLEL), HlsSettings(io=IoType.STREAM)
X = Fixed(True, 6, 3)


@pytest.mark.parametrize("name", ["parameters.h", "defines.h", "two_heads_top.cpp"])
@pytest.mark.parametrize("settings", [PARALLEL, STREAM], ids=["parallel", "stream"])
def test_the_emitted_text_is_as_it_was(
    snapshot: SnapshotAssertion, name: str, settings: HlsSettings
) -> None:
    files = emit_project(two_heads(), settings).files
    assert files[f"firmware/{name}"].decode() == snapshot


def test_a_stamp_of_digits_changes_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """hls4ml's stamp is random; one that reads as a number is quoted in YAML."""
    written = []
    for tail in ("0123abcdef98", "012345678901"):
        stamp = uuid.UUID(f"00000000-0000-4000-8000-{tail}")
        monkeypatch.setattr(uuid, "uuid4", lambda stamp=stamp: stamp)
        written.append(emit_project(two_heads(), PARALLEL).files)
    assert written[0] == written[1]


def test_every_format_is_stated_and_none_is_hls4mls_own() -> None:
    plan = lay_out(two_heads(), PARALLEL)
    layers = {layer.name: layer for layer in plan.layers}
    assert str(layers["hidden"].result.type) == str(layers["hidden"].formats["accum"])
    assert str(layers["hidden_relu"].result) == "ufixed<4,3,RND_CONV,SAT>"
    text = emit_project(two_heads(), PARALLEL).files["firmware/defines.h"].decode()
    assert "ap_fixed<2,1>" not in text  # what a layer without a format would fall back on


def test_a_value_that_is_read_and_an_output_leaves_by_a_copy() -> None:
    builder = ProgramBuilder("twice")
    builder.add(Input("x", X, (4,)))
    builder.add(Requant("y", Fixed(True, 4, 2), "x", Rounding.RND, Overflow.WRAP))
    builder.add(Requant("z", Fixed(True, 3, 2), "y", Rounding.TRN, Overflow.SAT))
    program = builder.program((Output("a", "y"), Output("b", "z"), Output("c", "z")))
    plan = lay_out(program, PARALLEL)
    assert [output.layer for output in plan.outputs] == ["y_copy", "z", "z_copy"]


def test_an_input_that_nobody_reads_would_stall_a_stream() -> None:
    builder = ProgramBuilder("idle")
    builder.add(Input("x", X, (4,)))
    builder.add(Input("unused", X, (2,)))
    builder.add(Requant("y", Fixed(True, 4, 2), "x", Rounding.RND, Overflow.WRAP))
    program = builder.program((Output("y", "y"),))
    assert lay_out(program, PARALLEL).offences == ()
    (offence,) = lay_out(program, STREAM).offences
    assert offence.path == "unused" and "stall" in offence.reason


def test_numbers_of_each_sample_are_vectors_of_one() -> None:
    builder = ProgramBuilder("number")
    builder.add(Input("x", X, (1,)))
    builder.add(Input("y", X, ()))
    builder.add(Reshape("number", X, "x", ()))
    builder.add(Constant("c", X, np.array(3)))
    builder.pair("sum", "number", "y", PairKind.ADD)
    builder.pair("more", "sum", "c", PairKind.MUL)
    program = builder.program((Output("z", "more"),))
    plan = lay_out(program, STREAM)
    assert not plan.offences
    assert {layer.shape for layer in plan.layers} == {(1,)}


def test_all_offences_are_told_at_once() -> None:
    builder = ProgramBuilder("odd")
    builder.add(Input("x", X, (3, 3, 3, 2)))
    weight = pack_weights(np.ones((1, 1, 1, 2, 2), np.int64))
    builder.exact(
        Conv("volume", provisional(6), "x", weight, Fixed(True, 4, 1),
             pack_weights(np.zeros(2, int)),
             (1, 1, 1), ((0, 0),) * 3, (1, 1, 1))
    )  # fmt: skip
    builder.add(Constant("c", X, np.array([1, 2])))
    program = builder.program((Output("volume", "volume"), Output("c", "c")))
    offences = lay_out(program, PARALLEL).offences
    assert [offence.kind for offence in offences] == ["Constant", "Conv"]
    assert "depends on no input" in offences[0].reason
    assert "over 1 or 2 axes, not 3" in offences[1].reason


def test_what_ac_fixed_cannot_hold_is_widened_or_refused() -> None:
    builder = ProgramBuilder("bit")
    builder.add(Input("x", Fixed(True, 1, 4), (3,)))
    builder.add(Requant("y", Fixed(True, 1, 2), "x", Rounding.TRN, Overflow.SAT))
    program = builder.program((Output("y", "y"),))
    assert lay_out(program, PARALLEL).offences == ()
    quartus = HlsSettings(backend=Backend.QUARTUS)
    assert "no type of one bit" in lay_out(program, quartus).offences[0].reason
    port = lay_out(program, quartus).layers[0]
    assert port.result.type == Fixed(True, 2, 5) and port.result.type.frac == -3


def test_mixed_signs_are_not_compared() -> None:
    builder = ProgramBuilder("mixed")
    builder.add(Input("a", Fixed(True, 40, 3), (3,)))
    builder.add(Input("b", Fixed(False, 40, 3), (3,)))
    builder.pair("least", "a", "b", PairKind.MIN)
    program = builder.program((Output("least", "least"),))
    layers = lay_out(program, PARALLEL).layers
    assert [layer.result.type.signed for layer in layers] == [True, False, True, True]
    assert isinstance(program["least"], Pair)


def test_windows_and_groups_are_written_out_with_zeros() -> None:
    weight = np.arange(1, 5).reshape(2, 1, 2)
    assert spread(weight, (3,)).tolist() == [[[1, 2]], [[0, 0]], [[0, 0]], [[3, 4]]]
    whole = ungroup_kernel(weight, 2)
    assert whole.shape == (2, 2, 2) and whole[0].tolist() == [[1, 0], [0, 2]]


def test_a_flat_reshape_is_nothing_before_a_dense_layer_only() -> None:
    builder = ProgramBuilder("flat")
    builder.add(Input("x", X, (2, 3)))
    builder.add(Reshape("flat", X, "x", (6,)))
    builder.add(Requant("y", Fixed(True, 4, 2), "flat", Rounding.RND, Overflow.WRAP))
    program = builder.program((Output("y", "y"),))
    kinds = {io: [layer.kind for layer in lay_out(program, s).layers] for io, s in
             (("parallel", PARALLEL), ("stream", STREAM))}  # fmt: skip
    assert kinds == {
        "parallel": ["InputLayer", "Reshape", "Exact"],
        "stream": ["InputLayer", "Exact", "Exact"],
    }


def test_constants_are_kept_as_often_as_they_differ() -> None:
    shape = (2, 3)
    assert repeating(np.array([[7]]), shape).tolist() == [7]
    assert repeating(np.array([1, 2, 3]), shape).tolist() == [1, 2, 3]
    assert repeating(np.array([[1], [2]]), shape).tolist() == [1, 1, 1, 2, 2, 2]


def test_names_are_such_as_cpp_takes() -> None:
    assert safe("dense/1:out", "layer") == "dense_1_out"
    assert safe("input", "layer") == "layer_input" and safe("3d", "net") == "net_3d"
    assert free_name("a", ["a", "a_2"]) == "a_3"


def test_numbers_beyond_a_double_are_known() -> None:
    assert representable(np.array([1 << 53, -(1 << 60)]))
    assert not representable(np.array([(1 << 53) + 1]))
