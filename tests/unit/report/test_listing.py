# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The program to browse: links lead to values, places to lines that hold their names."""

from __future__ import annotations

from edgeinfer.report.page.listing import CodePlace, list_program
from edgeinfer.report.page.page import Wishes, html, report_on
from tests.support import report_results as results

PROGRAM = """(program net
  (%x (input shape=2) fixed<6,1> 2)
  (%fc (dense %x weight=<2x2>#1) fixed<9,3> 2)
  (%fc_relu (requant %fc) ufixed<6,2> 2)
  (output out %fc_relu))
"""
CODE = {
    "rtl/hdl/top.v": "wire a;\nwire [5:0] fc_relu_data;\nwire fc_valid;\nwire fcx;\n",
    "hls/top.cpp": "int i;\n\nnnet::dense(a, b); // fc\n",
}


def test_values_lead_to_what_they_read_and_to_their_code() -> None:
    lines = list_program(PROGRAM, CODE)
    by_name = {line.name: line for line in lines if line.name}
    assert list(by_name) == ["x", "fc", "fc_relu"]
    assert "".join(words for words, _ in lines[2].parts) == PROGRAM.splitlines()[2]
    assert [to for _, to in by_name["fc"].parts if to] == [by_name["x"].anchor]
    assert by_name["fc"].places == (CodePlace("rtl/hdl/top.v", 3), CodePlace("hls/top.cpp", 3))
    assert by_name["fc_relu"].places == (CodePlace("rtl/hdl/top.v", 2),)
    assert by_name["x"].places == ()


def test_the_page_holds_the_program_and_no_markup_of_names() -> None:
    hostile = PROGRAM.replace("%x ", "%<script>x ")
    program = list_program(hostile, {})
    page = html(report_on(results.good(), results.profile(), Wishes(program=program)))
    assert 'id="value-0"' in page and 'href="#value-1"' in page
    assert "<script>x" not in page and "%&lt;script&gt;x" in page
