# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors

"""Small quantized networks, brought exactly onto FPGAs and Edge TPUs.

model = edgeinfer.load("hit-tagger-pooled")
run = model.quantize(6).compile("runs/tagger", targets=["hls", "rtl"], device="zcu104")
print(run, run.exact, run.metrics)
"""

from __future__ import annotations

from typing import Any

from edgeinfer.base.version import __version__ as __version__

__all__ = [
    "compare",
    "compile",
    "detect",
    "fit",
    "learn",
    "load",
    "opened_run",
    "predict",
    "quantize",
    "simulate",
    "tag",
]


def __getattr__(name: str) -> Any:
    """The library's functions, imported when one is first asked for."""
    if name in __all__:
        import importlib

        return getattr(importlib.import_module("edgeinfer.api"), name)
    raise AttributeError(f"module 'edgeinfer' has no attribute {name!r}")
