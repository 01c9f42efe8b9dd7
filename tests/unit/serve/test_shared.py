# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Regions of shared memory in any order of what clients may do: what a request reads is what lies
there, what it writes lands there and nowhere else, and all else is refused."""

from __future__ import annotations

import os
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edgeinfer.serve.faults import RequestError
from edgeinfer.serve.grpc_calls import call_of_bytes
from edgeinfer.serve.messages import message_class, parameter_messages
from edgeinfer.serve.shared import FOLDER, RegionPart, SharedRegions, place_parameters

LONGEST = 40  # bytes of an object, about
MOST_READ = 10  # bytes that a request may read
OBJECTS = ("first", "second")
NAMES = st.sampled_from(["a", "b", "c"])
OFFSETS, SIZES = st.integers(0, 12), st.integers(0, 24)
CONTENTS = st.binary(min_size=16, max_size=LONGEST)


class RegionsOfClients(RuleBasedStateMachine):
    """Two objects of a client, and the regions of them that a server knows."""

    def __init__(self) -> None:
        super().__init__()
        self.server = SharedRegions(MOST_READ)
        self.paths = {key: FOLDER / f"edgeinfer-test-{uuid4().hex}" for key in OBJECTS}
        self.objects = {key: bytearray(range(LONGEST)) for key in OBJECTS}
        self.regions: dict[str, tuple[str, int, int]] = {}  # object, offset, size
        for key, path in self.paths.items():
            path.write_bytes(self.objects[key])

    def teardown(self) -> None:
        self.server.unregister()
        for path in self.paths.values():
            path.unlink()

    def place_of(self, part: RegionPart) -> tuple[bytearray, int] | None:
        """The object of a part and where in it the part begins; None where it lies in no region."""
        key, offset, size = self.regions.get(part.region, ("", 0, -1))
        if part.offset + part.byte_size > size:
            return None
        return self.objects[key], offset + part.offset

    def parts(self) -> st.SearchStrategy[RegionPart]:
        """Parts of regions; some are a little too long, or of regions that are not there."""
        names = st.sampled_from([*self.regions, "none"])
        return st.builds(RegionPart, names, st.integers(0, MOST_READ + 1), OFFSETS)

    @initialize(offset=OFFSETS, size=SIZES)
    def begin(self, offset: int, size: int) -> None:
        """Most clients begin with a region for inputs and one for outputs."""
        self.register("a", "first", offset, MOST_READ + size)
        self.register("b", "second", offset, MOST_READ + size)

    @rule(name=NAMES, key=st.sampled_from([*OBJECTS, "none"]), offset=OFFSETS, size=SIZES)
    def register(self, name: str, key: str, offset: int, size: int) -> None:
        there = len(self.objects.get(key, b""))
        is_right = name not in self.regions and 0 < size <= there - offset
        object_key = self.paths[key].name if key in self.paths else "edgeinfer-test-none"
        try:
            self.server.register(name, f"/{object_key}", offset, size)
        except RequestError:
            assert not is_right
        else:
            assert is_right
            self.regions[name] = (key, offset, size)

    @rule(name=st.sampled_from(["a", "b", "c", "c", ""]))
    def unregister(self, name: str) -> None:
        self.server.unregister(name)
        for each in [name] if name else list(self.regions):
            self.regions.pop(each, None)

    @rule(key=st.sampled_from(OBJECTS), content=CONTENTS)
    def change(self, key: str, content: bytes) -> None:
        """The client writes its object anew, shorter or longer than before."""
        self.objects[key][:] = content
        self.paths[key].write_bytes(content)

    @rule(data=st.data(), content=st.binary(max_size=10))
    def infer(self, data: st.DataObject, content: bytes) -> None:
        """A request that reads one part and has another one written."""
        read, written = data.draw(self.parts()), data.draw(self.parts())
        parts = {"x": read, "y": written}
        given, wanted = (parameter_messages(place_parameters(name, parts)) for name in parts)
        request = message_class("ModelInferRequest")(
            inputs=[
                {"name": "x", "datatype": "UINT8", "shape": [read.byte_size], "parameters": given}
            ],
            outputs=[{"name": "y", "parameters": wanted}],
        )
        source, target = self.place_of(read), self.place_of(written)
        there = source and bytes(source[0][source[1] : source[1] + read.byte_size])
        is_right = there is not None and len(there) == read.byte_size <= MOST_READ
        try:
            call, _ = call_of_bytes(request.SerializeToString(), self.server)
        except RequestError:
            assert not (is_right and target)
            return
        assert is_right and target and there is not None
        assert np.array_equal(call.inputs[0].values, np.frombuffer(there, np.uint8))
        object_, start = target
        end = start + len(content)
        fits = len(content) <= written.byte_size and end <= len(object_)
        try:
            self.server.write(call.shared["y"], content)
        except RequestError:
            assert not fits
        else:
            assert fits
            object_[start:end] = content

    @invariant()
    def nothing_else_has_changed(self) -> None:
        for key, path in self.paths.items():
            assert path.read_bytes() == self.objects[key]
        known = {
            name: {"name": name, "key": f"/{self.paths[key].name}", "offset": offset,
                   "byte_size": size}
            for name, (key, offset, size) in self.regions.items()
        }  # fmt: skip
        assert {str(region["name"]): region for region in self.server.list_regions()} == known


TestRegions = pytest.mark.skipif(
    not os.access(FOLDER, os.W_OK), reason=f"this system keeps no shared memory in {FOLDER}"
)(RegionsOfClients.TestCase)
TestRegions.settings = settings(max_examples=20, stateful_step_count=30)
