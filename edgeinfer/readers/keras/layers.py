# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which function reads which class of layer: the one list of everything that can be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edgeinfer.graph.nodes import PoolNodeKind
from edgeinfer.readers.forms import forms_of
from edgeinfer.readers.keras import (
    activation_layers,
    attention,
    einsum,
    indexing,
    linear,
    normalizing,
    plain_attention,
    pooling,
    resampling,
    shaping,
)
from edgeinfer.readers.keras.builder import Site
from edgeinfer.readers.keras.cells import RECURRENT
from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.hgq_layers import read_hgq_layer
from edgeinfer.readers.keras.hgq_variables import PACKAGE
from edgeinfer.readers.keras.lookup_layers import lookup_dense_layer
from edgeinfer.readers.keras.neuron_layers import table_neurons_layer
from edgeinfer.readers.keras.operations import nearest_operation, read_operation
from edgeinfer.readers.keras.parameters import LOOKUP_DENSE, TABLE_NEURONS, layer_inside
from edgeinfer.readers.keras.recurrent import read_recurrent
from edgeinfer.readers.keras.sparse_pixels import read_sparse_layer
from edgeinfer.readers.keras.sparse_variables import PACKAGE as SPARSE
from edgeinfer.readers.keras.tfmot_layers import read_quantize_layer, read_wrapper
from edgeinfer.readers.keras.tfmot_variables import LAYER as QUANTIZE_LAYER
from edgeinfer.readers.keras.tfmot_variables import WRAPPERS

AUGMENTATIONS = frozenset(  # Keras 3 writes training=True for each; `predict` runs them without
    {
        *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast"),
        *("RandomBrightness", "RandomShear", "RandomErasing", "Resizing", "CenterCrop"),
    }
)
UNTRAINED = (
    *("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise"),
    *("GaussianDropout", "AlphaDropout", "ActivityRegularization", "Identity"),
)
OWN_CODE = (
    "Keras's own layers and functions for what it computes, connected by keras.Model(inputs, "
    "outputs)"
)
Reader = Callable[[Site], str]


def _with(read: Callable[..., str], *arguments: Any) -> Reader:
    return lambda site: read(site, *arguments)


def _over_axes(read: Callable[..., str], *names: str, most: int = 3) -> dict[str, Reader]:
    """A reader for each number of axes that stands where a name has its mark."""
    return {name.format(axes): _with(read, axes) for name in names for axes in range(1, most + 1)}


def _pools(kind: PoolNodeKind, *names: str) -> dict[str, Reader]:
    """Pools over windows, and over everything."""
    pool_readers: dict[str, Reader] = {}
    for axes in (1, 2, 3):
        for name in names:
            pool_readers[f"{name}{axes}D"] = _with(pooling.pool_layer, kind, axes)
            pool_readers[f"Global{name}{axes}D"] = _with(pooling.global_pool_layer, kind, axes)
    return pool_readers


def _pass_on(site: Site) -> str:
    """What training alone knows."""
    return site.x


READERS: dict[str, Reader] = {
    **dict.fromkeys(("Dense", "QDense", "QDenseBatchnorm"), linear.dense_layer),
    "BinaryDense": lambda site: linear.coarse_layer(site, zero=False),
    "TernaryDense": lambda site: linear.coarse_layer(site, zero=True),
    "EinsumDense": einsum.einsum_dense_layer,
    **_over_axes(linear.conv_layer, "Conv{}D", "Convolution{}D"),
    **_over_axes(linear.conv_layer, "QConv{}D", most=2),
    "QConv2DBatchnorm": _with(linear.conv_layer, 2),
    **_over_axes(linear.depthwise_layer, "DepthwiseConv{}D", "QDepthwiseConv{}D", most=2),
    "QDepthwiseConv2DBatchnorm": _with(linear.depthwise_layer, 2),
    **_over_axes(
        linear.separable_layer,
        *("SeparableConv{}D", "QSeparableConv{}D", "SeparableConvolution{}D"),
        most=2,
    ),
    **_over_axes(resampling.transposed_layer, "Conv{}DTranspose", "Convolution{}DTranspose"),
    **dict.fromkeys(
        ("BatchNormalization", "SyncBatchNormalization", "BatchNormalizationV1"),
        normalizing.batchnorm_layer,
    ),
    "QBatchNormalization": normalizing.quantized_batchnorm_layer,
    "LayerNormalization": normalizing.layer_norm_layer,
    "RMSNormalization": normalizing.rms_norm_layer,
    "GroupNormalization": normalizing.group_norm_layer,
    "UnitNormalization": normalizing.unit_norm_layer,
    "Normalization": normalizing.normalization_layer,
    "Rescaling": normalizing.rescaling_layer,
    "Masking": normalizing.masking_layer,
    "MultiHeadAttention": attention.multi_head_layer,
    **dict.fromkeys(
        ("GroupQueryAttention", "GroupedQueryAttention"), attention.grouped_query_layer
    ),
    "Attention": plain_attention.attention_layer,
    "AdditiveAttention": plain_attention.additive_layer,
    "Dot": attention.dot_layer,
    "FixedPointQuantizer": activation_layers.fixed_point_layer,
    **dict.fromkeys(("Activation", "QActivation"), activation_layers.activation_layer),
    **dict.fromkeys(
        ("ReLU", "LeakyReLU", "ThresholdedReLU", "ELU", "Softmax"),
        activation_layers.function_layer,
    ),
    "PReLU": activation_layers.prelu_layer,
    "Embedding": indexing.embedding_layer,
    "Discretization": indexing.discretization_layer,
    QUANTIZE_LAYER: read_quantize_layer,
    LOOKUP_DENSE: lookup_dense_layer,
    TABLE_NEURONS: table_neurons_layer,
    **_pools(PoolNodeKind.MAX, "MaxPooling", "MaxPool"),
    **_pools(PoolNodeKind.AVERAGE, "AveragePooling", "AvgPool"),
    "QAveragePooling2D": _with(pooling.pool_layer, PoolNodeKind.AVERAGE, 2),
    "QGlobalAveragePooling2D": _with(pooling.global_pool_layer, PoolNodeKind.AVERAGE, 2),
    "Flatten": shaping.flatten_layer,
    "Reshape": shaping.reshape_layer,
    "Permute": shaping.permute_layer,
    "RepeatVector": shaping.repeat_layer,
    **_over_axes(shaping.padding_layer, "ZeroPadding{}D"),
    **_over_axes(shaping.cropping_layer, "Cropping{}D"),
    **_over_axes(resampling.upsampling_layer, "UpSampling{}D"),
    "Resizing": resampling.resizing_layer,
    "CenterCrop": resampling.center_crop_layer,
    **{name: _with(shaping.merge_layer, kind) for name, kind in shaping.MERGES.items()},
    "CustomScaleLayer": shaping.scaled_sum_layer,
    "Concatenate": shaping.concat_layer,
    **dict.fromkeys((*UNTRAINED, *(AUGMENTATIONS - {"Resizing", "CenterCrop"})), _pass_on),
}


def read_layer(site: Site) -> tuple[str, ...]:
    """Append a layer's nodes; the names of its output tensors. Unsupported says why it cannot."""
    if site.layer.operation is not None:
        return read_operation(site)
    if site.layer.kind.startswith(PACKAGE):
        return (read_hgq_layer(site),)
    if site.layer.kind.startswith(SPARSE):
        return read_sparse_layer(site)
    if site.layer.kind in RECURRENT:
        return read_recurrent(site)
    if site.layer.kind == "SpectralNormalization":
        return _read_normalised(site)
    if site.layer.kind in WRAPPERS:
        return (read_wrapper(site, read_layer),)
    reader = READERS.get(site.layer.kind)
    if reader is None:
        raise UnsupportedLayerError(_why_unknown(site.layer.kind))
    return (reader(site),)


def _read_normalised(site: Site) -> tuple[str, ...]:
    """SpectralNormalization: the layer inside, whose kernel is stored as it is normalised."""
    inner = layer_inside(site.layer)
    if inner.kind == "Embedding":  # Keras casts the result to the type of the input
        raise UnsupportedLayerError("it rounds what its Embedding makes to the type of the index")
    return read_layer(replace(site, layer=inner))


def _why_unknown(kind: str) -> str:
    if kind == "Lambda":
        return "it holds Python code, which is never run; use layers instead"
    if ">" in kind:
        return (
            f"it is a class of one's own ({kind}), whose code is not in the file; what it computes "
            f"is not known, whatever its name is"
        )
    plain = kind.removeprefix("Q")
    if kind == "QAdaptiveActivation":
        return "its integer bits follow moving statistics; set them with QActivation"
    if plain.startswith("ConvLSTM"):
        return "its states are pictures, which is not supported"
    if plain.startswith("CuDNN"):
        return f"it was made for one library; save the model with {plain.removeprefix('CuDNN')}"
    if plain.startswith("Conv") and plain.endswith("Transpose"):
        return "quantized transposed convolutions are not supported"
    if "Attention" in plain:
        return "attention is not supported"
    return "this kind of layer is not known"


def nearest_layer(layer: LayerConfig) -> str:
    """The form that can be read and stands nearest to a layer, or to the function that it calls."""
    try:
        called = layer.operation
    except UnsupportedLayerError:  # its entry does not say which function it calls
        called = None
    if called is not None:
        return nearest_operation(called)
    if layer.kind.startswith(PACKAGE):
        return "HGQ2's layers of docs/keras.md with quantizers of the types kbi and kif"
    if layer.kind.startswith(SPARSE):
        return "SparsePixels' layers of docs/sparse.md"
    forms = forms_of("keras-layers")
    form = forms.get(layer.kind) or forms.get(layer.kind.removeprefix("Q"))
    unknown = "layers of docs/keras.md that compute the same"
    return form or (OWN_CODE if ">" in layer.kind else unknown)
