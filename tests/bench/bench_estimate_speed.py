# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""How long estimates take: of every reference model that ships its weights, after the start, and of
1,000 foldings of the jet tagger, for HLS and for RTL. Processor time, so that other work on the
machine does not count. Bounds that are missed are marked.

    python -m tests.bench.bench_estimate_speed
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Program
from edgeinfer.run.defaults import plain
from edgeinfer.run.estimate import program_for
from edgeinfer.targets.hls.estimate.estimate import with_reuse
from edgeinfer.targets.hls.estimate.reuse import layers_with_multipliers
from edgeinfer.targets.hls.settings import HlsSettings
from edgeinfer.targets.hls.target import HlsTarget
from edgeinfer.targets.rtl.design.layers import layers_of
from edgeinfer.targets.rtl.settings import Fold, RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.zoo import ENTRIES

SWEPT, FOLDINGS = "jet-tagger", 1000
MOST_SWEEP_SECONDS, MOST_MODEL_SECONDS = 10.0, 1.0
REUSE = (1, 2, 4, 8, 16, 32)
BITS = 8


def hls_settings(program: Program) -> Iterator[HlsSettings]:
    """Every choice of reuse factors, layer by layer."""
    names = [op.name for op in layers_with_multipliers(program)]
    for factors in itertools.product(REUSE, repeat=len(names)):
        yield with_reuse(HlsSettings(), dict(zip(names, factors, strict=True)))


def rtl_settings(program: Program) -> Iterator[RtlSettings]:
    """Folds drawn from the divisors of each layer's sizes."""
    rng = np.random.default_rng(1)
    layers = layers_of(fold_constants(program))

    def divisor(size: int) -> int:
        return int(rng.choice([d for d in range(1, size + 1) if size % d == 0][:6]))

    while True:
        folds = tuple(
            (layer.op, Fold(divisor(layer.outputs), divisor(layer.inputs))) for layer in layers
        )
        yield RtlSettings(part="lfe5u-85f", unroll="never", folds=folds)


def seconds_of(work: Callable[[], object]) -> float:
    """Processor time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Print, judge."""
    program, _ = program_for(Path(SWEPT), plain(BITS), None)
    hls, rtl = HlsTarget(), RtlTarget()
    asked = list(itertools.islice(hls_settings(program), FOLDINGS))
    folded = list(itertools.islice(rtl_settings(program), FOLDINGS))
    taken = {
        "hls": seconds_of(lambda: [hls.estimate(program, settings) for settings in asked]),
        "rtl": seconds_of(lambda: [rtl.estimate(program, settings) for settings in folded]),
    }
    for name, seconds in taken.items():
        verdict = "MISSED" if seconds > MOST_SWEEP_SECONDS else "held"
        message = f"{seconds:.1f} s of at most {MOST_SWEEP_SECONDS:g}"
        print(f"{FOLDINGS} foldings of {SWEPT}, {name}: {message}, {verdict}")
    for name in sorted(name for name, entry in ENTRIES.items() if entry.reference is not None):
        program, _ = program_for(Path(name), plain(BITS), None)
        spent = {}
        for target, settings in ((hls, HlsSettings()), (rtl, RtlSettings())):
            if target.check(program, settings):
                continue
            spent[target.stage] = seconds_of(lambda: target.estimate(program, settings))  # noqa: B023
        slow = any(seconds > MOST_MODEL_SECONDS for seconds in spent.values())
        text = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in spent.items())
        verdict = f"  MISSED (at most {MOST_MODEL_SECONDS:g} s)" if slow else ""
        print(f"{name:28} {text or 'neither target takes it'}{verdict}")


if __name__ == "__main__":
    main()
