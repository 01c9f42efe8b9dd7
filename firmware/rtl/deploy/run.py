# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Scores for a file of samples, on the board: python3 run.py --data d.npz -o scores.npz

The arrays of d.npz are called as the design's inputs are; a single input may be called x.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from driver import Accelerator, AcceleratorError


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("-o", "--output", default="scores.npz")
    parser.add_argument("--batch", type=int, default=256, help="frames in a transfer")
    options = parser.parse_args()
    try:
        with Accelerator() as accelerator, np.load(options.data) as arrays:
            names = [tensor["name"] for tensor in accelerator.inputs]
            if len(names) == 1 and names[0] not in arrays.files and "x" in arrays.files:
                samples = {names[0]: arrays["x"]}
            else:
                samples = {name: arrays[name] for name in names}
            accelerator.run({name: values[:1] for name, values in samples.items()})
            latency_us = accelerator.cycles / accelerator.clock_mhz
            scores = accelerator.run(samples, options.batch)
            count, seconds = len(samples[names[0]]), accelerator.seconds
    except (AcceleratorError, OSError, KeyError) as error:
        sys.exit(f"run.py: {error}")
    np.savez_compressed(options.output, **scores)
    sys.stdout.write(
        f"{count} samples in {seconds:.3f} s: {count / seconds:,.0f} a second, DMA included\n"
        f"one frame takes the design {latency_us:.3f} us; scores are in {options.output}\n"
    )


if __name__ == "__main__":
    main()
