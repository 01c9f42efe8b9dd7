# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors

"""Small quantized networks, brought exactly onto FPGAs and Edge TPUs.

model = edgeinfer.load("hit-tagger-pooled")
run = model.quantize(6).compile("runs/tagger", targets=["hls", "rtl"], device="zcu104")
print(run, run.exact, run.metrics)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeinfer.base.version import __version__ as __version__

if TYPE_CHECKING:
    from edgeinfer.api import (
        compare,
        compile,
        detect,
        fit,
        load,
        opened_run,
        predict,
        quantize,
        simulate,
        tag,
        tag_files,
    )
    from edgeinfer.library.boards import build_board, list_boards, load_board, run_board
    from edgeinfer.library.costs import check, devices, doctor, estimate, teach_estimates
    from edgeinfer.library.files import convert, export_onnx, inspect_file, map_files
    from edgeinfer.library.models import draw_data, models, train
    from edgeinfer.library.studies import opened_study, run_study
    from edgeinfer.library.widths import fine_tune, learn, search, tailor
    from edgeinfer.serve.background import open_server

__all__ = [
    "build_board",
    "check",
    "compare",
    "compile",
    "convert",
    "detect",
    "devices",
    "doctor",
    "draw_data",
    "estimate",
    "export_onnx",
    "fine_tune",
    "fit",
    "inspect_file",
    "learn",
    "list_boards",
    "load",
    "load_board",
    "map_files",
    "models",
    "open_server",
    "opened_run",
    "opened_study",
    "predict",
    "quantize",
    "run_board",
    "run_study",
    "search",
    "simulate",
    "tag",
    "tag_files",
    "tailor",
    "teach_estimates",
    "train",
]

_PLACES = {  # of what is not in edgeinfer.api
    "library.boards": ("build_board", "list_boards", "load_board", "run_board"),
    "library.costs": ("check", "devices", "doctor", "estimate", "teach_estimates"),
    "library.files": ("convert", "export_onnx", "inspect_file", "map_files"),
    "library.models": ("draw_data", "models", "train"),
    "library.studies": ("opened_study", "run_study"),
    "library.widths": ("fine_tune", "learn", "search", "tailor"),
    "serve.background": ("open_server",),
}


def __getattr__(name: str) -> Any:
    """The library's functions, imported when one is first asked for."""
    if name in __all__:
        import importlib

        place = next((module for module, names in _PLACES.items() if name in names), "api")
        return getattr(importlib.import_module(f"edgeinfer.{place}"), name)
    raise AttributeError(f"module 'edgeinfer' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What ``help(edgeinfer)`` and a notebook's completion show."""
    return sorted({*globals(), *__all__})
