# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which targets there are.

Another package adds a target of its own by an entry point in the group `edgeinfer.targets` that
yields a `TargetEntry`; docs/extending.md shows how, and which tests it should pass.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib import metadata
from typing import Any

from edgeinfer.base.devices import Device
from edgeinfer.base.devices import device as device_named
from edgeinfer.base.errors import InputError, UsageError, did_you_mean
from edgeinfer.targets.options import Option, Settings, options_of
from edgeinfer.targets.target import Target

GROUP = "edgeinfer.targets"


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """Where a target's class and the class of its settings are: "package.module:Class"."""

    target: str
    settings: str

    def make(self) -> Target[Any]:
        """The target itself."""
        target: Target[Any] = _import_object(self.target)()
        return target

    @property
    def settings_type(self) -> type[Settings]:
        """The class of the target's settings."""
        settings: type[Settings] = _import_object(self.settings)
        return settings

    @property
    def options(self) -> dict[str, Option]:
        """What a user may choose about the target."""
        return options_of(self.settings_type)

    def on_device(self, device: Device, device_name: str) -> dict[str, Any] | None:
        """What a device, by the name it was asked for, says of the settings; None where it is
        nothing for this target."""
        return self.settings_type.on_device(device, device_name)

    def read_options(self, option_values: Mapping[str, Any]) -> dict[str, Any]:
        """Settings by their names, from what was given for options; others are left out."""
        options = self.options
        return {
            options[name].setting: options[name].value(value)
            for name, value in option_values.items()
            if name in options
        }


TARGETS = {
    "hls": TargetEntry(
        "edgeinfer.targets.hls.target:HlsTarget", "edgeinfer.targets.hls.settings:HlsSettings"
    ),
    "rtl": TargetEntry(
        "edgeinfer.targets.rtl.target:RtlTarget", "edgeinfer.targets.rtl.settings:RtlSettings"
    ),
    "edgetpu": TargetEntry(
        "edgeinfer.targets.edgetpu.target:EdgeTpuTarget",
        "edgeinfer.targets.edgetpu.settings:EdgeTpuSettings",
    ),
    "ethos-u": TargetEntry(
        "edgeinfer.targets.ethosu.target:EthosUTarget",
        "edgeinfer.targets.ethosu.settings:EthosUSettings",
    ),
    "tflite-micro": TargetEntry(
        "edgeinfer.targets.tflitemicro.target:TfliteMicroTarget",
        "edgeinfer.targets.tflitemicro.settings:TfliteMicroSettings",
    ),
}
UNROLLED_TARGET, UNROLLED_PART = "rtl", "xcvu9p"
UNROLLED = {"unroll": "full", "interface": "bare"}
FOLDED = {"unroll": "never"}
ROUNDED_DOWN = 0.5  # of a cycle
DEFAULT = next(iter(TARGETS))  # where neither a target nor a device says which


@dataclass(frozen=True, slots=True)
class ChosenTarget:
    """A target with its settings, for one run."""

    name: str
    target: Target[Any]
    settings: Any

    @property
    def is_simulated(self) -> bool:
        """Whether its project can be simulated here."""
        return self.target.simulates(self.settings)


@functools.cache
def known_targets() -> dict[str, TargetEntry]:
    """All targets by name: ours, and those that other packages bring."""
    brought = {point.name: point for point in metadata.entry_points(group=GROUP)}
    plugins = {name: point.load() for name, point in brought.items() if name not in TARGETS}
    return {**TARGETS, **plugins}


def choose(name: str, settings: Mapping[str, Any]) -> ChosenTarget:
    """A target by name; settings that are not given are as the target has them."""
    entry = entry_of(name)
    setting_names = [each.name for each in fields(entry.settings_type) if each.init]
    for setting in settings:
        if setting not in setting_names:
            hint = did_you_mean(setting, setting_names) or f"It has {', '.join(setting_names)}."
            raise UsageError(f"The target {name} has no setting {setting!r}.", hint=hint)
    return ChosenTarget(name, entry.make(), entry.settings_type(**settings))


def choose_unrolled(device: str | None = None, stages: int | None = None) -> ChosenTarget:
    """The target that makes an adder of each digit of a weight, for a device, or else a part of
    UltraScale+; a pipeline of so many stages at most."""
    name = UNROLLED_PART if device is None else device
    settings = UNROLLED if stages is None else {**UNROLLED, "stages": stages}
    return choose_for(UNROLLED_TARGET, {name: _device_with_logic(name)}, settings)


def choose_folded(device: str | None, interval_cycles: int | None = None) -> ChosenTarget:
    """The same target with multipliers that weights take in turns, as many as the part allows or
    as a frame in so many cycles needs."""
    on = {} if device is None else {device: _device_with_logic(device)}
    chosen = choose_for(UNROLLED_TARGET, on, FOLDED)
    if interval_cycles is None:
        return chosen
    hertz = chosen.settings.clock_mhz * 1e6
    paced = replace(chosen.settings, throughput=hertz / (interval_cycles + ROUNDED_DOWN))
    return replace(chosen, settings=paced)


def _device_with_logic(name: str) -> Device:
    device = device_named(name)
    if entry_of(UNROLLED_TARGET).on_device(device, name) is None:
        raise UsageError(
            f"{device.name} has no logic to make a design of.", hint="See edgeinfer devices."
        )
    return device


def choose_for(
    name: str, devices: Mapping[str, Device], settings: Mapping[str, Any]
) -> ChosenTarget:
    """The same for devices, by the names they were asked for; the first that is anything for the
    target says the part. `settings` go on top."""
    entry = entry_of(name)
    choices = [entry.on_device(device, device_name) for device_name, device in devices.items()]
    first = next((each for each in choices if each is not None), {})
    return choose(name, {**first, **settings})


def targets_on(device: Device) -> list[str]:
    """The targets that a part or a board is for."""
    return [
        name
        for name, entry in known_targets().items()
        if entry.on_device(device, device.name) is not None
    ]


def first_target_on(device: Device | None) -> str:
    """The first target that a device is for; the default one without a device."""
    return DEFAULT if device is None else next(iter(targets_on(device)), DEFAULT)


def entry_of(name: str) -> TargetEntry:
    """A target's entry by the target's name."""
    entries = known_targets()
    if name not in entries:
        raise UsageError(
            f"There is no target {name!r}.",
            hint=did_you_mean(name, entries) or f"The targets are none, {', '.join(entries)}.",
        )
    return entries[name]


def restore_target(name: str, record: Mapping[str, Any]) -> ChosenTarget:
    """A target with the settings that a record says."""
    entry = entry_of(name)
    try:
        settings = entry.settings_type.from_record(record)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"A record holds no settings of the target {name}: {error}.",
            hint="Compile the model into a new folder.",
        ) from None
    return ChosenTarget(name, entry.make(), settings)


def stages() -> dict[str, str]:
    """The stage of each target's simulation, by the target's name."""
    return {name: entry.make().stage for name, entry in known_targets().items()}


def figures() -> tuple[str, ...]:
    """Every figure that some target may give."""
    return tuple(
        sorted({name for entry in known_targets().values() for name in entry.make().figures})
    )


def directions() -> dict[str, bool]:
    """Of the figures that are those of single targets, whether more is better."""
    targets = (entry.make() for entry in known_targets().values())
    return {name: more for target in targets for name, more in target.directions.items()}


def _import_object(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
