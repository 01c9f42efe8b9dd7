# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The HLS estimate, sources left out, and rule4ml 0.2.0 on the same published designs.

rule4ml needs PyTorch and is under the GPL, so it lives in an environment of its own (newer releases
of PyTorch and TensorFlow end in an error of LLVM where one process loads both):

    python -m venv /tmp/rule4ml
    /tmp/rule4ml/bin/pip install rule4ml==0.2.0 'torch<2.9' 'tensorflow<2.20'
    python -m tests.bench.bench_rule4ml /tmp/rule4ml/bin/python
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from edgeinfer.targets.hls.settings import Arithmetic
from tests.support.estimate_fit import AFTER, Residual, left_out
from tests.support.published_designs import Published, published

BOARDS = {"xc7z020": "pynq-z2", "xczu9eg": "zcu102", "xcu200": "alveo-u200", "xcvu9p": "alveo-u200",
          "xcu250": "alveo-u250", "xcvu13p": "alveo-u250"}  # fmt: skip
WORDS = {"input", "dense", "conv", "maxpool", "avgpool", "bn", "flatten", "relu", "sigmoid",
         "softmax", "tanh"}  # fmt: skip
RELEASES = ("2019.1", "2019.2", "2020.1", "2020.2", "2021.1", "2021.2", "2022.1", "2022.2",
            "2023.1", "2023.2", "2024.1", "2024.2")  # fmt: skip
ITS_NAMES = {"latency_cycles": "CYCLES", "ii_cycles": "INTERVAL", "dsp": "DSP", "lut": "LUT",
             "ff": "FF", "bram18": "BRAM"}  # fmt: skip
PREDICT = Path(__file__).with_name("rule4ml_predict.py")


def refusal(design: Published) -> str | None:
    """Why rule4ml cannot be asked; None where it can."""
    if board_of(design) is None:
        return "its part is on none of the four boards that rule4ml knows"
    if design.arithmetic is not Arithmetic.HLS4ML:
        return "not hls4ml's arithmetic"
    strange = {words[0] for words in words_of(design)} - WORDS
    if strange:
        return f"layers that rule4ml has no type for: {', '.join(sorted(strange))}"
    if not any(words[0] in ("dense", "conv") for words in words_of(design)):
        return "nothing but a pool or an activation, of which rule4ml was shown none"
    return None


def board_of(design: Published) -> str | None:
    """rule4ml's name for a board with the part."""
    return next((board for part, board in BOARDS.items() if design.part.startswith(part)), None)


def words_of(design: Published) -> list[list[str]]:
    """The network's layers, as the table writes them."""
    return [part.split() for part in design.network.split(";")]


def question(design: Published) -> dict[str, Any]:
    """A design as `rule4ml_predict.py` reads it."""
    layers: list[list[Any]] = []
    for word, *rest in words_of(design):
        sizes = [
            [int(n) for n in item.split("x")] for item in rest if re.fullmatch(r"[\dx]+", item)
        ]
        same, bias = "same" if "same" in rest else "valid", "nobias" not in rest
        if word == "dense":
            layers.append([word, sizes[0][0], bias])
        elif word == "conv":
            stride = int(rest[rest.index("stride") + 1]) if "stride" in rest else 1
            layers.append([word, sizes[0], sizes[1][0], stride, same, bias])
        elif word in ("maxpool", "avgpool"):
            layers.append([word, sizes[0], same])
        else:
            layers.append([word, *sizes])
    release = design.settings.tool_version or "2020.1"
    nearest = min(RELEASES, key=lambda known: (abs(float(known) - float(release)), known))
    return {
        "id": design.id,
        "layers": layers,
        "board": board_of(design),
        "strategy": design.settings.strategy.value.lower(),
        "precision": design.types.split(" ")[0].replace("fixed<", "ap_fixed<"),
        "reuse": list(design.reuse) or [1],
        "tool": nearest,
        "hls4ml": "0.8.1" if float(nearest) < 2023 else "1.1.0",
    }


def ask(python: str, designs: list[Published]) -> dict[str, dict[str, float] | str]:
    """rule4ml's answers by design."""
    with tempfile.TemporaryDirectory() as name:
        asked, answered = Path(name) / "asked.json", Path(name) / "answered.json"
        asked.write_text(json.dumps([question(design) for design in designs]))
        subprocess.run([python, str(PREDICT), str(asked), str(answered)], check=True)
        return json.loads(answered.read_text())  # type: ignore[no-any-return]


def show(title: str, rows: list[tuple[Residual, float]]) -> None:
    """Medians of both, over designs and with each source counted once."""
    print(f"\n{title}\n{'figure':16} {'designs':>8} {'this':>8} {'rule4ml':>8}   each source once")
    for figure in (*ITS_NAMES, *AFTER.values()):
        own: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for residual, predicted in rows:
            if residual.figure == figure and residual.error is not None:
                theirs = abs(predicted / residual.published - 1)
                own[residual.source].append((abs(residual.error), theirs))
        if own:
            pairs = np.array([pair for each in own.values() for pair in each])
            by_source = np.median([np.median(each, axis=0) for each in own.values()], axis=0)
            this, theirs = np.median(pairs, axis=0)
            print(
                f"{figure:16} {len(pairs):8} {this:8.1%} {theirs:8.1%}   "
                f"{by_source[0]:.1%} and {by_source[1]:.1%}, of {len(own)} sources"
            )


def main() -> None:
    """Ask both, print."""
    if len(sys.argv) < 2:
        print("Left out: name a Python that has rule4ml (see the docstring).")
        return
    used = [design for design in published() if not design.excluded]
    reasons = {design.id: refusal(design) for design in used}
    taken = [design for design in used if reasons[design.id] is None]
    print(f"{len(taken)} of {len(used)} designs can be put to rule4ml. The others:")
    for reason, count in Counter(filter(None, reasons.values())).most_common():
        print(f"  {count:3} {reason}")
    answers = ask(sys.argv[1], taken)
    for name, answer in answers.items():
        if isinstance(answer, str):
            print(f"  {name}: {answer}")
    rows = []
    stages = {design.id: design.stage for design in used}
    for residual in left_out(used).residuals:
        answer = answers.get(residual.id)
        if isinstance(answer, dict):
            name = residual.figure.removesuffix("_vsynth")
            rows.append((residual, answer[ITS_NAMES[name]]))
    show("All of them", rows)
    parallel = {design.id for design in taken if design.settings.io.value == "io_parallel"}
    show("io_parallel alone", [row for row in rows if row[0].id in parallel])
    print(f"\nstages of the reports: {dict(Counter(stages[name] for name in answers))}")


if __name__ == "__main__":
    main()
