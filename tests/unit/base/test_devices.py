# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Devices: complete, sourced, found by any of their names."""

from __future__ import annotations

import pytest

from edgeinfer.base.devices import KINDS, Device, device, devices, find, listed_parts, part_of
from edgeinfer.base.errors import UsageError

REQUIRED = ("xczu7ev", "xcku115", "xcu250", "xcu50", "xc7z020", "xc7a100t", "xcvu9p", "xcvu13p")
VENDOR_FREE = ("lfe5u-85f", "lifcl-40", "gw2a-18c", "ice40up5k", "coral")


@pytest.mark.parametrize("name", REQUIRED)
def test_the_parts_that_papers_use_have_full_budgets(name: str) -> None:
    result = device(name)
    assert result.part.startswith(name)
    assert set(result.budget) == {"dsp", "lut", "ff", "bram18", "uram"}
    assert result.budget["ff"] == 2 * result.budget["lut"]  # so it is in all of these families


def test_intel_parts_are_counted_in_their_own_kinds() -> None:
    for family in ("Arria 10", "Stratix 10 GX"):
        results = [known for known in devices() if known.family == family]
        assert results
        assert all({"dsp", "alm", "m20k", "ff"} == set(known.budget) for known in results)
        assert all(known.budget["ff"] == 4 * known.budget["alm"] for known in results)


@pytest.mark.parametrize("name", VENDOR_FREE)
def test_parts_without_hls_are_known(name: str) -> None:
    assert device(name).budget


def test_parts_of_a_family_are_known_by_their_names() -> None:
    assert device("xc7z007s-clg225-2").budget["dsp"] == 66
    assert part_of("xc7z007s-clg225-2") == "xc7z007s-clg225-2"
    assert device("xczu48dr").family == "Zynq UltraScale+ RFSoC"
    names = [known.name for known in (*devices(), *listed_parts())]
    assert len(names) == len(set(names))
    for known in listed_parts():
        assert known.part.lower().startswith(known.name) or known.vendor == "Gowin"
        assert find(known.part) is known
        assert "looked up in" in known.source or "compared in" in known.source
        assert known.memory_bits and known.budget["ff"] >= known.budget.get("lut", 0) * 0.75


@pytest.mark.parametrize("vendor, registers", [("AMD", 2), ("Intel", 4), ("Lattice", 1)])
def test_a_vendors_logic_has_so_many_registers(vendor: str, registers: int) -> None:
    """The law of the fabric: a LUT of AMD's has two registers, an ALM four. A slip in a number
    shows."""
    rows = [known for known in listed_parts() if known.vendor == vendor]
    for known in rows:
        logic = known.budget.get("lut") or known.budget["alm"]
        assert known.budget["ff"] == pytest.approx(registers * logic, rel=0.002), known.name
    assert rows


@pytest.mark.parametrize(
    "typed, name, memory",
    [
        ("5CSEBA6U23I7", "5cseba6", "m10k"),
        ("10CX220YF780E5G", "10cx220", "m20k"),
        ("AGIB027R29A1E2VR0", "agib027", "m20k"),
        ("xcvp1202-vsva2785-1LP-e-L", "xcvp1202", "bram18"),
        ("LFD2NX-40-8BG256C", "lfd2nx-40", "bram18"),
    ],
)
def test_other_vendors_parts_are_known_by_name(typed: str, name: str, memory: str) -> None:
    result = device(typed)
    assert result.name == name and result.budget[memory] > 0
    assert part_of(typed) == typed


def test_every_figure_has_a_source_and_a_known_kind() -> None:
    for known in devices():
        assert known.source and known.boards is not None
        assert set(known.budget) <= set(KINDS)
    names = [name for known in devices() for name in (known.name, *known.boards)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("xczu7ev", "xczu7ev"),
        ("ZCU104", "xczu7ev"),
        ("xczu7ev-fbvb900-1-i", "xczu7ev"),
        ("xc7z020-clg400-1", "xc7z020"),
        ("pynq-z2", "xc7z020"),
    ],
)
def test_a_device_has_many_names(name: str, wanted: str) -> None:
    assert device(name).name == wanted


def test_a_full_part_name_goes_to_the_tool_as_it_was_typed() -> None:
    assert part_of("xczu7ev-fbvb900-1-i") == "xczu7ev-fbvb900-1-i"
    assert part_of("zcu104") == "xczu7ev-ffvc1156-2-e"
    assert part_of("xczu7ev") == "xczu7ev-ffvc1156-2-e"


def test_a_misspelt_device_gets_the_nearest_names() -> None:
    with pytest.raises(UsageError, match=r"no device 'xcu25O'.*Did you mean 'xcu250'"):
        device("xcu25O")


def test_shares_know_what_a_part_does_not_have() -> None:
    part: Device = device("xc7z020")
    assert part.share("dsp", 110) == 0.5
    assert part.share("uram", 1) is None
    assert part.share("alm", 1) is None
