# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A SoC's part with a design in it, as LiteX and FuseSoC see it; run by a Python that has both:
``litex_session.py DESIGN OUT`` leaves the part's Verilog, the sources and the memories in OUT."""

import importlib.util
import sys
from pathlib import Path

from litex.build.generic_platform import Pins
from litex.build.lattice import LatticePlatform
from litex.gen import LiteXModule
from litex.gen.fhdl import verilog
from migen import ClockDomain

folder, out = map(Path, sys.argv[1:3])
spec = importlib.util.spec_from_file_location("litex_design", folder / "litex_design.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


class Part(LiteXModule):
    """A clock, and the design: its inputs are always valid, its outputs let go of."""

    def __init__(self, platform):
        self.cd_sys = ClockDomain()
        self.network = module.Accelerator(platform)
        ends = {name: end for name, end in vars(self.network).items() if hasattr(end, "payload")}
        sinks = [end for name, end in ends.items() if name.startswith("sink_")]
        sources = [end for name, end in ends.items() if name.startswith("source_")]
        self.comb += [sink.valid.eq(1) for sink in sinks] + [end.ready.eq(1) for end in sources]


platform = LatticePlatform("LFE5U-25F-6BG256C", [("clk", 0, Pins("P3"))], toolchain="trellis")
part = Part(platform)
out.mkdir()
made = verilog.convert(part, ios={part.cd_sys.clk, part.cd_sys.rst}, name="soc")
(out / "soc.v").write_text(str(made))
for source, language, *_ in platform.sources:
    assert language == "verilog"
    (out / Path(source).name).write_bytes(Path(source).read_bytes())
part.network.copy_memories(out)
