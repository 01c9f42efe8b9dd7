# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""A stand-in for TensorFlow Lite Micro: `runtime` is a name for a module that lies deeper."""

from tflite_micro.python import runtime

__all__ = ["runtime"]
