# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""From a Program to the layers of a project: each op one layer of hls4ml's, or of ours, or none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgeinfer.base.errors import Offence
from edgeinfer.base.names import free_name
from edgeinfer.ir import ops
from edgeinfer.ir.ops import Op, Shape
from edgeinfer.ir.program import Program
from edgeinfer.targets.hls.project.spec import (
    Plan,
    ProjectLayer,
    StoredIntegers,
    pascal_case,
    representable,
    safe,
)
from edgeinfer.targets.hls.settings import Backend, HlsSettings, IoType
from quantization.fixed import Fixed, Overflow, Quantizer
from quantization.ranges import Interval

KIND, LOOP, SITE_BLOCK = "Exact", "LoopedBody", "SiteBlock"  # our classes in hls4ml


FOR_LIBERO = ("InputLayer", "Dense", "Activation", KIND, SITE_BLOCK)  # all that hls4ml has there
AC_TYPES = (Backend.QUARTUS, Backend.CATAPULT, Backend.ONEAPI)


@dataclass(slots=True)
class ProjectLayout:
    """The project in the making."""

    program: Program  # constants folded, nothing dead
    settings: HlsSettings
    ranges: Mapping[str, Interval]
    shown: Mapping[str, str | None] = field(default_factory=dict)  # where not by the op's name
    names: set[str] = field(default_factory=set)  # of layers, in this project or around it
    layers: list[ProjectLayer] = field(default_factory=list)
    of_value: dict[str, str] = field(default_factory=dict)  # the layer that holds a value
    offences: list[Offence] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def streams(self) -> bool:
        """Whether tensors travel word by word."""
        return self.settings.io is IoType.STREAM

    def constant(self, value: str) -> ops.Constant | None:
        """The value's op where it depends on no input."""
        op = self.program[value]
        return op if isinstance(op, ops.Constant) else None

    def carrier_type(self, type_: Fixed) -> Fixed:
        """The type by which the backend can hold these integers: hls4ml makes one bit of ac_fixed
        two, and shifts the grid."""
        if self.settings.backend in AC_TYPES and type_.bits == 1:
            return Fixed(type_.signed, 2, type_.integer + 1)
        return type_

    def refuse(self, op: Op, reason: str) -> None:
        """This op has no equal."""
        self.offences.append(Offence(op.name, type(op).__name__, reason))

    def named(self, name_wanted: str) -> str:
        """A layer's name, like the op's."""
        name = free_name(safe(name_wanted, "layer"), self.names)
        if self.settings.backend is Backend.ONEAPI:  # which has a pipe for each
            pipes = {pascal_case(other) for other in self.names}
            while pascal_case(name) in pipes:
                self.names.add(name)
                name = free_name(safe(name_wanted, "layer"), self.names)
        self.names.add(name)
        return name

    def add(
        self,
        op: Op,
        kind: str,
        inputs: tuple[str, ...],
        shape: Shape,
        result: Quantizer,
        *,
        formats: dict[str, Fixed] | None = None,
        attributes: dict[str, Any] | None = None,
        multiplies: bool = False,
        body: Plan | None = None,
        part: str = "",
        value: str | None = None,
    ) -> str:
        """Append a layer; the name by which others read it. A `part` is a step on the op's way."""
        result = replace(result, type=self.carrier_type(result.type))
        if isinstance(op, ops.Requant) and not part and result.type != op.type:
            self.refuse(op, f"{self.settings.backend} has no type of one bit to round to")
        if self.settings.backend is Backend.LIBERO:
            self._check_libero(op, kind, result)
        if self.settings.backend is Backend.ONEAPI and kind == LOOP:
            self.refuse(
                op,
                "a recurrence is a loop around layers, which are tasks of their own in oneAPI; "
                "choose another backend, or the rtl target",
            )
        if self.settings.backend is Backend.ONEAPI and kind == SITE_BLOCK:
            self.refuse(
                op,
                "no task of oneAPI counts lit pixels; choose another backend, or the rtl target",
            )
        formats = {name: self.carrier_type(type_) for name, type_ in (formats or {}).items()}
        name = self.named(op.name + part)
        held_value = op.name if value is None and not part else value
        shown_value = held_value and self.shown.get(held_value, held_value)
        layer = ProjectLayer(
            name, kind, op.name, shown_value, inputs, shape, result,
            formats, attributes or {}, multiplies, body,
        )  # fmt: skip
        self.layers.append(layer)
        if held_value is not None:
            self.of_value.setdefault(held_value, name)
        return name

    def _check_libero(self, op: Op, kind: str, result: Quantizer) -> None:
        """What hls4ml lacks, or what cannot be simulated for sure."""
        if kind not in FOR_LIBERO:
            self.refuse(op, f"hls4ml has no {kind} for Libero")
        if result.overflow is Overflow.SAT_SYM and result.type.signed:
            self.refuse(
                op, "what SmartHLS makes of the lowest number in SAT_SYM is not known; choose SAT"
            )

    def exact(
        self,
        op: Op,
        function: str,
        inputs: tuple[str, ...],
        shape: Shape,
        result: Quantizer,
        *,
        constants: dict[str, int] | None = None,
        stored: tuple[StoredIntegers, ...] = (),
        types: dict[str, Fixed] | None = None,
        part: str = "",
        value: str | None = None,
        kind: str = KIND,
    ) -> str:
        """Append a layer of ours; see `firmware/hls/nnet_exact.h` and `nnet_sites.h`."""
        attributes = {
            "function": function,
            "numbers": constants or {},
            "stored": self.own_layer(op, stored),
            "types": types or {},
        }
        return self.add(
            op, kind, inputs, shape, result,
            attributes=attributes, part=part, value=value,
        )  # fmt: skip

    def own_layer(self, op: Op, stored: tuple[StoredIntegers, ...]) -> tuple[StoredIntegers, ...]:
        """What a layer of ours keeps, as the backend holds it."""
        if not all(representable(array.raw) for array in stored):
            self.refuse(op, "numbers beyond 2^53 cannot be written as hls4ml writes them")
        return tuple(replace(array, type=self.carrier_type(array.type)) for array in stored)
