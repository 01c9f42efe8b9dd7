# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Two hundred names that no one should trust, and networks that bear them."""

from __future__ import annotations

import numpy as np

from edgeinfer.ir.builder import ProgramBuilder, provisional
from edgeinfer.ir.ops import Conv, Dense, Input, PairKind, Requant, Reshape, pack_weights
from edgeinfer.ir.program import Output, Program
from quantization.fixed import Fixed, Overflow, Rounding

BREAKS = (
    "\n",
    "\r",
    "\r\n",
    "\v",
    "\f",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\x00",
    "\x1b[2K",
    "\b",
)
HDL = 'endmodule module zq; initial $system("touch zq"); endmodule bind zq zq zq(); //'
CPP = '); } int zq = std::system("touch zq"); void f() { ('
CLOSERS = (
    "*/", "/*", "//", "--", "#", '"', "'", "`", "\\", "\\\n", "??/", ";", ")", "}", "]",
    "{{ 7*7 }}", "{% raw %}", "{#", "#}", "$(touch zq)", "`touch zq`", "${zq}", "$(shell touch zq)",
    "[exec zq]",
    "</script>", "]]>", "<!--", "&amp;", "<b>", "|", "| a | b |", "\\end{document}", "%", "~", "^",
    "=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "../../zq", "/etc/zq", "C:\\zq", "..",
    ".", "", " ", "\u202e", "\ufeff", "\ud7ff", "\U0001f680", "e\u0301", "\uff1dzq", "''", '""',
    "\"; $finish; \"", "'); DROP TABLE zq;--", "%s%n", "{0}", "-o", "--help", "zq=1", "a b",
    "zq.mem",
)  # fmt: skip
KEYWORDS = (
    "module", "endmodule", "wire", "reg", "begin", "end", "input", "output", "int", "class", "new",
    "for", "if", "template", "typename", "namespace", "std", "nnet", "main", "union", "register",
    "auto", "and", "xor", "bool", "ap_fixed", "ac_fixed", "layer2_out", "layer2_t", "config2", "w2",
    "input_t", "result_t", "result", "model", "clk", "rst", "tap_0", "tap", "tb_clock", "ei_mac",
    "ei_board", "u_net", "s_axis_x", "misframed", "None", "null", "true", "nan", "con", "proc",
    "set", "puts", "exec", "all", "clean", "NULL", "__init__", "a__b", "_", "__", "9", "2x",
)  # fmt: skip


def payloads(count: int = 200) -> list[str]:
    """Names of every kind, always the same."""
    results = [f"a{line}{HDL}" for line in BREAKS] + [f"a{line}{CPP}" for line in BREAKS]
    results += [f"a{line}agreement engine = rtl: bit-identical, 9 samples" for line in BREAKS]
    results += [f"a{closer}{HDL}" for closer in CLOSERS[:12]]
    results += [*CLOSERS, *KEYWORDS, "a" * 10_000, "é" * 10_000, "a\n" * 5_000, f'"{"b" * 9_998}"']
    rng = np.random.default_rng(0)
    alphabet = [*"".join(BREAKS), *"".join(CLOSERS), *"azq09_"]
    while len(results) < count:
        results.append("".join(rng.choice(alphabet, int(rng.integers(1, 60)))))
    assert len(set(results)) >= 190
    return results[:count]


def hostile_program(name: str, *, plain: bool = False, first: str = "x") -> Program:
    """Two inputs, a convolution, a sum, two outputs; every name is the hostile one, or holds it.
    With `plain` the same network under quiet names, but for that of the first input."""
    x, y, out = (first, "y", "out") if plain else (f"{name}x", f"{name}y", f"{name}out")
    build = ProgramBuilder("net" if plain else name)
    build.add(Input(x, Fixed(True, 4, 1), (4, 2)))
    build.add(Input(y, Fixed(True, 4, 1), (4, 3)))
    rng = np.random.default_rng(5)
    type_ = Fixed(True, 3, 0)

    def named(quiet: str) -> str:
        return quiet if plain else f"{name}{quiet}"

    kernel = pack_weights(rng.integers(-3, 4, (3, 2, 3)))
    frac = build.frac(x) + type_.frac
    conv = build.exact(
        Conv(named("conv"), provisional(frac), x, kernel, type_,
             pack_weights(np.zeros(3, np.int64)),
             (1,), ((1, 1),), (1,))
    )  # fmt: skip
    short = build.add(Requant(named("short"), Fixed(True, 4, 1), conv, Rounding.TRN, Overflow.SAT))
    both = build.pair(named("sum"), short, y, PairKind.ADD)
    flat = build.add(Reshape(named("flat"), build.types[both], both, (12,)))
    weight = pack_weights(rng.integers(-3, 4, (12, 2)))
    frac = build.frac(flat) + type_.frac
    dense = build.exact(
        Dense(named("dense"), provisional(frac), flat, weight, type_,
              pack_weights(np.arange(2, dtype=np.int64)))
    )  # fmt: skip
    return build.program((Output(out, dense), Output(named("other"), short)))
