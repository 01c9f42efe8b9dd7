# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Element-wise functions with parameters to try them with."""

from __future__ import annotations

from edgeinfer.graph.functions import CURVES, Function

PARAMETERS: dict[Function, tuple[float, ...]] = {
    Function.LEAKY_RELU: (0.3,),
    Function.HARD_SIGMOID: (0.2, 0.5),
    Function.HARD_SWISH: (2.0, 5.0),
    Function.TERNARY: (0.37,),
    Function.ELU: (0.8,),
    Function.POWER_OF_TWO: (-5.0, 3.0, 1.0),
    Function.RSQRT: (0.01,),
    Function.POWER: (3.0,),
    Function.THRESHOLDED_RELU: (0.7,),
    Function.SHRINK: (1.25, 0.5),
    Function.LOOKUP: (-3.0, 0.5, 1.5, 1.5, -1.0, 2.25, 3.0),
    Function.RSQRT: (0.01,),
}
TABULATED = [(function, PARAMETERS.get(function, ())) for function in CURVES]
