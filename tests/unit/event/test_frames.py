# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Networks that label every pixel, at the hits of whole planes: the labels of the frame that a hit
lies in, what goes beyond a frame's limit of lit pixels, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import DisagreementError, UsageError
from edgeinfer.event import event
from edgeinfer.event.checked import build_checked, tag_arrays, tag_checked
from edgeinfer.event.event import PlaneSettings, tag_planes
from edgeinfer.event.files import Failure, FileJob, TagOrder, tag_file
from edgeinfer.event.picture import choose_scheme, draw_panels
from edgeinfer.event.planes import WirePlane
from edgeinfer.event.production import FileReading, plan_files
from edgeinfer.event.results import describe_event, keep_tags, list_sentences
from edgeinfer.event.tagger import Way, build_tagger, choose_cut
from edgeinfer.event.wires import wrap_wires
from edgeinfer.ir import store
from edgeinfer.ir.interpret import interpret
from edgeinfer.ir.program import Program
from quantization.fixed import Quantizer, quantize
from tests.support.sparse_programs import sparse_unet

SIDE, MOST = 16, 9
OCCUPANCIES = (0.0, 0.03, 0.2, 0.45)


def labeller(seed: int, most: int | None = MOST) -> Program:
    return sparse_unet(seed, size=SIDE, levels=2, convs=1, channels=2, most=most)


def random_adc(seed: int, occupancy: float, wires: int = 37, pixels: int = 50) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lit = rng.random((wires, pixels)) < occupancy
    return np.where(lit, rng.uniform(4.0, 60.0, lit.shape), rng.normal(0, 1, lit.shape)).astype(
        np.float32
    )


def frame_around(program: Program, adc: np.ndarray, wire: int, pixel: int, margin: int):
    """The frame that labels a hit, in the interpreter; and where the hit lies in it."""
    step = SIDE - 2 * margin
    first = (wire // step * step - margin, pixel // step * step - margin)
    frame = np.zeros((1, SIDE, SIDE, 1), np.int64)
    quantizer = Quantizer(program.inputs[0].type)
    for row, column in np.ndindex(SIDE, SIDE):
        y, x = first[0] + row, first[1] + column
        inside = 0 <= y < adc.shape[0] and 0 <= x < adc.shape[1]
        if inside and adc[y, x] >= 4.0:
            real = np.minimum(adc[y, x], np.float32(256)) / np.float32(16)
            frame[0, row, column, 0] = quantize(np.array(real, np.float64), quantizer)
    values = interpret(program, {"image": frame})
    return values, (wire - first[0], pixel - first[1])


@pytest.mark.parametrize("margin", [0, 2, 7])
@pytest.mark.parametrize("most", [None, MOST])
@pytest.mark.parametrize("occupancy", OCCUPANCIES)
def test_each_hit_gets_the_labels_of_its_frame(
    margin: int, most: int | None, occupancy: float
) -> None:
    program, adc = labeller(3, most), random_adc(5, occupancy)
    tagger = build_tagger(program, choose_cut(program, Way.AUTO, margin))
    (tags,) = tag_planes(tagger, [WirePlane("p", adc)], PlaneSettings(margin=margin), threads=2)
    assert tags.hits.tolist() == np.argwhere(adc >= 4.0).tolist()
    left_out = tags.tagged.left_out
    assert left_out is not None and len(left_out) == len(tags.hits)
    for number in range(0, len(tags.hits), max(1, len(tags.hits) // 40)):
        values, (row, column) = frame_around(program, adc, *tags.hits[number], margin)
        wanted = values["classes_of_pixels"][0, row, column]
        assert tags.tagged.outputs["classes"][number].tolist() == wanted.tolist()
        lost = most is not None and values["sites"][0, row, column, 0] == 0
        assert left_out[number] == lost


def test_frames_without_a_hit_are_left_out_and_a_small_plane_is_one_frame() -> None:
    program = labeller(1)
    adc = np.zeros((40, 60), np.float32)
    adc[3, 4] = adc[39, 59] = 20.0
    tagger = build_tagger(program, choose_cut(program, Way.AUTO))
    planes = [WirePlane("two", adc), WirePlane("none", adc * 0), WirePlane("small", adc[:5, :6])]
    two, none, small = tag_planes(tagger, planes, PlaneSettings())
    assert (two.tagged.frames, none.tagged.frames, small.tagged.frames) == (2, 0, 1)
    assert none.tagged.outputs["classes"].shape == (0, 3)
    assert small.tagged.outputs["classes"].tolist() == two.tagged.outputs["classes"][:1].tolist()


def test_a_channel_at_two_places_is_labelled_once() -> None:
    program = labeller(2, None)
    read, channel_of = wrap_wires(np.abs(random_adc(9, 0.1)), 6)
    tagger = build_tagger(program, choose_cut(program, Way.AUTO))
    (tags,) = tag_planes(tagger, [WirePlane("p", read, channel_of)], PlaneSettings())
    row = keep_tags(tags, 0)
    assert row.channel is not None
    once = set(zip(row.channel.tolist(), tags.hits[:, 1].tolist(), strict=True))
    assert len(once) == len(tags.hits) < (read >= 4.0).sum()


def test_the_busiest_frame_is_also_computed_everywhere(monkeypatch) -> None:
    program, settings = labeller(4), PlaneSettings()
    cut = choose_cut(program, Way.AUTO)
    checked = build_checked(program, cut, 32)
    planes = [WirePlane("p", random_adc(1, 0.2))]
    ((_, count),) = tag_checked(checked, planes, settings)
    assert count == 32
    original = event.check_hits

    def corrupted(plain, tags, settings, count):
        tags.tagged.outputs["classes"] += 1
        return original(plain, tags, settings, count)

    monkeypatch.setattr("edgeinfer.event.checked.check_hits", corrupted)
    with pytest.raises(DisagreementError, match="32 of 32 hits differ"):
        list(tag_checked(checked, planes, settings))


def test_what_goes_beyond_the_limit_is_counted_and_flagged() -> None:
    program = labeller(6)
    adc = random_adc(2, 0.3)
    arrays = tag_arrays(program, adc[None], 4.0)
    left_out = arrays["left_out"]
    assert 0 < left_out.sum() < len(left_out)
    assert not arrays["classes"][left_out].any()  # at pixels without a label all scores are zero
    tagger = build_tagger(program, choose_cut(program, Way.AUTO))
    (tags,) = tag_planes(tagger, [WirePlane("p", adc)], PlaneSettings())
    way = {"way": "frames", "reason": None, "products": None}
    document = describe_event(program, [keep_tags(tags, 0)], way)
    (plane,) = document["planes"]
    assert plane["hits_left_out"] == left_out.sum() and plane["frames"] == tags.tagged.frames
    assert f"{left_out.sum():,} hits beyond their limit" in list_sentences(document)[0]
    assert "left_out" not in tag_arrays(labeller(6, None), adc[None], 4.0)


def test_a_picture_has_the_classes_of_each_pixel() -> None:
    program = labeller(6, None)
    scheme = choose_scheme(program, ["track", "shower", "delta"])
    tagger = build_tagger(program, choose_cut(program, Way.AUTO))
    (tags,) = tag_planes(tagger, [WirePlane("p", random_adc(2, 0.1))], PlaneSettings())
    likeliest = tags.tagged.outputs["classes"].argmax(axis=1)
    panels = draw_panels(program, scheme, tags)
    assert list(panels.counts.values()) == np.bincount(likeliest, minlength=3).tolist()


def test_files_are_tagged_by_the_same_frames(tmp_path: Path) -> None:
    program, adc = labeller(6), random_adc(2, 0.3)
    (tmp_path / "program").write_bytes(store.save(program))
    np.save(tmp_path / "planes.npy", adc[None])
    order = TagOrder(tmp_path / "program", program.digest, PlaneSettings(margin=3), check=8)
    outcome = tag_file(FileJob(order, order.key, "planes", tmp_path / "planes.npy"))
    assert outcome.failure is None, outcome.reason
    assert outcome.planes[0]["checked_one_by_one"] == 8
    assert json.dumps(outcome.planes)
    reading = FileReading(PlaneSettings())
    production = plan_files(
        tmp_path / "program", program, reading, [tmp_path / "planes.npy"], tmp_path / "tags"
    )
    assert production.order.settings.scaling == "sixteenth"
    wrong = TagOrder(tmp_path / "program", program.digest, PlaneSettings(margin=8))
    outcome = tag_file(FileJob(wrong, wrong.key, "planes", tmp_path / "planes.npy"))
    assert outcome.failure is Failure.INPUT and "no inner part" in outcome.reason


def test_ways_and_margins_that_do_not_exist_are_refused() -> None:
    program = labeller(1)
    with pytest.raises(UsageError, match="labels every pixel of a frame"):
        choose_cut(program, Way.FOOTPRINT)
    for margin in (-1, SIDE // 2):
        with pytest.raises(UsageError, match="no inner part"):
            choose_cut(program, Way.AUTO, margin)
