# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which operators the compiler would put on the chip: one connected part of the network.

The file's graph is cut as TensorFlow Lite cuts one for a delegate. The part that begins at the
first operator holds every operator of its sort (supported or not) that depends on nothing of the
other sort; the next part begins at what then can be computed, and so on. Only the first supported
part is mapped. Where the first operators are not supported, they and what is like them stay on the
host, and the part after them is the one that is mapped.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Final

from edgeinfer.base.tflite.model import Operator, TfliteModel
from edgeinfer.targets.edgetpu.predict.rules import NEWEST_RUNTIME, Refusal, Status, refusal
from edgeinfer.targets.edgetpu.tflite.versions import COMPILER, readable

# Published logs of a detector (YOLOv5s) name no reshape among what is not mapped at 256 pixels,
# where they have this many numbers; at 384 pixels one of at most 48 x 48 x 255 is.
LARGEST_RESHAPE_SEEN: Final = 32 * 32 * 255


@dataclass(frozen=True, slots=True)
class MappedOperator:
    """What becomes of one operator."""

    operator: Operator
    status: Status
    reason: str
    remedy: str = ""

    @property
    def on_chip(self) -> bool:
        """Whether it runs on the chip."""
        return self.status is Status.MAPPED


@dataclass(frozen=True, slots=True)
class Mapping:
    """Every operator, in file order; and what the compiler would refuse the file for."""

    operators: tuple[MappedOperator, ...]
    refused: tuple[str, ...]

    @property
    def on_chip(self) -> frozenset[int]:
        """The operators that run on the chip."""
        return frozenset(m.operator.index for m in self.operators if m.on_chip)


def mapping_of(model: TfliteModel, runtime: int = NEWEST_RUNTIME) -> Mapping:
    """Decide for every operator."""
    refusals = {op.index: refusal(op, runtime) for op in model.operators}
    chosen = _first_part(model, {i for i, reason in refusals.items() if reason is None})
    stopped = _stopping(model, refusals)
    mapped = tuple(
        _judge_operator(op, refusals[op.index], op.index in chosen, stopped)
        for op in model.operators
    )
    refused = tuple(
        f"compiler {COMPILER} does not know {op.title} version {op.version}"
        for op in model.operators
        if not readable(op.name, op.version)
    )
    return Mapping(mapped, tuple(dict.fromkeys(refused)))


def doubts(mapping: Mapping) -> list[str]:
    """Operators that are taken as mapped, and may not be."""
    large = [
        op
        for op in (each.operator for each in mapping.operators if each.on_chip)
        if op.name == "RESHAPE" and op.outputs[0].elements > LARGEST_RESHAPE_SEEN
    ]
    return [
        f"{op.title} {op.index} reshapes {op.outputs[0].elements:,} numbers. The vendor's "
        f"documentation says that some large ones stay on the host, and what follows them too; in "
        f"a published log those of up to {LARGEST_RESHAPE_SEEN:,} are mapped."
        for op in large
    ]


def _judge_operator(
    op: Operator, refused: Refusal | None, chosen: bool, stopped: str
) -> MappedOperator:
    if refused is not None:
        return MappedOperator(op, refused.status, refused.reason, refused.remedy)
    if chosen:
        return MappedOperator(op, Status.MAPPED, "")
    return MappedOperator(
        op,
        Status.LATER,
        f"it depends on what runs on the host{stopped}",
        "Replace the operator that ends the mapped part, or move it to the end of the network.",
    )


def _stopping(model: TfliteModel, refusals: dict[int, Refusal | None]) -> str:
    """The first operator that is not supported, for the reasons of those after it."""
    first = next((op for op in model.operators if refusals[op.index] is not None), None)
    return "" if first is None else f" ({first.title} {first.index} first)"


def _first_part(model: TfliteModel, supported: set[int]) -> set[int]:
    """The first supported part."""
    if not supported:
        return set()
    first = model.operators[0].index in supported
    cut = _Cut(model)
    if not first:
        cut.take({op.index for op in model.operators} - supported)
    return cut.take(supported)


class _Cut:
    """Takes parts off a graph, each as large as what is computed by then allows."""

    def __init__(self, model: TfliteModel) -> None:
        makers = {t.index: op.index for op in model.operators for t in op.outputs}
        self.waiting: dict[int, int] = {}
        self.readers: dict[int, list[int]] = defaultdict(list)
        self.taken: set[int] = set()
        for op in model.operators:
            needs = {makers[t.index] for t in op.computed() if t.index in makers} - {op.index}
            self.waiting[op.index] = len(needs)
            for maker in needs:
                self.readers[maker].append(op.index)

    def take(self, sort: set[int]) -> set[int]:
        """Every operator of a sort that can be computed from what was taken before."""
        ready = deque(i for i in self.waiting if i in sort - self.taken and not self.waiting[i])
        part: set[int] = set()
        while ready:
            index = ready.popleft()
            part.add(index)
            for reader in self.readers[index]:
                self.waiting[reader] -= 1
                if not self.waiting[reader] and reader in sort:
                    ready.append(reader)
        self.taken |= part
        return part
