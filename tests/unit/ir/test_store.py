# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A Program's file: it reads back, and what is no Program is refused in one sentence."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.ir import ops, store
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.ir.show import show
from quantization.fixed import Fixed, Overflow, Rounding

U8 = Fixed(False, 8, 8)


def every_op() -> Program:
    """One of each op, with fields of every kind."""
    i8 = np.int8
    body: tuple[ops.Op, ...] = (
        ops.Input("x", U8, (4, 4, 2)),
        ops.Constant("k", Fixed(False, 2, 1), np.array([[[1, 3]]], i8)),
        ops.Conv(
            "conv",
            Fixed(True, 12, 10),
            "x",
            np.arange(-8, 8, dtype=i8).reshape(2, 2, 2, 2),
            Fixed(True, 4, 2),
            np.array([5, -7], i8),
            (1, 2),
            ((0, 1), (1, 0)),
            (1, 1),
        ),
        ops.Requant("q", Fixed(True, 5, 7), "conv", Rounding.RND_INF, Overflow.SAT_SYM),
        ops.Clip("clip", Fixed(True, 5, 7), "q", -3, None),
        ops.PRelu("pr", Fixed(True, 8, 8), "clip", np.array([1, 2], i8), Fixed(False, 2, 0)),
        ops.Scale("s", Fixed(True, 9, 9), "clip", np.array(3, i8), Fixed(True, 3, 1), np.array(1)),
        ops.Table("t", U8, "q", -16, np.arange(32, dtype=np.uint8)),
        ops.Softmax(
            "soft",
            Fixed(False, 8, 0),
            "q",
            2,
            np.array([255, 94], np.uint8),
            Fixed(False, 8, 0),
            2,
            np.array([255, 128], np.uint8),
            Fixed(False, 8, 0),
            8,
            Rounding.TRN,
            Overflow.SAT,
        ),
        ops.Pool(
            "pool", Fixed(True, 5, 7), "q", ops.PoolKind.MAX, (2, 2), (2, 1), ((0, 0), (0, 0))
        ),
        ops.Pair("pair", Fixed(True, 7, 7), "q", "k", ops.PairKind.SUB),
        ops.Transpose("tr", Fixed(True, 5, 7), "pool", (2, 0, 1)),
        ops.Pad("pad", Fixed(True, 5, 7), "tr", ((0, 1), (0, 0), (2, 0)), 1),
        ops.Upsample("up", Fixed(True, 5, 7), "pad", (1, 2)),
        ops.Slice("cut", Fixed(True, 5, 7), "up", (0, 1, 0), (3, 4, 3), (1, 2, 1)),
        ops.Reshape("flat", Fixed(True, 5, 7), "cut", (18,)),
        ops.Concat("cat", Fixed(True, 5, 7), ("flat", "flat"), 0),
        ops.Dense(
            "fc",
            Fixed(True, 12, 12),
            "cat",
            np.ones((36, 1), i8),
            Fixed(False, 1, 1),
            np.zeros(1, i8),
        ),
    )
    return Program("every", body, (Output("a", "fc", HostFunction.SIGMOID), Output("b", "soft")))


def test_what_is_saved_reads_back() -> None:
    program = every_op()
    again = store.load(store.save(program))
    assert again.digest == program.digest
    assert show(again) == show(program)
    assert store.save(again) == store.save(program)


def test_a_program_reads_well(snapshot) -> None:
    assert show(every_op()) == snapshot


def tampered(change) -> bytes:
    """The file with its structure changed."""
    source = zipfile.ZipFile(io.BytesIO(store.save(every_op())))
    structure = json.loads(source.read(store.STRUCTURE))
    change(structure)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in source.namelist():
            body = source.read(name)
            archive.writestr(name, json.dumps(structure) if name == store.STRUCTURE else body)
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 nothing",
        store.save(every_op())[:-200],
        tampered(lambda s: s.update(version=99)),
        tampered(lambda s: s["ops"][0].update(op="Evil")),
        tampered(lambda s: s["ops"][0].update(extra=1)),
        tampered(lambda s: s["ops"][2].update(weight="nowhere")),
        tampered(lambda s: s["ops"][3].update(rounding="SOMEHOW")),
        tampered(lambda s: s["ops"][0].update(type="float")),
        tampered(lambda s: s.pop("outputs")),
        tampered(lambda s: s["ops"].reverse()),
    ],
)
def test_what_is_no_program_is_refused(content: bytes) -> None:
    with pytest.raises((InputError, Exception)) as caught:
        store.load(content, "run/program.npz")
    assert getattr(caught.value, "exit_code", None) == 2
