# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks with attention and norms of one sample, from the Keras file to simulated hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeinfer.targets.hls.csim import build as csim_build
from tests.support.command_line import design_figures, shown
from tests.support.rtl_designs import needs_verilator

SAMPLES = 60


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(csim_build, "FLAGS", ("-O0", "-w", "-pthread"))
    return tmp_path


def save_transformer(places: int, width: int, heads: int, blocks: int) -> None:
    """Attention, a norm, two dense layers and a norm, as often as wanted; then a mean."""
    keras = pytest.importorskip("keras")
    layers = keras.layers
    keras.utils.set_random_seed(3)
    x = keras.Input((places, 5), name="x")
    y = layers.Dense(width)(x)
    for _ in range(blocks):
        seen = layers.MultiHeadAttention(heads, width // heads)(y, y)
        y = layers.LayerNormalization()(layers.Add()([y, seen]))
        wide = layers.Dense(2 * width, activation="relu")(y)
        y = layers.LayerNormalization()(layers.Add()([y, layers.Dense(width)(wide)]))
    y = layers.Dense(3, name="out")(layers.GlobalAveragePooling1D()(y))
    keras.Model(x, y).save("net.keras")
    rng = np.random.default_rng(1)
    np.savez("data.npz", x=rng.normal(0, 1, (SAMPLES, places, 5)).astype(np.float32))


def compile_for_both(capsys: pytest.CaptureFixture[str], bits: int) -> Any:
    return shown(
        capsys,
        *("compile", "net.keras", "--data", "data.npz", "--bits", str(bits), "-o", "RUN"),
        *("--target", "hls", "--target", "rtl"),
    )


def assert_all_stages_agree(result: Any) -> None:
    pairs = {tuple(entry["pair"]): entry for entry in result["agreement"]}
    for stages in (("interpret", "engine"), ("engine", "csim"), ("engine", "rtl")):
        assert pairs[stages]["bit_identical"], stages
    assert not [text for text in result["findings"] if "wrong" in text]


@needs_verilator
def test_a_small_transformer_is_the_same_in_all_stages(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_transformer(places=3, width=4, heads=2, blocks=1)
    assert_all_stages_agree(compile_for_both(capsys, 6))


@pytest.mark.slow
@needs_verilator
def test_a_block_of_sixteen_particles_is_the_same_in_all_stages_and_fits(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_transformer(places=16, width=32, heads=4, blocks=1)
    result = compile_for_both(capsys, 8)
    assert_all_stages_agree(result)
    shares = {m["name"]: m["value"] for m in result["metrics"] if m["target"] == "rtl"}
    assert all(shares[f"{kind}_share"] < 80 for kind in ("lut", "ff", "dsp", "bram18"))


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
@needs_verilator
def test_a_block_of_sixteen_particles_is_routed(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Minutes of Yosys and tens of minutes of nextpnr, which end in a figure for the clock."""
    save_transformer(places=16, width=32, heads=4, blocks=1)
    result = shown(
        capsys,
        *("compile", "net.keras", "--data", "data.npz", "--bits", "8", "-o", "RUN"),
        *("--target", "rtl", "--device", "lfe5u-85f", "--synth", "--route"),
    )
    assert design_figures(result, "rtl", "synthesised")["lut"] < 83_640
    assert design_figures(result, "rtl", "routed")["fmax_mhz"] > 20
