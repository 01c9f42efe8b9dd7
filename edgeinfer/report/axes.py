# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The lines and numbers around a picture's points."""

from __future__ import annotations

from edgeinfer.report.marks import Label, Line, Mark
from edgeinfer.report.scales import Scale


def axes(across: Scale, up: Scale, x_title: str, y_title: str, kind: str = "ink") -> list[Mark]:
    """A grid at round numbers between the ends of two scales, and their titles."""
    left, right, bottom, top = across.start, across.stop, up.start, up.stop
    marks: list[Mark] = []
    for at, label in across.ticks():
        marks += [
            Line(((at, top), (at, bottom)), "grid"),
            Label(at, bottom + 18, label, "muted", "middle"),
        ]
    for at, label in up.ticks():
        marks += [
            Line(((left, at), (right, at)), "grid"),
            Label(left - 8, at + 4, label, "muted", "end"),
        ]
    return [
        *marks,
        Label((left + right) / 2, bottom + 42, x_title, kind, "middle"),
        Label(17, (top + bottom) / 2, y_title, kind, "middle", turned=True),
    ]
