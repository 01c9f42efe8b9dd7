# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Masks, which say of each sample which of its steps count: where they come from, how far they go.

Keras 3 writes the operations that make a mask into the file, and calls the layer that reads it with
their result. Older files say nothing; there a mask goes from Masking or Embedding through the
layers that pass it on.
"""

from __future__ import annotations

from edgeinfer.readers.keras.builder import GraphBuilder, Site
from edgeinfer.readers.keras.cells import RECURRENT, directions_of
from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.fields import UnsupportedLayerError

MASK_READERS = frozenset(
    {
        *("GlobalAveragePooling1D", "GlobalAvgPool1D", "Softmax", "TimeDistributed"),
        *("MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention"),
    }
)
MASK_PASSING = (
    *("Activation", "BatchNormalization", "Dense", "Dropout", "LayerNormalization", "ReLU"),
)
Tensors = tuple[str | None, ...]


def refuse_masks(builder: GraphBuilder, layer: LayerConfig, xs: Tensors) -> None:
    """Masks change nothing but what layers of these kinds compute, and recurrent ones."""
    if layer.kind in MASK_READERS and not builder.masked.keys().isdisjoint(xs):
        raise UnsupportedLayerError(
            "it leaves out the steps that a Masking layer masks, and how many these are depends on "
            "each sample; remove the Masking layer"
        )


def pass_masks(builder: GraphBuilder, layer: LayerConfig, xs: Tensors, outputs: Tensors) -> None:
    """Give what a layer has made the mask that Keras gives it."""
    masks = [builder.masked[x] for x in xs if x in builder.masked]
    if not masks:
        return
    if layer.kind in RECURRENT:
        outputs, mask = outputs[: _sequences_of(layer)], masks[0]
    else:
        mask = masks[0] if len(xs) == 1 and layer.kind in MASK_PASSING else None
    for x in outputs:
        if x is not None:
            builder.masked.setdefault(x, mask)


def mask_of(site: Site, x: str) -> str | None:
    """The tensor whose zero steps do not count in x; None where all steps do."""
    masked = site.builder.masked
    if x not in masked:
        return None
    mask = masked[x]
    if mask is None:
        raise UnsupportedLayerError(
            "a mask reaches it through a layer of which it is not known whether it passes masks "
            f"on; those that do are {', '.join(MASK_PASSING)} and recurrent layers"
        )
    return mask


def _sequences_of(layer: LayerConfig) -> int:
    """How many of a recurrent layer's outputs, from the first on, are sequences."""
    if not layer.kind.endswith("Bidirectional"):
        return int(layer.fields.flag("return_sequences", False))
    forward, _ = directions_of(layer)
    both = layer.fields.get("merge_mode", "concat") is None
    return (2 if both else 1) * int(forward.fields.flag("return_sequences", False))
