# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors
"""Numbers: fixed-point types, exact ranges, recipes, and how data choose them."""

from quantization.fixed import Fixed, FormatError, Overflow, Quantizer, Rounding
from quantization.recipe import Recipe, WeightFormat

__all__ = ["Fixed", "FormatError", "Overflow", "Quantizer", "Recipe", "Rounding", "WeightFormat"]
