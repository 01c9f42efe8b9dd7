# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which cells a recurrent layer of Keras runs, how they are configured, where their weights lie."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edgeinfer.readers.keras.config import LayerConfig, class_name, parse_layer
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError

CELLS = ("SimpleRNN", "LSTM", "GRU")
RECURRENT = frozenset(  # classes of layers that are read as recurrences
    {*CELLS, *(f"Q{name}" for name in CELLS), "RNN", "Bidirectional", "QBidirectional"}
)
FOLDERS = {  # of cells in a file, by class
    "SimpleRNNCell": "simple_rnn_cell",
    "LSTMCell": "lstm_cell",
    "GRUCell": "gru_cell",
    "QSimpleRNNCell": "q_simple_rnn_cell",
    "QLSTMCell": "qlstm_cell",
    "QGRUCell": "qgru_cell",
}
PARAMETERS = ("kernel", "recurrent_kernel", "bias")


@dataclass(frozen=True, slots=True)
class CellConfig:
    """A cell: its class, its configuration, what stands before its parameters' names, and the
    group of the layer's weights in which they lie."""

    kind: str
    fields: Fields
    prefix: str
    folder: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its parameters."""
        kept = PARAMETERS if self.fields.get("use_bias", True) else PARAMETERS[:2]
        return tuple(f"{self.prefix}{name}" for name in kept)


def cells_of(layer: LayerConfig, prefix: str = "", folder: str = "cell") -> tuple[CellConfig, ...]:
    """The cells of a recurrent layer of one direction, in the order in which they are called."""
    if layer.kind.removeprefix("Q") in CELLS:
        return (CellConfig(f"{layer.kind}Cell", layer.fields, prefix, folder),)
    entry = layer.fields.get("cell")
    if layer.kind != "RNN" or not isinstance(entry, dict):
        raise UnsupportedLayerError(f"{layer.kind} does not say which cell it runs")
    kind = class_name(entry)
    if kind != "StackedRNNCells":
        return (_cell(entry, prefix, folder),)
    listed = Fields(entry.get("config")).get("cells")
    if not isinstance(listed, list) or not listed:
        raise UnsupportedLayerError("its StackedRNNCells lists no cells")
    counts: Counter[str] = Counter()
    cells: list[CellConfig] = []
    for number, each in enumerate(listed):
        name = FOLDERS.get(class_name(each) if isinstance(each, dict) else "", "cell")
        place = name if not counts[name] else f"{name}_{counts[name]}"
        counts[name] += 1
        cells.append(_cell(each, f"{prefix}cell{number + 1}_", f"{folder}/cells/{place}"))
    return tuple(cells)


def _cell(entry: object, prefix: str, folder: str) -> CellConfig:
    if not isinstance(entry, dict):
        raise UnsupportedLayerError("one of its cells is not a table")
    kind = class_name(entry)
    if kind not in FOLDERS:
        raise UnsupportedLayerError(
            f"its cell is a {kind}; {', '.join(list(FOLDERS)[:3])} and stacks of them are read"
        )
    return CellConfig(kind, Fields(entry.get("config")), prefix, folder)


def directions_of(layer: LayerConfig) -> tuple[LayerConfig, LayerConfig]:
    """The two layers of a Bidirectional."""
    forward = _inner(layer, "layer")
    if layer.fields.get("backward_layer") is not None:
        return forward, _inner(layer, "backward_layer")
    entry = dict(forward.entry)
    config = dict(entry.get("config") or {})
    config["go_backwards"] = not config.get("go_backwards", False)
    entry["config"] = config
    return forward, LayerConfig(forward.kind, forward.name, forward.path, entry)


def _inner(layer: LayerConfig, name: str) -> LayerConfig:
    entry = layer.fields.get(name)
    if not isinstance(entry, dict):
        raise UnsupportedLayerError(f"it does not say what its {name} is")
    inner_layer = parse_layer(entry, layer.path, 0)
    return LayerConfig(inner_layer.kind, layer.name, layer.path, entry)


def all_cells(layer: LayerConfig) -> tuple[CellConfig, ...]:
    """The cells of a recurrent layer, of both directions where it has two."""
    if not layer.kind.endswith("Bidirectional"):
        return cells_of(layer)
    forward, backward = directions_of(layer)
    return (
        *cells_of(forward, "forward_", "forward_layer/cell"),
        *cells_of(backward, "backward_", "backward_layer/cell"),
    )
