# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""HGQ2's front of jet taggers on the jets of `bench_learned`, with alkaid's pipelines as Yosys
finds them: what `hgq_front.json` holds, and `bench_learned` prints beside its own.

hgq2 and alkaid (LGPL-3) live in an environment of their own:

    python -m venv /tmp/hgq
    /tmp/hgq/bin/pip install hgq2==0.2.0 alkaid==0.8.2 keras==3.15.0 tensorflow==2.21.0
    python -m tests.bench.bench_hgq /tmp/hgq/bin/python [--seed 0] [--folder F] [--write]

It trains on the jets that teach here, calibrates on them and on those that choose here, and is
judged on the same 50,000. Each file is read by this package's reader; on some jets its integers
must be HGQ2's own outputs. Synthesis is that of `measure_design`: the same script of Yosys
for UltraScale+, without DSP blocks. `--folder` keeps what was trained, or takes what is there;
`--write` renews the stored figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from edgeinfer.base.metrics import macro_auc
from edgeinfer.data.samples import Samples
from edgeinfer.evaluate.judge import raw_inputs
from edgeinfer.ir.engine.engine import Engine
from edgeinfer.ir.lower import LoweredModel
from edgeinfer.run.learned import lower_file
from edgeinfer.targets.rtl.tools.families import family_of
from edgeinfer.targets.rtl.tools.synthesis import VerilogSource, synthesise
from reports.make.quantization import CHOOSE_SEED, TEACH_SEED, TEST_SEED
from tests.bench.bench_learned import CHOOSING, STORED, TEACHING, TESTING, jets

TRAIN = Path(__file__).with_name("hgq_train.py")
MOST_EBOPS = 15_000  # of a network that is measured: larger ones take minutes to synthesise
SECONDS = 3000.0  # of a synthesis


def train_front(python: str, seed: int, choosing: Samples, folder: Path) -> None:
    """Networks and Verilog in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    x, kinds = arrays_of(jets(TEACH_SEED, TEACHING))
    path = folder / "jets.npz"
    np.savez(path, x=x, y=kinds, x_choose=arrays_of(choosing)[0], seed=seed)
    subprocess.run([python, str(TRAIN), str(path), str(folder)], check=True)


def arrays_of(samples: Samples) -> tuple[Any, Any]:
    """Features and kinds."""
    (x,), (kinds,) = samples.inputs.values(), samples.labels.values()
    return x.astype(np.float32), kinds.astype(np.int64)


def logits_of(lowered: LoweredModel, samples: Samples) -> Any:
    """What the integer network makes of jets, before the softmax."""
    program = lowered.program
    (own,), (x,), (output,) = program.inputs, samples.inputs.values(), program.outputs
    renamed = replace(samples, inputs={own.name: x}, labels={})
    raw = Engine(program).run(raw_inputs(program, lowered.recipe, renamed))[output.name]
    return raw * program.type(output.value).lsb


def count_equal(lowered: LoweredModel, choosing: Samples, path: Path) -> int:
    """How many jets were compared; the numbers here must be HGQ2's."""
    expected = np.load(path)
    actual = logits_of(lowered, choosing.part(0, len(expected)))
    np.testing.assert_array_equal(actual.reshape(expected.shape), expected)
    return len(expected)


def synthesise_verilog(folder: Path) -> dict[str, int]:
    """LUTs and flip-flops of alkaid's pipeline."""
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("src/**/*.v"))}
    files.pop("net_wrapper.v")
    source = VerilogSource(files, "net")
    total = synthesise(source, family_of("ultrascale+"), dsp=False, seconds=SECONDS).total
    return {"lut": int(total["lut"]), "ff": int(total["ff"])}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train if nothing is there, measure, print, store if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("python", nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    if options.python is None and options.folder is None:
        print("Left out: name a Python that has hgq2 and alkaid (see the docstring).")
        return 0
    judges, choosing = jets(TEST_SEED, TESTING), jets(CHOOSE_SEED, CHOOSING)
    kinds = arrays_of(judges)[1]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "front.json").is_file():
            train_front(options.python, options.seed, choosing, folder)
        document = json.loads((folder / "front.json").read_text(encoding="utf-8"))
        print(
            f"trained in {document['seconds']:.0f} s, {document['processor_seconds']:.0f} s of "
            f"processor time"
        )
        document["networks"] = [n for n in document["networks"] if n["ebops"] <= MOST_EBOPS]
        for network in document["networks"]:
            name, path = network["name"], folder / f"{network['name']}.keras"
            lowered = lower_file(path)
            network["compared_jets"] = count_equal(lowered, choosing, path.with_suffix(".npy"))
            probabilities = softmax(logits_of(lowered, judges), axis=1)
            network["auc"] = round(macro_auc(probabilities, kinds), 5)
            network |= synthesise_verilog(folder / name)
            print(network, flush=True)
    document |= {"seed": options.seed, "judged_jets": TESTING, "judged_seed": TEST_SEED}
    if options.write:
        STORED.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
