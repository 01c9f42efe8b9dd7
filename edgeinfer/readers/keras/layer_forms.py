# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The nearest form of each Keras layer that can be read, for the report of what cannot be."""

from __future__ import annotations

from collections.abc import Mapping

from edgeinfer.readers.forms import by_kind
from edgeinfer.readers.keras.config import LayerConfig
from edgeinfer.readers.keras.fields import UnsupportedLayerError
from edgeinfer.readers.keras.hgq_variables import PACKAGE as HGQ
from edgeinfer.readers.keras.operation_forms import nearest_operation
from edgeinfer.readers.keras.sparse_variables import PACKAGE as SPARSE

CUSTOM = (
    "Keras's own layers and functions for what it computes, connected by keras.Model(inputs, "
    "outputs)"
)
UNKNOWN = "layers of docs/keras.md that compute the same"
_HGQ_LAYERS = "HGQ2's layers of docs/keras.md with quantizers of the types kbi and kif"
_SPARSE_LAYERS = "SparsePixels' layers of docs/sparse.md"
_BEFORE = "do it before the network and give its result as the input"
_CONV = (
    "a convolution of one to three axes (depthwise and separable: one or two) over a tensor of as "
    "many axes and the channels, whose groups divide the channels"
)
_SIZE = "a layer with the fixed size that leaves at least one element of every axis"

LAYER_FORMS: Mapping[str, str] = by_kind(
    {
        # what a model is made of
        "an Input of a fixed shape beside the batch": "InputLayer",
        "a Sequential or Functional model of layers with different names, without training=True": (
            "Model Functional Sequential"
        ),
        "layers or keras.ops functions in place of the code": (
            "Lambda Layer Wrapper TFSMLayer FlaxLayer JaxLayer TorchModuleWrapper"
        ),
        "functions of docs/keras.md with tensors and constants as arguments": (
            "TFOpLambda SlicingOpLambda TensorFlowOpLayer"
        ),
        # sums of products
        "a Dense layer over the last axis with its kernel in the file": (
            "Dense BinaryDense TernaryDense DenseBatchnorm"
        ),
        "an EinsumDense with 'tensor,kernel->result', in which each axis of the kernel is either "
        "summed over or new": "EinsumDense",
        _CONV: (
            "Conv1D Conv2D Conv3D Convolution1D Convolution2D Convolution3D Conv2DBatchnorm "
            "DepthwiseConv1D DepthwiseConv2D DepthwiseConv2DBatchnorm SeparableConv1D "
            "SeparableConv2D SeparableConvolution1D SeparableConvolution2D"
        ),
        "Conv1DTranspose, Conv2DTranspose or Conv3DTranspose with an output_padding below its "
        "strides": (
            "Conv1DTranspose Conv2DTranspose Conv3DTranspose Convolution1DTranspose "
            "Convolution2DTranspose Convolution3DTranspose"
        ),
        "Dot of two vectors or matrices over one axis each, none of them the batch": "Dot",
        "an Embedding that an index of whole numbers reads": "Embedding",
        "Discretization with boundaries and output_mode 'int' or 'one_hot'": "Discretization",
        "Embedding, and a matmul with its constant matrix for the way back": (
            "ReversibleEmbedding"
        ),
        "LookupDense of which all edges together have up to 65,536 entries": (
            "edgeinfer>LookupDense"
        ),
        "TableNeurons of which all tables together have up to 65,536 entries": (
            "edgeinfer>TableNeurons"
        ),
        # norms and scales
        "BatchNormalization of one axis other than the batch with statistics in the file": (
            "BatchNormalization SyncBatchNormalization BatchNormalizationV1"
        ),
        "LayerNormalization over axes other than the batch, or RMSNormalization": (
            "LayerNormalization RMSNormalization UnitNormalization"
        ),
        "GroupNormalization of the last axis into groups that divide it": "GroupNormalization",
        "Normalization with one axis, a mean and a variance": "Normalization",
        "Rescaling by numbers": "Rescaling",
        "the layer inside alone, with its normalised kernel": "SpectralNormalization",
        # attention and recurrence
        "attention over axis 1 of sequences, (places, channels), which returns no scores, with "
        "attention_mask or use_causal_mask as the only masks": (
            "MultiHeadAttention GroupQueryAttention GroupedQueryAttention Attention "
            "AdditiveAttention"
        ),
        "SimpleRNN, LSTM or GRU, or RNN around their cells, over a sequence, (steps, features), "
        "of a fixed number of steps": (
            "SimpleRNN LSTM GRU RNN Bidirectional SimpleRNNCell LSTMCell GRUCell StackedRNNCells "
            "Masking"
        ),
        "LSTM or GRU": "CuDNNLSTM CuDNNGRU",
        "TimeDistributed(Conv1D) and TimeDistributed(Flatten) before an LSTM, or one convolution "
        "over the frames as channels": "ConvLSTM1D",
        "TimeDistributed(Conv2D) and TimeDistributed(Flatten) before an LSTM, or Conv2D over the "
        "frames as channels": "ConvLSTM2D",
        "TimeDistributed(Conv3D) and TimeDistributed(Flatten) before an LSTM, or Conv3D over the "
        "frames as channels": "ConvLSTM3D",
        "TimeDistributed around one layer or model that can be read, without a mask": (
            "TimeDistributed"
        ),
        "the model after tfmot's strip_pruning": "PruneLowMagnitude",
        "the default 8-bit scheme of TFMOT around layers that can be read": (
            "QuantizeWrapper QuantizeWrapperV2 QuantizeLayer"
        ),
        # functions
        "a function of docs/keras.md, or a quantizer of QKeras with constant bits and alpha=1 or "
        "stored weights": "Activation",
        "QActivation with fixed integer bits": "AdaptiveActivation",
        "the same function with a threshold, a slope and a largest value that are constant": (
            "ReLU LeakyReLU ThresholdedReLU ELU PReLU"
        ),
        "Softmax over one axis without a mask": "Softmax",
        "FixedPointQuantizer with formats of its input's shape and the modes of ap_fixed": (
            "FixedPointQuantizer"
        ),
        # pools, shapes, sums
        "MaxPooling or AveragePooling over one to three axes": (
            "MaxPooling1D MaxPooling2D MaxPooling3D MaxPool1D MaxPool2D MaxPool3D "
            "AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D"
        ),
        "a global pool over all places of one to three axes, without a mask": (
            "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlobalMaxPool1D "
            "GlobalMaxPool2D GlobalMaxPool3D GlobalAveragePooling1D GlobalAveragePooling2D "
            "GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D"
        ),
        "AveragePooling with a fixed window and stride": (
            "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D"
        ),
        "MaxPooling with a fixed window and stride": (
            "AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D"
        ),
        "Reshape to fixed sizes with the same number of elements, or Permute of all axes": (
            "Flatten Reshape Permute RepeatVector"
        ),
        _SIZE: (
            "ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D CenterCrop"
        ),
        "UpSampling by whole factors, or Resizing of an image, nearest or bilinear": (
            "UpSampling1D UpSampling2D UpSampling3D Resizing"
        ),
        "the same of two or more tensors with equal numbers of axes": (
            "Add Subtract Multiply Average Maximum Minimum Concatenate CustomScaleLayer"
        ),
        # training
        "the model without it: it changes nothing but in training": (
            "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise "
            "GaussianDropout AlphaDropout ActivityRegularization Identity RandomFlip "
            "RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness "
            "RandomShear RandomErasing AugMix CutMix MixUp RandAugment RandomColorDegeneration "
            "RandomColorJitter RandomCrop RandomElasticTransform RandomGaussianBlur "
            "RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization "
            "RandomSaturation RandomSharpness"
        ),
        _BEFORE: (
            "AutoContrast CategoryEncoding ContrastLimitedAdaptiveHistogramEqualization "
            "Equalization HashedCrossing Hashing IntegerLookup "
            "MaxNumBoundingBoxes MelSpectrogram Pipeline STFTSpectrogram Solarization "
            "StringLookup TextVectorization"
        ),
    }
)


def nearest_layer(layer: LayerConfig) -> str:
    """The form that stands nearest to a layer, or to the function that it calls."""
    try:
        called = layer.operation
    except UnsupportedLayerError:  # its entry does not say which function it calls
        called = None
    if called is not None:
        return nearest_operation(called)
    if layer.kind.startswith(HGQ):
        return _HGQ_LAYERS
    if layer.kind.startswith(SPARSE):
        return _SPARSE_LAYERS
    plain = layer.kind.removeprefix("Q")
    return (
        LAYER_FORMS.get(layer.kind)
        or LAYER_FORMS.get(plain)
        or (CUSTOM if ">" in layer.kind else UNKNOWN)
    )
