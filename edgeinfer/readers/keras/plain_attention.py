# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Attention without projections: Attention and AdditiveAttention."""

from __future__ import annotations

import numpy as np

from edgeinfer.graph import compose
from edgeinfer.graph import nodes as g
from edgeinfer.readers.keras.attention import read_mask, read_roles, refuse_options
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.fields import UnsupportedLayerError

LISTED = ("query", "value", "key")


def attention_layer(site: Site) -> str:
    """Attention: scores are products of queries and keys, or sums of the tanh of their sums."""
    mode = site.fields.get("score_mode", "dot")
    scaled = site.fields.flag("use_scale", False)
    scale = site.shaped("scale", ()).astype(np.float64) if scaled else np.ones(())
    query, key, value, mask = _read(site)
    if mode == "dot":
        scores = _dot_scores(site, query, key, scale)
    elif mode == "concat":
        weight = site.shaped("concat_score_weight", ()).astype(np.float64)
        dim = site.shape(query)[-1]
        scores = _added_scores(site, query, key, scale, np.full(dim, weight))
    else:
        raise UnsupportedLayerError(f"its score_mode is {mode!r}; 'dot' and 'concat' are read")
    return _weigh(site, scores, value, mask)


def additive_layer(site: Site) -> str:
    """AdditiveAttention: weighted sums of the tanh of a query plus a key are the scores."""
    query, key, value, mask = _read(site)
    dim = site.shape(query)[-1]
    weights = np.ones(dim)
    if site.fields.flag("use_scale", True):
        weights = site.shaped("scale", (dim,)).astype(np.float64)
    return _weigh(site, _added_scores(site, query, key, np.ones(()), weights), value, mask)


def _read(site: Site) -> tuple[str, str, str, str | None]:
    refuse_options(site)
    roles = read_roles(site, LISTED)
    query, value, key = (roles[name] for name in LISTED)
    if any(len(site.shape(x)) != 2 for x in (query, value, key)):
        raise UnsupportedLayerError("it attends to other than sequences, (places, channels)")
    mask = read_mask(site, None, site.shape(query)[0], site.shape(key)[0])
    return query, key, value, mask


def _dot_scores(site: Site, query: str, key: str, scale: g.Floats) -> str:
    """(1, places, other places)"""
    if scale != 1.0:
        name = f"{site.layer.path}_scale"
        query = site.add(g.AffineNode(site.name("scaled"), name, query, scale, np.zeros(())))
    queries, keys = (
        compose.reshape(site, x, (1, *site.shape(x)), label)
        for x, label in ((query, "query"), (key, "key"))
    )
    return compose.multiply_rows(site, queries, keys, "scores")


def _added_scores(site: Site, query: str, key: str, scale: g.Floats, weights: g.Floats) -> str:
    """The sum of weights tanh(scale (query + key)) over channels: (1, places, other places)."""
    (places, dim), others = site.shape(query), site.shape(key)[0]
    queries = compose.reshape(site, query, (places, 1, dim), "query")
    keys = compose.reshape(site, key, (1, others, dim), "key")
    total = site.add(g.MergeNode(site.name("sums"), (queries, keys), g.MergeKind.ADD))
    if scale != 1.0:
        name = f"{site.layer.path}_scale"
        total = site.add(g.AffineNode(site.name("scaled"), name, total, scale, np.zeros(())))
    bent = site.add(g.ActivationNode(site.name("tanh"), total, g.Function.TANH))
    layer = f"{site.layer.path}_score"
    scores = site.add(g.DenseNode(site.name("score"), layer, bent, weights[:, None], None))
    return compose.reshape(site, scores, (1, places, others), "scores")


def _weigh(site: Site, scores: str, value: str, mask: str | None) -> str:
    """The values weighed by the softmax of their scores, under the layer's own name."""
    weights = compose.weigh_rows(site, scores, mask)
    columns = compose.transpose(site, value, (1, 0), "value_columns")
    columns = compose.reshape(site, columns, (1, *site.shape(columns)), "values")
    mixed = compose.multiply_rows(site, weights, columns, "mixed")
    return compose.reshape(site, mixed, site.shape(mixed)[1:], "")
