# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The nearest form of each TensorFlow Lite operator that can be read."""

from __future__ import annotations

from collections.abc import Mapping

from edgeinfer.base.tflite.model import Operator
from edgeinfer.readers.forms import by_kind

INPUT = "an int8, uint8 or float32 input of one scale and a batch of one"
OUTPUT = "a file whose outputs its operators compute"
UNKNOWN = "operators that docs/tflite.md lists"
STABLEHLO = "the operator of TensorFlow Lite itself that computes the same"

KERNEL_FORMS: Mapping[str, str] = by_kind(
    {
        # those that are read, in the form in which they are
        "8-bit tensors of one scale, 8-bit weights with a scale for the tensor or each output "
        "channel, and a bias of 32 bits, all in the file": (
            "FULLY_CONNECTED CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV"
        ),
        "BATCH_MATMUL of 8-bit tensors of matrices": "BATCH_MATMUL",
        "8-bit tensors of one scale": (
            "ADD SUB MUL DIV SQUARED_DIFFERENCE PRELU RELU RELU6 RELU_N1_TO_1 QUANTIZE DEQUANTIZE "
            "CAST LOGISTIC TANH LEAKY_RELU HARD_SWISH ABS EXP GELU LOG RSQRT NEG SQRT ELU"
        ),
        "the operator between DEQUANTIZE and QUANTIZE, on an 8-bit tensor and a constant, or on "
        "two 8-bit tensors": "SQUARE FLOOR CEIL ROUND SIGN SIN COS POW",
        "a pool of an 8-bit image whose output has the scale of its input": (
            "AVERAGE_POOL_2D MAX_POOL_2D"
        ),
        "a reduction of an 8-bit tensor over axes other than the batch that the file states": (
            "MEAN SUM REDUCE_MAX REDUCE_MIN"
        ),
        "8-bit tensors of the same scale, moved within each sample by indices, axes and sizes that "
        "the file states": (
            "RESHAPE SQUEEZE EXPAND_DIMS PAD MIRROR_PAD TRANSPOSE SLICE STRIDED_SLICE SPLIT "
            "SPLIT_V CONCATENATION PACK UNPACK GATHER TILE REVERSE_V2 DEPTH_TO_SPACE "
            "SPACE_TO_DEPTH MAXIMUM MINIMUM RESIZE_NEAREST_NEIGHBOR"
        ),
        "RESIZE_BILINEAR of an int8 image": "RESIZE_BILINEAR",
        "the operator along one axis other than the batch that the file states": "ARG_MAX ARG_MIN",
        "TOPK_V2 of an 8-bit tensor, how many elements being stored in the file": "TOPK_V2",
        "a comparison of 8-bit tensors with scales below 1, or of one with a constant": (
            "GREATER GREATER_EQUAL LESS LESS_EQUAL EQUAL NOT_EQUAL"
        ),
        "the operator on what comparisons make": (
            "SELECT SELECT_V2 LOGICAL_AND LOGICAL_OR LOGICAL_NOT"
        ),
        "an int8 SOFTMAX with beta = 1 over rows of up to 2,048 elements": "SOFTMAX",
        # those that are not
        "do it before the network and give its result as the input": (
            "EMBEDDING_LOOKUP EMBEDDING_LOOKUP_SPARSE HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT "
            "HASHTABLE_LOOKUP HASHTABLE_SIZE LSH_PROJECTION CONCAT_EMBEDDINGS SKIP_GRAM BUCKETIZE "
            "UNIQUE RFFT2D"
        ),
        "MUL, SUM and RSQRT of 8-bit integers": "L2_NORMALIZATION",
        "MUL of the tensor with itself, AVERAGE_POOL_2D and SQRT": "L2_POOL_2D",
        "a batch norm in its place, which the converter folds into a convolution": (
            "LOCAL_RESPONSE_NORMALIZATION"
        ),
        "the recurrent layer in the Keras or ONNX file": (
            "LSTM RNN SVDF UNIDIRECTIONAL_SEQUENCE_RNN UNIDIRECTIONAL_SEQUENCE_LSTM "
            "BIDIRECTIONAL_SEQUENCE_RNN BIDIRECTIONAL_SEQUENCE_LSTM"
        ),
        "the layer in the Keras or ONNX file, where it can be read": (
            "CONV_3D CONV_3D_TRANSPOSE ONE_HOT GATHER_ND SCATTER_ND CUMSUM SEGMENT_SUM "
            "UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_SUM"
        ),
        "LOG_SOFTMAX of an int8 tensor over its last axis, whose output has the scale 1/16": (
            "LOG_SOFTMAX"
        ),
        "CONV_2D with the dilation in its options": "BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND",
        "PAD": "PADV2",
        "RELU": "RELU_0_TO_1",
        "a network of fixed shapes, of which the converter makes constants": (
            "SHAPE RANK RANGE FILL ZEROS_LIKE BROADCAST_ARGS WHERE REVERSE_SEQUENCE "
            "DYNAMIC_UPDATE_SLICE SPARSE_TO_DENSE DENSIFY PLACEHOLDER_FOR_GREATER_OP_CODES"
        ),
        "MUL or CONCATENATION in place of copies": "BROADCAST_TO",
        "a network without control flow and variables: SELECT_V2 for a choice, the loop unrolled": (
            "CALL CALL_ONCE IF WHILE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE"
        ),
        "TensorFlow Lite's own operators": "CUSTOM DELEGATE",
        "QUANTIZE, which a full-integer conversion writes": "FAKE_QUANT",
        "MUL of slices": "REDUCE_PROD",
        "LOGICAL_OR or LOGICAL_AND of slices": "REDUCE_ANY REDUCE_ALL",
        "FLOOR of a DIV by a constant": "FLOOR_DIV FLOOR_MOD",
        "ADD of two tensors after the other": "ADD_N",
        "MUL by a constant of zeros and ones": "MATRIX_DIAG MATRIX_SET_DIAG",
        "do it behind the network, on its outputs": (
            "NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 ATAN2"
        ),
        "real and imaginary parts as tensors of their own": "IMAG REAL COMPLEX_ABS",
        "a network without random numbers": ("RANDOM_STANDARD_NORMAL RANDOM_UNIFORM MULTINOMIAL"),
        "comparisons and LOGICAL_AND, LOGICAL_OR and LOGICAL_NOT of them": (
            "BITCAST BITWISE_XOR RIGHT_SHIFT"
        ),
        "TRANSPOSE_CONV": "DILATE",
        "AVERAGE_POOL_2D or MAX_POOL_2D": "REDUCE_WINDOW",
    }
)


def nearest_kernel(op: Operator) -> str:
    """The form that stands nearest to an operator."""
    if op.name.startswith("STABLEHLO"):
        return STABLEHLO
    return KERNEL_FORMS.get(op.name, UNKNOWN)
