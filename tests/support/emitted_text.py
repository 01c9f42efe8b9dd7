# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What emitted code is made of when its names are taken away."""

from __future__ import annotations

import re
from collections.abc import Mapping

BRACES = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
HASHES = re.compile(r'^\s*#[^\n]*|"(?:\\.|[^"\\\n])*"', re.MULTILINE)
WORD = re.compile(r"[A-Za-z_$][\w$]*")
NUMBER = re.compile(r"\d[\w.]*")
CODE = {
    **dict.fromkeys((".v", ".cpp", ".h", ".hpp", ".cst"), BRACES),
    **dict.fromkeys((".tcl", ".mk", "Makefile", ".lpf", ".pdc", ".ys", ".sh", ".txt"), HASHES),
    ".yml": HASHES,
    ".core": HASHES,
}


def is_code(path: str) -> bool:
    """Whether a machine reads a file as code."""
    return path.endswith(tuple(CODE)) and not re.search(
        r"weights/|ap_types|ac_types|nnet_utils/", path
    )


def skeleton(path: str, content: bytes) -> list[str]:
    """A file's tokens: strings and comments left out, every word and number alike."""
    text = content.decode("utf-8")
    odd = {c for c in text if c not in "\n\t" and not c.isprintable()}
    assert not odd, f"{path} holds {odd}"
    pattern = next(pattern for end, pattern in CODE.items() if path.endswith(end))
    bare = pattern.sub(lambda result: " S " if result[0].startswith('"') else " ", text)
    bare = NUMBER.sub("0", WORD.sub("I", bare))
    tokens = re.findall(r"I|0|[^\sI0]", bare)
    if path.endswith(
        (".yml", ".core")
    ):  # in the order of the names; what looks like a number is quoted
        return sorted(token for token in tokens if token != "'")
    return tokens


def skeletons(files: Mapping[str, bytes], own: str) -> dict[str, list[str]]:
    """All code of a plan, by file; `own` is the design's name, which files are called after."""
    return {
        re.sub(rf"(^|/){own}_", r"\1net_", path): skeleton(path, content)
        for path, content in files.items()
        if is_code(path)
    }
