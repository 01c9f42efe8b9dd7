# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs quantize and search as a user calls them: results, files, and data that say little."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from edgeinfer.cli.app import main
from edgeinfer.data.samples import Samples
from edgeinfer.ir.bases import Accumulates
from edgeinfer.ir.lower import lower
from edgeinfer.readers import load
from edgeinfer.run.data import share_samples
from edgeinfer.targets.registry import choose_folded
from edgeinfer.zoo.reference import load_reference
from quantization.recipe import Recipe
from tests.support import onnx_models
from tests.support.places import ROOT

FEATURES, CLASSES = 5, 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX classifier whose answers a small network can keep."""
    rng = np.random.default_rng(3)
    result = onnx_models.model(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="hidden"),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("Gemm", ["r", "w2", "b2"], ["z"], name="head"),
            helper.make_node("Softmax", ["z"], ["y"], name="shares", axis=-1),
        ],
        {"x": ["batch", FEATURES]},
        ["y"],
        {
            "w1": onnx_models.floats(rng, FEATURES, 12),
            "b1": onnx_models.floats(rng, 12),
            "w2": onnx_models.floats(rng, 12, CLASSES),
            "b2": onnx_models.floats(rng, CLASSES),
        },
    )
    return onnx_models.saved(result, tmp_path_factory.mktemp("model"))


def archive(path: Path, model: Path, samples: int, seed: int = 0, **changes: Any) -> Path:
    """Data that the model itself labels, with a few labels wrong; changed as asked."""
    from edgeinfer.ir.engine.float_engine import FloatEngine

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, FEATURES)).astype(np.float32)
    shares = FloatEngine(load(model).graph).run({"x": x})["y"]
    y = np.where(rng.random(samples) < 0.9, shares.argmax(axis=1), rng.integers(0, 3, samples))
    np.savez(path, **({"x": x, "y": y} | changes))
    return path


def outlier() -> np.ndarray:
    """Ordinary values, and one of a million."""
    x = np.random.default_rng(0).normal(size=(200, FEATURES))
    x[7, 2] = 1e6
    return x


def answered(capsys: pytest.CaptureFixture[str], *tokens: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    code = main([str(token) for token in (*tokens, "--json")])
    output = capsys.readouterr()
    assert code == 0, output.err
    document: dict[str, Any] = json.loads(output.out)
    return document


def test_training_through_the_verb(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, path = archive(tmp_path / "d.npz", model, 1500), tmp_path / "q.keras"
    tokens = ["quantize", model, "--bits", "2", "--data", data, "-o", path]
    before = answered(capsys, *tokens)
    after = answered(
        capsys,
        *tokens,
        "--method",
        "qat",
        "--epochs",
        "12",
        "--batch",
        "32",
        "--learning-rate",
        "0.01",
        "--seed",
        "3",
    )
    assert "training" not in before
    history = after["training"]["epochs"]
    assert after["training"]["samples"] == 1200 and len(history) == 13
    assert after["training"]["best_epoch"] > 0
    assert history[after["training"]["best_epoch"]]["score"] > history[0]["score"]
    assert after["metrics"]["quantized"]["samples"] == 150  # that neither taught nor chose
    assert set(after["costs"]) == {"ebops", "ebops_dense", "weight_bits"}
    again = load(path)
    held = sorted(str(quantizer) for _, quantizer in again.recipe.activations)
    assert held == sorted(after["recipe"]["activations"].values())


def test_training_goes_on_where_it_ended(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trained file's own formats are those it was trained for: another training begins at the
    score that the first one reached."""
    data, path = archive(tmp_path / "d.npz", model, 1500), tmp_path / "q.keras"
    trained = ["--bits", "2", "--data", data, "--method", "qat", "--batch", "32", "--seed", "3"]
    first = answered(
        capsys, "quantize", model, *trained, "-o", path, "--epochs", "12", "--learning-rate", "0.01"
    )
    second = answered(
        capsys, "quantize", path, *trained, "-o", tmp_path / "again.keras", "--epochs", "1"
    )
    assert second["training"]["epochs"][0]["score"] == max(
        epoch["score"] for epoch in first["training"]["epochs"]
    )
    assert any("went on from the formats that q.keras states" in f for f in second["findings"])
    assert not any("were replaced" in finding for finding in second["findings"])


def test_pruning_shows_in_the_costs(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = archive(tmp_path / "d.npz", model, 1500)
    tokens = ["quantize", model, "--bits", "6", "--data", data, "-o", tmp_path / "q.keras"]
    tokens += ["--method", "qat", "--epochs", "4", "--batch", "32"]
    whole = answered(capsys, *tokens)
    sparse = answered(capsys, *tokens, "--sparsity", "0.5")
    fewer = answered(capsys, *tokens, "--prune-filters", "0.5")
    assert sparse["costs"]["ebops"] < 0.65 * whole["costs"]["ebops"]
    assert fewer["costs"]["ebops_dense"] < 0.65 * whole["costs"]["ebops_dense"]
    assert any("Filters left: hidden 6 of 12" in finding for finding in fewer["findings"])


def test_layers_and_tensors_get_the_widths_asked_for(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dearest layer and what it reads in few bits, the rest in the usual number."""
    data, path = archive(tmp_path / "d.npz", model, 600), tmp_path / "q.keras"
    tokens = ["quantize", model, "--bits", "6", "--data", data, "-o", path]
    document = answered(capsys, *tokens, "--bits-of", "hidden=3", "--bits-of", "x=4")
    again = load(path)
    widths = {op.name: op.weight_type.bits for op in lower(again.graph, again.recipe).program.ops
              if isinstance(op, Accumulates)}  # fmt: skip
    assert next(iter(widths.values())) <= 3 < max(widths.values()) <= 6
    formats = {
        name: text.split("<")[1][0] for name, text in document["recipe"]["activations"].items()
    }
    assert formats["x"] == "4" and set(formats.values()) == {"4", "6"}
    assert main([*map(str, tokens), "--bits-of", "hidden"]) == 2
    assert "names no width" in capsys.readouterr().err


def test_a_design_needs_fewer_multipliers_on_request(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The finding's multipliers are those of the design of what was written, at the same pace."""
    data, path = archive(tmp_path / "d.npz", model, 1500), tmp_path / "q.keras"
    document = answered(
        capsys, "quantize", model, "--bits", "6", "--data", data, "-o", path, "--method", "qat",
        "--epochs", "2", "--batch", "32", "--prune-multipliers", "0.5", "--device", "lfe5u-25f",
    )  # fmt: skip
    (finding,) = [line for line in document["findings"] if "multipliers" in line]
    interval, after, before = map(int, re.findall(r"(?<= )\d+", finding))
    assert after <= before / 2
    assert any(re.search(r"Filters left: hidden \d+ of 12", f) for f in document["findings"])
    paced = choose_folded("lfe5u-25f", interval)
    again = load(path)
    program = lower(again.graph, again.recipe).program
    assert paced.target.multipliers(program, paced.settings) == after
    cycles = {m.name: m.value for m in paced.target.estimate(program, paced.settings)}
    assert cycles["ii_cycles"] <= interval


def test_options_that_say_which_filters_go_exclude_each_other(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["quantize", str(model), "--data", str(archive(tmp_path / "d.npz", model, 300))]
    tokens += ["-o", str(tmp_path / "q.keras")]
    both = ["--method", "qat", "--prune-filters", "0.5", "--prune-multipliers", "0.5"]
    assert main([*tokens, *both]) == 2
    assert "which filters go" in capsys.readouterr().err
    assert main([*tokens, "--method", "qat", "--device", "lfe5u-25f"]) == 2
    assert "--prune-multipliers" in capsys.readouterr().err


def test_a_sensitivity_table_on_request(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = archive(tmp_path / "d.npz", model, 300)
    document = answered(
        capsys, "quantize", model, "--bits", "4", "--data", data, "--sensitivity",
        "-o", tmp_path / "r.toml",
    )  # fmt: skip
    names = {row["name"] for row in document["sensitivity"]}
    assert names == set(document["recipe"]["activations"]) | set(document["recipe"]["weights"])
    drops = [row["score_drop"] for row in document["sensitivity"]]
    assert drops == sorted(drops, reverse=True)


def test_every_way_to_place_a_binary_point_does_something(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(1).standard_t(2, size=(600, FEATURES))
    data = archive(tmp_path / "d.npz", model, 600, x=x)
    tokens = ["quantize", model, "--bits", "5", "--data", data, "-o", tmp_path / "r.toml"]
    digests = {
        way: answered(capsys, *tokens, "--calibration", way)["recipe"]["digest"]
        for way in ("outputs", "minmax", "percentile", "mse")
    }
    digests["90 %"] = answered(
        capsys, *tokens, "--calibration", "percentile", "--percentile", "90"
    )["recipe"]["digest"]
    assert len(set(digests.values())) == len(digests)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"x": np.full((200, FEATURES), 0.5)}, "constant"),
        ({"y": np.zeros(200)}, ""),  # one class only
        ({"x": outlier()}, "outliers"),
    ],
)
@pytest.mark.parametrize("method", ["ptq", "qat"])
def test_data_that_say_little_give_a_finding_and_a_sane_recipe(
    changes: dict[str, np.ndarray],
    word: str,
    method: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = archive(tmp_path / "d.npz", model, 200, **changes)
    more = ["--epochs", "1"] if method == "qat" else []
    document = answered(
        capsys, "quantize", model, "--bits", "6", "--method", method, *more, "--data", data,
        "-o", tmp_path / "q.keras",
    )  # fmt: skip
    assert any(word in finding for finding in document["findings"])
    again = load(tmp_path / "q.keras")
    assert {q.type.bits for _, q in again.recipe.activations} == {6}


def test_few_samples_serve_for_everything_and_that_is_said(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = archive(tmp_path / "d.npz", model, 9)
    document = answered(
        capsys, "quantize", model, "--bits", "6", "--method", "qat", "--epochs", "2",
        "--data", data, "-o", tmp_path / "q.keras",
    )  # fmt: skip
    assert any("too few to be shared out" in finding for finding in document["findings"])
    assert any("only 9 calibration samples" in finding for finding in document["findings"])


def test_samples_are_shared_out_in_order_and_none_is_lost() -> None:
    x = np.arange(1000.0)[:, None]
    parts = share_samples(Samples({"x": x}, "made"))
    held = [part.inputs["x"] for part in (parts.teach, parts.choose, parts.judge)]
    np.testing.assert_array_equal(np.concatenate(held), x)
    assert [len(part) for part in held] == [800, 100, 100]
    other = Samples({"x": x[:50]}, "other")
    apart = share_samples(Samples({"x": x}, "made"), other)
    assert apart.judge is other and len(apart.teach) + len(apart.choose) == 1000


def test_training_without_data_is_refused_with_the_remedy(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", str(model), "--method", "qat", "-o", str(tmp_path / "q.keras")]) == 2
    assert "--data d.npz" in capsys.readouterr().err


def test_a_reference_model_brings_its_own_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answered(capsys, "quantize", "jet-tagger", "-o", tmp_path / "r.toml")
    assert any("were simulated" in finding for finding in document["findings"])
    lost = document["metrics"]["float"]["auc"] - document["metrics"]["quantized"]["auc"]
    assert abs(lost) < 0.004  # 8 bits, and the author's weights as they are
    graph = load_reference("jet-tagger")
    lower(graph, Recipe.from_toml((tmp_path / "r.toml").read_text()))


def test_an_onnx_model_is_quantized_without_keras(model: Path, tmp_path: Path) -> None:
    data = archive(tmp_path / "d.npz", model, 200)
    code = f"""
import sys
from edgeinfer.cli.app import main
assert main(["quantize", {str(model)!r}, "--bits", "8", "--data", {str(data)!r},
             "--sensitivity", "-o", {str(tmp_path / "r.toml")!r}]) == 0
heavy = [name for name in ("tensorflow", "keras", "qkeras", "hls4ml") if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_search_fills_its_folder_and_goes_on_where_it_was(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = archive(tmp_path / "d.npz", model, 1500), tmp_path / "search"
    tokens = ["search", model, "--data", data, "--trials", "24", "--tolerance", "0.05"]
    tokens += ["--budget", "0.5", "--method", "qat", "-o", folder]
    first = answered(capsys, *tokens)
    points = {row["recipe"]: row for row in first["front"]}
    chosen, six = points[first["chosen"]], first["uniform"][4]
    assert six["bits"] == 6
    assert chosen["costs"]["ebops"] <= 0.5 * six["costs"]["ebops"]
    assert {"float", "chosen", "uniform_6"} == set(first["judged"])
    for name, row in points.items():
        result = load(folder / "models" / f"{name}.keras")
        assert lower(result.graph, result.recipe).program.macs > 0
        assert row["costs"]["weight_bits"] > 0
        text = (folder / "recipes" / f"{name}.toml").read_text()
        assert Recipe.from_toml(text).digest
    assert (folder / "front.svg").read_text().startswith("<svg")
    lines = (folder / "search.jsonl").read_text()
    second = answered(capsys, *tokens)
    assert second == first
    assert (folder / "search.jsonl").read_text() == lines


def test_a_search_may_save_what_a_target_estimates(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = archive(tmp_path / "d.npz", model, 300)
    tokens = ["search", model, "--data", data, "--trials", "10", "--tolerance", "0.1"]
    tokens += ["--target", "hls", "--device", "xc7a100t", "--cost", "lut", "-o", tmp_path / "s"]
    document = answered(capsys, *tokens)
    luts = [row["costs"]["lut"] for row in document["front"]]
    assert luts == sorted(luts) and luts[0] < document["uniform"][-1]["costs"]["lut"]
    assert {"dsp", "ff", "latency_cycles", "ebops"} <= set(document["front"][0]["costs"])
    assert main(["search", str(model), "--device", "xc7a100t", "-o", str(tmp_path / "t")]) == 2


def test_a_search_over_another_model_is_not_mixed_in(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = archive(tmp_path / "d.npz", model, 300), tmp_path / "search"
    tokens = ["search", str(model), "--data", str(data), "--trials", "3", "-o", str(folder)]
    assert main(tokens) == 0
    other = archive(tmp_path / "e.npz", model, 300, seed=5)
    assert main(["search", str(model), "--data", str(other), *tokens[4:]]) == 2
    assert "another search" in capsys.readouterr().err
