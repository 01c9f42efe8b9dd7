# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which function reads which class of layer: the one list of everything that can be read."""

from __future__ import annotations

from edgeinfer.graph.nodes import PoolNodeKind
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
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.hgq_layers import read_hgq_layer
from edgeinfer.readers.keras.hgq_variables import PACKAGE
from edgeinfer.readers.keras.operations import read_operation
from edgeinfer.readers.keras.recurrent import read_recurrent
from edgeinfer.readers.keras.sparse_pixels import read_sparse_layer
from edgeinfer.readers.keras.sparse_variables import PACKAGE as SPARSE

AUGMENTATIONS = frozenset(  # Keras 3 writes training=True for each; `predict` runs them without
    {
        *("RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast"),
        *("RandomBrightness", "RandomShear", "RandomErasing", "Resizing", "CenterCrop"),
    }
)
_MAX, _AVERAGE = PoolNodeKind.MAX, PoolNodeKind.AVERAGE


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
    return (_read_weighted(site, site.layer.kind),)


def _read_weighted(site: Site, kind: str) -> str:
    match kind:
        case "Dense" | "QDense" | "QDenseBatchnorm":
            return linear.dense_layer(site)
        case "BinaryDense" | "TernaryDense":
            return linear.coarse_layer(site, zero=kind == "TernaryDense")
        case "Conv1D" | "QConv1D" | "Convolution1D":
            return linear.conv_layer(site, 1)
        case "Conv2D" | "QConv2D" | "QConv2DBatchnorm" | "Convolution2D":
            return linear.conv_layer(site, 2)
        case "Conv3D" | "Convolution3D":
            return linear.conv_layer(site, 3)
        case "DepthwiseConv1D" | "QDepthwiseConv1D":
            return linear.depthwise_layer(site, 1)
        case "DepthwiseConv2D" | "QDepthwiseConv2D" | "QDepthwiseConv2DBatchnorm":
            return linear.depthwise_layer(site, 2)
        case "SeparableConv1D" | "QSeparableConv1D" | "SeparableConvolution1D":
            return linear.separable_layer(site, 1)
        case "SeparableConv2D" | "QSeparableConv2D" | "SeparableConvolution2D":
            return linear.separable_layer(site, 2)
        case "Conv1DTranspose" | "Convolution1DTranspose":
            return resampling.transposed_layer(site, 1)
        case "Conv2DTranspose" | "Convolution2DTranspose":
            return resampling.transposed_layer(site, 2)
        case "EinsumDense":
            return einsum.einsum_dense_layer(site)
        case "BatchNormalization" | "SyncBatchNormalization" | "BatchNormalizationV1":
            return normalizing.batchnorm_layer(site)
        case "QBatchNormalization":
            return normalizing.quantized_batchnorm_layer(site)
        case "LayerNormalization":
            return normalizing.layer_norm_layer(site)
        case "RMSNormalization":
            return normalizing.rms_norm_layer(site)
        case "GroupNormalization":
            return normalizing.group_norm_layer(site)
        case "UnitNormalization":
            return normalizing.unit_norm_layer(site)
        case "MultiHeadAttention":
            return attention.multi_head_layer(site)
        case "GroupQueryAttention" | "GroupedQueryAttention":
            return attention.grouped_query_layer(site)
        case "Attention":
            return plain_attention.attention_layer(site)
        case "AdditiveAttention":
            return plain_attention.additive_layer(site)
        case "Normalization":
            return normalizing.normalization_layer(site)
        case "Rescaling":
            return normalizing.rescaling_layer(site)
        case "FixedPointQuantizer":
            return activation_layers.fixed_point_layer(site)
        case "Activation" | "QActivation":
            return activation_layers.activation_layer(site)
        case "ReLU" | "LeakyReLU" | "ThresholdedReLU" | "ELU" | "Softmax":
            return activation_layers.function_layer(site)
        case "PReLU":
            return activation_layers.prelu_layer(site)
        case "Embedding":
            return indexing.embedding_layer(site)
        case _:  # layers without weights; unknown ones are refused there
            return _read_weightless(site, kind)


def _read_weightless(site: Site, kind: str) -> str:
    match kind:
        case "MaxPooling1D" | "MaxPool1D":
            return pooling.pool_layer(site, _MAX, 1)
        case "MaxPooling2D" | "MaxPool2D":
            return pooling.pool_layer(site, _MAX, 2)
        case "AveragePooling1D" | "AvgPool1D":
            return pooling.pool_layer(site, _AVERAGE, 1)
        case "AveragePooling2D" | "AvgPool2D" | "QAveragePooling2D":
            return pooling.pool_layer(site, _AVERAGE, 2)
        case "MaxPooling3D" | "MaxPool3D":
            return pooling.pool_layer(site, _MAX, 3)
        case "GlobalMaxPooling3D" | "GlobalMaxPool3D":
            return pooling.global_pool_layer(site, _MAX, 3)
        case "GlobalMaxPooling1D" | "GlobalMaxPool1D":
            return pooling.global_pool_layer(site, _MAX, 1)
        case "GlobalMaxPooling2D" | "GlobalMaxPool2D":
            return pooling.global_pool_layer(site, _MAX, 2)
        case "AveragePooling3D" | "AvgPool3D":
            return pooling.pool_layer(site, _AVERAGE, 3)
        case "GlobalAveragePooling3D" | "GlobalAvgPool3D":
            return pooling.global_pool_layer(site, _AVERAGE, 3)
        case "GlobalAveragePooling1D" | "GlobalAvgPool1D":
            return pooling.global_pool_layer(site, _AVERAGE, 1)
        case "GlobalAveragePooling2D" | "GlobalAvgPool2D" | "QGlobalAveragePooling2D":
            return pooling.global_pool_layer(site, _AVERAGE, 2)
        case "Flatten":
            return shaping.flatten_layer(site)
        case "Reshape":
            return shaping.reshape_layer(site)
        case "Permute":
            return shaping.permute_layer(site)
        case "RepeatVector":
            return shaping.repeat_layer(site)
        case "ZeroPadding1D":
            return shaping.padding_layer(site, 1)
        case "ZeroPadding2D":
            return shaping.padding_layer(site, 2)
        case "ZeroPadding3D":
            return shaping.padding_layer(site, 3)
        case "Cropping1D":
            return shaping.cropping_layer(site, 1)
        case "Cropping2D":
            return shaping.cropping_layer(site, 2)
        case "Cropping3D":
            return shaping.cropping_layer(site, 3)
        case "UpSampling1D":
            return resampling.upsampling_layer(site, 1)
        case "UpSampling2D":
            return resampling.upsampling_layer(site, 2)
        case "UpSampling3D":
            return resampling.upsampling_layer(site, 3)
        case "Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum":
            return shaping.merge_layer(site, shaping.MERGES[kind])
        case "Dot":
            return attention.dot_layer(site)
        case "CustomScaleLayer":
            return shaping.scaled_sum_layer(site)
        case "Concatenate":
            return shaping.concat_layer(site)
        case (
            "Dropout" | "SpatialDropout1D" | "SpatialDropout2D" | "SpatialDropout3D"
            | "GaussianNoise" | "GaussianDropout" | "AlphaDropout" | "ActivityRegularization"
            | "Identity"
        ):  # fmt: skip
            return site.x
        case "Resizing":
            return resampling.resizing_layer(site)
        case "CenterCrop":
            return resampling.center_crop_layer(site)
        case _ if kind in AUGMENTATIONS:  # others that training alone knows
            return site.x
        case "Masking":
            return normalizing.masking_layer(site)
        case "Lambda":
            raise UnsupportedLayerError(
                "it holds Python code, which is never run; use layers instead"
            )
        case _:
            raise UnsupportedLayerError(_why_unknown(kind))


def _why_unknown(kind: str) -> str:
    if ">" in kind:
        return (
            f"it is a class of one's own ({kind}), whose code is not in the file; what it computes "
            f"is not known, whatever its name is"
        )
    plain = kind.removeprefix("Q")
    if kind == "QAdaptiveActivation":
        return "its integer bits follow moving statistics; set them with QActivation"
    if plain.startswith("ConvLSTM"):
        return "its states are pictures, which is not supported; use LSTM over flattened pictures"
    if plain.startswith("CuDNN"):
        return f"it was made for one library; save the model with {plain.removeprefix('CuDNN')}"
    if plain.startswith("Conv") and plain.endswith("Transpose"):
        return "only Conv1DTranspose and Conv2DTranspose are read; use UpSampling2D and QConv2D"
    if kind in {"QuantizeLayer", "QuantizeWrapper", "QuantizeWrapperV2"}:
        return (
            "TFMOT rounds by scales that are no powers of two, which no number format here can "
            "state; give its int8 .tflite file, whose integers are read as they are, or the model "
            "from before quantize_model"
        )
    if kind == "Dot":
        return "it multiplies two tensors; only constants can be the other factor of such a product"
    if "Attention" in plain:
        return "attention is not supported"
    return "this kind of layer is not known"
