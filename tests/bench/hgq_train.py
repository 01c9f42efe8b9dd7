# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""HGQ2's front of jet taggers, with alkaid's Verilog of each: run by its own interpreter, which has
hgq2 and alkaid, and no edgeinfer.

`python hgq_train.py JETS.npz FOLDER`, as `bench_hgq.py` calls it. One training with a rising weight
of the cost (beta); at the end of each cycle of the learning rate the network is written.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (64, 32, 32)
CYCLE, CYCLES = 20, 11  # epochs of each, and how many
BATCH, RATE = 1024, 3e-3
BETA = (1e-6, 1e-4)  # at the end of the first cycle, and at the end of the last
CUTOFF = 5.0  # of alkaid's delays in a stage, its own default
SHOWN = 2_000  # jets whose outputs HGQ2 states, for comparison


def build(inputs: int, kinds: int) -> Any:
    """The network, with the formats that HGQ2's own documentation begins with."""
    import keras
    from hgq.config import LayerConfigScope, QuantizerConfigScope
    from hgq.layers import QDense

    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=BETA[0]),
    ):
        hidden = [QDense(size, activation="relu") for size in SIZES]
        return keras.Sequential([keras.Input((inputs,)), *hidden, QDense(kinds)])


def train(model: Any, jets: Any, folder: Path) -> list[Path]:
    """The networks at the ends of the cycles, as files."""
    import keras
    from hgq.utils.sugar import BetaScheduler, PieceWiseSchedule

    x, y = jets["x"], jets["y"]
    steps = CYCLE * -(-len(x) // BATCH)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecayRestarts(RATE, steps, t_mul=1.0, alpha=0.02)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
    )
    ends = [(CYCLE, BETA[0], "log"), (CYCLE * CYCLES, BETA[1], "constant")]
    rise = BetaScheduler(PieceWiseSchedule([(0, BETA[0], "constant"), *ends]))
    paths: list[Path] = []
    for cycle in range(CYCLES):
        first = cycle * CYCLE
        model.fit(x, y, BATCH, first + CYCLE, initial_epoch=first, verbose=0, callbacks=[rise])
        paths.append(folder / f"{cycle + 1:02}.keras")
        model.save(paths[-1])
        print(f"cycle {cycle + 1} of {CYCLES}", flush=True)
    return paths


def write_verilog(path: Path, jets: Any) -> dict[str, Any]:
    """alkaid's pipeline of a network, beside its file; and what the network is."""
    import keras
    from alkaid.codegen import RTLModel
    from alkaid.converter import trace_model
    from alkaid.trace import trace
    from hgq.utils import trace_minmax

    model = keras.models.load_model(path)
    ebops = trace_minmax(model, np.concatenate([jets["x"], jets["x_choose"]]))
    model.save(path)
    logic = trace(*trace_model(model))
    plain = trace(*trace_model(model), optimize=False)  # shows whether its passes change integers
    pipeline = RTLModel(
        logic, path.with_suffix(""), "net", latency_cutoff=CUTOFF, print_latency=False
    )
    pipeline.write()
    shown = jets["x_choose"][:SHOWN]
    outputs = np.asarray(model.predict(shown, verbose=0))
    np.save(path.with_suffix(".npy"), outputs)
    return {
        "name": path.stem,
        "ebops": float(ebops),
        "stages": pipeline.latency,
        "alkaid_differs": count_different(logic, shown, outputs),
        "alkaid_plain_differs": count_different(plain, shown, outputs),
    }


def count_different(logic: Any, jets: Any, outputs: Any) -> int:
    """Jets for which alkaid's emulation of its logic has other outputs than HGQ2."""
    emulated = np.asarray(logic.predict(np.asarray(jets, np.float64))).reshape(outputs.shape)
    return int((emulated != outputs).any(axis=1).sum())


def main() -> None:
    """Train, write, describe."""
    import keras

    folder = Path(sys.argv[2])
    jets = dict(np.load(sys.argv[1]))
    keras.utils.set_random_seed(int(jets["seed"]))
    started = time.perf_counter(), time.process_time()
    model = build(jets["x"].shape[1], int(jets["y"].max()) + 1)
    paths = train(model, jets, folder)
    document = {
        "seconds": round(time.perf_counter() - started[0], 1),
        "processor_seconds": round(time.process_time() - started[1], 1),
        "versions": {name: version(name) for name in ("hgq2", "alkaid", "keras", "tensorflow")},
        "networks": [write_verilog(path, jets) for path in paths],
    }
    (folder / "front.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
