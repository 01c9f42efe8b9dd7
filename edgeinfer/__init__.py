# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The edgeinfer authors

"""Small quantized networks, brought exactly onto FPGAs and Edge TPUs."""

__version__ = "0.1.0"
