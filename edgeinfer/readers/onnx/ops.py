# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The ONNX graph as plain data: live operators in an order in which they can be computed."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
)

from edgeinfer.base.errors import ModelError, did_you_mean
from edgeinfer.readers.onnx.file import array_of

MAIN_DOMAINS = ("", "ai.onnx")
SPARSE_DOMAIN = "edgeinfer.sparse"  # of files that docs/examples/export_sparse.py writes
WHOLE_FUNCTIONS = ((SPARSE_DOMAIN, "Sites"), (SPARSE_DOMAIN, "FirstSites"))  # not written out


class UnreadableModelError(ValueError):
    """Why one operator cannot be read; becomes an entry of the report."""


@dataclass(frozen=True, slots=True, eq=False)
class OnnxOp:
    """One operator of the file."""

    name: str
    kind: str
    domain: str
    version: int  # of the operator set
    inputs: tuple[str, ...]  # "" where an optional one is left out
    outputs: tuple[str, ...]
    proto: NodeProto
    attributes: dict[str, Any]

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        made_tensors = ", ".join(repr(output) for output in self.outputs if output)
        called = f"node {self.name!r}" if self.name else "an unnamed node"
        return f"{called} making {made_tensors}"

    @property
    def label(self) -> str:
        """Its kind, with the domain where that is not ONNX's own."""
        return self.kind if self.domain in MAIN_DOMAINS else f"{self.domain}.{self.kind}"

    def whole(self, key: str, default: int) -> int:
        """An integer attribute."""
        return int(self.attributes.get(key, default))

    def real(self, key: str, default: float) -> float:
        """A float attribute."""
        return float(self.attributes.get(key, default))

    def text(self, key: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(key, default)
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    def wholes(self, key: str) -> tuple[int, ...] | None:
        """A list of integers, None where the attribute is absent."""
        value = self.attributes.get(key)
        return None if value is None else tuple(int(entry) for entry in value)


@dataclass(frozen=True, slots=True, eq=False)
class OnnxBranch:
    """What an If does in one case: operators in their order, its own constants, its outputs."""

    ops: tuple[OnnxOp, ...]
    constants: dict[str, NDArray[Any]]
    outputs: tuple[str, ...]

    @property
    def readers(self) -> Counter[str]:
        """How many operators (and outputs) in it read a tensor."""
        return count_readers(self.ops, self.outputs)

    @property
    def captured(self) -> set[str]:
        """What it reads of the graph around it."""
        made = {name for op in self.ops for name in op.outputs}
        return set(self.readers) - made - set(self.constants)


@dataclass(frozen=True, slots=True)
class InputDeclaration:
    """A network input as the file declares it."""

    name: str
    data_type: int
    dims: tuple[int | str, ...] | None  # None: no shape is declared


@dataclass(frozen=True, slots=True, eq=False)
class OnnxSource:
    """A parsed file."""

    path: Path
    ops: tuple[OnnxOp, ...]
    inputs: tuple[InputDeclaration, ...]
    outputs: tuple[str, ...]
    constants: dict[str, NDArray[Any]]
    readers: Counter[str]  # how many operators (and outputs) read a tensor
    stepwise: bool = False  # edgeinfer wrote it: see Drawing


def source_of(model: ModelProto, path: Path) -> OnnxSource:
    """Sort, prune and check the graph; a ModelError names what does not fit together."""
    model = _inline_functions(model, path)
    graph = model.graph
    outputs = tuple(output.name for output in graph.output)
    opsets = {opset.domain or "": opset.version for opset in model.opset_import}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    entries = tuple(_entry(value) for value in graph.input if value.name not in stored)
    ops = [_op(node, opsets, path) for node in graph.node]
    makers = _makers(ops, {*stored, *(entry.name for entry in entries)}, path)
    live = _live(ops, makers, outputs)
    known_names = {*makers, *stored, *(entry.name for entry in entries)}
    if graph.sparse_initializer:
        raise ModelError(f"{path} has sparse weights.", hint="Export the model with dense ones.")
    _refuse_missing(path, live, outputs, known_names)
    ordered = _sort_ops(live, path)
    used = {name for op in ordered for name in op.inputs} | set(outputs)
    return OnnxSource(
        path=path,
        ops=ordered,
        inputs=entries,
        outputs=outputs,
        constants={
            name: array_of(tensor, path.parent, f"{path}: the tensor {name!r}")
            for name, tensor in stored.items()
            if name in used
        },
        readers=count_readers(ordered, outputs),
        stepwise=any(
            (prop.key, prop.value) == ("edgeinfer.format", "qonnx") for prop in model.metadata_props
        ),
    )


def _inline_functions(model: ModelProto, path: Path) -> ModelProto:
    """Functions that the file defines, written out where they are called, but for those that are
    read as a whole."""
    if not model.functions:
        return model
    from onnx import inliner

    defined = {(f.domain, f.name): f for f in model.functions}
    calls = {
        key: {(n.domain, n.op_type) for n in f.node} & set(defined) for key, f in defined.items()
    }
    settled: set[tuple[str, str]] = set()
    while ready := [key for key in calls if key not in settled and calls[key] <= settled]:
        settled.update(ready)
    if looping := sorted(name for domain, name in set(calls) - settled):
        raise ModelError(
            f"{path}: the function {looping[0]!r} calls itself.", hint="Export the model again."
        )
    try:
        return inliner.inline_selected_functions(model, list(WHOLE_FUNCTIONS), exclude=True)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path}: its functions cannot be written out: {error}.",
            hint="Export the model without functions.",
        ) from None


def _entry(value: ValueInfoProto) -> InputDeclaration:
    kind = value.type.tensor_type
    dims = None
    if kind.HasField("shape"):
        dims = tuple(
            d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in kind.shape.dim
        )
    return InputDeclaration(value.name, kind.elem_type, dims)


def _op(node: NodeProto, opsets: dict[str, int], path: Path) -> OnnxOp:
    domain = "" if node.domain == "ai.onnx" else node.domain
    attributes: dict[str, Any] = {}
    for attribute in node.attribute:
        where = f"{path}: the attribute {attribute.name!r} of {node.name or node.op_type!r}"
        if attribute.type == AttributeProto.TENSOR:
            attributes[attribute.name] = array_of(attribute.t, path.parent, where)
        elif attribute.type == AttributeProto.GRAPH and is_choice(node.op_type, domain):
            attributes[attribute.name] = _branch(attribute.g, opsets, path)
        else:
            attributes[attribute.name] = _attribute(attribute)
    branches = [value for value in attributes.values() if isinstance(value, OnnxBranch)]
    captured = {name for each in branches for name in each.captured} - set(node.input)
    return OnnxOp(
        name=node.name,
        kind=node.op_type,
        domain=domain,
        version=opsets.get(domain, opsets.get("ai.onnx", 1) if not domain else 1),
        inputs=(*node.input, *sorted(captured)),
        outputs=tuple(node.output),
        proto=node,
        attributes=attributes,
    )


def count_readers(ops: Sequence[OnnxOp], outputs: Sequence[str]) -> Counter[str]:
    """How many operators (and outputs) of a graph read a tensor."""
    return Counter([name for op in ops for name in op.inputs if name] + list(outputs))


def is_choice(kind: str, domain: str) -> bool:
    """Whether an operator is the If of ONNX itself."""
    return kind == "If" and domain in MAIN_DOMAINS


def _branch(graph: GraphProto, opsets: dict[str, int], path: Path) -> OnnxBranch:
    constants = {
        tensor.name: array_of(tensor, path.parent, f"{path}: the tensor {tensor.name!r}")
        for tensor in graph.initializer
    }
    ops = tuple(_op(node, opsets, path) for node in graph.node)
    return OnnxBranch(ops, constants, tuple(output.name for output in graph.output))


def _attribute(attribute: AttributeProto) -> Any:
    try:
        return helper.get_attribute_value(attribute)
    except ValueError:
        return None


def _makers(ops: list[OnnxOp], entries: set[str], path: Path) -> dict[str, int]:
    makers: dict[str, int] = {}
    for index, op in enumerate(ops):
        for output in op.outputs:
            if output and (output in makers or output in entries):
                raise ModelError(
                    f"{path}: {op.place} ({op.label}) makes {output!r} a second time.",
                    hint="Every tensor of an ONNX graph is made once; export the model again.",
                )
            if output:
                makers[output] = index
    return makers


def _live(ops: list[OnnxOp], makers: dict[str, int], outputs: tuple[str, ...]) -> list[OnnxOp]:
    """The operators on which an output depends."""
    indices: set[int] = set()
    waiting = [makers[output] for output in outputs if output in makers]
    while waiting:
        index = waiting.pop()
        if index not in indices:
            indices.add(index)
            waiting.extend(makers[name] for name in ops[index].inputs if name in makers)
    return [ops[index] for index in sorted(indices)]


def _refuse_missing(
    path: Path, live: list[OnnxOp], outputs: tuple[str, ...], known_names: set[str]
) -> None:
    for op in live:
        for name in op.inputs:
            if name and name not in known_names:
                raise ModelError(
                    f"{path}: {op.place} ({op.label}) reads {name!r}, which nothing makes.",
                    hint=did_you_mean(name, known_names) or "Export the model again.",
                )
    for name in outputs:
        if name not in known_names:
            raise ModelError(
                f"{path}: nothing makes the output {name!r}.",
                hint=did_you_mean(name, known_names) or "Export the model again.",
            )


def _sort_ops(live: list[OnnxOp], path: Path) -> tuple[OnnxOp, ...]:
    """Topological order, the file's own order where that is one."""
    places = {output: place for place, op in enumerate(live) for output in op.outputs if output}
    needs = [{places[name] for name in op.inputs if name in places} for op in live]
    feeds: dict[int, list[int]] = {}
    for place, before in enumerate(needs):
        for other in before:
            feeds.setdefault(other, []).append(place)
    ready = [place for place, before in enumerate(needs) if not before]
    ordered: list[OnnxOp] = []
    while ready:
        place = heapq.heappop(ready)
        ordered.append(live[place])
        for other in feeds.get(place, []):
            needs[other].discard(place)
            if not needs[other]:
                heapq.heappush(ready, other)
    if len(ordered) < len(live):
        raise ModelError(
            f"{path}: the graph has a cycle: {_cycle(live, needs)}.",
            hint="A network that feeds back cannot be read; export it unrolled.",
        )
    return tuple(ordered)


def _cycle(live: list[OnnxOp], needs: list[set[int]]) -> str:
    place = next(place for place, before in enumerate(needs) if before)
    walk: list[int] = []
    while place not in walk:
        walk.append(place)
        place = min(other for other in needs[place] if needs[other])
    around = walk[walk.index(place) :]
    return ", which needs ".join(f"{live[p].place} ({live[p].label})" for p in [*around, around[0]])


def integer_type(data_type: int) -> str:
    """The name of a type of integers, or bool; nothing for real numbers."""
    if data_type in float_types() or data_type not in helper.get_all_tensor_dtypes():
        return ""
    return str(helper.tensor_dtype_to_np_dtype(data_type))


def float_types() -> tuple[int, ...]:
    """Types that hold real numbers."""
    return (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
