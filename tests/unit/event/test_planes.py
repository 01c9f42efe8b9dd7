# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Hits of a plane, tagged: places, edges, ways; wires that are at two places; what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeinfer.base.errors import EdgeInferError, InputError, UsageError
from edgeinfer.event import guard
from edgeinfer.event.event import (
    PlaneSettings,
    PlaneTags,
    check_hits,
    choose_hits,
    patch_of,
    picture_of,
    tag_planes,
)
from edgeinfer.event.places import count_touched
from edgeinfer.event.planes import WirePlane, of_data, simulate_planes
from edgeinfer.event.prefix import Cut, Obstacle
from edgeinfer.event.results import keep_tags, member_names, pack_tags
from edgeinfer.event.tagger import Way, build_tagger, choose_cut, patches_of
from edgeinfer.event.wires import lay_wires, read_wires, wrap_wires
from edgeinfer.graph import nodes as g
from edgeinfer.ir.interpret import interpret, results
from edgeinfer.ir.lower import lower
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Quantizer
from quantization.recipe import Recipe

RNG = np.random.default_rng(11)
SETTINGS = PlaneSettings(threshold_adc=5.0)


def tagger(pads: int = 0, pooled: bool = False) -> Program:
    side = 10 + 2 * pads
    places = 4 if pooled else side * side * 4
    nodes: tuple[g.Node, ...] = (
        g.InputNode("x", (12, 12, 1)),
        g.ConvNode(
            "c", "c", "x", RNG.normal(size=(3, 3, 1, 4)), None, (1, 1), ((pads, pads),) * 2, (1, 1)
        ),
        g.ActivationNode("r", "c", g.Function.RELU),
    )
    if pooled:
        window = ((side, side), (1, 1), ((0, 0), (0, 0)))
        nodes += (g.PoolNode("p", "r", g.PoolNodeKind.MAX, *window),)
    nodes += (
        g.ReshapeNode("f", "p" if pooled else "r", (places,)),
        g.DenseNode("d", "d", "f", RNG.normal(size=(places, 3)), None),
    )
    recipe = Recipe.of({"x": Quantizer.parse("ufixed<8,0>"), "r": Quantizer.parse("ufixed<6,2>")})
    return lower(g.Graph("tagger", nodes, ("d",)), recipe).program


def plane() -> np.ndarray:
    adc = RNG.normal(0, 1, size=(30, 40)).astype(np.float32)
    adc[5, 3:30] += 12
    adc[0, 0] = adc[29, 39] = 25.0
    return adc


def tag(program: Program, given: WirePlane, way: Way = Way.AUTO) -> PlaneTags:
    built = build_tagger(program, choose_cut(program, way))
    (tags,) = tag_planes(built, [given], SETTINGS)
    return tags


@pytest.mark.parametrize("pooled", [False, True])
def test_each_hit_gets_the_outputs_of_the_patch_around_it(pooled: bool) -> None:
    program, adc = tagger(pooled=pooled), plane()
    tags = tag(program, WirePlane("p", adc))
    charged = adc >= 5.0
    assert [tuple(hit) for hit in tags.hits] == list(zip(*np.nonzero(charged), strict=True))
    assert tags.occupancy == charged.mean()
    patches = patches_of(picture_of(program, adc, charged, SETTINGS), tags.hits, (12, 12))
    raw = np.minimum(np.round(adc[tuple(tags.hits.T)] / 30 * 256), 255)
    assert patches[:, 6, 6, 0].tolist() == raw.tolist()  # the hit is at the patch's centre
    expected = results(program, interpret(program, {"x": patches}))
    assert (tags.tagged.outputs["d"] == expected["d"]).all()


def test_the_two_ways_agree_and_the_check_sees_a_difference() -> None:
    program, adc = tagger(), plane()
    each = tag(program, WirePlane("p", adc), Way.PATCHES).tagged
    tags = tag(program, WirePlane("p", adc), Way.FOOTPRINT)
    assert (each.outputs["d"] == tags.tagged.outputs["d"]).all()
    assert tags.tagged.macs < each.macs == program.macs * len(tags.hits)
    plain = build_tagger(program, Obstacle(""))
    assert check_hits(plain, tags, SETTINGS, 8) == (0, 8)
    tags.tagged.outputs["d"][0, 1] += 1
    assert check_hits(plain, tags, SETTINGS, 8) == (1, 8)


def test_what_patches_do_not_share_is_named() -> None:
    with pytest.raises(UsageError, match="share nothing: %c pads") as error:
        choose_cut(tagger(pads=1), Way.FOOTPRINT)
    assert "--way patches" in error.value.hint
    assert isinstance(choose_cut(tagger(pads=1), Way.AUTO), Obstacle)
    assert isinstance(choose_cut(tagger(pooled=True), Way.FOOTPRINT), Cut)


def test_what_is_no_tagger_is_refused() -> None:
    dense = g.DenseNode("d", "d", "x", np.ones((4, 1)), None)
    flat = lower(g.Graph("mlp", (g.InputNode("x", (4,)), dense), ("d",)), Recipe()).program
    with pytest.raises(UsageError, match="is not a tagger"):
        patch_of(flat)


def test_a_wrapped_wire_is_at_two_places_and_its_hits_are_tagged_once() -> None:
    adc = np.zeros((10, 20), np.float32)
    adc[1, 3:9] = 9.0  # on the face where the channel begins
    adc[8, 12] = 7.0  # on the other face
    adc[7:, 12] += 6.0
    read, channel_of = wrap_wires(adc, 3)
    assert channel_of.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]
    assert read[1].tolist() == read[8].tolist() == (adc[1] + adc[8]).tolist()
    inputs = WirePlane("p", read, channel_of)
    hits = choose_hits(inputs, read >= 5, (5, 5))
    once = {(int(channel_of[wire]), int(pixel)) for wire, pixel in hits}
    assert len(once) == len(hits) == 6 + 3
    assert {tuple(hit) for hit in hits.tolist()} >= {(1, pixel) for pixel in range(3, 9)}
    tags = tag(tagger(), inputs)
    row = keep_tags(tags, 0)
    assert row.channel is not None and row.channel.tolist() == channel_of[row.hits[:, 0]].tolist()


def test_a_hit_at_two_places_is_tagged_where_more_charge_is_around() -> None:
    read = np.zeros((8, 30), np.float32)
    channel_of = np.array([0, 1, 2, 3, 4, 5, 0, 1])
    read[:, 10] = 9.0
    read[4:6, 8:13] = 9.0  # beside places 6 and 7, which are channels 0 and 1 again
    hits = choose_hits(WirePlane("p", read, channel_of), read >= 5, (5, 5))
    assert [6, 10] in hits.tolist() and [0, 10] not in hits.tolist()


def test_simulated_wires_return_and_a_map_does_the_same_to_data(tmp_path: Path) -> None:
    (result,) = simulate_planes(3, 1, 40, 60, wrapped_wires=5)
    assert result.channel_of is not None and (result.adc[:5] == result.adc[-5:]).all()
    np.save(tmp_path / "channels.npy", result.adc[None, :35])
    np.save(tmp_path / "map.npy", result.channel_of)
    (read,) = of_data(tmp_path / "channels.npy", read_wires(tmp_path / "map.npy"))
    assert (read.adc == result.adc).all()
    with pytest.raises(UsageError, match="21 wires cannot return in a plane of 40"):
        next(iter(simulate_planes(3, 1, 40, 60, wrapped_wires=21)))


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (np.zeros((2, 2), np.int64), "one row of whole numbers"),
        (np.array([0.5]), "one row of whole numbers"),
        (np.array([-1, 0]), "no channels"),
        (np.array([], np.int64), "no channels"),
    ],
)
def test_a_map_that_is_none_is_refused(tmp_path: Path, held: np.ndarray, words: str) -> None:
    np.save(tmp_path / "map.npy", held)
    with pytest.raises(InputError, match=words):
        read_wires(tmp_path / "map.npy")


def test_a_map_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    adc = np.zeros((4, 5), np.float32)
    with pytest.raises(InputError, match="names channel 4, but p has 4 channels"):
        lay_wires(adc, np.array([0, 1, 2, 3, 4]), "p")
    with pytest.raises(InputError, match=r"leaves out 2 of the 4 channels of p: 1, 3\."):
        lay_wires(adc, np.array([0, 2]), "p")
    (tmp_path / "text.npy").write_text("0, 1")
    with pytest.raises(InputError, match="is not a NumPy array"):
        read_wires(tmp_path / "text.npy")


def refusal(settings: PlaneSettings, adc: np.ndarray) -> EdgeInferError:
    program = tagger()
    cut = choose_cut(program, Way.AUTO)
    assert isinstance(cut, Cut)
    with pytest.raises(EdgeInferError) as error:
        guard.check_plane(program, cut, WirePlane("p", adc), settings)
    return error.value


def test_a_threshold_that_makes_everything_a_hit_is_refused() -> None:
    error = refusal(PlaneSettings(threshold_adc=-100.0), plane())
    assert "1,200 of the 1,200 pixels of p (100%) reach -100 ADC" in error.message
    assert "above the noise" in error.hint
    assert "nan ADC" in refusal(PlaneSettings(threshold_adc=float("nan")), plane()).message


def test_a_plane_that_memory_cannot_hold_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(guard, "available_bytes", lambda: 100_000)
    error = refusal(SETTINGS, plane())
    assert "30 wires x 40 pixels with 29 hits" in error.message and "0.0 GB" in error.message
    assert "overlap by half a patch, 6 wires" in error.hint


def test_places_that_charge_touches_are_counted_before_they_are_made() -> None:
    charged = np.zeros((3, 7), np.bool_)  # smaller than what a place sees
    assert count_touched(charged, (5, 5)) == 0
    charged[1, 2] = True
    assert count_touched(charged, (5, 5)) == 25
    charged[1, 3] = True
    assert count_touched(charged, (5, 5)) == 30


def test_members_of_the_archive_have_plain_names(tmp_path: Path) -> None:
    program = tagger()
    names = ("../../evil", "wire", "Wire", "file", "a/b:0", "a b 0")
    outputs = tuple(Output(name, program.outputs[0].value) for name in names)
    renamed = Program("tagger", program.ops, outputs)
    tags = tag(renamed, WirePlane("p", plane()))
    path = tmp_path / "tags.npz"
    path.write_bytes(pack_tags(renamed, [keep_tags(tags, 0)]))
    with np.load(path) as held:
        assert set(held.files) == {"plane", "wire", "pixel", *member_names(renamed).values()}
    members = member_names(renamed)
    assert len({name.lower() for name in members.values()}) == len(names)
    assert all(name.replace("_", "").isalnum() for name in members.values())
    assert not {"wire", "file"} & set(members.values())
