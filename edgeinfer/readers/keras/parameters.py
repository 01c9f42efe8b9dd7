# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which parameters a layer of each class has, in the order in which Keras creates them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeinfer.readers.keras import cells, hgq_variables, sparse_variables, tfmot_variables
from edgeinfer.readers.keras.config import LayerConfig, class_name, parse_layer
from edgeinfer.readers.keras.fields import Fields, UnsupportedLayerError

LOOKUP_DENSE = "edgeinfer>LookupDense"  # our own layers
TABLE_NEURONS = "edgeinfer>TableNeurons"


@dataclass(frozen=True, slots=True)
class Parameters:
    """A layer's parameters: trained by gradients, and tracked (statistics)."""

    trained: tuple[str, ...] = ()
    tracked: tuple[str, ...] = ()
    children: tuple[tuple[str, tuple[str, ...]], ...] = ()  # those that a layer inside it owns

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.trained, *self.tracked)

    @property
    def own(self) -> tuple[str, ...]:
        """Those that the layer itself owns."""
        inner = {name for _, names in self.children for name in names}
        return tuple(name for name in self.names if name not in inner)


def parameters_of(layer: LayerConfig) -> Parameters:
    """The parameters of a layer; none for a class that has none or is not known."""
    config = layer.entry.get("config")
    if not isinstance(config, dict):
        return Parameters()
    if layer.kind.startswith(hgq_variables.PACKAGE):
        return _hgq_parameters(layer)
    if layer.kind.startswith(sparse_variables.PACKAGE):
        return _sparse_parameters(layer)
    if layer.kind in cells.RECURRENT:
        return _recurrent_parameters(layer)
    if layer.kind == tfmot_variables.LAYER or layer.kind in tfmot_variables.WRAPPERS:
        return _tfmot_parameters(layer)
    if layer.kind == LOOKUP_DENSE:
        return Parameters(("tables",))
    if layer.kind == TABLE_NEURONS:
        trained = ("inner", "inner_bias", "outer", "straight", "bias")
        return Parameters(trained, ("connected", "tables"))
    fields = Fields(config)
    bias = ("bias",) if fields.get("use_bias", True) else ()
    match layer.kind.removeprefix("Q"):
        case "Dense" | "BinaryDense" | "TernaryDense":
            return Parameters(("kernel", *bias))
        case kind if kind.removesuffix("Transpose") in ("Conv1D", "Conv2D", "Conv3D"):
            return Parameters(("kernel", *bias))
        case "EinsumDense":
            return Parameters(("kernel", *(("bias",) if fields.get("bias_axes") else ())))
        case "Normalization" if fields.get("mean") is None:
            return Parameters((), ("mean", "variance", "count"))
        case "DepthwiseConv1D" | "DepthwiseConv2D":
            return Parameters(("depthwise_kernel", *bias))
        case "SeparableConv1D" | "SeparableConv2D":
            return Parameters(("depthwise_kernel", "pointwise_kernel", *bias))
        case "BatchNormalization" | "SyncBatchNormalization" | "BatchNormalizationV1":
            return Parameters(_scale_and_shift(fields), ("moving_mean", "moving_variance"))
        case "LayerNormalization":
            if fields.get("rms_scaling", False):
                return Parameters(("gamma",))
            return Parameters(_scale_and_shift(fields))
        case "GroupNormalization":
            return Parameters(_scale_and_shift(fields))
        case "RMSNormalization":
            return Parameters(("scale",))
        case "MultiHeadAttention" | "GroupQueryAttention" | "GroupedQueryAttention":
            return _attention_parameters(bool(bias))
        case "Attention":
            scale = ("scale",) if fields.get("use_scale", False) else ()
            weight = ("concat_score_weight",) if fields.get("score_mode") == "concat" else ()
            return Parameters((*scale, *weight))
        case "AdditiveAttention":
            return Parameters(("scale",) if fields.get("use_scale", True) else ())
        case "Conv2DBatchnorm" | "DenseBatchnorm":
            return _fold_parameters("kernel", bias, fields)
        case "DepthwiseConv2DBatchnorm":
            return _fold_parameters("depthwise_kernel", bias, fields)
        case "Embedding":
            return Parameters(("embeddings",))
        case "PReLU":
            return Parameters(("alpha",))
        case "FixedPointQuantizer":
            return Parameters((), ("keep_negative", "bits", "integers"))
        case "PruneLowMagnitude":
            return parameters_of(unwrap_layer(layer))
        case "TimeDistributed":
            inner = parameters_of(layer_inside(layer))
            inside = tuple((f"layer/{child}", names) for child, names in inner.children)
            return replace(inner, children=(("layer", inner.own), *inside))
        case "SpectralNormalization":
            return _spectral_parameters(layer)
        case _:  # as the docstring says
            return Parameters()


def _spectral_parameters(layer: LayerConfig) -> Parameters:
    """Those of the layer inside, and what the wrapper owns: the normalised kernel once more, and
    a vector that training alone reads."""
    inner = parameters_of(layer_inside(layer))
    inside = tuple((f"layer/{child}", names) for child, names in inner.children)
    tracked = (*inner.tracked, "kernel, again", "vector_u")
    return Parameters(inner.trained, tracked, (("layer", inner.own), *inside))


def _hgq_parameters(layer: LayerConfig) -> Parameters:
    """Those of a layer of HGQ2, whose quantizers are layers inside it."""
    try:
        trained, tracked = hgq_variables.own_variables(layer)
        children = hgq_variables.variables_of(layer)
        for place, inside in hgq_variables.layers_inside(layer).items():
            inner = _hgq_parameters(inside)
            children += ((place, tuple(f"{place}/{name}" for name in inner.own)),)
            children += tuple(
                (f"{place}/{child}", tuple(f"{place}/{name}" for name in names))
                for child, names in inner.children
            )
    except UnsupportedLayerError:  # which is reported when the layer is read
        return Parameters()
    owned = tuple(name for _, names in children for name in names)
    return Parameters(trained, (*tracked, *owned), children)


def _sparse_parameters(layer: LayerConfig) -> Parameters:
    """Those of a layer of SparsePixels, which may hold one of HGQ2."""
    try:
        trained, tracked = sparse_variables.own_variables(layer)
        children = sparse_variables.groups_of(layer)
    except UnsupportedLayerError:  # which is reported when the layer is read
        return Parameters()
    owned = tuple(name for _, names in children for name in names)
    return Parameters(trained, (*tracked, *owned), children)


def _tfmot_parameters(layer: LayerConfig) -> Parameters:
    """The ranges of what is rounded, behind what the layer in a wrapper has.

    The wrapper owns what the layer trains, too: in Keras 3's layout it comes first, and weights
    that are rounded come once more, which the layer itself then lacks.
    """
    try:
        ranges = tfmot_variables.range_variables(layer)
        if layer.kind not in tfmot_variables.WRAPPERS:
            return Parameters((), ranges)
        rounded = tfmot_variables.parse_wrapper(layer).weights
        inner = parameters_of(unwrap_layer(layer))
    except UnsupportedLayerError:  # which is reported when the layer is read
        return Parameters()
    if rounded is not None:
        return Parameters(inner.trained, (*inner.tracked, f"{rounded}, again", *ranges))
    again = tuple(f"{name}, again" for name in inner.trained)
    return Parameters(inner.trained, (*inner.tracked, *again, *ranges), (("layer", inner.names),))


def _recurrent_parameters(layer: LayerConfig) -> Parameters:
    """Those of the cells, which are layers of their own inside."""
    try:
        cells_found = cells.all_cells(layer)
    except UnsupportedLayerError:  # which is reported when the layer is read
        return Parameters()
    names = tuple(name for cell in cells_found for name in cell.names)
    return Parameters(names, children=tuple((cell.folder, cell.names) for cell in cells_found))


def unwrap_layer(layer: LayerConfig) -> LayerConfig:
    """The layer inside a wrapper, under the name and path that the user gave it."""
    inner = layer.fields.get("layer")
    inner_layer = parse_layer(inner, layer.path.removesuffix(layer.name), 0)
    return LayerConfig(
        class_name(inner_layer.entry),
        inner_layer.name,
        inner_layer.path,
        inner_layer.entry,
        layer.calls,
    )


def layer_inside(layer: LayerConfig) -> LayerConfig:
    """The layer inside, under the name of the wrapper."""
    entry = layer.fields.get("layer")
    if not isinstance(entry, dict):
        raise UnsupportedLayerError("it does not say which layer it calls")
    return LayerConfig(class_name(entry), layer.name, layer.path, entry)


def _scale_and_shift(fields: Fields) -> tuple[str, ...]:
    scale = ("gamma",) if fields.get("scale", True) else ()
    shift = ("beta",) if fields.get("center", True) else ()
    return (*scale, *shift)


def _fold_parameters(kernel: str, bias: tuple[str, ...], fields: Fields) -> Parameters:
    norm = (*_scale_and_shift(fields), "moving_mean", "moving_variance")
    trained = (kernel, *bias, *_scale_and_shift(fields))
    return Parameters(trained, ("moving_mean", "moving_variance"), (("batchnorm", norm),))


def _attention_parameters(bias: bool) -> Parameters:
    """Kernel and bias of each projection, which is a layer of its own inside."""
    kinds = ("kernel", "bias") if bias else ("kernel",)
    children = {
        part: tuple(f"{part}_{kind}" for kind in kinds)
        for part in ("query", "key", "value", "output")
    }
    trained = tuple(name for names in children.values() for name in names)
    return Parameters(
        trained,
        children=tuple(
            (f"{before}{part}_dense", names)
            for part, names in children.items()
            for before in ("", "_")  # private attributes in newer classes
        ),
    )
