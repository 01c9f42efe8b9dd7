# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Post-training quantization: data to formats, and weights fitted to them."""

from edgeinfer.precision.ptq.choose import PtqSettings, Quantized, quantize

__all__ = ["PtqSettings", "Quantized", "quantize"]
