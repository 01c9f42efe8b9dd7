# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Tables with the columns of the field's jet benchmark (hls4ml_lhc_jets_hlf): 16 features whose
scales are far apart, and the kind of jet as a letter. The values are drawn here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

FEATURES = (
    "zlogz", "c1_b0_mmdt", "c1_b1_mmdt", "c1_b2_mmdt", "c2_b1_mmdt", "c2_b2_mmdt", "d2_b1_mmdt",
    "d2_b2_mmdt", "d2_a1_b1_mmdt", "d2_a1_b2_mmdt", "m2_b1_mmdt", "m2_b2_mmdt", "n2_b1_mmdt",
    "n2_b2_mmdt", "mass_mmdt", "multiplicity",
)  # fmt: skip
KINDS = ("g", "q", "t", "w", "z")
SCALES = np.array([1, 0.1, 0.05, 0.02, 0.1, 0.03, 1, 3, 1, 2, 0.1, 0.02, 0.2, 0.1, 80, 30])


def jet_table(count: int, *, seed: int) -> tuple[np.ndarray, list[str]]:
    """Features and kinds, which the features tell apart."""
    rng = np.random.default_rng(seed)
    kinds = np.concatenate([np.arange(5), rng.integers(0, 5, count)])[:count]
    means = np.random.default_rng(11).normal(size=(5, 16))
    x = (means[kinds] + rng.normal(size=(count, 16)) + 1.5) * SCALES
    return x.astype(np.float32), [KINDS[kind] for kind in kinds]


def write_arff(path: Path, x: np.ndarray, kinds: Sequence[str]) -> None:
    """As OpenML has it: the kinds are listed."""
    head = "".join(f"@ATTRIBUTE {name} REAL\n" for name in FEATURES)
    body = _lines(x, kinds)
    path.write_text(f"@RELATION jets\n{head}@ATTRIBUTE class {{g, q, t, w, z}}\n@DATA\n{body}")


def write_csv(path: Path, x: np.ndarray, kinds: Sequence[str]) -> None:
    """With a header line."""
    path.write_text(f"{','.join(FEATURES)},class\n{_lines(x, kinds)}")


def _lines(x: np.ndarray, kinds: Sequence[str]) -> str:
    rows = zip(x.tolist(), kinds, strict=True)
    return "".join(f"{','.join(map(repr, row))},{kind}\n" for row, kind in rows)
