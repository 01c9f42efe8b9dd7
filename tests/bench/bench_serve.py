# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What serving costs: the hit taggers behind gRPC and HTTP against the engine in this process.

Both are measured in turns on this machine, which computes, serves and asks at once; the rate in the
process is that of raw integers at the same batch, as wide as the client sends them. Beside the
rates stand the processor times of the engine and of the server, and the share of the one in the
other, which other work on the machine moves less. Some rows read their integers from shared memory.
HTTP has no goal of its own. Then 64 clients of 16 samples, and the memory of the server over
100,000 requests.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from edgeinfer.ir.engine.engine import Engine
from edgeinfer.serve import ask
from edgeinfer.serve.client import Identity
from edgeinfer.serve.connect import connect
from edgeinfer.serve.load import LoadResult, LoadSettings, load_server
from edgeinfer.serve.shared import NO_PARTS
from edgeinfer.serve.tensors import DATATYPES, REAL, raw_dtype
from tests.support.hit_tagger_programs import FAITHFUL, INPUT, POOLED, hit_tagger, patches
from tests.support.serving import write_run

BATCH, CLIENTS = 256, 2
TURNS, SECONDS = 5, 3.0
SENT, SHARED = "", "shm"  # how an input travels: in the request, or in shared memory
GOALS = {
    ("grpc", "faithful", "FP32", SENT): 0.9,
    ("grpc", "pooled", "FP32", SENT): 0.5,
    ("grpc", "pooled", "INT16", SENT): 0.8,
    ("grpc", "pooled", "INT16", SHARED): 0.8,
    ("grpc", "pooled", "UINT8", SENT): 0.8,
    ("grpc", "pooled", "UINT8", SHARED): 0.8,
    ("http", "pooled", "FP32", SENT): 0.0,
    ("http", "pooled", "INT16", SENT): 0.0,
    ("http", "pooled", "UINT8", SENT): 0.0,
}
MANY_REQUESTS, WARM_REQUESTS = 100_000, 20_000
MOST_GROWTH = 0.05  # of the memory after the first requests


def in_process(engine: Engine, datatype: str) -> tuple[float, float]:
    """Samples a second without a server, and microseconds of processor time for each. Real numbers
    count as the narrowest integers that they are rounded to."""
    dtype = raw_dtype(INPUT) if datatype == REAL else DATATYPES[datatype]
    raw = {"patch": patches(BATCH).astype(dtype)}
    engine.run(raw)
    start, busy, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - start < SECONDS:
        engine.run(raw)
        done += BATCH
    used = time.process_time() - busy
    return done / (time.perf_counter() - start), 1e6 * used / done


def served(
    url: str, name: str, datatype: str, samples: int, load: LoadSettings, way: str = SENT
) -> LoadResult:
    """What clients see."""
    client = connect(url, Identity())
    try:
        model = ask.find_model(client, name, "")
        inputs = ask.draw_inputs(model, samples)
        tensors = [model.tensor(key, values, datatype) for key, values in inputs.items()]
        sharing = client.sharing(tensors) if way == SHARED else contextlib.nullcontext(NO_PARTS)
        with sharing as shared:
            prepared = client.prepare(name, "", tensors, shared)
            return load_server(url, Identity(), prepared, samples, load)
    finally:
        client.close()


def served_and_used(
    url: str, name: str, datatype: str, way: str, process: psutil.Process
) -> tuple[float, float]:
    """Samples a second of the server, and microseconds of its processor time for each."""
    client = connect(url, Identity())

    def counted() -> tuple[int, float]:
        (stats,) = client.ask("Statistics", name)["model_stats"]
        times = process.cpu_times()
        return int(stats.get("inference_count", 0)), times.user + times.system

    try:
        before, busy = counted()
        load = LoadSettings(CLIENTS, SECONDS, 0.5)
        rate = served(url, name, datatype, BATCH, load, way).samples_per_second
        after, used = counted()
    finally:
        client.close()
    return rate, 1e6 * (used - busy) / (after - before)


def memory_growth(url: str, process: psutil.Process) -> tuple[float, float, int]:
    """MB after the first requests and at the end, and how many requests there were."""
    done, first = 0, 0.0
    while done < MANY_REQUESTS:
        done += served(url, "pooled", "UINT8", 1, LoadSettings(8, 5.0, 0.0)).requests
        if not first and done >= WARM_REQUESTS:
            first = process.memory_info().rss / 1e6
    return first, process.memory_info().rss / 1e6, done


def main() -> int:
    """Print the tables; the exit code says whether the goals were met."""
    met = True
    with tempfile.TemporaryDirectory() as folder:
        programs = {a.name: hit_tagger(a).program for a in (POOLED, FAITHFUL)}
        runs = [write_run(Path(folder) / name, p) for name, p in programs.items()]
        engines = {name: Engine(program) for name, program in programs.items()}
        command = [sys.executable, "-m", "edgeinfer", "serve", *map(str, runs)]
        ports = [
            "--port-grpc",
            "0",
            "--port-http",
            "0",
            "--port-metrics",
            "0",
            "--json",
            "--shared-memory",
        ]
        with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            opened = json.loads(process.stdout.readline())
            urls = {by: f"{by}://127.0.0.1:{opened[f'{by}_port']}" for by in ("grpc", "http")}
            try:
                watched = psutil.Process(process.pid)
                print(f"{'by':>4} {'network':>9} {'sent as':>8} {'':>3} {'in process/s':>12} "
                      f"{'served/s':>9} {'share':>6} {'goal':>5} {'engine us':>10} "
                      f"{'server us':>10} {'share':>6}")  # fmt: skip
                for (by, name, datatype, way), goal in GOALS.items():
                    turns = [
                        (
                            *in_process(engines[name], datatype),
                            *served_and_used(urls[by], name, datatype, way, watched),
                        )
                        for _ in range(TURNS)
                    ]
                    share = median(there / here for here, _, there, _ in turns)
                    used_share = median(engine / server for _, engine, _, server in turns)
                    here, engine, there, server = (median(c) for c in zip(*turns, strict=True))
                    met &= share >= goal
                    print(f"{by:>4} {name:>9} {datatype:>8} {way:>3} {here:12,.0f} {there:9,.0f} "
                          f"{share:6.2f} {goal or '':>5} {engine:10.1f} {server:10.1f} "
                          f"{used_share:6.2f}", flush=True)  # fmt: skip
                for name in programs:
                    result = served(urls["grpc"], name, "FP32", 16, LoadSettings(64, 10.0, 1.0))
                    times = ", ".join(f"{k} {v:.1f}" for k, v in result.latencies_ms.items())
                    print(f"\n{name}, 64 clients of 16 samples: {result.samples_per_second:,.0f} "
                          f"samples/s, milliseconds {times}")  # fmt: skip
                first, last, done = memory_growth(urls["grpc"], watched)
                met &= last <= first * (1 + MOST_GROWTH)
                print(f"\nmemory of the server: {first:.0f} MB after {WARM_REQUESTS:,} requests, "
                      f"{last:.0f} MB after {done:,}")  # fmt: skip
            finally:
                process.terminate()
    print("goals met" if met else "GOALS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
