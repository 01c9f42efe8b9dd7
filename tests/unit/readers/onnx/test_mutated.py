# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Sound files with one or two things changed: read, or refused in one paragraph; never a bug."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from onnx import AttributeProto, ModelProto, numpy_helper

from edgeinfer.base.errors import ModelError
from edgeinfer.readers.onnx.reader import read
from tests.support import onnx_models as m
from tests.support import other_exporters
from tests.unit.readers.onnx.test_float_ops import MODELS
from tests.unit.readers.onnx.test_opsets import BUILDERS

WHOLE = (-5, -1, 0, 1, 2, 3, 7, 1 << 40)
SAMPLE = 120


def sound() -> list[ModelProto]:
    """What the other tests read."""
    result = [build() for build in MODELS.values()]
    result += [build(opset) for build in BUILDERS.values() for opset in (11, 13, 18, 21)]
    return [*result, other_exporters.brevitas(1), other_exporters.tf2onnx(1)]


def attribute(rng: random.Random, model: ModelProto) -> None:
    """Another setting."""
    attributes = [a for node in model.graph.node for a in node.attribute]
    if not attributes:
        return
    changed = rng.choice(attributes)
    match changed.type:
        case AttributeProto.INT:
            changed.i = rng.choice(WHOLE)
        case AttributeProto.FLOAT:
            changed.f = rng.choice((0.0, float("nan"), float("inf"), -1e30))
        case AttributeProto.STRING:
            changed.s = rng.choice((b"", b"XX", b"\xff"))
        case AttributeProto.INTS if len(changed.ints):
            if rng.random() < 0.5:
                changed.ints[rng.randrange(len(changed.ints))] = rng.choice(WHOLE)
            else:
                del changed.ints[-1]


def constant(rng: random.Random, model: ModelProto) -> None:
    """Another shape, type or sign."""
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    values = numpy_helper.to_array(tensor)
    changed = rng.choice(
        (
            values.reshape(-1),
            values[None],
            values.astype(np.int64),
            np.zeros((0,), values.dtype),
            values[::-1] * 0 - values if values.dtype.kind == "f" and values.ndim else values,
            values.reshape(-1)[:1],
        )
    )
    tensor.CopyFrom(numpy_helper.from_array(np.array(changed), tensor.name))


def rank(rng: random.Random, model: ModelProto) -> None:
    """An axis more or less."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if rng.random() < 0.5 and len(dims):
        del dims[-1]
    else:
        dims.add().dim_value = rng.choice((1, 2, 5))


def wire(rng: random.Random, model: ModelProto) -> None:
    """An input less, or another one."""
    node = rng.choice(model.graph.node)
    names = [name for other in model.graph.node for name in (*other.input, *other.output)]
    if not len(node.input) or rng.random() < 0.3:
        node.input.append(rng.choice(names))
    elif rng.random() < 0.5:
        del node.input[-1]
    else:
        node.input[rng.randrange(len(node.input))] = rng.choice((*names, ""))


def operator(rng: random.Random, model: ModelProto) -> None:
    """Another operator in its place."""
    kinds = sorted({node.op_type for build in MODELS.values() for node in build().graph.node})
    rng.choice(model.graph.node).op_type = rng.choice(kinds)


CHANGES = (attribute, constant, rank, wire, operator)


def tried(seed: int, count: int, folder: Path) -> int:
    """How many of the changed files were refused; anything but a refusal is an error here."""
    rng, models, refused = random.Random(seed), sound(), 0
    for _ in range(count):
        model = ModelProto()
        model.CopyFrom(rng.choice(models))
        for _ in range(rng.randint(1, 2)):
            rng.choice(CHANGES)(rng, model)
        path = m.saved(model, folder)
        try:
            read(path)
        except ModelError as error:
            refused += 1
            assert error.exit_code == 2 and error.hint
            assert str(path) in str(error) and "\n" not in str(error)
    return refused


@pytest.mark.timeout(120)
def test_some_changed_files(tmp_path: Path) -> None:
    assert SAMPLE // 5 < tried(1, SAMPLE, tmp_path) < SAMPLE


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_changed_files(seed: int, tmp_path: Path) -> None:
    assert tried(seed, 2000, tmp_path)
