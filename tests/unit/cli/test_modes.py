# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""`--rounding` and `--overflow`: what becomes of activations, from the command line and Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import edgeinfer
from edgeinfer.base.errors import UsageError
from edgeinfer.cli.app import main
from edgeinfer.ir.ops import Requant
from edgeinfer.ir.store import load as load_program
from edgeinfer.precision.ptq.settings import WRAP_MARGIN, PtqSettings
from edgeinfer.run.result import PROGRAM
from quantization.fixed import Fixed, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe
from tests.support.command_line import shown
from tests.support.small_models import classifier, data

UNROLLED = ("--target", "rtl", "--unroll", "full")


def inner(recipe: Recipe) -> set[tuple[Rounding, Overflow]]:
    return {(q.rounding, q.overflow) for name, q in recipe.activations if name != "x"}


def roundings_of(run: Path) -> set[Rounding]:
    program = load_program((run / PROGRAM).read_bytes())
    return {op.rounding for op in program.ops if isinstance(op, Requant)}


@pytest.mark.parametrize(
    ("rounding", "overflow", "modes"),
    [
        ("nearest", "saturate", (Rounding.RND, Overflow.SAT)),
        ("down", "wrap", (Rounding.TRN, Overflow.WRAP)),
        ("nearest-even", "saturate", (Rounding.RND_CONV, Overflow.SAT)),
    ],
)
def test_a_recipe_states_the_modes_and_compile_follows_them(
    tmp_path: Path, rounding: str, overflow: str, modes: tuple[Rounding, Overflow]
) -> None:
    net, samples, recipe = classifier(tmp_path), data(tmp_path), tmp_path / "r.toml"
    asked = ("--rounding", rounding, "--overflow", overflow, "--data", str(samples))
    assert main(["quantize", str(net), "--bits", "6", *asked, "-o", str(recipe)]) == 0
    written = Recipe.from_toml(recipe.read_text())
    assert inner(written) == {modes}
    assert written.activation("x") == Quantizer(written.activation("x").type)  # type: ignore[union-attr]
    run = tmp_path / "run"
    assert (
        main(["compile", str(net), "--recipe", str(recipe), "--target", "none", "-o", str(run)])
        == 0
    )
    assert modes[0] in roundings_of(run)


def test_qkeras_cannot_hold_other_modes_and_the_error_says_what_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, samples = classifier(tmp_path), data(tmp_path)
    code = main(
        [
            "quantize",
            str(net),
            "--rounding",
            "nearest",
            "--data",
            str(samples),
            "-o",
            str(tmp_path / "q.keras"),
        ]
    )
    assert code == 2
    said = capsys.readouterr().err
    assert "QKeras" in said and "q.toml" in said and "--recipe" in said


def test_an_unrolled_design_rounds_ties_up_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    net, samples = classifier(tmp_path), data(tmp_path)
    common = ("compile", str(net), "--bits", "6", "--data", str(samples))
    expected = {
        (*UNROLLED,): Rounding.RND,
        (*UNROLLED, "--rounding", "nearest-even"): Rounding.RND_CONV,
        ("--target", "rtl"): Rounding.RND_CONV,
        ("--target", "none"): Rounding.RND_CONV,
    }
    for number, (options, rounding) in enumerate(expected.items()):
        run = tmp_path / f"run{number}"
        assert main([*common, *options, "-o", str(run)]) == 0
        assert rounding in roundings_of(run) and len(roundings_of(run) - {Rounding.TRN}) == 1


@pytest.mark.parametrize(
    "modes", [(), ("--rounding", "nearest-even"), ("--bits-of", "hidden*=4", "--overflow", "wrap")]
)
def test_the_estimate_is_of_the_design_that_is_compiled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], modes: tuple[str, ...]
) -> None:
    net = classifier(tmp_path)
    shared = ("--bits", "6", *UNROLLED, "--device", "xcvu9p", *modes)
    result = shown(capsys, "estimate", str(net), *shared)
    run = tmp_path / "run"
    compiled = shown(capsys, "compile", str(net), *shared, "-o", str(run))
    luts = {
        origin: {
            m["value"] for m in document["metrics"] if m["name"] == "lut" and not m.get("layer")
        }
        for origin, document in (("estimate", result), ("compile", compiled))
    }
    assert luts["estimate"] and luts["estimate"] <= luts["compile"]


def test_what_wraps_without_a_proof_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, samples = classifier(tmp_path), data(tmp_path)
    texts = {}
    for overflow in ("wrap", "saturate"):
        words = ("compile", str(net), "--bits", "5", "--overflow", overflow, "--target", "none")
        result = shown(capsys, *words, "--data", str(samples), "-o", str(tmp_path / overflow))
        texts[overflow] = " ".join(result["findings"])
    assert "seen in samples, not proved" in texts["wrap"]
    assert "not proved" not in texts["saturate"]


def test_python_takes_the_same_words(tmp_path: Path) -> None:
    model = edgeinfer.load(classifier(tmp_path), data(tmp_path))
    quantized = edgeinfer.quantize(model, 6, refine=False, rounding="nearest", overflow="wrap")
    assert inner(quantized.recipe) == {(Rounding.RND, Overflow.WRAP)}
    with pytest.raises(UsageError, match="'up'"):
        edgeinfer.quantize(model, 6, rounding="up")  # type: ignore[arg-type]
    options = {"unroll": "full"}
    even, down = (
        edgeinfer.estimate(
            model, "xcvu9p", target="rtl", bits=6, rounding=rounding, options=options
        )
        for rounding in ("nearest-even", "down")
    )
    stages = [
        next(m["value"] for m in answer.document["metrics"] if m["name"] == "stages")
        for answer in (even, down)
    ]
    assert stages[1] < stages[0]
    assert not any("Ties" in finding for finding in down.document["findings"])


@pytest.mark.parametrize("most", [0.9, 1.0, 3.0, 3.3])
def test_a_format_that_wraps_holds_more_than_was_seen(most: float) -> None:
    settings = PtqSettings(6).with_modes("nearest", "wrap")
    narrow = Quantizer(Fixed(True, 6, 1))
    wide = settings.in_modes(narrow, -0.5, most)
    type_ = wide.type
    assert type_.bits == 6
    assert type_.raw_max * type_.lsb >= WRAP_MARGIN * most - type_.lsb / 2
    assert settings.in_modes(Quantizer(Fixed(True, 6, 5)), -0.5, most).type == Fixed(True, 6, 5)
    assert PtqSettings(6).in_modes(narrow, -0.5, most) == narrow


@pytest.mark.parametrize(
    ("options", "rounding"),
    [((), Rounding.RND), (("--rounding", "nearest-even"), Rounding.RND_CONV)],
)
def test_an_int8_chip_rounds_ties_up_unless_it_is_told_otherwise(
    tmp_path: Path, options: tuple[str, ...], rounding: Rounding
) -> None:
    net, samples, run = classifier(tmp_path), data(tmp_path), tmp_path / "run"
    command = ["compile", str(net), "--data", str(samples), "--target", "edgetpu", *options]
    assert main([*command, "-o", str(run)]) == 0
    recipe = Recipe.from_toml((run / "recipe.toml").read_text())
    assert {quantizer.rounding for _, quantizer in recipe.activations} == {rounding}
    assert {quantizer.type.bits for _, quantizer in recipe.activations} == {8}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--sparsity", "0.5"), "--sparsity"),
        (("--cost", "bytes"), "--cost bytes"),
        (("--at-most", "foo"), "--at-most foo"),
    ],
)
def test_tailor_refuses_what_would_do_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    folder = tmp_path / "made"
    command = ["tailor", "jet-tagger", "--data", str(data(tmp_path)), *options]
    assert main([*command, "-o", str(folder)]) == 2
    assert words in capsys.readouterr().err
    assert not folder.exists()
