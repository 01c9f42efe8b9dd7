# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What may be said on the command line about targets, and how it becomes their settings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from edgeinfer.run_targets import Chosen

NONE = "none"


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class HlsOptions:
    """Settings of the HLS target; what is left out is as the target has it."""

    backend: Annotated[
        Literal["Vitis", "Vivado", "Quartus", "oneAPI", "Catapult", "Libero"] | None,
        Parameter(help="hls: whose compiler the project is for; Vitis without it"),
    ] = None
    io: Annotated[
        Literal["io_parallel", "io_stream"] | None,
        Parameter(help="hls: whole tensors at once, or word by word; io_stream without it"),
    ] = None
    strategy: Annotated[
        Literal["latency", "resource", "distributed_arithmetic"] | None,
        Parameter(help="hls: what multiplications are arranged for; latency without it"),
    ] = None
    reuse: Annotated[
        int | None, Parameter(help="hls: multiplications that share a multiplier; 1 without it")
    ] = None
    clock_ns: Annotated[
        float | None, Parameter(help="hls: the clock's period in ns; 5 without it")
    ] = None
    part: Annotated[str | None, Parameter(help="hls: the FPGA")] = None

    def given(self) -> dict[str, Any]:
        """What was said."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in said.items() if value is not None}


def chosen(names: list[str], hls: HlsOptions) -> list[Chosen]:
    """The targets by their names, with the settings that were given."""
    from edgeinfer.errors import UsageError
    from edgeinfer.run_targets import choose

    wanted = list(dict.fromkeys(name for name in names if name != NONE))
    said = hls.given()
    if said and "hls" not in wanted:
        raise UsageError(
            f"--{next(iter(said)).replace('_', '-')} is an option of the target hls.",
            hint="Add --target hls, or leave it out.",
        )
    return [choose(name, _hls(said) if name == "hls" else {}) for name in wanted]


def _hls(said: dict[str, Any]) -> dict[str, Any]:
    from edgeinfer.targets.hls.settings import Backend, IoType, Strategy

    kinds = {"backend": Backend, "io": IoType, "strategy": Strategy}
    return {name: kinds[name](value) if name in kinds else value for name, value in said.items()}
