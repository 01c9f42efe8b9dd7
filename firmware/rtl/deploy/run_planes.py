# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Hits of whole planes, on the board: python3 run_planes.py --data d.npz -o hits.npz

d.npz holds `planes` (planes, wires, pixels), as numbers of the network's input, and maybe `hits` of
the same shape, which says where the network is to be evaluated.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from driver import AcceleratorError
from planes import PlaneAccelerator


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("-o", "--output", default="hits.npz")
    options = parser.parse_args()
    try:
        with PlaneAccelerator() as accelerator, np.load(options.data) as arrays:
            marks = arrays["hits"] if "hits" in arrays.files else None
            planes = accelerator.find_hits(arrays["planes"], marks)
            seconds = accelerator.seconds
            names = [tensor["name"] for tensor in accelerator.records["outputs"]]
    except (AcceleratorError, OSError, KeyError) as error:
        sys.exit(f"run_planes.py: {error}")
    counts = [len(plane["wire"]) for plane in planes]
    outputs = {
        f"output_{name}": np.concatenate([p["outputs"][name] for p in planes]) for name in names
    }
    np.savez_compressed(
        options.output,
        plane=np.repeat(np.arange(len(planes)), counts),
        wire=np.concatenate([plane["wire"] for plane in planes]),
        pixel=np.concatenate([plane["pixel"] for plane in planes]),
        **outputs,
    )
    sys.stdout.write(
        f"{sum(counts):,} hits of {len(planes)} planes in {seconds:.3f} s, DMA included; they are "
        f"in {options.output}\n"
    )


if __name__ == "__main__":
    main()
