# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The host of a design for whole planes on a Zynq board: planes to it by DMA, their hits back.

from planes import PlaneAccelerator

with PlaneAccelerator() as accelerator:
    for hits in accelerator.find_hits(planes):      # real numbers, (planes, wires, pixels)
        print(hits["wire"], hits["pixel"], hits["outputs"])
"""

from __future__ import annotations

import time

import numpy as np
from driver import (
    MOST_BYTES,
    Accelerator,
    AcceleratorError,
    beat_bytes,
    finish,
    frame_bytes,
    pack,
    to_raw,
    type_range,
    unpack,
)


class PlaneAccelerator(Accelerator):
    """A design for whole planes in the programmable logic."""

    def __init__(self, folder=None, download=True):
        super().__init__(folder, download)
        self.records = self.described["records"]

    def find_hits(self, planes, hits=None):
        """Planes of real numbers to the hits of each: wires, pixels, and real outputs by name.
        `hits`: which pixels are hits, beside those that reach the design's threshold."""
        results = self.find_raw_hits(to_raw(planes, self.records["pixel"]), hits)
        for plane in results:
            plane["outputs"] = {
                tensor["name"]: finish(
                    plane["outputs"][tensor["name"]] * 2.0 ** -tensor["fraction"], tensor["host"]
                )
                for tensor in self.records["outputs"]
            }
        return results

    def find_raw_hits(self, planes, hits=None):
        """The same with integers, a plane in a transfer."""
        layout = self.records
        planes = np.asarray(planes, np.int64)
        marks = np.zeros(planes.shape, bool) if hits is None else np.asarray(hits, bool)
        shape = (len(planes), layout["wires"], layout["pixels"])
        if planes.shape != shape or marks.shape != shape or not len(planes):
            raise AcceleratorError(
                f"planes have the shape {planes.shape}, marks of hits {marks.shape}, and the "
                f"design takes {shape}."
            )
        low, high = type_range(layout["pixel"])
        if planes.min() < low or planes.max() > high:
            raise AcceleratorError(f"The planes have values beyond {low}..{high}.")
        largest = layout["wires"] * layout["pixels"] * record_bytes(layout) + layout["hit_bytes"]
        size = min(largest, MOST_BYTES)
        began = time.monotonic()
        results = []
        for plane, marked in zip(planes, marks, strict=True):
            content = pack_plane(plane, marked, self.described)
            (records,) = self.exchange([content], [size], 1)
            results.append(read_records(records, layout))
        self.seconds = time.monotonic() - began
        return results


def pack_plane(plane, hits, described):
    """A plane of integers (wires, pixels) and its marks of hits as the bytes that the DMA sends."""
    bits = described["records"]["pixel"]["bits"]
    marked = (plane & ((1 << bits) - 1)) | (hits.astype(np.int64) << bits)
    return pack(marked.T[None], described["inputs"][0])


def record_bytes(layout):
    """Bytes of a hit with its outputs."""
    return layout["hit_bytes"] + sum(frame_bytes(output) for output in layout["outputs"])


def read_records(content, layout):
    """The hits of a plane, out of the bytes that came up to its mark."""
    size, place = record_bytes(layout), layout["wire_bits"] + layout["pixel_bits"]
    rows = -(-len(content) // size)
    table = np.zeros((rows, size), np.uint8)
    table.reshape(-1)[: len(content)] = content
    bits = np.unpackbits(table[:, : layout["hit_bytes"]], axis=1, bitorder="little")
    ends = np.flatnonzero(bits[:, place])
    if not len(ends):
        raise AcceleratorError("The records of a plane do not end with its mark.")
    table, bits = table[: ends[0]], bits[: ends[0]].astype(np.int64)
    wires, pixels = np.split(bits[:, :place], [layout["wire_bits"]], axis=1)
    outputs, at = {}, layout["hit_bytes"]
    for output in layout["outputs"]:
        count = frame_bytes(output)
        frames = np.ascontiguousarray(table[:, at : at + count])
        outputs[output["name"]] = unpack(frames.reshape(-1, beat_bytes(output)), output)
        at += count
    return {
        "wire": wires @ (1 << np.arange(wires.shape[1])),
        "pixel": pixels @ (1 << np.arange(pixels.shape[1])),
        "outputs": outputs,
    }
