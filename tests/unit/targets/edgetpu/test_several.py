# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""One network on several chips, several networks on one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeinfer.base.errors import UsageError
from edgeinfer.base.tflite import model as tflite
from edgeinfer.cli.app import main
from edgeinfer.targets.edgetpu.predict.latency import Link
from edgeinfer.targets.edgetpu.predict.prediction import prediction_of
from edgeinfer.targets.edgetpu.predict.several import predict_together, segments_of
from tests.support import tflite_builder as build
from tests.support.published_networks import resnet_50


def test_a_network_that_streams_does_not_on_enough_chips() -> None:
    whole = prediction_of(tflite.parse(resnet_50(), "resnet"))
    assert whole.memory.streamed_bytes > 10_000_000
    parts = segments_of(whole, 4)
    assert sum(part.memory.streamed_bytes for part in parts) == 0
    held = [part.memory.cached_bytes for part in parts]
    assert sum(held) == whole.memory.cached_bytes + whole.memory.streamed_bytes
    assert max(held) < 1.3 * min(held)  # layers are not cut
    ran = [index for part in parts for index in part.operators]
    assert ran == sorted(whole.mapping.on_chip)
    slowest = max(part.latency(Link.USB).value_us for part in parts)
    assert slowest < whole.latency(Link.USB).value_us / 3


def test_what_is_left_to_the_host_is_the_last_segments() -> None:
    tensors = [build.T(name, (1, 8, 8, 4)) for name in "xabc"]
    steps = [
        build.O("RELU", ("x",), ("a",)),
        build.O("RELU", ("a",), ("b",)),
        build.O("ELU", ("b",), ("c",)),
    ]
    result = prediction_of(tflite.parse(build.tflite(tensors, steps, ["x"], ["c"]), "net"))
    first, last = segments_of(result, 2)
    assert first.latency(Link.USB).host_us == 0 < last.latency(Link.USB).host_us
    for wrong in (0, 3, 99):
        with pytest.raises(UsageError, match=r"segments"):
            segments_of(result, wrong)


def test_models_that_share_a_chip_are_cached_in_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """2048 inputs by 2048 outputs are 4.2 MB: two fit, what is left does not hold a third."""
    paths = [tmp_path / f"{name}.tflite" for name in "abc"]
    for path in paths:
        path.write_bytes(build.dense(2048, 1900))
    result = predict_together(paths, 14)
    one = result[0].memory.cached_bytes
    assert one and result[1].memory.capacity_bytes == result[0].memory.capacity_bytes - one
    assert [bool(each.memory.streamed_bytes) for each in result] == [False, False, True]
    assert main(["map", *map(str, paths), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["models"]) == 3 and document["cached_bytes"] == 2 * one
    assert main(["map", *map(str, paths), "--segments", "2"]) == 2
    assert "share a chip" in capsys.readouterr().err
    assert main(["map", str(paths[0]), "--segments", "2", "--json"]) == 0
    cut = json.loads(capsys.readouterr().out)
    assert len(cut["segments"]) == 2
    assert cut["pipeline_interval_us"] < cut["pipeline_latency_us"]
