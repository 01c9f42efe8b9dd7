# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""What may be said on the command line about targets, as each target's settings declare it."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

if TYPE_CHECKING:
    from edgeinfer.base.devices import Device
    from edgeinfer.run.tools import ToolOrder
    from edgeinfer.targets.registry import ChosenTarget, TargetEntry

NONE = "none"
GENERAL = "Parameters"  # the group of options that bear on every target
TOOLS = Group("Vendors' tools and open ones", sort_key=2)
FIRST_TARGET = 3  # the place of the first target's group in the help


@dataclass(frozen=True)
class TargetOptions:
    """Options of targets; what is left out is as the target has it. See `options_of_targets`."""

    device: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            group=GENERAL,
            help="a part or a board, see edgeinfer devices; may be repeated, for several targets",
        ),
    ] = None

    def given_values(self) -> dict[str, Any]:
        """What was said, but for the devices."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and name != "device"
        }


def options_of_targets(verb: str) -> type[TargetOptions]:
    """The options of every target that a verb takes, each in its target's group of the help. What
    several targets declare is for all of them."""
    from edgeinfer.targets.registry import known_targets

    having: dict[str, list[str]] = {}
    declared: dict[str, Any] = {}
    for name, entry in known_targets().items():
        for option in entry.options.values():
            if verb in option.verbs:
                having.setdefault(option.name, []).append(name)
                declared.setdefault(option.name, option)
    groups = {
        name: Group(f"Target {name}", sort_key=FIRST_TARGET + place)
        for place, name in enumerate(known_targets())
    }
    fields: list[tuple[str, Any, Any]] = []
    for name, option in declared.items():
        (first, *others) = having[name]
        parameter = Parameter(
            help=f"{option.help} ({', '.join(having[name])})" if others else option.help,
            group=GENERAL if others else groups[first],
            negative="" if option.kind is bool or not option.is_scalar else None,
        )
        fields.append((name, Annotated[option.kind | None, parameter], field(default=None)))
    options_type: type[TargetOptions] = make_dataclass(
        "TargetOptions",
        fields,
        bases=(TargetOptions,),
        frozen=True,
        namespace={"__module__": __name__},  # what bears no module of its own is not taken apart
    )
    return options_type


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ToolOptions:
    """Which tools are started on the projects."""

    synth: Annotated[
        bool,
        Parameter(
            negative="",
            group=TOOLS,
            help="run the synthesis, or the vendor's compiler",
        ),
    ] = False
    cosim: Annotated[
        bool,
        Parameter(negative="", group=TOOLS, help="also simulate the circuit that synthesis makes"),
    ] = False
    vsynth: Annotated[
        bool, Parameter(negative="", group=TOOLS, help="also run logic synthesis")
    ] = False
    route: Annotated[bool, Parameter(negative="", group=TOOLS, help="place and route")] = False
    tool_minutes: Annotated[
        float | None,
        Parameter(group=TOOLS, help="how long the tools of a target may take; 240 by default"),
    ] = None

    def order(self, targets: list[ChosenTarget], options: TargetOptions) -> ToolOrder:
        """The same for the library; an error for an option that needs a step nobody asked for."""
        from edgeinfer.base.errors import UsageError
        from edgeinfer.run.tools import MINUTES, ToolOrder
        from edgeinfer.targets.registry import entry_of
        from edgeinfer.targets.target import ToolStep

        for target in targets:
            for option in entry_of(target.name).options.values():
                is_asked = option.name in options.given_values()
                if is_asked and option.needs is not None and not getattr(self, option.needs):
                    raise UsageError(
                        f"--{option.name.replace('_', '-')} changes nothing without "
                        f"--{option.needs}.",
                        hint=f"Add --{option.needs}, or leave it out.",
                    )

        steps = tuple(step for step in ToolStep if getattr(self, step.value))
        return ToolOrder(steps, MINUTES if self.tool_minutes is None else self.tool_minutes)


def describe_targets() -> str:
    """The targets and what is made for each, in a line."""
    from edgeinfer.targets.registry import known_targets

    return "; ".join(f"{name}: {entry.make().about}" for name, entry in known_targets().items())


def choose_targets(names: list[str], options: TargetOptions) -> list[ChosenTarget]:
    """The targets by their names, with the settings that were given for each."""
    from edgeinfer.base.devices import device
    from edgeinfer.base.errors import UsageError
    from edgeinfer.targets.registry import choose_for, entry_of

    if NONE in names and len(set(names)) > 1:
        raise UsageError(
            "--target none means no target at all.", hint="Leave it out, or the other targets."
        )
    target_names = list(dict.fromkeys(name for name in names if name != NONE))
    entries = {name: entry_of(name) for name in target_names}
    chosen_options = options.given_values()
    _refuse_idle(chosen_options, entries)
    devices = {device_name: device(device_name) for device_name in options.device or []}
    _refuse_foreign(devices, entries)
    return [
        choose_for(name, devices, entry.read_options(chosen_options))
        for name, entry in entries.items()
    ]


def _refuse_idle(options: dict[str, Any], entries: dict[str, TargetEntry]) -> None:
    """An error for an option that no chosen target has."""
    from edgeinfer.base.errors import UsageError
    from edgeinfer.targets.registry import known_targets

    for option in options:
        if any(option in entry.options for entry in entries.values()):
            continue
        having = [name for name, entry in known_targets().items() if option in entry.options]
        flag = f"--{option.replace('_', '-')}"
        if len(having) == 1:
            raise UsageError(
                f"{flag} is an option of the target {having[0]}.",
                hint=f"Add --target {having[0]}, or leave it out.",
            )
        raise UsageError(
            f"{flag} does nothing for the target {', '.join(entries) or NONE}.",
            hint=f"Add --target {' or '.join(having)}, or leave it out.",
        )


def _refuse_foreign(devices: dict[str, Device], entries: dict[str, TargetEntry]) -> None:
    """An error for a device that is nothing for any chosen target."""
    from edgeinfer.base.errors import UsageError

    for device_name, part in devices.items():
        if all(entry.on_device(part, device_name) is None for entry in entries.values()):
            raise UsageError(
                f"{part.name} ({part.vendor} {part.family}) is not a device for the target "
                f"{', '.join(entries) or NONE}.",
                hint="edgeinfer devices lists the parts, and which targets each is for.",
            )
