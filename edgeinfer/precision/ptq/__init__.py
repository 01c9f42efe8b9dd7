# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Post-training quantization: data to formats, and weights fitted to them."""

from edgeinfer.precision.ptq.choose import quantize
from edgeinfer.precision.ptq.settings import PtqSettings, QuantizedGraph

__all__ = ["PtqSettings", "QuantizedGraph", "quantize"]
