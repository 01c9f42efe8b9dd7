# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Reader of int8 TensorFlow Lite files: the integers are those of its reference kernels."""
