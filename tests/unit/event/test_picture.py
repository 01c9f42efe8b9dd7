# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Pictures of planes: which point has which colour, which outputs are classes, which files."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from edgeinfer.base.errors import UsageError
from edgeinfer.base.png import encode_png
from edgeinfer.event.event import PlaneTags
from edgeinfer.event.page import picture_kind, render_pictures
from edgeinfer.event.picture import (
    CLASS_COLOURS,
    GROUND,
    MICHEL_COLOUR,
    TagScheme,
    choose_scheme,
    draw_panels,
    plane_figure,
    score_hits,
)
from edgeinfer.event.planes import WirePlane
from edgeinfer.event.tagger import PatchOutputs
from edgeinfer.ir.ops import Input
from edgeinfer.ir.program import HostFunction, Output, Program
from edgeinfer.report.draw.marks import Raster
from quantization.fixed import Fixed

TYPE = Fixed(True, 16, 8)
ONE = 1 << 8


def program(classes: int = 3, host: HostFunction = HostFunction.NONE) -> Program:
    ops = (Input("l", TYPE, (classes,)), Input("m", TYPE, (1,)))
    sigmoid = HostFunction.NONE if host is HostFunction.NONE else HostFunction.SIGMOID
    return Program("tagger", ops, (Output("label", "l", host), Output("michel", "m", sigmoid)))


def tags(shape: tuple[int, int] = (6, 9)) -> PlaneTags:
    """Hits: a sure track, a sure shower, a sure Michel electron."""
    adc = np.zeros(shape, np.float32)
    hits = np.array([[0, 0], [2, 4], [5, 8]])
    adc[tuple(hits.T)] = 30.0, 20.0, 10.0
    label = np.array([[ONE, 0, 0], [0, ONE, 0], [0, ONE, 0]])
    michel = np.array([[0], [0], [ONE]])
    return PlaneTags(
        WirePlane("p", adc), hits, PatchOutputs({"label": label, "michel": michel}, 0), 0.1, 0.1
    )


def decode_png(data: bytes) -> np.ndarray:
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, size = 8, b"", (0, 0)
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + content) == int.from_bytes(
            data[at + 8 + length : at + 12 + length]
        )
        if kind == b"IHDR":
            size = struct.unpack(">II", content[:8])
        body += content if kind == b"IDAT" else b""
        at += 12 + length
    lines = np.frombuffer(zlib.decompress(body), np.uint8).reshape(size[1], 1 + 3 * size[0])
    return lines[:, 1:].reshape(size[1], size[0], 3)


def test_hits_have_the_colours_of_their_classes_wires_to_the_right_and_time_up() -> None:
    result = program()
    scheme = choose_scheme(result, [])
    assert scheme == TagScheme("label", ("track", "shower", "none"), "michel")
    panels = draw_panels(result, scheme, tags())
    assert panels.tags.shape == panels.adc.shape == (9, 6, 3)
    assert tuple(panels.tags[-1, 0]) == CLASS_COLOURS[0]
    assert tuple(panels.tags[-1 - 4, 2]) == CLASS_COLOURS[1]
    assert tuple(panels.tags[0, 5]) == MICHEL_COLOUR
    assert (panels.tags.reshape(-1, 3) == GROUND).all(axis=1).sum() == 6 * 9 - 3
    brightness = panels.adc.astype(int).sum(axis=-1)
    assert brightness[-1, 0] > brightness[-5, 2] > brightness[0, 5] > brightness[3, 3]
    assert dict(panels.counts) == {"track": 1, "shower": 2, "none": 0, "Michel": 1}


def test_a_large_plane_keeps_its_largest_signals() -> None:
    result = program()
    few = tags((6, 9))
    adc = np.zeros((1000, 2100), np.float32)
    adc[7, 11], adc[6, 10] = 30.0, 5.0  # in one point of the picture
    hits = np.array([[6, 10], [7, 11]])
    label = np.array([[ONE, 0, 0], [0, ONE, 0]])
    outputs = PatchOutputs({"label": label, "michel": np.zeros((2, 1), int)}, 0)
    large = replace(few, plane=WirePlane("p", adc), hits=hits, tagged=outputs)
    panels = draw_panels(result, choose_scheme(result, []), large)
    assert panels.adc.shape == (700, 334, 3)
    assert tuple(panels.tags[699 - 11 // 3, 7 // 3]) == CLASS_COLOURS[1]
    figure = plane_figure(panels, choose_scheme(result, []), 0)
    assert "1,000 wires across, 2,100 pixels" in figure.sentence


def test_logits_become_shares_and_shares_stay() -> None:
    result = program()
    scheme = choose_scheme(result, [])
    shares, michel = score_hits(result, scheme, tags())
    assert shares[0].tolist() == [1.0, 0.0, 0.0] and michel.tolist() == [0.0, 0.0, 1.0]
    logits = tags()
    logits.tagged.outputs["label"][0] = [4 * ONE, 0, 0]
    logits.tagged.outputs["michel"][0] = -3 * ONE
    shares, michel = score_hits(result, scheme, logits)
    np.testing.assert_allclose(shares[0], np.exp([4, 0, 0]) / np.exp([4, 0, 0]).sum())
    np.testing.assert_allclose(michel[0], 1 / (1 + np.exp(3)))
    hosted = program(host=HostFunction.SOFTMAX)
    np.testing.assert_allclose(score_hits(hosted, scheme, logits)[0], shares)


def test_classes_have_names_and_what_has_none_is_refused() -> None:
    assert choose_scheme(program(2), []).classes == ("class 0", "class 1")
    assert choose_scheme(program(2), ["a", "b"]).classes == ("a", "b")
    ours, other = program(), replace(program(), outputs=program().outputs[:1])
    assert choose_scheme(ours, []).classes == ("track", "shower", "none")
    assert choose_scheme(other, []).classes == ("class 0", "class 1", "class 2")
    with pytest.raises(UsageError, match="names 2 classes; label has 3 channels"):
        choose_scheme(program(), ["a", "b"])
    with pytest.raises(UsageError, match="has none"):
        choose_scheme(program(1), [])
    with pytest.raises(UsageError, match="8 classes apart, not 9"):
        choose_scheme(program(9), [])
    with pytest.raises(UsageError, match="no kind of picture") as error:
        picture_kind(Path("event.bmp"))
    assert "event.html" in error.value.hint


def test_a_plane_is_a_file_and_a_page_holds_them_all() -> None:
    result = program()
    scheme = choose_scheme(result, ["<b>", "shower", "none"])
    panels = [draw_panels(result, scheme, tags()) for _ in range(2)]
    planes = [{"name": f"<i>{n}", "hits": 3, "occupancy": 0.1, "seconds": 1.0} for n in range(3)]
    document = {"model": "<script>", "program": "ab", "planes": planes}
    (page,) = render_pictures(Path("e.html"), document, panels, scheme).values()
    text = page.decode()
    assert text.count("<image ") == 2 * (2 + 1 + 4) and "first 2 of 3 planes" in text
    assert "<script>:" not in text and "<i>" not in text and "<b>" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert list(render_pictures(Path("e.svg"), document, panels, scheme)) == [
        Path("e-0.svg"),
        Path("e-1.svg"),
    ]
    (pdf,) = render_pictures(Path("e.pdf"), document, panels[:1], scheme).values()
    assert pdf.startswith(b"%PDF")


def test_a_picture_for_a_paper_has_the_planes_points_between_its_axes() -> None:
    result = program()
    scheme = choose_scheme(result, [])
    panels = draw_panels(result, scheme, tags())
    ((path, data),) = render_pictures(Path("e.png"), {}, [panels], scheme).items()
    assert path == Path("e.png")
    shown, figure = imread(io.BytesIO(data), format="png"), plane_figure(panels, scheme, 0)
    scale = shown.shape[1] / figure.width
    rasters = [mark for mark in figure.marks if isinstance(mark, Raster)]
    for mark, image in zip(rasters[:2], (panels.adc, panels.tags), strict=True):
        rows, columns, _ = image.shape
        down = (mark.y + (np.arange(rows) + 0.5) * mark.height / rows) * scale
        across = (mark.x + (np.arange(columns) + 0.5) * mark.width / columns) * scale
        points = shown[np.ix_(down.astype(int), across.astype(int))][..., :3] * 255
        assert np.abs(points - image).max() <= 1


def test_an_image_survives() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert (decode_png(encode_png(image)) == image).all()
