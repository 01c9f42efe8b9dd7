# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The committed results of the reference models: complete, and true where that is cheap to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeinfer.base.plan import sha256_of
from edgeinfer.evaluate.profile.data import from_json as profile_from_json
from edgeinfer.report.page.page import Wishes, html, report_on
from edgeinfer.report.result import from_json
from reports.make.mixed import BITS
from reports.make.quantization import MIXED, file_of
from reports.make.results import FOLDER, KEPT, REFERENCES, ReferenceModel, make
from tests.support.places import ROOT

CHEAP = next(each for each in REFERENCES if each.name == "jet-tagger-6bit")


def committed(reference: ReferenceModel, name: str) -> str:
    return (ROOT / FOLDER / reference.name / name).read_text(encoding="utf-8")


def test_every_committed_model_has_its_result_and_report() -> None:
    """Those of two widths have a table of their own."""
    models = {path.stem for path in (ROOT / FOLDER / "quantization").glob("*.keras")}
    mixed = {Path(file_of(name, "mixed", BITS)).stem for name in MIXED}
    assert models == {reference.name for reference in REFERENCES} | mixed
    for reference in REFERENCES:
        assert all(committed(reference, name) for name in KEPT)


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda each: each.name)
def test_a_result_is_of_the_committed_model_and_agrees(reference: ReferenceModel) -> None:
    result = from_json(committed(reference, "result.json"), reference.name)
    model = ROOT / FOLDER / "quantization" / f"{reference.name}.keras"
    assert result.model.sha256 == sha256_of(model)
    assert not result.disagreements and set(result.targets) == set(reference.targets)
    profile = profile_from_json(committed(reference, "report_data.json"), reference.name)
    assert profile.program == result.program.digest
    page = committed(reference, "report.html")
    assert result.program.digest in page and len(page) < 1_500_000
    verdict = report_on(result, profile, Wishes()).verdict
    assert verdict.line.split(";")[0] in page


def test_a_page_is_what_its_result_gives() -> None:
    result = from_json(committed(CHEAP, "result.json"), "r")
    profile = profile_from_json(committed(CHEAP, "report_data.json"), "p")
    assert html(report_on(result, profile)) == committed(CHEAP, "report.html"), (
        "draw them anew with: python -m reports.make.results --pages"
    )


def test_the_cheap_part_comes_out_the_same(tmp_path: Path) -> None:
    run = tmp_path / CHEAP.name
    make(CHEAP, ROOT, run, targets=())
    result = from_json((run / "result.json").read_text(), "made")
    kept = from_json(committed(CHEAP, "result.json"), "kept")
    assert (
        result.program == kept.program and result.recipe == kept.recipe and result.data == kept.data
    )
    again, before = result.accuracy["quantized"], kept.accuracy["quantized"]
    assert again.accuracy == before.accuracy  # integers decide the same everywhere
    assert again.auc == pytest.approx(before.auc, abs=1e-9)
    assert result.accuracy["float"].auc == pytest.approx(kept.accuracy["float"].auc, abs=1e-4)
    profile = profile_from_json((run / "report_data.json").read_text(), "made")
    stored = profile_from_json(committed(CHEAP, "report_data.json"), "kept")
    for new, old in zip(profile.layers, stored.layers, strict=True):
        integers = {"float_rms", "error_rms", "rounding_rms"}
        assert new.model_dump(exclude=integers) == old.model_dump(exclude=integers)
        assert new.error_rms == pytest.approx(old.error_rms, rel=1e-3)
    values = {each.name: each.integers for each in profile.distributions}
    assert values == {each.name: each.integers for each in stored.distributions}
