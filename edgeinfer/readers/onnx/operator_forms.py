# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The nearest form of each ONNX operator that can be read, for the report of what cannot be."""

from __future__ import annotations

from collections.abc import Mapping

from edgeinfer.readers.forms import by_kind
from edgeinfer.readers.onnx.nodes import DOMAINS
from edgeinfer.readers.onnx.ops import OnnxOp

UNKNOWN = "operators of ONNX or QONNX that docs/onnx.md lists"
_WITHOUT_CHOICES = (
    "a network without control flow: Where for a choice, RNN, LSTM or GRU for a loop, or the loop "
    "unrolled by the exporter"
)

OPERATOR_FORMS: Mapping[str, str] = by_kind(
    {
        # those that are read, in the form in which they are
        "the same function of one tensor that depends on an input, with finite constant "
        "attributes": (
            "Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Mish Reciprocal "
            "Round Sigmoid Sin Sinh Softplus Softsign Sqrt Tan Tanh Celu Elu Gelu HardSigmoid "
            "HardSwish LeakyRelu Relu Selu Shrink Sign Swish ThresholdedRelu Abs Neg Clip PRelu"
        ),
        "Softmax or LogSoftmax over one axis other than the batch": "Softmax LogSoftmax",
        "a comparison of tensors, or of a tensor and a constant": (
            "Equal Greater GreaterOrEqual Less LessOrEqual"
        ),
        "the same of what comparisons make": "And Or Xor Not",
        "Where of a comparison and of tensors or constants that a format holds": "Where",
        "Cast to float32 or float16, or to an integer type that holds the values": "Cast CastLike",
        "the same of tensors that broadcast against each other within a sample, or of a tensor and "
        "a finite constant": "Add Sub Mul Div Sum Mean Max Min",
        "Pow with a constant exponent": "Pow",
        "a pool over one to three axes whose indices nothing reads, not dilated where it pads": (
            "MaxPool AveragePool GlobalAveragePool GlobalMaxPool MaxPoolNHWC"
        ),
        "LpPool with p of 1 or more, not dilated": "LpPool GlobalLpPool",
        "a reduction over axes other than the batch that are constant": (
            "ReduceMax ReduceMean ReduceSum ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
            "ReduceMin ReduceSumSquare"
        ),
        "ReduceProd over up to 16 numbers": "ReduceProd",
        "the same with constant sizes, indices and axes, within each sample": (
            "CenterCropPad Compress ReverseSequence Scatter TensorScatter Trilu Tile Expand CumSum "
            "Pad Slice Split Squeeze Unsqueeze Transpose Reshape Flatten Concat DepthToSpace "
            "SpaceToDepth"
        ),
        "the same along one axis other than the batch": "ArgMax ArgMin TopK",
        "Hardmax of operator set 13 or later along the last axis": "Hardmax",
        "Resize by constant scales or sizes": "Resize Upsample",
        "RNN, LSTM or GRU over sequences of one length, without peepholes and coupled gates": (
            "RNN LSTM GRU"
        ),
        "an inference export, in which it passes its input on": "Identity Dropout",
        "LayerNormalization or RMSNormalization over the last axes, of which only the first output "
        "is read": "LayerNormalization RMSNormalization",
        "GroupNormalization or InstanceNormalization with channels after the batch": (
            "GroupNormalization InstanceNormalization"
        ),
        "Attention of sequences without a cache and a softcap": "Attention",
        "BatchNormalization by channel with constant statistics, exported for inference": (
            "BatchNormalization"
        ),
        "Conv over one to three axes with constant weights": ("Conv ConvInteger QLinearConv"),
        "ConvTranspose over one to three axes with constant weights": "ConvTranspose",
        "a product with a constant matrix, or of two tensors of matrices with the same leading "
        "axes": "MatMul MatMulInteger QLinearMatMul Gemm",
        "Einsum of two inputs with a letter for the batch in each": "Einsum",
        "a constant scale above 0 for the whole tensor or for each channel, and a constant zero "
        "point": (
            "QuantizeLinear DequantizeLinear QLinearAdd QLinearMul Quant IntQuant "
            "BipolarQuant Trunc"
        ),
        "Gather by whole entries, or an index in a network that is drawn for one sample "
        "(--batch-axis none)": "Gather GatherElements GatherND",
        "the same with reduction=add, or with constant indices": "ScatterElements ScatterND",
        "OneHot with 0 elsewhere along a new last axis": "OneHot",
        "the network without it: fixed-point numbers are never NaN or infinite": "IsNaN IsInf",
        "LpNormalization with p = 2 over one axis": "LpNormalization",
        "the same of constants": ("Constant ConstantOfShape Mod NonZero Range Shape Size EyeLike"),
        "a site mask that a convolution of docs/sparse.md reads": "Sites FirstSites",
        # those that are not
        _WITHOUT_CHOICES: (
            "If Loop Scan SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert "
            "SequenceLength SequenceMap SplitToSequence ConcatFromSequence Optional "
            "OptionalGetElement OptionalHasElement"
        ),
        "QuantizeLinear with a constant scale: quantize the model statically": (
            "DynamicQuantizeLinear"
        ),
        "Resize, whose map of places is constant": "AffineGrid GridSample",
        "a network without random numbers, as an inference export is": (
            "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike"
        ),
        "Mul by a constant power of two, and Floor": "BitShift",
        "comparisons, and And, Or, Xor and Not of them": (
            "BitwiseAnd BitwiseNot BitwiseOr BitwiseXor"
        ),
        "a constant initializer": "BlackmanWindow HammingWindow HannWindow MelWeightMatrix",
        "Col2Im with a constant image and block": "Col2Im",
        "MatMul with the constant matrices of the transform for real and imaginary parts": (
            "DFT STFT"
        ),
        "Conv": "DeformConv",
        "Mul and Sub of slices": "Det",
        "do it before the network and give its result as the input": (
            "ImageDecoder RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer"
        ),
        "do it behind the network, on its outputs": "NonMaxSuppression",
        "LRN over the channels after the batch": "LRN",
        "MaxPool of a slice with constant bounds": "MaxRoiPool RoiAlign",
        "ConvTranspose, or Resize with mode=nearest": "MaxUnpool",
        "InstanceNormalization, or LayerNormalization over all axes of a sample": (
            "MeanVarianceNormalization"
        ),
        "a network that ends before the loss": (
            "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss"
        ),
        "Mul by constant sines and cosines, with Slice and Concat": "RotaryEmbedding",
        "TopK, whose results have a fixed size": "Unique",
    }
)


def nearest_operator(op: OnnxOp) -> str:
    """The form that stands nearest to an operator; other domains may use ONNX's names."""
    return OPERATOR_FORMS.get(op.kind, UNKNOWN) if op.domain in DOMAINS else UNKNOWN
