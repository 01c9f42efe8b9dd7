# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The number formats in the C++ of a project, ours or one that hls4ml has made, layer by layer.

AMD's compilers have `ap_fixed`, Intel's and Siemens' `ac_fixed`. Calls for Intel's compilers do not
say which layer they are, but the types of each layer stand in a row and carry its name.
"""

from __future__ import annotations

import re
from pathlib import Path

FOLDERS = ("firmware", "src/firmware")
MOST_BYTES = 4 << 20  # of a file of types
CALL = re.compile(r"nnet::\w+<([^;]*?)>\([^;]*;(?:[ \t]*//[ \t]*(\w+)[ \t]*$)?", re.MULTILINE)
TYPEDEF = re.compile(r"typedef\s+(.+?)\s+(\w+);")
WORD = re.compile(r"nnet::array<(.*),[\d*]+>")  # of a stream, whose elements have the format
NUMBER = re.compile(r"(?:nnet::array<\s*)?a[cp]_")
OF_LAYER = re.compile(r"(\w+?)_(accum|result|weight|bias|table|exp_table|inv_table|inv_inp)_t")
AC_FIXED = re.compile(r"ac_fixed<(\d+),(-?\d+),(true|false)((?:,AC_\w+)*)>")
AC_INT = re.compile(r"ac_int<(\d+),(true|false)>")
FIXED = re.compile(r"(u?)fix(?:ed|pt)<([^,]*,[^,]*)((?:,[^,]*)*)>")
MODES = ("TRN", "WRAP")  # where none are stated


def types_in(text: str) -> dict[str, str]:
    """The types that a header defines, by name."""
    return {name: type_ for type_, name in TYPEDEF.findall(text)}


def plain_format(text: str) -> str:
    """A C++ type, or a precision of hls4ml, as our formats are written, both modes stated; what is
    no fixed-point number without spaces and prefixes."""
    plain = text.replace(" ", "").replace("hls::", "")
    if word := WORD.fullmatch(plain):
        plain = word[1]
    if fixed := AC_FIXED.fullmatch(plain):
        plain = f"{'' if fixed[3] == 'true' else 'u'}fixed<{fixed[1]},{fixed[2]}{fixed[4]}>"
    elif whole := AC_INT.fullmatch(plain):
        plain = f"{'' if whole[2] == 'true' else 'u'}int<{whole[1]}>"
    plain = re.sub(r"a[cp]_|A[CP]_", "", plain)
    if fixed := FIXED.fullmatch(plain):
        modes = fixed[3].split(",")[1:3]
        return f"{fixed[1]}fixed<{','.join((fixed[2], *modes, *MODES[len(modes) :]))}>"
    return plain


def types_of_layers(project: Path) -> dict[str, dict[str, str]]:
    """By layer, what its weight, bias, accum and result are."""
    text = "\n".join(_texts(project))
    types = {
        name: plain_format(type_) for name, type_ in types_in(text).items() if NUMBER.match(type_)
    }
    results = _layers_of_results(list(types))
    types_by_layer: dict[str, dict[str, str]] = {}
    for parameters, said in CALL.findall(text):
        words = [word.strip() for word in parameters.split(",")]
        number = re.search(r"config(\d+)", words[-1])
        if number is None or len(words) < 2:
            continue
        layer = said or results.get(words[-2])
        if not layer:
            continue
        names = {"result": words[-2]}
        names |= {kind: f"{layer}_{kind}_t" for kind in ("weight", "bias", "accum")}
        # As releases before 1.3 call them, and those for oneAPI.
        old = {"weight": (f"weight{number[1]}_t", f"w{number[1]}_t"),
               "bias": (f"bias{number[1]}_t", f"b{number[1]}_t")}  # fmt: skip
        names |= {kind: name for kind, each in old.items() for name in each if name in types}
        types_by_layer[layer] = {kind: types[name] for kind, name in names.items() if name in types}
    return types_by_layer


def _texts(project: Path) -> list[str]:
    paths = [
        path
        for folder in FOLDERS
        for path in (project / folder / "defines.h", *sorted((project / folder).glob("*.cpp")))
    ]
    readable = [path for path in paths if path.is_file() and path.stat().st_size <= MOST_BYTES]
    return [path.read_text(encoding="utf-8", errors="replace") for path in readable]


def _layers_of_results(names: list[str]) -> dict[str, str]:
    """The layer of each result's type, from the row in which types are written: what has no name
    of its own (`layer3_t`, `result_t`) stands among the other types of its layer."""
    layers: dict[str, str] = {}
    current, waiting = "", ""
    for name in names:
        match = OF_LAYER.fullmatch(name)
        if match is not None:
            current = match[1]
            if match[2] == "result":
                layers[name] = current
            if waiting:
                layers[waiting], waiting = current, ""
        elif re.fullmatch(r"layer\d+_t|result_t", name):
            if current and current not in layers.values():
                layers[name] = current
            else:
                waiting = name
    return layers
