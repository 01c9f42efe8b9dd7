# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Which versions of an operator the compiler can read at all, and which it maps.

The compiler holds a TensorFlow Lite of its own, of mid 2021 in version 16.0. A file with an
operator that this does not know, or with a newer version of one, is refused as a whole ("Didn't
find op for builtin opcode"): CONV_2D 6 and TRANSPOSE_CONV 4 are common cases.
"""

from __future__ import annotations

from typing import Final

COMPILER: Final = "16.0"

# The newest version that is read; operators in one line share it.
_READABLE: Final = {
    1: """CALL_ONCE CEIL COMPLEX_ABS CONV_3D COS CUMSUM DENSIFY ELU EMBEDDING_LOOKUP_SPARSE EXP
    EXPAND_DIMS FLOOR FLOOR_MOD HARD_SWISH HASHTABLE_LOOKUP IF IMAG L2_POOL_2D
    LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LSH_PROJECTION MATRIX_DIAG
    MATRIX_SET_DIAG NEG NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 ONE_HOT POW PRELU RANGE RANK
    REAL REDUCE_ALL REDUCE_ANY RELU_N1_TO_1 RESHAPE REVERSE_SEQUENCE RFFT2D ROUND SCATTER_ND
    SEGMENT_SUM SELECT_V2 SHAPE SIN SKIP_GRAM SQRT SQUARE UNIQUE WHILE ZEROS_LIKE ADD_N""",
    2: """DEPTH_TO_SPACE DIV FAKE_QUANT FLOOR_DIV GREATER GREATER_EQUAL L2_NORMALIZATION LEAKY_RELU
    LESS LESS_EQUAL LOG_SOFTMAX MIRROR_PAD REDUCE_PROD RSQRT SELECT SPACE_TO_DEPTH SPLIT_V SQUEEZE
    SQUARED_DIFFERENCE SUM TOPK_V2 WHERE""",
    3: """ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_TO_SPACE_ND BIDIRECTIONAL_SEQUENCE_LSTM
    BIDIRECTIONAL_SEQUENCE_RNN BROADCAST_TO CONCATENATION EMBEDDING_LOOKUP EQUAL FILL GATHER_ND
    LOGISTIC MAX_POOL_2D MEAN NOT_EQUAL PACK QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 REVERSE_V2
    RNN SOFTMAX SPACE_TO_BATCH_ND SPARSE_TO_DENSE TANH TILE TRANSPOSE_CONV
    UNIDIRECTIONAL_SEQUENCE_LSTM UNIDIRECTIONAL_SEQUENCE_RNN""",
    4: """ABS ADD BATCH_MATMUL CAST LSTM MAXIMUM MINIMUM PAD PADV2 RESIZE_BILINEAR
    RESIZE_NEAREST_NEIGHBOR SPLIT SVDF UNPACK""",
    5: "CONV_2D DEQUANTIZE GATHER MUL SLICE SUB TRANSPOSE",
    6: "DEPTHWISE_CONV_2D STRIDED_SLICE",
    9: "FULLY_CONNECTED",
}
READABLE: Final = {name: version for version, names in _READABLE.items() for name in names.split()}

# Read, but not mapped beyond these versions: by operator, from which runtime on, up to which one.
MAPPED: Final = {
    "FULLY_CONNECTED": ((0, 4),),
    "RESIZE_BILINEAR": ((0, 2), (12, 3)),
    "RESIZE_NEAREST_NEIGHBOR": ((0, 2), (14, 3)),
}


def readable(name: str, version: int) -> bool:
    """Whether the compiler can read an operator."""
    return name == "CUSTOM" or version <= READABLE.get(name, 0)


def newest_mapped(name: str, runtime: int) -> int:
    """The newest version of an operator that is mapped."""
    limits = MAPPED.get(name, ())
    chosen = [newest for since, newest in limits if since <= runtime]
    return chosen[-1] if chosen else READABLE.get(name, 0)
