# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Resources reckoned without a tool, held against what Yosys found for the same designs."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeinfer.base.devices import device, devices
from edgeinfer.base.errors import UsageError
from edgeinfer.base.metrics import Origin
from edgeinfer.ir.largest_part import megabits
from edgeinfer.ir.passes import fold_constants
from edgeinfer.ir.program import Program
from edgeinfer.targets.rtl.design.build import build_netlist
from edgeinfer.targets.rtl.design.folding import keeping_up
from edgeinfer.targets.rtl.design.memory import hex_words
from edgeinfer.targets.rtl.design.netlist import Block, Netlist
from edgeinfer.targets.rtl.design.queues import with_queues
from edgeinfer.targets.rtl.estimate.blocks import (
    MODULES,
    count_pieces,
    count_rows,
    distinct_columns,
    parts_of,
)
from edgeinfer.targets.rtl.estimate.constant import constant_products, digits_of
from edgeinfer.targets.rtl.estimate.dead import dead_streams
from edgeinfer.targets.rtl.estimate.estimate import estimate_netlist, resource_metrics
from edgeinfer.targets.rtl.estimate.fabric import (
    amounts,
    blocks,
    fabric_of,
    known_fabrics,
    work_of,
)
from edgeinfer.targets.rtl.estimate.work import BlockParts, Memory, Multiplier, Work
from edgeinfer.targets.rtl.settings import RtlSettings
from edgeinfer.targets.rtl.target import RtlTarget
from edgeinfer.targets.rtl.tools.families import FAMILIES
from quantization.fixed import Fixed
from tests.support.hit_tagger_programs import FAITHFUL, POOLED, hit_tagger
from tests.support.rtl_library import LIBRARY
from tests.support.rtl_programs import dense_program, small_network
from tests.support.rtl_resources import DEVICES, designs, netlist_of, recorded

TARGET = RtlTarget()
CHECKED = (
    "small1", "small3", "dense16x8", "dense24x12", "network1-8", "network2-96", "network3-8",
    "network4-96",
)  # fmt: skip
FURTHER_OFF = {  # there, Yosys leaves out parts of multipliers, and of queues of flip-flops
    ("small3", "ice40"), ("network1-8", "ice40"),
    ("network3-8", "ice40"),  # two of eight multipliers have too few bits left for a DSP block
    ("network4-96", "ice40"),  # weights take two blocks more, and a pool's row none
}  # fmt: skip
PIPELINE = {"ei_binary", "ei_bound", "ei_branch", "ei_delay", "ei_issue", "ei_lookup", "ei_truth"}
INSIDE = {
    "alive",
    "ei_fifo",
    "ei_tree",
    "ei_choose",
    "ei_round",
    "ei_limit",
    "ei_tiles",
    "ei_site_tiles",
} | PIPELINE
BUDGETED = [d.name for d in devices() if "lut" in d.budget or "alm" in d.budget]


@pytest.mark.parametrize("name", CHECKED)
def test_small_designs_take_what_yosys_found(name: str) -> None:
    """A quarter is wide; medians over all designs are what the bench prints."""
    design = next(known for known in designs() if known.name == name)
    netlist = netlist_of(design)
    counts = recorded()[name]["counts"]
    assert {"ecp5", "7-series"} <= set(counts) <= set(DEVICES)
    for fabric, counted in counts.items():
        if (name, fabric) in FURTHER_OFF:
            continue
        actual, result = estimate_netlist(netlist, device(DEVICES[fabric])), counted["total"]
        assert actual.dsp is counted["dsp"], fabric
        assert set(actual.total) == set(result)
        for kind, amount in actual.total.items():
            rel = 0.25 if kind in ("lut", "ff") else 0.0
            assert amount == pytest.approx(result[kind], rel=rel), (fabric, kind)


def test_an_estimate_is_quick_and_has_bands_and_shares() -> None:
    program = hit_tagger(POOLED).program
    folded = fold_constants(program)
    netlist, _ = with_queues(build_netlist(folded, keeping_up(folded, 2304, RtlSettings())))
    started = time.process_time()
    metrics = resource_metrics(netlist, device("lfe5u-85f"))
    assert time.process_time() - started < 1.0
    results = {m.name: m for m in metrics if m.origin is Origin.ESTIMATED and m.layer is None}
    assert set(results) == {
        f"{kind}{ending}" for kind in ("lut", "ff", "dsp", "bram18") for ending in ("", "_share")
    }
    lut = results["lut"]
    assert lut.low is not None and lut.high is not None and lut.low < lut.value < lut.high
    assert results["lut_share"].value == pytest.approx(100 * lut.value / 83_640)
    by_block = [m for m in metrics if m.name == "lut" and m.layer]
    assert sum(m.value for m in by_block) == pytest.approx(lut.value, rel=0.01)


@given(st.integers(2, 12), st.booleans(), st.data())
def test_digits_of_a_constant_weight_are_the_weight(
    bits: int, signed: bool, data: st.DataObject
) -> None:
    type_ = Fixed(signed, bits, bits)
    weight = data.draw(st.integers(type_.raw_min, type_.raw_max))
    plus, minus = digits_of(weight, (bits + (0 if signed else 1) + 1) // 2)
    assert sum(plus) - sum(minus) == weight
    assert all(digit & (digit - 1) == 0 for digit in (*plus, *minus))


@pytest.mark.parametrize(
    "weights, register, add, digit",
    [
        ((0, 0), 0, 0, 0),
        ((1, 0), 8 + 4 + 4 + 4, 0, 0),  # delayed, as a part, as the product, and in the tree
        ((4, 0), 8 + 4 + 4 + 4, 0, 0),  # a shift is only wires
        ((1, 1), 16 + 8 + 8 + 5, 5, 0),
        ((1, 4), 16 + 8 + 8 + 7, 5, 0),  # the lowest two bits are added to nothing
        ((3, 0), 8 + 4 + 8 + 8, 0, 8),  # 4 - 1: of both the part is the input
        ((-1, 0), 8 + 4 + 8 + 8, 0, 8),
    ],
)
def test_constant_products_are_made_of_what_is_not_zero(
    weights: tuple[int, int], register: int, add: int, digit: int
) -> None:
    """Inputs of four bits without a sign, products of eight, one addition."""
    parameters: dict[str, int | str] = {
        "X_BITS": 4, "X_SIGNED": 0, "W_BITS": 4, "W_SIGNED": 1, "SIMD": 2, "PE": 1, "LEVELS": 1,
        "WEIGHTS": "w.mem",
    }  # fmt: skip
    word = sum((weight & 15) << (4 * lane) for lane, weight in enumerate(weights))
    block = Block("ei_mac", "mac", "y", parameters, (), (), (), {"w.mem": b"%x\n" % word})
    work, _ = work_of(constant_products(block, 8, 9), fabric_of("ecp5"), dsp=True)
    assert work.get(Work.REGISTER, 0) == register
    assert work.get(Work.ADD, 0) == add and work.get(Work.DIGIT, 0) == digit


def test_parts_that_yosys_knows_nothing_of_get_no_resources() -> None:
    metrics = TARGET.estimate(dense_program(4, 2), RtlSettings(part="arria10"))
    assert {m.name for m in metrics if m.origin is not Origin.PROVED} == {"energy_dynamic_nj"}
    with pytest.raises(UsageError, match="No costs are known for the fabric 'arria10'"):
        fabric_of("arria10")


def test_every_family_that_is_synthesised_is_estimated() -> None:
    assert {family.fabric for family in FAMILIES} == set(known_fabrics())


def test_every_module_is_described() -> None:
    assert {path.stem for path in LIBRARY.glob("*.v")} - INSIDE == set(MODULES)


def test_what_is_not_there_costs_nothing() -> None:
    """Weights of zero, equal columns of a memory, a counter of one state."""
    fabric = fabric_of("ecp5")
    assert amounts(BlockParts(), fabric, dsp=True) == {"lut": 0, "ff": 0, "dsp": 0, "bram18": 0}
    same = BlockParts(memories=(Memory(4, 100, rom=True, columns=0),))
    assert amounts(same, fabric, dsp=True)["lut"] == 0


@pytest.mark.parametrize("fabric", DEVICES)
def test_a_comparison_of_two_numbers_is_a_subtraction(fabric: str) -> None:
    """A LUT a bit at least; of a number and a constant it is less, and of zero nothing."""
    costs = fabric_of(fabric)
    two, one = ({kind: 16.0} for kind in (Work.COMPARE, Work.EQUAL))
    luts = [amounts(BlockParts(work), costs, dsp=True)["lut"] for work in (two, one)]
    assert luts[0] >= 16 and luts[0] > luts[1] > 0
    sizes = {"LANES": 2, "IN_BITS": 9, "OUT_BITS": 8, "HAS_LOW": 1, "HAS_HIGH": 0, "LOW": 0}
    sign, bound = (MODULES["ei_clip"](sizes | {"LOW": low}).work[Work.EQUAL] for low in (0, 3))
    assert (sign, bound) == (0, 18)


@pytest.mark.parametrize("words, bits", [(1, 1), (4, 7), (8, 13), (9, 3), (64, 5)])
def test_columns_that_differ_are_counted(words: int, bits: int) -> None:
    raw = np.random.default_rng(words * bits).integers(0, 2, (words, bits))
    raw[:, -1] = raw[:, 0]
    lines = hex_words(raw, 1).split()
    columns = {tuple(column) for column in raw.T.tolist()}
    assert distinct_columns(lines) == len({c for c in columns if len(set(c)) > 1})


def test_memories_go_where_yosys_puts_them() -> None:
    """On the ECP5 a bit of a ROM costs 1/16, a block memory 128: of equals, logic."""
    fabric = fabric_of("ecp5")

    def taken(*memories: Memory) -> dict[str, float]:
        return amounts(BlockParts(memories=memories), fabric, dsp=True)

    assert blocks(Memory(512, 36)) == 1 and blocks(Memory(2048, 9)) == 1
    assert blocks(Memory(64, 192)) == 6 and blocks(Memory(25_024, 6)) == 12
    assert taken(Memory(64, 192, rom=True))["bram18"] == 0
    assert taken(Memory(80, 160, rom=True))["bram18"] == 5
    assert taken(Memory(48, 24))["lut"] > 72 and taken(Memory(48, 24))["bram18"] == 0
    assert taken(Memory(48, 525))["bram18"] == 15
    old = taken(Memory(48, 525, queue=True))["ff"]  # the old word, where a new one comes in
    assert old == pytest.approx(525 + 6, rel=0.05)
    assert taken(Memory(2, 1))["ff"] == pytest.approx(2, rel=0.1)


def test_multipliers_are_halved_or_doubled_as_the_family_has_them() -> None:
    def dsp(fabric: str, a: int, b: int) -> float:
        result = BlockParts(multipliers=(Multiplier(4, a, b, a + b),))
        return amounts(result, fabric_of(fabric), dsp=True)["dsp"]

    assert dsp("gowin", 8, 8) == 2 and dsp("gowin", 12, 8) == 4 and dsp("ecp5", 8, 8) == 4
    assert dsp("ecp5", 24, 8) == 8 and dsp("ecp5", 1, 8) == 0
    in_luts = amounts(
        BlockParts(multipliers=(Multiplier(4, 8, 8, 16),)), fabric_of("ecp5"), dsp=False
    )
    assert in_luts["dsp"] == 0 and in_luts["lut"] > 4 * 64 * 0.5


def test_registers_in_a_row_behind_a_memory_are_shift_registers_on_amds_parts() -> None:
    """Three of 20 bits: a LUT for each bit on UltraScale+, 60 flip-flops on the ECP5; two of the
    three rows go into the DSP block of the 7 series, which has room for them."""
    rows = Memory(32, 20, rom=True, stages=3, taken=2)
    multiplier = Multiplier(1, 12, 12, 24)

    def flip_flops(fabric: str, *multipliers: Multiplier) -> float:
        made = BlockParts(memories=(rows,), multipliers=multipliers)
        return amounts(made, fabric_of(fabric), dsp=True)["ff"]

    assert flip_flops("ultrascale+") == 0
    assert flip_flops("ecp5") == pytest.approx(60, rel=0.05)
    assert flip_flops("7-series", multiplier) == pytest.approx(20, rel=0.1)


def test_two_words_are_in_registers_until_memories_are_cheaper() -> None:
    """Between ten and eleven bits, on the ECP5, as Yosys was seen to do."""
    fabric = fabric_of("ecp5")
    small, large = (
        amounts(BlockParts(memories=(Memory(2, bits, registered=True),)), fabric, dsp=True)
        for bits in (10, 11)
    )
    assert small["ff"] == pytest.approx(20, rel=0.05) and large["ff"] == 0 and large["lut"] >= 12


def test_an_addition_behind_a_multiplier_goes_into_the_dsp_block_of_the_7_series() -> None:
    product = Multiplier(1, 12, 12, 24, after=24, added=30, held=30)
    made = BlockParts({Work.ADD: 30.0, Work.REGISTER: 54.0}, multipliers=(product,))
    assert amounts(made, fabric_of("7-series"), dsp=True) == {
        "lut": 0, "ff": 0, "dsp": 1, "bram18": 0,
    }  # fmt: skip
    assert amounts(made, fabric_of("ultrascale+"), dsp=True)["ff"] > 50


def test_more_at_once_takes_more() -> None:
    part = device("lfe5u-85f")
    totals = [
        estimate_netlist(netlist_of(known), part).total
        for name in ("network2-8", "network2-96")
        for known in designs()
        if known.name == name
    ]
    assert totals[0]["dsp"] < totals[1]["dsp"] and totals[0]["ff"] < totals[1]["ff"]
    result = set(Work)
    assert set(fabric_of("ecp5").lut) <= result


@pytest.fixture(scope="module")
def faithful() -> Program:
    """Twelve million weights."""
    return hit_tagger(FAITHFUL).program


@pytest.mark.parametrize("name", BUDGETED)
def test_the_faithful_tagger_is_refused_wherever_its_weights_do_not_fit(
    faithful: Program, name: str
) -> None:
    part = device(name)
    assert part.memory_bits is not None
    result = TARGET.check(faithful, RtlSettings(part=name))
    if part.memory_bits >= 71_368_704:
        assert result == ()
        return
    (offence,) = result
    held = f"the block memories of {name} hold {megabits(part.memory_bits)} Mbit"
    assert "all weights take 71.4 Mbit" in offence.reason and held in offence.reason


def test_a_small_part_has_fewer_multipliers_to_share_out() -> None:
    program = small_network(1)
    for part, most in (("lfe5u-85f", 128), ("lfe5u-25f", 28), ("gw2a-18c", 48)):
        metrics = TARGET.estimate(program, RtlSettings(part=part))
        assert sum(m.value for m in metrics if m.name == "multipliers") <= most


def test_streams_that_nobody_needs_or_that_never_change_have_no_data() -> None:
    """What a rounding leaves nothing of, and what a table of one entry makes something of."""
    lost: dict[str, int | str] = {
        "IN_SIGNED": 0, "IN_BITS": 4, "SHIFT": 4, "ROUNDING": 1, "OUT_SIGNED": 0, "OUT_BITS": 3,
        "OVERFLOW": 1,
    }  # fmt: skip
    table: dict[str, int | str] = {"TABLE": "t.mem"}

    def made(requant: dict[str, int | str], entries: bytes) -> frozenset[str]:
        blocks = (
            Block("ei_ingress", "in", "x", {}, (), ("x",), ()),
            Block("ei_requant", "low", "y", requant, ("x",), ("y",), ()),
            Block("ei_table", "f", "f", table, ("y",), ("f",), (), {"t.mem": entries}),
            Block("ei_egress", "out", "f", {}, ("f",), (), ()),
        )
        return dead_streams(Netlist("n", {}, blocks, (), (), {}, {}))

    assert made({**lost, "SHIFT": 3}, b"1\n2\n") == set()
    assert made({**lost, "ROUNDING": 2}, b"1\n2\n") == set()  # a half goes up
    signed: dict[str, int | str] = {**lost, "IN_SIGNED": 1, "ROUNDING": 0}
    assert made({**signed, "OUT_SIGNED": 1}, b"1\n2\n") == set()  # the sign is left
    assert made({**signed, "OUT_SIGNED": 0}, b"1\n2\n") == {"x", "y", "f"}  # and is cut off
    assert made({**lost, "SHIFT": -3, "OVERFLOW": 0}, b"1\n2\n") == {"x", "y", "f"}  # wraps
    assert made(lost, b"1\n2\n") == {"x", "y", "f"}
    assert made({**lost, "SHIFT": 3}, b"1\n1\n") == {"x", "y", "f"}


def test_pieces_of_a_wide_product_are_added_where_they_overlap() -> None:
    """29 by 29 bits on ports of 18: the two halves of each part above its lowest 18 bits, and
    the two parts above theirs."""
    wide = BlockParts(multipliers=(Multiplier(1, 29, 29, 58),))
    work, takes = work_of(wide, fabric_of("ecp5"), dsp=True)
    assert takes["dsp"] == 4 and work[Work.ADD] == (18 + 29 - 18) + (11 + 29 - 18) + (58 - 18)


def test_multipliers_of_luts_have_no_rows_for_bits_that_are_never_set() -> None:
    whole, half = (
        work_of(
            BlockParts(multipliers=(Multiplier(2, 6, 4, 10, rows=rows),)),
            fabric_of("ecp5"),
            dsp=False,
        )[0][Work.PRODUCT]
        for rows in (8, 4)
    )
    assert half == whole / 2


def test_pieces_of_an_order_that_come_again_are_looked_up_once() -> None:
    """Four words of two bits: the upper bit 0101, a piece twice; of the lower, 0011, each half is
    the same bit."""
    order = b"0\n2\n1\n3\n"
    assert count_pieces(order, 2) == 1
    assert count_pieces(order, 4) == 2
    memory = Memory(64, 2, rom=True, columns=2, pieces=(5, 3))
    for fabric, pieces in (("ecp5", 5), ("7-series", 3)):
        work, _ = work_of(BlockParts(memories=(memory,)), fabric_of(fabric), dsp=True)
        assert work[Work.FETCH] == pieces


def test_windows_and_constant_sums_that_nobody_reads_are_not_made() -> None:
    """Their counters are, but no more bits than without data to keep."""
    netlist = netlist_of(next(known for known in designs() if known.name == "forked"))
    assert {"ei_window", "ei_mac"} <= {block.module for block in netlist.blocks}
    for block in netlist.blocks:
        if block.module in ("ei_window", "ei_mac"):
            read, unread = (
                work_of(parts_of(block, netlist, dead), fabric_of("ecp5"), dsp=True)[0]
                for dead in (frozenset(), frozenset(block.outputs))
            )
            assert unread[Work.REGISTER] < read[Work.REGISTER] / 2


def test_of_two_weights_rows_that_are_never_added_at_once_are_one() -> None:
    """Weights of 4 bits: 0101 or 1010, and 0011 in both words."""
    assert count_rows(b"53\na3\n", 4) == 2 + 2
    assert count_rows(b"53\na3\n00\n", 4) == 4 + 2


def test_small_multipliers_are_gates_or_tables() -> None:
    """An input of one bit takes an AND for each bit that is ever set. Four bits by one of two
    constants are tables of five bits: one LUT of AMD's, two of four inputs."""

    def needs(one: Multiplier, fabric: str) -> tuple[dict[Work, float], float]:
        work, takes = work_of(BlockParts(multipliers=(one,)), fabric_of(fabric), dsp=False)
        return work, takes["lut"]

    assert needs(Multiplier(3, 1, 4, 4, rows=10), "ecp5") == ({}, 10)
    either = Multiplier(3, 4, 4, 8, rows=10, alternatives=2)
    assert needs(either, "ecp5")[0] == {Work.FETCH: 3 * 8 * 2}
    assert needs(either, "7-series")[0] == {Work.FETCH: 3 * 8}
    assert Work.FETCH not in needs(replace(either, a=6), "7-series")[0]


def test_rows_of_a_number_with_a_sign_reach_up_to_the_top() -> None:
    """Three rows of four bits, at 0, 1 and 2 of 7: 3 + 2 + 1 copies of the sign."""
    one = Multiplier(1, 4, 3, 7, signed=True)
    work, _ = work_of(BlockParts(multipliers=(one,)), fabric_of("ecp5"), dsp=False)
    assert work == {Work.PRODUCT: 12, Work.EXTEND: 6}


def test_lanes_that_are_only_shifted_are_shift_registers_on_amd() -> None:
    parameters: dict[str, int | str] = {
        "X_BITS": 5, "X_SIGNED": 0, "W_BITS": 4, "W_SIGNED": 1, "SIMD": 2, "PE": 1, "LEVELS": 1,
        "WEIGHTS": "w.mem",
    }  # fmt: skip
    block = Block("ei_mac", "mac", "y", parameters, (), (), (), {"w.mem": b"41\n"})
    sums = 5 + 2 + 1  # held in the tree; the lowest bit is that of one lane
    for fabric, luts, register in (("ecp5", 0, 4 * 10 + sums), ("7-series", 10, sums)):
        work, takes = work_of(constant_products(block, 9, 10), fabric_of(fabric), dsp=True)
        assert (takes["lut"], work[Work.REGISTER]) == (luts, register)


def test_more_than_two_shifted_inputs_meet_in_full_adders() -> None:
    """Three of four bits, without a sign: at 0, 2 and 4 no column has three bits."""
    for weight, full in ((0b010101, 0), (0b010100, 0)):
        parameters: dict[str, int | str] = {
            "X_BITS": 4, "X_SIGNED": 0, "W_BITS": 7, "W_SIGNED": 1, "SIMD": 1, "PE": 1, "LEVELS": 0,
            "WEIGHTS": "w.mem",
        }  # fmt: skip
        block = Block("ei_mac", "mac", "y", parameters, (), (), (), {"w.mem": b"%x\n" % weight})
        assert constant_products(block, 11, 11).work.get(Work.FULL_ADD, 0) == full
        wider = replace(block, parameters={**parameters, "X_BITS": 6})
        columns = 2 if weight & 1 else 0  # at 4 and 5, where all three are
        assert constant_products(wider, 13, 13).work.get(Work.FULL_ADD, 0) == columns
