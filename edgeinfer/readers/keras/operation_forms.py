# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""The nearest form of each function of `keras.ops` that can be read, by the names used there."""

from __future__ import annotations

from collections.abc import Mapping

from edgeinfer.readers.forms import by_kind
from edgeinfer.readers.keras.operations import canonical_name

UNKNOWN = "functions of docs/keras.md that compute the same"

OPERATION_FORMS: Mapping[str, str] = by_kind(
    {
        # those that are read, in the form in which they are
        "the same function of one tensor, with constants as its options": (
            "relu6 sigmoid tanh hard_tanh selu softplus softsign hard_sigmoid log_sigmoid "
            "sparse_sigmoid tanh_shrink erf log sqrt sin cos tan arcsin arccos arctan sinh cosh "
            "arcsinh arccosh arctanh asin acos atan asinh acosh atanh floor ceil rint trunc mish "
            "reciprocal round rsqrt exp log1p exp2 expm1 log2 log10 silu hard_silu absolute relu "
            "leaky_relu elu gelu soft_shrink hard_shrink threshold square negative clip sign"
        ),
        "the same over one axis other than the batch": (
            "softmax log_softmax glu cumsum argmax argmin top_k argsort sort norm normalize "
            "logsumexp var std"
        ),
        "the same over axes other than the batch, named by numbers": "mean sum max min",
        "prod over one axis of up to 16 numbers": "prod",
        "the same of tensors with equal numbers of axes, or of a tensor and a constant": (
            "add bias_add subtract multiply maximum minimum true_divide greater less "
            "greater_equal less_equal equal not_equal"
        ),
        "power with a constant exponent": "power",
        "mod by a constant above 0": "mod",
        "add_n of two or more tensors": "add_n",
        "the same of what a comparison makes": "any logical_not logical_and logical_or",
        "where of a comparison and of tensors or constants that a format holds": "where",
        "matmul of matrices, of stacks of them with as many axes, or with a constant matrix": (
            "matmul"
        ),
        "einsum of a tensor and a constant or of two, with a letter for the batch in each tensor": (
            "einsum"
        ),
        "the layer BatchNormalization": "batch_norm batch_normalization fused_batch_norm",
        "the layers Conv1D, Conv2D and Conv3D, or conv of one or two axes with a constant kernel": (
            "conv"
        ),
        "the layers DepthwiseConv1D and DepthwiseConv2D, or depthwise_conv with a constant kernel "
        "and channels last": "depthwise_conv",
        "max_pool or average_pool over one or two axes with channels last": (
            "max_pool average_pool"
        ),
        "the same with constants as its options, and the batch as its first axis": (
            "get_item reshape transpose expand_dims squeeze concatenate stack unstack split slice "
            "pad flip roll tile repeat swapaxes moveaxis shape"
        ),
        "image.resize of an image with channels last, nearest or bilinear": "image.resize",
        "the same of an image, (rows, columns, channels), whose sizes the block divides": (
            "depth_to_space space_to_depth"
        ),
        "take by constant indices, or take_along_axis by an index with as many axes": (
            "take gather take_along_axis"
        ),
        "one_hot along a new last axis": "one_hot",
        "float32 numbers": "cast identity stop_gradient convert_to_tensor copy",
        # those that are not
        "average_pool with a fixed window and stride": "adaptive_average_pool",
        "max_pool with a fixed window and stride": "adaptive_max_pool",
        "image.resize to a fixed size, or the transform before the network": (
            "affine_transform perspective_transform map_coordinates elastic_transform "
            "scale_and_translate"
        ),
        "logical_not(any(logical_not(x)))": "all reduce_all",
        "a sum of where(not_equal(x, 0), 1.0, 0.0)": "count_nonzero",
        "less(absolute(subtract(x, y)), limit)": "all_close isclose",
        "arctan(true_divide(y, x)) where x stays above 0": "arctan2",
        "sqrt(add(square(x), square(y)))": "hypot",
        "real and imaginary parts as tensors of their own": (
            "angle conj conjugate real imag isreal polar view_as_complex view_as_real"
        ),
        "concatenate": "append hstack vstack dstack ",
        "a constant that is computed before the model is built": (
            "arange array empty_like eye full full_like geomspace "
            "linspace logspace meshgrid ones ones_like vander zeros zeros_like "
            "unravel_index"
        ),
        "argsort": "argpartition",
        "split": "array_split dsplit hsplit vsplit",
        "mean, or a sum of products with constant weights": "average nanmean",
        "sort, and an element of it by its place": (
            "median percentile quantile nanmedian nanpercentile nanquantile"
        ),
        "comparisons, and logical_and, logical_or and logical_not of them": (
            "bitwise_and bitwise_invert bitwise_not bitwise_or bitwise_xor logical_xor is_in"
        ),
        "multiply by a constant power of two, and floor": (
            "bitwise_left_shift bitwise_right_shift left_shift right_shift ldexp"
        ),
        "a model that ends before the loss": (
            "binary_crossentropy categorical_crossentropy sparse_categorical_crossentropy "
            "ctc_loss ctcloss ctcdecode psnr ssim in_top_k"
        ),
        "a sum of one_hot": "bincount histogram multi_hot",
        "a sum of where(greater_equal(x, edge), 1.0, 0.0) over constant edges": (
            "digitize search_sorted searchsorted"
        ),
        "tile or repeat": "broadcast_to",
        "multiply(sign(x), power(absolute(x), 1/3))": "cbrt",
        "sqrt of a sum of squared differences": "cdist",
        "the function as the activation of a layer": "celu squareplus sparse_plus",
        "softmax": "sparsemax",
        "matmul with a constant matrix that is computed before the model is built": (
            "cholesky cholesky_inverse det eig eigh inv logdet lstsq lu_factor matrix_rank pinv qr "
            "slogdet solve solve_triangular svd corrcoef"
        ),
        "where for a choice, and a recurrent layer, TimeDistributed or a call for each step for a "
        "loop": (
            "cond switch scan associative_scan fori_loop while_loop map vectorized_map function jvp"
        ),
        "the layer Conv1DTranspose or Conv2DTranspose": "conv_transpose",
        "the layer SeparableConv1D or SeparableConv2D": "separable_conv",
        "the layer Conv1D": "correlate",
        "differences of products of slices": "cross",
        "products of slices, one after the other": "cumprod nancumprod",
        "multiply by a constant": "deg2rad rad2deg",
        "reshape, and take by constant indices": "diag diagflat diagonal trace",
        "subtract of two slices": "diff",
        "true_divide by a tensor that is never 0": "divide_no_nan multiply_no_nan",
        "matmul, einsum or multiply": "dot inner outer vdot tensordot kron",
        "the layer MultiHeadAttention or Attention": "dot_product_attention",
        "subtract(1, erf(x))": "erfc",
        "another function of docs/keras.md": "erfinv i0 nextafter gcd lcm",
        "where(greater(x, 0), 1.0, 0.0)": "heaviside",
        "true_divide(sin(x), x) where x is never 0": "sinc",
        "conv or depthwise_conv with a constant kernel": (
            "extract_patches extract_sequences unfold fold gaussian_blur sobel_edges"
        ),
        "absolute": "fabs",
        "maximum": "fmax",
        "minimum": "fmin",
        "mod": "fmod floormod",
        "floor of a quotient by a constant": "floor_divide floordiv",
        "matmul with the constant matrices of the transform for real and imaginary parts": (
            "fft fft2 ifft2 rfft irfft stft istft"
        ),
        "flip": "fliplr flipud",
        "transpose and flip": "rot90",
        "matmul with a constant matrix": "rgbto_grayscale image.rgb_to_grayscale",
        "do it before the network and give its result as the input": (
            "hsvto_rgb rgbto_hsv image.hsv_to_rgb image.rgb_to_hsv"
        ),
        "the model without it: fixed-point numbers are never NaN or infinite": (
            "nan_to_num isnan isinf isfinite is_nan is_inf is_finite isneginf isposinf"
        ),
        "normalize of keras.ops, or the layer UnitNormalization": "l2_normalize",
        "square of subtract": "squared_difference",
        "any of a comparison": "reduce_any",
        "the layer Dense": "xw_plus_b",
        "the layers Conv1D, Conv2D, Conv3D and DepthwiseConv2D": (
            "conv1d conv2d conv3d convolution depthwise_conv2d"
        ),
        "the layers MaxPooling and AveragePooling": "avg_pool max_pool2d avg_pool2d",
        "the same without the prefix nan: fixed-point numbers are never NaN": (
            "nanargmax nanargmin nancumsum nanmax nanmin nanprod nanstd nansum nanvar"
        ),
        "the layer LayerNormalization": "layer_norm ",
        "the layer RMSNormalization": "rmsnorm ",
        "logsumexp of a stack": "logaddexp logaddexp2",
        "mean and var": "moments",
        "top_k or sort, whose results have a fixed size": "nonzero unique",
        "pad": "pad_images",
        "slice": "crop_images",
        "subtract of max and min with keepdims=True": "ptp",
        "reshape and transpose": "ravel rearrange view",
        "clip": "saturate_cast",
        "matmul(transpose(one_hot(index, number)), x), which sums within each sample": (
            "scatter scatter_update segment_sum segment_reduction unsorted_segment_sum scatter_nd"
        ),
        "max, min or prod over an axis within each sample": "segment_max segment_min segment_prod",
        "concatenate of slices": "slice_update tensor_scatter_nd_update",
        "where": "select",
        "less(x, 0)": "signbit",
        "matmul with a constant vector": "trapezoid",
        "multiply by a constant of zeros and ones": "tril triu",
        "the number itself: shapes are fixed": "size ndim ",
    }
)


def nearest_operation(called: str) -> str:
    """The form that stands nearest to a function of `keras.ops` or TensorFlow."""
    return OPERATION_FORMS.get(canonical_name(called), UNKNOWN)
