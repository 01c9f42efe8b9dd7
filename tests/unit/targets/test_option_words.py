# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Settings as options of `compile`: who types them gets the settings again."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from edgeinfer.cli.app import build_app
from edgeinfer.cli.targets import TargetOptions, choose_targets
from edgeinfer.targets.options import option_words
from edgeinfer.targets.registry import choose

FULL = {"unroll": "full", "adder_tries": 10, "interface": "bare"}
FOLDS = (("--fold", "conv=4x9"), ("--fold", "dense=2x1"))
ON_BOARD = {"board": "ulx3s", "clock_mhz": 50.0, "waveform": True}


def settings_by_words(name: str, words: tuple[tuple[str, ...], ...]) -> Any:
    """What the command line makes of the words."""
    tokens = ["compile", "m.keras", "--target", name, *itertools.chain(*words)]
    _, bound, _ = build_app().parse_args(tokens, exit_on_error=False, print_error=False)
    (chosen,) = choose_targets([name], bound.arguments.get("options", TargetOptions()))
    return chosen.settings


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("rtl", {}),
        ("rtl", FULL),
        ("rtl", ON_BOARD),
        ("rtl", {"event": (480, 1000), "wires_at_once": 4, "hit_threshold": 3}),
        ("hls", {"board": "pynq-z2", "clock_ns": 8.0, "io": "io_parallel"}),
        ("hls", {"reuse": 4, "strategy": "resource", "part": "xczu7ev-ffvc1156-2-e", "fit": True}),
        ("hls", {"backend": "oneAPI", "latency_us": 0.5}),
    ],
)
def test_the_words_give_the_settings_again(name: str, given: dict[str, Any]) -> None:
    settings = choose(name, given).settings
    words = option_words(settings)
    assert bool(words) == bool(given)
    assert settings_by_words(name, words) == settings


def test_foldings_are_words_too() -> None:
    settings = settings_by_words("rtl", FOLDS)
    assert option_words(settings) == FOLDS
