# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Data are checked before they are believed; drawn ones fill the input type and say so."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.base.errors import InputError
from edgeinfer.base.metrics import Task
from edgeinfer.data import samples
from quantization.fixed import Fixed

IN, OUT = {"image": (4, 4, 1)}, {"scores": (3,)}
X = np.zeros((5, 4, 4, 1))


def archive(folder: Path, **arrays: Any) -> Path:
    path = folder / "d.npz"
    np.savez(path, **arrays)
    return path


def test_arrays_are_found_by_name_or_by_x_and_y(tmp_path: Path) -> None:
    for x, y in (("x", "y"), ("image", "scores")):
        result = samples.read(archive(tmp_path, **{x: X, y: np.arange(5) % 3}), IN, OUT)
        assert result.inputs["image"].shape == (5, 4, 4, 1)
        assert result.labels["scores"].tolist() == [0, 1, 2, 0, 1]
        assert len(result.part(1, 3)) == 2


def test_labels_may_be_left_out(tmp_path: Path) -> None:
    assert not samples.read(archive(tmp_path, x=X), IN, OUT).labels


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": X[:, :2]}, r"the input needs \(samples, 4, 4, 1\)"),
        ({"x": X[0]}, "the input needs"),
        ({"x": X[:0]}, "is empty"),
        ({"x": np.float64(3)}, "single number"),
        ({"x": np.full(X.shape, np.nan)}, "80 values that are NaN"),
        ({"x": np.where(X == 0, np.inf, 0)}, "NaN or infinite"),
        ({"x": X.astype(str)}, "not numbers"),
        ({"x": X.astype(complex)}, "not numbers"),
        ({"imgae": X}, "neither an input .* Did you mean 'image'"),
        ({"weight": X}, "neither an input .* Call the inputs x and the labels y"),
        ({"y": np.zeros(5)}, "no array for the input 'image'"),
        ({"x": X, "image": X}, "could be any of"),
        ({"x": X, "y": np.zeros(4)}, "'y' has 4 samples, another array has 5"),
        ({"x": X, "y": np.zeros((5, 2))}, "need .5,. or"),
        ({"x": X, "y": np.full(5, 3)}, "span 3..3, but the output has 3 classes"),
        ({"x": X, "y": np.full(5, -1)}, "span -1"),
        ({"x": X, "y": np.full(5, 0.5)}, "not whole numbers"),
        ({"x": X, "y": np.full(5, np.nan)}, "NaN"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        samples.read(archive(tmp_path, **arrays), IN, OUT)
    assert "d.npz" in str(caught.value)


def test_inputs_of_different_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 4 samples, another array has 5"):
        samples.read(archive(tmp_path, a=np.zeros((5, 2)), b=np.zeros((4, 2))), _two(), OUT)
    with pytest.raises(InputError, match="could be any of a, b"):
        samples.read(archive(tmp_path, x=np.zeros((5, 2))), _two(), OUT)


def _two() -> dict[str, tuple[int, ...]]:
    return {"a": (2,), "b": (2,)}


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([print], dtype=object))
    with pytest.raises(InputError, match="Python objects"):
        samples.read(path, IN, OUT)


def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path: Path) -> None:
    body = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        body, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
    )
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x.npy", body.getvalue() + b"\0" * 64)
    with pytest.raises(InputError, match="claims"):
        samples.read(path, IN, OUT)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"d\.npz is not a NumPy archive"):
        samples.read(path, IN, OUT)


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    archive(tmp_path, x=X)
    with pytest.raises(InputError, match=r"Did you mean 'd\.npz'"):
        samples.read(tmp_path / "d.npy", IN, OUT)


def test_drawn_samples_reach_both_ends_of_the_type_and_repeat() -> None:
    types = {"x": ((1,), Fixed(True, 3, 1))}
    first, second = samples.draw_samples(types, 200), samples.draw_samples(types, 200)
    assert set(first.inputs["x"].ravel()) == {-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75}
    assert np.array_equal(first.inputs["x"], second.inputs["x"])
    assert "fixed<3,1>" in first.origin and "no data given" in first.origin


@pytest.mark.parametrize(
    ("labels", "shape", "task"),
    [
        ([0, 1, 2], (3,), Task.CLASSIFICATION),
        ([[0, 0, 1], [1, 0, 0]], (3,), Task.CLASSIFICATION),
        ([0, 1, 1], (1,), Task.CLASSIFICATION),
        ([0.5, 1, 1], (1,), Task.REGRESSION),
        ([0, 7, 1], (1,), Task.REGRESSION),
        ([[0.2, 0.3, 0.1]], (3,), Task.REGRESSION),
        ([[0, 1], [1, 1]], (2, 3), Task.CLASSIFICATION),
    ],
)
def test_labels_tell_the_task(labels: Any, shape: tuple[int, ...], task: Task) -> None:
    assert samples.task_of(np.asarray(labels, dtype=np.float64), shape) is task


def test_labels_may_bear_the_name_of_the_layer_behind_an_output(tmp_path: Path) -> None:
    outputs = {"kind_softmax": (3,), "count_softmax": (3,)}
    path = archive(tmp_path, image=X, kind=np.arange(5) % 3, count=np.zeros(5))
    layers = {"kind_softmax": "kind", "count_softmax": "count"}
    result = samples.read(path, IN, outputs, layers=layers)
    assert result.labels["kind_softmax"].tolist() == [0, 1, 2, 0, 1]
    assert not result.labels["count_softmax"].any()


def test_samples_are_spread_evenly_where_only_some_are_wanted(tmp_path: Path) -> None:
    result = samples.read(archive(tmp_path, x=X, y=np.arange(5) % 3), IN, OUT)
    assert result.spread(3).labels["scores"].tolist() == [0, 2, 1]
    assert result.spread(5) is result
