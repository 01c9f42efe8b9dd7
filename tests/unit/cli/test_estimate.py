# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The verbs of costs, as a shell sees them."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from edgeinfer.cli.app import main
from edgeinfer.report import words
from tests.support.small_models import archive, weights


def answered(capsys: pytest.CaptureFixture[str], *tokens: str) -> dict:
    assert main([*tokens, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_estimate_answers_with_bands(capsys: pytest.CaptureFixture[str]) -> None:
    document = answered(capsys, "estimate", "jet-tagger", "--device", "zcu104", "--bits", "8")
    metrics = {m["name"]: m for m in document["metrics"] if m["layer"] is None}
    assert {"latency_cycles", "ii_cycles", "dsp", "lut", "ff", "bram18"} <= set(metrics)
    for metric in document["metrics"]:
        assert metric["origin"] == "estimated"
        assert metric["low"] <= metric["value"] <= metric["high"]
    assert document["device"]["name"] == "xczu7ev"
    assert document["settings"]["part"] == "xczu7ev-ffvc1156-2-e"
    assert document["usage"]["dsp"]["offered"] == 1728
    layers = document["settings"]["layers"]
    assert len(layers) == 4 and all(layer["reuse"] == 1 for layer in layers.values())


def test_reuse_factors_are_chosen_for_a_latency(capsys: pytest.CaptureFixture[str]) -> None:
    document = answered(capsys, "estimate", "jet-tagger", "--bits", "8", "--latency-us", "3")
    assert any(layer["reuse"] > 1 for layer in document["settings"]["layers"].values())
    metrics = {m["name"]: m["value"] for m in document["metrics"] if m["layer"] is None}
    assert metrics["latency_us"] <= 3


def test_the_prose_shows_layers_bands_and_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "jet-tagger", "--bits", "6", "--io", "io_parallel"]) == 0
    output = capsys.readouterr().out
    assert "estimated, no tool was run" in output
    assert "dense1" in output and "between" in output
    assert "DSP" in output and "of 1,728" in output
    assert "docs/estimate.md" in output


def test_cycles_by_lit_pixels_are_told_in_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "labels.keras"
    image = keras.Input((8, 8, 1), name="image")
    lit = keras.ops.cast(keras.ops.greater(image, 0.03), "float32")
    x = keras.layers.Multiply()([image, lit])
    x = keras.layers.Multiply()([keras.layers.Conv2D(2, 3, padding="same")(x), lit])
    keras.Model(image, x).save(model)
    verb = ("estimate", str(model), "--bits", "8", "--target", "rtl", "--sparse", "tokens",
            "--event", "24x24")  # fmt: skip
    document = answered(capsys, *verb)
    assert main([*verb]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, title, last in (
        ("sites_cycles_most", "cycles of a frame, at most, by lit pixels: ", "64 [proved]"),
        ("sites_interval_estimated", "cycles from frame to frame, by lit pixels: ", "[estimated]"),
    ):
        (line,) = [line for line in lines if line.startswith(title)]
        assert line.endswith(last)
        metrics = [metric for metric in document["metrics"] if metric["name"] == name]
        entries = line.removeprefix(title).split(", ")
        assert len(entries) == len(metrics) > 0
        for metric, entry in zip(metrics, entries, strict=True):
            texts = [words.number(metric["value"])]
            if metric["low"] is not None:
                texts += [f"({words.number(metric['low'])} to {words.number(metric['high'])})"]
            assert entry.startswith(" ".join([*texts, "for "]))
            assert f" {metric['layer'].removesuffix(' sites')} " in f"{entry} "
    assert not any("sites" in line and "layers" in line for line in lines)


@pytest.mark.parametrize(
    "tokens, said",
    [
        (("--device", "xczu7"), "no device 'xczu7'"),
        (("--target", "hls", "--device", "coral"), "is not a device for the target hls"),
        (("--clock-ns", "0.1"), "clock of 0.1 ns"),
        (("--latency-us", "0.001"), "No reuse factors bring"),
        (("--bits", "99"), "99"),
    ],
)
def test_what_cannot_be_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], tokens: tuple[str, ...], said: str
) -> None:
    assert main(["estimate", "jet-tagger", *tokens]) == 2
    assert said in capsys.readouterr().err


def test_inputs_that_were_drawn_here_say_nothing_about_channels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = weights()
    dead["hidden/0"][:, 1] = dead["hidden/1"][1] = 0.0  # a unit that is always zero
    (tmp_path / "net.keras").write_bytes(archive(held=dead))
    document = answered(capsys, "estimate", str(tmp_path / "net.keras"), "--bits", "8")
    assert not [each for each in document["findings"] if "zero throughout" in each]


def test_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"xcu250", "10ax115", "lfe5u-85f"} <= {row["name"] for row in rows}
    assert main(["devices"]) == 0
    output = capsys.readouterr().out
    assert "xczu7ev" in output and "1,728 dsp" in output and "zcu104" in output
