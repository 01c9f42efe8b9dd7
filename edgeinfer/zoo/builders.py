# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The architectures, as Keras builds them. Output layers bear the names of the heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

SIDE = 48
PROFILE_POINTS = 100
PROFILE_SCALARS = 7
WAVEFORM_TICKS = 200
JET_FEATURES = 16
PARTICLES = 16
HITS, EDGES = 16, 24
VIEW_SHAPE = (64, 64, 1)
BEAM_SHAPE = (64, 48, 1)
PLANE_SIDE, GLIMPSE_SIDE = 128, 32
ECAL_SHAPE = (25, 25, 25)
HCAL_SHAPE = (5, 5, 60)


def hit_tagger() -> keras.Model:
    """The ProtoDUNE tagger: one convolution, two dense layers, two heads; 11,900,420 parameters."""
    from keras import Model, layers

    x = image = layers.Input((SIDE, SIDE, 1), name="image")
    x = layers.Conv2D(48, 5, activation="relu", name="conv")(x)
    x = layers.Dropout(0.2, name="drop_conv")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(128, activation="relu", name="dense1")(x)
    x = layers.Dropout(0.2, name="drop1")(x)
    x = layers.Dense(32, activation="relu", name="dense2")(x)
    x = layers.Dropout(0.2, name="drop2")(x)
    return Model(image, _tagger_heads(x), name="hit_tagger")


def hit_tagger_pooled() -> keras.Model:
    """The tagger made small: 8 filters, pooled by 4 before the first dense layer."""
    from keras import Model, layers

    x = image = layers.Input((SIDE, SIDE, 1), name="image")
    x = layers.Conv2D(8, 5, activation="relu", name="conv")(x)
    x = layers.MaxPooling2D(4, name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(32, activation="relu", name="dense1")(x)
    x = layers.Dense(16, activation="relu", name="dense2")(x)
    return Model(image, _tagger_heads(x), name="hit_tagger_pooled")


def _tagger_heads(x: Any) -> list[Any]:
    from keras import layers

    michel = layers.Dense(1, name="michel_logit")(x)
    # The order of the public network: [track, em, none], then the Michel score.
    return [_classes(x, 3, "label"), layers.Activation("sigmoid", name="michel")(michel)]


def _classes(x: Any, count: int, name: str) -> Any:
    """A softmax head; logits and shares have layers, hence names, of their own."""
    from keras import layers

    logits = layers.Dense(count, name=f"{name}_logits")(x)
    return layers.Activation("softmax", name=name)(logits)


def track_pid() -> keras.Model:
    """A stand-in for the particle identification network, whose layers are not public."""
    from keras import Model, layers

    x = profile = layers.Input((PROFILE_POINTS, 1), name="profile")
    for index, (filters, width) in enumerate(((16, 5), (32, 5), (32, 3)), start=1):
        x = layers.Conv1D(filters, width, padding="same", activation="relu", name=f"conv{index}")(x)
        x = layers.MaxPooling1D(2, name=f"pool{index}")(x)
    x = layers.Flatten(name="flat")(x)
    scalars = layers.Input((PROFILE_SCALARS,), name="scalars")
    x = layers.Concatenate(name="joined")([x, scalars])
    x = layers.Dense(64, activation="relu", name="dense1")(x)
    x = layers.Dense(32, activation="relu", name="dense2")(x)
    return Model([profile, scalars], _classes(x, 3, "particle"), name="track_pid")


def roi_finder() -> keras.Model:
    """Is there a signal in a window of a raw waveform? 21,217 parameters, 119 kMAC."""
    from keras import Model, layers

    x = waveform = layers.Input((WAVEFORM_TICKS, 1), name="waveform")
    x = layers.Conv1D(16, 3, strides=2, activation="relu", name="conv1")(x)
    x = layers.MaxPooling1D(2, name="pool1")(x)
    x = layers.Conv1D(32, 5, strides=2, activation="relu", name="conv2")(x)
    x = layers.MaxPooling1D(2, name="pool2")(x)
    x = layers.Conv1D(64, 9, activation="relu", name="conv3")(x)
    x = layers.GlobalMaxPooling1D(name="highest")(x)
    x = layers.Dense(1, name="signal_logit")(x)
    return Model(waveform, layers.Activation("sigmoid", name="signal")(x), name="roi_finder")


def jet_tagger() -> keras.Model:
    """The field's common benchmark: 16 features, three dense layers, 5 kinds of jet."""
    from keras import Model, layers

    x = features = layers.Input((JET_FEATURES,), name="features")
    for index, units in enumerate((64, 32, 32), start=1):
        x = layers.Dense(units, activation="relu", name=f"dense{index}")(x)
    return Model(features, _classes(x, 5, "jet"), name="jet_tagger")


def jet_transformer() -> keras.Model:
    """Attention among a jet's 16 hardest particles, whose mean tells 5 kinds of jet."""
    from keras import Model, layers

    particles = layers.Input((PARTICLES, 3), name="particles")
    x = layers.Dense(16, activation="relu", name="embedded")(particles)
    heads = layers.MultiHeadAttention(2, 8, name="attention")(x, x)
    x = layers.Add(name="attended")([x, heads])
    wide = layers.Dense(32, activation="relu", name="wide")(x)
    x = layers.Add(name="widened")([x, layers.Dense(16, name="narrow")(wide)])
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    x = layers.Dense(16, activation="relu", name="dense")(x)
    return Model(particles, _classes(x, 5, "jet"), name="jet_transformer")


def jet_recurrent() -> keras.Model:
    """A gated recurrent unit that reads a jet's 16 hardest particles one after the other."""
    from keras import Model, layers

    particles = layers.Input((PARTICLES, 3), name="particles")
    x = layers.GRU(20, name="memory")(particles)
    x = layers.Dense(16, activation="relu", name="dense")(x)
    return Model(particles, _classes(x, 5, "jet"), name="jet_recurrent")


def track_graph() -> keras.Model:
    """An interaction network: messages along edges that are inputs, summed at each hit."""
    from keras import Model, layers, ops

    hits = layers.Input((HITS, 3), name="hits")
    ends = [layers.Input((EDGES,), dtype="int32", name=name) for name in ("senders", "receivers")]
    ends_of_pairs = [ops.take_along_axis(hits, ops.expand_dims(end, -1), axis=1) for end in ends]
    x = layers.Concatenate(name="pairs")(ends_of_pairs)
    x = layers.Dense(16, activation="relu", name="edge1")(x)
    messages = layers.Dense(8, activation="relu", name="edge2")(x)
    at_hits = ops.transpose(ops.one_hot(ends[1], HITS), (0, 2, 1))
    x = layers.Concatenate(name="updated")([hits, ops.matmul(at_hits, messages)])
    x = layers.Dense(16, activation="relu", name="node")(x)
    x = layers.GlobalAveragePooling1D(name="mean")(x)
    x = layers.Dense(8, activation="relu", name="dense")(x)
    x = layers.Dense(1, name="track_logit")(x)
    outputs = layers.Activation("sigmoid", name="track")(x)
    return Model([hits, *ends], outputs, name="track_graph")


def anomaly_trigger() -> keras.Model:
    """An autoencoder of 16 features, and how badly it does: a score of what is new, in integers."""
    from keras import Model, layers

    features = layers.Input((JET_FEATURES,), name="features")
    x = layers.Dense(16, activation="relu", name="encoder")(features)
    x = layers.Dense(2, name="code")(x)
    x = layers.Dense(16, activation="relu", name="decoder")(x)
    again = layers.Dense(JET_FEATURES, name="features_again")(x)
    missed = layers.Subtract(name="missed")([features, again])
    square = layers.Multiply(name="square")([missed, missed])
    rows = layers.Reshape((JET_FEATURES, 1), name="squares")(square)
    x = layers.GlobalAveragePooling1D(name="mean")(rows)
    score = layers.Reshape((1,), name="score")(x)
    return Model(features, [again, score], name="anomaly_trigger")


def cvn_small() -> keras.Model:
    """DUNE's CVN made small: a tower for each view, residual blocks that weigh their channels by
    what all pixels say, and heads for the flavour and for counts of particles."""
    from keras import Model, layers

    views = [layers.Input(VIEW_SHAPE, name=f"view{number}") for number in range(3)]
    towers = []
    for number, view in enumerate(views):
        x = _normed_conv(view, 8, 5, f"view{number}_conv1", strides=2)
        x = layers.MaxPooling2D(2, name=f"view{number}_pool")(layers.ReLU()(x))
        towers.append(layers.ReLU()(_normed_conv(x, 12, 3, f"view{number}_conv2")))
    x = layers.Concatenate(name="views")(towers)
    for number, strides in enumerate((2, 1), start=1):
        x = _residual_block(x, 24, f"block{number}", strides)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    heads = [_classes(x, 3, name) for name in ("flavour", "protons", "pions")]
    return Model(views, heads, name="cvn_small")


def _normed_conv(x: Any, filters: int, side: int, name: str, strides: int = 1) -> Any:
    """Its statistics follow within an epoch: pictures that are nearly empty have tiny variances,
    which an average that begins at 1 would hide for long."""
    from keras import layers

    options = {"padding": "same", "use_bias": False, "strides": strides, "name": name}
    x = layers.Conv2D(filters, side, **options)(x)
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def _residual_block(x: Any, filters: int, name: str, strides: int) -> Any:
    """Two convolutions, squeeze and excitation, and the way around them."""
    from keras import layers

    y = layers.ReLU()(_normed_conv(x, filters, 3, f"{name}_conv1", strides))
    y = _normed_conv(y, filters, 3, f"{name}_conv2")
    weight = layers.GlobalAveragePooling2D(name=f"{name}_squeezed")(y)
    weight = layers.Dense(filters // 4, activation="relu", name=f"{name}_excite1")(weight)
    weight = layers.Dense(filters, activation="sigmoid", name=f"{name}_excite2")(weight)
    weight = layers.Reshape((1, 1, filters), name=f"{name}_weight")(weight)
    y = layers.Multiply(name=f"{name}_weighed")([y, weight])
    around = x
    if strides > 1 or x.shape[-1] != filters:
        around = layers.Conv2D(filters, 1, strides=strides, name=f"{name}_around")(x)
    return layers.ReLU(name=name)(layers.Add(name=f"{name}_sum")([y, around]))


def lariat_siamese(kinds: int) -> keras.Model:
    """One tower that looks at both planes, so with one set of weights; kind and energy."""
    from keras import Model, layers

    planes = [layers.Input(BEAM_SHAPE, name=f"plane{number}") for number in range(2)]
    shared = (
        layers.Conv2D(8, 5, strides=2, padding="same", activation="relu", name="conv1"),
        layers.MaxPooling2D(2, name="pool1"),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv2"),
        layers.MaxPooling2D(2, name="pool2"),
        layers.Conv2D(16, 3, padding="same", activation="relu", name="conv3"),
        layers.Flatten(name="flat"),
        layers.Dense(24, activation="relu", name="seen"),
    )
    x = layers.Concatenate(name="both")([_apply_layers(shared, plane) for plane in planes])
    x = layers.Dense(32, activation="relu", name="dense")(x)
    heads = [_classes(x, kinds, "particle"), layers.Dense(1, name="energy")(x)]
    return Model(planes, heads, name="lariat_siamese")


def vertex_finder() -> keras.Model:
    """Three glimpses of a plane, each half as wide and twice as sharp as the one before it, through
    the same convolutions; how far the vertex lies from the middle, in wires and in time."""
    from keras import Model, layers

    plane = layers.Input((PLANE_SIDE, PLANE_SIDE, 1), name="plane")
    glimpses = []
    for pooled in (4, 2, 1):
        x, margin = plane, (PLANE_SIDE - pooled * GLIMPSE_SIDE) // 2
        if margin:
            x = layers.Cropping2D(margin, name=f"crop{pooled}")(x)
        if pooled > 1:
            x = layers.AveragePooling2D(pooled, name=f"glimpse{pooled}")(x)
        glimpses.append(x)
    shared = (
        layers.Conv2D(8, 5, strides=2, padding="same", activation="relu", name="conv1"),
        layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="conv2"),
        layers.Flatten(name="flat"),
        layers.Dense(24, activation="relu", name="seen"),
    )
    x = layers.Concatenate(name="glimpses")(
        [_apply_layers(shared, glimpse) for glimpse in glimpses]
    )
    x = layers.Dense(48, activation="relu", name="dense")(x)
    return Model(
        plane, [layers.Dense(1, name=name)(x) for name in ("wire", "time")], name="vertex_finder"
    )


def _apply_layers(shared: Sequence[Any], x: Any) -> Any:
    """Layers one after the other."""
    for layer in shared:
        x = layer(x)
    return x


def calo_classifier(classes: int) -> keras.Model:
    """Kind of particle from two calorimeters, dense."""
    from keras import Model

    inputs, x = _calorimeter_trunk()
    return Model(inputs, _classes(x, classes, "particle"), name="calo_classifier")


def energy_regression() -> keras.Model:
    """Energy of a particle from two calorimeters, dense."""
    from keras import Model, layers

    inputs, x = _calorimeter_trunk()
    return Model(inputs, layers.Dense(1, name="energy")(x), name="energy_regression")


def _calorimeter_trunk() -> tuple[Sequence[Any], Any]:
    from keras import layers

    ecal = layers.Input(ECAL_SHAPE, name="ecal")
    hcal = layers.Input(HCAL_SHAPE, name="hcal")
    cells = [layers.Flatten(name="ecal_cells")(ecal), layers.Flatten(name="hcal_cells")(hcal)]
    x = layers.Concatenate(name="cells")(cells)
    x = layers.Dense(12, activation="relu", name="dense1")(x)
    return [ecal, hcal], layers.Dense(16, activation="relu", name="dense2")(x)
